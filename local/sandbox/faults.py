"""Faults that replace, delay or damage the sandbox's responses.

A fault applies to calls whose path begins with its prefix, for a number of times or with a
probability; the control route sets and clears faults.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from local.sandbox.negotiations.refusals import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Mapping

# kind: (what happens, the path that it applies to unless another is given)
KINDS: dict[str, tuple[str, str]] = {
    "too_many_requests": ("429 with hh.ru's body, no Retry-After", "/"),
    "server_error": ("500 with hh.ru's envelope", "/"),
    "bad_gateway": ("502 with an HTML body", "/"),
    "service_unavailable": ("503 with hh.ru's envelope", "/"),
    "edge_block": ("403 with the HTML page of the edge (ddos-guard)", "/"),
    "legal_block": ("451 with an HTML page", "/"),
    "vpn_check": ("200 with the HTML page 'vpncheeck' that shows no vacancies", "/vacancies"),
    "captcha": ("403 captcha_required with a captcha_url", "/vacancies"),
    "slow": ("executed at once, answered after 'seconds' (default 5)", "/"),
    "truncated": ("executed, the response's first half is sent, then the connection ends", "/"),
    "errors_with_200": ("200 that carries errors and no items", "/vacancies"),
    "empty": ("200 in the right shape with no items", "/vacancies"),
    "drop": ("the connection ends without a response, nothing is executed", "/"),
    "lost": ("executed, then the connection ends without a response", "/"),
    "refusal": ("applying or writing to an employer is refused with 'value'", "/negotiations"),
    "token_revoked": ("403 oauth/token_revoked for calls with a token", "/"),
    "exchange_limit": ("400 invalid_grant, force exchange limit exceeded", "/token"),
    "repeated_item": ("a page whose last vacancy repeats its first one", "/vacancies"),
    "overlapping_pages": (
        "pages after the first are shifted by one: a vacancy repeats, the oldest is missing",
        "/vacancies",
    ),
    "withdrawn": ("a closed method: 'status' (default 404) with a 'body'", "/"),
}
FIELDS = {
    "kind", "path", "times", "probability", "seconds", "method", "value", "status", "body",
    "vacancy_id",
}  # fmt: skip
# The statuses and bodies of a closed method.
WITHDRAWN_STATUSES = (200, 403, 404, 405, 410, 451, 501)
BODIES = ("json", "html", "empty")
METHODS = ("GET", "POST", "PUT", "DELETE")
OF_POSTS = ("refusal", "exchange_limit")
SLOW_SECONDS = 5.0
LONGEST_SLOW_SECONDS = 120.0


class InvalidFault(ValueError):
    """A control call asks for an invalid fault; the message says why."""


@dataclass(slots=True)
class Fault:
    """A fault. *times*: for how many more calls, ``None`` until cleared.

    *method*: only calls with this verb; *value*: the refusal (``negotiations/refusals.py``).
    *vacancy_id*: only calls about this vacancy, in the path or in the form. *status* and *body*
    (of :data:`BODIES`): the response of a withdrawn method.
    """

    kind: str
    path: str
    times: int | None
    probability: float
    seconds: float
    method: str | None = None
    value: str | None = None
    used: int = 0
    vacancy_id: str | None = None
    status: int = 404
    body: str = "json"

    def is_about(self, path: str, form: Mapping[str, Any], page: str) -> bool:
        """Return whether a call to *path* with *form*, for that *page* of a search (empty: for
        none), is one that the fault applies to."""
        if not path.startswith(self.path):
            return False
        if self.kind == "overlapping_pages" and not page.strip("0"):
            return False  # the first page has no page before it
        if self.vacancy_id is None:
            return True
        named = form.get("vacancy_id")
        return self.vacancy_id == named or path.startswith(f"/vacancies/{self.vacancy_id}")

    def as_dict(self) -> dict[str, Any]:
        """Return the fault as ``/_sandbox/state`` shows it."""
        return {
            "kind": self.kind,
            "path": self.path,
            "times": self.times,
            "probability": self.probability,
            "seconds": self.seconds,
            "method": self.method,
            "value": self.value,
            "used": self.used,
            "vacancy_id": self.vacancy_id,
            "status": self.status,
            "body": self.body,
        }


def _number(body: dict[str, Any], name: str, default: float, low: float, high: float) -> float:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidFault(f"{name} must be a number from {low} to {high}")
    return float(value)


def read(body: Any) -> Fault:
    """Return the fault that a control call asks for. Raises :class:`InvalidFault`."""
    kind = body.get("kind") if isinstance(body, dict) else None
    if kind not in KINDS:
        raise InvalidFault(f"unknown kind {kind!r}; one of: {', '.join(KINDS)}")
    unknown = set(body) - FIELDS
    if unknown:
        raise InvalidFault(f"unknown field {min(unknown)!r}")
    path = body.get("path", KINDS[kind][1])
    if not isinstance(path, str) or not path.startswith("/"):
        raise InvalidFault("path must be a prefix that begins with /")
    times = body.get("times")
    if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
        raise InvalidFault("times must be a whole number above 0")
    method, value = body.get("method", "POST" if kind in OF_POSTS else None), body.get("value")
    if method is not None and method not in METHODS:
        raise InvalidFault(f"method must be one of: {', '.join(METHODS)}")
    if kind == "refusal" and value not in REFUSALS:
        raise InvalidFault(f"value must be one of: {', '.join(REFUSALS)}")
    if kind != "refusal" and value is not None:
        raise InvalidFault("only a refusal has a value")
    status, content = body.get("status", 404), body.get("body", "json")
    if status not in WITHDRAWN_STATUSES or content not in BODIES:
        allowed = ", ".join(map(str, WITHDRAWN_STATUSES))
        raise InvalidFault(f"status must be one of {allowed}, body one of {', '.join(BODIES)}")
    vacancy_id = body.get("vacancy_id")
    if vacancy_id is not None and not isinstance(vacancy_id, str):
        raise InvalidFault("vacancy_id must be the id of a vacancy, as a string")
    return Fault(
        kind=kind,
        path=path,
        times=times,
        probability=_number(body, "probability", 1.0, 0.0, 1.0),
        seconds=_number(body, "seconds", SLOW_SECONDS, 0.0, LONGEST_SLOW_SECONDS),
        method=method,
        value=value,
        vacancy_id=vacancy_id,
        status=status,
        body=content,
    )


class Faults:
    """The faults that are set, in order. *seed* makes their probabilities repeatable."""

    def __init__(self, seed: int) -> None:
        self.set: list[Fault] = []
        self._uniform = random.Random(seed).random  # noqa: S311 - no secrets here

    @property
    def need_forms(self) -> bool:
        """Return whether a fault depends on the vacancy that a form names."""
        return any(fault.vacancy_id is not None for fault in self.set)

    def match_faults(
        self,
        path: str,
        *,
        method: str = "GET",
        with_token: bool,
        form: Mapping[str, Any] = MappingProxyType({}),
        page: str = "",
    ) -> list[Fault]:
        """Return the faults of a call, at most one ``slow`` and one other, and count their use."""
        matched: dict[bool, Fault] = {}
        for fault in list(self.set):
            slow = fault.kind == "slow"
            if slow in matched or not fault.is_about(path, form, page):
                continue
            if fault.method not in (None, method):
                continue
            if fault.kind == "token_revoked" and not with_token:
                continue
            if fault.probability < 1 and self._uniform() >= fault.probability:
                continue
            matched[slow] = fault
            fault.used += 1
            if fault.times is not None:
                fault.times -= 1
                if fault.times == 0:
                    self.set.remove(fault)
        return sorted(matched.values(), key=lambda fault: fault.kind != "slow")
