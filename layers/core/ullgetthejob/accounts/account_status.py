"""An account as its person sees it, and resuming it after a captcha."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import BaseModel

from ullgetthejob.accounts import access, access_changes, audit
from ullgetthejob.accounts.access import Access, AccessAnswer

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.authentication import Caller

    Connection = psycopg.Connection[dict[str, Any]]


class AccountAnswer(BaseModel):
    """A user, its account (the same for all sessions of a person), and Core's access to hh.ru."""

    user_id: UUID
    account_id: UUID | None
    connected: bool
    access: AccessAnswer


def show_account(person: Person, *, now: datetime) -> AccountAnswer:
    """Return the account as it is at *now*."""
    return _answer(person, person.access.at(now))


def resume_access(
    person: Person, *, caller: Caller, connection: Connection, now: datetime
) -> AccountAnswer:
    """Resume the account after the person has solved hh.ru's captcha, and return it: the next call
    to hh.ru shows whether it was solved.

    A state that has ended already is no error. Raises :class:`NeedsPerson` for one that only a
    login or hh.ru can end.
    """
    current = person.access.at(now)
    if current.state in ("reauth_required", "closed"):
        raise access.needs_person(current)
    if current.state == "captcha" and person.account_id is not None:
        with connection.transaction():
            current = access_changes.change_access(
                person.account_id, "ok", connection=connection, now=now
            )
            audit.write(
                "access.resume",
                "ok",
                caller=caller,
                user_id=person.user_id,
                account_id=person.account_id,
                connection=connection,
                now=now,
            )
    return _answer(person, current)


def _answer(person: Person, current: Access) -> AccountAnswer:
    return AccountAnswer(
        user_id=person.user_id,
        account_id=person.account_id,
        connected=person.connected,
        access=access.to_answer(current),
    )
