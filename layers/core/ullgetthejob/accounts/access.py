"""Access state: what hh.ru lets Core do for an account now, and what the person should do next.

    ok                nothing blocks the account
    reauth_required   no valid tokens: the person logs in again
    captcha           hh.ru wants a captcha solved: the person follows the link; Core retries after
                      ten minutes, then after twice as long each time
    limited_until     hh.ru accepts no more applications before a given time

The state results from every call to hh.ru on the account's behalf (:mod:`.hh_calls`) and is stored
in the account's row (:mod:`.access_changes`). In captcha and reauth_required, hh.ru is not called.
A method that hh.ru keeps closed to Core has a state of its own (:mod:`ullgetthejob.hh.methods`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from ullgetthejob.platform.errors import NeedsPerson
from ullgetthejob.platform.models import Model

State = Literal["ok", "reauth_required", "captcha", "limited_until"]
Action = Literal["none", "log_in", "solve_captcha", "wait"]

# How long a captcha is waited for before hh.ru is called again: the first time, and at most.
CAPTCHA_PAUSE = (timedelta(minutes=10), timedelta(hours=12))

ACTIONS: dict[State, Action] = {
    "ok": "none",
    "reauth_required": "log_in",
    "captcha": "solve_captcha",
    "limited_until": "wait",
}
MESSAGES: dict[State, str] = {
    "ok": "hh.ru works for this account",
    "reauth_required": "log in at hh.ru again",
    "captcha": "open the link and solve hh.ru's captcha; Core then continues by itself",
    "limited_until": "hh.ru accepts no more applications for now; Core continues by itself",
}
# Messages that are more specific than the state's own, by the reason of hh.ru's refusal.
REASONS: dict[str, str] = {
    "not_connected": "connect hh.ru first",
    "disconnected": "hh.ru was disconnected; connect it again to go on",
    "account_locked": "hh.ru has locked the account: unlock it there, then log in again",
    "account_not_found": "hh.ru no longer knows this account: log in with another",
    "password_invalidated": "set a new password at hh.ru, then log in again",
    "login_not_verified": "confirm your e-mail or phone at hh.ru, then log in again",
}
CODES: dict[State, str] = {
    "reauth_required": "reauth_required",
    "captcha": "hh_captcha",
    "limited_until": "hh_limited",
}

# Earlier releases stored "closed" for an account, for which methods have states of their own now.
# While one still runs beside this release, such a row is read as in order.
_CLOSED_BEFORE = "closed"
IN_ORDER = f"access_state IN ('ok', 'limited_until', '{_CLOSED_BEFORE}')"
# What require() checks, as SQL over a row of ``accounts``.
READABLE = f"({IN_ORDER} OR access_until <= %(now)s)"


@dataclass(frozen=True)
class Access:
    """An access state as the account's row has it. *since* and *until* are times or ``None``;
    *tries* counts how often access was lost since the person or hh.ru last restored it."""

    state: State = "reauth_required"
    reason: str | None = "not_connected"
    since: datetime | None = None
    until: datetime | None = None
    captcha_url: str | None = None
    tries: int = 0

    @classmethod
    def of(cls, row: dict[str, Any]) -> Access:
        """Return the access state of a row of ``accounts``."""
        if row["access_state"] == _CLOSED_BEFORE:
            return cls("ok", None, row["access_changed_at"])
        return cls(
            state=row["access_state"],
            reason=row["access_reason"],
            since=row["access_changed_at"],
            until=row["access_until"],
            captcha_url=row["captcha_url"],
            tries=row["access_tries"],
        )

    def at(self, now: datetime) -> Access:
        """Return the state that holds at *now*: one with an end may be over. A captcha is not over
        until hh.ru has answered again."""
        if self.state != "captcha" and self.until is not None and self.until <= now:
            return Access("ok", None, self.until)
        return self

    def retry_captcha_at(self, now: datetime) -> datetime:
        """Return when hh.ru is called again after a captcha at *now*: later each time."""
        first, most = CAPTCHA_PAUSE
        doubled: timedelta = first * 2 ** min(self.tries, 16)
        return now + min(doubled, most)

    @property
    def message(self) -> str:
        """Return what the person should do, in a sentence."""
        return REASONS.get(self.reason or "", MESSAGES[self.state])


class AccessAnswer(Model):
    """An access state, and what the person should do next."""

    state: State
    reason: str | None = Field(description="why, as a snake_case word")
    since: AwareDatetime | None
    until: AwareDatetime | None
    action: Action
    message: str = Field(description="what to do, for people")
    captcha_url: str | None = Field(default=None, description="where the captcha is solved")


def to_answer(access: Access) -> AccessAnswer:
    """Return *access* as callers see it."""
    return AccessAnswer(
        state=access.state,
        reason=access.reason,
        since=access.since,
        until=None if access.state == "captcha" else access.until,
        action=ACTIONS[access.state],
        message=access.message,
        captcha_url=access.captcha_url,
    )


def require(access: Access, *, now: datetime) -> None:
    """Raise :class:`NeedsPerson` if hh.ru cannot be called for this account at *now*.

    A limit on applications does not prevent reading.
    """
    current = access.at(now)
    if current.state in ("ok", "limited_until"):
        return
    if current.state == "captcha" and current.until is not None and current.until <= now:
        return  # only hh.ru knows whether it was solved
    raise needs_person(current)


def needs_person(access: Access) -> NeedsPerson:
    """Return the error of a state in which hh.ru is not called."""
    details = {"access": to_answer(access).model_dump(mode="json")}
    return NeedsPerson(access.message, code=CODES[access.state], details=details)
