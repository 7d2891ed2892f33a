"""The work of one operation is within its budget: statements, calls of AWS and of hh.ru.

``make bench-work`` runs this file and prints what was counted. Each operation is done once before
it is counted, since an environment's first one also opens connections and reads dictionaries.
"""

from __future__ import annotations

import os
from dataclasses import astuple
from types import SimpleNamespace

import pytest

from benchmarks.work_budgets import BUDGETS
from benchmarks.work_counts import Work, counted
from tests.harness import applying
from tests.harness.fetching import new_employer, publish
from ullgetthejob.realtime import event_log
from ullgetthejob.saved_searches import run_worker
from ullgetthejob.vacancies import detail_backfill, store

IS_PRINTED = os.environ.get("BENCH_WORK") == "1"
KINDS = ("statements", "transactions", "aws", "hh")
INTERVAL_S = 900  # all runs within the hour in which a method's answer is not stored again


def check(name, work):
    """Assert that *work* is within the budget of an operation."""
    budget = BUDGETS[name]
    most = dict(zip(KINDS, astuple(budget), strict=False))
    if IS_PRINTED:
        print(f"\n{name}, {work.cpu_s * 1000:.1f} ms of the processor")
        print(f"  counted {work.totals()}, at most {most}, before {budget.before}")
        print("\n".join(f"    {line}" for line in work.lines()))
    assert all(work.totals()[kind] <= most[kind] for kind in KINDS), "\n".join(work.lines())


@pytest.fixture(autouse=True)
def wake_ups_by_number(monkeypatch):
    """Stop the clock by which wake-ups for events are put together: a busy machine sends more."""
    monkeypatch.setattr(event_log, "time", SimpleNamespace(monotonic=lambda: 0.0))


def count(work_to_do):
    """Return the work that *work_to_do* makes, long after the account's last event."""
    event_log._last_notified.clear()
    with counted() as work:
        work_to_do()
    return work


@pytest.mark.parametrize(
    ("name", "fields"), [("submit", {}), ("submit with a key", {"idempotency_key": "k2"})]
)
def test_submit_is_within_its_budget(harness, name, fields):
    harness.submit(applying.publish(harness))
    vacancy = applying.publish(harness)
    check(name, count(lambda: harness.submit(vacancy, **fields)))


def sent(harness, vacancy):
    """Return the work of sending an application."""
    accepted = harness.submit(vacancy)
    work = count(harness.run)
    assert harness.row(accepted).state == "submitted"
    return work


def test_application_is_within_its_budget(harness):
    sent(harness, applying.publish(harness))
    check("application", sent(harness, applying.publish(harness)))


def test_application_to_a_read_vacancy_is_within_its_budget(harness):
    sent(harness, applying.publish(harness))
    vacancy = applying.publish(harness)
    store.store_detail(
        harness.hh.vacancy(vacancy), connection=harness.connection, now=harness.world.now()
    )
    check("application to a vacancy read lately", sent(harness, vacancy))


def test_saved_search_run_is_within_its_budget(fetching):
    employer = new_employer()
    query_id = fetching.query(employer_id=employer)
    fetching.save(query_id, interval=INTERVAL_S)
    publish(fetching.sandbox, employer, 3)
    fetching.minute(0)
    for name, number in (
        ("saved-search run with new vacancies", 2),
        ("saved-search run without news", 0),
    ):
        publish(fetching.sandbox, employer, number)
        fetching.sandbox.advance(INTERVAL_S + 60)
        fetching.tick()
        check(name, count(lambda: fetching.work(query_id)))
        assert fetching.run(query_id).new == number


def test_vacancy_in_full_is_within_its_budget(fetching):
    employer = new_employer()
    query_id = fetching.query(employer_id=employer)
    fetching.save(query_id)
    publish(fetching.sandbox, employer, 4)
    fetching.minute(0)
    worker = run_worker._RunWorker(query_id, fetching.context, deadline=float("inf"))

    def read(number):
        made = detail_backfill.backfill(
            query_id, fetching.context, most=number, may_continue=worker._has_spare_time
        )
        assert made == number

    read(1)
    one, two = count(lambda: read(1)), count(lambda: read(2))
    further = Work(
        *(getattr(two, kind) - getattr(one, kind) for kind in KINDS), two.cpu_s - one.cpu_s
    )
    assert further.hh.total() == 1
    check("vacancy in full", further)
