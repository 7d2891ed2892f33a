"""The audit log: each action on a person's account, in an append-only table.

A record has the actor (``user``, ``service``, ``admin``, or ``core`` itself), the user and account,
the action, the time, the request, and the outcome: ``ok``, or the code of the error. It never has a
token, an e-mail address or a text of hh.ru's. When a person is deleted, their records stay, without
user, account and request.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from ullgetthejob.platform.errors import AppError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.context import Context

Action = Literal[
    "login",
    "refresh",
    "disconnect",
    "history.move",
    "access.resume",
    "account.export",
    "account.pause",
    "account.resume",
    "account.delete",
    "resumes.list",
    "resumes.read",
    "resume.create",
    "resume.publish",
    "resume.raise",
    "resume.schedule",
    "submit",
    "apply",
    "application.confirm",
    "application.cancel",
    "application.retry",
    "message.reply",
    "message.send",
    "handoff.link",
    "handoff.open",
    "rate_limit.reset",
    "review.approve",
    "review.edit",
    "review.reject",
    "filters.replace",
    "fit_weights.replace",
    "letter_template.create",
    "letter_template.change",
    "letter_template.delete",
    "notification_settings.replace",
    "notification_channel.create",
    "notification_channel.confirm",
    "notification_channel.unsubscribe",
    "notification_channel.rotate_secret",
    "notification_channel.delete",
    "campaign.start",
    "campaign.pause",
    "campaign.resume",
    "campaign.cancel",
    "saved_search.create",
    "saved_search.change",
    "saved_search.delete",
]

INSERT_AUDIT_RECORD = """
    INSERT INTO audit_log (at, actor, user_id, account_id, action, outcome, request_id)
    VALUES (%(at)s, %(actor)s, %(user_id)s, %(account_id)s, %(action)s, %(outcome)s,
            %(request_id)s)
"""
# The same as a part of a statement whose CTE ``changed`` has the row that the action is about.
AUDITED = """
    audited AS (
        INSERT INTO audit_log (at, actor, user_id, account_id, action, outcome, request_id)
        SELECT %(at)s, %(actor)s, changed.user_id, changed.account_id, %(action)s, %(outcome)s,
               %(request_id)s
        FROM changed
    )
"""


def record(action: Action, person: Person, context: Context, *, outcome: str = "ok") -> None:
    """Append a record of a person's action on their own account."""
    write(action, outcome, context, user_id=person.user_id, account_id=person.account_id)


def write(
    action: Action,
    outcome: str,
    context: Context,
    *,
    user_id: UUID | None,
    account_id: UUID | None,
) -> None:
    """Store one audit record, in the transaction that the context's connection is in."""
    values = {**values_of(action, outcome, context), "user_id": user_id, "account_id": account_id}
    context.connection.execute(INSERT_AUDIT_RECORD, values)


def values_of(action: Action, outcome: str, context: Context) -> dict[str, Any]:
    """Return the values of :data:`AUDITED`."""
    return {
        "at": context.now(),
        "actor": context.caller.kind,
        "action": action,
        "outcome": outcome,
        "request_id": context.caller.request_id,
    }


@contextmanager
def recorded(
    action: Action, context: Context, *, user_id: UUID | None, account_id: UUID | None
) -> Iterator[None]:
    """Store an audit record when the block has ended, with its outcome."""
    outcome = "internal_error"
    try:
        yield
        outcome = "ok"
    except AppError as error:
        outcome = error.code
        raise
    finally:
        write(action, outcome, context, user_id=user_id, account_id=account_id)
