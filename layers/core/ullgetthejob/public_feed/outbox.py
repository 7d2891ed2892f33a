"""The outbox of the public feed: each new vacancy is posted once to the BFF, for all its users.

``public_feed`` is an outbox: a row is written in the transaction that stored the vacancy, posted
later by a function of its own with a queue of its own, and ends as ``posted``, ``dead`` or ``off``.
Nothing else waits for it. A post holds columns of vacancies and nothing of any person or search:
the BFF sends it to every browser.

Rows are posted in order. While the BFF is down, the oldest row's pause applies to all rows behind
it; a row that cannot be posted within a day is dead. A batch that the BFF rejects is halved until
the rejected vacancy is alone, which is dead at once. Dead rows keep their reason, and a metric
counts them.

Rows stay locked while they are posted: two workers cannot post a row twice, even if a lease expires
early. A crash after the POST and before the commit does post rows again; a post carries ids, so the
BFF can recognise them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ullgetthejob.platform import postgres, queues, settings
from ullgetthejob.platform.telemetry import gauge

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ullgetthejob.platform.postgres import Connection

QUEUE = settings.PUBLIC_FEED_QUEUE_URL
ENTRY_RETENTION = timedelta(days=30)

INSERT_ENTRIES = """
    INSERT INTO public_feed (vacancy_id, due_at, at)
    SELECT id, %(now)s, %(now)s FROM unnest(%(ids)s::text[]) WITH ORDINALITY AS new (id, number)
    ORDER BY number
    ON CONFLICT DO NOTHING
"""
# No row is posted before the oldest, so its due_at is the due_at of the feed.
SELECT_OLDEST_WAITING = """
    SELECT at, due_at FROM public_feed WHERE state = 'waiting' ORDER BY number LIMIT 1
"""
SELECT_HAS_WAITING = "SELECT count(*) AS waiting FROM public_feed WHERE state = 'waiting'"
DELETE_ENDED_ENTRIES = """
    DELETE FROM public_feed WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM public_feed WHERE ended_at < %(before)s LIMIT %(most)s
    ))
"""


def add(vacancy_ids: Iterable[str], *, connection: Connection, now: datetime) -> None:
    """Insert vacancies in the open transaction of *connection*, and notify the publisher after the
    commit. Vacancies that were in the feed before are skipped."""
    if insert(vacancy_ids, connection=connection, now=now):
        postgres.after_commit(connection, QUEUE, notify)


def insert(vacancy_ids: Iterable[str], *, connection: Connection, now: datetime) -> int:
    """Insert as :func:`add` does but leave notifying to the next sweep; return how many rows are
    new."""
    # Sorted, so that overlapping transactions cannot deadlock. Ids rise with time.
    ids = sorted(set(vacancy_ids), key=lambda vacancy_id: (len(vacancy_id), vacancy_id))
    return connection.execute(INSERT_ENTRIES, {"ids": ids, "now": now}).rowcount if ids else 0


def notify(after: timedelta = timedelta(0)) -> None:
    """Send the publisher a wake-up, which arrives after *after*."""
    queues.notify(QUEUE, {"feed": "public"}, after_s=int(after.total_seconds()))


def notify_due(*, connection: Connection, now: datetime) -> int:
    """Notify the publisher if a row is due; return 1 if so, else 0. Gauges how long the oldest row
    has been waiting."""
    oldest = connection.execute(SELECT_OLDEST_WAITING).fetchone()
    due = oldest is not None and oldest["due_at"] <= now
    if due:
        notify()
    gauge("PublicFeedOldestAgeSeconds", (now - oldest["at"]).total_seconds() if oldest else 0)
    return int(due)


def delete_ended(*, connection: Connection, now: datetime, most: int = 500) -> int:
    """Delete at most *most* ended rows that are past retention; return how many."""
    return connection.execute(
        DELETE_ENDED_ENTRIES, {"before": now - ENTRY_RETENTION, "most": most}
    ).rowcount
