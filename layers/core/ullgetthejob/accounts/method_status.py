"""The methods of hh.ru as callers see them: which are open to an account, and what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import AwareDatetime, Field

from ullgetthejob.hh import method_access
from ullgetthejob.hh.methods import Method, MethodAccess, Reason, Scope, State
from ullgetthejob.platform.errors import NeedsPerson
from ullgetthejob.platform.models import Model

if TYPE_CHECKING:
    from typing import Any
    from uuid import UUID

    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

CLOSED_CODE = "hh_closed"

# What a person does where a method is closed.
MESSAGES: dict[Method, str] = {
    "search": "hh.ru does not let Core search: use the search of hh.ru",
    "detail": "hh.ru does not let Core read vacancies in full: open them at hh.ru",
    "me": "hh.ru does not let Core see whose login it is: logging in is not possible",
    "resumes_read": "hh.ru does not let Core read resumes: name the resume to send, or apply there",
    "resumes_write": "hh.ru does not let Core make or change resumes: do it there, then try again",
    "apply": "hh.ru does not let Core apply: apply there yourself, then confirm it",
    "negotiations": (
        "hh.ru does not let Core read negotiations: confirm what you sent; what employers answer "
        "is seen at hh.ru alone"
    ),
    "messages": "hh.ru does not let Core read or write messages: do it there",
}


class MethodAnswer(Model):
    """Whether hh.ru lets Core call one of its methods.

    *state* is what holds for the account; *service* and *account* are what was learned for all
    accounts and for this one. ``unknown``: not called yet, or not answered definitely.
    """

    method: Method
    state: State
    service: State
    account: State
    closed_for: Scope | None
    reason: Reason | None = Field(description="no_such_method: hh.ru no longer has it")
    since: AwareDatetime | None
    next_probe_at: AwareDatetime | None = Field(description="when Core calls it again, once")
    message: str | None = Field(description="what to do while it is closed, for people")


def list_methods(account_id: UUID | None, *, connection: Connection) -> list[MethodAnswer]:
    """Return every method, for the account, or for the service alone without one."""
    found = method_access.read_all(account_id, connection=connection)
    return [to_answer(access) for access in found]


def to_answer(access: MethodAccess) -> MethodAnswer:
    """Return *access* as callers see it."""
    decisive = access.decisive
    return MethodAnswer(
        method=access.method,
        state=decisive.state,
        service=access.service.state,
        account=access.account.state,
        closed_for=access.scope,
        reason=decisive.reason,
        since=decisive.since,
        next_probe_at=decisive.probe_at,
        message=MESSAGES[access.method] if decisive.state == "closed" else None,
    )


def closed(access: MethodAccess) -> NeedsPerson:
    """Return the error of a person's call to a method that is closed."""
    details = {"method": to_answer(access).model_dump(mode="json")}
    return NeedsPerson(MESSAGES[access.method], code=CLOSED_CODE, details=details)


def closed_method(error: BaseException) -> Method | None:
    """Return the method that *error* says is closed (:func:`closed`); ``None`` for other errors."""
    if not isinstance(error, NeedsPerson) or error.code != CLOSED_CODE:
        return None
    method: Method = (error.details or {})["method"]["method"]
    return method
