"""Looking up an application of a person's account by the id that its routes take: its own, or that
of the BFF's row."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from ullgetthejob.applications.application import COLUMNS, Application
from ullgetthejob.platform.errors import Conflict, NotFound

if TYPE_CHECKING:
    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.postgres import Connection

SELECT_APPLICATION_OF_ACCOUNT = f"""
    SELECT {COLUMNS} FROM application_ledger
    WHERE account_id = %(account_id)s AND (id = %(id)s OR application_id = %(id)s)
"""  # noqa: S608
LOCK_APPLICATION_OF_ACCOUNT = f"{SELECT_APPLICATION_OF_ACCOUNT} FOR NO KEY UPDATE"


def find(
    application_id: str | UUID, person: Person, connection: Connection, *, locks: bool = False
) -> Application:
    """Return an application, whose row is locked if the command *locks* it. Raises
    :class:`NotFound` also for another account's."""
    sql = LOCK_APPLICATION_OF_ACCOUNT if locks else SELECT_APPLICATION_OF_ACCOUNT
    try:
        values = {"account_id": person.account_id, "id": UUID(str(application_id))}
    except ValueError:
        raise _not_found() from None
    row = connection.execute(sql, values).fetchone() if person.account_id else None
    if row is None:
        raise _not_found()
    return Application(**row)


def wrong_state(application: Application, impossible: str) -> Conflict:
    """Return the error of a command that the application's state excludes; *impossible* goes on
    from "an application that is queued"."""
    return Conflict(
        f"an application that is {application.state} {impossible}",
        code="wrong_state",
        details={"state": application.state},
    )


def _not_found() -> NotFound:
    return NotFound("there is no such application", code="application_not_found")
