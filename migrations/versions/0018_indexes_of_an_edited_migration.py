"""The indexes of 0008 that databases migrated before its last edit lack.

0008 was edited after it had been run: it gained two indexes for reading vacancies in full, and two
of the public feed in place of ``public_feed_due_at_index``. Elsewhere they exist, and nothing is
done. The downgrade leaves them: they belong to 0008. (Committed migrations no longer change: see
``migrations/checksums.py``.)
"""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"

INDEXES = {
    "search_matches_vacancy_id_index": "search_matches (vacancy_id)",
    "jobs_unread_index": """jobs (published_at DESC)
        WHERE detail IS NULL AND closed_at IS NULL""",
    "public_feed_waiting_index": "public_feed (number) WHERE state = 'waiting'",
    "public_feed_ended_at_index": "public_feed (ended_at) WHERE ended_at IS NOT NULL",
}


def upgrade() -> None:
    for name, definition in INDEXES.items():
        op.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {definition}")
    op.execute("DROP INDEX IF EXISTS public_feed_due_at_index")


def downgrade() -> None:
    """Leave the indexes, which belong to 0008."""
