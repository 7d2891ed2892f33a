"""Raises on schedule: the applier makes those of an account that are due, one after another.

Doubled wake-ups are harmless: a resume is claimed for its raise, and hh.ru raises it once in four
hours. Before it acts, the worker looks at the schedule again: after a pause or an outage the hour
may no longer be the person's.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ullgetthejob.accounts import people
from ullgetthejob.hh.errors import HHError
from ullgetthejob.platform.errors import AppError
from ullgetthejob.platform.telemetry import logger
from ullgetthejob.resume_raises import raising, rules, store
from ullgetthejob.resume_raises.store import ClaimLost

if TYPE_CHECKING:
    from uuid import UUID

    from ullgetthejob.platform.context import Context
    from ullgetthejob.resume_raises.store import ResumeRaise

BUDGET_S = 8.0  # what may be begun, after the submitter has had its time


def run(account_id: UUID, context: Context) -> bool:
    """Raise the account's resumes that are due, and settle lost calls; return whether some are left
    for another wake-up."""
    ends = time.monotonic() + BUDGET_S
    for row in store.list_due(account_id, connection=context.connection, now=context.now()):
        if time.monotonic() >= ends:
            return True
        _run_one(row, context)
    return False


def _run_one(row: ResumeRaise, context: Context) -> None:
    connection, now = context.connection, context.now()
    if row.asked_at is None and row.due_at is not None:
        due_at = rules.still_due(row.schedule, row.due_at, now=now, allowed_at=row.next_raise_at)
        if due_at is None or due_at > now:
            store.postpone(row, due_at, connection=connection)
            return
    try:
        claimed = store.claim(row.account_id, row.resume_id, connection=connection, now=now)
        if claimed is not None and row.user_id is not None:
            person = people.find_by_account(row.account_id, user_id=row.user_id)
            raising.raise_claimed(claimed, person, context, by="schedule")
    except ClaimLost:
        logger.info("a resume was claimed by another worker")
    except (HHError, AppError) as error:  # recorded, or tried again in a minute
        logger.info("a resume was not raised", error_type=type(error).__name__)
