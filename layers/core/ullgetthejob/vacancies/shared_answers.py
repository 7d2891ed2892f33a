"""Answers that equal searches share: one call to hh.ru for all that ask at the same moment.

``search_answers`` has a row for each search, by the hash of its parameters: which request has
claimed the call and until when the claim holds, and the last answer. A request that comes during
the call waits for its answer; one that comes within :data:`FRESHNESS` after it gets the same
answer. If the claim's holder fails or its process ends, one of the waiting requests claims the
call; the others go on waiting. The rows contain vacancies and no personal data.

The holder renews its claim every second. That is real time on purpose, not the domain's clock: it
times a process.
"""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from ullgetthejob.platform import clock
from ullgetthejob.platform.errors import TooManyRequests
from ullgetthejob.platform.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ullgetthejob.hh.search_parameters import SearchParameters
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

FRESHNESS = timedelta(seconds=5)
CLAIM_LIFETIME = timedelta(seconds=4)  # after the last renewal
RENEWAL_INTERVAL_S = 1.0
POLL_INTERVAL_S = 0.1  # at first, then less often
MAX_POLL_INTERVAL_S = 0.5
ANSWER_RETENTION = timedelta(hours=1)

SELECT_ANSWER = """
    SELECT answered_at, coalesce(asked_until > %(now)s, false) AS is_asked,
           CASE WHEN answered_at > %(fresh_since)s AND answered_at <= %(fresh_until)s
               THEN answer END AS answer
    FROM search_answers WHERE hash = %(hash)s
"""
UPSERT_CLAIM = """
    INSERT INTO search_answers AS kept (hash, asked_by, asked_until)
    VALUES (%(hash)s, %(asked_by)s, %(until)s)
    ON CONFLICT (hash) DO UPDATE
    SET asked_by = excluded.asked_by, asked_until = excluded.asked_until
    WHERE (kept.asked_until IS NULL OR kept.asked_until <= %(now)s)
        AND (kept.answered_at IS NULL OR kept.answered_at <= %(fresh_since)s
             OR kept.answered_at > %(fresh_until)s)
    RETURNING true AS is_claimed
"""
UPDATE_CLAIM = """
    UPDATE search_answers SET asked_until = %(until)s
    WHERE hash = %(hash)s AND asked_by = %(asked_by)s
"""
UPDATE_ANSWER = """
    UPDATE search_answers
    SET answer = %(answer)s::jsonb, answered_at = %(now)s, asked_by = NULL, asked_until = NULL
    WHERE hash = %(hash)s AND asked_by = %(asked_by)s
"""
UPDATE_ANSWER_RELEASED = """
    UPDATE search_answers SET asked_by = NULL, asked_until = NULL
    WHERE hash = %(hash)s AND asked_by = %(asked_by)s
"""
# Deletes rows that were never answered, too.
DELETE_OLD_ANSWERS = """
    DELETE FROM search_answers WHERE hash IN (
        SELECT hash FROM search_answers
        WHERE (answered_at IS NULL OR answered_at < %(before)s)
            AND (asked_until IS NULL OR asked_until < %(died_before)s)
        ORDER BY answered_at NULLS FIRST LIMIT %(most)s
    )
"""


@dataclass(frozen=True)
class SharedAnswer:
    """An answer that another request got: its JSON, and when it came."""

    content: Any
    answered_at: datetime


@dataclass(frozen=True)
class SearchClaim:
    """The right to call hh.ru for all equal searches; :meth:`store` gives them the answer."""

    digest: bytes
    id: UUID
    connection: Connection

    @contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Renew the claim for as long as the context lasts; it expires soon if the process ends in
        it."""
        is_done = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(is_done,), daemon=True)
        renewing.start()
        try:
            yield
        finally:
            is_done.set()
            renewing.join()

    def _renew(self, is_done: threading.Event) -> None:
        import psycopg

        while not is_done.wait(RENEWAL_INTERVAL_S):
            values = {
                "hash": self.digest,
                "asked_by": self.id,
                "until": _real_now() + CLAIM_LIFETIME,
            }
            try:
                self.connection.execute(UPDATE_CLAIM, values)
            except psycopg.Error as error:  # another request will call hh.ru, too
                logger.warning("a search claim is not renewed", error_type=type(error).__name__)
                return

    def store(self, answer: str, *, now: datetime) -> None:
        """Store *answer*, JSON, for the waiting requests."""
        values = {"hash": self.digest, "asked_by": self.id, "answer": answer, "now": now}
        self.connection.execute(UPDATE_ANSWER, values)


@contextmanager
def get_or_claim(
    parameters: SearchParameters, context: Context, *, deadline: float
) -> Iterator[SharedAnswer | SearchClaim]:
    """Yield a fresh answer to an equal search, after a wait if need be, or else the claim to call.

    The claim is released with the context: if no answer was stored, a waiting request gets it.

    Raises :class:`TooManyRequests` at *deadline* (of :func:`time.monotonic`), since the requests
    that have waited must not all call hh.ru.
    """
    digest = hashlib.sha256(parameters.model_dump_json(exclude_defaults=True).encode()).digest()
    claim = SearchClaim(digest, uuid4(), context.connection)
    answer = _read_or_claim(claim, context.clock, deadline)
    if answer is not None:
        yield answer
        return
    try:
        yield claim
    finally:
        _release(claim)


def _release(claim: SearchClaim) -> None:
    """Release the claim; without Postgres, it expires."""
    import psycopg

    values = {"hash": claim.digest, "asked_by": claim.id}
    try:
        claim.connection.execute(UPDATE_ANSWER_RELEASED, values)
    except psycopg.Error as error:
        logger.warning("a search claim is not released", error_type=type(error).__name__)


def delete_old(*, connection: Connection, now: datetime, most: int) -> int:
    """Delete at most *most* expired answers; return how many."""
    values = {
        "before": now - ANSWER_RETENTION,
        "died_before": _real_now() - CLAIM_LIFETIME,
        "most": most,
    }
    return connection.execute(DELETE_OLD_ANSWERS, values).rowcount


def _read_or_claim(
    claim: SearchClaim, now: Callable[[], datetime], deadline: float
) -> SharedAnswer | None:
    """Return a fresh answer, or ``None`` once *claim* is stored and no other request holds one."""
    pause = POLL_INTERVAL_S
    while True:
        looked_at = _real_now()
        values = {
            "hash": claim.digest,
            "asked_by": claim.id,
            "now": looked_at,
            "until": looked_at + CLAIM_LIFETIME,
            "fresh_since": now() - FRESHNESS,
            "fresh_until": now() + FRESHNESS,  # the clock of a laptop may be set back
        }
        row = claim.connection.execute(SELECT_ANSWER, values).fetchone()
        if row is not None and row["answer"] is not None:
            return SharedAnswer(row["answer"], row["answered_at"])
        is_asked = row is not None and row["is_asked"]
        if not is_asked and claim.connection.execute(UPSERT_CLAIM, values).fetchone() is not None:
            return None
        if time.monotonic() + pause >= deadline:
            raise TooManyRequests("an equal search still waits for hh.ru's answer")
        time.sleep(pause)
        pause = min(pause * 1.5, MAX_POLL_INTERVAL_S)


def _real_now() -> datetime:
    return datetime.fromtimestamp(clock.real_ms() / 1000, UTC)
