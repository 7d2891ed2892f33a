"""The methods of hh.ru's API that can be closed to Core one by one, and when a closed one is
called again.

    search          GET /vacancies
    detail          GET /vacancies/{id}
    me              GET /me
    resumes_read    GET /resumes/mine, GET /resumes/{id}
    resumes_write   POST /resumes, PUT /resumes/{id}, POST /resumes/{id}/publish, and whether
                    another may be created
    apply           POST /negotiations
    negotiations    GET /negotiations
    messages        GET and POST /negotiations/{id}/messages

A method is open or closed for the service (all accounts), and for an account; before the first
answer it is unknown, and is called. hh.ru's answers decide (:mod:`.method_access`): a method that
does not exist (404, 405, 410, 501) is closed for the service, one that is forbidden (403) for the
account whose token was sent. docs/hh-access.md is about all of this.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

Method = Literal[
    "search",
    "detail",
    "me",
    "resumes_read",
    "resumes_write",
    "apply",
    "negotiations",
    "messages",
]
State = Literal["open", "closed", "unknown"]
Scope = Literal["service", "account"]
Reason = Literal["no_such_method", "forbidden"]

METHODS: tuple[Method, ...] = get_args(Method)
# Called with the application's token: there is no account that they could be closed for.
OF_SERVICE: tuple[Method, ...] = ("search", "detail")
# Once so many accounts were refused as forbidden, and none was served since, it is the application
# that hh.ru refuses.
FORBIDDEN_ACCOUNTS = 3
# How long a method stays closed before it is called again: the first time, and at most. Without
# searching or logging in nothing works for any account, so that a refusal by mistake ends sooner.
PAUSE = (timedelta(days=1), timedelta(days=32))
FOR_EVERYBODY: tuple[Method, ...] = (*OF_SERVICE, "me")
PAUSE_FOR_EVERYBODY = (timedelta(minutes=10), timedelta(days=1))
# A probe whose answer was lost is repeated after this time.
PROBE_TIMEOUT = timedelta(hours=1)
# How often the time of an open method's last answer is stored.
CONFIRM_INTERVAL = timedelta(hours=1)

_BY_CALL: dict[str, Method] = {
    "GET /vacancies": "search",
    "GET /vacancies/{id}": "detail",
    "GET /me": "me",
    "GET /resumes/mine": "resumes_read",
    "GET /resumes/{id}": "resumes_read",
    "GET /resumes/creation_availability": "resumes_write",
    "POST /resumes": "resumes_write",
    "PUT /resumes/{id}": "resumes_write",
    "POST /resumes/{id}/publish": "resumes_write",
    "POST /negotiations": "apply",
    "GET /negotiations": "negotiations",
    "GET /negotiations/{id}/messages": "messages",
    "POST /negotiations/{id}/messages": "messages",
}


@dataclass(frozen=True)
class MethodState:
    """Whether a method is open, for the service or for one account.

    *reason*: of a closed one. *since*: when the state was learned. *confirmed_at*: hh.ru's last
    answer to it, to the hour. *probe_at*: when a closed one is called again. *probes*: how often it
    was refused in a row.
    """

    state: State = "unknown"
    reason: Reason | None = None
    since: datetime | None = None
    confirmed_at: datetime | None = None
    probe_at: datetime | None = None
    probes: int = 0

    def is_closed(self, now: datetime) -> bool:
        """Return whether the method is not to be called at *now*."""
        return self.probe_at is not None and self.probe_at > now


UNKNOWN = MethodState()


@dataclass(frozen=True)
class MethodAccess:
    """A method's states for the service, and for an account (:data:`UNKNOWN` without one)."""

    method: Method
    service: MethodState = UNKNOWN
    account: MethodState = UNKNOWN

    @property
    def decisive(self) -> MethodState:
        """Return the state that decides: a closed one, the one that is probed later first; else
        that of the account, or of a method that has no accounts."""
        closed = [each for each in (self.service, self.account) if each.state == "closed"]
        if closed:
            return max(closed, key=lambda each: each.probe_at or datetime.min)
        return self.service if self.method in OF_SERVICE else self.account

    @property
    def scope(self) -> Scope | None:
        """Return for whom the method is closed; ``None`` if it is not."""
        if self.decisive.state != "closed":
            return None
        return "service" if self.decisive is self.service else "account"

    @property
    def state(self) -> State:
        """Return whether the method is open to the account."""
        return self.decisive.state

    def is_closed(self, now: datetime) -> bool:
        """Return whether the method is not to be called at *now*; where a probe is due, it is."""
        return self.service.is_closed(now) or self.account.is_closed(now)


def method_of(verb: str, path: str) -> Method | None:
    """Return the method that a call belongs to; ``None`` for OAuth and dictionaries."""
    return _BY_CALL.get(f"{verb} {path_without_ids(path)}")


def path_without_ids(path: str) -> str:
    """Return the path of a call as hh.ru's documents write it: the id of a resume is personal."""
    parts = path.split("/")
    if len(parts) > 2 and parts[2] not in ("mine", "creation_availability"):
        parts[2] = "{id}"
    return "/".join(parts)


def next_probe_at(method: Method, probes: int, *, now: datetime) -> datetime:
    """Return when a method that was refused *probes* times before, and again at *now*, is called
    next: later each time."""
    first, most = PAUSE_FOR_EVERYBODY if method in FOR_EVERYBODY else PAUSE
    doubled: timedelta = first * 2 ** min(probes, 16)
    return now + min(doubled, most)
