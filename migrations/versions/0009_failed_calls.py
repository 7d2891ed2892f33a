"""Counts of failed calls in a row: for an account's access, and for one application.

Pauses grow with them. The downgrade drops them: pauses start from the shortest again.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute("ALTER TABLE accounts ADD COLUMN access_tries smallint NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE application_ledger ADD COLUMN failed_calls integer NOT NULL DEFAULT 0")


def downgrade() -> None:
    op.execute("ALTER TABLE application_ledger DROP COLUMN failed_calls")
    op.execute("ALTER TABLE accounts DROP COLUMN access_tries")
