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
    """A query of one employer's vacancies, and the saved search of somebody who wants them."""
    query_id = harness.query(employer_id=employer)
    return query_id, harness.save(query_id)


def ended(harness, query_id):
    run = harness.run(query_id)
    return run.state, run.reason


def test_a_first_run_reads_all_and_tells_it(harness, employer, search):
    query_id, search_id = search
    published = publish(harness.sandbox, employer, 103)
    harness.forget_calls()
    assert harness.minute(0) == [str(query_id)]
    run = harness.run(query_id)
    assert (run.state, run.reason, run.trigger) == ("completed", None, "schedule")
    assert (run.found, run.fetched, run.new, run.changed, run.failed) == (103, 103, 103, 0, 0)
    assert (run.calls, harness.calls()) == (2, 2)
    assert run.finished_at >= run.started_at
    assert set(harness.matches(query_id)) == set(published)
    told = harness.events(harness.account_of(search_id))
    assert {row["type"] for row in told[:-1]} == {"jobs.new"}
    assert told[-1]["type"] == "fetch.completed"
    assert (told[-1]["data"]["state"], told[-1]["data"]["told"]) == ("completed", 103)
    check_invariants(harness)


def test_a_new_vacancy_is_found_by_the_next_run_with_one_call(harness, employer, search):
    query_id, search_id = search
    publish(harness.sandbox, employer, 130)
    harness.sandbox.advance(HALF_AN_HOUR)
    harness.minute(0)
    harness.sandbox.advance(HALF_AN_HOUR)
    [fresh] = publish(harness.sandbox, employer, 1)
    harness.forget_calls()
    assert harness.minute(0) == [str(query_id)]
    assert harness.calls() == 1
    run = harness.run(query_id)
    assert (run.state, run.found, run.fetched, run.new) == ("completed", 131, 100, 1)
    told = harness.events(harness.account_of(search_id), "jobs.new")[-1]
    assert [one["id"] for one in told["data"]["jobs"]] == [fresh]
    check_invariants(harness)


def test_after_a_day_all_is_read_again(harness, employer, search):
    query_id, _ = search
    publish(harness.sandbox, employer, 101)
    harness.sandbox.advance(HALF_AN_HOUR)
    harness.minute(0)
    harness.forget_calls()
    harness.minute(HALF_AN_HOUR)
    assert harness.calls() == 1
    harness.minute(24 * 3600)
    assert harness.calls() == 3
    row = canonical_searches.read(query_id, connection=harness.connection)
    assert row["full_from"] == row["complete_from"] == harness.run(query_id).started_at
    assert row["full_found"] == 101


def test_nothing_is_asked_before_it_is_due(harness, employer, search):
    harness.minute(0)
    harness.forget_calls()
    assert harness.minute(60) == []
    assert harness.minute(HALF_AN_HOUR / 2) == []
    assert harness.calls() == 0
    assert len(harness.minute(HALF_AN_HOUR)) == 1


def test_equal_searches_are_asked_once_and_those_due_soon_come_along(harness, employer):
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
    harness.forget_calls()
    harness.minute(0)
    assert harness.calls() == 1
    told = {
        one: len(harness.events(harness.account_of(one), "jobs.new")) for one in (due, soon, late)
    }
    assert told == {due: 1, soon: 1, late: 0}
    harness.minute(20 * 60 + 1)
    assert len(harness.events(harness.account_of(late), "jobs.new")) == 1
    check_invariants(harness)


def test_two_searches_of_a_person_tell_a_vacancy_once(harness, employer):
    account_id = harness.world.account()
    publish(harness.sandbox, employer, 2)
    other = new_employer()
    publish(harness.sandbox, other, 1)
    for ids in ([employer], [employer, other]):
        harness.save(harness.query(employer_id=ids), account_id)
    harness.minute(0)
    assert sum(row["data"]["told"] for row in harness.events(account_id, "fetch.completed")) == 3
    check_invariants(harness)


def test_outside_of_its_hours_nothing_is_asked(harness, employer, search):
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
def big(tmp_path):
    """An hh.ru that has more than anybody can page to."""
    options = ("--vacancies", "5000", "--calls-per-second", "1000000")
    with run_sandbox(tmp_path / "sandbox", *options) as sandbox:
        yield sandbox


def test_all_of_a_search_of_five_thousand_is_read(big, connected, monkeypatch):
    connected.sandbox, connected.clock = big, LocalClock(big.data_dir / FILE_NAME)
    big.control("POST", "/clock", {"rate": 0})
    monkeypatch.setenv("HH_ACCESS_TOKEN", big.token())
    monkeypatch.setenv("FETCH_DETAILS_PER_RUN", "0")
    harness = FetchHarness(connected)
    query_id = harness.query(text="")
    harness.save(query_id)
    harness.tick()
    harness.work(query_id)
    run = harness.run(query_id)
    there = big.control("GET", "/state")["vacancies"]["open"]
    assert there > 4_000
    assert (run.state, run.found, run.new) == ("completed", there, there)
    assert len(harness.matches(query_id)) == there
    assert run.calls == harness.calls() <= there // 100 + 4
    assert len(set(harness.pages_asked())) == run.calls


def test_more_than_hh_shows_is_read_in_windows(harness, employer, search, monkeypatch):
    """The same with fewer: hh.ru's depth is taken for less than it is."""
    monkeypatch.setattr(pagination, "MAX_DEPTH", 100)
    query_id, _ = search
    published = []
    for _ in range(4):
        published += publish(harness.sandbox, employer, 40)
        harness.sandbox.advance(600)
    harness.forget_calls()
    harness.minute(0)
    assert ended(harness, query_id) == ("completed", None)
    assert set(harness.matches(query_id)) == set(published)
    assert len(set(harness.pages_asked())) == harness.calls() == 2
    check_invariants(harness)


def test_too_many_at_one_moment_are_said(harness, employer, search, monkeypatch):
    monkeypatch.setattr(pagination, "MAX_DEPTH", 100)
    query_id, search_id = search
    old = publish(harness.sandbox, employer, 2)
    harness.sandbox.advance(900)
    publish(harness.sandbox, employer, 230)
    harness.sandbox.advance(900)
    harness.minute(0)
    assert ended(harness, query_id) == ("partial", "too_many")
    assert set(old) <= set(harness.matches(query_id))
    told = harness.events(harness.account_of(search_id), "fetch.completed")[-1]["data"]
    assert (told["state"], told["reason"]) == ("partial", "too_many")
    # What was not read whole is read whole the next time.
    harness.minute(HALF_AN_HOUR)
    assert harness.run(query_id).calls > 1


def test_one_vacancy_twice_in_the_place_of_another_is_noticed_and_read_again(
    harness, employer, search
):
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


def test_fewer_vacancies_than_were_found_in_two_readings_make_the_run_partial(
    harness, employer, search
):
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
    assert row["full_from"], "it is not read whole each time"
    assert "seen" not in row["plan"], "nor are the ids kept with the run"
    # The next one is of what is new, and can be compared as well: it has reached the last page.
    harness.minute(HALF_AN_HOUR)
    assert ended(harness, query_id) == ("partial", "fewer_than_found")
    harness.sandbox.control("DELETE", "/faults")
    harness.minute(HALF_AN_HOUR)
    assert ended(harness, query_id) == ("completed", None)
    assert harness.run(query_id).calls == 1
    assert len(harness.matches(query_id)) == 6


def disturb(harness, monkeypatch, disturbance):
    """Before each question, *disturbance* is called with it and how many there were before."""
    inner = harness.hh.search
    asked = []

    def search(question):
        disturbance(question, len(asked))
        asked.append(question)
        return inner(question)

    monkeypatch.setattr(harness.hh, "search", search)


def test_a_vacancy_twice_in_a_run_of_what_is_new_is_noticed_and_read_again(
    harness, employer, search, monkeypatch
):
    query_id, _ = search
    publish(harness.sandbox, employer, 3)
    harness.minute(0)
    harness.sandbox.advance(7_200)
    fresh = publish(harness.sandbox, employer, 205)
    harness.sandbox.advance(600)

    def repeat(question, number):
        if number == 1:
            harness.sandbox.fault("repeated_item", path="/vacancies", times=1)

    disturb(harness, monkeypatch, repeat)
    harness.minute(0)
    run = harness.run(query_id)
    assert (run.state, run.reason) == ("completed", None)
    # 205 new ones and the three from before, each counted once; three pages, twice
    assert (run.found, run.fetched, run.new, run.calls) == (208, 208, 205, 6)
    assert set(fresh) <= set(harness.matches(query_id))
    check_invariants(harness)


def test_a_vacancy_twice_in_a_window_is_noticed_and_only_the_window_read_again(
    harness, employer, search, monkeypatch
):
    monkeypatch.setattr(pagination, "MAX_DEPTH", 100)
    query_id, _ = search
    published = []
    for _ in range(6):
        published += publish(harness.sandbox, employer, 40)
        harness.sandbox.advance(600)

    def repeat(question, number):
        if number == 1:
            harness.sandbox.fault("repeated_item", path="/vacancies", times=1)

    disturb(harness, monkeypatch, repeat)
    harness.forget_calls()
    harness.minute(0)
    run = harness.run(query_id)
    assert (run.state, run.reason, run.fetched) == ("completed", None, 240)
    assert set(harness.matches(query_id)) == set(published)
    pages = harness.pages_asked()
    assert len(pages) == len(set(pages)) + 1
    check_invariants(harness)


def test_a_vacancy_twice_in_every_reading_of_a_window_makes_the_run_partial(
    harness, employer, search, monkeypatch
):
    monkeypatch.setattr(pagination, "MAX_DEPTH", 100)
    query_id, search_id = search
    for _ in range(4):
        publish(harness.sandbox, employer, 40)
        harness.sandbox.advance(600)

    def repeat(question, number):
        if question.date_to is not None:
            harness.sandbox.fault("repeated_item", path="/vacancies", times=1)

    disturb(harness, monkeypatch, repeat)
    harness.minute(0)
    assert ended(harness, query_id) == ("partial", "fewer_than_found")
    told = harness.events(harness.account_of(search_id), "fetch.completed")[-1]["data"]
    assert (told["state"], told["reason"]) == ("partial", "fewer_than_found")


def test_one_on_two_pages_because_another_came_is_read_again_unless_found_says_so(
    harness, employer, search, monkeypatch
):
    """One comes and another closes further down: as many are found as before, and one is seen on
    two pages, as if it had taken the place of another. Where one only comes, that is all."""
    query_id, _ = search
    old = publish(harness.sandbox, employer, 1)
    harness.minute(0)
    harness.sandbox.advance(7_200)
    fresh = publish(harness.sandbox, employer, 150)
    came = []

    def come(question, number):
        if number == 1:
            came.extend(publish(harness.sandbox, employer, 1))

    disturb(harness, monkeypatch, come)
    harness.minute(0)
    assert ended(harness, query_id) == ("completed", None)
    assert harness.run(query_id).calls == 2

    harness.sandbox.advance(90_000)  # and all is read
    more = publish(harness.sandbox, employer, 120)

    def come_and_close(question, number):
        if number == 1:
            came.extend(publish(harness.sandbox, employer, 1))
            harness.sandbox.control("POST", f"/vacancies/{old[0]}/close")

    disturb(harness, monkeypatch, come_and_close)
    harness.minute(0)
    assert ended(harness, query_id) == ("completed", None)
    assert harness.run(query_id).calls == 3 + 3
    assert {*fresh, *more, came[-1]} <= set(harness.matches(query_id))


def test_a_vacancy_on_two_pages_is_counted_once_and_the_one_that_it_displaced_is_read(
    harness, employer, search
):
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
    told = harness.events(harness.account_of(search_id), "fetch.completed")[-1]["data"]
    assert told["told"] == 103
    check_invariants(harness)


def test_pages_that_overlap_in_two_readings_make_the_run_partial(harness, employer, search):
    query_id, _ = search
    oldest = publish(harness.sandbox, employer, 103)[0]
    harness.sandbox.advance(HALF_AN_HOUR)
    harness.sandbox.fault("overlapping_pages")
    harness.minute(0)
    assert ended(harness, query_id) == ("partial", "fewer_than_found")
    run = harness.run(query_id)
    assert (run.found, run.fetched) == (103, 102)
    assert oldest not in harness.matches(query_id)


def test_a_search_for_everything_does_not_take_all_calls(harness, employer, search, monkeypatch):
    monkeypatch.setattr(pagination, "MAX_CALLS", 1)
    query_id, _ = search
    publish(harness.sandbox, employer, 101)
    harness.sandbox.advance(HALF_AN_HOUR)
    harness.minute(0)
    assert ended(harness, query_id) == ("partial", "too_deep")
    # The newest were read: the next run has to ask for what is new alone.
    [fresh] = publish(harness.sandbox, employer, 1)
    harness.minute(HALF_AN_HOUR)
    assert ended(harness, query_id) == ("completed", None)
    assert harness.run(query_id).calls == 1
    assert harness.matches(query_id)[-1] == fresh


def test_what_closes_while_it_reads_is_not_the_reason_to_miss_another(
    harness, employer, search, monkeypatch
):
    query_id, _ = search
    published = []
    for _ in range(3):
        published += publish(harness.sandbox, employer, 80)
        harness.sandbox.advance(600)
    newest = published[-1]
    inner = harness.hh.search

    def closing(question):
        page = inner(question)
        if question.page == 0 and question.date_to is None:
            harness.sandbox.control("POST", f"/vacancies/{newest}/close")
        return page

    monkeypatch.setattr(harness.hh, "search", closing)
    harness.minute(0)
    assert ended(harness, query_id) == ("completed", None)
    assert set(harness.matches(query_id)) == set(published)
    # one page for the window that makes up for it
    assert harness.run(query_id).calls <= 5


# ── what goes wrong ──────────────────────────────────────────────────────────────────────────────


def test_too_many_calls_are_waited_out(harness, employer, search):
    query_id, _ = search
    publish(harness.sandbox, employer, 1)
    harness.sandbox.fault("too_many_requests", path="/vacancies", times=2)
    harness.forget_calls()
    harness.minute(0)
    assert ended(harness, query_id) == ("running", "hh_busy")
    assert harness.work(query_id) is False  # not yet
    assert harness.calls() == 1
    harness.minute(6)
    assert harness.calls() == 2
    harness.minute(6)
    assert ended(harness, query_id) == ("completed", None)
    assert harness.calls() == 3


def test_no_slot_from_the_pacer_is_waited_for_in_place(harness, employer, search):
    query_id, _ = search
    publish(harness.sandbox, employer, 1)
    pacer = Pacer(settings.text("PACER_TABLE"))
    pacer.pause("busy", 1)
    harness.minute(0)
    assert ended(harness, query_id) == ("completed", None)
    check_invariants(harness)


def test_a_captcha_ends_the_run_and_is_said(harness, employer, search, caplog):
    query_id, search_id = search
    publish(harness.sandbox, employer, 1)
    harness.sandbox.fault("captcha", times=1)
    harness.forget_calls()
    harness.minute(0)
    assert ended(harness, query_id) == ("failed", "captcha")
    assert harness.calls() == 1
    told = harness.events(harness.account_of(search_id))
    assert [row["type"] for row in told] == ["fetch.completed"]
    assert (told[0]["data"]["state"], told[0]["data"]["reason"]) == ("failed", "captcha")
    # It was not complete: the next one reads all.
    harness.minute(HALF_AN_HOUR)
    assert ended(harness, query_id) == ("completed", None)
    check_invariants(harness)


def test_what_was_fetched_before_a_captcha_is_kept_and_told(harness, employer, search):
    query_id, search_id = search
    publish(harness.sandbox, employer, 120)
    inner = harness.hh.search

    def second_wants_a_captcha(question):
        if question.page == 1:
            harness.sandbox.fault("captcha", times=1)
        return inner(question)

    harness.hh.search = second_wants_a_captcha
    harness.minute(0)
    run = harness.run(query_id)
    assert (run.state, run.reason, run.fetched, run.calls) == ("partial", "captcha", 100, 2)
    told = harness.events(harness.account_of(search_id), "fetch.completed")[-1]["data"]
    assert told["told"] == 100
    harness.hh.search = inner
    harness.minute(HALF_AN_HOUR)
    check_invariants(harness)


@pytest.mark.parametrize(
    ("fault", "reason"), [("legal_block", "hh_region_blocked"), ("vpn_check", "hh_region_blocked")]
)
def test_a_blocked_region_ends_the_run(harness, employer, search, fault, reason, monkeypatch):
    query_id, _ = search
    harness.sandbox.fault(fault, path="/vacancies")
    harness.minute(0)
    assert ended(harness, query_id) == ("failed", reason)


def test_an_argument_that_hh_refuses_ends_the_run(harness):
    query_id = harness.query(area="999999")
    harness.save(query_id)
    harness.minute(0)
    assert ended(harness, query_id) == ("failed", "bad_argument")


def test_while_hh_is_down_the_run_waits_longer_each_time_and_goes_on(harness, employer, search):
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


def test_after_five_times_the_run_is_given_up(harness, employer, search):
    query_id, search_id = search
    harness.sandbox.fault("bad_gateway", path="/vacancies")
    for _ in range(5):
        assert harness.run(query_id).state == "running" if _ else True
        harness.minute(301)
    assert ended(harness, query_id) == ("failed", "hh_unavailable")
    told = harness.events(harness.account_of(search_id), "fetch.completed")
    assert [row["data"]["reason"] for row in told] == ["hh_unavailable"]


def test_a_collapse_is_an_alarm_and_no_news(harness, employer, search):
    query_id, search_id = search
    publish(harness.sandbox, employer, 6)
    harness.minute(0)
    before = canonical_searches.read(query_id, connection=harness.connection)
    harness.sandbox.fault("empty", path="/vacancies")
    harness.minute(HALF_AN_HOUR)
    assert ended(harness, query_id) == ("partial", "collapsed")
    after = canonical_searches.read(query_id, connection=harness.connection)
    for name in ("complete_from", "full_from", "full_found", "last_match"):
        assert after[name] == before[name]
    told = harness.events(harness.account_of(search_id))[-1]
    assert (told["type"], told["data"]["reason"]) == ("fetch.completed", "collapsed")
    harness.sandbox.control("DELETE", "/faults")
    harness.minute(HALF_AN_HOUR)
    assert ended(harness, query_id) == ("completed", None)


def test_a_collapse_that_lasts_a_day_is_the_truth(harness, employer, search):
    query_id, _ = search
    publish(harness.sandbox, employer, 6)
    harness.minute(0)
    harness.sandbox.fault("empty", path="/vacancies")
    harness.minute(HALF_AN_HOUR)
    harness.minute(20 * 3600)
    assert ended(harness, query_id) == ("partial", "collapsed")
    harness.minute(5 * 3600)
    assert ended(harness, query_id) == ("completed", None)
    assert canonical_searches.read(query_id, connection=harness.connection)["full_found"] == 0
    harness.minute(HALF_AN_HOUR)
    assert ended(harness, query_id) == ("completed", None)


def test_few_vacancies_may_all_be_gone(harness, employer, search):
    query_id, _ = search
    publish(harness.sandbox, employer, 4)
    harness.minute(0)
    harness.sandbox.fault("empty", path="/vacancies")
    harness.minute(HALF_AN_HOUR)
    assert ended(harness, query_id) == ("completed", None)


def test_a_run_that_nobody_can_end_is_ended(harness, employer, search, monkeypatch):
    query_id, _ = search
    harness.tick()
    harness.sandbox.advance(7 * 3600)
    harness.work(query_id)
    assert ended(harness, query_id) == ("failed", "too_long")


def test_at_the_end_of_the_budget_the_rest_is_left_for_another_bell(
    harness, employer, search, monkeypatch
):
    query_id, _ = search
    publish(harness.sandbox, employer, 120)
    harness.tick()
    monkeypatch.setattr(run_worker, "RUN_BUDGET_S", 0.0)
    assert harness.work(query_id) is True
    assert harness.run(query_id).calls == 0
    monkeypatch.setattr(run_worker, "RUN_BUDGET_S", 60.0)
    assert harness.work(query_id) is False
    assert ended(harness, query_id) == ("completed", None)


def test_a_worker_that_slept_too_long_undoes_what_another_has_done(
    harness, employer, search, monkeypatch
):
    query_id, search_id = search
    publish(harness.sandbox, employer, 2)
    inner = harness.hh.search

    def sleeps(question):
        page = inner(question)
        monkeypatch.setattr(harness.hh, "search", inner)
        harness.sandbox.advance(run_worker.LEASE_S + 1)
        harness.work(query_id)
        assert ended(harness, query_id) == ("completed", None)
        return page

    monkeypatch.setattr(harness.hh, "search", sleeps)
    harness.minute(0)
    run = harness.run(query_id)
    assert (run.calls, run.fetched, run.new) == (1, 2, 2)
    assert len(harness.events(harness.account_of(search_id), "fetch.completed")) == 1
    check_invariants(harness)


def test_runs_are_forgotten_after_ninety_days(harness, employer, search):
    query_id, search_id = search
    harness.minute(0)
    moment = harness.world.now()
    for days, gone in ((89, 0), (91, 1), (91, 0)):
        now = moment + timedelta(days=days)
        assert run_store.delete_old(connection=harness.connection, now=now, most=10) == gone
    assert run_store.latest(query_id, connection=harness.connection) is None
    assert len(harness.minute(HALF_AN_HOUR)) == 1
    assert len(harness.events(harness.account_of(search_id), "fetch.completed")) == 2


# ── bells ────────────────────────────────────────────────────────────────────────────────────────


def test_doubled_and_late_bells_ask_nothing(harness, employer, search):
    query_id, _ = search
    publish(harness.sandbox, employer, 2)
    harness.minute(0)
    harness.forget_calls()
    for _ in range(3):
        assert harness.work(query_id) is False
    harness.sandbox.advance(HALF_AN_HOUR)
    assert harness.work(query_id) is False  # due, but nobody has claimed it
    assert harness.calls() == 0
    assert len(harness.events(harness.account_of(search[1]), "fetch.completed")) == 1


def test_a_lost_bell_rings_again(harness, employer, search):
    query_id, _ = search
    harness.tick()
    harness.bells()  # lost
    assert harness.minute() == [str(query_id)]
    assert ended(harness, query_id) == ("completed", None)
    assert harness.minute() == []


def test_news_that_nobody_told_are_told_by_another(harness, employer, search, monkeypatch):
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


def test_the_functions_do_all_that_from_their_events(core, harness, employer, search):
    query_id, search_id = search
    publish(harness.sandbox, employer, 2)
    tick, bell = (
        json.loads((REPOSITORY / "events" / f"{name}.json").read_text())
        for name in ("fetcher", "fetch_worker")
    )
    context = SimpleNamespace(aws_request_id="an-invocation")
    ticked = fetcher_app.handler(tick, context)
    assert (ticked["begun"], ticked["rung"]) == (1, 1)
    assert harness.bells() == [str(query_id)]
    # Nobody knows the search of the sample any more.
    assert fetch_worker_app.handler(bell, context) == {"batchItemFailures": []}
    bell["Records"][0]["body"] = json.dumps({"query_id": str(query_id)})
    assert fetch_worker_app.handler(bell, context) == {"batchItemFailures": []}
    assert ended(harness, query_id) == ("completed", None)
    assert len(harness.events(harness.account_of(search_id), "jobs.new")) == 1


# ── now ──────────────────────────────────────────────────────────────────────────────────────────


def now(harness, query_id, search_id, **options):
    return run_worker.run_now(
        query_id,
        search_id,
        hh=harness.hh,
        connection=harness.connection,
        clock=harness.world.now,
        request_id="a-person",
        **options,
    )


def test_who_asks_now_is_answered_with_the_run(harness, employer, search):
    query_id, search_id = search
    publish(harness.sandbox, employer, 2)
    run = now(harness, query_id, search_id)
    assert (run.state, run.trigger, run.new) == ("completed", "request", 2)
    assert len(harness.events(harness.account_of(search_id), "jobs.new")) == 1
    assert harness.minute() == []  # the next one is half an hour away
    check_invariants(harness)


def test_who_asks_now_joins_the_run_that_is_going_on(harness, employer, search):
    query_id, search_id = search
    publish(harness.sandbox, employer, 2)
    harness.tick()
    other = harness.save(query_id)
    run = now(harness, query_id, other)
    assert (run.state, run.trigger) == ("completed", "schedule")
    for one in (search_id, other):
        assert len(harness.events(harness.account_of(one), "jobs.new")) == 1


def test_who_asks_while_hh_is_down_does_not_wait_for_it(harness, employer, search):
    query_id, search_id = search
    harness.sandbox.fault("server_error", path="/vacancies", times=1)
    run = now(harness, query_id, search_id)
    assert (run.state, run.reason) == ("running", "hh_unavailable")
    assert run.finished_at is None
    harness.minute(11)
    assert ended(harness, query_id) == ("completed", None)


def test_a_run_that_takes_longer_goes_on_by_itself(harness, employer, search):
    query_id, search_id = search
    run = now(harness, query_id, search_id, budget_s=0.0)
    assert run.state == "running"
    assert harness.bells() == [str(query_id)]
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
    harness.forget_calls()
    harness.tick()
    harness.work(query_id)
    assert harness.calls("GET /vacancies/{vacancy_id}") == 0
    harness.work(waiting)
    harness.bells()
    harness.sandbox.advance(60)
    harness.tick()  # no page is to be asked for
    assert harness.bells() == [str(query_id)]
    harness.work(query_id)
    assert harness.calls("GET /vacancies/{vacancy_id}") == 7
    read = harness.connection.execute("SELECT count(*) AS n FROM jobs WHERE detail IS NOT NULL")
    assert read.fetchone()["n"] == 7
    harness.tick()
    harness.work(query_id)
    assert harness.calls("GET /vacancies/{vacancy_id}") == 9
    harness.bells()
    harness.tick()
    assert harness.bells() == []


def test_two_that_a_search_shows_alike_are_told_both_after_their_details_were_read(
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
            )["id"]
        ]
    harness.sandbox.advance(HALF_AN_HOUR)
    harness.minute(0)
    account_id = harness.account_of(search_id)

    def told():
        events = harness.events(account_id, "jobs.new")
        return [[job["id"] for job in event["data"]["jobs"]] for event in events]

    assert told() == [[published[1]]], "the newest, and the other as the same job"
    harness.minute(HALF_AN_HOUR)
    assert told() == [[published[1]], [published[0]]]
    harness.minute(HALF_AN_HOUR)
    assert len(told()) == 2
    check_invariants(harness)


def test_details_are_no_rival_of_a_run_that_waits_for_its_turn_to_call(
    harness, employer, search, monkeypatch
):
    monkeypatch.setenv("FETCH_DETAILS_PER_RUN", "7")
    query_id, _ = search
    publish(harness.sandbox, employer, 2)
    other = harness.query(employer_id=new_employer())
    harness.save(other)
    harness.forget_calls()
    harness.tick()
    # A worker has it; when it began to wait for the pacer it put off what others may ring for.
    run = run_store.running(other, connection=harness.connection)
    until = harness.world.now() + timedelta(seconds=120)
    held = run_store.postpone(run, until, reason=None, connection=harness.connection)
    harness.work(query_id)
    assert harness.calls("GET /vacancies/{vacancy_id}") == 0
    run_store.postpone(held, until, reason="hh_busy", connection=harness.connection)
    harness.work(query_id)
    assert harness.calls("GET /vacancies/{vacancy_id}") == 2


def test_what_does_not_change_what_is_found_is_the_same_query(harness):
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
