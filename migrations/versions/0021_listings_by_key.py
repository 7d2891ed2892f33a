"""Indexes with which listings continue after a row, whatever the depth of the page.

``application_ledger_account_created_at_index``: the applications of an account, by age.
``account_vacancies_announced_index``: what was announced to an account, by time; what its rules
dropped has an index since 0016.
``application_queue_items_index``: the items of a campaign in the order in which they are taken up;
a row without a priority, which the original's table allows, has the column's default there, 0.

Earlier code does not need them. The tables are locked for writes while an index of them is built:
a second for a million rows.
"""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"

INDEXES = {
    "application_ledger_account_created_at_index": """
        application_ledger (account_id, created_at, id)""",
    "account_vacancies_announced_index": """
        account_vacancies (account_id, at, vacancy_id) WHERE seq IS NOT NULL""",
    "application_queue_items_index": """
        application_queue (workflow_id, (coalesce(priority, 0)), created_at, id)""",
}


def upgrade() -> None:
    # The role's limit is meant for requests; an index reads its whole table once.
    op.execute("SELECT set_config('statement_timeout', '0', true)")
    for name, definition in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON {definition}")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
