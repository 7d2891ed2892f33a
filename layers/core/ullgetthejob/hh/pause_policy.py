"""When the calls of all functions are paused because of the responses of hh.ru.

429 and a blocked region pause them at once; failures only if calls for several subjects failed in a
row: a single vacancy that always fails must not pause the others. The limit of the token endpoint
pauses the exchanges of tokens alone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ullgetthejob.hh.errors import (
    HHBusy,
    HHExchangesLimited,
    HHForbidden,
    HHRegionBlocked,
    HHUnavailable,
)
from ullgetthejob.platform.telemetry import count, logger

if TYPE_CHECKING:
    from ullgetthejob.hh.errors import HHError
    from ullgetthejob.hh.pacer import Pacer

FAILURES_BEFORE_PAUSE = 3  # of different subjects
PAUSE_AFTER_FAILURES_S = 5
PAUSE_AFTER_429_S = 1


class PausePolicy:
    """The errors and failures of one client, which pauses all callers through *pacer*, and their
    exchanges of tokens through *exchange_pacer*."""

    def __init__(self, pacer: Pacer, exchange_pacer: Pacer | None = None) -> None:
        self._pacer = pacer
        self._exchange_pacer = exchange_pacer
        # The subject of the current call, and the subjects that failed since the last success.
        self._subject = ""
        self._failed_subjects: set[str] = set()

    def begin_call(self, method: str, path: str, request: dict[str, Any]) -> None:
        """Note the subject of the call that begins."""
        self._subject = _subject_of(method, path, request)

    def record_success(self) -> None:
        """Forget the failures before a call that succeeded."""
        self._failed_subjects.clear()

    def record_failure(self, *, is_connected: bool = True) -> None:
        """Count the subject of the call as failed, and pause all calls after several subjects. A
        call without a connection counts as another subject each time."""
        if not is_connected:
            self._subject = f"connection {time.monotonic_ns()}"
        self._failed_subjects.add(self._subject)
        if len(self._failed_subjects) >= FAILURES_BEFORE_PAUSE:
            _pause(self._pacer, "unavailable", PAUSE_AFTER_FAILURES_S)

    def record_error(self, error: HHError, method: str) -> None:
        """Count an error of hh.ru's, and pause all calls if it concerns all of them."""
        count(type(error).__name__)
        if isinstance(error, HHForbidden) and error.closed_method == "search":
            count("HhSearchClosed")
        if isinstance(error, HHUnavailable):
            self.record_failure()
            return
        self._failed_subjects.clear()
        # A write that the edge refuses may be closed alone; only a read shows a blocked address.
        if isinstance(error, HHRegionBlocked) and method == "GET":
            _pause(self._pacer, "region_blocked", error.retry_after_s)
        elif isinstance(error, HHExchangesLimited):
            if self._exchange_pacer is not None:
                _pause(self._exchange_pacer, "exchanges_limited", error.retry_after_s)
        elif isinstance(error, HHBusy):
            _pause(self._pacer, "busy", PAUSE_AFTER_429_S)


def _pause(pacer: Pacer, reason: str, seconds: float) -> None:
    """Pause the calls of *pacer*; a failure to store the pause must not hide the error of the
    call."""
    try:
        pacer.pause(reason, seconds)
    except HHUnavailable:
        logger.warning("calls to hh.ru cannot be paused", reason=reason)


def _subject_of(method: str, path: str, request: dict[str, Any]) -> str:
    """Return the subject of a call: a vacancy (of any caller), a search, or a person's list."""
    vacancy_id = (request.get("data") or {}).get("vacancy_id")
    if vacancy_id is not None:
        return f"/vacancies/{vacancy_id}"
    if path.startswith("/vacancies/"):
        return path
    parts = [request.get(name) for name in ("params", "data", "json", "headers")]
    return f"{method} {path} {hash(str(parts))}"
