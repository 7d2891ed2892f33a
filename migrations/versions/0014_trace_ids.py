"""The trace in which a waiting row was written, so that the work on it continues that trace.

``application_ledger.trace_id`` and ``events.trace_id`` hold the id of W3C Trace Context (128 bits),
``NULL`` for rows of earlier releases. A run of a search has its id in ``fetch_runs.plan``, whose
readers ignore what they do not know.
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.execute("ALTER TABLE application_ledger ADD COLUMN trace_id uuid")
    op.execute("ALTER TABLE events ADD COLUMN trace_id uuid")


def downgrade() -> None:
    op.execute("ALTER TABLE events DROP COLUMN trace_id")
    op.execute("ALTER TABLE application_ledger DROP COLUMN trace_id")
