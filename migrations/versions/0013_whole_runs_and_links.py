"""Whole runs, and the postings of a job.

``search_queries.read_whole_from``: when the last full run began that missed nothing. A vacancy that
such a run did not see is not announced; one that a full run missed (hh.ru's pages omit some) is.
``jobs_repost_of_index`` finds the postings of a job, whatever their titles have become.

Before, every full run counted as whole. Earlier code sets only ``full_from``: what it reads counts
as whole again after the next whole run of this release; until then more is announced, never less.
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    # The role's limit is meant for requests; the index reads the whole table.
    op.execute("SELECT set_config('statement_timeout', '0', true)")
    op.execute("ALTER TABLE search_queries ADD COLUMN read_whole_from timestamptz")
    op.execute("""
        UPDATE search_queries AS query SET read_whole_from = full_from
        WHERE NOT EXISTS (
            SELECT FROM fetch_runs AS run
            WHERE run.query_id = query.id AND run.started_at = query.full_from
                AND run.state = 'partial'
        )
    """)
    op.execute("""
        CREATE INDEX jobs_repost_of_index ON jobs (repost_of) WHERE repost_of IS NOT NULL
    """)


def downgrade() -> None:
    op.execute("DROP INDEX jobs_repost_of_index")
    op.execute("ALTER TABLE search_queries DROP COLUMN read_whole_from")
