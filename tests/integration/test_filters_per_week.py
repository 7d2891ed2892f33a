"""The weekly limit of applications to an employer, on the real sandbox."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness.applying import ANNA, publish, second_session
from tests.harness.filtering import DAY, OTHER, PIER, FilteringHarness
from ullgetthejob.applications import commands as application_commands
from ullgetthejob.applications import negotiation_sync
from ullgetthejob.platform import postgres


@pytest.fixture
def harness(quiet_world):
    return FilteringHarness(quiet_world)


# ── the weekly limit of an employer ──────────────────────────────────────────────────────────────


def test_weekly_limit_of_employer_over_seven_days(harness):
    harness.put(max_per_employer_per_week=2)
    first = [harness.submit(publish(harness, employer=PIER)) for _ in range(4)]
    elsewhere = harness.submit(publish(harness, employer=OTHER))
    harness.run()
    assert sorted(harness.state(application) for application in first) == [
        ("refused", "filtered_employer_week"),
        ("refused", "filtered_employer_week"),
        ("submitted", None),
        ("submitted", None),
    ]
    assert harness.state(elsewhere) == ("submitted", None)
    known = publish(harness, employer=PIER)
    harness.store(known)
    assert harness.submit(known).reason == "filtered_employer_week", "refused at once"
    harness.world.sandbox.advance(7 * DAY - 3600)
    refused = next(
        application for application in first if harness.row(application).state == "refused"
    )
    harness.retry(refused)
    harness.run()
    assert harness.state(refused) == ("refused", "filtered_employer_week")
    harness.world.sandbox.advance(3601)
    harness.retry(refused)
    harness.run()
    assert harness.state(refused) == ("submitted", None)


def test_by_hand_counts_with_unknown_vacancy(harness):
    harness.put(max_per_employer_per_week=1)
    by_hand = harness.submit(publish(harness, employer=PIER, has_test=True))
    harness.run()
    assert harness.state(by_hand) == ("handoff", "test_required")
    confirm_by_hand(harness, by_hand)
    harness.connection.execute("DELETE FROM jobs")
    accepted = [harness.submit(publish(harness, employer=employer)) for employer in (PIER, OTHER)]
    harness.run()
    assert [harness.state(application) for application in accepted] == [
        ("refused", "filtered_employer_week"),
        ("submitted", None),
    ]


def confirm_by_hand(harness, accepted):
    application_commands.confirm(str(accepted.application_id), harness.person, harness.context)


def test_by_hand_with_deleted_vacancy_needs_person(harness):
    harness.put(max_per_employer_per_week=2)
    deleted = harness.submit("999999999999")
    harness.run()
    assert harness.state(deleted) == ("refused", "vacancy_not_found")
    harness.connection.execute("UPDATE application_ledger SET state = 'handoff'")
    confirm_by_hand(harness, deleted)
    accepted = [harness.submit(publish(harness, employer=PIER)) for _ in range(2)]
    harness.run()
    assert [harness.state(application) for application in accepted] == [
        ("submitted", None),
        ("needs_person", "filters_unreadable"),
    ]


@pytest.mark.parametrize(("days_ago", "state"), [(1, "refused"), (8, "submitted")])
def test_already_applied_counts_from_its_creation(harness, days_ago, state):
    vacancy = publish(harness, employer=PIER)
    harness.world.sandbox.apply_by_hand(ANNA, vacancy_id=vacancy)
    harness.world.sandbox.advance(days_ago * DAY)
    harness.put(max_per_employer_per_week=1)
    again, second = harness.submit(vacancy), harness.submit(publish(harness, employer=PIER))
    harness.run()
    assert harness.state(again) == ("submitted", "already_applied")
    if harness.row(second).state == "refused":
        harness.retry(second)
        harness.run()
    assert harness.row(second).state == state


def test_by_hand_on_hh_counts_after_sync(harness):
    harness.world.sandbox.apply_by_hand(ANNA, vacancy_id=publish(harness, employer=PIER))
    harness.put(max_per_employer_per_week=1)
    negotiation_sync.schedule_sync(
        harness.account_id, at=harness.world.now(), connection=harness.connection
    )
    accepted = harness.submit(publish(harness, employer=PIER))
    harness.run()
    assert harness.state(accepted) == ("refused", "filtered_employer_week")


def test_failing_hh_lets_nothing_through(harness):
    harness.put(max_per_employer_per_week=1)
    by_hand = harness.submit(publish(harness, employer=PIER, has_test=True))
    harness.run()
    confirm_by_hand(harness, by_hand)
    accepted = harness.submit(publish(harness, employer=PIER))
    harness.connection.execute("DELETE FROM jobs")
    harness.world.sandbox.fault(
        "server_error", path=f"/vacancies/{harness.row(by_hand).vacancy_id}"
    )
    harness.run()
    assert harness.state(accepted)[0] == "queued"
    harness.world.sandbox.control("DELETE", "/faults")
    harness.world.sandbox.advance(60)
    harness.run()
    assert harness.state(accepted) == ("refused", "filtered_employer_week")


def test_uncertain_application_counts_until_settled(harness):
    harness.put(max_per_employer_per_week=1)
    first, second = (harness.submit(publish(harness, employer=PIER)) for _ in range(2))
    harness.world.sandbox.fault("lost", path="/negotiations", method="POST", times=1)
    harness.run()
    assert harness.state(first)[0] == "uncertain"
    assert harness.state(second) == ("refused", "filtered_employer_week")


def test_concurrent_workers_keep_weekly_limit(harness):
    harness.put(max_per_employer_per_week=3)
    other = second_session(harness)
    accepted = []
    for number in range(12):
        harness.user_id, other = other, harness.user_id
        accepted.append(harness.submit(publish(harness, employer=PIER), f"{number}"))

    def work(_number):
        with own_connection() as connection:
            harness.run_over(connection)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    harness.run()
    assert len([entry for entry in harness.posted() if entry["outcome"] == "accepted"]) == 3
    states = [harness.state(application) for application in accepted]
    assert states.count(("submitted", None)) == 3
    assert states.count(("refused", "filtered_employer_week")) == 9


def own_connection():
    import psycopg
    from psycopg.rows import dict_row

    return psycopg.connect(postgres.conninfo(), autocommit=True, row_factory=dict_row)
