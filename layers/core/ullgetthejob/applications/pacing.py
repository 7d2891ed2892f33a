"""Pacing: the applications of an autopilot's campaign wait for its ceilings (:mod:`.pace`).

One that may not be sent yet waits in ``waiting_quota`` until its slot, with the ceiling as its
reason. Until then it is not tried again, whatever quota there is, and not moved by what defers the
account's other applications. Those of the campaign that are due with it get the slots after those
that are taken, so that each comes due once, not all at each slot; what its person has to see first
is prepared at once, and waits for its slot when that was approved.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING

from ullgetthejob.applications import ledger
from ullgetthejob.applications.application import COLUMNS, Application
from ullgetthejob.autopilot import ceilings, pace
from ullgetthejob.rate_limits import token_bucket

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.autopilot.pace import Slot
    from ullgetthejob.platform.postgres import Connection

SELECT_DUE_OF_CAMPAIGN = """
    SELECT id, state FROM application_ledger
    WHERE workflow_id = %(workflow_id)s AND account_id = %(account_id)s AND id <> %(id)s
        AND state IN ('queued', 'waiting_quota') AND due_at <= %(now)s
        AND (review <> 'always' OR EXISTS (
            SELECT FROM application_reviews AS review
            WHERE review.ledger_id = application_ledger.id AND review.approved_hash IS NOT NULL
        ))
    ORDER BY created_at, id
"""
COUNT_PACED_OF_CAMPAIGN = """
    SELECT count(*) AS paced FROM application_ledger
    WHERE workflow_id = %(workflow_id)s AND id <> %(id)s
        AND state = 'waiting_quota' AND reason = ANY(%(reasons)s) AND due_at > %(now)s
"""
# The first of each campaign that waits for a slot.
SELECT_FIRST_PACED = f"""
    SELECT DISTINCT ON (workflow_id) {COLUMNS} FROM application_ledger
    WHERE account_id = %(account_id)s AND due_at > %(now)s AND {ledger.IS_PACED}
        AND {ledger.CAMPAIGN_RUNS}
    ORDER BY workflow_id, due_at, created_at, id
"""  # noqa: S608


def bucket() -> pace.Bucket:
    """Return the person's token bucket."""
    rule = token_bucket.rule("submit")
    return pace.Bucket(rule.capacity, timedelta(milliseconds=rule.interval_ms))


def find_slot(application: Application, *, connection: Connection, now: datetime) -> Slot | None:
    """Return the slot that an application waits for; ``None`` where its ceilings, if it has any,
    let it be sent now."""
    if application.workflow_id is None:
        return None
    slots = ceilings.list_slots(
        application.workflow_id, 1, bucket=bucket(), connection=connection, now=now
    )
    return slots[0] if slots and slots[0].at > now else None


def find_next(account_id: UUID, *, connection: Connection, now: datetime) -> Application | None:
    """Return an application that waits for a slot which the ceilings let it have now: those before
    it were not sent after all, or the ceilings are higher. ``None`` without one."""
    values = {"account_id": account_id, "now": now}
    for row in connection.execute(SELECT_FIRST_PACED, values).fetchall():
        application = Application(**row)
        if find_slot(application, connection=connection, now=now) is None:
            return application
    return None


def hold(application: Application, slot: Slot, *, connection: Connection, now: datetime) -> None:
    """Let an application, queued or in preparation, wait for its *slot*, and those of its campaign
    that are due for later ones. Raises :class:`ledger.ConcurrentUpdate`."""
    assert application.workflow_id is not None  # noqa: S101 - it has a slot
    ledger.transition(
        application.id,
        "waiting_quota",
        source=["queued", "preparing", "waiting_quota"],
        reason=slot.reason,
        due_at=slot.at,
        connection=connection,
        now=now,
    )
    values = {**vars(application), "now": now, "reasons": list(pace.REASONS)}
    due = connection.execute(SELECT_DUE_OF_CAMPAIGN, values).fetchall()
    if not due:
        return
    counted = connection.execute(COUNT_PACED_OF_CAMPAIGN, values).fetchone()
    taken = 1 + (counted["paced"] if counted else 0)
    slots = ceilings.list_slots(
        application.workflow_id, taken + len(due), bucket=bucket(), connection=connection, now=now
    )
    for row, later in zip(due, slots[taken:], strict=False):
        with contextlib.suppress(ledger.ConcurrentUpdate):
            ledger.transition(
                row["id"],
                "waiting_quota",
                source=[row["state"]],
                reason=later.reason,
                due_at=later.at,
                connection=connection,
                now=now,
            )
