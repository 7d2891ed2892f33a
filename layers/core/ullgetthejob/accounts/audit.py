"""The audit log: each act on a person's account, in a table that only grows.

Who asked (``user``, ``service``, ``admin``, or ``core`` itself), for whom, what, when, in which
request, and what came of it: ``ok``, or the code of the error. Never a token, an e-mail or a word
of hh.ru's.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from ullgetthejob.platform.errors import AppError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ullgetthejob.platform.authentication import Caller

    Connection = psycopg.Connection[dict[str, Any]]

Action = Literal[
    "login",
    "refresh",
    "disconnect",
    "history.move",
    "access.resume",
    "resumes.list",
    "resumes.read",
    "resume.create",
    "resume.publish",
    "submit",
    "apply",
    "application.confirm",
    "application.cancel",
    "application.retry",
    "rate_limit.reset",
    "filters.replace",
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


def write(
    action: Action,
    outcome: str,
    *,
    caller: Caller,
    user_id: UUID | None,
    account_id: UUID | None,
    connection: Connection,
    now: datetime,
) -> None:
    """Put one act on record, in the transaction that *connection* is in."""
    connection.execute(
        INSERT_AUDIT_RECORD,
        {
            "at": now,
            "actor": caller.kind,
            "user_id": user_id,
            "account_id": account_id,
            "action": action,
            "outcome": outcome,
            "request_id": caller.request_id,
        },
    )


@contextmanager
def recorded(
    action: Action,
    *,
    caller: Caller,
    user_id: UUID | None,
    account_id: UUID | None,
    connection: Connection,
    now: datetime,
) -> Iterator[None]:
    """Put the act of the block on record when it has ended, with what came of it."""
    outcome = "internal_error"
    try:
        yield
        outcome = "ok"
    except AppError as error:
        outcome = error.code
        raise
    finally:
        write(
            action,
            outcome,
            caller=caller,
            user_id=user_id,
            account_id=account_id,
            connection=connection,
            now=now,
        )
