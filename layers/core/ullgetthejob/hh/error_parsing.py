"""Classification of hh.ru's responses: the content of a good one, the error of a bad one.

A response is classified by ``errors[].value``, then ``errors[].type``, then the HTTP status (hh.ru:
business refusals come as 403, and a 200 may carry ``errors``). hh.ru's edge responds in HTML: that
depends on the address that we call from, never on a person's rights. Only ``POST /token`` follows
RFC 6749 (``error``, ``error_description``); there the meaning of a text depends on the grant.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ullgetthejob.hh import error_rules
from ullgetthejob.hh.errors import (
    HHApplyRefused,
    HHBadArgument,
    HHCaptcha,
    HHLoginRefused,
    HHMessageRefused,
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
    """A raw response of hh.ru: *headers* with lower-case names, *body* decoded from gzip, *method*
    and *path* of the call."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    method: str = ""
    path: str = ""

    @property
    def is_withdrawn(self) -> bool:
        """Return whether hh.ru does not, or no longer, offer this method."""
        if self.status in error_rules.NO_METHOD_STATUSES:
            return True
        is_without_id = f"{self.method} {self.path}" in error_rules.METHODS_WITHOUT_ID
        return self.status in error_rules.GONE_STATUSES and (is_without_id or not self._is_json)

    @property
    def _is_json(self) -> bool:
        try:
            _content(self.body)
        except ValueError:
            return False
        return True

    @property
    def request_id(self) -> str | None:
        """Return hh.ru's id of the call, for its support."""
        return self.headers.get("x-request-id")


def parse(received: Received) -> Any:
    """Return the JSON of a good response, ``None`` for one without a body (201, 204, 304).

    Raises the error of the first matching rule otherwise.
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
    """Return hh.ru's codes of a refusal (``type/value``, RFC 6749's ``error``) for the log, never
    its texts."""
    try:
        content = _content(received.body)
    except ValueError:
        return []
    codes = [f"{entry.get('type')}/{entry.get('value')}" for entry in _entries(content)]
    if isinstance(content, dict) and isinstance(content.get("error"), str):
        codes.append(content["error"])
    return [code for code in codes if re.fullmatch(r"[a-zA-Z_/]{1,100}", code)][:5]


def parse_token(received: Received, grant: str) -> Any:
    """Return the JSON of a good response of ``POST /token`` to *grant*.

    Raises the error of the first matching rule of :data:`TOKEN_RULES`, else as :func:`parse` does;
    errors of other endpoints become :class:`HHMisconfigured`.
    """
    fields = {} if received.status >= 500 else _oauth_fields(received.body)
    for rule in error_rules.TOKEN_RULES:
        if _token_rule_matches(rule, fields, grant):
            raise _token_error(rule)
    try:
        return parse(received)
    except (HHTokenRefused, HHNotFound, HHBadArgument) as error:
        raise _error(error_rules.TOKEN_UNKNOWN) from error


def parse_application(received: Received) -> str | None:
    """Return the id of the negotiation after ``POST /negotiations``; ``None`` if hh.ru accepted the
    application without giving its id.

    hh.ru: 201 with an empty body and ``Location: /negotiations/{id}``; 303 to the employer's site
    for direct vacancies, and nothing is created. Raises :class:`HHApplyRefused`, and the errors of
    :func:`parse`.
    """
    location = received.headers.get("location", "")
    if received.status == 303 and "vpnche" not in location:
        raise _apply_error(
            error_rules.EXTERNAL_SITE, link=location if _WEB.match(location) else None
        )
    if received.status == 201:
        match = _NEGOTIATION.search(location)
        return match[1] if match else None
    for rule, entry in _apply_matches(received):
        value = str(entry.get("value"))
        raise _apply_error(rule, value if _REASON.fullmatch(value) else "unknown")
    try:
        parse(received)
    except HHUnavailable as error:
        if 300 <= received.status < 500:  # a refusal with an unknown code
            raise _apply_error(error_rules.REFUSED_SOMEHOW) from error
        if received.status >= 500:
            raise
    # Neither a refusal nor the 201 of a created application: the list of negotiations decides.
    unclear = HHUnavailable(error_rules.DOWN_MESSAGE)
    unclear.is_lost = False
    raise unclear


def parse_message(received: Received) -> Any:
    """Return the JSON of the new message after ``POST /negotiations/{id}/messages``; ``None`` if
    hh.ru accepted it without JSON.

    Raises :class:`HHMessageRefused`, and the errors of :func:`parse`.
    """
    if received.status == 201:
        try:
            return _content(received.body)
        except ValueError:
            return None
    refusals = [entry for entry in _listed(received) if entry.get("type") == "negotiations"]
    for rule in error_rules.MESSAGE_RULES:
        for entry in refusals:
            if rule.value in (None, entry.get("value")):
                value = str(entry.get("value"))
                reason = rule.value or (value if _REASON.fullmatch(value) else "unknown")
                raise HHMessageRefused(reason, rule.action, rule.message)
    try:
        parse(received)
    except HHUnavailable as error:
        if 300 <= received.status < 500:  # a refusal with an unknown code
            rule = error_rules.MESSAGE_RULES[-1]
            raise HHMessageRefused("unknown", rule.action, rule.message) from error
        if received.status >= 500:
            raise
    # Neither a refusal nor the 201 of a message: the conversation decides.
    unclear = HHUnavailable(error_rules.DOWN_MESSAGE)
    unclear.is_lost = False
    raise unclear


def _listed(received: Received) -> list[Mapping[str, Any]]:
    """Return the entries of a response's ``errors``, none of one that is not JSON."""
    try:
        return _entries(_content(received.body))
    except ValueError:
        return []


def parse_resume(received: Received) -> str | None:
    """Return the id of the new resume after ``POST /resumes``; ``None`` if hh.ru does not give it,
    and after a change or a publication.

    hh.ru: 201 with an empty body and ``Location: /resumes/{id}``; 204 for a resume that was changed
    or published. Raises :class:`HHResumeRefused`, and the errors of :func:`parse`.
    """
    if received.status == 201:
        match = _RESUME.search(received.headers.get("location", ""))
        return match[1] if match else None
    try:
        entries = _entries(_content(received.body)) if received.status < 500 else []
    except ValueError:
        entries = []
    for rule in error_rules.RESUME_RULES:
        if received.status == rule.status or any(
            _resume_rule_matches(rule, entry) for entry in entries
        ):
            names = (_reason(entry.get("value")) for entry in entries)
            fields = tuple(sorted({name for name in names if name}))
            raise HHResumeRefused(rule.reason, rule.action, rule.message, fields)
    content = parse(received)
    if content is not None:
        raise _error(error_rules.UNREADABLE)
    return None


def _resume_rule_matches(rule: error_rules.ResumeRule, entry: Mapping[str, Any]) -> bool:
    return (
        rule.type == entry.get("type")
        and rule.value in (None, entry.get("value"))
        and rule.wrong in (None, entry.get("reason"))
    )


def _entries(content: Any) -> list[Mapping[str, Any]]:
    listed = content.get("errors") if isinstance(content, dict) else None
    return [entry for entry in listed or () if isinstance(entry, dict)]


def _apply_matches(received: Received) -> Iterator[tuple[error_rules.ApplyRule, Mapping[str, Any]]]:
    """Yield the matching rules of ``POST /negotiations``, each with the entry that it matches."""
    try:
        content = _content(received.body)
    except ValueError:
        return
    entries = _entries(content)
    refusals = [entry for entry in entries if entry.get("type") == "negotiations"]
    for rule in error_rules.APPLY_RULES:
        for entry in refusals:
            if rule.value in (None, entry.get("value")):
                yield rule, entry
    for entry in entries:
        if entry.get("type") == "bad_argument" and entry.get("value") == "message":
            yield error_rules.LETTER_MISSING, {}
    text = json.dumps([content.get("description"), *entries]) if isinstance(content, dict) else ""
    if received.status == 400 and any(marker in text for marker in error_rules.CONSENT_MARKERS):
        yield error_rules.CONSENT_MISSING, {}


def _apply_error(
    rule: error_rules.ApplyRule, reason: str = "unknown", link: str | None = None
) -> HHApplyRefused:
    return HHApplyRefused(rule.value or reason, rule.action, rule.message, link)


def _oauth_fields(body: bytes) -> dict[str, str]:
    """Return RFC 6749's fields, in lower case and without stray spaces (hh.ru: some have them, in
    names too); empty for any other body."""
    try:
        content = _content(body)
    except ValueError:
        return {}
    if not isinstance(content, dict):
        return {}
    return {_plain(name): _plain(text) for name, text in content.items() if isinstance(text, str)}


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _token_rule_matches(rule: error_rules.TokenRule, fields: Mapping[str, str], grant: str) -> bool:
    return (
        rule.oauth_error == fields.get("error")
        and rule.description in (None, fields.get("error_description"))
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
    """Return the rule that matches an entry of ``errors[]``, and the entry; without a match the
    rule of the status."""
    entries = [entry for entry in errors if isinstance(entry, dict)]
    for rule in error_rules.RULES:
        for entry in entries:
            if _rule_matches(rule, entry):
                return rule, entry
    return _by_status(status), {}


def _content(body: bytes) -> Any:
    content = json.loads(body)
    if not storable_text.ESCAPED.search(body):
        return content
    return storable_text.replaced(content, nul="")


def _is_edge_page(received: Received) -> bool:
    """Return whether the response is HTML of hh.ru's edge: its block (403) or its "vpn check", also
    by a redirect."""
    if 300 <= received.status < 400:
        return "vpnche" in received.headers.get("location", "")
    return received.status in (200, 403) and "html" in received.headers.get("content-type", "")


def _rule_matches(rule: error_rules.Rule, entry: Mapping[str, Any]) -> bool:
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
    """Return the error of a status alone. A refusal (3xx, 4xx), even an unknown one, has had no
    effect."""
    error = _error(_by_status(status))
    if isinstance(error, HHUnavailable):
        error.may_have_acted = not 300 <= status < 500
    return error


def _error(rule: error_rules.Rule, entry: Mapping[str, Any] = _NO_ENTRY) -> Exception:
    if issubclass(rule.error, Unavailable):
        error = rule.error(rule.message, retry_after_s=rule.retry_after_s)
        if isinstance(error, HHCaptcha):
            error.fallback_url = _web_url(entry.get("fallback_url"))
            error.captcha_url = _web_url(entry.get("captcha_url")) or error.fallback_url
        if isinstance(error, HHTokenRefused):
            error.reason = _reason(entry.get("value"))
        return error
    if rule.error is HHBadArgument and _PARAMETER.fullmatch(str(entry.get("value") or "")):
        # The name of the caller's parameter; nothing else of hh.ru's text is passed on.
        return HHBadArgument.field(str(entry["value"]), "hh.ru does not take this value")
    return rule.error(rule.message)


def _web_url(value: Any) -> str | None:
    """Return *value* if it is a URL that a person may be redirected to."""
    return value if isinstance(value, str) and value.startswith(("https://", "http://")) else None


def _reason(value: Any) -> str | None:
    """Return *value* if it has the form of hh.ru's codes; no other text is passed on."""
    return value if isinstance(value, str) and _REASON.fullmatch(value) else None
