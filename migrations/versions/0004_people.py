"""People: hh.ru accounts, their tokens and logins, and the audit log.

A user (the BFF's session) belongs to an account (a person at hh.ru); tokens belong to the account.
Rows of ``hh_tokens`` without an account are the original's: Core never reads them, and removes a
user's own when that user logs in.

``hh_logins`` has one row per authorization code, so that a code is sent to hh.ru once, whatever
happens between its answer and ours. ``audit_log`` is append-only: a trigger refuses other changes.

The downgrade refuses while people are connected or the audit log has rows.
"""

from __future__ import annotations

from alembic import op

from migrations import ownership

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE accounts (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            hh_user_id text NOT NULL UNIQUE,
            access_state text NOT NULL DEFAULT 'reauth_required' CHECK (access_state IN
                ('ok', 'reauth_required', 'captcha', 'limited_until', 'closed')),
            access_reason text,
            access_until timestamptz,
            access_changed_at timestamptz NOT NULL,
            captcha_url text,
            created_at timestamptz NOT NULL
        )
    """)
    ownership.add_column("users", "account_id", "uuid REFERENCES accounts ON DELETE SET NULL")
    ownership.add_column("users", "tokens_valid_from", "timestamptz")
    op.execute("CREATE INDEX IF NOT EXISTS users_account_id_index ON users (account_id)")
    # Hashes are SHA-256 of refresh tokens: a token that is sent is found without decrypting any.
    ownership.add_column("hh_tokens", "account_id", "uuid REFERENCES accounts ON DELETE CASCADE")
    ownership.add_column("hh_tokens", "refresh_hash", "bytea")
    ownership.add_column("hh_tokens", "previous_refresh_hash", "bytea")
    ownership.add_column("hh_tokens", "refreshed_at", "timestamptz")
    op.execute("CREATE UNIQUE INDEX hh_tokens_account_id_index ON hh_tokens (account_id)")
    op.execute("CREATE UNIQUE INDEX hh_tokens_refresh_hash_index ON hh_tokens (refresh_hash)")
    op.execute(
        "CREATE INDEX hh_tokens_previous_refresh_hash_index ON hh_tokens (previous_refresh_hash)"
    )
    # pair: ciphertext of the tokens that hh.ru issued for the code, until their owner is known.
    op.execute("""
        CREATE TABLE hh_logins (
            code_hash bytea PRIMARY KEY,
            user_id uuid,
            state text NOT NULL CHECK (state IN ('sent', 'exchanged', 'done', 'refused')),
            pair text,
            account_id uuid,
            refusal text,
            started_at timestamptz NOT NULL,
            finished_at timestamptz
        )
    """)
    op.execute("CREATE INDEX hh_logins_started_at_index ON hh_logins (started_at)")
    # No foreign keys: the log outlives the person's rows.
    op.execute("""
        CREATE TABLE audit_log (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at timestamptz NOT NULL,
            actor text NOT NULL,
            user_id uuid,
            account_id uuid,
            action text NOT NULL,
            outcome text NOT NULL,
            request_id text
        )
    """)
    op.execute("CREATE INDEX audit_log_account_id_index ON audit_log (account_id, id)")
    op.execute("""
        CREATE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'audit_log only grows';
        END $$
    """)
    op.execute("""
        CREATE TRIGGER audit_log_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse()
    """)


def downgrade() -> None:
    ownership.refuse_to_lose("hh_tokens WHERE account_id IS NOT NULL", "connections to hh.ru")
    ownership.refuse_to_lose("audit_log", "the audit log")
    op.execute("DELETE FROM hh_tokens WHERE account_id IS NOT NULL")
    op.execute("DROP TABLE audit_log, hh_logins")
    op.execute("DROP FUNCTION audit_log_refuse")
    for column in ("refreshed_at", "previous_refresh_hash", "refresh_hash", "account_id"):
        ownership.drop_column("hh_tokens", column)
    for column in ("tokens_valid_from", "account_id"):
        ownership.drop_column("users", column)
    op.execute("DROP TABLE accounts")
