"""Answers that equal searches share: asked once at hh.ru for all that ask at the same moment.

A row of ``search_answers`` a search, by the hash of its parameters: who is asking hh.ru and until
when that is believed, and the last answer. Whoever comes while another asks waits for that answer;
whoever comes within :data:`FRESH_FOR` after it gets the same one. Should the one that asks fail or
die, the next takes its place. The rows have vacancies in them and nothing of a person.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from ullgetthejob.hh.search_parameters import SearchParameters

    Connection = psycopg.Connection[dict[str, Any]]

FRESH_FOR = timedelta(seconds=5)
# The pacer's patience and most calls (hh/client). Whoever waits waits longer, so that one of them
# takes the place of one that died and the others get its answer; the function has 28 s.
ASKED_FOR = timedelta(seconds=10)
WAITED_FOR_S = 14.0
LOOKED_EVERY_S = 0.1
KEPT_FOR = timedelta(hours=1)

SELECT_FRESH_ANSWER = """
    SELECT answer, answered_at FROM search_answers
    WHERE hash = %(hash)s AND answered_at > %(fresh_since)s
"""
CLAIM_SEARCH = """
    INSERT INTO search_answers AS kept (hash, asked_by, asked_until)
    VALUES (%(hash)s, %(asked_by)s, %(until)s)
    ON CONFLICT (hash) DO UPDATE
    SET asked_by = excluded.asked_by, asked_until = excluded.asked_until
    WHERE (kept.asked_until IS NULL OR kept.asked_until <= %(now)s)
        AND (kept.answered_at IS NULL OR kept.answered_at <= %(fresh_since)s)
    RETURNING true AS is_claimed
"""
STORE_ANSWER = """
    UPDATE search_answers
    SET answer = %(answer)s::jsonb, answered_at = %(now)s, asked_by = NULL, asked_until = NULL
    WHERE hash = %(hash)s AND asked_by = %(asked_by)s
"""
RELEASE_SEARCH = """
    UPDATE search_answers SET asked_by = NULL, asked_until = NULL
    WHERE hash = %(hash)s AND asked_by = %(asked_by)s
"""
DELETE_OLD_ANSWERS = """
    DELETE FROM search_answers WHERE hash IN (
        SELECT hash FROM search_answers
        WHERE greatest(answered_at, asked_until) < %(before)s
        ORDER BY greatest(answered_at, asked_until) LIMIT %(most)s
    )
"""


@dataclass(frozen=True)
class KeptAnswer:
    """An answer that another request got: its JSON, and when."""

    content: Any
    answered_at: datetime


@dataclass(frozen=True)
class Asker:
    """The right to ask hh.ru for all that ask the same; :meth:`store` gives them the answer."""

    hash: bytes
    id: UUID
    connection: Connection

    def store(self, answer: str, *, now: datetime) -> None:
        """Keep *answer*, JSON, for the others."""
        values = {"hash": self.hash, "asked_by": self.id, "answer": answer, "now": now}
        self.connection.execute(STORE_ANSWER, values)


@contextmanager
def shared(
    parameters: SearchParameters, *, connection: Connection, clock: Callable[[], datetime]
) -> Iterator[KeptAnswer | Asker]:
    """Yield a fresh answer to an equal search, waited for if need be, or else the right to ask.

    The right ends with the context: whoever waits takes it then, if no answer was stored.
    """
    hash = hashlib.sha256(parameters.model_dump_json(exclude_defaults=True).encode()).digest()
    asker = Asker(hash, uuid4(), connection)
    kept = _kept_or_claimed(asker, clock)
    if kept is not None:
        yield kept
        return
    try:
        yield asker
    finally:
        connection.execute(RELEASE_SEARCH, {"hash": hash, "asked_by": asker.id})


def forget_old(*, connection: Connection, now: datetime, most: int) -> int:
    """Delete answers that nobody can get any more, *most* of them; return how many."""
    values = {"before": now - KEPT_FOR, "most": most}
    return connection.execute(DELETE_OLD_ANSWERS, values).rowcount


def _kept_or_claimed(asker: Asker, clock: Callable[[], datetime]) -> KeptAnswer | None:
    """A fresh answer; ``None``: *asker* asks, because nobody else does, or not in time."""
    ends = time.monotonic() + WAITED_FOR_S
    while True:
        now = clock()
        values = {
            "hash": asker.hash,
            "asked_by": asker.id,
            "now": now,
            "until": now + ASKED_FOR,
            "fresh_since": now - FRESH_FOR,
        }
        row = asker.connection.execute(SELECT_FRESH_ANSWER, values).fetchone()
        if row is not None:
            return KeptAnswer(row["answer"], row["answered_at"])
        if asker.connection.execute(CLAIM_SEARCH, values).fetchone() is not None:
            return None
        if time.monotonic() >= ends:
            return None
        time.sleep(LOOKED_EVERY_S)
