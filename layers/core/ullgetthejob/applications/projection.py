"""The projection of the ledger for the BFF: rows of ``applications`` and ``application_queue``.

The BFF reads these tables and knows only their statuses; Core's own state stands beside them.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from ullgetthejob.applications import application_states

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    from ullgetthejob.applications.application import Application
    from ullgetthejob.applications.application_states import State

    Connection = psycopg.Connection[dict[str, Any]]

# The status that the BFF shows. Core never writes "pending": found there, it asks for a retry.
PROJECTED_STATUS: dict[State, str] = {
    "queued": "processing",
    "preparing": "processing",
    "waiting_quota": "rate_limited",
    "submitting": "processing",
    "uncertain": "processing",
    "submitted": "submitted",
    "needs_person": "needs_person",
    "handoff": "needs_person",
    "refused": "failed",
    "cancelled": "cancelled",
    "expired": "failed",
}
# The same of an item of a campaign: in application_queue.status the BFF, its page and the original
# know only these statuses, besides "pending" and the BFF's own "customizing".
PROJECTED_ITEM_STATUS: dict[State, str] = {
    "queued": "ready",
    "preparing": "ready",
    "waiting_quota": "rate_limited",
    "submitting": "submitting",
    "uncertain": "submitting",
    "submitted": "submitted",
    "needs_person": "failed",
    "handoff": "failed",
    "refused": "failed",
    "cancelled": "failed",
    "expired": "failed",
}
# The row that the BFF reads, for a row of the ledger that has none yet. Its status is stored twice:
# where the BFF has overwritten ``status``, the two differ, and an index has the row.
INSERT_PROJECTION = """
    WITH made AS (
        INSERT INTO applications (user_id, job_id, job_external_id, cover_letter, status,
                                  projected_status, error_message, rate_limited_until, inserted_at,
                                  updated_at)
        VALUES (%(user_id)s, (SELECT id FROM jobs WHERE external_id = %(vacancy_id)s),
                %(vacancy_id)s, %(letter)s, %(status)s, %(status)s,
                (SELECT reason FROM application_ledger WHERE id = %(id)s),
                (SELECT due_at AT TIME ZONE 'UTC' FROM application_ledger
                 WHERE id = %(id)s AND state = 'waiting_quota'), %(utc)s, %(utc)s)
        RETURNING id
    )
    UPDATE application_ledger SET application_id = made.id FROM made
    WHERE application_ledger.id = %(id)s
"""
UPDATE_PROJECTION = """
    UPDATE applications
    SET status = %(status)s, projected_status = %(status)s, error_message = %(error)s,
        submitted_at = %(submitted_at)s,
        hh_negotiation_id = %(negotiation_id)s, hh_resume_id = %(resume_id)s,
        hh_status = %(hh_state)s, cover_letter = %(letter)s,
        rate_limited_until = %(until)s, updated_at = %(now)s
    WHERE id = %(application_id)s
"""
# The item of a campaign, which the BFF reads too. core_state: Core's own state.
UPDATE_QUEUE_ITEM_PROJECTION = """
    UPDATE application_queue
    SET status = %(status)s, core_state = %(state)s, last_error = %(error)s, updated_at = %(now)s,
        next_run_at = coalesce(%(until)s, next_run_at),
        attempts = (SELECT count(*) FROM application_attempts WHERE ledger_id = %(id)s)
    WHERE id = %(queue_item_id)s
"""


def project(application: Application, *, connection: Connection, now: datetime) -> None:
    """Update the rows that the BFF reads; what it wrote there itself is overwritten."""
    waits = application.state == "waiting_quota"
    connection.execute(
        UPDATE_PROJECTION,
        {
            "application_id": application.application_id,
            "status": PROJECTED_STATUS[application.state],
            "error": None if application.state == "submitted" else _reason_and_link(application),
            "submitted_at": _utc(application.submitted_at),
            "negotiation_id": application.negotiation_id,
            "resume_id": application.resume_id,
            "hh_state": application.hh_state,
            "letter": application.letter,
            "until": _utc(application.due_at) if waits else None,
            "now": _utc(now),
        },
    )
    if application.queue_item_id is not None:
        connection.execute(
            UPDATE_QUEUE_ITEM_PROJECTION,
            {
                "id": application.id,
                "queue_item_id": application.queue_item_id,
                "status": PROJECTED_ITEM_STATUS[application.state],
                "state": application.state,
                "error": _last_error(application),
                "until": _utc(application.due_at) if waits else None,
                "now": _utc(now),
            },
        )


def _last_error(application: Application) -> str | None:
    """Return why the item failed; ``None`` where it did not."""
    if PROJECTED_ITEM_STATUS[application.state] != "failed":
        return None
    return _reason_and_link(application) or application.state


def _reason_and_link(application: Application) -> str | None:
    """Return the reason; with the link, where its person can do something there."""
    needs_person = application.state in application_states.NEEDS_PERSON
    if needs_person and application.reason and application.link:
        return f"{application.reason}: {application.link}"
    return application.reason


def _utc(moment: datetime | None) -> datetime | None:
    """Return *moment* as the original's ``timestamp(0)`` stores it: in UTC, without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment else None
