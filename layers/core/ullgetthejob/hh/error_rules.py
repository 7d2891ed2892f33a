"""The tables of what Core does about each of hh.ru's errors: a general one, one of the token
endpoint, and one each of applications, messages and resumes, where a refusal is a business outcome.

docs/hh-errors.md is generated from these tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ullgetthejob.hh.errors import (
    Action,
    HHAppTokenMissing,
    HHBadArgument,
    HHBusy,
    HHCaptcha,
    HHExchangesLimited,
    HHForbidden,
    HHLoginRefused,
    HHMisconfigured,
    HHNotFound,
    HHRefreshRefused,
    HHRegionBlocked,
    HHTokenNotExpired,
    HHTokenRefused,
    HHUnavailable,
)

if TYPE_CHECKING:
    from ullgetthejob.platform.errors import BadRequest, Invalid, NotFound, Unavailable


@dataclass(frozen=True)
class ApplyRule:
    """One row of the table of ``POST /negotiations``, or of that of messages: *value* of an entry
    whose type is ``negotiations`` (any other, if ``None``), the action, and the message for the
    person."""

    value: str | None
    action: Action
    message: str


@dataclass(frozen=True)
class ResumeRule:
    """One row of the table of ``POST`` and ``PUT /resumes…``: *type*, *value* and *wrong* (the
    ``reason``) match an entry, or else *status* the response; then Core's own word for the reason,
    the action, and the message for the person."""

    reason: str
    action: Action
    message: str
    type: str | None = None
    value: str | None = None
    wrong: str | None = None
    status: int | None = None


@dataclass(frozen=True)
class Rule:
    """One row: the resulting error, the action, the message for the caller, and what matches."""

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

    *oauth_error* with *description* (any, if ``None``) match the response to *grant* (any, if
    ``None``); then the resulting error with its *reason*, the action, and the message for the
    person or the operator.
    """

    oauth_error: str
    error: type[Unavailable | BadRequest]
    action: Action
    message: str
    description: str | None = None
    grant: str | None = None
    reason: str | None = None
    retry_after_s: int = 300


_TOKEN = "hh.ru refused the access token"  # noqa: S105 - a message
DOWN_MESSAGE = "hh.ru does not answer properly at the moment"
_WITHDRAWN_METHOD = "hh.ru no longer offers this to Core"
_MISCONFIGURED = "hh.ru does not accept Core's configuration; the operator has to look at it"
# Most specific first: the first row that matches an entry of errors[] wins.
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
    Rule(HHBadArgument, Action.REPORT_TO_CALLER, "hh.ru refused a parameter", type="bad_argument"),
    Rule(HHBadArgument, Action.REPORT_TO_CALLER, "hh.ru refused the combination of parameters",
         type="bad_request"),
    Rule(HHBusy, Action.SLOW_DOWN, "hh.ru is called too often at the moment",
         type="too_many_requests"),
    Rule(HHForbidden, Action.STOP_AND_ALARM, "hh.ru keeps this closed to Core", type="forbidden",
         retry_after_s=300),
    Rule(HHNotFound, Action.REPORT_TO_CALLER, "hh.ru does not have this", type="not_found"),
    # by status
    Rule(HHTokenRefused, Action.RENEW_TOKEN, _TOKEN, status=401),
    Rule(HHForbidden, Action.STOP_AND_ALARM, "hh.ru keeps this closed to Core", status=403,
         retry_after_s=300),
    Rule(HHNotFound, Action.REPORT_TO_CALLER, "hh.ru does not have this", status=404),
    Rule(HHBusy, Action.SLOW_DOWN, "hh.ru is called too often at the moment", status=429),
    Rule(HHForbidden, Action.STOP_AND_ALARM, _WITHDRAWN_METHOD, status=405, retry_after_s=300),
    Rule(HHNotFound, Action.REPORT_TO_CALLER, "hh.ru does not have this", status=410),
    Rule(HHForbidden, Action.STOP_AND_ALARM, _WITHDRAWN_METHOD, status=501, retry_after_s=300),
    Rule(HHBadArgument, Action.REPORT_TO_CALLER, "hh.ru refused a parameter", status=400),
)  # fmt: skip
CODE, REFRESH, APPLICATION = "authorization_code", "refresh_token", "client_credentials"
_AGAIN = "start the login again"
_LOCKED = "hh.ru has locked this account; unlock it at hh.ru, then log in again"
_GONE = "hh.ru no longer has this account; log in with another one"
_PASSWORD = "hh.ru wants a new password for this account; set it at hh.ru, then log in again"  # noqa: S105 - a message
_UNVERIFIED = (
    "the e-mail or phone of this account is not confirmed; confirm it at hh.ru, then log in again"
)
_APPLICATION = "hh.ru does not know Core's application: HH_CLIENT_ID or HH_CLIENT_SECRET is wrong"
_WITHDRAWN = "access was withdrawn at hh.ru; log in again"
# POST /token (hh.ru: docs/errors.md, OAuth). Whole texts before the bare errors of RFC 6749.
TOKEN_RULES: tuple[TokenRule, ...] = (
    # any grant
    TokenRule("forbidden", HHAppTokenMissing, Action.RETRY,
              "hh.ru gives a new access token every five minutes",
              description="app token refresh too early", grant=APPLICATION),
    TokenRule("invalid_client", HHMisconfigured, Action.STOP_AND_ALARM, _APPLICATION,
              description="client_id or client_secret not found"),
    TokenRule("unsupported_grant_type", HHMisconfigured, Action.STOP_AND_ALARM,
              "hh.ru no longer gives tokens in this way; the operator has to look at it",
              description="unsupported grant_type"),
    TokenRule("invalid_grant", HHExchangesLimited, Action.SLOW_DOWN_EXCHANGES,
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
              "hh.ru no longer knows this connection; log in again",
              description="token not found", grant=REFRESH, reason="token_not_found"),
    TokenRule("invalid_grant", HHTokenNotExpired, Action.KEEP_TOKEN,
              "hh.ru refreshes a token only after it has expired; this one is still valid",
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
    # with an unknown text (RFC 6749, §5.2; RFC 7636, §4.6)
    TokenRule("invalid_client", HHMisconfigured, Action.STOP_AND_ALARM, _APPLICATION),
    TokenRule("unsupported_grant_type", HHMisconfigured, Action.STOP_AND_ALARM, _MISCONFIGURED),
    TokenRule("invalid_grant", HHLoginRefused, Action.START_LOGIN_AGAIN,
              f"hh.ru did not accept this login; {_AGAIN}", grant=CODE, reason="invalid_grant"),
    TokenRule("invalid_grant", HHRefreshRefused, Action.REAUTHORISE,
              "hh.ru did not renew this connection; log in again",
              grant=REFRESH, reason="invalid_grant"),
)  # fmt: skip
_LETTER = "hh.ru does not take this letter; write another"
_CLOSED = "the employer does not take applications for this vacancy, or no longer does"
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
    # from the list that hh.ru uses for messages too
    ApplyRule("in_a_row_limit", Action.HAND_OFF, _YOURSELF),
    ApplyRule("overall_limit", Action.HAND_OFF, _YOURSELF),
    ApplyRule("chat_archived", Action.HAND_OFF, _YOURSELF),
    ApplyRule("topic_archived", Action.HAND_OFF, _YOURSELF),
    ApplyRule("topic_not_found", Action.HAND_OFF, _YOURSELF),
    ApplyRule("chat_is_not_ready", Action.HAND_OFF, _YOURSELF),
    ApplyRule(None, Action.HAND_OFF, _YOURSELF),
)  # fmt: skip
# Refusals for which hh.ru has no value of their own.
LETTER_MISSING = ApplyRule("letter_required", Action.FIX_LETTER,
                           "the employer wants a letter; write one")  # fmt: skip
CONSENT_MISSING = ApplyRule("visibility_consent", Action.HAND_OFF,
                            "hh.ru wants your consent to be seen in another country; "
                            "apply on hh.ru")  # fmt: skip
EXTERNAL_SITE = ApplyRule("external_site", Action.HAND_OFF,
                          "the employer takes applications on a site of its own")  # fmt: skip
REFUSED_SOMEHOW = ApplyRule(None, Action.HAND_OFF, _YOURSELF)
CONSENT_MARKERS = ("enable_applicant_visibility_in_country", "required_applicant_visibility_id")
_TEXT = "hh.ru does not take this text; write another"
_ARCHIVED = "the conversation is archived; hh.ru takes no more messages there"
_NO_MESSAGES = "the employer takes no messages here; look at the conversation on hh.ru"
# POST /negotiations/{id}/messages (hh.ru: docs/errors.md, negotiations; messaging_status).
MESSAGE_RULES: tuple[ApplyRule, ...] = (
    ApplyRule("chat_is_not_ready", Action.RETRY,
              "hh.ru has not opened the conversation yet; Core tries again by itself"),
    ApplyRule("in_a_row_limit", Action.REPORT_TO_CALLER,
              "hh.ru takes no more than five messages in a row; wait for the employer's answer"),
    ApplyRule("overall_limit", Action.REPORT_TO_CALLER,
              "hh.ru takes no more messages in this conversation"),
    ApplyRule("archived", Action.REPORT_TO_CALLER, _ARCHIVED),
    ApplyRule("chat_archived", Action.REPORT_TO_CALLER, _ARCHIVED),
    ApplyRule("topic_archived", Action.REPORT_TO_CALLER, _ARCHIVED),
    ApplyRule("disabled_by_employer", Action.REPORT_TO_CALLER, _NO_MESSAGES),
    ApplyRule("no_invitation", Action.REPORT_TO_CALLER, _NO_MESSAGES),
    ApplyRule("application_denied", Action.REPORT_TO_CALLER, _NO_MESSAGES),
    ApplyRule("prohibited", Action.REPORT_TO_CALLER, _NO_MESSAGES),
    ApplyRule("wrong_state", Action.REPORT_TO_CALLER, _NO_MESSAGES),
    ApplyRule("edit_forbidden", Action.REPORT_TO_CALLER, _NO_MESSAGES),
    ApplyRule("resume_deleted", Action.REPORT_TO_CALLER,
              "the resume of this application has been deleted, and the conversation with it"),
    ApplyRule("topic_not_found", Action.REPORT_TO_CALLER, "hh.ru has no such conversation"),
    ApplyRule("empty_message", Action.FIX_LETTER, _TEXT),
    ApplyRule("message_cannot_be_empty", Action.FIX_LETTER, _TEXT),
    ApplyRule("too_long_message", Action.FIX_LETTER, "the text is too long for hh.ru"),
    ApplyRule("inappropriate_language", Action.FIX_LETTER, _TEXT),
    ApplyRule("inappropriate_language_message", Action.FIX_LETTER, _TEXT),
    ApplyRule("resource_policy_violation", Action.FIX_LETTER, _TEXT),
    ApplyRule("resource_policy_violation_message", Action.FIX_LETTER, _TEXT),
    ApplyRule(None, Action.HAND_OFF, "hh.ru does not take the message; write on hh.ru yourself"),
)  # fmt: skip
_INCOMPLETE = "hh.ru wants something else in this resume; complete it on hh.ru, then try again"
# Creating, changing, publishing a resume (hh.ru: docs/resumes.md). Most specific first.
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
# Neither the text nor the error is known: no token is deleted for that.
TOKEN_UNKNOWN = Rule(HHMisconfigured, Action.STOP_AND_ALARM, _MISCONFIGURED, retry_after_s=300)
UNREADABLE = Rule(HHUnavailable, Action.RETRY, DOWN_MESSAGE)
# The statuses of a method that no longer exists: 405 and 501 say nothing else (RFC 9110). 404 and
# 410 say it where the path has no id, or without hh.ru's JSON, which means that one vacancy or
# resume is gone.
WITHDRAWN = Rule(HHForbidden, Action.STOP_AND_ALARM, _WITHDRAWN_METHOD, retry_after_s=300)
NO_METHOD_STATUSES = (405, 501)
GONE_STATUSES = (404, 410)
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
