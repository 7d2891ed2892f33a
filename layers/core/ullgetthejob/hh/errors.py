"""hh.ru's errors and what Core does about each: one table, one of the token endpoint, and two of
what is written for a person, applications and resumes, whose refusals are business outcomes.

An answer of hh.ru is classified by ``errors[].value``, then ``errors[].type``, then the HTTP
status (hh.ru: business refusals come as 403, and a 200 may carry ``errors``). Its edge speaks
HTML: that is a matter of where we call from, never of a person's rights. ``POST /token`` alone
speaks RFC 6749 (``error``, ``error_description``), and what a text means depends on the grant.

    HHError
    ├── HHUnavailable        hh.ru is down, slow, or answers what cannot be read
    ├── HHBusy               too many calls: theirs (429) or our own pacer
    ├── HHRegionBlocked      the edge refuses our address: 403 in HTML, 451, a "vpn check" page
    ├── HHCaptcha            hh.ru wants a person to solve a captcha
    ├── HHTokenRefused       the token that was sent is no good (any more)
    ├── HHLoginRefused       the authorisation code is no good: the person starts again
    ├── HHRefreshRefused     the refresh token is no good: the person must log in again
    ├── HHTokenNotExpired    refreshed too early: the access token is still good
    ├── HHAppTokenMissing    there is no application token at the moment
    ├── HHForbidden          closed to us: the method, or the right to it
    ├── HHMisconfigured      our User-Agent or application is not accepted
    ├── HHNotFound           no such thing, or somebody else's
    │   ├── HHVacancyNotFound
    │   └── HHResumeNotFound
    ├── HHBadArgument        a parameter that hh.ru does not take
    ├── HHApplyRefused       an application that hh.ru does not take; *action* says what follows
    └── HHResumeRefused      a resume that hh.ru does not make, change or publish; *action* too

Whether a call may have had its effect all the same: ``may_have_acted``, true of some
:class:`HHUnavailable` and of nothing else.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ullgetthejob.platform import storable_text
from ullgetthejob.platform.errors import AppError, BadRequest, Invalid, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Action(Enum):
    """What Core does about an error of hh.ru."""

    RETRY = "ask again a little later"
    SLOW_DOWN = "pause all calls, then go on"
    RENEW_TOKEN = "renew the token once and ask once more"  # noqa: S105 - not a token
    STOP_AND_ALARM = "stop, and tell the operator"
    ASK_PERSON = "hand the step to a person"
    TELL_CALLER = "tell the caller; asking again changes nothing"
    START_LOGIN_AGAIN = "nothing changes for the account; its person starts the login again"
    REAUTHORISE = "the account is reauth_required until its person has logged in again"
    TAKE_NEWER_PAIR = "take the newer pair if one was stored meanwhile; else reauth_required"
    KEEP_TOKEN = "keep the token, which is still good"  # noqa: S105 - not a token
    TREAT_AS_DONE = "the application is there already: find it among the negotiations"
    DROP = "give the vacancy up"
    WAIT_FOR_LIMIT = "stop applying for the account until hh.ru's 24 hours let one more in"
    WAIT_FOR_RESUME = "wait until hh.ru sees the resume, then try again; choose another in the end"
    FIX_LETTER = "the person writes another letter"
    HAND_OFF = "hand the last step to the person, with the letter and the link"
    OTHER_TITLE = "ask again with another title"
    GO_ON = "nothing is left to do here: go on"


class HHError(Exception):
    """Marks everything in the tables: ``except HHError``.

    *may_have_acted*: the request may have reached hh.ru, so that its effect, if it has one, may be
    there although no answer came. A refusal has no effect. *is_pause*: no call was made, because
    calls are paused or no slot was near.
    """

    may_have_acted = False
    is_pause = False


class HHUnavailable(HHError, Unavailable):
    """hh.ru is down, slow, or answers what cannot be read: it may have acted, unless no connection
    was made or no slot given, or the status says that it refused.

    *is_lost*: no answer came, or one that says that hh.ru failed; else one that cannot be read.
    """

    code = "hh_unavailable"
    may_have_acted = True
    is_lost = True


class HHBusy(HHError, Unavailable):
    """Too many calls at the moment, by hh.ru's count or by our own pacer's."""

    code = "hh_busy"


class HHRegionBlocked(HHError, Unavailable):
    """hh.ru's edge refuses the address that we call from. It is alarmed, never worked around."""

    code = "hh_region_blocked"


class HHCaptcha(HHError, Unavailable):
    """hh.ru wants a captcha solved. *captcha_url* is where a person can do it; it is the
    *fallback_url*, a page of hh.ru's for the same operation, where there is no captcha's own."""

    code = "hh_captcha"
    captcha_url: str | None = None
    fallback_url: str | None = None

    def link(self, back_to: str) -> str | None:
        """Where the person solves it and is then sent *back_to* (hh.ru: ``backurl`` is mandatory
        with a captcha_url and must have a scheme; a fallback_url takes none)."""
        if self.captcha_url is None or self.captcha_url == self.fallback_url:
            return self.captcha_url
        separator = "&" if "?" in self.captcha_url else "?"
        return f"{self.captcha_url}{separator}backurl={quote(back_to, safe='')}"


class HHTokenRefused(HHError, Unavailable):
    """The access token that was sent is revoked, expired or unknown.

    *reason*: ``errors[].value`` (``token_expired``, ``token_revoked``, ``bad_authorization``),
    ``None`` where hh.ru gave none.
    """

    code = "hh_token_refused"
    reason: str | None = None


class HHLoginRefused(HHError, BadRequest):
    """hh.ru gives no tokens for the authorisation code. *reason*, in snake_case, says why."""

    code = "invalid_code"
    reason: str | None = None


class HHRefreshRefused(HHError, BadRequest):
    """hh.ru gives no new pair for the refresh token, and never will: its person must log in again.

    *reason*, in snake_case, says why; after ``already_refreshed`` there is, or was, a newer pair.
    """

    code = "hh_refresh_refused"
    reason: str | None = None


class HHTokenNotExpired(HHError, BadRequest):
    """hh.ru refreshes only expired tokens: the access token, and this refresh token, stay good."""

    code = "hh_token_not_expired"


class HHAppTokenMissing(HHError, Unavailable):
    """There is no application token, and none can be had right now."""

    code = "hh_app_token_missing"


class HHForbidden(HHError, Unavailable):
    """hh.ru keeps the method closed to this application (hh.ru: ``forbidden`` without a value), or
    no longer offers it (404, 405, 410, 501 where no id is in the path).

    *method* and *path* name what is closed, once the client has seen it.
    """

    code = "hh_forbidden"
    method: str | None = None
    path: str | None = None

    @property
    def closes_applying(self) -> bool:
        """Whether it is the call that applies which hh.ru keeps closed."""
        return (self.method, self.path) == ("POST", "/negotiations")


class HHMisconfigured(HHError, Unavailable):
    """hh.ru does not accept our User-Agent or our application: an operator must act."""

    code = "hh_misconfigured"


class HHNotFound(HHError, NotFound):
    """hh.ru knows no such thing, or it is somebody else's."""


class HHVacancyNotFound(HHNotFound):
    """hh.ru knows no such vacancy."""

    code = "job_not_found"


class HHResumeNotFound(HHNotFound):
    """The person has no such resume."""

    code = "resume_not_found"


class HHBadArgument(HHError, Invalid):
    """hh.ru refuses the value of a parameter."""

    code = "bad_arguments"


class HHApplyRefused(HHError, AppError):
    """hh.ru did not take an application, and nothing was created.

    *reason*: ``errors[].value``, or our word where hh.ru has none. *action*: what Core does.
    *link*: the employer's own page, where the vacancy wants applications there.
    """

    code = "hh_apply_refused"

    def __init__(self, reason: str, action: Action, message: str, link: str | None = None) -> None:
        super().__init__(message, details={"reason": reason})
        self.reason = reason
        self.action = action
        self.link = link


class HHResumeRefused(HHError, AppError):
    """hh.ru did not make, change or publish a resume, and nothing has changed.

    *reason*: a snake_case word of the table. *action*: what Core does. *fields*: which of the
    resume's fields hh.ru names.
    """

    code = "hh_resume_refused"

    def __init__(
        self, reason: str, action: Action, message: str, fields: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, details={"reason": reason})
        self.reason = reason
        self.action = action
        self.fields = fields


@dataclass(frozen=True)
class ApplyRule:
    """One row of the table of ``POST /negotiations``: *value* of an entry whose type is
    ``negotiations`` (any other, if ``None``), what is done, what the person is told."""

    value: str | None
    action: Action
    message: str


@dataclass(frozen=True)
class ResumeRule:
    """One row of the table of ``POST`` and ``PUT /resumes…``: what matches an entry (*wrong*: its
    ``reason``) or else the answer's *status*; what Core calls it, what is done, what the person is
    told."""

    reason: str
    action: Action
    message: str
    type: str | None = None
    value: str | None = None
    wrong: str | None = None
    status: int | None = None


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


@dataclass(frozen=True)
class TokenRule:
    """One row of the token endpoint's table.

    What matches is *oauth_error* with *description* (any, if ``None``) in the answer to *grant*
    (any, if ``None``); then which error it becomes with which *reason*, what is done, and what the
    person or the operator is told to do.
    """

    oauth_error: str
    error: type[Unavailable | BadRequest]
    action: Action
    message: str
    description: str | None = None
    grant: str | None = None
    reason: str | None = None
    retry_after_s: int = 300


_NO_ENTRY: Mapping[str, Any] = {}
_REASON = re.compile(r"[a-z_]{1,64}")
_PARAMETER = re.compile(r"[a-z][a-z0-9_.\[\]]{0,63}")
_NEGOTIATION = re.compile(r"/negotiations/([0-9]{1,19})(?:[?/]|$)")
_RESUME = re.compile(r"/resumes/([0-9a-fA-F]{1,64})(?:[?/]|$)")
_WEB = re.compile(r"https?://", re.IGNORECASE)
_TOKEN = "hh.ru refused the access token"  # noqa: S105 - a message
_DOWN = "hh.ru does not answer properly at the moment"
_WITHDRAWN_METHOD = "hh.ru no longer offers this to Core"
_MISCONFIGURED = "hh.ru does not accept Core's configuration; the operator has to look at it"

# Most telling first: the first row that matches an entry of errors[] wins.
RULES: tuple[Rule, ...] = (
    # by value (hh.ru: docs/errors.md)
    Rule(HHTokenRefused, Action.RENEW_TOKEN, _TOKEN, value="bad_authorization"),
    Rule(HHTokenRefused, Action.RENEW_TOKEN, _TOKEN, value="token_expired"),
    Rule(HHTokenRefused, Action.RENEW_TOKEN, _TOKEN, value="token_revoked"),
    Rule(HHMisconfigured, Action.STOP_AND_ALARM, _MISCONFIGURED, value="application_not_found",
         retry_after_s=300),
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
    Rule(HHBadArgument, Action.TELL_CALLER, "hh.ru refused a parameter", type="bad_argument"),
    Rule(HHBadArgument, Action.TELL_CALLER, "hh.ru refused the combination of parameters",
         type="bad_request"),
    Rule(HHBusy, Action.SLOW_DOWN, "hh.ru is called too often at the moment",
         type="too_many_requests"),
    Rule(HHForbidden, Action.STOP_AND_ALARM, "hh.ru keeps this closed to Core", type="forbidden",
         retry_after_s=300),
    Rule(HHNotFound, Action.TELL_CALLER, "hh.ru has no such thing", type="not_found"),
    # by status
    Rule(HHTokenRefused, Action.RENEW_TOKEN, _TOKEN, status=401),
    Rule(HHForbidden, Action.STOP_AND_ALARM, "hh.ru keeps this closed to Core", status=403,
         retry_after_s=300),
    Rule(HHNotFound, Action.TELL_CALLER, "hh.ru has no such thing", status=404),
    Rule(HHBusy, Action.SLOW_DOWN, "hh.ru is called too often at the moment", status=429),
    Rule(HHForbidden, Action.STOP_AND_ALARM, _WITHDRAWN_METHOD, status=405, retry_after_s=300),
    Rule(HHNotFound, Action.TELL_CALLER, "hh.ru has no such thing", status=410),
    Rule(HHForbidden, Action.STOP_AND_ALARM, _WITHDRAWN_METHOD, status=501, retry_after_s=300),
    Rule(HHBadArgument, Action.TELL_CALLER, "hh.ru refused a parameter", status=400),
)  # fmt: skip

CODE, REFRESH, APPLICATION = "authorization_code", "refresh_token", "client_credentials"
_AGAIN = "start the login again"
_LOCKED = "hh.ru has locked this account; unlock it at hh.ru, then log in again"
_GONE = "hh.ru has no such account any more; log in with another one"
_PASSWORD = "hh.ru wants a new password for this account; set it at hh.ru, then log in again"  # noqa: S105 - a message
_UNVERIFIED = (
    "the e-mail or phone of this account is not confirmed; confirm it at hh.ru, then log in again"
)
_APPLICATION = "hh.ru does not know Core's application: HH_CLIENT_ID or HH_CLIENT_SECRET is wrong"
_WITHDRAWN = "access was withdrawn at hh.ru; log in again"

# POST /token (hh.ru: docs/errors.md, OAuth). Whole texts before the bare errors of RFC 6749.
TOKEN_RULES: tuple[TokenRule, ...] = (
    # whichever the grant
    TokenRule("forbidden", HHAppTokenMissing, Action.RETRY,
              "hh.ru gives a new access token every five minutes",
              description="app token refresh too early", grant=APPLICATION),
    TokenRule("invalid_client", HHMisconfigured, Action.STOP_AND_ALARM, _APPLICATION,
              description="client_id or client_secret not found"),
    TokenRule("unsupported_grant_type", HHMisconfigured, Action.STOP_AND_ALARM,
              "hh.ru does not give tokens in this way any more; the operator has to look at it",
              description="unsupported grant_type"),
    TokenRule("invalid_grant", HHBusy, Action.RETRY,
              "hh.ru exchanges no more tokens for now; try again in a few minutes",
              description="force exchange limit exceeded"),
    TokenRule("invalid_request", HHMisconfigured, Action.STOP_AND_ALARM, _MISCONFIGURED,
              description="user agent required"),
    # an authorisation code
    TokenRule("invalid_request", HHMisconfigured, Action.STOP_AND_ALARM,
              "hh.ru does not know the address that people return to: HH_REDIRECT_URI is wrong",
              description="bad redirect url", grant=CODE),
    TokenRule("invalid_request", HHLoginRefused, Action.START_LOGIN_AGAIN, _GONE,
              description="account not found", grant=CODE, reason="account_not_found"),
    TokenRule("invalid_request", HHLoginRefused, Action.START_LOGIN_AGAIN, _LOCKED,
              description="account is locked", grant=CODE, reason="account_locked"),
    TokenRule("invalid_request", HHLoginRefused, Action.START_LOGIN_AGAIN, _PASSWORD,
              description="password invalidated", grant=CODE, reason="password_invalidated"),
    TokenRule("invalid_request", HHLoginRefused, Action.START_LOGIN_AGAIN, _UNVERIFIED,
              description="login not verified", grant=CODE, reason="login_not_verified"),
    TokenRule("invalid_request", HHLoginRefused, Action.START_LOGIN_AGAIN,
              f"hh.ru does not know this login; {_AGAIN}",
              description="code not found", grant=CODE, reason="code_not_found"),
    TokenRule("invalid_grant", HHLoginRefused, Action.START_LOGIN_AGAIN,
              f"this login has been used already; {_AGAIN}",
              description="code has already been used", grant=CODE, reason="code_used"),
    TokenRule("invalid_grant", HHLoginRefused, Action.START_LOGIN_AGAIN,
              f"this login took too long; {_AGAIN}",
              description="code expired", grant=CODE, reason="code_expired"),
    TokenRule("invalid_grant", HHLoginRefused, Action.START_LOGIN_AGAIN, _WITHDRAWN,
              description="code was revoke", grant=CODE, reason="code_revoked"),
    TokenRule("invalid_grant", HHLoginRefused, Action.START_LOGIN_AGAIN,
              f"hh.ru does not accept the proof of this login; {_AGAIN}",
              description="code verifier mismatch", grant=CODE, reason="code_verifier_mismatch"),
    # a refresh token
    TokenRule("invalid_request", HHRefreshRefused, Action.REAUTHORISE, _GONE,
              description="account not found", grant=REFRESH, reason="account_not_found"),
    TokenRule("invalid_request", HHRefreshRefused, Action.REAUTHORISE, _LOCKED,
              description="account is locked", grant=REFRESH, reason="account_locked"),
    TokenRule("invalid_request", HHRefreshRefused, Action.REAUTHORISE, _PASSWORD,
              description="password invalidated", grant=REFRESH, reason="password_invalidated"),
    TokenRule("invalid_request", HHRefreshRefused, Action.REAUTHORISE, _UNVERIFIED,
              description="login not verified", grant=REFRESH, reason="login_not_verified"),
    TokenRule("invalid_request", HHRefreshRefused, Action.REAUTHORISE,
              "there is no refresh token; log in again",
              description="token is empty", grant=REFRESH, reason="token_empty"),
    TokenRule("invalid_request", HHRefreshRefused, Action.REAUTHORISE,
              "hh.ru does not know this connection any more; log in again",
              description="token not found", grant=REFRESH, reason="token_not_found"),
    TokenRule("invalid_grant", HHTokenNotExpired, Action.KEEP_TOKEN,
              "hh.ru refreshes a token only after it has expired; this one is still good",
              description="token not expired", grant=REFRESH),
    TokenRule("invalid_grant", HHRefreshRefused, Action.TAKE_NEWER_PAIR,
              "this connection has been renewed elsewhere; log in again",
              description="token has already been refreshed", grant=REFRESH,
              reason="already_refreshed"),
    TokenRule("invalid_grant", HHRefreshRefused, Action.REAUTHORISE, _WITHDRAWN,
              description="token was revoked", grant=REFRESH, reason="token_revoked"),
    TokenRule("invalid_grant", HHRefreshRefused, Action.REAUTHORISE,
              "hh.ru does not take this for a refresh token; log in again",
              description="bad token", grant=REFRESH, reason="bad_token"),
    TokenRule("invalid_grant", HHRefreshRefused, Action.REAUTHORISE,
              "hh.ru ended all connections of this account, as after a new password; log in again",
              description="token deactivated", grant=REFRESH, reason="token_deactivated"),
    # with a text that we do not know (RFC 6749, §5.2; RFC 7636, §4.6)
    TokenRule("invalid_client", HHMisconfigured, Action.STOP_AND_ALARM, _APPLICATION),
    TokenRule("unsupported_grant_type", HHMisconfigured, Action.STOP_AND_ALARM, _MISCONFIGURED),
    TokenRule("invalid_grant", HHLoginRefused, Action.START_LOGIN_AGAIN,
              f"hh.ru did not accept this login; {_AGAIN}", grant=CODE, reason="invalid_grant"),
    TokenRule("invalid_grant", HHRefreshRefused, Action.REAUTHORISE,
              "hh.ru did not renew this connection; log in again",
              grant=REFRESH, reason="invalid_grant"),
)  # fmt: skip
_LETTER = "hh.ru does not take this letter; write another"
_CLOSED = "the employer does not take applications for this vacancy (any more)"
_YOURSELF = "hh.ru wants more than Core can give; apply on hh.ru yourself"

# POST /negotiations (hh.ru: docs/errors.md, negotiations; several come as 403, some as 400).
APPLY_RULES: tuple[ApplyRule, ...] = (
    ApplyRule("already_applied", Action.TREAT_AS_DONE, "you have applied to this vacancy already"),
    ApplyRule("limit_exceeded", Action.WAIT_FOR_LIMIT,
              "hh.ru takes no more than 200 applications in 24 hours; Core goes on by itself"),
    ApplyRule("test_required", Action.HAND_OFF,
              "the employer wants a test, which only you can do; apply on hh.ru"),
    ApplyRule("resume_not_found", Action.WAIT_FOR_RESUME, "hh.ru does not see this resume"),
    ApplyRule("resume_deleted", Action.WAIT_FOR_RESUME, "this resume has been deleted"),
    ApplyRule("resume_visibility_conflict", Action.HAND_OFF,
              "the employer cannot see this resume; change its visibility, or apply on hh.ru"),
    ApplyRule("vacancy_not_found", Action.DROP, "hh.ru has no such vacancy"),
    ApplyRule("invalid_vacancy", Action.DROP, "the vacancy is archived or hidden"),
    ApplyRule("archived", Action.DROP, "the vacancy is archived"),
    ApplyRule("application_denied", Action.DROP, _CLOSED),
    ApplyRule("disabled_by_employer", Action.DROP, _CLOSED),
    ApplyRule("no_invitation", Action.DROP, _CLOSED),
    ApplyRule("wrong_state", Action.DROP, _CLOSED),
    ApplyRule("edit_forbidden", Action.DROP, _CLOSED),
    ApplyRule("not_enough_purchased_services", Action.DROP, _CLOSED),
    ApplyRule("empty_message", Action.FIX_LETTER, "the employer wants a letter; write one"),
    ApplyRule("message_cannot_be_empty", Action.FIX_LETTER,
              "the employer wants a letter; write one"),
    ApplyRule("too_long_message", Action.FIX_LETTER, "the letter is too long for hh.ru"),
    ApplyRule("inappropriate_language", Action.FIX_LETTER, _LETTER),
    ApplyRule("inappropriate_language_message", Action.FIX_LETTER, _LETTER),
    ApplyRule("resource_policy_violation", Action.FIX_LETTER, _LETTER),
    ApplyRule("resource_policy_violation_message", Action.FIX_LETTER, _LETTER),
    ApplyRule("address_not_found", Action.HAND_OFF, _YOURSELF),
    # of the list that hh.ru shares with messages
    ApplyRule("in_a_row_limit", Action.HAND_OFF, _YOURSELF),
    ApplyRule("overall_limit", Action.HAND_OFF, _YOURSELF),
    ApplyRule("chat_archived", Action.HAND_OFF, _YOURSELF),
    ApplyRule("topic_archived", Action.HAND_OFF, _YOURSELF),
    ApplyRule("topic_not_found", Action.HAND_OFF, _YOURSELF),
    ApplyRule("chat_is_not_ready", Action.HAND_OFF, _YOURSELF),
    ApplyRule(None, Action.HAND_OFF, _YOURSELF),
)  # fmt: skip
# What hh.ru says without a value of its own.
LETTER_MISSING = ApplyRule("letter_required", Action.FIX_LETTER,
                           "the employer wants a letter; write one")  # fmt: skip
CONSENT_MISSING = ApplyRule("visibility_consent", Action.HAND_OFF,
                            "hh.ru wants your consent to be seen in another country; "
                            "apply on hh.ru")  # fmt: skip
EXTERNAL_SITE = ApplyRule("external_site", Action.HAND_OFF,
                          "the employer takes applications on a site of its own")  # fmt: skip
REFUSED_SOMEHOW = ApplyRule(None, Action.HAND_OFF, _YOURSELF)
_CONSENTS = ("enable_applicant_visibility_in_country", "required_applicant_visibility_id")

_INCOMPLETE = "hh.ru wants something else in this resume; complete it on hh.ru, then try again"

_RESUMES_CLOSED = (
    "hh.ru does not let Core make or change resumes; do it on hh.ru, then try again with it"
)

# Making, changing, publishing a resume (hh.ru: docs/resumes.md). Most telling first.
RESUME_RULES: tuple[ResumeRule, ...] = (
    ResumeRule("resume_limit", Action.ASK_PERSON,
               "you have as many resumes as hh.ru allows; delete one, then try again",
               type="resumes", value="total_limit_exceeded"),
    ResumeRule("published_lately", Action.GO_ON, "the resume has been published lately",
               type="resumes", value="touch_limit_exceeded"),
    ResumeRule("title_taken", Action.OTHER_TITLE, "you have a resume of this title",
               type="bad_json_data", value="title", wrong="duplicate"),
    ResumeRule("resume_incomplete", Action.ASK_PERSON, _INCOMPLETE, type="bad_json_data"),
    ResumeRule("resume_incomplete", Action.ASK_PERSON, _INCOMPLETE, type="bad_request"),
    ResumeRule("resume_incomplete", Action.ASK_PERSON, _INCOMPLETE, status=409),
)  # fmt: skip

# Neither the text nor the error is known: nobody's token is given up for that.
TOKEN_UNKNOWN = Rule(HHMisconfigured, Action.STOP_AND_ALARM, _MISCONFIGURED, retry_after_s=300)
UNREADABLE = Rule(HHUnavailable, Action.RETRY, _DOWN)
# A method that is there no more answers so: where no id is in its path, whatever the body says, and
# elsewhere without hh.ru's JSON, which says of one vacancy or resume that it is gone.
WITHDRAWN = Rule(HHForbidden, Action.STOP_AND_ALARM, _WITHDRAWN_METHOD, retry_after_s=300)
WITHDRAWN_STATUSES = (404, 405, 410, 501)
METHODS_WITHOUT_ID = {
    "POST /token",
    "DELETE /token",
    "GET /me",
    "GET /resumes/mine",
    "GET /resumes/creation_availability",
    "GET /negotiations",
    "POST /negotiations",
    "GET /vacancies",
}
REGION = Rule(
    HHRegionBlocked,
    Action.STOP_AND_ALARM,
    "hh.ru refuses the network that Core calls from; the operator has to look at it",
    retry_after_s=60,
)


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
        is_without_id = f"{self.method} {self.path}" in METHODS_WITHOUT_ID
        return self.status in WITHDRAWN_STATUSES and (is_without_id or not self._is_json)

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
        raise _error(REGION)
    if received.is_withdrawn:
        raise _error(WITHDRAWN)
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
        raise _by_status_error(received.status) if rule is UNREADABLE else _error(rule, entry)
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
    for rule in TOKEN_RULES:
        if _token_fits(rule, answer, grant):
            raise _token_error(rule)
    try:
        return parse(received)
    except (HHTokenRefused, HHNotFound, HHBadArgument) as error:
        raise _error(TOKEN_UNKNOWN) from error


def parse_application(received: Received) -> str | None:
    """The negotiation's id after ``POST /negotiations``; ``None`` when hh.ru took the application
    and did not say which it is.

    hh.ru: 201 with an empty body and ``Location: /negotiations/{id}``; 303 to the employer's site
    for direct vacancies, and nothing is created. Raises :class:`HHApplyRefused`, and what
    :func:`parse` raises.
    """
    location = received.headers.get("location", "")
    if received.status == 303 and "vpnche" not in location:
        raise _apply_error(EXTERNAL_SITE, link=location if _WEB.match(location) else None)
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
            raise _apply_error(REFUSED_SOMEHOW) from error
        if received.status >= 500:
            raise
    # Neither a refusal nor the 201 of an application that was made: hh.ru's negotiations tell.
    unclear = HHUnavailable(_DOWN)
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
    for rule in RESUME_RULES:
        if received.status == rule.status or any(_resume_fits(rule, one) for one in entries):
            names = (_reason(one.get("value")) for one in entries)
            fields = tuple(sorted({name for name in names if name}))
            raise HHResumeRefused(rule.reason, rule.action, rule.message, fields)
    try:
        content = parse(received)
    except HHForbidden as error:  # it closes nothing else: the person's own resumes can be sent
        raise HHResumeRefused("resume_closed", Action.ASK_PERSON, _RESUMES_CLOSED) from error
    if content is not None:
        raise _error(UNREADABLE)
    return None


def _resume_fits(rule: ResumeRule, entry: Mapping[str, Any]) -> bool:
    return (
        rule.type == entry.get("type")
        and rule.value in (None, entry.get("value"))
        and rule.wrong in (None, entry.get("reason"))
    )


def _entries(content: Any) -> list[Mapping[str, Any]]:
    listed = content.get("errors") if isinstance(content, dict) else None
    return [entry for entry in listed or () if isinstance(entry, dict)]


def _apply_matches(received: Received) -> Iterator[tuple[ApplyRule, Mapping[str, Any]]]:
    try:
        content = _content(received.body)
    except ValueError:
        return
    entries = _entries(content)
    ours = [entry for entry in entries if entry.get("type") == "negotiations"]
    for rule in APPLY_RULES:
        for entry in ours:
            if rule.value in (None, entry.get("value")):
                yield rule, entry
    for entry in entries:
        if entry.get("type") == "bad_argument" and entry.get("value") == "message":
            yield LETTER_MISSING, {}
    said = json.dumps([content.get("description"), *entries]) if isinstance(content, dict) else ""
    if received.status == 400 and any(consent in said for consent in _CONSENTS):
        yield CONSENT_MISSING, {}


def _apply_error(
    rule: ApplyRule, reason: str = "unknown", link: str | None = None
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


def _token_fits(rule: TokenRule, answer: Mapping[str, str], grant: str) -> bool:
    return (
        rule.oauth_error == answer.get("error")
        and rule.description in (None, answer.get("error_description"))
        and rule.grant in (None, grant)
    )


def _token_error(rule: TokenRule) -> Exception:
    if issubclass(rule.error, Unavailable):
        return rule.error(rule.message, retry_after_s=rule.retry_after_s)
    error = rule.error(rule.message)
    if isinstance(error, HHLoginRefused | HHRefreshRefused):
        error.reason = rule.reason
        error.details = {"reason": rule.reason}
    return error


def _first_match(errors: Any, status: int) -> tuple[Rule, Mapping[str, Any]]:
    """The row that fits an entry of ``errors[]``, and the entry; by the status where none does."""
    entries = [entry for entry in errors if isinstance(entry, dict)]
    for rule in RULES:
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


def _fits(rule: Rule, entry: Mapping[str, Any]) -> bool:
    if rule.value is None and rule.type is None:
        return False
    return (rule.value is None or rule.value == entry.get("value")) and (
        rule.type is None or rule.type == entry.get("type")
    )


def _by_status(status: int) -> Rule:
    return next((rule for rule in RULES if rule.status == status), UNREADABLE)


def _by_status_error(status: int) -> Exception:
    """The error of a status alone. A refusal (3xx, 4xx) has had no effect, even an unknown one."""
    error = _error(_by_status(status))
    if isinstance(error, HHUnavailable):
        error.may_have_acted = not 300 <= status < 500
    return error


def _error(rule: Rule, entry: Mapping[str, Any] = _NO_ENTRY) -> Exception:
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
