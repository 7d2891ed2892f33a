"""From a saved search to an event: the fetcher and the worker on the real sandbox."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from types import SimpleNamespace

import pytest

from functions.fetch_worker import app as fetch_worker_app
from functions.fetcher import app as fetcher_app
from local.settings import REPOSITORY
from tests.harness.fetching import (
    HALF_AN_HOUR,
    check_invariants,
    new_employer,
    publish,
)
from ullgetthejob.hh import pause_policy
from ullgetthejob.hh.pacer import Pacer
from ullgetthejob.platform import settings
from ullgetthejob.saved_searches import canonical_searches, run_store, run_worker


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(pause_policy, "PAUSE_AFTER_FAILURES_S", 0.01)
    monkeypatch.setattr(pause_policy, "PAUSE_AFTER_429_S", 0.01)


def test_first_run_reads_and_announces_all_vacancies(fetching, employer, search):
    query_id, search_id = search
    published = publish(fetching.sandbox, employer, 103)
    fetching.reset_calls()
    assert fetching.minute(0) == [str(query_id)]
    run = fetching.run(query_id)
    assert (run.state, run.reason, run.trigger) == ("completed", None, "schedule")
    assert (run.found, run.fetched, run.new, run.changed, run.failed) == (103, 103, 103, 0, 0)
    assert (run.calls, fetching.calls()) == (2, 2)
    assert run.finished_at >= run.started_at
    assert set(fetching.matches(query_id)) == set(published)
    events = fetching.events(fetching.account_of(search_id))
    assert {row["type"] for row in events[:-1]} == {"jobs.new"}
    assert events[-1]["type"] == "fetch.completed"
    assert (events[-1]["data"]["state"], events[-1]["data"]["told"]) == ("completed", 103)
    check_invariants(fetching)


def test_next_run_finds_a_new_vacancy_with_one_call(fetching, employer, search):
    query_id, search_id = search
    publish(fetching.sandbox, employer, 130)
    fetching.sandbox.advance(HALF_AN_HOUR)
    fetching.minute(0)
    fetching.sandbox.advance(HALF_AN_HOUR)
    [fresh] = publish(fetching.sandbox, employer, 1)
    fetching.reset_calls()
    assert fetching.minute(0) == [str(query_id)]
    assert fetching.calls() == 1
    run = fetching.run(query_id)
    assert (run.state, run.found, run.fetched, run.new) == ("completed", 131, 100, 1)
    event = fetching.events(fetching.account_of(search_id), "jobs.new")[-1]
    assert [job["id"] for job in event["data"]["jobs"]] == [fresh]
    check_invariants(fetching)


def test_run_after_a_day_is_full(fetching, employer, search):
    query_id, _ = search
    publish(fetching.sandbox, employer, 101)
    fetching.sandbox.advance(HALF_AN_HOUR)
    fetching.minute(0)
    fetching.reset_calls()
    fetching.minute(HALF_AN_HOUR)
    assert fetching.calls() == 1
    fetching.minute(24 * 3600)
    assert fetching.calls() == 3
    row = canonical_searches.read(query_id, connection=fetching.connection)
    assert row["full_from"] == row["complete_from"] == fetching.run(query_id).started_at
    assert row["full_found"] == 101


def test_excluded_employer_is_not_announced_if_hh_shows_it(fetching, employer):
    fetching.sandbox.set_era("2026")  # its documents no longer have the parameter for a search
    text = f"Часовщик{employer}"
    titles = {"employer": {"id": employer, "name": "Завод"}}
    fetching.sandbox.publish(text, **titles)
    wanted = str(
        fetching.sandbox.publish(text, employer={"id": new_employer(), "name": "Ателье"})["id"]
    )
    query_id = fetching.query(text=text, excluded_employer_id=employer)
    search_id = fetching.save(query_id)
    fetching.minute(0)
    run = fetching.run(query_id)
    assert (run.state, run.found, run.fetched) == ("completed", 2, 2)
    assert set(fetching.matches(query_id)) == {wanted}
    events = fetching.events(fetching.account_of(search_id), "jobs.new")
    assert [job["id"] for event in events for job in event["data"]["jobs"]] == [wanted]


def test_search_is_not_requested_before_it_is_due(fetching, search):
    fetching.minute(0)
    fetching.reset_calls()
    assert fetching.minute(60) == []
    assert fetching.minute(HALF_AN_HOUR / 2) == []
    assert fetching.calls() == 0
    assert len(fetching.minute(HALF_AN_HOUR)) == 1


def test_equal_searches_due_soon_share_one_run(fetching, employer):
    publish(fetching.sandbox, employer, 3)
    query_id = fetching.query(employer_id=employer)
    soon, late = fetching.save(query_id), fetching.save(query_id)
    now = fetching.world.now()
    for search_id, wait in ((soon, 10), (late, 20)):
        fetching.connection.execute(
            "UPDATE saved_searches SET next_run_at = %s WHERE id = %s",
            [now + timedelta(minutes=wait), search_id],
        )
    due = fetching.save(query_id)
    fetching.reset_calls()
    fetching.minute(0)
    assert fetching.calls() == 1
    events = {
        search_id: len(fetching.events(fetching.account_of(search_id), "jobs.new"))
        for search_id in (due, soon, late)
    }
    assert events == {due: 1, soon: 1, late: 0}
    fetching.minute(20 * 60 + 1)
    assert len(fetching.events(fetching.account_of(late), "jobs.new")) == 1
    check_invariants(fetching)


def test_vacancy_of_two_searches_is_announced_once(fetching, employer):
    account_id = fetching.world.account()
    publish(fetching.sandbox, employer, 2)
    other = new_employer()
    publish(fetching.sandbox, other, 1)
    for ids in ([employer], [employer, other]):
        fetching.save(fetching.query(employer_id=ids), account_id)
    fetching.minute(0)
    assert sum(row["data"]["told"] for row in fetching.events(account_id, "fetch.completed")) == 3
    check_invariants(fetching)


def test_search_outside_of_its_hours_is_not_requested(fetching, search):
    _, search_id = search
    now = fetching.world.now()
    opens = (now + timedelta(hours=2)).strftime("%H:%M")
    closes = (now + timedelta(hours=4)).strftime("%H:%M")
    fetching.connection.execute(
        "UPDATE saved_searches SET working_hours = jsonb_build_object('from', %s::text, 'to',"
        " %s::text), time_zone = 'UTC' WHERE id = %s",
        [opens, closes, search_id],
    )
    assert fetching.minute(0) == []
    assert fetching.minute(3600) == []
    assert len(fetching.minute(3600)) == 1


# ── failures ─────────────────────────────────────────────────────────────────────────────────────


def test_too_many_requests_defer_the_run(fetching, employer, search):
    query_id, _ = search
    publish(fetching.sandbox, employer, 1)
    fetching.sandbox.fault("too_many_requests", path="/vacancies", times=2)
    fetching.reset_calls()
    fetching.minute(0)
    assert fetching.outcome(query_id) == ("running", "hh_busy")
    assert fetching.work(query_id) is False  # not yet
    assert fetching.calls() == 1
    fetching.minute(6)
    assert fetching.calls() == 2
    fetching.minute(6)
    assert fetching.outcome(query_id) == ("completed", None)
    assert fetching.calls() == 3


def test_missing_pacer_slot_is_waited_for_in_place(fetching, employer, search):
    query_id, _ = search
    publish(fetching.sandbox, employer, 1)
    pacer = Pacer(settings.PACER_TABLE())
    pacer.pause("busy", 1)
    fetching.minute(0)
    assert fetching.outcome(query_id) == ("completed", None)
    check_invariants(fetching)


def test_captcha_ends_the_run_and_is_reported(fetching, employer, search):
    query_id, search_id = search
    publish(fetching.sandbox, employer, 1)
    fetching.sandbox.fault("captcha", times=1)
    fetching.reset_calls()
    fetching.minute(0)
    assert fetching.outcome(query_id) == ("failed", "captcha")
    assert fetching.calls() == 1
    events = fetching.events(fetching.account_of(search_id))
    assert [row["type"] for row in events] == ["fetch.completed"]
    assert (events[0]["data"]["state"], events[0]["data"]["reason"]) == ("failed", "captcha")
    # The run was not complete: the next one is full.
    fetching.minute(HALF_AN_HOUR)
    assert fetching.outcome(query_id) == ("completed", None)
    check_invariants(fetching)


def test_vacancies_fetched_before_a_captcha_are_announced(fetching, employer, search):
    query_id, search_id = search
    publish(fetching.sandbox, employer, 120)
    inner = fetching.hh.search

    def search_with_captcha(request):
        if request.page == 1:
            fetching.sandbox.fault("captcha", times=1)
        return inner(request)

    fetching.hh.search = search_with_captcha
    fetching.minute(0)
    run = fetching.run(query_id)
    assert (run.state, run.reason, run.fetched, run.calls) == ("partial", "captcha", 100, 2)
    completed = fetching.events(fetching.account_of(search_id), "fetch.completed")[-1]["data"]
    assert completed["told"] == 100
    fetching.hh.search = inner
    fetching.minute(HALF_AN_HOUR)
    check_invariants(fetching)


@pytest.mark.parametrize(
    ("fault", "reason"), [("legal_block", "hh_region_blocked"), ("vpn_check", "hh_region_blocked")]
)
def test_blocked_region_ends_the_run(fetching, search, fault, reason):
    query_id, _ = search
    fetching.sandbox.fault(fault, path="/vacancies")
    fetching.minute(0)
    assert fetching.outcome(query_id) == ("failed", reason)


def test_bad_argument_ends_the_run(fetching):
    query_id = fetching.query(area="999999")
    fetching.save(query_id)
    fetching.minute(0)
    assert fetching.outcome(query_id) == ("failed", "bad_argument")


def test_run_backs_off_while_hh_is_down_and_then_completes(fetching, employer, search):
    query_id, _ = search
    publish(fetching.sandbox, employer, 1)
    fetching.sandbox.fault("server_error", path="/vacancies", times=2)
    fetching.minute(0)
    assert fetching.outcome(query_id) == ("running", "hh_unavailable")
    assert fetching.work(query_id) is False  # not yet
    assert fetching.run(query_id).calls == 1
    fetching.minute(11)
    assert fetching.outcome(query_id) == ("running", "hh_unavailable")
    fetching.minute(11)
    assert fetching.run(query_id).calls == 2
    fetching.minute(31)
    assert fetching.outcome(query_id) == ("completed", None)
    assert fetching.run(query_id).calls == 3
    check_invariants(fetching)


def test_run_fails_after_five_attempts(fetching, search):
    query_id, search_id = search
    fetching.sandbox.fault("bad_gateway", path="/vacancies")
    for attempt in range(5):
        assert fetching.run(query_id).state == "running" if attempt else True
        fetching.minute(301)
    assert fetching.outcome(query_id) == ("failed", "hh_unavailable")
    events = fetching.events(fetching.account_of(search_id), "fetch.completed")
    assert [row["data"]["reason"] for row in events] == ["hh_unavailable"]


def find_nothing_after(fetching, employer, published):
    """Complete a run that finds the *published* vacancies; hh.ru's answers are empty from then."""
    publish(fetching.sandbox, employer, published)
    fetching.minute(0)
    fetching.sandbox.fault("empty", path="/vacancies")


def test_collapsed_search_is_partial_and_keeps_its_state(fetching, employer, search):
    query_id, search_id = search
    find_nothing_after(fetching, employer, 6)
    before = canonical_searches.read(query_id, connection=fetching.connection)
    fetching.minute(HALF_AN_HOUR)
    assert fetching.outcome(query_id) == ("partial", "collapsed")
    after = canonical_searches.read(query_id, connection=fetching.connection)
    for name in ("complete_from", "full_from", "full_found", "last_match"):
        assert after[name] == before[name]
    event = fetching.events(fetching.account_of(search_id))[-1]
    assert (event["type"], event["data"]["reason"]) == ("fetch.completed", "collapsed")
    fetching.sandbox.control("DELETE", "/faults")
    fetching.minute(HALF_AN_HOUR)
    assert fetching.outcome(query_id) == ("completed", None)


def test_collapse_that_lasts_a_day_is_accepted(fetching, employer, search):
    query_id, _ = search
    find_nothing_after(fetching, employer, 6)
    fetching.minute(HALF_AN_HOUR)
    fetching.minute(20 * 3600)
    assert fetching.outcome(query_id) == ("partial", "collapsed")
    fetching.minute(5 * 3600)
    assert fetching.outcome(query_id) == ("completed", None)
    assert canonical_searches.read(query_id, connection=fetching.connection)["full_found"] == 0
    fetching.minute(HALF_AN_HOUR)
    assert fetching.outcome(query_id) == ("completed", None)


def test_disappearance_of_few_vacancies_is_no_collapse(fetching, employer, search):
    query_id, _ = search
    find_nothing_after(fetching, employer, 4)
    fetching.minute(HALF_AN_HOUR)
    assert fetching.outcome(query_id) == ("completed", None)


def test_run_that_takes_too_long_is_ended(fetching, search):
    query_id, _ = search
    fetching.tick()
    fetching.sandbox.advance(7 * 3600)
    fetching.work(query_id)
    assert fetching.outcome(query_id) == ("failed", "too_long")


def test_exhausted_budget_leaves_work_for_another_wake_up(fetching, employer, search, monkeypatch):
    query_id, _ = search
    publish(fetching.sandbox, employer, 120)
    fetching.tick()
    monkeypatch.setattr(run_worker, "RUN_BUDGET_S", 0.0)
    assert fetching.work(query_id) is True
    assert fetching.run(query_id).calls == 0
    monkeypatch.setattr(run_worker, "RUN_BUDGET_S", 60.0)
    assert fetching.work(query_id) is False
    assert fetching.outcome(query_id) == ("completed", None)


def test_worker_with_an_expired_lease_changes_nothing(fetching, employer, search, monkeypatch):
    query_id, search_id = search
    publish(fetching.sandbox, employer, 2)
    inner = fetching.hh.search

    def search_slowly(request):
        page = inner(request)
        monkeypatch.setattr(fetching.hh, "search", inner)
        fetching.sandbox.advance(run_worker.LEASE_S + 1)
        fetching.work(query_id)
        assert fetching.outcome(query_id) == ("completed", None)
        return page

    monkeypatch.setattr(fetching.hh, "search", search_slowly)
    fetching.minute(0)
    run = fetching.run(query_id)
    assert (run.calls, run.fetched, run.new) == (1, 2, 2)
    assert len(fetching.events(fetching.account_of(search_id), "fetch.completed")) == 1
    check_invariants(fetching)


def test_runs_are_deleted_after_ninety_days(fetching, search):
    query_id, search_id = search
    fetching.minute(0)
    moment = fetching.world.now()
    for days, gone in ((89, 0), (91, 1), (91, 0)):
        now = moment + timedelta(days=days)
        assert run_store.delete_old(connection=fetching.connection, now=now, most=10) == gone
    assert run_store.latest(query_id, connection=fetching.connection) is None
    assert len(fetching.minute(HALF_AN_HOUR)) == 1
    assert fetching.outcome(query_id) == ("completed", None)
    assert fetching.events(fetching.account_of(search_id)) == []  # neither run found anything new


# ── wake-ups ─────────────────────────────────────────────────────────────────────────────────────


def test_doubled_and_late_wake_ups_make_no_calls(fetching, employer, search):
    query_id, _ = search
    publish(fetching.sandbox, employer, 2)
    fetching.minute(0)
    fetching.reset_calls()
    for _ in range(3):
        assert fetching.work(query_id) is False
    fetching.sandbox.advance(HALF_AN_HOUR)
    assert fetching.work(query_id) is False  # due, but not claimed yet
    assert fetching.calls() == 0
    assert len(fetching.events(fetching.account_of(search[1]), "fetch.completed")) == 1


def test_lost_wake_up_is_sent_again(fetching, search):
    query_id, _ = search
    fetching.tick()
    fetching.wake_ups()  # lost
    assert fetching.minute() == [str(query_id)]
    assert fetching.outcome(query_id) == ("completed", None)
    assert fetching.minute() == []


def test_missed_notifications_are_sent_by_another_worker(fetching, employer, search, monkeypatch):
    query_id, search_id = search
    publish(fetching.sandbox, employer, 2)
    with monkeypatch.context() as patched:
        patched.setattr(run_worker._RunWorker, "notify", lambda self: None)
        patched.setattr(run_worker._RunWorker, "read_details", lambda self: None)
        patched.setattr(run_store, "unnotified_runs", lambda *_, **__: [])
        fetching.minute(0)
    assert fetching.events(fetching.account_of(search_id)) == []
    assert fetching.minute() == [str(query_id)]
    assert len(fetching.events(fetching.account_of(search_id), "fetch.completed")) == 1
    check_invariants(fetching)


def test_functions_process_their_sample_events(core, fetching, employer, search):
    query_id, search_id = search
    publish(fetching.sandbox, employer, 2)
    tick, wake_up = (
        json.loads((REPOSITORY / "events" / f"{name}.json").read_text())
        for name in ("fetcher", "fetch_worker")
    )
    context = SimpleNamespace(aws_request_id="an-invocation")
    ticked = fetcher_app.handler(tick, context)
    assert (ticked["begun"], ticked["notified"]) == (1, 1)
    assert fetching.wake_ups() == [str(query_id)]
    # The search of the sample does not exist.
    assert fetch_worker_app.handler(wake_up, context) == {"batchItemFailures": []}
    wake_up["Records"][0]["body"] = json.dumps({"query_id": str(query_id)})
    assert fetch_worker_app.handler(wake_up, context) == {"batchItemFailures": []}
    assert fetching.outcome(query_id) == ("completed", None)
    assert len(fetching.events(fetching.account_of(search_id), "jobs.new")) == 1


# ── requested runs ───────────────────────────────────────────────────────────────────────────────


def run_now(fetching, query_id, search_id, **options):
    return run_worker.run_now(query_id, search_id, fetching.context, **options)


def test_requested_run_is_returned_when_it_ends(fetching, employer, search):
    query_id, search_id = search
    publish(fetching.sandbox, employer, 2)
    run = run_now(fetching, query_id, search_id)
    assert (run.state, run.trigger, run.new) == ("completed", "request", 2)
    assert len(fetching.events(fetching.account_of(search_id), "jobs.new")) == 1
    assert fetching.minute() == []  # the next run is half an hour away
    check_invariants(fetching)


def test_request_joins_the_current_run(fetching, employer, search):
    query_id, search_id = search
    publish(fetching.sandbox, employer, 2)
    fetching.tick()
    other = fetching.save(query_id)
    run = run_now(fetching, query_id, other)
    assert (run.state, run.trigger) == ("completed", "request")  # a person waits for it now
    for saved_id in (search_id, other):
        assert len(fetching.events(fetching.account_of(saved_id), "jobs.new")) == 1


def test_request_while_hh_is_down_returns_the_waiting_run(fetching, search):
    query_id, search_id = search
    fetching.sandbox.fault("server_error", path="/vacancies", times=1)
    run = run_now(fetching, query_id, search_id)
    assert (run.state, run.reason) == ("running", "hh_unavailable")
    assert run.finished_at is None
    fetching.minute(11)
    assert fetching.outcome(query_id) == ("completed", None)


def test_requested_run_over_its_budget_continues_alone(fetching, search):
    query_id, search_id = search
    run = run_now(fetching, query_id, search_id, budget_s=0.0)
    assert run.state == "running"
    assert fetching.wake_ups() == [str(query_id)]
    fetching.work(query_id)
    assert fetching.outcome(query_id) == ("completed", None)


def test_details_are_read_after_the_run_unless_another_waits(
    fetching, employer, search, monkeypatch
):
    monkeypatch.setenv("FETCH_DETAILS_PER_RUN", "7")
    query_id, _ = search
    publish(fetching.sandbox, employer, 9)
    waiting = fetching.query(employer_id=new_employer())
    fetching.save(waiting)
    fetching.reset_calls()
    fetching.tick()
    fetching.work(query_id)
    assert fetching.calls("GET /vacancies/{vacancy_id}") == 0
    fetching.work(waiting)
    fetching.wake_ups()
    fetching.sandbox.advance(60)
    fetching.tick()  # no page is to be requested
    assert fetching.wake_ups() == [str(query_id)]
    fetching.work(query_id)
    assert fetching.calls("GET /vacancies/{vacancy_id}") == 7
    read = fetching.connection.execute("SELECT count(*) AS n FROM jobs WHERE detail IS NOT NULL")
    assert read.fetchone()["n"] == 7
    fetching.tick()
    fetching.work(query_id)
    assert fetching.calls("GET /vacancies/{vacancy_id}") == 9
    fetching.wake_ups()
    fetching.tick()
    assert fetching.wake_ups() == []


def test_jobs_alike_in_excerpts_are_announced_after_details(
    fetching, employer, search, monkeypatch
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
            fetching.sandbox.publish(
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
    fetching.sandbox.advance(HALF_AN_HOUR)
    fetching.minute(0)
    account_id = fetching.account_of(search_id)

    def announced():
        events = fetching.events(account_id, "jobs.new")
        return [[job["id"] for job in event["data"]["jobs"]] for event in events]

    assert announced() == [[published[1]]], "the newest, and the other as the same job"
    fetching.minute(HALF_AN_HOUR)
    assert announced() == [[published[1]], [published[0]]]
    fetching.minute(HALF_AN_HOUR)
    assert len(announced()) == 2
    check_invariants(fetching)


def test_details_wait_for_a_run_that_waits_for_the_pacer(fetching, employer, search, monkeypatch):
    monkeypatch.setenv("FETCH_DETAILS_PER_RUN", "7")
    query_id, _ = search
    publish(fetching.sandbox, employer, 2)
    other = fetching.query(employer_id=new_employer())
    fetching.save(other)
    fetching.reset_calls()
    fetching.tick()
    # A worker has the run; it deferred it when it began to wait for the pacer.
    run = run_store.running(other, connection=fetching.connection)
    until = fetching.world.now() + timedelta(seconds=120)
    held = run_store.defer(run, until, reason=None, connection=fetching.connection)
    fetching.work(query_id)
    assert fetching.calls("GET /vacancies/{vacancy_id}") == 0
    run_store.defer(held, until, reason="hh_busy", connection=fetching.connection)
    fetching.work(query_id)
    assert fetching.calls("GET /vacancies/{vacancy_id}") == 2


def test_searches_that_find_the_same_share_one_query(fetching):
    plain = fetching.query(text="сварщик", area=["1", "2"])
    assert plain == fetching.query(
        text="сварщик", area=["2", "1", "1"], order_by="salary_desc", page=3, per_page=20
    )
    assert plain == fetching.query(
        text="сварщик", area=["1", "2"], premium=True, only_with_salary=False
    )
    assert plain != fetching.query(text="сварщик", area=["1"])
    assert plain != fetching.query(text="сварщик", area=["1", "2"], no_magic=False)
    row = canonical_searches.read(plain, connection=fetching.connection)
    assert canonical_searches.parameters_of(row).area == ("1", "2")
    assert isinstance(plain, uuid.UUID)
