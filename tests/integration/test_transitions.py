"""A change of an application as one statement: what it waits for, and what it holds meanwhile."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from tests.fixtures.database import waiting_sessions
from tests.fixtures.waiting import until
from tests.harness import applying
from ullgetthejob.applications import ledger


def move(harness, row, state, connection):
    now = harness.world.now()
    return ledger.transition(row.id, state, connection=connection, now=now, due_at=now)


def test_transition_waiting_for_a_row_locks_no_account(harness, connect):
    row = harness.row(harness.submit(applying.publish(harness)))
    holder, mover, other = connect(), connect(), connect()
    with ThreadPoolExecutor(1) as pool:
        with holder.transaction():
            holder.execute(
                "SELECT FROM applications WHERE id = %s FOR UPDATE", [row.application_id]
            )
            moved = pool.submit(move, harness, row, "preparing", mover)
            until(lambda: len(waiting_sessions(other)) == 1)
            other.execute("SELECT FROM accounts WHERE id = %s FOR UPDATE NOWAIT", [row.account_id])
        assert moved.result(timeout=30).state == "preparing"


def test_concurrent_transitions_are_numbered_without_a_gap(harness, connect):
    rows = [harness.row(harness.submit(applying.publish(harness))) for _ in range(6)]
    begin = threading.Barrier(len(rows))
    connections = [connect() for _ in rows]

    def change(row, connection):
        begin.wait()
        for state in ("preparing", "queued", "cancelled"):
            move(harness, row, state, connection)

    with ThreadPoolExecutor(len(rows)) as pool:
        list(pool.map(change, rows, connections))
    events = harness.connection.execute(
        "SELECT seq, data FROM events WHERE account_id = %s ORDER BY seq", [harness.account_id]
    ).fetchall()
    assert [event["seq"] for event in events] == list(range(1, 4 * len(rows) + 1))
    for row in rows:
        states = [
            event["data"]["state"]
            for event in events
            if event["data"]["application_id"] == str(row.id)
        ]
        assert states == ["queued", "preparing", "queued", "cancelled"]


def test_one_of_two_equal_transitions_at_once_is_made(harness, connect):
    row = harness.row(harness.submit(applying.publish(harness)))
    holder, first, second, other = (connect() for _ in range(4))

    def change(connection):
        try:
            return move(harness, row, "refused", connection)
        except ledger.ConcurrentUpdate:
            return None

    with ThreadPoolExecutor(2) as pool:
        with holder.transaction():
            holder.execute("SELECT FROM application_ledger WHERE id = %s FOR UPDATE", [row.id])
            changes = [pool.submit(change, each) for each in (first, second)]
            until(lambda: len(waiting_sessions(other)) == 2)
        moved = [change.result(timeout=30) for change in changes]
    assert sorted(each is None for each in moved) == [False, True]
    history = harness.connection.execute(
        "SELECT state FROM application_history WHERE ledger_id = %s ORDER BY id", [row.id]
    ).fetchall()
    assert [step["state"] for step in history] == ["queued", "refused"]
