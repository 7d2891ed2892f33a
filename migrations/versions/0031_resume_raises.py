"""Raising resumes: their schedules, and what became of each raise.

``resume_raises``: one row for each resume that Core raised or has a schedule for. ``due_at``: when
the schedule raises it next. ``claimed_until``: until then one worker or request has it.
``asked_at``: when hh.ru was called, while the outcome is not known; ``asked_by``: for whom.
``raised_at``: the last raise. ``hh_updated_at``, ``next_raise_at``: what hh.ru showed last.

The downgrade refuses while there are any.
"""

from __future__ import annotations

from alembic import op

from migrations import ownership

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE resume_raises (
            account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
            resume_id text NOT NULL,
            schedule jsonb NOT NULL,
            due_at timestamptz,
            claimed_until timestamptz,
            asked_at timestamptz,
            asked_by text CHECK (asked_by IN ('person', 'schedule')),
            press_key text,
            raised_at timestamptz,
            raised_by text CHECK (raised_by IN ('person', 'schedule')),
            hh_updated_at timestamptz,
            next_raise_at timestamptz,
            outcome text,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            PRIMARY KEY (account_id, resume_id)
        )
    """)
    op.execute("""
        CREATE INDEX resume_raises_due_at_index ON resume_raises (due_at)
        WHERE due_at IS NOT NULL
    """)
    op.execute("""
        CREATE INDEX resume_raises_claimed_until_index ON resume_raises (claimed_until)
        WHERE asked_at IS NOT NULL
    """)


def downgrade() -> None:
    ownership.refuse_to_lose("resume_raises", "schedules of people's resumes")
    op.execute("DROP TABLE resume_raises")
