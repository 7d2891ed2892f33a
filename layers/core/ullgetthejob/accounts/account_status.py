"""An account as its person sees it, and resuming it after a captcha."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import BaseModel

from ullgetthejob.accounts import access, access_changes, audit
from ullgetthejob.accounts.access import Access, AccessAnswer

if TYPE_CHECKING:
    from datetime import datetime

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.context import Context


class AccountAnswer(BaseModel):
    """A user, its account (the same for all sessions of a person), and Core's access to hh.ru."""

    user_id: UUID
    account_id: UUID | None
    connected: bool
    access: AccessAnswer


def show_account(person: Person, *, now: datetime) -> AccountAnswer:
    """Return the account as it is at *now*."""
    return _answer(person, person.access.at(now))


def resume_access(person: Person, context: Context) -> AccountAnswer:
    """Resume the account after the person has solved hh.ru's captcha, and return it: the next call
    to hh.ru shows whether it was solved.

    A state that has ended already is no error. Raises :class:`NeedsPerson` for one that only a
    login or hh.ru can end.
    """
    context = context.with_fixed_time()
    now = context.now()
    current = person.access.at(now)
    if current.state in ("reauth_required", "closed"):
        raise access.needs_person(current)
    if current.state == "captcha" and person.account_id is not None:
        with context.connection.transaction():
            current = access_changes.change_access(
                person.account_id, "ok", connection=context.connection, now=now
            )
            audit.write(
                "access.resume",
                "ok",
                context,
                user_id=person.user_id,
                account_id=person.account_id,
            )
    return _answer(person, current)


def _answer(person: Person, current: Access) -> AccountAnswer:
    return AccountAnswer(
        user_id=person.user_id,
        account_id=person.account_id,
        connected=person.connected,
        access=access.to_answer(current),
    )
