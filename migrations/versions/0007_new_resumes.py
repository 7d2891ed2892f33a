"""The resume that is created for an application, if its person asked for one.

On the ledger: the contents taken from the CV (cleared when the application ends), the title, which
is recorded before hh.ru is asked to create it, and when and how often hh.ru was asked.

The downgrade drops these requests: such an application is sent with an existing resume.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE application_ledger
            ADD COLUMN new_resume jsonb,
            ADD COLUMN new_resume_title text,
            ADD COLUMN new_resume_asked_at timestamptz,
            ADD COLUMN new_resume_asked integer NOT NULL DEFAULT 0
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE application_ledger
            DROP COLUMN new_resume,
            DROP COLUMN new_resume_title,
            DROP COLUMN new_resume_asked_at,
            DROP COLUMN new_resume_asked
    """)
