"""Planning on a real Postgres: each event once, whatever dies and however many plan at once."""

import threading
from datetime import datetime

import psycopg
from psycopg.rows import dict_row

from tests.harness.context import CORE, make_context
from ullgetthejob.notifications import channel_store, planner

WEBHOOK, EMAIL, PHONE = "https://hooks.example.com/1", "anna@example.com", "700000001"


def planned_seq(notified):
    [row] = notified.rows("SELECT planned_seq FROM accounts WHERE id = %s", notified.account_id)
    return row["planned_seq"]


def test_event_is_planned_once_for_each_channel(notified):
    notified.add("webhook", WEBHOOK)
    notified.add("email", EMAIL)
    notified.invite()
    assert notified.plan() == 2
    assert notified.plan() == 0
    rows = notified.notifications("channel_kind", "kind", "state", "first_seq", "last_seq")
    assert sorted(rows) == [
        ("email", "invitation", "waiting", 1, 1), ("webhook", "invitation", "waiting", 1, 1),
    ]  # fmt: skip
    assert planned_seq(notified) == 1


def test_account_without_channels_is_not_planned(notified):
    notified.invite()
    assert notified.plan() == 0
    assert planned_seq(notified) is None
    assert notified.notifications() == []


def test_events_before_the_channel_are_not_told(notified):
    notified.invite()
    notified.add("webhook", WEBHOOK)
    notified.invite()
    notified.add("email", EMAIL)
    notified.invite()
    notified.plan()
    counts = notified.notifications("channel_kind", "(content->>'count')::int", "first_seq")
    assert sorted(counts) == [("email", 1, 3), ("webhook", 2, 2)]


def test_reactivated_channel_misses_what_happened_in_between(notified):
    notified.add("telegram", PHONE)
    notified.add("webhook", WEBHOOK)
    channel_store.disable(
        "telegram", PHONE, reason="blocked", connection=notified.connection, now=notified.now
    )
    notified.invite()
    notified.add("telegram", PHONE)
    notified.plan()
    assert {kind for (kind,) in notified.notifications("channel_kind")} == {"webhook"}


def test_two_planners_at_once_plan_each_event_once(notified):
    notified.add("webhook", WEBHOOK)
    for _ in range(10):
        notified.invite()
    barrier = threading.Barrier(4)
    results = []

    def plan():
        with psycopg.connect(
            notified.database_url, autocommit=True, row_factory=dict_row
        ) as connection:
            context = make_context(connection, lambda: notified.now, caller=CORE)
            barrier.wait()
            results.append(planner.run(notified.account_id, context))

    threads = [threading.Thread(target=plan) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [0, 0, 0, 1]
    assert notified.notifications("(content->>'count')::int", "last_seq") == [(10, 10)]


def test_long_log_is_planned_in_steps(notified, monkeypatch):
    monkeypatch.setattr(planner, "EVENTS_PER_STEP", 2)
    notified.add("webhook", WEBHOOK)
    for _ in range(5):
        notified.invite()
    notified.plan()
    assert notified.notifications("(content->>'count')::int", "last_seq") == [(5, 5)]


def test_events_past_their_retention_do_not_stop_the_planning(notified):
    notified.add("webhook", WEBHOOK)
    notified.invite()
    notified.connection.execute("DELETE FROM events")
    assert notified.plan() == 0
    assert planned_seq(notified) == 1


def test_burst_is_one_message_and_a_later_event_another(notified):
    notified.add("webhook", WEBHOOK)
    notified.invite()
    notified.plan()
    notified.wait(seconds=30)
    notified.invite()
    notified.plan()
    assert notified.notifications("(content->>'count')::int") == [(2,)]
    notified.connection.execute("UPDATE notifications SET state = 'sent', attempts = 1")
    notified.invite()
    notified.plan()
    assert notified.notifications("(content->>'count')::int") == [(2,), (1,)]


def test_message_that_was_tried_is_not_added_to(notified):
    notified.add("webhook", WEBHOOK)
    notified.invite()
    notified.plan()
    notified.connection.execute("UPDATE notifications SET attempts = 1")
    notified.invite()
    notified.plan()
    assert len(notified.notifications()) == 2


def test_what_waits_for_the_person_comes_once_a_day(notified):
    notified.add("email", EMAIL)
    for minutes in range(30):
        notified.application(state="handoff", reason="hh_closed")
        notified.plan()
        notified.wait(minutes=minutes)
    [(count, due_at)] = notified.notifications("(content->>'count')::int", "due_at")
    assert count == 30
    assert due_at == datetime.fromisoformat("2026-11-25T09:00+03:00")


def test_digest_counts_what_happened(notified):
    notified.set(digest={"every": "weekly", "hour": 8, "weekday": 5}, kinds={
        "invitation": {"channels": []}, "digest": {"channels": ["email"]},
    })  # fmt: skip
    notified.add("email", EMAIL)
    notified.invite()
    notified.application()
    notified.plan()
    notified.invite()
    notified.plan()
    [(kind, content, due_at)] = notified.notifications("kind", "content", "due_at")
    assert (kind, content) == ("digest", {"counts": {"invitation": 2, "applied": 1}})
    assert due_at == datetime.fromisoformat("2026-11-27T08:00+03:00")


def test_disabled_channel_is_told_by_the_others(notified):
    notified.add("telegram", PHONE)
    notified.add("email", EMAIL)
    notified.invite()
    notified.plan()
    channel_store.disable(
        "telegram", PHONE, reason="blocked", connection=notified.connection, now=notified.now
    )
    notified.plan()
    rows = notified.notifications("channel_kind", "kind", "state")
    assert sorted(rows) == [
        ("email", "invitation", "waiting"), ("email", "trouble", "waiting"),
        ("telegram", "invitation", "cancelled"),
    ]  # fmt: skip


def test_last_channel_ends_the_planning(notified):
    channel_id = notified.add("email", EMAIL)
    with notified.connection.transaction():
        channel_store.delete(
            channel_id, notified.account_id, connection=notified.connection, now=notified.now
        )
    assert planned_seq(notified) is None
    notified.invite()
    assert notified.plan() == 0


def test_one_address_belongs_to_several_accounts(notified):
    first = notified.add("telegram", PHONE)
    notified.account_id = notified.insert_account()
    second = notified.add("telegram", PHONE)
    assert first != second
    assert notified.add("telegram", PHONE) == second
    disabled = channel_store.disable(
        "telegram", PHONE, reason="blocked", connection=notified.connection, now=notified.now
    )
    assert disabled == 2
    states = notified.rows("SELECT state, reason FROM notification_channels")
    assert states == [{"state": "disabled", "reason": "blocked"}] * 2


def test_address_is_found_after_the_signing_secret_was_rotated(notified, monkeypatch):
    channel_id = notified.add("telegram", PHONE)
    monkeypatch.setenv("SECRET_KEY_BASE_PREVIOUS", "a secret key base of tests, long enough")
    monkeypatch.setenv("SECRET_KEY_BASE", "another secret key base of tests, long enough")
    assert notified.add("telegram", PHONE) == channel_id


def test_addresses_are_stored_as_ciphertexts(notified):
    notified.add("email", EMAIL)
    [row] = notified.rows("SELECT to_jsonb(c)::text AS stored FROM notification_channels c")
    assert "anna" not in row["stored"]
    assert "a…@example.com" in row["stored"]


def test_rolled_back_event_is_not_planned(notified):
    notified.add("webhook", WEBHOOK)
    with notified.connection.transaction(force_rollback=True):
        notified.invite()
    assert notified.plan() == 0
