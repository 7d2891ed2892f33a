"""Storage of campaigns: find, create, and move a campaign from state to state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ullgetthejob.accounts import audit
from ullgetthejob.platform import postgres
from ullgetthejob.platform.errors import NotFound

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection


State = Literal["created", "running", "paused", "cancelled"]
COLUMNS = """
    workflow_id, account_id, user_id, state, job_count, created_at, updated_at, saved_search_id
"""
SELECT_CAMPAIGN = f"SELECT {COLUMNS} FROM campaigns WHERE workflow_id = %(workflow_id)s"  # noqa: S608
INSERT_CAMPAIGN = """
    INSERT INTO campaigns (workflow_id, account_id, user_id, state, created_at, updated_at)
    VALUES (%(workflow_id)s, %(account_id)s, %(user_id)s, 'created', %(now)s, %(now)s)
    ON CONFLICT DO NOTHING
"""
UPDATE_CAMPAIGN_STATE = """
    UPDATE campaigns SET state = %(state)s, is_held = false, updated_at = %(now)s
    WHERE workflow_id = %(workflow_id)s AND state = ANY(%(from)s)
"""
SELECT_ITEM_OWNERS = """
    SELECT count(*) AS items, count(*) FILTER (WHERE u.account_id = %(account_id)s) AS own
    FROM application_queue q JOIN users u ON u.id = q.user_id
    WHERE q.workflow_id = %(workflow_id)s
"""


@dataclass(frozen=True)
class Campaign:
    """A row of ``campaigns``. *saved_search_id*: of an autopilot's campaign."""

    workflow_id: UUID
    account_id: UUID
    user_id: UUID
    state: State
    job_count: int | None
    created_at: datetime
    updated_at: datetime
    saved_search_id: UUID | None = None


def find(workflow_id: UUID, *, person: Person, connection: Connection, now: datetime) -> Campaign:
    """Return the person's campaign; also one that has no row yet, and whose items the BFF has
    written. Raises :class:`NotFound`."""
    values = {"workflow_id": workflow_id, "account_id": person.account_id}
    row = connection.execute(SELECT_CAMPAIGN, values).fetchone()
    if row is not None and row["account_id"] == person.account_id:
        return Campaign(**row)
    items = connection.execute(SELECT_ITEM_OWNERS, values).fetchone()
    if row is None and person.account_id is not None and items is not None and items["own"]:
        return Campaign(workflow_id, person.account_id, person.user_id, "created", None, now, now)
    raise NotFound("there is no such campaign", code="campaign_not_found")


def find_or_new(
    workflow_id: UUID, *, person: Person, connection: Connection, now: datetime
) -> Campaign:
    """Return the person's campaign, or the one that :func:`get_or_create` would insert; nothing is
    written. Raises :class:`NotFound`, :class:`NeedsPerson`."""
    values = {"workflow_id": workflow_id, "account_id": person.account}
    row = connection.execute(SELECT_CAMPAIGN, values).fetchone()
    items = connection.execute(SELECT_ITEM_OWNERS, values).fetchone()
    if row is None and (items is None or not items["items"]):
        return Campaign(workflow_id, person.account, person.user_id, "created", None, now, now)
    return find(workflow_id, person=person, connection=connection, now=now)


def get_or_create(
    workflow_id: UUID, *, person: Person, connection: Connection, now: datetime
) -> Campaign:
    """Return the person's campaign; insert it if no account has it. Raises :class:`NotFound`,
    :class:`NeedsPerson`."""
    values = {
        "workflow_id": workflow_id,
        "account_id": person.account,
        "user_id": person.user_id,
        "now": now,
    }
    items = connection.execute(SELECT_ITEM_OWNERS, values).fetchone()
    is_new = False
    if items is None or items["own"] or not items["items"]:
        is_new = bool(connection.execute(INSERT_CAMPAIGN, values).rowcount)
    campaign = find(workflow_id, person=person, connection=connection, now=now)
    if is_new:
        _log_change(None, campaign.state, campaign, connection)
    return campaign


def transition(
    campaign: Campaign,
    state: State,
    source: list[State],
    action: audit.Action,
    person: Person,
    context: Context,
) -> Campaign:
    """Move a campaign that is in one of *source* to *state*, and audit it; return the campaign as
    it is afterwards."""
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    values = {"workflow_id": campaign.workflow_id, "state": state, "from": source, "now": now}
    with connection.transaction():
        if connection.execute(UPDATE_CAMPAIGN_STATE, values).rowcount:
            audit.write(
                action,
                "ok",
                context,
                user_id=person.user_id,
                account_id=campaign.account_id,
            )
            _log_change(campaign.state, state, campaign, connection)
    return find(campaign.workflow_id, person=person, connection=connection, now=now)


def _log_change(
    before: State | None, after: State, campaign: Campaign, connection: Connection
) -> None:
    """Log the change of a campaign's state, once it has been committed."""
    postgres.log_transition(
        connection,
        "campaign",
        before,
        after,
        workflow_id=campaign.workflow_id,
        account_id=campaign.account_id,
    )
