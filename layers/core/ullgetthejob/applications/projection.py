"""The projection of the ledger for the BFF: rows of ``applications`` and ``application_queue``.

The BFF reads these tables and knows only their statuses; Core's own state stands beside them. The
projection is written by the statement that changes the ledger: :data:`INSERTED` and
:data:`UPDATED` are its parts, which read the row from the statement's CTE ``changed``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ullgetthejob.applications import application_states
from ullgetthejob.applications.application import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.applications.application_states import State
    from ullgetthejob.platform.postgres import Connection

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
    "review": "needs_person",
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
    "review": "failed",
    "refused": "failed",
    "cancelled": "failed",
    "expired": "failed",
}


def _by_state(values: Mapping[State, str]) -> str:
    """Return an expression for the value of the state of ``changed``."""
    cases = " ".join(f"WHEN '{state}' THEN '{value}'" for state, value in values.items())
    return f"CASE changed.state {cases} END"


_STATUS = _by_state(PROJECTED_STATUS)
_ITEM_STATUS = _by_state(PROJECTED_ITEM_STATUS)
_NEEDS_PERSON = ", ".join(f"'{state}'" for state in application_states.NEEDS_PERSON)
# The reason; with the link, where its person can do something there.
_REASON_AND_LINK = f"""
    changed.reason || CASE WHEN changed.state IN ({_NEEDS_PERSON}) AND changed.reason <> ''
        AND changed.link <> '' THEN ': ' || changed.link ELSE '' END
"""
# ``timestamp(0)``, as the original stores times: in UTC, without a zone.
_WAITS_UNTIL = (
    "CASE WHEN changed.state = 'waiting_quota' THEN changed.due_at AT TIME ZONE 'UTC' END"
)
_NOW = "%(now)s::timestamptz AT TIME ZONE 'UTC'"
# The row that the BFF reads, for a row of the ledger that is inserted with its id. Its status is
# stored twice: where the BFF has overwritten ``status``, the two differ, and an index has the row.
INSERTED = f"""
    inserted AS (
        INSERT INTO applications (id, user_id, job_id, job_external_id, cover_letter, status,
                                  projected_status, error_message, rate_limited_until, inserted_at,
                                  updated_at)
        SELECT changed.application_id, changed.user_id,
               (SELECT id FROM jobs WHERE external_id = changed.vacancy_id), changed.vacancy_id,
               changed.letter, {_STATUS}, {_STATUS}, changed.reason, {_WAITS_UNTIL}, {_NOW}, {_NOW}
        FROM changed RETURNING id
    )
"""  # noqa: S608
# The same row, after a change, and the item of a campaign, which the BFF reads too. core_state:
# Core's own state.
UPDATED = f"""
    projected AS (
        UPDATE applications
        SET status = {_STATUS}, projected_status = {_STATUS},
            error_message = CASE WHEN changed.state <> 'submitted' THEN {_REASON_AND_LINK} END,
            submitted_at = changed.submitted_at AT TIME ZONE 'UTC',
            hh_negotiation_id = changed.negotiation_id, hh_resume_id = changed.resume_id,
            hh_status = changed.hh_state, cover_letter = changed.letter,
            rate_limited_until = {_WAITS_UNTIL}, updated_at = {_NOW}
        FROM changed WHERE applications.id = changed.application_id
        RETURNING applications.id
    ), projected_item AS (
        UPDATE application_queue
        SET status = {_ITEM_STATUS}, core_state = changed.state, updated_at = {_NOW},
            last_error = CASE WHEN {_ITEM_STATUS} = 'failed'
                THEN coalesce(nullif({_REASON_AND_LINK}, ''), changed.state) END,
            next_run_at = coalesce({_WAITS_UNTIL}, next_run_at),
            attempts = (SELECT count(*) FROM application_attempts WHERE ledger_id = changed.id)
        FROM changed WHERE application_queue.id = changed.queue_item_id
        RETURNING application_queue.id
    )
"""  # noqa: S608
UPDATE_PROJECTION = f"""
    WITH changed AS (
        SELECT {COLUMNS} FROM application_ledger WHERE id = %(id)s FOR NO KEY UPDATE
    ), {UPDATED}
    SELECT FROM changed
"""  # noqa: S608


def project(ledger_id: UUID, *, connection: Connection, now: datetime) -> None:
    """Update the rows that the BFF reads; what it wrote there itself is overwritten."""
    connection.execute(UPDATE_PROJECTION, {"id": ledger_id, "now": now})
