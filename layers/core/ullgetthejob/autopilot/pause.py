"""The pause of an account: its autopilots, or all of its campaigns, stop sending, with one request.

A campaign that is paused sends nothing from the moment of that commit on: an attempt begins under a
lock of its campaign, which has to run. Each keeps what waits. What the person submits singly is
sent all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import account_status, audit
from ullgetthejob.autopilot.models import Paused
from ullgetthejob.autopilot.store import TIME_TO_LIVE
from ullgetthejob.platform import queues, settings

if TYPE_CHECKING:
    from ullgetthejob.accounts.account_status import AccountAnswer
    from ullgetthejob.accounts.people import Person
    from ullgetthejob.autopilot.models import PauseBody, ResumeBody
    from ullgetthejob.platform.context import Context

UPDATE_ACCOUNT_PAUSED = """
    UPDATE accounts SET autopilot_paused_at = coalesce(autopilot_paused_at, %(now)s)
    WHERE id = %(account_id)s RETURNING autopilot_paused_at
"""
UPDATE_CAMPAIGNS_PAUSED = """
    UPDATE campaigns SET state = 'paused', is_held = true, updated_at = %(now)s
    WHERE account_id = %(account_id)s AND state = 'running'
        AND (saved_search_id IS NOT NULL OR %(all)s)
"""
UPDATE_ACCOUNT_RESUMED = """
    UPDATE accounts SET autopilot_paused_at = NULL
    WHERE id = %(account_id)s AND autopilot_paused_at IS NOT NULL
"""
# The time of the pause does not count towards the expiry of what waits.
UPDATE_CAMPAIGNS_RESUMED = """
    WITH resumed AS (
        UPDATE campaigns SET state = 'running', is_held = false, updated_at = %(now)s
        WHERE account_id = %(account_id)s AND state = 'paused' AND is_held
            AND (saved_search_id IS NOT NULL OR %(all)s)
        RETURNING workflow_id
    ), renewed AS (
        UPDATE application_ledger SET expires_at = greatest(expires_at, %(expires_at)s)
        FROM resumed
        WHERE application_ledger.workflow_id = resumed.workflow_id
            AND application_ledger.state IN ('queued', 'preparing', 'waiting_quota')
    )
    SELECT count(*) AS campaigns FROM resumed
"""


def pause(body: PauseBody, person: Person, context: Context) -> Paused:
    """Pause the account's autopilots, and with *all* every campaign; repeatable. Raises
    :class:`NeedsPerson` for a user who never connected hh.ru.

    Two transactions, since other requests lock a campaign before the account: first the account, so
    that no campaign begins to run after the second.
    """
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    values = {"account_id": person.account, "all": body.all, "now": now}
    with connection.transaction():
        row = connection.execute(UPDATE_ACCOUNT_PAUSED, values).fetchone()
        audit.record("account.pause", person, context)
    paused = connection.execute(UPDATE_CAMPAIGNS_PAUSED, values).rowcount
    return Paused(paused_at=row["autopilot_paused_at"] if row else now, campaigns=paused)


def resume(body: ResumeBody, person: Person, context: Context) -> AccountAnswer:
    """Resume the access to hh.ru after a captcha, and what :func:`pause` paused; repeatable.

    While hh.ru asks for a captcha, a request that names neither *autopilot* nor *all* says only
    that it was solved: a pause goes on. Raises as :func:`account_status.resume_access`.
    """
    context = context.with_fixed_time()
    is_captcha = person.access.at(context.now()).state == "captcha"
    answer = account_status.resume_access(person, context)
    if person.account_id is None or (is_captcha and not (body.autopilot or body.all)):
        return answer
    _resume_campaigns(body, person, context)
    return answer.model_copy(update={"autopilot_paused_at": None})


def _resume_campaigns(body: ResumeBody, person: Person, context: Context) -> None:
    connection, now = context.connection, context.now()
    values = {
        "account_id": person.account,
        "all": body.all,
        "now": now,
        "expires_at": now + TIME_TO_LIVE,
    }
    with connection.transaction():
        ended = connection.execute(UPDATE_ACCOUNT_RESUMED, values).rowcount
        if ended:
            audit.record("account.resume", person, context)
    with connection.transaction():
        resumed: dict[str, Any] = (
            connection.execute(UPDATE_CAMPAIGNS_RESUMED, values).fetchone() or {}
        )
        if resumed.get("campaigns") and not ended:
            audit.record("account.resume", person, context)
    if resumed.get("campaigns"):
        queues.notify(settings.APPLIER_QUEUE_URL, {"account_id": str(person.account_id)})
