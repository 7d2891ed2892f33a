"""The resume that is made for an application, where its person asked for one.

On the ledger: what of the CV it is to say (emptied when the application is over), its title, which
is on record before hh.ru is asked for it, when and how often hh.ru was asked.

A downgrade forgets what was asked for: such an application goes out with a resume that is there.
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
