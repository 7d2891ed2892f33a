"""Indexes with which the sweeper asks for what can have changed, and an account for what waits.

``accounts_access_changed_at_index``: accounts whose access is in order (``closed`` was a state of
earlier releases), the latest last, so that only applications of those that came back are looked at.
``campaigns_cancelled_index``: cancelled campaigns, the latest last.
``application_ledger_account_due_at_index``: what an account has waiting, independent of all that it
has finished.

Dropped: two indexes of ``account_vacancies`` that no statement uses; earlier code does not need
them either. Each new index is partial or of a small table, so it is built in moments, in the
migration's transaction.
"""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"

INDEXES = {
    "accounts_access_changed_at_index": """accounts (access_changed_at)
        WHERE access_state IN ('ok', 'limited_until', 'closed')""",
    "campaigns_cancelled_index": "campaigns (updated_at) WHERE state = 'cancelled'",
    "application_ledger_account_due_at_index": """application_ledger (account_id, due_at)
        WHERE due_at IS NOT NULL""",
}
UNUSED = {
    "account_vacancies_original_id_index": "account_vacancies (account_id, original_id)",
    "account_vacancies_at_index": "account_vacancies (at)",
}


def upgrade() -> None:
    # The role's limit is meant for requests; an index reads its whole table once.
    op.execute("SELECT set_config('statement_timeout', '0', true)")
    for name, definition in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON {definition}")
    for name in UNUSED:
        op.execute(f"DROP INDEX IF EXISTS {name}")


def downgrade() -> None:
    op.execute("SELECT set_config('statement_timeout', '0', true)")
    for name, definition in UNUSED.items():
        op.execute(f"CREATE INDEX {name} ON {definition}")
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
