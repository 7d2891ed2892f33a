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

from enum import Enum
from urllib.parse import quote

from ullgetthejob.platform.errors import AppError, BadRequest, Invalid, NotFound, Unavailable


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
