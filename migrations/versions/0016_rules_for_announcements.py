"""A person's rules for announcements, and the policy of an application for reposts.

``account_vacancies.filtered_by``: the rule of the account that kept the vacancy from being
announced; null where none did. ``application_ledger.repost``: what its person said about applying
to another posting of a job, ``NULL`` where the policy of the account's rules holds.

Earlier code announces what it finds, as it did: a row that it writes over then has a ``seq``, too.
The downgrade forgets why vacancies were not announced, and what was said: the earlier code asks
nobody, and applies.
"""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    # The role's limit is meant for requests; the index reads the table.
    op.execute("SELECT set_config('statement_timeout', '0', true)")
    op.execute("ALTER TABLE account_vacancies ADD COLUMN filtered_by text")
    op.execute("""
        CREATE INDEX account_vacancies_filtered_by_index ON account_vacancies (account_id, at)
        WHERE filtered_by IS NOT NULL
    """)
    op.execute("""
        ALTER TABLE application_ledger
            ADD COLUMN repost text CHECK (repost IN ('skip', 'ask', 'allow'))
    """)


def downgrade() -> None:
    op.execute("ALTER TABLE application_ledger DROP COLUMN repost")
    op.execute("DROP INDEX account_vacancies_filtered_by_index")
    op.execute("ALTER TABLE account_vacancies DROP COLUMN filtered_by")
