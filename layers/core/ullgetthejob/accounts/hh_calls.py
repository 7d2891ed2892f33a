"""Calls to hh.ru on a person's behalf: with the account's token, and with what the answer says of
Core's access written into the account's row.

While the account's state stands in the way, hh.ru is not asked. hh.ru's own 401 and 403 end here:
callers get :class:`NeedsPerson`, with what the person should do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ullgetthejob.accounts import access, access_changes
from ullgetthejob.accounts.token_store import AccountToken
from ullgetthejob.hh.errors import HHCaptcha, HHForbidden, HHRefreshRefused, HHTokenRefused
from ullgetthejob.platform import settings
from ullgetthejob.platform.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.hh.app_token import TokenSource
    from ullgetthejob.hh.client import HHClient

    Connection = psycopg.Connection[dict[str, Any]]

Answer = TypeVar("Answer")


def call_as_account(
    person: Person,
    question: Callable[[TokenSource], Answer],
    *,
    hh: HHClient,
    connection: Connection,
    now: datetime,
    applying: bool = False,
) -> Answer:
    """hh.ru's answer to *question*, which makes the call with the token that it is given.
    *applying*: that call is the one that applies.

    Raises :class:`NeedsPerson`, and the errors of :mod:`ullgetthejob.hh.errors` that say nothing
    of the account.
    """
    access.require(person.access, now=now, applying=applying)
    account_id = person.account_id
    if account_id is None:  # never connected: require() has said so
        raise AssertionError

    def lost(state: access.State, **why: Any) -> Exception:
        if state in access.PAUSES:
            why["until"] = person.access.lasts_until(state, now=now)
            why["tries"] = person.access.tries + 1
        held = access_changes.change_access(
            account_id, state, connection=connection, now=now, seen=person.access, **why
        )
        if held.state in ("ok", "limited_until"):  # by a login that came meanwhile
            return Unavailable("hh.ru was connected anew; try again", retry_after_s=1)
        return access.needs_person(held)

    try:
        answer = question(AccountToken(account_id, hh=hh, now=now))
    except HHCaptcha as error:
        raise lost("captcha", captcha_url=error.link(_login_path())) from error
    except HHForbidden as error:
        reason = access.APPLYING_CLOSED if error.closes_applying else "forbidden"
        raise lost("closed", reason=reason) from error
    except (HHRefreshRefused, HHTokenRefused) as error:
        raise lost("reauth_required", reason=error.reason) from error
    held = person.access
    is_back = held.state not in ("ok", "limited_until")
    if is_back and (applying or held.reason != access.APPLYING_CLOSED):
        # Until an application went through, it may be lost again: the pauses go on growing.
        tries = 0 if applying else held.tries
        access_changes.change_access(
            account_id, "ok", connection=connection, now=now, seen=held, tries=tries
        )
    return answer


def _login_path() -> str:
    """Where hh.ru sends a person after the captcha."""
    return settings.text("APP_URL", "") or settings.text("HH_REDIRECT_URI")
