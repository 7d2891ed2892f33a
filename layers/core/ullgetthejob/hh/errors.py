"""hh.ru's errors, and the actions that Core takes on them.

Which response becomes which error is decided in :mod:`ullgetthejob.hh.error_parsing`, by the tables
of :mod:`ullgetthejob.hh.error_rules`.

    HHError
    ├── HHUnavailable        hh.ru is down, slow, or its response cannot be read
    ├── HHBusy               too many calls: hh.ru's limit (429) or our own pacer
    │   └── HHExchangesLimited   the token endpoint gives no more tokens for now
    ├── HHRegionBlocked      the edge refuses our address: 403 in HTML, 451, a "vpn check" page
    ├── HHCaptcha            hh.ru wants a person to solve a captcha
    ├── HHTokenRefused       the access token is not, or no longer, valid
    ├── HHLoginRefused       the authorisation code is not valid: the person starts the login again
    ├── HHRefreshRefused     the refresh token is not valid: the person must log in again
    ├── HHTokenNotExpired    refreshed too early: the access token is still valid
    ├── HHAppTokenMissing    there is no application token at the moment
    ├── HHForbidden          closed to us: the method, or the right to it
    ├── HHMisconfigured      our User-Agent or application is not accepted
    ├── HHNotFound           it does not exist, or belongs to another person
    │   ├── HHVacancyNotFound
    │   └── HHResumeNotFound
    ├── HHBadArgument        hh.ru refuses a parameter
    ├── HHApplyRefused       hh.ru refuses an application; *action* says what follows
    └── HHResumeRefused      hh.ru refuses to create, change or publish a resume; *action* too

``may_have_acted`` says whether a failed call may still have had its effect: it is true for some
:class:`HHUnavailable` and for nothing else.
"""

from __future__ import annotations

from enum import Enum
from urllib.parse import quote

from ullgetthejob.hh.methods import Method, method_of
from ullgetthejob.platform.errors import AppError, BadRequest, Invalid, NotFound, Unavailable


class Action(Enum):
    """What Core does about an error of hh.ru."""

    RETRY = "retry a little later"
    SLOW_DOWN = "pause all calls, then continue"
    SLOW_DOWN_EXCHANGES = "pause exchanges of tokens alone, then continue; no token is dropped"
    RENEW_TOKEN = "renew the token once and retry once"  # noqa: S105 - not a token
    STOP_AND_ALARM = "stop, and alert the operator"
    ASK_PERSON = "hand the step to the person"
    REPORT_TO_CALLER = "report it to the caller; a retry changes nothing"
    START_LOGIN_AGAIN = "nothing changes for the account; its person starts the login again"
    REAUTHORISE = "the account is reauth_required until its person has logged in again"
    TAKE_NEWER_PAIR = "use the newer pair if one has been stored since; else reauth_required"
    KEEP_TOKEN = "keep the token, which is still valid"  # noqa: S105 - not a token
    TREAT_AS_DONE = "the application exists already: find it among the negotiations"
    DROP = "drop the vacancy"
    WAIT_FOR_LIMIT = "stop applying for the account until hh.ru's 24-hour limit allows another"
    WAIT_FOR_RESUME = "wait until hh.ru sees the resume, then retry; finally choose another resume"
    FIX_LETTER = "the person writes another letter"
    HAND_OFF = "hand the last step to the person, with the letter and the link"
    OTHER_TITLE = "retry with another title"
    GO_ON = "nothing is left to do here: continue"


class HHError(Exception):
    """Base of all errors in the tables: ``except HHError``.

    *may_have_acted*: the request may have reached hh.ru and had its effect, although no response
    arrived. A refusal has no effect. *is_pause*: no call was made, because calls are paused or no
    slot was near.
    """

    may_have_acted = False
    is_pause = False


class HHUnavailable(HHError, Unavailable):
    """hh.ru is down, slow, or its response cannot be read: it may have acted, unless there was no
    connection or no slot, or the status means a refusal.

    *is_lost*: there was no response, or one that reports a failure of hh.ru; false for one that
    cannot be read.
    """

    code = "hh_unavailable"
    may_have_acted = True
    is_lost = True


class HHBusy(HHError, Unavailable):
    """Too many calls at the moment, by hh.ru's limit or our own pacer's."""

    code = "hh_busy"


class HHExchangesLimited(HHBusy):
    """The token endpoint exchanges no more tokens for now (hh.ru: ``force exchange limit
    exceeded``). It limits exchanges alone: other calls go on, and no token has become invalid."""

    code = "hh_exchanges_limited"


class HHRegionBlocked(HHError, Unavailable):
    """hh.ru's edge refuses the address that we call from. It raises an alarm, and is never worked
    around."""

    code = "hh_region_blocked"


class HHCaptcha(HHError, Unavailable):
    """hh.ru wants a captcha solved. A person can do it at *captcha_url*; without a URL of the
    captcha's own this is the *fallback_url*, a page of hh.ru's for the same operation."""

    code = "hh_captcha"
    captcha_url: str | None = None
    fallback_url: str | None = None

    def link(self, back_to: str) -> str | None:
        """Return the URL where the person solves it and is then redirected *back_to*, if any
        (hh.ru: ``backurl`` is mandatory with a captcha_url and must have a scheme; a fallback_url
        takes none)."""
        if self.captcha_url is None or self.captcha_url == self.fallback_url:
            return self.captcha_url
        separator = "&" if "?" in self.captcha_url else "?"
        return f"{self.captcha_url}{separator}backurl={quote(back_to, safe='')}"


class HHTokenRefused(HHError, Unavailable):
    """The access token that was sent is revoked, expired or unknown.

    *reason*: ``errors[].value`` (``token_expired``, ``token_revoked``, ``bad_authorization``),
    ``None`` if hh.ru gave none.
    """

    code = "hh_token_refused"
    reason: str | None = None


class HHLoginRefused(HHError, BadRequest):
    """hh.ru refuses the authorisation code. *reason*: the cause, in snake_case."""

    code = "invalid_code"
    reason: str | None = None


class HHRefreshRefused(HHError, BadRequest):
    """hh.ru refuses the refresh token for good: its person must log in again.

    *reason*: the cause, in snake_case; after ``already_refreshed`` there is, or was, a newer pair.
    """

    code = "hh_refresh_refused"
    reason: str | None = None


class HHTokenNotExpired(HHError, BadRequest):
    """hh.ru refreshes only expired tokens: access token and refresh token both stay valid."""

    code = "hh_token_not_expired"


class HHAppTokenMissing(HHError, Unavailable):
    """There is no application token, and none can be obtained at the moment."""

    code = "hh_app_token_missing"


class HHForbidden(HHError, Unavailable):
    """hh.ru keeps the method closed to this application or this person (hh.ru: ``forbidden``
    without a value), or no longer offers it (404, 405, 410, 501; see *is_missing*).

    *method* and *path* name the call that was refused; the client sets them. They are ``None``
    where no call was made, since the method is known to be closed.
    """

    code = "hh_forbidden"
    method: str | None = None
    path: str | None = None
    is_missing = False

    @property
    def closed_method(self) -> Method | None:
        """Return the method that is closed; ``None`` for a call that belongs to none."""
        if self.method is None or self.path is None:
            return None
        return method_of(self.method, self.path)


class HHMisconfigured(HHError, Unavailable):
    """hh.ru does not accept our User-Agent or our application: an operator must act."""

    code = "hh_misconfigured"


class HHNotFound(HHError, NotFound):
    """hh.ru does not know the resource, or it belongs to another person."""


class HHVacancyNotFound(HHNotFound):
    """hh.ru does not know the vacancy."""

    code = "job_not_found"


class HHResumeNotFound(HHNotFound):
    """The person does not have this resume."""

    code = "resume_not_found"


class HHBadArgument(HHError, Invalid):
    """hh.ru refuses the value of a parameter."""

    code = "bad_arguments"


class HHApplyRefused(HHError, AppError):
    """hh.ru refused an application, and nothing was created.

    *reason*: ``errors[].value``, or our own word if hh.ru has none. *action*: what Core does.
    *link*: the employer's own page, if the vacancy takes applications there.
    """

    code = "hh_apply_refused"

    def __init__(self, reason: str, action: Action, message: str, link: str | None = None) -> None:
        super().__init__(message, details={"reason": reason})
        self.reason = reason
        self.action = action
        self.link = link


class HHMessageRefused(HHError, AppError):
    """hh.ru refused a message to an employer, and nothing was created.

    *reason*: ``errors[].value``, or ``unknown`` if hh.ru has none. *action*: what Core does.
    """

    code = "hh_message_refused"

    def __init__(self, reason: str, action: Action, message: str) -> None:
        super().__init__(message, details={"reason": reason})
        self.reason = reason
        self.action = action


class HHResumeRefused(HHError, AppError):
    """hh.ru refused to create, change or publish a resume, and nothing has changed.

    *reason*: a snake_case word of the table. *action*: what Core does. *fields*: the fields of the
    resume that hh.ru names.
    """

    code = "hh_resume_refused"

    def __init__(
        self, reason: str, action: Action, message: str, fields: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, details={"reason": reason})
        self.reason = reason
        self.action = action
        self.fields = fields
