"""Calls to hh.ru on a person's behalf: with the account's token, and with the access state that
follows from the answer stored in the account's row.

While the access state forbids it, hh.ru is not called. hh.ru's own 401 and 403 end here: callers
get :class:`NeedsPerson`, with what the person should do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ullgetthejob.accounts import access, access_changes
from ullgetthejob.accounts.token_renewal import AccountToken
from ullgetthejob.hh.errors import HHCaptcha, HHForbidden, HHRefreshRefused, HHTokenRefused
from ullgetthejob.platform import settings
from ullgetthejob.platform.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.hh.app_token import TokenSource
    from ullgetthejob.platform.context import Context

Answer = TypeVar("Answer")


def call_as_account(
    person: Person,
    request: Callable[[TokenSource], Answer],
    context: Context,
    *,
    applying: bool = False,
) -> Answer:
    """Make *request* with the account's token, store the access state that follows from it, and
    return its answer. *applying*: the request is the one that applies.

    Raises :class:`NeedsPerson`, :class:`Unavailable`, and the errors of
    :mod:`ullgetthejob.hh.errors` that do not concern the account.
    """
    connection, now = context.connection, context.now()
    access.require(person.access, now=now, applying=applying)
    account_id = person.account_id
    if account_id is None:  # never connected: require() has raised
        raise AssertionError

    def deny_access(state: access.State, **fields: Any) -> Exception:
        if state in access.PAUSES:
            fields["until"] = person.access.retry_at(state, now=now)
            fields["tries"] = person.access.tries + 1
        current = access_changes.change_access(
            account_id, state, connection=connection, now=now, seen=person.access, **fields
        )
        if current.state in ("ok", "limited_until"):  # by a login since the call began
            return Unavailable("hh.ru was connected again; try again", retry_after_s=1)
        return access.needs_person(current)

    try:
        answer = request(AccountToken(account_id, hh=context.hh, now=now))
    except HHCaptcha as error:
        raise deny_access("captcha", captcha_url=error.link(_return_url())) from error
    except HHForbidden as error:
        reason = access.APPLYING_CLOSED if error.closes_applying else "forbidden"
        raise deny_access("closed", reason=reason) from error
    except (HHRefreshRefused, HHTokenRefused) as error:
        raise deny_access("reauth_required", reason=error.reason) from error
    seen = person.access
    is_back = seen.state not in ("ok", "limited_until")
    if is_back and (applying or seen.reason != access.APPLYING_CLOSED):
        # Until an application has succeeded, access may be lost again: the pauses keep growing.
        tries = 0 if applying else seen.tries
        access_changes.change_access(
            account_id, "ok", connection=connection, now=now, seen=seen, tries=tries
        )
    return answer


def _return_url() -> str:
    """Return the address to which hh.ru sends a person after the captcha."""
    return settings.APP_URL() or settings.HH_REDIRECT_URI()
