"""Calls to hh.ru on a person's behalf: with the account's token, and with what follows from the
answer stored: the account's access state, and whether the method is open.

While the access state forbids it, or the method is closed, hh.ru is not called. hh.ru's own 401 and
403 end here: callers get :class:`NeedsPerson`, with what the person should do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ullgetthejob.accounts import access, access_changes, method_status
from ullgetthejob.accounts.token_renewal import AccountToken
from ullgetthejob.hh import method_access
from ullgetthejob.hh.errors import HHCaptcha, HHForbidden, HHRefreshRefused, HHTokenRefused
from ullgetthejob.hh.method_access import Admission
from ullgetthejob.platform import settings
from ullgetthejob.platform.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.hh.app_token import TokenSource
    from ullgetthejob.hh.methods import Method, MethodAccess
    from ullgetthejob.platform.context import Context

Answer = TypeVar("Answer")


def admit(
    person: Person, method: Method, context: Context, *, known: MethodAccess | None = None
) -> Admission:
    """Return the permission to call *method* once with the account's token. *known*: see
    :func:`method_access.admit`.

    Raises :class:`NeedsPerson` where the account's access forbids it or the method is closed.
    """
    now = context.now()
    access.require(person.access, now=now)
    admission = method_access.admit(
        method, person.account, connection=context.connection, now=now, known=known
    )
    if isinstance(admission, Admission):
        return admission
    raise method_status.closed(admission)


def call_as_account(
    person: Person,
    method: Method,
    request: Callable[[TokenSource], Answer],
    context: Context,
    *,
    admission: Admission | None = None,
    token: AccountToken | None = None,
) -> Answer:
    """Make *request*, a call of *method*, with the account's token, store what follows from it, and
    return its answer. *admission*: of :func:`admit`, if the caller has it already. *token*:
    the account's, for a caller that makes several calls.

    Raises :class:`NeedsPerson`, :class:`Unavailable`, and the errors of
    :mod:`ullgetthejob.hh.errors` that do not concern the account.
    """
    connection, now = context.connection, context.now()
    admission = admission or admit(person, method, context)
    account_id = person.account
    try:
        answer = request(token or AccountToken(account_id, hh=context.hh, now=now))
    except HHCaptcha as error:
        pause = {
            "until": person.access.retry_captcha_at(now),
            "tries": person.access.tries + 1,
            "captcha_url": error.link(_return_url()),
        }
        raise _deny_access(person, "captcha", context, now, **pause) from error
    except HHForbidden as error:
        if error.closed_method != method:  # such as the token endpoint
            raise
        found = method_access.record_refusal(admission, error, connection=connection, now=now)
        access_changes.publish_methods(account_id, connection=connection, now=now)
        raise method_status.closed(found) from error
    except (HHRefreshRefused, HHTokenRefused) as error:
        raise _deny_access(person, "reauth_required", context, now, reason=error.reason) from error
    _record_answer(person, admission, account_id, context, now)
    return answer


def _record_answer(
    person: Person, admission: Admission, account_id: UUID, context: Context, now: datetime
) -> None:
    """Store that hh.ru served the account: the method is open, and its access is in order."""
    connection, seen = context.connection, person.access
    if method_access.record_answer(admission, connection=connection, now=now):
        access_changes.publish_methods(account_id, connection=connection, now=now)
    is_applying = admission.method == "apply"
    if seen.state not in ("ok", "limited_until"):
        # Until an application has succeeded, access may be lost again: the pauses keep growing.
        tries = 0 if is_applying else seen.tries
        access_changes.change_access(
            account_id, "ok", connection=connection, now=now, seen=seen, tries=tries
        )


def _deny_access(
    person: Person, state: access.State, context: Context, now: datetime, **fields: Any
) -> Exception:
    """Store that the account has lost its access, and return the error that says so."""
    current = access_changes.change_access(
        person.account,
        state,
        connection=context.connection,
        now=now,
        seen=person.access,
        **fields,
    )
    if current.state in ("ok", "limited_until"):  # by a login since the call began
        return Unavailable("hh.ru was connected again; try again", retry_after_s=1)
    return access.needs_person(current)


def _return_url() -> str:
    """Return the address to which hh.ru sends a person after the captcha."""
    return settings.APP_URL() or settings.HH_REDIRECT_URI()
