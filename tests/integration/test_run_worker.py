"""From a saved search to an event: the fetcher and the worker on the real sandbox."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from types import SimpleNamespace

import pytest

from functions.fetch_worker import app as fetch_worker_app
from functions.fetcher import app as fetcher_app
from local.clock import FILE_NAME, LocalClock
from local.settings import REPOSITORY
from tests.fixtures.hh_sandbox import run_sandbox
from tests.harness.fetching import FetchHarness, check_invariants, new_employer, publish
from ullgetthejob.hh import pause_policy
from ullgetthejob.hh.pacer import Pacer
from ullgetthejob.platform import settings
from ullgetthejob.saved_searches import canonical_searches, pagination, run_store, run_worker

HALF_AN_HOUR = 1_800


@pytest.fixture
def harness(connected, monkeypatch):
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    monkeypatch.setenv("FETCH_DETAILS_PER_RUN", "0")
    monkeypatch.setattr(pause_policy, "PAUSE_AFTER_FAILURES_S", 0.01)
    monkeypatch.setattr(pause_policy, "PAUSE_AFTER_429_S", 0.01)
    return FetchHarness(connected)


@pytest.fixture
def employer():
    return new_employer()


@pytest.fixture
def search(harness, employer):
    """The ids of a query for one employer's vacancies, and of a saved search of it."""
    query_id = harness.query(employer_id=employer)
    return query_id, harness.save(query_id)


def ended(harness, query_id):
    run = harness.run(query_id)
    return run.state, run.reason


def test_first_run_reads_and_announces_all_vacancies(harness, employer, search):
    query_id, search_id = search
    published = publish(harness.sandbox, employer, 103)
    harness.reset_calls()
    assert harness.minute(0) == [str(query_id)]
    run = harness.run(query_id)
    assert (run.state, run.reason, run.trigger) == ("completed", None, "schedule")
    assert (run.found, run.fetched, run.new, run.changed, run.failed) == (103, 103, 103, 0, 0)
    assert (run.calls, harness.calls()) == (2, 2)
    assert run.finished_at >= run.started_at
    assert set(harness.matches(query_id)) == set(published)
    events = harness.events(harness.account_of(search_id))
    assert {row["type"] for row in events[:-1]} == {"jobs.new"}
    assert events[-1]["type"] == "fetch.completed"
    assert (events[-1]["data"]["state"], events[-1]["data"]["told"]) == ("completed", 103)
    check_invariants(harness)


def test_next_run_finds_a_new_vacancy_with_one_call(harness, employer, search):
    query_id, search_id = search
    publish(harness.sandbox, employer, 130)
    harness.sandbox.advance(HALF_AN_HOUR)
    harness.minute(0)
    harness.sandbox.advance(HALF_AN_HOUR)
    [fresh] = publish(harness.sandbox, employer, 1)
    harness.reset_calls()
    assert harness.minute(0) == [str(query_id)]
    assert harness.calls() == 1
    run = harness.run(query_id)
    assert (run.state, run.found, run.fetched, run.new) == ("completed", 131, 100, 1)
    event = harness.events(harness.account_of(search_id), "jobs.new")[-1]
    assert [job["id"] for job in event["data"]["jobs"]] == [fresh]
    check_invariants(harness)


def test_run_after_a_day_is_full(harness, employer, search):
    query_id, _ = search
    publish(harness.sandbox, employer, 101)
    harness.sandbox.advance(HALF_AN_HOUR)
    harness.minute(0)
    harness.reset_calls()
    harness.minute(HALF_AN_HOUR)
    assert harness.calls() == 1
    harness.minute(24 * 3600)
    assert harness.calls() == 3
    row = canonical_searches.read(query_id, connection=harness.connection)
    assert row["full_from"] == row["complete_from"] == harness.run(query_id).started_at
    assert row["full_found"] == 101


def test_excluded_employer_is_not_announced_though_hh_ignores_that(harness, employer):
    harness.sandbox.set_era("2026")  # its documents no longer have the parameter for a search
    text = f"Часовщик{employer}"
    titles = {"employer": {"id": employer, "name": "Завод"}}
    harness.sandbox.publish(text, **titles)
    wanted = str(
        harness.sandbox.publish(text, employer={"id": new_employer(), "name": "Ателье"})["id"]
    )
    query_id = harness.query(text=text, excluded_employer_id=employer)
    search_id = harness.save(query_id)
    harness.minute(0)
    run = harness.run(query_id)
    assert (run.state, run.found, run.fetched) == ("completed", 2, 2)
    assert set(harness.matches(query_id)) == {wanted}
    events = harness.events(harness.account_of(search_id), "jobs.new")
    assert [job["id"] for event in events for job in event["data"]["jobs"]] == [wanted]


def test_search_is_not_requested_before_it_is_due(harness, employer, search):
    harness.minute(0)
    harness.reset_calls()
    assert harness.minute(60) == []
    assert harness.minute(HALF_AN_HOUR / 2) == []
    assert harness.calls() == 0
    assert len(harness.minute(HALF_AN_HOUR)) == 1


def test_equal_searches_due_soon_share_one_run(harness, employer):
    publish(harness.sandbox, employer, 3)
    query_id = harness.query(employer_id=employer)
    soon, late = harness.save(query_id), harness.save(query_id)
    now = harness.world.now()
    for search_id, wait in ((soon, 10), (late, 20)):
        harness.connection.execute(
            "UPDATE saved_searches SET next_run_at = %s WHERE id = %s",
            [now + timedelta(minutes=wait), search_id],
        )
    due = harness.save(query_id)
    harness.reset_calls()
    harness.minute(0)
    assert harness.calls() == 1
    events = {
        search_id: len(harness.events(harness.account_of(search_id), "jobs.new"))
        for search_id in (due, soon, late)
    }
    assert events == {due: 1, soon: 1, late: 0}
    harness.minute(20 * 60 + 1)
    assert len(harness.events(harness.account_of(late), "jobs.new")) == 1
    check_invariants(harness)


def test_vacancy_of_two_searches_is_announced_once(harness, employer):
    account_id = harness.world.account()
    publish(harness.sandbox, employer, 2)
    other = new_employer()
    publish(harness.sandbox, other, 1)
    for ids in ([employer], [employer, other]):
        harness.save(harness.query(employer_id=ids), account_id)
    harness.minute(0)
    assert sum(row["data"]["told"] for row in harness.events(account_id, "fetch.completed")) == 3
    check_invariants(harness)


def test_search_outside_of_its_hours_is_not_requested(harness, employer, search):
    _, search_id = search
    now = harness.world.now()
    opens = (now + timedelta(hours=2)).strftime("%H:%M")
    closes = (now + timedelta(hours=4)).strftime("%H:%M")
    harness.connection.execute(
        "UPDATE saved_searches SET working_hours = jsonb_build_object('from', %s::text, 'to',"
        " %s::text), time_zone = 'UTC' WHERE id = %s",
        [opens, closes, search_id],
    )
    assert harness.minute(0) == []
    assert harness.minute(3600) == []
    assert len(harness.minute(3600)) == 1


@pytest.fixture
def big_sandbox(tmp_path):
    """A sandbox with more vacancies than hh.ru's depth."""
    options = ("--vacancies", "5000", "--calls-per-second", "1000000")
    with run_sandbox(tmp_path / "sandbox", *options) as sandbox:
        yield sandbox


def test_search_of_five_thousand_vacancies_is_read_in_full(big_sandbox, connected, monkeypatch):
    connected.sandbox, connected.clock = big_sandbox, LocalClock(big_sandbox.data_dir / FILE_NAME)
    big_sandbox.control("POST", "/clock", {"rate": 0})
    monkeypatch.setenv("HH_ACCESS_TOKEN", big_sandbox.token())
    monkeypatch.setenv("FETCH_DETAILS_PER_RUN", "0")
    harness = FetchHarness(connected)
    query_id = harness.query(text="")
    harness.save(query_id)
    harness.tick()
    harness.work(query_id)
    run = harness.run(query_id)
    open_count = big_sandbox.control("GET", "/state")["vacancies"]["open"]
    assert open_count > 4_000
    assert (run.state, run.found, run.new) == ("completed", open_count, open_count)
    assert len(harness.matches(query_id)) == open_count
    assert run.calls == harness.calls() <= open_count // 100 + 4
    assert len(set(harness.requested_pages())) == run.calls


def test_search_below_depth_is_read_in_windows(harness, employer, search, monkeypatch):
    """The same with fewer vacancies: hh.ru's depth is patched to be smaller."""
    monkeypatch.setattr(pagination, "MAX_DEPTH", 100)
    query_id, _ = search
    published = []
    for _ in range(4):
        published += publish(harness.sandbox, employer, 40)
        harness.sandbox.advance(600)
    harness.reset_calls()
    harness.minute(0)
    assert ended(harness, query_id) == ("completed", None)
    assert set(harness.matches(query_id)) == set(published)
    assert len(set(harness.requested_pages())) == harness.calls() == 2
    check_invariants(harness)


def test_too_many_vacancies_at_one_moment_make_run_partial(harness, employer, search, monkeypatch):
    monkeypatch.setattr(pagination, "MAX_DEPTH", 100)
    query_id, search_id = search
    old = publish(harness.sandbox, employer, 2)
    harness.sandbox.advance(900)
    publish(harness.sandbox, employer, 230)
    harness.sandbox.advance(900)
    harness.minute(0)
    assert ended(harness, query_id) == ("partial", "too_many")
    assert set(old) <= set(harness.matches(query_id))
    completed = harness.events(harness.account_of(search_id), "fetch.completed")[-1]["data"]
    assert (completed["state"], completed["reason"]) == ("partial", "too_many")
    # A search that was not read in full is read in full the next time.
    harness.minute(HALF_AN_HOUR)
    assert harness.run(query_id).calls > 1


def test_repeated_vacancy_makes_the_search_read_again(harness, employer, search):
    query_id, _ = search
    published = publish(harness.sandbox, employer, 6)
    harness.sandbox.advance(HALF_AN_HOUR)
    harness.sandbox.fault("repeated_item", path="/vacancies", times=1)
    harness.minute(0)
    run = harness.run(query_id)
    assert (run.state, run.reason, run.found, run.fetched, run.new) == (
        *("completed", None),
        *(6, 6, 6),
    )
    assert set(harness.matches(query_id)) == set(published)
    assert run.calls == 2


def test_missing_vacancy_in_two_readings_makes_run_partial(harness, employer, search):
    query_id, _ = search
    publish(harness.sandbox, employer, 6)
    harness.sandbox.advance(HALF_AN_HOUR)
    harness.sandbox.fault("repeated_item", path="/vacancies")
    harness.minute(0)
    assert ended(harness, query_id) == ("partial", "fewer_than_found")
    run = harness.run(query_id)
    assert (run.found, run.fetched, run.calls) == (6, 5, 2)
    row = harness.connection.execute(
        "SELECT plan, (SELECT full_from FROM search_queries WHERE id = query_id) AS full_from"
        " FROM fetch_runs WHERE id = %s",
        [run.id],
    ).fetchone()
    assert row["full_from"], "the next run need not be full"
    assert "seen" not in row["plan"], "the ids are not kept with the run"
    # The next run is incremental, and can be counted as well: it reaches the last page.
    harness.minute(HALF_AN_HOUR)
    assert ended(harness, query_id) == ("partial", "fewer_than_found")
    harness.sandbox.control("DELETE", "/faults")
    harness.minute(HALF_AN_HOUR)
    assert ended(harness, query_id) == ("completed", None)
    assert harness.run(query_id).calls == 1
    assert len(harness.matches(query_id)) == 6


def test_vacancy_that_a_full_run_missed_is_announced_to_a_later_search(harness, employer, search):
    """hh.ru: pages may omit vacancies; only a run that missed none shows that one is gone."""
    query_id, _ = search
    publish(harness.sandbox, employer, 6)
    harness.sandbox.advance(HALF_AN_HOUR)
    harness.minute(0)
    assert ended(harness, query_id) == ("completed", None)
    harness.sandbox.fault("repeated_item", path="/vacancies")
    harness.minute(25 * 3600)
    assert ended(harness, query_id) == ("partial", "fewer_than_found")
    later_search = harness.save(query_id)
    harness.minute(61)
    [event] = harness.events(harness.account_of(later_search), "jobs.new")
    assert len(event["data"]["jobs"]) == 6
    check_invariants(harness)


def disturb(harness, monkeypatch, disturbance):
    """Call *disturbance* before each request, with it and the number of earlier ones."""
    inner = harness.hh.search
    requests = []

    def search(request):
        disturbance(request, len(requests))
        requests.append(request)
        return inner(request)

    monkeypatch.setattr(harness.hh, "search", search)


def test_repeated_vacancy_in_incremental_run_is_read_again(harness, employer, search, monkeypatch):
    query_id, _ = search
    publish(harness.sandbox, employer, 3)
    harness.minute(0)
    harness.sandbox.advance(7_200)
    fresh = publish(harness.sandbox, employer, 205)
    harness.sandbox.advance(600)

    def repeat(request, number):
        if number == 1:
            harness.sandbox.fault("repeated_item", path="/vacancies", times=1)

    disturb(harness, monkeypatch, repeat)
    harness.minute(0)
    run = harness.run(query_id)
    assert (run.state, run.reason) == ("completed", None)
    # 205 new vacancies and the three from before, each counted once; three pages, twice
    assert (run.found, run.fetched, run.new, run.calls) == (208, 208, 205, 6)
    assert set(fresh) <= set(harness.matches(query_id))
    check_invariants(harness)


def test_repeated_vacancy_in_a_window_rereads_only_the_window(
    harness, employer, search, monkeypatch
):
    monkeypatch.setattr(pagination, "MAX_DEPTH", 100)
    query_id, _ = search
    published = []
    for _ in range(6):
        published += publish(harness.sandbox, employer, 40)
        harness.sandbox.advance(600)

    def repeat(request, number):
        if number == 1:
            harness.sandbox.fault("repeated_item", path="/vacancies", times=1)

    disturb(harness, monkeypatch, repeat)
    harness.reset_calls()
    harness.minute(0)
    run = harness.run(query_id)
    assert (run.state, run.reason, run.fetched) == ("completed", None, 240)
    assert set(harness.matches(query_id)) == set(published)
    pages = harness.requested_pages()
    assert len(pages) == len(set(pages)) + 1
    check_invariants(harness)


def test_lasting_repetition_in_a_window_makes_run_partial(harness, employer, search, monkeypatch):
    monkeypatch.setattr(pagination, "MAX_DEPTH", 100)
    query_id, search_id = search
    for _ in range(4):
        publish(harness.sandbox, employer, 40)
        harness.sandbox.advance(600)

    def repeat(request, number):
        if request.date_to is not None:
            harness.sandbox.fault("repeated_item", path="/vacancies", times=1)

    disturb(harness, monkeypatch, repeat)
    harness.minute(0)
    assert ended(harness, query_id) == ("partial", "fewer_than_found")
    completed = harness.events(harness.account_of(search_id), "fetch.completed")[-1]["data"]
    assert (completed["state"], completed["reason"]) == ("partial", "fewer_than_found")


def test_vacancy_on_two_pages_is_reread_unless_found_explains_it(
    harness, employer, search, monkeypatch
):
    """If a vacancy is posted and another closes further down, the number found stays the same, and
    a vacancy is seen on two pages, as if in the place of another. If a vacancy is only posted, the
    number found explains the repetition."""
    query_id, _ = search
    old = publish(harness.sandbox, employer, 1)
    harness.minute(0)
    harness.sandbox.advance(7_200)
    fresh = publish(harness.sandbox, employer, 150)
    posted = []

    def post_one(request, number):
        if number == 1:
            posted.extend(publish(harness.sandbox, employer, 1))

    disturb(harness, monkeypatch, post_one)
    harness.minute(0)
    assert ended(harness, query_id) == ("completed", None)
    assert harness.run(query_id).calls == 2

    harness.sandbox.advance(90_000)  # the next run is full
    more = publish(harness.sandbox, employer, 120)

    def post_and_close(request, number):
        if number == 1:
            posted.extend(publish(harness.sandbox, employer, 1))
            harness.sandbox.control("POST", f"/vacancies/{old[0]}/close")

    disturb(harness, monkeypatch, post_and_close)
    harness.minute(0)
    assert ended(harness, query_id) == ("completed", None)
    assert harness.run(query_id).calls == 3 + 3
    assert {*fresh, *more, posted[-1]} <= set(harness.matches(query_id))


def test_vacancy_on_two_pages_counts_once_and_displaced_is_read(harness, employer, search):
    query_id, search_id = search
    published = publish(harness.sandbox, employer, 103)
    harness.sandbox.advance(HALF_AN_HOUR)
    harness.sandbox.fault("overlapping_pages", times=1)
    harness.minute(0)
    run = harness.run(query_id)
    assert (run.state, run.reason, run.found, run.fetched, run.new) == (
        *("completed", None),
        *(103, 103, 103),
    )
    assert run.calls == 4
    assert set(harness.matches(query_id)) == set(published)
    completed = harness.events(harness.account_of(search_id), "fetch.completed")[-1]["data"]
    assert completed["told"] == 103
    check_invariants(harness)


def test_pages_overlapping_in_two_readings_make_run_partial(harness, employer, search):
    query_id, _ = search
    oldest = publish(harness.sandbox, employer, 103)[0]
    harness.sandbox.advance(HALF_AN_HOUR)
    harness.sandbox.fault("overlapping_pages")
    harness.minute(0)
    assert ended(harness, query_id) == ("partial", "fewer_than_found")
    run = harness.run(query_id)
    assert (run.found, run.fetched) == (103, 102)
    assert oldest not in harness.matches(query_id)


def test_search_for_everything_ends_at_the_maximum_of_calls(harness, employer, search, monkeypatch):
    monkeypatch.setattr(pagination, "MAX_CALLS", 1)
    query_id, _ = search
    publish(harness.sandbox, employer, 101)
    harness.sandbox.advance(HALF_AN_HOUR)
    harness.minute(0)
    assert ended(harness, query_id) == ("partial", "too_deep")
    # The newest were read: the next run is incremental.
    [fresh] = publish(harness.sandbox, employer, 1)
    harness.minute(HALF_AN_HOUR)
    assert ended(harness, query_id) == ("completed", None)
    assert harness.run(query_id).calls == 1
    assert harness.matches(query_id)[-1] == fresh


def test_vacancy_closed_during_a_run_hides_no_other(harness, employer, search, monkeypatch):
    query_id, _ = search
    published = []
    for _ in range(3):
        published += publish(harness.sandbox, employer, 80)
        harness.sandbox.advance(600)
    newest = published[-1]
    inner = harness.hh.search

    def search_and_close(request):
        page = inner(request)
        if request.page == 0 and request.date_to is None:
            harness.sandbox.control("POST", f"/vacancies/{newest}/close")
        return page

    monkeypatch.setattr(harness.hh, "search", search_and_close)
    harness.minute(0)
    assert ended(harness, query_id) == ("completed", None)
    assert set(harness.matches(query_id)) == set(published)
    # One page more for the window below.
    assert harness.run(query_id).calls <= 5


# ── failures ─────────────────────────────────────────────────────────────────────────────────────


def test_too_many_requests_defer_the_run(harness, employer, search):
    query_id, _ = search
    publish(harness.sandbox, employer, 1)
    harness.sandbox.fault("too_many_requests", path="/vacancies", times=2)
    harness.reset_calls()
    harness.minute(0)
    assert ended(harness, query_id) == ("running", "hh_busy")
    assert harness.work(query_id) is False  # not yet
    assert harness.calls() == 1
    harness.minute(6)
    assert harness.calls() == 2
    harness.minute(6)
    assert ended(harness, query_id) == ("completed", None)
    assert harness.calls() == 3


def test_missing_pacer_slot_is_waited_for_in_place(harness, employer, search):
    query_id, _ = search
    publish(harness.sandbox, employer, 1)
    pacer = Pacer(settings.PACER_TABLE())
    pacer.pause("busy", 1)
    harness.minute(0)
    assert ended(harness, query_id) == ("completed", None)
    check_invariants(harness)


def test_captcha_ends_the_run_and_is_reported(harness, employer, search, caplog):
    query_id, search_id = search
    publish(harness.sandbox, employer, 1)
    harness.sandbox.fault("captcha", times=1)
    harness.reset_calls()
    harness.minute(0)
    assert ended(harness, query_id) == ("failed", "captcha")
    assert harness.calls() == 1
    events = harness.events(harness.account_of(search_id))
    assert [row["type"] for row in events] == ["fetch.completed"]
    assert (events[0]["data"]["state"], events[0]["data"]["reason"]) == ("failed", "captcha")
    # The run was not complete: the next one is full.
    harness.minute(HALF_AN_HOUR)
    assert ended(harness, query_id) == ("completed", None)
    check_invariants(harness)


def test_vacancies_fetched_before_a_captcha_are_announced(harness, employer, search):
    query_id, search_id = search
    publish(harness.sandbox, employer, 120)
    inner = harness.hh.search

    def search_with_captcha(request):
        if request.page == 1:
            harness.sandbox.fault("captcha", times=1)
        return inner(request)

    harness.hh.search = search_with_captcha
    harness.minute(0)
    run = harness.run(query_id)
    assert (run.state, run.reason, run.fetched, run.calls) == ("partial", "captcha", 100, 2)
    completed = harness.events(harness.account_of(search_id), "fetch.completed")[-1]["data"]
    assert completed["told"] == 100
    harness.hh.search = inner
    harness.minute(HALF_AN_HOUR)
    check_invariants(harness)


@pytest.mark.parametrize(
    ("fault", "reason"), [("legal_block", "hh_region_blocked"), ("vpn_check", "hh_region_blocked")]
)
def test_blocked_region_ends_the_run(harness, employer, search, fault, reason, monkeypatch):
    query_id, _ = search
    harness.sandbox.fault(fault, path="/vacancies")
    harness.minute(0)
    assert ended(harness, query_id) == ("failed", reason)


def test_bad_argument_ends_the_run(harness):
    query_id = harness.query(area="999999")
    harness.save(query_id)
    harness.minute(0)
    assert ended(harness, query_id) == ("failed", "bad_argument")


def test_run_backs_off_while_hh_is_down_and_then_completes(harness, employer, search):
    query_id, _ = search
    publish(harness.sandbox, employer, 1)
    harness.sandbox.fault("server_error", path="/vacancies", times=2)
    harness.minute(0)
    assert ended(harness, query_id) == ("running", "hh_unavailable")
    assert harness.work(query_id) is False  # not yet
    assert harness.run(query_id).calls == 1
    harness.minute(11)
    assert ended(harness, query_id) == ("running", "hh_unavailable")
    harness.minute(11)
    assert harness.run(query_id).calls == 2
    harness.minute(31)
    assert ended(harness, query_id) == ("completed", None)
    assert harness.run(query_id).calls == 3
    check_invariants(harness)


def test_run_fails_after_five_attempts(harness, employer, search):
    query_id, search_id = search
    harness.sandbox.fault("bad_gateway", path="/vacancies")
    for attempt in range(5):
        assert harness.run(query_id).state == "running" if attempt else True
        harness.minute(301)
    assert ended(harness, query_id) == ("failed", "hh_unavailable")
    events = harness.events(harness.account_of(search_id), "fetch.completed")
    assert [row["data"]["reason"] for row in events] == ["hh_unavailable"]


def find_nothing_after(harness, employer, published):
    """Complete a run that finds the *published* vacancies; hh.ru's answers are empty from then."""
    publish(harness.sandbox, employer, published)
    harness.minute(0)
    harness.sandbox.fault("empty", path="/vacancies")


def test_collapsed_search_is_partial_and_keeps_its_state(harness, employer, search):
    query_id, search_id = search
    find_nothing_after(harness, employer, 6)
    before = canonical_searches.read(query_id, connection=harness.connection)
    harness.minute(HALF_AN_HOUR)
    assert ended(harness, query_id) == ("partial", "collapsed")
    after = canonical_searches.read(query_id, connection=harness.connection)
    for name in ("complete_from", "full_from", "full_found", "last_match"):
        assert after[name] == before[name]
    event = harness.events(harness.account_of(search_id))[-1]
    assert (event["type"], event["data"]["reason"]) == ("fetch.completed", "collapsed")
    harness.sandbox.control("DELETE", "/faults")
    harness.minute(HALF_AN_HOUR)
    assert ended(harness, query_id) == ("completed", None)


def test_collapse_that_lasts_a_day_is_accepted(harness, employer, search):
    query_id, _ = search
    find_nothing_after(harness, employer, 6)
    harness.minute(HALF_AN_HOUR)
    harness.minute(20 * 3600)
    assert ended(harness, query_id) == ("partial", "collapsed")
    harness.minute(5 * 3600)
    assert ended(harness, query_id) == ("completed", None)
    assert canonical_searches.read(query_id, connection=harness.connection)["full_found"] == 0
    harness.minute(HALF_AN_HOUR)
    assert ended(harness, query_id) == ("completed", None)


def test_disappearance_of_few_vacancies_is_no_collapse(harness, employer, search):
    query_id, _ = search
    find_nothing_after(harness, employer, 4)
    harness.minute(HALF_AN_HOUR)
    assert ended(harness, query_id) == ("completed", None)


def test_run_that_takes_too_long_is_ended(harness, search):
    query_id, _ = search
    harness.tick()
    harness.sandbox.advance(7 * 3600)
    harness.work(query_id)
    assert ended(harness, query_id) == ("failed", "too_long")


def test_exhausted_budget_leaves_work_for_another_wake_up(harness, employer, search, monkeypatch):
    query_id, _ = search
    publish(harness.sandbox, employer, 120)
    harness.tick()
    monkeypatch.setattr(run_worker, "RUN_BUDGET_S", 0.0)
    assert harness.work(query_id) is True
    assert harness.run(query_id).calls == 0
    monkeypatch.setattr(run_worker, "RUN_BUDGET_S", 60.0)
    assert harness.work(query_id) is False
    assert ended(harness, query_id) == ("completed", None)


def test_worker_with_an_expired_lease_changes_nothing(harness, employer, search, monkeypatch):
    query_id, search_id = search
    publish(harness.sandbox, employer, 2)
    inner = harness.hh.search

    def search_slowly(request):
        page = inner(request)
        monkeypatch.setattr(harness.hh, "search", inner)
        harness.sandbox.advance(run_worker.LEASE_S + 1)
        harness.work(query_id)
        assert ended(harness, query_id) == ("completed", None)
        return page

    monkeypatch.setattr(harness.hh, "search", search_slowly)
    harness.minute(0)
    run = harness.run(query_id)
    assert (run.calls, run.fetched, run.new) == (1, 2, 2)
    assert len(harness.events(harness.account_of(search_id), "fetch.completed")) == 1
    check_invariants(harness)


def test_runs_are_deleted_after_ninety_days(harness, employer, search):
    query_id, search_id = search
    harness.minute(0)
    moment = harness.world.now()
    for days, gone in ((89, 0), (91, 1), (91, 0)):
        now = moment + timedelta(days=days)
        assert run_store.delete_old(connection=harness.connection, now=now, most=10) == gone
    assert run_store.latest(query_id, connection=harness.connection) is None
    assert len(harness.minute(HALF_AN_HOUR)) == 1
    assert ended(harness, query_id) == ("completed", None)
    assert harness.events(harness.account_of(search_id)) == []  # neither run found anything new


# ── wake-ups ─────────────────────────────────────────────────────────────────────────────────────


def test_doubled_and_late_wake_ups_make_no_calls(harness, employer, search):
    query_id, _ = search
    publish(harness.sandbox, employer, 2)
    harness.minute(0)
    harness.reset_calls()
    for _ in range(3):
        assert harness.work(query_id) is False
    harness.sandbox.advance(HALF_AN_HOUR)
    assert harness.work(query_id) is False  # due, but not claimed yet
    assert harness.calls() == 0
    assert len(harness.events(harness.account_of(search[1]), "fetch.completed")) == 1


def test_lost_wake_up_is_sent_again(harness, employer, search):
    query_id, _ = search
    harness.tick()
    harness.wake_ups()  # lost
    assert harness.minute() == [str(query_id)]
    assert ended(harness, query_id) == ("completed", None)
    assert harness.minute() == []


def test_missed_notifications_are_sent_by_another_worker(harness, employer, search, monkeypatch):
    query_id, search_id = search
    publish(harness.sandbox, employer, 2)
    with monkeypatch.context() as patched:
        patched.setattr(run_worker._RunWorker, "notify", lambda self: None)
        patched.setattr(run_worker._RunWorker, "read_details", lambda self: None)
        patched.setattr(run_store, "unnotified_runs", lambda *_, **__: [])
        harness.minute(0)
    assert harness.events(harness.account_of(search_id)) == []
    assert harness.minute() == [str(query_id)]
    assert len(harness.events(harness.account_of(search_id), "fetch.completed")) == 1
    check_invariants(harness)


def test_functions_process_their_sample_events(core, harness, employer, search):
    query_id, search_id = search
    publish(harness.sandbox, employer, 2)
    tick, wake_up = (
        json.loads((REPOSITORY / "events" / f"{name}.json").read_text())
        for name in ("fetcher", "fetch_worker")
    )
    context = SimpleNamespace(aws_request_id="an-invocation")
    ticked = fetcher_app.handler(tick, context)
    assert (ticked["begun"], ticked["rung"]) == (1, 1)
    assert harness.wake_ups() == [str(query_id)]
    # The search of the sample does not exist.
    assert fetch_worker_app.handler(wake_up, context) == {"batchItemFailures": []}
    wake_up["Records"][0]["body"] = json.dumps({"query_id": str(query_id)})
    assert fetch_worker_app.handler(wake_up, context) == {"batchItemFailures": []}
    assert ended(harness, query_id) == ("completed", None)
    assert len(harness.events(harness.account_of(search_id), "jobs.new")) == 1


# ── requested runs ───────────────────────────────────────────────────────────────────────────────


def run_now(harness, query_id, search_id, **options):
    return run_worker.run_now(query_id, search_id, harness.context, **options)


def test_requested_run_is_returned_when_it_ends(harness, employer, search):
    query_id, search_id = search
    publish(harness.sandbox, employer, 2)
    run = run_now(harness, query_id, search_id)
    assert (run.state, run.trigger, run.new) == ("completed", "request", 2)
    assert len(harness.events(harness.account_of(search_id), "jobs.new")) == 1
    assert harness.minute() == []  # the next run is half an hour away
    check_invariants(harness)


def test_request_joins_the_current_run(harness, employer, search):
    query_id, search_id = search
    publish(harness.sandbox, employer, 2)
    harness.tick()
    other = harness.save(query_id)
    run = run_now(harness, query_id, other)
    assert (run.state, run.trigger) == ("completed", "request")  # a person waits for it now
    for saved_id in (search_id, other):
        assert len(harness.events(harness.account_of(saved_id), "jobs.new")) == 1


def test_request_while_hh_is_down_returns_the_waiting_run(harness, employer, search):
    query_id, search_id = search
    harness.sandbox.fault("server_error", path="/vacancies", times=1)
    run = run_now(harness, query_id, search_id)
    assert (run.state, run.reason) == ("running", "hh_unavailable")
    assert run.finished_at is None
    harness.minute(11)
    assert ended(harness, query_id) == ("completed", None)


def test_requested_run_over_its_budget_continues_alone(harness, employer, search):
    query_id, search_id = search
    run = run_now(harness, query_id, search_id, budget_s=0.0)
    assert run.state == "running"
    assert harness.wake_ups() == [str(query_id)]
    harness.work(query_id)
    assert ended(harness, query_id) == ("completed", None)


def test_details_are_read_after_the_run_unless_another_waits(
    harness, employer, search, monkeypatch
):
    monkeypatch.setenv("FETCH_DETAILS_PER_RUN", "7")
    query_id, _ = search
    publish(harness.sandbox, employer, 9)
    waiting = harness.query(employer_id=new_employer())
    harness.save(waiting)
    harness.reset_calls()
    harness.tick()
    harness.work(query_id)
    assert harness.calls("GET /vacancies/{vacancy_id}") == 0
    harness.work(waiting)
    harness.wake_ups()
    harness.sandbox.advance(60)
    harness.tick()  # no page is to be requested
    assert harness.wake_ups() == [str(query_id)]
    harness.work(query_id)
    assert harness.calls("GET /vacancies/{vacancy_id}") == 7
    read = harness.connection.execute("SELECT count(*) AS n FROM jobs WHERE detail IS NOT NULL")
    assert read.fetchone()["n"] == 7
    harness.tick()
    harness.work(query_id)
    assert harness.calls("GET /vacancies/{vacancy_id}") == 9
    harness.wake_ups()
    harness.tick()
    assert harness.wake_ups() == []


def test_jobs_alike_in_excerpts_are_both_announced_after_details(
    harness, employer, search, monkeypatch
):
    monkeypatch.setenv("FETCH_DETAILS_PER_RUN", "30")
    _, search_id = search
    shown = (
        "Опыт работы с людьми от одного года, грамотная речь и желание учиться новому каждый день"
        " вместе с нашей командой в магазине рядом с домом, ответственность, аккуратность и"
        " доброжелательность в любое время года"
    )
    published = []
    for number in (1, 2):
        fresh = [
            " ".join(uuid.uuid5(uuid.NAMESPACE_OID, f"{number}-{n}-{m}").hex for m in range(8))
            for n in range(8)
        ]
        published += [
            harness.sandbox.publish(
                "Продавец",
                employer={"id": employer, "name": f"Завод {employer}"},
                requirements=[shown, *fresh],
                duties=[shown, *fresh],
                experience="noExperience",
                employment_form="FULL",
                work_format=["ON_SITE"],
                salary=None,  # a generated one may make two grades of them
            )["id"]
        ]
    harness.sandbox.advance(HALF_AN_HOUR)
    harness.minute(0)
    account_id = harness.account_of(search_id)

    def announced():
        events = harness.events(account_id, "jobs.new")
        return [[job["id"] for job in event["data"]["jobs"]] for event in events]

    assert announced() == [[published[1]]], "the newest, and the other as the same job"
    harness.minute(HALF_AN_HOUR)
    assert announced() == [[published[1]], [published[0]]]
    harness.minute(HALF_AN_HOUR)
    assert len(announced()) == 2
    check_invariants(harness)


def test_details_wait_for_a_run_that_waits_for_the_pacer(harness, employer, search, monkeypatch):
    monkeypatch.setenv("FETCH_DETAILS_PER_RUN", "7")
    query_id, _ = search
    publish(harness.sandbox, employer, 2)
    other = harness.query(employer_id=new_employer())
    harness.save(other)
    harness.reset_calls()
    harness.tick()
    # A worker has the run; it deferred it when it began to wait for the pacer.
    run = run_store.running(other, connection=harness.connection)
    until = harness.world.now() + timedelta(seconds=120)
    held = run_store.defer(run, until, reason=None, connection=harness.connection)
    harness.work(query_id)
    assert harness.calls("GET /vacancies/{vacancy_id}") == 0
    run_store.defer(held, until, reason="hh_busy", connection=harness.connection)
    harness.work(query_id)
    assert harness.calls("GET /vacancies/{vacancy_id}") == 2


def test_searches_that_find_the_same_share_one_query(harness):
    plain = harness.query(text="сварщик", area=["1", "2"])
    assert plain == harness.query(
        text="сварщик", area=["2", "1", "1"], order_by="salary_desc", page=3, per_page=20
    )
    assert plain == harness.query(
        text="сварщик", area=["1", "2"], premium=True, only_with_salary=False
    )
    assert plain != harness.query(text="сварщик", area=["1"])
    assert plain != harness.query(text="сварщик", area=["1", "2"], no_magic=False)
    row = canonical_searches.read(plain, connection=harness.connection)
    assert canonical_searches.parameters_of(row).area == ("1", "2")
    assert isinstance(plain, uuid.UUID)
