"""Item intake: applications are created from pending items, as from single requests."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid5

from pydantic import ValidationError

from ullgetthejob.accounts import people
from ullgetthejob.applications import application_states, idempotency, ledger, projection
from ullgetthejob.applications.acceptance import create_application
from ullgetthejob.applications.campaigns import send_schedule
from ullgetthejob.applications.campaigns.store import COLUMNS, Campaign
from ullgetthejob.applications.submission import SubmitBody
from ullgetthejob.platform import periodic, queues
from ullgetthejob.platform.errors import Conflict, Invalid, NotFound
from ullgetthejob.platform.telemetry import count, logger

if TYPE_CHECKING:
    from datetime import datetime

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.application import Application
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection


INTAKE_BATCH = 200  # items of a campaign that become applications at a start, and in each minute
SWEEP_BATCH = 500  # campaigns
SWEEP_BUDGET_S = 20.0  # the time within which a sweep may begin with another campaign
READOPTABLE_STATES: tuple[application_states.State, ...] = ("cancelled", "expired")
# "pending" is new, or to be retried; "ready" is the BFF's until Core has created the application.
IS_PENDING_SQL = "(q.status = 'pending' OR q.status = 'ready' AND q.core_state IS NULL)"
# The BFF stores the letter for a vacancy in custom_cvs.
SELECT_PENDING_ITEMS = f"""
    SELECT q.id, q.user_id, u.account_id, q.job_external_id, q.payload, custom.cover_letter
    FROM application_queue q JOIN users u ON u.id = q.user_id LEFT JOIN LATERAL (
        SELECT c.cover_letter FROM custom_cvs c
        WHERE c.cv_id = q.cv_id AND c.job_id = q.job_id AND c.cover_letter IS NOT NULL
        ORDER BY c.updated_at DESC LIMIT 1
    ) custom ON true
    WHERE q.workflow_id = %(workflow_id)s AND {IS_PENDING_SQL}
    ORDER BY coalesce(q.priority, 0), q.created_at, q.id LIMIT %(most)s
"""  # noqa: S608
COUNT_PENDING_ITEMS = f"""
    SELECT count(*) AS items FROM application_queue q
    WHERE q.workflow_id = %(workflow_id)s AND {IS_PENDING_SQL}
"""  # noqa: S608
SELECT_CAMPAIGNS_WITH_PENDING_ITEMS = f"""
    SELECT {COLUMNS} FROM campaigns c
    WHERE c.state = 'running' AND EXISTS (
        SELECT FROM application_queue q WHERE q.workflow_id = c.workflow_id AND {IS_PENDING_SQL}
    )
    ORDER BY c.updated_at LIMIT %(most)s
"""  # noqa: S608
LOCK_RUNNING_CAMPAIGN = """
    SELECT FROM campaigns WHERE workflow_id = %(workflow_id)s AND state = 'running' FOR SHARE
"""
LOCK_PENDING_ITEM = f"""
    SELECT FROM application_queue q WHERE q.id = %(id)s AND {IS_PENDING_SQL}
    FOR UPDATE SKIP LOCKED
"""
UPDATE_QUEUE_ITEM_FAILED = """
    UPDATE application_queue
    SET status = 'failed', core_state = 'refused', last_error = %(reason)s, updated_at = %(utc)s
    WHERE id = %(id)s
"""
# An application that was cancelled or expired before it was sent is adopted by the item and queued
# again; so is the item's own application where the BFF has set the item to pending.
UPDATE_APPLICATION_ADOPTED = """
    UPDATE application_ledger
    SET workflow_id = %(workflow_id)s, queue_item_id = %(item_id)s, user_id = %(user_id)s,
        letter = %(letter)s, letter_template_id = %(letter_template_id)s, review = %(review)s,
        min_fit = %(min_fit)s, wanted_resume_id = %(resume_id)s, expires_at = %(expires_at)s,
        repost = coalesce(%(repost)s, repost)
    WHERE id = %(id)s AND state = %(state)s
"""


def create_applications(campaign: Campaign, context: Context) -> int:
    """Create applications from pending items, each in a transaction of its own; return how many."""
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    values = {"workflow_id": campaign.workflow_id, "most": INTAKE_BATCH}
    items = connection.execute(SELECT_PENDING_ITEMS, values).fetchall()
    send_times = []
    if items:
        send_times = send_schedule.forecast_items(
            campaign, len(items), connection=connection, now=now
        )
    created = 0
    for position, (item, send_at) in enumerate(zip(items, send_times, strict=True)):
        with connection.transaction():
            if connection.execute(LOCK_RUNNING_CAMPAIGN, values).fetchone() is None:
                break
            if connection.execute(LOCK_PENDING_ITEM, item).fetchone() is None:
                continue
            # A microsecond apart: the submitter, too, takes them in the order of their priorities.
            moment = now + position * timedelta(microseconds=1)
            in_order = context.with_fixed_time(moment)
            reason = _create_application(item, campaign, send_at, in_order)
            if reason is not None:
                failed = {"id": item["id"], "reason": reason, "utc": now.replace(tzinfo=None)}
                connection.execute(UPDATE_QUEUE_ITEM_FAILED, failed)
                count("CampaignItemsFailed")
        created += reason is None
    if created:
        # Those that failed or were refused at once leave their times to those after them.
        send_schedule.compact_schedule(campaign.account_id, connection=connection, now=now)
        queues.notify(ledger.QUEUE, {"account_id": str(campaign.account_id)})
        logger.info("applications created from items of a campaign", items=created)
    return created


def sweep(context: Context) -> int:
    """Create applications from items that were added to running campaigns; return how many."""
    ends = time.monotonic() + SWEEP_BUDGET_S

    def create(row: dict[str, Any]) -> int:
        if time.monotonic() >= ends:
            return 0
        return create_applications(Campaign(**row), context)

    campaigns = context.connection.execute(
        SELECT_CAMPAIGNS_WITH_PENDING_ITEMS, {"most": SWEEP_BATCH}
    ).fetchall()
    return periodic.for_each(campaigns, create)


def _create_application(
    item: dict[str, Any],
    campaign: Campaign,
    send_at: datetime,
    context: Context,
) -> str | None:
    """Create an application from an item; return ``None``, or the reason why there is none."""
    import psycopg

    if item["account_id"] is None:
        return "not_connected"
    if item["account_id"] != campaign.account_id:
        return "another_account"
    try:
        body = to_body(item)
        person = people.find_by_account(campaign.account_id, user_id=item["user_id"])
        with context.connection.transaction():
            return _create_or_adopt(item, body, person, campaign, send_at, context)
    except (ValidationError, psycopg.DataError):
        return "bad_arguments"
    except (Invalid, NotFound) as error:
        return error.code
    except (Conflict, ledger.ConcurrentUpdate):
        return "duplicate"


def _create_or_adopt(
    item: dict[str, Any],
    body: SubmitBody,
    person: Person,
    campaign: Campaign,
    send_at: datetime,
    context: Context,
) -> str | None:
    """Create the application of an item, or make the account's earlier one the item's own; return
    ``None``, or the reason why neither is possible. Raises as :func:`create_application` does."""
    connection, now = context.connection, context.now()
    application, is_new = create_application(
        body,
        person,
        context,
        key=f"queue:{uuid5(item['id'], body.model_dump_json())}",
        wait=send_at if send_at > now else None,
        workflow_id=campaign.workflow_id,
        queue_item_id=item["id"],
    )
    is_own = application.queue_item_id == item["id"]
    if is_new or (is_own and application.state not in application_states.RETRYABLE):
        projection.project(application.id, connection=connection, now=now)
        return None
    if not is_own and (reason := reason_of_duplicate(application)):
        return reason
    values = {
        **body.ledger_values,
        "workflow_id": campaign.workflow_id,
        "item_id": item["id"],
        "user_id": item["user_id"],
        "expires_at": send_at + ledger.APPLICATION_TTL,
    }
    _adopt(application, values, connection=connection, now=now)
    return None


def reason_of_duplicate(application: Application) -> str | None:
    """Return why an item gets no application beside the account's earlier *application* to the
    vacancy; ``None`` if the item adopts that one."""
    if application.state in READOPTABLE_STATES:
        return None
    return idempotency.reason_of_duplicate(application)


def _adopt(
    application: Application,
    values: dict[str, Any],
    *,
    connection: Connection,
    now: datetime,
) -> None:
    """Make an earlier application the item's own, with the *values* of that, and queue it again."""
    connection.execute(
        UPDATE_APPLICATION_ADOPTED,
        {**values, "id": application.id, "state": application.state},
    )
    ledger.transition(
        application.id,
        "queued",
        source=[application.state],
        reason="retried",
        due_at=now,
        connection=connection,
        now=now,
    )


def to_body(item: dict[str, Any]) -> SubmitBody:
    """Return an item as the body of a submit request. Raises ``ValidationError``."""
    payload = item["payload"] if isinstance(item["payload"], dict) else {}
    found = {
        snake: payload.get(snake, payload.get(camel))
        for snake, camel in (
            ("cover_letter", "coverLetter"),
            ("hh_resume_id", "hhResumeId"),
            ("customized_cv", "customizedCv"),
            ("repost", "repost"),
            ("letter_template_id", "letterTemplateId"),
            ("review", "review"),
            ("min_fit", "minFit"),
        )
    }
    if found["letter_template_id"] is None:
        found["cover_letter"] = found["cover_letter"] or item["cover_letter"]
    given = {name: value for name, value in found.items() if value is not None}
    return SubmitBody(job_external_id=item["job_external_id"], **given)
