"""Refusals of logins: their codes, messages and error."""

from __future__ import annotations

from ullgetthejob.accounts import access
from ullgetthejob.platform.errors import BadRequest
from ullgetthejob.platform.telemetry import count

REFUSALS: dict[str, str] = {
    "access_denied": "the person refused at hh.ru",
    "invalid_state": "the state is invalid; start the login again",
    "invalid_code": "hh.ru does not accept this code, or no longer does; start the login again",
    "login_interrupted": "the login was interrupted at hh.ru; start it again",
    "login_failed": "hh.ru refused the login; start it again, or ask the operator",
    "not_an_applicant": "this is an employer's account at hh.ru; log in as an applicant",
    "hh_closed": "hh.ru keeps accounts of people closed to Core",
    "state_required": "this session started a login with a state of its own; bring that state back",
    "session_of_another_account": "this session is connected to another hh.ru account; disconnect "
    "it, or start a login for this session and bring its state back",
}
STATES_REFUSED: dict[str, str] = {
    "unknown": "the state is unknown; start the login again",
    "used": "the state was used before; start the login again",
    "expired": "the state has expired; start the login again",
    "foreign": "the state belongs to another session; start the login again",
}


class LoginRefused(BadRequest):
    """The login failed for good; the person starts again. *code*: a key of :data:`REFUSALS` or of
    :data:`.access.REASONS`."""


def refusal(code: str, message: str | None = None) -> LoginRefused:
    """Count a refused login and return its error; *message*: instead of the code's own."""
    count("LoginsRefused")
    return LoginRefused(message or REFUSALS.get(code) or access.REASONS[code], code=code)
