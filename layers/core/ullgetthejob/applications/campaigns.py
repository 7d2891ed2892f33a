"""Campaigns: many vacancies under one workflow id, over the same ledger.

A campaign's items are the rows of ``application_queue`` with its workflow id. The BFF writes them
itself, or they are added here. While the campaign runs, each item that is ``pending`` is taken up:
it becomes an application by the way that a single one goes, and from then on shows where that
stands. The sweeper takes up what was added later.

    created     known, nothing goes out
    running     its items go out as the limits let them, behind what was submitted by itself
    paused      nothing goes out that is not out yet; each application stays what it is
    cancelled   what was not out is cancelled

An item fails alone. It shows, in the words of the table that the BFF shares: ``pending``,
``processing``, ``rate_limited``, ``completed``, ``failed`` and ``needs_person`` with the reason in
``last_error``, ``cancelled``. Deleting the row cancels what is not out.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID, uuid4, uuid5

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ullgetthejob.accounts import audit, people
from ullgetthejob.applications import ledger, quota
from ullgetthejob.applications.submit import SubmitBody, enter
from ullgetthejob.platform import queues
from ullgetthejob.platform.errors import Conflict, Invalid, NotFound, Unavailable
from ullgetthejob.platform.telemetry import count, logger

if TYPE_CHECKING:
    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.authentication import Caller

    Connection = psycopg.Connection[dict[str, Any]]

State = Literal["created", "running", "paused", "cancelled"]

AT_ONCE = 200  # items of a campaign that are taken up at a start, and a minute
CANCELLED_AT_ONCE = 500
HOUR = timedelta(hours=1)
SWEEP_S = 20.0  # what may be begun within a sweep
GIVEN_UP_STATES: tuple[ledger.State, ...] = ("cancelled", "expired")
NOT_OUT = ledger.MAY_FOLLOW["cancelled"]
NOT_OF_A_JOB = {"workflow_id", "workflowId", "user_id", "userId"}

FIND = """
    SELECT workflow_id, account_id, user_id, state, job_count, created_at, updated_at
    FROM campaigns WHERE workflow_id = %(workflow_id)s
"""
MAKE = """
    INSERT INTO campaigns (workflow_id, account_id, user_id, state, created_at, updated_at)
    VALUES (%(workflow_id)s, %(account_id)s, %(user_id)s, 'created', %(now)s, %(now)s)
    ON CONFLICT DO NOTHING
"""
LOCK = "SELECT FROM campaigns WHERE workflow_id = %(workflow_id)s FOR UPDATE"
TURN = """
    UPDATE campaigns SET state = %(state)s, updated_at = %(now)s
    WHERE workflow_id = %(workflow_id)s AND state = ANY(%(from)s)
"""
COUNT_JOBS = """
    UPDATE campaigns SET job_count = %(job_count)s, updated_at = %(now)s
    WHERE workflow_id = %(workflow_id)s
"""
WHOSE_ITEMS = """
    SELECT count(*) AS items, count(*) FILTER (WHERE u.account_id = %(account_id)s) AS own
    FROM application_queue q JOIN users u ON u.id = q.user_id
    WHERE q.workflow_id = %(workflow_id)s
"""
ADD = """
    INSERT INTO application_queue (workflow_id, user_id, job_id, job_external_id, status, payload,
                                   priority, next_run_at, created_at, updated_at)
    SELECT %(workflow_id)s, %(user_id)s, (SELECT id FROM jobs WHERE external_id = %(vacancy_id)s),
           %(vacancy_id)s, 'pending', %(payload)s::jsonb, %(priority)s, %(utc)s, %(utc)s, %(utc)s
    WHERE NOT EXISTS (SELECT FROM application_queue
                      WHERE workflow_id = %(workflow_id)s AND job_external_id = %(vacancy_id)s)
"""
ITEMS = """
    SELECT q.id, q.job_external_id, q.status, q.last_error, q.attempts, q.next_run_at,
           q.created_at, l.id AS application_id
    FROM application_queue q LEFT JOIN application_ledger l
        ON l.workflow_id = q.workflow_id AND l.queue_item_id = q.id
    WHERE q.workflow_id = %(workflow_id)s
    ORDER BY q.priority, q.created_at, q.id LIMIT %(limit)s OFFSET %(offset)s
"""
STATUSES = """
    SELECT status, count(*) AS items FROM application_queue
    WHERE workflow_id = %(workflow_id)s GROUP BY status
"""
# The letter that the BFF had written for a vacancy lies in custom_cvs.
PENDING = """
    SELECT q.id, q.user_id, u.account_id, q.job_external_id, q.payload, custom.cover_letter
    FROM application_queue q JOIN users u ON u.id = q.user_id LEFT JOIN LATERAL (
        SELECT c.cover_letter FROM custom_cvs c
        WHERE c.cv_id = q.cv_id AND c.job_id = q.job_id AND c.cover_letter IS NOT NULL
        ORDER BY c.updated_at DESC LIMIT 1
    ) custom ON true
    WHERE q.workflow_id = %(workflow_id)s AND q.status = 'pending'
    ORDER BY q.priority, q.created_at, q.id LIMIT %(most)s
"""
STILL_RUNS = """
    SELECT FROM campaigns WHERE workflow_id = %(workflow_id)s AND state = 'running' FOR SHARE
"""
STILL_PENDING = """
    SELECT FROM application_queue WHERE id = %(id)s AND status = 'pending' FOR UPDATE SKIP LOCKED
"""
FAIL = """
    UPDATE application_queue SET status = 'failed', last_error = %(reason)s, updated_at = %(utc)s
    WHERE id = %(id)s
"""
# An application that was given up before it was out begins anew as an item; so does an item's own
# that the BFF has made pending again.
ADOPT = """
    UPDATE application_ledger
    SET workflow_id = %(workflow_id)s, queue_item_id = %(item_id)s, user_id = %(user_id)s,
        letter = %(letter)s, wanted_resume_id = %(resume_id)s, expires_at = %(expires_at)s
    WHERE id = %(id)s AND state = %(state)s
"""
# Pausing is not waiting: what was paused is not given up for it.
EXTEND = """
    UPDATE application_ledger SET expires_at = greatest(expires_at, %(expires_at)s)
    WHERE workflow_id = %(workflow_id)s AND state = ANY(%(states)s)
"""
# The account's line: whatever waits, and what goes before the last one of the campaign.
LINE = f"""
    SELECT count(*) AS everybody,
           count(*) FILTER (WHERE workflow_id IS NULL OR workflow_id = %(workflow_id)s
                            OR due_at <= (SELECT max(due_at) FROM application_ledger
                                          WHERE workflow_id = %(workflow_id)s
                                            AND state = ANY(%(states)s))) AS before_last
    FROM application_ledger
    WHERE account_id = %(account_id)s AND state = ANY(%(states)s) AND {ledger.NOT_HELD_BACK}
"""  # noqa: S608
# What will be taken up, of this campaign and of those that run.
TO_COME = """
    SELECT count(*) AS items FROM application_queue q LEFT JOIN campaigns c USING (workflow_id)
    WHERE q.status = 'pending' AND (q.workflow_id = %(workflow_id)s
                                    OR c.account_id = %(account_id)s AND c.state = 'running')
"""
NOT_OUT_OF_CAMPAIGN = """
    SELECT id FROM application_ledger
    WHERE workflow_id = %(workflow_id)s AND state = ANY(%(states)s) LIMIT %(most)s
"""
WAITS_IN_LINE = f"""
    SELECT id, due_at FROM application_ledger
    WHERE account_id = %(account_id)s AND state = 'waiting_quota' AND {ledger.NOT_HELD_BACK}
    ORDER BY workflow_id IS NOT NULL, due_at, created_at, id FOR UPDATE
"""  # noqa: S608
MOVE_UP = """
    WITH moved AS (
        UPDATE application_ledger l SET due_at = m.due_at
        FROM unnest(%(ids)s::uuid[], %(moments)s::timestamptz[]) AS m (id, due_at)
        WHERE l.id = m.id RETURNING l.application_id, l.queue_item_id, l.due_at
    ), shown AS (
        UPDATE applications a SET rate_limited_until = moved.due_at AT TIME ZONE 'UTC'
        FROM moved WHERE a.id = moved.application_id
    )
    UPDATE application_queue q SET next_run_at = moved.due_at AT TIME ZONE 'UTC'
    FROM moved WHERE q.id = moved.queue_item_id
"""
CANCEL_PENDING = """
    UPDATE application_queue q SET status = 'cancelled', updated_at = %(utc)s FROM campaigns c
    WHERE c.workflow_id = q.workflow_id AND c.state = 'cancelled' AND q.status = 'pending'
      AND (%(workflow_id)s::uuid IS NULL OR q.workflow_id = %(workflow_id)s)
"""
GIVEN_UP = """
    SELECT l.id, l.account_id, c.state = 'cancelled' AS cancelled
    FROM application_ledger l JOIN campaigns c ON c.workflow_id = l.workflow_id
    LEFT JOIN application_queue q ON q.id = l.queue_item_id
    WHERE l.workflow_id IS NOT NULL AND l.state = ANY(%(states)s)
      AND (c.state = 'cancelled' OR q.id IS NULL)
    LIMIT %(most)s
"""
TO_TAKE_UP = """
    SELECT c.workflow_id FROM campaigns c
    WHERE c.state = 'running' AND EXISTS (
        SELECT FROM application_queue q WHERE q.workflow_id = c.workflow_id AND q.status = 'pending'
    )
    ORDER BY c.updated_at LIMIT %(most)s
"""


def _either(snake: str, camel: str) -> AliasChoices:
    """The BFF writes camelCase, Core's own words are snake_case."""
    return AliasChoices(snake, camel)


class WorkflowBody(BaseModel):
    """Which campaign; *user_id*: for a service without a token of the user. Both spellings."""

    workflow_id: UUID = Field(validation_alias=_either("workflow_id", "workflowId"))
    user_id: str | None = Field(None, validation_alias=_either("user_id", "userId"))


class CustomizeBody(WorkflowBody):
    """How many vacancies the BFF has put into the campaign."""

    job_count: Annotated[int, Field(ge=0, le=1_000_000)] | None = Field(
        None, validation_alias=_either("job_count", "jobCount")
    )


class CampaignJob(BaseModel):
    """One vacancy. What else comes is kept with the item."""

    model_config = ConfigDict(extra="allow")

    job_external_id: Annotated[str, Field(min_length=1, max_length=255)] = Field(
        validation_alias=_either("job_external_id", "jobExternalId"),
        description="hh.ru's id of the vacancy",
    )
    cover_letter: str | None = Field(None, validation_alias=_either("cover_letter", "coverLetter"))
    hh_resume_id: str | None = Field(None, validation_alias=_either("hh_resume_id", "hhResumeId"))
    priority: Annotated[int, Field(ge=-1000, le=1000)] = Field(
        0, description="the lower, the earlier it is taken up"
    )


class AddBody(BaseModel):
    """Vacancies for a campaign; without *workflow_id*, for a new one. Either *jobs*, or the fields
    of a single one."""

    workflow_id: UUID | None = Field(None, validation_alias=_either("workflow_id", "workflowId"))
    user_id: str | None = Field(None, validation_alias=_either("user_id", "userId"))
    jobs: Annotated[list[CampaignJob], Field(max_length=500)] = []

    @model_validator(mode="before")
    @classmethod
    def _single(cls, sent: Any) -> Any:
        if not isinstance(sent, dict) or "jobs" in sent:
            return sent
        job = {name: value for name, value in sent.items() if name not in NOT_OF_A_JOB}
        rest = {name: value for name, value in sent.items() if name in NOT_OF_A_JOB}
        return {**rest, "jobs": [job]} if job else sent


class WorkflowQuery(BaseModel):
    """Which campaign; whose, for a service without a token of the user."""

    workflow_id: UUID = Field(validation_alias=_either("workflow_id", "workflowId"))
    user_id: str | None = None


class StatusQuery(WorkflowQuery):
    """And a page of its items."""

    page: Annotated[int, Field(ge=0, le=10_000)] = 0
    per_page: Annotated[int, Field(ge=1, le=100)] = 50


class CampaignAnswer(BaseModel):
    """A campaign, in both spellings where callers use them. *status*: its state, or ``completed``
    when nothing of it is left to do."""

    success: Literal[True] = True
    workflow_id: UUID
    workflowId: UUID  # noqa: N815
    status: Literal["created", "running", "paused", "cancelled", "completed"]
    job_count: int | None = Field(description="as the BFF counted them")
    pending_count: int = Field(description="applications that are not out yet")
    hours_needed: float | None
    estimated_completion: datetime | None = Field(
        description="when the last one may go out, by both limits and what else waits; null: "
        "nothing is left, or nothing goes on"
    )
    estimatedCompletion: datetime | None  # noqa: N815
    message: str


class AddedToCampaign(CampaignAnswer):
    """*queued_count*: how many of the vacancies were not in the campaign before."""

    queued_count: int
    queuedCount: int  # noqa: N815


class ItemCounts(BaseModel):
    """Items by what they show."""

    pending: int = 0
    processing: int = 0
    rate_limited: int = 0
    completed: int = 0
    failed: int = 0
    needs_person: int = 0
    cancelled: int = 0


class CampaignProgress(CampaignAnswer):
    """How far a campaign is. *waiting*: neither out nor over."""

    total: int
    completed: int
    failed: int
    waiting: int
    needs_person: int
    cancelled: int
    progress: ItemCounts


class ItemAnswer(BaseModel):
    """One vacancy of a campaign."""

    id: UUID
    job_external_id: str
    status: str | None
    last_error: str | None
    attempts: int | None
    next_run_at: datetime | None
    created_at: datetime
    application_id: UUID | None = Field(description="of /api/applications; null: not taken up")


class CampaignStatus(CampaignProgress):
    """A campaign and a page of its items."""

    items: list[ItemAnswer]
    page: int
    per_page: int


@dataclass(frozen=True)
class Campaign:
    """A row of ``campaigns``."""

    workflow_id: UUID
    account_id: UUID
    user_id: UUID
    state: State
    job_count: int | None
    created_at: datetime
    updated_at: datetime


# ── what callers ask for ─────────────────────────────────────────────────────────────────────────


def add(
    body: AddBody, *, person: Person, caller: Caller, connection: Connection, now: datetime
) -> AddedToCampaign:
    """Put vacancies into a campaign, each once; a new one without *workflow_id* (with an
    ``Idempotency-Key``: the same one again). Raises :class:`NotFound`, :class:`NeedsPerson`."""
    workflow_id = body.workflow_id or _new_id(person, caller)
    queued = 0
    with connection.transaction():
        campaign = _made(workflow_id, person=person, connection=connection, now=now)
        connection.execute(LOCK, {"workflow_id": workflow_id})
        for job in body.jobs:
            payload = job.model_dump_json(
                exclude={"job_external_id", "priority"}, exclude_none=True
            )
            values = {
                "workflow_id": workflow_id,
                "user_id": person.user_id,
                "vacancy_id": job.job_external_id,
                "payload": payload,
                "priority": job.priority,
                "utc": now.replace(tzinfo=None),
            }
            queued += connection.execute(ADD, values).rowcount
    answer = _answer(campaign, f"{queued} added", person=person, connection=connection, now=now)
    return AddedToCampaign(**dict(answer), queued_count=queued, queuedCount=queued)


def count_jobs(
    body: CustomizeBody, *, person: Person, connection: Connection, now: datetime
) -> CampaignAnswer:
    """Record how many vacancies the campaign has; the letters are the BFF's work."""
    with connection.transaction():
        _made(body.workflow_id, person=person, connection=connection, now=now)
        values = {"workflow_id": body.workflow_id, "job_count": body.job_count, "now": now}
        connection.execute(COUNT_JOBS, values)
    campaign = _campaign(body.workflow_id, person=person, connection=connection, now=now)
    return _answer(campaign, "counted", person=person, connection=connection, now=now)


def act(
    act: str,
    body: WorkflowBody,
    *,
    person: Person,
    caller: Caller,
    connection: Connection,
    now: datetime,
) -> CampaignAnswer:
    """Start, pause, resume or cancel a campaign; to do it twice is to do it once.

    Raises :class:`NotFound` also for another account's, and for an act that there is not;
    :class:`Conflict` where the campaign's state does not allow it; :class:`NeedsPerson`.
    """
    acts = {"start": start, "pause": pause, "resume": resume, "cancel": cancel}
    if act not in acts:
        raise NotFound("there is no such route")
    return acts[act](body.workflow_id, person=person, caller=caller, connection=connection, now=now)


def start(
    workflow_id: UUID, *, person: Person, caller: Caller, connection: Connection, now: datetime
) -> CampaignAnswer:
    """Let a campaign run. One that runs, or was paused, stays what it is. Raises
    :class:`NotFound`; :class:`Conflict` for a cancelled one."""
    campaign = _campaign(workflow_id, person=person, connection=connection, now=now)
    _made(workflow_id, person=person, connection=connection, now=now)
    if campaign.state == "cancelled":
        raise _not_now(campaign, "started")
    campaign = _turn(
        campaign, "running", ["created"], "campaign.start", person, caller, connection, now
    )
    if campaign.state == "running":
        take_up(campaign, caller=caller, connection=connection, now=now)
    message = "started" if campaign.state == "running" else "the campaign is paused"
    return _answer(campaign, message, person=person, connection=connection, now=now)


def pause(
    workflow_id: UUID, *, person: Person, caller: Caller, connection: Connection, now: datetime
) -> CampaignAnswer:
    """Nothing of the campaign that is not out goes out. Raises :class:`NotFound`,
    :class:`Conflict`."""
    campaign = _campaign(workflow_id, person=person, connection=connection, now=now)
    _made(workflow_id, person=person, connection=connection, now=now)
    if campaign.state == "cancelled":
        raise _not_now(campaign, "paused")
    source: list[State] = ["created", "running"]
    campaign = _turn(campaign, "paused", source, "campaign.pause", person, caller, connection, now)
    _close_ranks(campaign.account_id, connection, now)
    return _answer(campaign, "paused", person=person, connection=connection, now=now)


def resume(
    workflow_id: UUID, *, person: Person, caller: Caller, connection: Connection, now: datetime
) -> CampaignAnswer:
    """Let a paused campaign go on. Raises :class:`NotFound`, :class:`Conflict`."""
    campaign = _campaign(workflow_id, person=person, connection=connection, now=now)
    if campaign.state not in ("paused", "running"):
        raise _not_now(campaign, "resumed")
    values = {
        "workflow_id": workflow_id,
        "expires_at": now + ledger.GIVEN_UP_AFTER,
        "states": list(ledger.WAITING),
    }
    if campaign.state == "paused":
        connection.execute(EXTEND, values)
    campaign = _turn(
        campaign, "running", ["paused"], "campaign.resume", person, caller, connection, now
    )
    take_up(campaign, caller=caller, connection=connection, now=now)
    queues.ring(ledger.QUEUE, {"account_id": str(campaign.account_id)})
    return _answer(campaign, "resumed", person=person, connection=connection, now=now)


def cancel(
    workflow_id: UUID, *, person: Person, caller: Caller, connection: Connection, now: datetime
) -> CampaignAnswer:
    """Give up whatever is not out. Raises :class:`NotFound`."""
    campaign = _campaign(workflow_id, person=person, connection=connection, now=now)
    _made(workflow_id, person=person, connection=connection, now=now)
    source: list[State] = ["created", "running", "paused"]
    campaign = _turn(
        campaign, "cancelled", source, "campaign.cancel", person, caller, connection, now
    )
    values = {
        "workflow_id": workflow_id,
        "states": list(NOT_OUT),
        "most": CANCELLED_AT_ONCE,
        "utc": now.replace(tzinfo=None),
    }
    connection.execute(CANCEL_PENDING, values)
    # The sweeper does what is left of many, or after a crash; none of it goes out meanwhile.
    for row in connection.execute(NOT_OUT_OF_CAMPAIGN, values).fetchall():
        _give_up(row["id"], "campaign_cancelled", connection, now)
    _close_ranks(campaign.account_id, connection, now)
    return _answer(campaign, "cancelled", person=person, connection=connection, now=now)


def progress(
    workflow_id: UUID, *, person: Person, connection: Connection, now: datetime
) -> CampaignProgress:
    """How far the campaign is. Raises :class:`NotFound` also for another account's."""
    campaign = _campaign(workflow_id, person=person, connection=connection, now=now)
    shown = _shown(workflow_id, connection)
    counts = ItemCounts(**{name: shown.get(name, 0) for name in ItemCounts.model_fields})
    answer = _answer(campaign, campaign.state, person=person, connection=connection, now=now)
    return CampaignProgress(
        **dict(answer),
        total=sum(shown.values()),
        completed=counts.completed,
        failed=counts.failed,
        waiting=answer.pending_count,
        needs_person=counts.needs_person,
        cancelled=counts.cancelled,
        progress=counts,
    )


def status(
    query: StatusQuery, *, person: Person, connection: Connection, now: datetime
) -> CampaignStatus:
    """The campaign and a page of its items. Raises :class:`NotFound` also for another account's."""
    answer = progress(query.workflow_id, person=person, connection=connection, now=now)
    values = {
        "workflow_id": query.workflow_id,
        "limit": query.per_page,
        "offset": query.page * query.per_page,
    }
    items = connection.execute(ITEMS, values).fetchall()
    return CampaignStatus(
        **dict(answer),
        items=[ItemAnswer(**item) for item in items],
        page=query.page,
        per_page=query.per_page,
    )


# ── what goes on by itself ───────────────────────────────────────────────────────────────────────


def sweep(*, caller: Caller, connection: Connection, now: datetime) -> tuple[int, int]:
    """Take up what was added to running campaigns, and cancel what was given up: how many of
    each."""
    values = {
        "states": list(NOT_OUT),
        "most": CANCELLED_AT_ONCE,
        "workflow_id": None,
        "utc": now.replace(tzinfo=None),
    }
    connection.execute(CANCEL_PENDING, values)
    cancelled, accounts = 0, set()
    for row in connection.execute(GIVEN_UP, values).fetchall():
        reason = "campaign_cancelled" if row["cancelled"] else "removed_from_queue"
        cancelled += _give_up(row["id"], reason, connection, now)
        accounts.add(row["account_id"])
    for account_id in accounts:
        _close_ranks(account_id, connection, now)
    taken = 0
    ends = time.monotonic() + SWEEP_S
    for row in connection.execute(TO_TAKE_UP, values).fetchall():
        found = connection.execute(FIND, row).fetchone()
        if found is not None and time.monotonic() < ends:
            taken += take_up(Campaign(**found), caller=caller, connection=connection, now=now)
    return taken, cancelled


def take_up(campaign: Campaign, *, caller: Caller, connection: Connection, now: datetime) -> int:
    """Make applications of items that are pending, each in a transaction of its own: how many."""
    values = {"workflow_id": campaign.workflow_id, "most": AT_ONCE}
    items = connection.execute(PENDING, values).fetchall()
    moments = _moments(campaign, len(items), connection, now) if items else []
    taken = 0
    for item, moment in zip(items, moments, strict=True):
        with connection.transaction():
            if connection.execute(STILL_RUNS, values).fetchone() is None:
                break
            if connection.execute(STILL_PENDING, item).fetchone() is None:
                continue
            reason = _take(item, campaign, moment, caller, connection, now)
            if reason is not None:
                failed = {"id": item["id"], "reason": reason, "utc": now.replace(tzinfo=None)}
                connection.execute(FAIL, failed)
                count("CampaignItemsFailed")
        taken += reason is None
    if taken:
        queues.ring(ledger.QUEUE, {"account_id": str(campaign.account_id)})
        logger.info("items of a campaign taken up", items=taken)
    return taken


def _take(
    item: dict[str, Any],
    campaign: Campaign,
    moment: datetime,
    caller: Caller,
    connection: Connection,
    now: datetime,
) -> str | None:
    """Make an application of one item; or why it cannot be one."""
    import psycopg

    if item["account_id"] is None:
        return "not_connected"
    if item["account_id"] != campaign.account_id:
        return "another_account"
    try:
        body = _body(item)
        person = people.by_account(campaign.account_id, user_id=item["user_id"])
        with connection.transaction():
            application, is_new = enter(
                body,
                key=f"queue:{uuid5(item['id'], body.model_dump_json())}",
                wait=moment if moment > now else None,
                person=person,
                caller=caller,
                connection=connection,
                now=now,
                workflow_id=campaign.workflow_id,
                queue_item_id=item["id"],
            )
            own = application.queue_item_id == item["id"]
            if is_new or (own and application.state not in ledger.RETRYABLE):
                ledger.project(application, connection=connection, now=now)
                return None
            if not own and application.state not in GIVEN_UP_STATES:
                return "already_applied" if application.state == "submitted" else "duplicate"
            adopted = {
                "id": application.id,
                "state": application.state,
                "workflow_id": campaign.workflow_id,
                "item_id": item["id"],
                "user_id": item["user_id"],
                "letter": body.letter,
                "resume_id": body.resume_id,
                "expires_at": moment + ledger.GIVEN_UP_AFTER,
            }
            connection.execute(ADOPT, adopted)
            ledger.move(
                application.id,
                "queued",
                source=[application.state],
                reason="retried",
                due_at=now,
                connection=connection,
                now=now,
            )
    except (ValidationError, psycopg.DataError):
        return "bad_arguments"
    except Invalid as error:
        return error.code
    except (Conflict, ledger.Moved):
        return "duplicate"
    return None


def _body(item: dict[str, Any]) -> SubmitBody:
    """An item as a body of submit. Raises ``ValidationError``."""
    payload = item["payload"] if isinstance(item["payload"], dict) else {}
    found = {
        snake: payload.get(snake, payload.get(camel))
        for snake, camel in (
            ("cover_letter", "coverLetter"),
            ("hh_resume_id", "hhResumeId"),
            ("customized_cv", "customizedCv"),
        )
    }
    found["cover_letter"] = found["cover_letter"] or item["cover_letter"]
    return SubmitBody(job_external_id=item["job_external_id"], **found)


def _moments(
    campaign: Campaign, items: int, connection: Connection, now: datetime
) -> list[datetime]:
    """When the next *items* come due, behind what waits. The applier decides; this spares it to
    put them off one by one."""
    person = people.by_account(campaign.account_id, user_id=campaign.user_id)
    ahead = _line(campaign, connection)["everybody"]
    try:
        moments = quota.forecast(
            campaign.account_id, person.access, ahead + items, connection=connection, now=now
        )
    except Unavailable:
        return [now] * items
    return moments[ahead:]


def _give_up(id: UUID, reason: str, connection: Connection, now: datetime) -> int:
    """Cancel an application that is not out: 1, or 0 if it went out meanwhile."""
    try:
        ledger.move(id, "cancelled", reason=reason, connection=connection, now=now)
    except ledger.Moved:
        return 0
    return 1


def _close_ranks(account_id: UUID, connection: Connection, now: datetime) -> None:
    """Let those that wait for quota take the places of those that no longer do."""
    person = people.by_account(account_id, user_id=account_id)
    values = {"account_id": account_id}
    with connection.transaction():
        line = connection.execute(WAITS_IN_LINE, values).fetchall()
        try:
            moments = quota.forecast(
                account_id, person.access, len(line), connection=connection, now=now
            )
        except Unavailable:
            return
        earlier = [
            (row["id"], moment)
            for row, moment in zip(line, moments, strict=True)
            if moment < row["due_at"]
        ]
        ids, new_moments = [id for id, _ in earlier], [moment for _, moment in earlier]
        connection.execute(MOVE_UP, {"ids": ids, "moments": new_moments})
    if moments and moments[0] <= now:
        queues.ring(ledger.QUEUE, {"account_id": str(account_id)})


# ── finding and turning ──────────────────────────────────────────────────────────────────────────


def _new_id(person: Person, caller: Caller) -> UUID:
    if caller.idempotency_key is None:
        return uuid4()
    return uuid5(person.owner_id, caller.idempotency_key)


def _campaign(
    workflow_id: UUID, *, person: Person, connection: Connection, now: datetime
) -> Campaign:
    """The person's campaign; also one whose items the BFF has written and that nobody has asked
    about yet. Raises :class:`NotFound`."""
    values = {"workflow_id": workflow_id, "account_id": person.account_id}
    row = connection.execute(FIND, values).fetchone()
    if row is not None and row["account_id"] == person.account_id:
        return Campaign(**row)
    items = connection.execute(WHOSE_ITEMS, values).fetchone()
    if row is None and person.account_id is not None and items is not None and items["own"]:
        return Campaign(workflow_id, person.account_id, person.user_id, "created", None, now, now)
    raise NotFound("there is no such campaign", code="campaign_not_found")


def _made(workflow_id: UUID, *, person: Person, connection: Connection, now: datetime) -> Campaign:
    """The person's campaign, made if nobody has it. Raises :class:`NotFound`,
    :class:`NeedsPerson`."""
    values = {
        "workflow_id": workflow_id,
        "account_id": person.account,
        "user_id": person.user_id,
        "now": now,
    }
    items = connection.execute(WHOSE_ITEMS, values).fetchone()
    if items is None or items["own"] or not items["items"]:
        connection.execute(MAKE, values)
    return _campaign(workflow_id, person=person, connection=connection, now=now)


def _turn(
    campaign: Campaign,
    state: State,
    source: list[State],
    action: audit.Action,
    person: Person,
    caller: Caller,
    connection: Connection,
    now: datetime,
) -> Campaign:
    """The campaign in another state, on record; as it stands, if it is in none of *source*."""
    values = {"workflow_id": campaign.workflow_id, "state": state, "from": source, "now": now}
    with connection.transaction():
        if connection.execute(TURN, values).rowcount:
            audit.write(
                action,
                "ok",
                caller=caller,
                user_id=person.user_id,
                account_id=campaign.account_id,
                connection=connection,
                now=now,
            )
    return _campaign(campaign.workflow_id, person=person, connection=connection, now=now)


def _not_now(campaign: Campaign, what: str) -> Conflict:
    return Conflict(
        f"a campaign that is {campaign.state} cannot be {what}",
        code="wrong_state",
        details={"state": campaign.state},
    )


# ── answering ────────────────────────────────────────────────────────────────────────────────────


def _shown(workflow_id: UUID, connection: Connection) -> dict[str, int]:
    """How many items show what."""
    rows = connection.execute(STATUSES, {"workflow_id": workflow_id}).fetchall()
    return {row["status"]: row["items"] for row in rows}


def _line(campaign: Campaign, connection: Connection) -> dict[str, int]:
    values = {
        "account_id": campaign.account_id,
        "workflow_id": campaign.workflow_id,
        "states": list(ledger.WAITING),
    }
    return connection.execute(LINE, values).fetchone() or {}


def _completion(
    campaign: Campaign, person: Person, connection: Connection, now: datetime
) -> datetime | None:
    """When the last one may go out; ``None`` where nobody can say."""
    if campaign.state not in ("created", "running"):
        return None
    if person.access.at(now).state not in ("ok", "limited_until"):
        return None
    to_come = connection.execute(TO_COME, vars(campaign)).fetchone()
    line = _line(campaign, connection)
    waits = line["before_last"]
    if to_come is not None and to_come["items"]:
        waits = line["everybody"] + to_come["items"]
    try:
        moments = quota.forecast(
            campaign.account_id, person.access, waits, connection=connection, now=now
        )
    except Unavailable:
        return None
    return moments[-1] if moments else now


def _answer(
    campaign: Campaign,
    message: str,
    *,
    person: Person,
    connection: Connection,
    now: datetime,
) -> CampaignAnswer:
    shown = _shown(campaign.workflow_id, connection)
    left = sum(shown.get(name, 0) for name in ("pending", "processing", "rate_limited"))
    done = campaign.state == "running" and shown and not left
    completion = _completion(campaign, person, connection, now) if left else None
    return CampaignAnswer(
        workflow_id=campaign.workflow_id,
        workflowId=campaign.workflow_id,
        status="completed" if done else campaign.state,
        job_count=campaign.job_count,
        pending_count=left,
        hours_needed=round((completion - now) / HOUR, 1) if completion else None,
        estimated_completion=completion,
        estimatedCompletion=completion,
        message=message,
    )
