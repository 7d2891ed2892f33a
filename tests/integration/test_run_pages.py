"""A run reads every vacancy of a search: below hh.ru's depth, and while vacancies come and go."""

from __future__ import annotations

import pytest

from local.clock import FILE_NAME, LocalClock
from tests.fixtures.hh_sandbox import run_sandbox
from tests.harness.fetching import HALF_AN_HOUR, check_invariants, publish
from ullgetthejob.saved_searches import pagination


@pytest.fixture
def big_sandbox(connected, tmp_path):
    """Replace the sandbox by one with more vacancies than hh.ru's depth."""
    options = ("--vacancies", "5000", "--calls-per-second", "1000000")
    with run_sandbox(tmp_path / "sandbox", *options) as sandbox:
        sandbox.control("POST", "/clock", {"rate": 0})
        connected.sandbox, connected.clock = sandbox, LocalClock(sandbox.data_dir / FILE_NAME)
        yield sandbox


def test_search_of_five_thousand_vacancies_is_read_in_full(big_sandbox, fetching):
    query_id = fetching.query(text="")
    fetching.save(query_id)
    fetching.tick()
    fetching.work(query_id)
    run = fetching.run(query_id)
    open_count = big_sandbox.control("GET", "/state")["vacancies"]["open"]
    assert open_count > 4_000
    assert (run.state, run.found, run.new) == ("completed", open_count, open_count)
    assert len(fetching.matches(query_id)) == open_count
    assert run.calls == fetching.calls() <= open_count // 100 + 4
    assert len(set(fetching.requested_pages())) == run.calls


def test_search_below_depth_is_read_in_windows(fetching, employer, search, monkeypatch):
    """The same with fewer vacancies: hh.ru's depth is patched to be smaller."""
    monkeypatch.setattr(pagination, "MAX_DEPTH", 100)
    query_id, _ = search
    published = []
    for _ in range(4):
        published += publish(fetching.sandbox, employer, 40)
        fetching.sandbox.advance(600)
    fetching.reset_calls()
    fetching.minute(0)
    assert fetching.outcome(query_id) == ("completed", None)
    assert set(fetching.matches(query_id)) == set(published)
    assert len(set(fetching.requested_pages())) == fetching.calls() == 2
    check_invariants(fetching)


def test_too_many_vacancies_at_one_moment_make_run_partial(fetching, employer, search, monkeypatch):
    monkeypatch.setattr(pagination, "MAX_DEPTH", 100)
    query_id, search_id = search
    old = publish(fetching.sandbox, employer, 2)
    fetching.sandbox.advance(900)
    publish(fetching.sandbox, employer, 230)
    fetching.sandbox.advance(900)
    fetching.minute(0)
    assert fetching.outcome(query_id) == ("partial", "too_many")
    assert set(old) <= set(fetching.matches(query_id))
    completed = fetching.events(fetching.account_of(search_id), "fetch.completed")[-1]["data"]
    assert (completed["state"], completed["reason"]) == ("partial", "too_many")
    # A search that was not read in full is read in full the next time.
    fetching.minute(HALF_AN_HOUR)
    assert fetching.run(query_id).calls > 1


def test_repeated_vacancy_makes_the_search_read_again(fetching, employer, search):
    query_id, _ = search
    published = publish(fetching.sandbox, employer, 6)
    fetching.sandbox.advance(HALF_AN_HOUR)
    fetching.sandbox.fault("repeated_item", path="/vacancies", times=1)
    fetching.minute(0)
    run = fetching.run(query_id)
    assert (run.state, run.reason, run.found, run.fetched, run.new) == (
        *("completed", None),
        *(6, 6, 6),
    )
    assert set(fetching.matches(query_id)) == set(published)
    assert run.calls == 2


def test_missing_vacancy_in_two_readings_makes_run_partial(fetching, employer, search):
    query_id, _ = search
    publish(fetching.sandbox, employer, 6)
    fetching.sandbox.advance(HALF_AN_HOUR)
    fetching.sandbox.fault("repeated_item", path="/vacancies")
    fetching.minute(0)
    assert fetching.outcome(query_id) == ("partial", "fewer_than_found")
    run = fetching.run(query_id)
    assert (run.found, run.fetched, run.calls) == (6, 5, 2)
    row = fetching.connection.execute(
        "SELECT plan, (SELECT full_from FROM search_queries WHERE id = query_id) AS full_from"
        " FROM fetch_runs WHERE id = %s",
        [run.id],
    ).fetchone()
    assert row["full_from"], "the next run need not be full"
    assert "seen" not in row["plan"], "the ids are not kept with the run"
    # The next run is incremental, and can be counted as well: it reaches the last page.
    fetching.minute(HALF_AN_HOUR)
    assert fetching.outcome(query_id) == ("partial", "fewer_than_found")
    fetching.sandbox.control("DELETE", "/faults")
    fetching.minute(HALF_AN_HOUR)
    assert fetching.outcome(query_id) == ("completed", None)
    assert fetching.run(query_id).calls == 1
    assert len(fetching.matches(query_id)) == 6


def test_vacancy_missed_by_a_full_run_reaches_a_later_search(fetching, employer, search):
    """hh.ru: pages may omit vacancies; only a run that missed none shows that one is gone."""
    query_id, _ = search
    publish(fetching.sandbox, employer, 6)
    fetching.sandbox.advance(HALF_AN_HOUR)
    fetching.minute(0)
    assert fetching.outcome(query_id) == ("completed", None)
    fetching.sandbox.fault("repeated_item", path="/vacancies")
    fetching.minute(25 * 3600)
    assert fetching.outcome(query_id) == ("partial", "fewer_than_found")
    later_search = fetching.save(query_id)
    fetching.minute(61)
    [event] = fetching.events(fetching.account_of(later_search), "jobs.new")
    assert len(event["data"]["jobs"]) == 6
    check_invariants(fetching)


def disturb(fetching, monkeypatch, disturbance):
    """Call *disturbance* before each request, with it and the number of earlier ones."""
    inner = fetching.hh.search
    requests = []

    def search(request):
        disturbance(request, len(requests))
        requests.append(request)
        return inner(request)

    monkeypatch.setattr(fetching.hh, "search", search)


def test_repeated_vacancy_in_incremental_run_is_read_again(fetching, employer, search, monkeypatch):
    query_id, _ = search
    publish(fetching.sandbox, employer, 3)
    fetching.minute(0)
    fetching.sandbox.advance(7_200)
    fresh = publish(fetching.sandbox, employer, 205)
    fetching.sandbox.advance(600)

    def repeat(request, number):
        if number == 1:
            fetching.sandbox.fault("repeated_item", path="/vacancies", times=1)

    disturb(fetching, monkeypatch, repeat)
    fetching.minute(0)
    run = fetching.run(query_id)
    assert (run.state, run.reason) == ("completed", None)
    # 205 new vacancies and the three from before, each counted once; three pages, twice
    assert (run.found, run.fetched, run.new, run.calls) == (208, 208, 205, 6)
    assert set(fresh) <= set(fetching.matches(query_id))
    check_invariants(fetching)


def test_repeated_vacancy_in_a_window_rereads_only_the_window(
    fetching, employer, search, monkeypatch
):
    monkeypatch.setattr(pagination, "MAX_DEPTH", 100)
    query_id, _ = search
    published = []
    for _ in range(6):
        published += publish(fetching.sandbox, employer, 40)
        fetching.sandbox.advance(600)

    def repeat(request, number):
        if number == 1:
            fetching.sandbox.fault("repeated_item", path="/vacancies", times=1)

    disturb(fetching, monkeypatch, repeat)
    fetching.reset_calls()
    fetching.minute(0)
    run = fetching.run(query_id)
    assert (run.state, run.reason, run.fetched) == ("completed", None, 240)
    assert set(fetching.matches(query_id)) == set(published)
    pages = fetching.requested_pages()
    assert len(pages) == len(set(pages)) + 1
    check_invariants(fetching)


def test_lasting_repetition_in_a_window_makes_run_partial(fetching, employer, search, monkeypatch):
    monkeypatch.setattr(pagination, "MAX_DEPTH", 100)
    query_id, search_id = search
    for _ in range(4):
        publish(fetching.sandbox, employer, 40)
        fetching.sandbox.advance(600)

    def repeat(request, number):
        if request.date_to is not None:
            fetching.sandbox.fault("repeated_item", path="/vacancies", times=1)

    disturb(fetching, monkeypatch, repeat)
    fetching.minute(0)
    assert fetching.outcome(query_id) == ("partial", "fewer_than_found")
    completed = fetching.events(fetching.account_of(search_id), "fetch.completed")[-1]["data"]
    assert (completed["state"], completed["reason"]) == ("partial", "fewer_than_found")


def test_vacancy_on_two_pages_is_reread_unless_explained(fetching, employer, search, monkeypatch):
    """If a vacancy is posted and another closes further down, the number found stays the same, and
    a vacancy is seen on two pages, as if in the place of another. If a vacancy is only posted, the
    number found explains the repetition."""
    query_id, _ = search
    old = publish(fetching.sandbox, employer, 1)
    fetching.minute(0)
    fetching.sandbox.advance(7_200)
    fresh = publish(fetching.sandbox, employer, 150)
    posted = []

    def post_one(request, number):
        if number == 1:
            posted.extend(publish(fetching.sandbox, employer, 1))

    disturb(fetching, monkeypatch, post_one)
    fetching.minute(0)
    assert fetching.outcome(query_id) == ("completed", None)
    assert fetching.run(query_id).calls == 2

    fetching.sandbox.advance(90_000)  # the next run is full
    more = publish(fetching.sandbox, employer, 120)

    def post_and_close(request, number):
        if number == 1:
            posted.extend(publish(fetching.sandbox, employer, 1))
            fetching.sandbox.control("POST", f"/vacancies/{old[0]}/close")

    disturb(fetching, monkeypatch, post_and_close)
    fetching.minute(0)
    assert fetching.outcome(query_id) == ("completed", None)
    assert fetching.run(query_id).calls == 3 + 3
    assert {*fresh, *more, posted[-1]} <= set(fetching.matches(query_id))


def test_vacancy_on_two_pages_counts_once_and_displaced_is_read(fetching, employer, search):
    query_id, search_id = search
    published = publish(fetching.sandbox, employer, 103)
    fetching.sandbox.advance(HALF_AN_HOUR)
    fetching.sandbox.fault("overlapping_pages", times=1)
    fetching.minute(0)
    run = fetching.run(query_id)
    assert (run.state, run.reason, run.found, run.fetched, run.new) == (
        *("completed", None),
        *(103, 103, 103),
    )
    assert run.calls == 4
    assert set(fetching.matches(query_id)) == set(published)
    completed = fetching.events(fetching.account_of(search_id), "fetch.completed")[-1]["data"]
    assert completed["told"] == 103
    check_invariants(fetching)


def test_pages_overlapping_in_two_readings_make_run_partial(fetching, employer, search):
    query_id, _ = search
    oldest = publish(fetching.sandbox, employer, 103)[0]
    fetching.sandbox.advance(HALF_AN_HOUR)
    fetching.sandbox.fault("overlapping_pages")
    fetching.minute(0)
    assert fetching.outcome(query_id) == ("partial", "fewer_than_found")
    run = fetching.run(query_id)
    assert (run.found, run.fetched) == (103, 102)
    assert oldest not in fetching.matches(query_id)


def test_search_for_everything_ends_at_the_maximum_of_calls(
    fetching, employer, search, monkeypatch
):
    monkeypatch.setattr(pagination, "MAX_CALLS", 1)
    query_id, _ = search
    publish(fetching.sandbox, employer, 101)
    fetching.sandbox.advance(HALF_AN_HOUR)
    fetching.minute(0)
    assert fetching.outcome(query_id) == ("partial", "too_deep")
    # The newest were read: the next run is incremental.
    [fresh] = publish(fetching.sandbox, employer, 1)
    fetching.minute(HALF_AN_HOUR)
    assert fetching.outcome(query_id) == ("completed", None)
    assert fetching.run(query_id).calls == 1
    assert fetching.matches(query_id)[-1] == fresh


def test_vacancy_closed_during_a_run_hides_no_other(fetching, employer, search, monkeypatch):
    query_id, _ = search
    published = []
    for _ in range(3):
        published += publish(fetching.sandbox, employer, 80)
        fetching.sandbox.advance(600)
    newest = published[-1]
    inner = fetching.hh.search

    def search_and_close(request):
        page = inner(request)
        if request.page == 0 and request.date_to is None:
            fetching.sandbox.control("POST", f"/vacancies/{newest}/close")
        return page

    monkeypatch.setattr(fetching.hh, "search", search_and_close)
    fetching.minute(0)
    assert fetching.outcome(query_id) == ("completed", None)
    assert set(fetching.matches(query_id)) == set(published)
    # One page more for the window below.
    assert fetching.run(query_id).calls <= 5
