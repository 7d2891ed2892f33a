"""hh.ru's errors and what Core does about each: one table.

An answer of hh.ru is classified by ``errors[].value``, then ``errors[].type``, then the HTTP
status (hh.ru: business refusals come as 403, and a 200 may carry ``errors``). Its edge speaks
HTML: that is a matter of where we call from, never of a person's rights.

    HHError
    ├── HHUnavailable        hh.ru is down, slow, or answers what cannot be read
    ├── HHBusy               too many calls: theirs (429) or our own pacer
    ├── HHRegionBlocked      the edge refuses our address: 403 in HTML, 451, a "vpn check" page
    ├── HHCaptcha            hh.ru wants a person to solve a captcha
    ├── HHTokenRefused       the token that was sent is no good (any more)
    ├── HHAppTokenMissing    there is no application token at the moment
    ├── HHForbidden          closed to us: the method, or the right to it
    ├── HHMisconfigured      our User-Agent or application is not accepted
    ├── HHNotFound           no such vacancy
    └── HHBadArgument        a parameter that hh.ru does not take
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform.errors import Invalid, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping


class Action(Enum):
    """What Core does about an error of hh.ru."""

    RETRY = "ask again a little later"
    SLOW_DOWN = "pause all calls, then go on"
    RENEW_TOKEN = "renew the token once and ask once more"  # noqa: S105 - not a token
    STOP_AND_ALARM = "stop, and tell the operator"
    ASK_PERSON = "hand the step to a person"
    TELL_CALLER = "tell the caller; asking again changes nothing"


class HHError(Exception):
    """Marks everything in the table: ``except HHError``."""


class HHUnavailable(HHError, Unavailable):
    """hh.ru is down, slow, or answers what cannot be read.

    *may_have_acted*: the request may have reached it, so that its effect, if it has one, may be
    there although no answer came.
    """

    code = "hh_unavailable"
    may_have_acted = True


class HHBusy(HHError, Unavailable):
    """Too many calls at the moment, by hh.ru's count or by our own pacer's."""

    code = "hh_busy"


class HHRegionBlocked(HHError, Unavailable):
    """hh.ru's edge refuses the address that we call from. It is alarmed, never worked around."""

    code = "hh_region_blocked"


class HHCaptcha(HHError, Unavailable):
    """hh.ru wants a captcha solved. *captcha_url* is where a person can do it."""

    code = "hh_captcha"
    captcha_url: str | None = None


class HHTokenRefused(HHError, Unavailable):
    """The access token that was sent is revoked, expired or unknown."""

    code = "hh_token_refused"


class HHAppTokenMissing(HHError, Unavailable):
    """There is no application token, and none can be had right now."""

    code = "hh_app_token_missing"


class HHForbidden(HHError, Unavailable):
    """hh.ru keeps the method closed to this application (hh.ru: ``forbidden`` without a value)."""

    code = "hh_forbidden"


class HHMisconfigured(HHError, Unavailable):
    """hh.ru does not accept our User-Agent or our application: an operator must act."""

    code = "hh_misconfigured"


class HHNotFound(HHError, NotFound):
    """hh.ru knows no such thing."""

    code = "job_not_found"


class HHBadArgument(HHError, Invalid):
    """hh.ru refuses the value of a parameter."""

    code = "bad_arguments"


@dataclass(frozen=True)
class Rule:
    """One row: what matches, which error it becomes, what is done, what the caller is told."""

    error: type[Unavailable | NotFound | Invalid]
    action: Action
    message: str
    value: str | None = None
    type: str | None = None
    status: int | None = None
    retry_after_s: int = 5


_NO_ENTRY: Mapping[str, Any] = {}
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
_TOKEN = "hh.ru refused Core's access token"  # noqa: S105 - a message
_DOWN = "hh.ru does not answer properly at the moment"
_MISCONFIGURED = "hh.ru does not accept Core's configuration; the operator has to look at it"

# Most telling first: the first row that matches an entry of errors[] wins.
RULES: tuple[Rule, ...] = (
    # by value (hh.ru: docs/errors.md)
    Rule(HHTokenRefused, Action.RENEW_TOKEN, _TOKEN, value="bad_authorization"),
    Rule(HHTokenRefused, Action.RENEW_TOKEN, _TOKEN, value="token_expired"),
    Rule(HHTokenRefused, Action.RENEW_TOKEN, _TOKEN, value="token_revoked"),
    Rule(HHMisconfigured, Action.STOP_AND_ALARM, _MISCONFIGURED, value="application_not_found"),
    Rule(HHForbidden, Action.STOP_AND_ALARM, "hh.ru wants a person's token here",
         value="user_auth_expected", retry_after_s=300),
    Rule(HHForbidden, Action.STOP_AND_ALARM, "hh.ru wants an application's token here",
         value="application_auth_expected", retry_after_s=300),
    Rule(HHForbidden, Action.STOP_AND_ALARM, "the token lacks the scope for this",
         value="no_scope", retry_after_s=300),
    Rule(HHMisconfigured, Action.STOP_AND_ALARM, _MISCONFIGURED, value="unset",
         type="bad_user_agent", retry_after_s=300),
    Rule(HHMisconfigured, Action.STOP_AND_ALARM, _MISCONFIGURED, value="blacklisted",
         type="bad_user_agent", retry_after_s=300),
    # by type
    Rule(HHCaptcha, Action.ASK_PERSON, "hh.ru asks for a captcha; try again later",
         type="captcha_required", retry_after_s=300),
    Rule(HHTokenRefused, Action.RENEW_TOKEN, _TOKEN, type="oauth"),
    Rule(HHMisconfigured, Action.STOP_AND_ALARM, _MISCONFIGURED, type="bad_user_agent",
         retry_after_s=300),
    Rule(HHBadArgument, Action.TELL_CALLER, "hh.ru refused a search parameter",
         type="bad_argument"),
    Rule(HHBadArgument, Action.TELL_CALLER, "hh.ru refused the combination of search parameters",
         type="bad_request"),
    Rule(HHBusy, Action.SLOW_DOWN, "hh.ru is called too often at the moment",
         type="too_many_requests"),
    Rule(HHForbidden, Action.STOP_AND_ALARM, "hh.ru keeps this closed to Core", type="forbidden",
         retry_after_s=300),
    Rule(HHNotFound, Action.TELL_CALLER, "hh.ru has no such vacancy", type="not_found"),
    # by status
    Rule(HHTokenRefused, Action.RENEW_TOKEN, _TOKEN, status=401),
    Rule(HHForbidden, Action.STOP_AND_ALARM, "hh.ru keeps this closed to Core", status=403,
         retry_after_s=300),
    Rule(HHNotFound, Action.TELL_CALLER, "hh.ru has no such vacancy", status=404),
    Rule(HHBusy, Action.SLOW_DOWN, "hh.ru is called too often at the moment", status=429),
    Rule(HHBadArgument, Action.TELL_CALLER, "hh.ru refused a search parameter", status=400),
)  # fmt: skip
UNREADABLE = Rule(HHUnavailable, Action.RETRY, _DOWN)
REGION = Rule(
    HHRegionBlocked,
    Action.STOP_AND_ALARM,
    "hh.ru refuses the network that Core calls from; the operator has to look at it",
    retry_after_s=60,
)


@dataclass(frozen=True)
class Received:
    """An answer of hh.ru as it came: *headers* with lower-case names, *body* decoded from gzip."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def request_id(self) -> str | None:
        """hh.ru's id of the call, for its support."""
        return self.headers.get("x-request-id")


def parse(received: Received) -> Any:
    """The JSON of a good answer, ``None`` for one without a body (201, 204, 304).

    Raises the error of the first row that fits otherwise.
    """
    if received.status == 451 or _is_edge_page(received):
        raise _error(REGION)
    if received.status >= 500:
        raise _error(UNREADABLE)
    if received.status in (201, 204, 304) and not received.body:
        return None
    try:
        content = _content(received.body)
    except ValueError:
        raise _error(_by_status(received.status)) from None
    errors = content.get("errors") if isinstance(content, dict) else None
    if errors:
        raise _error(*_first_match(errors, received.status))
    if received.status >= 300:
        raise _error(_by_status(received.status))
    return content


def _first_match(errors: Any, status: int) -> tuple[Rule, Mapping[str, Any]]:
    """The row that fits an entry of ``errors[]``, and the entry; by the status where none does."""
    entries = [entry for entry in errors if isinstance(entry, dict)]
    for rule in RULES:
        for entry in entries:
            if _fits(rule, entry):
                return rule, entry
    return _by_status(status), {}


def _content(body: bytes) -> Any:
    if b"\\u0000" in body:  # the one character that Postgres can hold in neither text nor jsonb
        body = _NUL.sub(rb"\1", body)
    return json.loads(body)


def _is_edge_page(received: Received) -> bool:
    """HTML on an API host is the edge's: its block (403) or its "vpn check", also by a redirect."""
    if 300 <= received.status < 400:
        return "vpnche" in received.headers.get("location", "")
    return received.status in (200, 403) and "html" in received.headers.get("content-type", "")


def _fits(rule: Rule, entry: Mapping[str, Any]) -> bool:
    if rule.value is None and rule.type is None:
        return False
    return (rule.value is None or rule.value == entry.get("value")) and (
        rule.type is None or rule.type == entry.get("type")
    )


def _by_status(status: int) -> Rule:
    return next((rule for rule in RULES if rule.status == status), UNREADABLE)


def _error(rule: Rule, entry: Mapping[str, Any] = _NO_ENTRY) -> Exception:
    if issubclass(rule.error, Unavailable):
        error = rule.error(rule.message, retry_after_s=rule.retry_after_s)
        if isinstance(error, HHCaptcha):
            error.captcha_url = entry.get("captcha_url") or entry.get("fallback_url")
        return error
    if rule.error is HHBadArgument and entry.get("value"):
        # The name of a parameter, which the caller sent; nothing else of hh.ru's text is passed on.
        field = str(entry["value"])[:64]
        return HHBadArgument.field(field, "hh.ru does not take this value")
    return rule.error(rule.message)
