"""Answers of hh.ru, read: the content of a good one, the error that a bad one means.

An answer is classified by ``errors[].value``, then ``errors[].type``, then the HTTP status (hh.ru:
business refusals come as 403, and a 200 may carry ``errors``). Its edge speaks HTML: that is a
matter of where we call from, never of a person's rights. ``POST /token`` alone speaks RFC 6749
(``error``, ``error_description``), and what a text means depends on the grant.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ullgetthejob.hh import error_rules
from ullgetthejob.hh.errors import (
    Action,
    HHApplyRefused,
    HHBadArgument,
    HHCaptcha,
    HHForbidden,
    HHLoginRefused,
    HHNotFound,
    HHRefreshRefused,
    HHResumeRefused,
    HHTokenRefused,
    HHUnavailable,
)
from ullgetthejob.platform import storable_text
from ullgetthejob.platform.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NO_ENTRY: Mapping[str, Any] = {}
_REASON = re.compile(r"[a-z_]{1,64}")
_PARAMETER = re.compile(r"[a-z][a-z0-9_.\[\]]{0,63}")
_NEGOTIATION = re.compile(r"/negotiations/([0-9]{1,19})(?:[?/]|$)")
_RESUME = re.compile(r"/resumes/([0-9a-fA-F]{1,64})(?:[?/]|$)")
_WEB = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True)
class Received:
    """An answer of hh.ru as it came: *headers* with lower-case names, *body* decoded from gzip.

    *method* and *path* are those of the call.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    method: str = ""
    path: str = ""

    @property
    def is_withdrawn(self) -> bool:
        """Whether hh.ru has no such method (any more)."""
        is_without_id = f"{self.method} {self.path}" in error_rules.METHODS_WITHOUT_ID
        return self.status in error_rules.WITHDRAWN_STATUSES and (
            is_without_id or not self._is_json
        )

    @property
    def _is_json(self) -> bool:
        try:
            _content(self.body)
        except ValueError:
            return False
        return True

    @property
    def request_id(self) -> str | None:
        """hh.ru's id of the call, for its support."""
        return self.headers.get("x-request-id")


def parse(received: Received) -> Any:
    """The JSON of a good answer, ``None`` for one without a body (201, 204, 304).

    Raises the error of the first row that fits otherwise.
    """
    if received.status == 451 or _is_edge_page(received):
        raise _error(error_rules.REGION)
    if received.is_withdrawn:
        raise _error(error_rules.WITHDRAWN)
    if received.status >= 500:
        raise _by_status_error(received.status)
    if received.status in (201, 204, 304) and not received.body:
        return None
    try:
        content = _content(received.body)
    except ValueError:
        raise _by_status_error(received.status) from None
    errors = content.get("errors") if isinstance(content, dict) else None
    if errors:
        rule, entry = _first_match(errors, received.status)
        raise (
            _by_status_error(received.status)
            if rule is error_rules.UNREADABLE
            else _error(rule, entry)
        )
    if received.status >= 300:
        raise _by_status_error(received.status)
    return content


def values_of(received: Received) -> list[str]:
    """Return the words by which hh.ru names a refusal (``type/value``, RFC 6749's ``error``), for
    the log; of its texts nothing."""
    try:
        content = _content(received.body)
    except ValueError:
        return []
    named = [f"{entry.get('type')}/{entry.get('value')}" for entry in _entries(content)]
    if isinstance(content, dict) and isinstance(content.get("error"), str):
        named.append(content["error"])
    return [name for name in named if re.fullmatch(r"[a-zA-Z_/]{1,100}", name)][:5]


def parse_token(received: Received, grant: str) -> Any:
    """The JSON of a good answer of ``POST /token`` to *grant*.

    Raises the error of the first row of :data:`TOKEN_RULES` that fits, else as :func:`parse` does,
    where that says something about a token that we asked for.
    """
    answer = {} if received.status >= 500 else _oauth_answer(received.body)
    for rule in error_rules.TOKEN_RULES:
        if _token_fits(rule, answer, grant):
            raise _token_error(rule)
    try:
        return parse(received)
    except (HHTokenRefused, HHNotFound, HHBadArgument) as error:
        raise _error(error_rules.TOKEN_UNKNOWN) from error


def parse_application(received: Received) -> str | None:
    """The negotiation's id after ``POST /negotiations``; ``None`` when hh.ru took the application
    and did not say which it is.

    hh.ru: 201 with an empty body and ``Location: /negotiations/{id}``; 303 to the employer's site
    for direct vacancies, and nothing is created. Raises :class:`HHApplyRefused`, and what
    :func:`parse` raises.
    """
    location = received.headers.get("location", "")
    if received.status == 303 and "vpnche" not in location:
        raise _apply_error(
            error_rules.EXTERNAL_SITE, link=location if _WEB.match(location) else None
        )
    if received.status == 201:
        found = _NEGOTIATION.search(location)
        return found[1] if found else None
    for rule, entry in _apply_matches(received):
        value = str(entry.get("value"))
        raise _apply_error(rule, value if _REASON.fullmatch(value) else "unknown")
    try:
        parse(received)
    except HHUnavailable as error:
        if 300 <= received.status < 500:  # a refusal, in words that we do not know
            raise _apply_error(error_rules.REFUSED_SOMEHOW) from error
        if received.status >= 500:
            raise
    # Neither a refusal nor the 201 of an application that was made: hh.ru's negotiations tell.
    unclear = HHUnavailable(error_rules._DOWN)
    unclear.is_lost = False
    raise unclear


def parse_resume(received: Received) -> str | None:
    """The new resume's id after ``POST /resumes``; ``None`` when hh.ru does not say it, and where
    there is none to say.

    hh.ru: 201 with an empty body and ``Location: /resumes/{id}``; 204 for a resume that was changed
    or published. Raises :class:`HHResumeRefused`, and what :func:`parse` raises.
    """
    if received.status == 201:
        found = _RESUME.search(received.headers.get("location", ""))
        return found[1] if found else None
    try:
        entries = _entries(_content(received.body)) if received.status < 500 else []
    except ValueError:
        entries = []
    for rule in error_rules.RESUME_RULES:
        if received.status == rule.status or any(_resume_fits(rule, one) for one in entries):
            names = (_reason(one.get("value")) for one in entries)
            fields = tuple(sorted({name for name in names if name}))
            raise HHResumeRefused(rule.reason, rule.action, rule.message, fields)
    try:
        content = parse(received)
    except HHForbidden as error:  # it closes nothing else: the person's own resumes can be sent
        raise HHResumeRefused(
            "resume_closed", Action.ASK_PERSON, error_rules._RESUMES_CLOSED
        ) from error
    if content is not None:
        raise _error(error_rules.UNREADABLE)
    return None


def _resume_fits(rule: error_rules.ResumeRule, entry: Mapping[str, Any]) -> bool:
    return (
        rule.type == entry.get("type")
        and rule.value in (None, entry.get("value"))
        and rule.wrong in (None, entry.get("reason"))
    )


def _entries(content: Any) -> list[Mapping[str, Any]]:
    listed = content.get("errors") if isinstance(content, dict) else None
    return [entry for entry in listed or () if isinstance(entry, dict)]


def _apply_matches(received: Received) -> Iterator[tuple[error_rules.ApplyRule, Mapping[str, Any]]]:
    try:
        content = _content(received.body)
    except ValueError:
        return
    entries = _entries(content)
    ours = [entry for entry in entries if entry.get("type") == "negotiations"]
    for rule in error_rules.APPLY_RULES:
        for entry in ours:
            if rule.value in (None, entry.get("value")):
                yield rule, entry
    for entry in entries:
        if entry.get("type") == "bad_argument" and entry.get("value") == "message":
            yield error_rules.LETTER_MISSING, {}
    said = json.dumps([content.get("description"), *entries]) if isinstance(content, dict) else ""
    if received.status == 400 and any(consent in said for consent in error_rules._CONSENTS):
        yield error_rules.CONSENT_MISSING, {}


def _apply_error(
    rule: error_rules.ApplyRule, reason: str = "unknown", link: str | None = None
) -> HHApplyRefused:
    return HHApplyRefused(rule.value or reason, rule.action, rule.message, link)


def _oauth_answer(body: bytes) -> dict[str, str]:
    """What RFC 6749's fields say, in lower case and without stray spaces (hh.ru: some have them,
    in names too); empty for anything else."""
    try:
        answer = _content(body)
    except ValueError:
        return {}
    if not isinstance(answer, dict):
        return {}
    return {_plain(name): _plain(text) for name, text in answer.items() if isinstance(text, str)}


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _token_fits(rule: error_rules.TokenRule, answer: Mapping[str, str], grant: str) -> bool:
    return (
        rule.oauth_error == answer.get("error")
        and rule.description in (None, answer.get("error_description"))
        and rule.grant in (None, grant)
    )


def _token_error(rule: error_rules.TokenRule) -> Exception:
    if issubclass(rule.error, Unavailable):
        return rule.error(rule.message, retry_after_s=rule.retry_after_s)
    error = rule.error(rule.message)
    if isinstance(error, HHLoginRefused | HHRefreshRefused):
        error.reason = rule.reason
        error.details = {"reason": rule.reason}
    return error


def _first_match(errors: Any, status: int) -> tuple[error_rules.Rule, Mapping[str, Any]]:
    """The row that fits an entry of ``errors[]``, and the entry; by the status where none does."""
    entries = [entry for entry in errors if isinstance(entry, dict)]
    for rule in error_rules.RULES:
        for entry in entries:
            if _fits(rule, entry):
                return rule, entry
    return _by_status(status), {}


def _content(body: bytes) -> Any:
    content = json.loads(body)
    if not storable_text.ESCAPED.search(body):
        return content
    return storable_text.replaced(content, nul="")


def _is_edge_page(received: Received) -> bool:
    """HTML on an API host is the edge's: its block (403) or its "vpn check", also by a redirect."""
    if 300 <= received.status < 400:
        return "vpnche" in received.headers.get("location", "")
    return received.status in (200, 403) and "html" in received.headers.get("content-type", "")


def _fits(rule: error_rules.Rule, entry: Mapping[str, Any]) -> bool:
    if rule.value is None and rule.type is None:
        return False
    return (rule.value is None or rule.value == entry.get("value")) and (
        rule.type is None or rule.type == entry.get("type")
    )


def _by_status(status: int) -> error_rules.Rule:
    return next(
        (rule for rule in error_rules.RULES if rule.status == status), error_rules.UNREADABLE
    )


def _by_status_error(status: int) -> Exception:
    """The error of a status alone. A refusal (3xx, 4xx) has had no effect, even an unknown one."""
    error = _error(_by_status(status))
    if isinstance(error, HHUnavailable):
        error.may_have_acted = not 300 <= status < 500
    return error


def _error(rule: error_rules.Rule, entry: Mapping[str, Any] = _NO_ENTRY) -> Exception:
    if issubclass(rule.error, Unavailable):
        error = rule.error(rule.message, retry_after_s=rule.retry_after_s)
        if isinstance(error, HHCaptcha):
            error.fallback_url = _url(entry.get("fallback_url"))
            error.captcha_url = _url(entry.get("captcha_url")) or error.fallback_url
        if isinstance(error, HHTokenRefused):
            error.reason = _reason(entry.get("value"))
        return error
    if rule.error is HHBadArgument and _PARAMETER.fullmatch(str(entry.get("value") or "")):
        # The name of a parameter, which the caller sent; nothing else of hh.ru's text is passed on.
        return HHBadArgument.field(str(entry["value"]), "hh.ru does not take this value")
    return rule.error(rule.message)


def _url(given: Any) -> str | None:
    """An address that a person may be sent to."""
    return given if isinstance(given, str) and given.startswith(("https://", "http://")) else None


def _reason(given: Any) -> str | None:
    """A value of hh.ru's that has the form of one; nothing else of its text is passed on."""
    return given if isinstance(given, str) and _REASON.fullmatch(given) else None
