"""Indexes for the deletion of an account: of foreign keys that had none, since Postgres looks for
the rows of each of its applications and read all ``application_keys`` for every one; and of a
person's logins.

``application_keys`` is locked for writes while its index is built: seconds for a million rows.
"""

from __future__ import annotations

from alembic import op

revision = "0033"
down_revision = "0032"

INDEXES = {
    "application_keys_ledger_id_index": "application_keys (ledger_id)",
    "hh_method_access_account_id_index": (
        "hh_method_access (account_id) WHERE account_id IS NOT NULL"
    ),
    "hh_logins_account_id_index": "hh_logins (account_id)",
    "hh_logins_user_id_index": "hh_logins (user_id)",
}


def upgrade() -> None:
    # The role's limit is meant for requests.
    op.execute("SELECT set_config('statement_timeout', '0', true)")
    for name, definition in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON {definition}")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
