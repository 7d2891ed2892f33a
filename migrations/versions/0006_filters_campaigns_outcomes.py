"""Filters, campaigns, and how employers responded to an application.

``application_filters``: an account's rules. ``campaigns``: many applications under one workflow id;
their items are rows of ``application_queue``, which the BFF writes too. On the ledger: the campaign
that an application belongs to, and the negotiation at hh.ru as it was last read. On ``accounts``:
when its negotiations are read next, and the interval after that (longer while nothing changes).

The downgrade refuses while there are filters or campaigns.
"""

from __future__ import annotations

from alembic import op

from migrations import ownership

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE application_filters (
            account_id uuid PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
            rules jsonb NOT NULL,
            updated_at timestamptz NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE campaigns (
            workflow_id uuid PRIMARY KEY,
            account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
            user_id uuid NOT NULL,
            state text NOT NULL CHECK (state IN ('created', 'running', 'paused', 'cancelled')),
            job_count integer,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        )
    """)
    op.execute("CREATE INDEX campaigns_account_id_index ON campaigns (account_id)")
    op.execute("""
        ALTER TABLE application_ledger
            ADD COLUMN workflow_id uuid,
            ADD COLUMN queue_item_id uuid,
            ADD COLUMN hh_state text,
            ADD COLUMN hh_viewed boolean NOT NULL DEFAULT false,
            ADD COLUMN hh_updated_at timestamptz
    """)
    op.execute("""
        CREATE INDEX application_ledger_workflow_id_index ON application_ledger (workflow_id)
        WHERE workflow_id IS NOT NULL
    """)
    op.execute("""
        ALTER TABLE accounts
            ADD COLUMN negotiations_due_at timestamptz,
            ADD COLUMN negotiations_interval_s integer
    """)
    op.execute("""
        CREATE INDEX accounts_negotiations_due_at_index ON accounts (negotiations_due_at)
        WHERE negotiations_due_at IS NOT NULL
    """)


def downgrade() -> None:
    ownership.refuse_to_lose("application_filters", "people's filters")
    ownership.refuse_to_lose("campaigns", "people's campaigns")
    op.execute("""
        ALTER TABLE accounts
            DROP COLUMN negotiations_due_at,
            DROP COLUMN negotiations_interval_s
    """)
    op.execute("""
        ALTER TABLE application_ledger
            DROP COLUMN workflow_id,
            DROP COLUMN queue_item_id,
            DROP COLUMN hh_state,
            DROP COLUMN hh_viewed,
            DROP COLUMN hh_updated_at
    """)
    op.execute("DROP TABLE campaigns, application_filters")
