"""The deletion of people: which accounts are being deleted, and what must be left of one.

``accounts.deletion_requested_at``: the person asked for it; ``deletion_due_at``: when the deletion
is continued next. ``deleted_accounts`` lets a person who connects hh.ru again apply no sooner than
if nothing had been deleted; its key is a keyed digest, and it is deleted after a day.

``audit_log`` still only grows; what is new is that a row may lose its user, account and request,
and nothing else, so that it stays without leading to anybody. ``audit_log_user_id_index`` finds
those of a user.

Earlier code neither reads nor writes the new columns: a deletion that was requested goes on when
this release is back. The downgrade refuses while there is one.
"""

from __future__ import annotations

from alembic import op

from migrations import ownership

revision = "0020"
down_revision = "0018"


def upgrade() -> None:
    # The role's limit is meant for requests; the index reads the table.
    op.execute("SELECT set_config('statement_timeout', '0', true)")
    op.execute("""
        ALTER TABLE accounts
            ADD COLUMN deletion_requested_at timestamptz,
            ADD COLUMN deletion_due_at timestamptz
    """)
    op.execute("""
        CREATE INDEX accounts_deletion_due_at_index ON accounts (deletion_due_at)
        WHERE deletion_due_at IS NOT NULL
    """)
    op.execute("""
        CREATE TABLE deleted_accounts (
            hh_user_digest bytea PRIMARY KEY,
            apply_again_at timestamptz NOT NULL
        )
    """)
    op.execute("CREATE INDEX audit_log_user_id_index ON audit_log (user_id)")
    op.execute("DROP TRIGGER audit_log_only_grows ON audit_log")
    op.execute("""
        CREATE TRIGGER audit_log_only_grows
        BEFORE DELETE OR TRUNCATE OR UPDATE OF id, at, actor, action, outcome ON audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse()
    """)
    op.execute("""
        CREATE TRIGGER audit_log_only_loses_people BEFORE UPDATE ON audit_log
        FOR EACH ROW WHEN (NEW.user_id IS NOT NULL OR NEW.account_id IS NOT NULL
                           OR NEW.request_id IS NOT NULL)
        EXECUTE FUNCTION audit_log_refuse()
    """)


def downgrade() -> None:
    ownership.refuse_to_lose(
        "accounts WHERE deletion_requested_at IS NOT NULL", "requested deletions of people"
    )
    op.execute("DROP TRIGGER audit_log_only_loses_people ON audit_log")
    op.execute("DROP TRIGGER audit_log_only_grows ON audit_log")
    op.execute("""
        CREATE TRIGGER audit_log_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse()
    """)
    op.execute("DROP INDEX audit_log_user_id_index")
    op.execute("DROP TABLE deleted_accounts")
    op.execute("DROP INDEX accounts_deletion_due_at_index")
    op.execute("""
        ALTER TABLE accounts
            DROP COLUMN deletion_requested_at,
            DROP COLUMN deletion_due_at
    """)
