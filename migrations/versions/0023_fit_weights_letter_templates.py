"""Weights of the fit, and letter templates, of an account.

``fit_weights``: only of accounts that changed them. ``letter_templates``: Jinja's text, checked
when it was stored; names are unique per account. The downgrade refuses while there are any.
"""

from __future__ import annotations

from alembic import op

from migrations import ownership

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE fit_weights (
            account_id uuid PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
            weights jsonb NOT NULL,
            updated_at timestamptz NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE letter_templates (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
            name text NOT NULL,
            text text NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            UNIQUE (account_id, name)
        )
    """)


def downgrade() -> None:
    ownership.refuse_to_lose("letter_templates", "people's letter templates")
    ownership.refuse_to_lose("fit_weights", "people's weights of the fit")
    op.execute("DROP TABLE letter_templates, fit_weights")
