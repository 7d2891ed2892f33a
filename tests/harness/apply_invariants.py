"""Invariants of applications at the end of a test, whichever worker's process ended before. The
sandbox's own log says what hh.ru was asked for."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.applications import projection
from ullgetthejob.platform import aws, settings
from ullgetthejob.rate_limits import daily_limit, token_bucket

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    from tests.fixtures.hh_sandbox import HhSandbox

    Connection = psycopg.Connection[dict[str, Any]]

FINAL = ("submitted", "refused", "cancelled", "expired")
DAY = timedelta(hours=24)
ROWS = """
    SELECT l.*, p.id AS shown, p.status, p.error_message, p.submitted_at AS shown_submitted_at,
           p.hh_negotiation_id, p.rate_limited_until
    FROM application_ledger l LEFT JOIN applications p ON p.id = l.application_id
    WHERE l.account_id = %s
"""
LAST_STEP = """
    SELECT DISTINCT ON (ledger_id) ledger_id, h.state FROM application_history h
    JOIN application_ledger l ON l.id = h.ledger_id WHERE l.account_id = %s
    ORDER BY ledger_id, h.id DESC
"""
SENT = """
    SELECT count(*) AS sent FROM application_attempts a
    LEFT JOIN application_outcomes o ON o.attempt_id = a.id
    WHERE a.account_id = %s AND o.outcome NOT IN ('not_sent', 'by_hand')
"""


def check_invariants(
    account_id: UUID, person: str, *, sandbox: HhSandbox, connection: Connection
) -> None:
    """Assert that each vacancy was applied to once, that nothing is stuck, and that the projection
    is that of the ledger."""
    rows = connection.execute(ROWS, [account_id]).fetchall()
    log = sandbox.applications(person=person)
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    by_hand = set()
    for entry in log:
        outcomes[entry["vacancy_id"]][entry["outcome"]] += 1
        if entry["by"] == "hand":
            by_hand.add(entry["vacancy_id"])
    for row in rows:
        at_hh = outcomes[row["vacancy_id"]]
        details = (row["vacancy_id"], row["state"], row["reason"], dict(at_hh))
        assert at_hh["accepted"] == (row["state"] == "submitted"), details
        assert not at_hh["already_applied"] or row["vacancy_id"] in by_hand, details
        if row["state"] not in (*FINAL, "needs_person", "handoff"):
            assert row["due_at"] is not None, details
        _check_projection(row)
    _check_history(account_id, rows, connection)
    check_days(log)


def check_days(log: list[dict[str, Any]]) -> int:
    """Assert hh.ru's limit of 200 in any 24 hours; return the highest number in 24 hours."""
    times = [datetime.fromisoformat(entry["at"]) for entry in log if entry["outcome"] == "accepted"]
    most = max((sum(end - DAY < at <= end for at in times) for end in times), default=0)
    assert most <= daily_limit.DAY_LIMIT
    return most


def tokens_spent(account_id: UUID) -> int:
    """Return how many tokens the bucket has granted, of the last twenty."""
    spend_ids = _bucket(account_id)["ids"]["L"]
    return sum(spend_id["S"] != token_bucket.NO_SPEND for spend_id in spend_ids)


def was_full_at(account_id: UUID) -> datetime:
    """Return when the bucket was last full, if no more than twenty tokens were granted since."""
    return _full_at(account_id) - tokens_spent(account_id) * _interval()


def spent_since(account_id: UUID, was_full: datetime) -> int:
    """Return how many tokens the bucket has granted since *was_full*, if it never was full again
    in between."""
    return round((_full_at(account_id) - was_full) / _interval())


def calls_made(account_id: UUID, *, connection: Connection) -> int:
    """Return the number of attempts that reached hh.ru, or may have."""
    made = connection.execute(SENT, [account_id]).fetchone()
    assert made is not None
    return int(made["sent"])


def _full_at(account_id: UUID) -> datetime:
    return datetime.fromtimestamp(int(_bucket(account_id)["tat"]["N"]) / 1000, UTC)


def _interval() -> timedelta:
    return timedelta(milliseconds=token_bucket.rule("submit").interval_ms)


def _bucket(account_id: UUID) -> dict[str, Any]:
    request = {
        "TableName": settings.BUCKET_TABLE(),
        "Key": {"pk": {"S": f"submit#{account_id}"}},
        "ConsistentRead": True,
    }
    item: dict[str, Any] = aws.call("dynamodb", "GetItem", request).get("Item", {"ids": {"L": []}})
    return item


def _check_projection(row: dict[str, Any]) -> None:
    """Assert that the row that the BFF reads is the projection of the ledger's."""
    waits_until = row["due_at"] if row["state"] == "waiting_quota" else None
    assert row["shown"] is not None
    needs_person = row["state"] in ("needs_person", "handoff") and row["link"]
    reason = f"{row['reason']}: {row['link']}" if needs_person else row["reason"]
    shown = {
        "status": row["status"],
        "error_message": row["error_message"],
        "submitted_at": row["shown_submitted_at"],
        "hh_negotiation_id": row["hh_negotiation_id"],
        "rate_limited_until": row["rate_limited_until"],
    }
    assert shown == {
        "status": projection.PROJECTED_STATUS[row["state"]],
        "error_message": None if row["state"] == "submitted" else reason,
        "submitted_at": _whole_seconds(row["submitted_at"]),
        "hh_negotiation_id": row["negotiation_id"],
        "rate_limited_until": _whole_seconds(waits_until),
    }, row


def _check_history(account_id: UUID, rows: list[dict[str, Any]], connection: Connection) -> None:
    """Assert that the last step of each row's history is its state, and that the event log has no
    gap."""
    last = connection.execute(LAST_STEP, [account_id]).fetchall()
    assert {step["ledger_id"]: step["state"] for step in last} == {
        row["id"]: row["state"] for row in rows
    }
    found = connection.execute(
        "SELECT count(*) AS events, max(seq) AS last FROM events WHERE account_id = %s",
        [account_id],
    ).fetchone()
    assert found is not None
    assert found["events"] == found["last"]


def _whole_seconds(moment: datetime | None) -> datetime | None:
    """Return *moment* as the original's ``timestamp(0)`` rounds it."""
    if moment is None:
        return None
    rounded = moment + timedelta(seconds=0.5)
    return rounded.astimezone(UTC).replace(microsecond=0, tzinfo=None)
