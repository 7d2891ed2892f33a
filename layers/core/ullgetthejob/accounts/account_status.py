"""An account as its person sees it, and resuming it after a captcha."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import AwareDatetime, Field

from ullgetthejob.accounts import access, access_changes, audit, hh_counters, method_status
from ullgetthejob.accounts.access import Access, AccessAnswer, State
from ullgetthejob.accounts.hh_counters import Counters
from ullgetthejob.accounts.method_status import MethodAnswer
from ullgetthejob.platform.models import Model

if TYPE_CHECKING:
    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.context import Context


SELECT_PAUSE = "SELECT autopilot_paused_at FROM accounts WHERE id = %(account_id)s"


class AccountAnswer(Model):
    """A user, its account (the same for all sessions of a person), and Core's access to hh.ru."""

    user_id: UUID
    account_id: UUID | None
    connected: bool
    access: AccessAnswer
    methods: list[MethodAnswer] = Field(description="what hh.ru lets Core do for the account")
    counters: Counters | None = Field(
        description="where hh.ru lets Core read no negotiations: what it still tells of them"
    )
    autopilot_paused_at: AwareDatetime | None = Field(
        None, description="since when the autopilots of its saved searches are paused; null: not"
    )


class Status(Model):
    """Whether the person is connected to hh.ru, and whether something prevents its use.

    *access*: see ``GET /api/accounts/{user_id}``. *link*: where the person resolves it (hh.ru's
    captcha). *message*: what to do, for people; ``None`` while there is nothing to do.
    *closed_methods*: what hh.ru does not let Core do, each with what the person does instead.
    """

    connected: bool
    access: State
    link: str | None
    message: str | None
    closed_methods: list[MethodAnswer]


def show_account(person: Person, context: Context) -> AccountAnswer:
    """Return the account as it is now."""
    return _answer(person, person.access.at(context.now()), context)


def show_status(person: Person, context: Context) -> Status:
    """Return the person's connection as Core knows it now, without asking hh.ru."""
    current = person.access.at(context.now())
    methods = method_status.list_methods(person.account_id, connection=context.connection)
    return Status(
        connected=person.connected,
        access=current.state,
        link=current.captcha_url,
        message=None if current.state == "ok" else current.message,
        closed_methods=[method for method in methods if method.state == "closed"],
    )


def resume_access(person: Person, context: Context) -> AccountAnswer:
    """Resume the account after the person has solved hh.ru's captcha, and return it: the next call
    to hh.ru shows whether it was solved.

    A state that has ended already is no error. Raises :class:`NeedsPerson` for one that only a
    login can end.
    """
    context = context.with_fixed_time()
    now = context.now()
    current = person.access.at(now)
    if current.state == "reauth_required":
        raise access.needs_person(current)
    if current.state == "captcha" and person.account_id is not None:
        with context.connection.transaction():
            current = access_changes.change_access(
                person.account_id, "ok", connection=context.connection, now=now
            )
            audit.record("access.resume", person, context)
    return _answer(person, current, context)


def _answer(person: Person, current: Access, context: Context) -> AccountAnswer:
    connection = context.connection
    pause = connection.execute(SELECT_PAUSE, {"account_id": person.account_id}).fetchone()
    return AccountAnswer(
        user_id=person.user_id,
        account_id=person.account_id,
        connected=person.connected,
        access=access.to_answer(current),
        methods=method_status.list_methods(person.account_id, connection=connection),
        counters=hh_counters.read(person.account_id, connection=connection),
        autopilot_paused_at=pause["autopilot_paused_at"] if pause else None,
    )
