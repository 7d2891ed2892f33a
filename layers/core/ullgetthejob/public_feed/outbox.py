"""The public feed: each new vacancy is posted to the BFF, which shows it to everybody, once.

``public_feed`` is an outbox: a row is written in the transaction that stored the vacancy, posted
later by a function of its own with a queue of its own, and ends as ``posted``, ``dead`` or ``off``.
Nothing else waits for it. What is posted are columns of the vacancy and nothing of any person or
search: the BFF sends it to every browser.

The BFF is asked in order. While it is down, the oldest row's pause holds for all behind it; what it
could not be given in a day is dead. A batch that it will not take is halved until the vacancy that
it stumbles over is alone, which is dead at once. Dead rows keep their reason, and a metric counts
them.

Rows stay locked while they are posted: two workers cannot post one twice, whatever their lease
says. A crash after the POST and before the commit does post them again; the BFF shows ids.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import postgres, queues
from ullgetthejob.platform.telemetry import gauge

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

QUEUE = "PUBLIC_FEED_QUEUE_URL"
ENTRY_RETENTION = timedelta(days=30)


INSERT_ENTRIES = """
    INSERT INTO public_feed (vacancy_id, due_at, at)
    SELECT id, %(now)s, %(now)s FROM unnest(%(ids)s::text[]) WITH ORDINALITY AS new (id, number)
    ORDER BY number
    ON CONFLICT DO NOTHING
"""
# The oldest row stands for all: nobody is posted before it.
SELECT_OLDEST_WAITING = """
    SELECT at, due_at FROM public_feed WHERE state = 'waiting' ORDER BY number LIMIT 1
"""
SELECT_HAS_WAITING = "SELECT count(*) AS waiting FROM public_feed WHERE state = 'waiting'"
DELETE_ENDED_ENTRIES = """
    DELETE FROM public_feed WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM public_feed WHERE ended_at < %(before)s LIMIT %(most)s
    ))
"""


# ── into the feed ────────────────────────────────────────────────────────────────────────────────


def add(vacancy_ids: Iterable[str], *, connection: Connection, now: datetime) -> None:
    """Let these vacancies be shown to everybody, in the transaction that *connection* is in; those
    that were once in the feed are left out. Rings after the commit."""
    if insert(vacancy_ids, connection=connection, now=now):
        postgres.after_commit(connection, QUEUE, notify)


def insert(vacancy_ids: Iterable[str], *, connection: Connection, now: datetime) -> int:
    """Write the rows of :func:`add` without ringing, which the next sweep does; how many."""
    # In one order, whoever adds: overlapping transactions cannot deadlock. Ids rise with time.
    ids = sorted(set(vacancy_ids), key=lambda id: (len(id), id))
    return connection.execute(INSERT_ENTRIES, {"ids": ids, "now": now}).rowcount


def notify(after: timedelta = timedelta(0)) -> None:
    """Ring the feed's bell."""
    queues.notify(QUEUE, {"feed": "public"}, after_s=int(after.total_seconds()))


def notify_due(*, connection: Connection, now: datetime) -> int:
    """Wake the feed's function if something is due (1, else 0), and say how long the oldest row
    has been waiting."""
    oldest = connection.execute(SELECT_OLDEST_WAITING).fetchone()
    due = oldest is not None and oldest["due_at"] <= now
    if due:
        notify()
    gauge("PublicFeedOldestAgeSeconds", (now - oldest["at"]).total_seconds() if oldest else 0)
    return int(due)


def delete_ended(*, connection: Connection, now: datetime, most: int = 500) -> int:
    """Forget what ended long ago, *most* at once; how many."""
    return connection.execute(
        DELETE_ENDED_ENTRIES, {"before": now - ENTRY_RETENTION, "most": most}
    ).rowcount


# ── out to the BFF ───────────────────────────────────────────────────────────────────────────────


# ── the wire (bff-contract: texts only, null is refused, externalId is required) ─────────────────
