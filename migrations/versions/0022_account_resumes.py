"""The list of an account's resumes as hh.ru showed it last, so that it is not read for each
application. Only what the choice of a resume needs; deleted with the account, and when hh.ru is
disconnected."""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE account_resumes (
            account_id uuid PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
            resumes jsonb NOT NULL,
            read_at timestamptz NOT NULL
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE account_resumes")
