"""Answers that equal searches share: asked once at hh.ru for all that ask at the same moment.

A row of ``search_answers`` a search, by the hash of its parameters: who is asking hh.ru and until
when that is believed, and the last answer. Whoever comes while another asks waits for that answer;
whoever comes within :data:`FRESH_FOR` after it gets the same one. Should the one that asks fail or
die, one of those that wait takes its place; the others go on waiting. The rows have vacancies in
them and nothing of a person.

The one that asks says every second that it lives. That is real time on purpose, not the domain's
clock: what is timed is a process.
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

    import psycopg

    from ullgetthejob.hh.search_parameters import SearchParameters

    Connection = psycopg.Connection[dict[str, Any]]

FRESHNESS = timedelta(seconds=5)
CLAIM_LIFETIME = timedelta(seconds=4)  # after the last sign of life
RENEWAL_INTERVAL_S = 1.0
POLL_INTERVAL_S = 0.1  # at first, then less often
MAX_POLL_INTERVAL_S = 0.5
ANSWER_RETENTION = timedelta(hours=1)

SELECT_ANSWER = """
    SELECT answered_at, coalesce(asked_until > %(now)s, false) AS is_asked,
           CASE WHEN answered_at > %(fresh_since)s THEN answer END AS answer
    FROM search_answers WHERE hash = %(hash)s
"""
UPSERT_CLAIM = """
    INSERT INTO search_answers AS kept (hash, asked_by, asked_until)
    VALUES (%(hash)s, %(asked_by)s, %(until)s)
    ON CONFLICT (hash) DO UPDATE
    SET asked_by = excluded.asked_by, asked_until = excluded.asked_until
    WHERE (kept.asked_until IS NULL OR kept.asked_until <= %(now)s)
        AND (kept.answered_at IS NULL OR kept.answered_at <= %(fresh_since)s)
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
# Also what was never answered.
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
    """An answer that another request got: its JSON, and when."""

    content: Any
    answered_at: datetime


@dataclass(frozen=True)
class SearchClaim:
    """The right to ask hh.ru for all that ask the same; :meth:`store` gives them the answer."""

    hash: bytes
    id: UUID
    connection: Connection

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Keep the right for as long as the context lasts, and not for long should the process
        die in it."""
        is_over = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(is_over,), daemon=True)
        renewing.start()
        try:
            yield
        finally:
            is_over.set()
            renewing.join()

    def _renew(self, is_over: threading.Event) -> None:
        import psycopg

        while not is_over.wait(RENEWAL_INTERVAL_S):
            values = {"hash": self.hash, "asked_by": self.id, "until": _real_now() + CLAIM_LIFETIME}
            try:
                self.connection.execute(UPDATE_CLAIM, values)
            except psycopg.Error as error:  # then another asks, too
                logger.warning("a search is not kept", error_type=type(error).__name__)
                return

    def store(self, answer: str, *, now: datetime) -> None:
        """Keep *answer*, JSON, for the others."""
        values = {"hash": self.hash, "asked_by": self.id, "answer": answer, "now": now}
        self.connection.execute(UPDATE_ANSWER, values)


@contextmanager
def get_or_claim(
    parameters: SearchParameters,
    *,
    connection: Connection,
    now: Callable[[], datetime],
    ends: float,
) -> Iterator[SharedAnswer | SearchClaim]:
    """Yield a fresh answer to an equal search, waited for if need be, or else the right to ask.

    The right ends with the context: one of those that wait takes it then, if no answer was stored.
    *ends*: until when it is waited (of :func:`time.monotonic`); then :class:`TooManyRequests` is
    raised, since hh.ru is never asked by all that have waited.
    """
    hash = hashlib.sha256(parameters.model_dump_json(exclude_defaults=True).encode()).digest()
    asker = SearchClaim(hash, uuid4(), connection)
    kept = _read_or_claim(asker, now, ends)
    if kept is not None:
        yield kept
        return
    try:
        yield asker
    finally:
        connection.execute(UPDATE_ANSWER_RELEASED, {"hash": hash, "asked_by": asker.id})


def delete_old(*, connection: Connection, now: datetime, most: int) -> int:
    """Delete answers that nobody can get any more, *most* of them; return how many."""
    values = {
        "before": now - ANSWER_RETENTION,
        "died_before": _real_now() - CLAIM_LIFETIME,
        "most": most,
    }
    return connection.execute(DELETE_OLD_ANSWERS, values).rowcount


def _read_or_claim(
    asker: SearchClaim, now: Callable[[], datetime], ends: float
) -> SharedAnswer | None:
    """A fresh answer; ``None``: *asker* asks, because nobody else does."""
    pause = POLL_INTERVAL_S
    while True:
        looked_at = _real_now()
        values = {
            "hash": asker.hash,
            "asked_by": asker.id,
            "now": looked_at,
            "until": looked_at + CLAIM_LIFETIME,
            "fresh_since": now() - FRESHNESS,
        }
        row = asker.connection.execute(SELECT_ANSWER, values).fetchone()
        if row is not None and row["answer"] is not None:
            return SharedAnswer(row["answer"], row["answered_at"])
        is_asked = row is not None and row["is_asked"]
        if not is_asked and asker.connection.execute(UPSERT_CLAIM, values).fetchone() is not None:
            return None
        if time.monotonic() + pause >= ends:
            raise TooManyRequests("the same search is still being asked")
        time.sleep(pause)
        pause = min(pause * 1.5, MAX_POLL_INTERVAL_S)


def _real_now() -> datetime:
    return datetime.fromtimestamp(clock.real_ms() / 1000, UTC)
