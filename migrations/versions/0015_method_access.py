"""Access to hh.ru by method, where an account had one state for all methods.

``hh_method_access``: whether hh.ru lets Core call a method, for all accounts (``account_id`` null:
the service) and for one account. A method without a row is unknown. ``probe_at``: when a closed
method is called again, by one caller; that caller moves it before the call.

Before, a refusal of any method set ``accounts.access_state`` to ``closed``. Such states become
``ok`` here, and those of applying become rows of the table. Earlier code may set ``closed`` again
until it is replaced: later code reads that as ``ok``. After a downgrade, each account makes one
more call that is refused.

``accounts.hh_counters``: the counters of ``GET /me``, as they were read at ``hh_counters_at``: what
is still known of an account's negotiations where hh.ru does not let Core read them.
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"

SERVICE = "'00000000-0000-0000-0000-000000000000'::uuid"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE hh_method_access (
            account_id uuid REFERENCES accounts ON DELETE CASCADE,
            method text NOT NULL,
            state text NOT NULL CHECK (state IN ('open', 'closed')),
            reason text,
            since timestamptz NOT NULL,
            confirmed_at timestamptz NOT NULL,
            probe_at timestamptz,
            probes smallint NOT NULL DEFAULT 0,
            CHECK ((state = 'closed') = (probe_at IS NOT NULL))
        )
    """)
    op.execute(f"""
        CREATE UNIQUE INDEX hh_method_access_index
        ON hh_method_access (coalesce(account_id, {SERVICE}), method)
    """)
    op.execute("""
        CREATE INDEX hh_method_access_closed_index ON hh_method_access (method)
        WHERE state = 'closed'
    """)
    op.execute("""
        ALTER TABLE accounts ADD COLUMN hh_counters jsonb, ADD COLUMN hh_counters_at timestamptz
    """)
    op.execute("""
        INSERT INTO hh_method_access
            (account_id, method, state, reason, since, confirmed_at, probe_at, probes)
        SELECT id, 'apply', 'closed', 'forbidden', access_changed_at, access_changed_at,
               coalesce(access_until, access_changed_at), greatest(access_tries, 1)
        FROM accounts WHERE access_state = 'closed' AND access_reason = 'applying_closed'
    """)
    op.execute("""
        UPDATE accounts SET access_state = 'ok', access_reason = NULL, access_until = NULL,
            access_tries = 0
        WHERE access_state = 'closed'
    """)


def downgrade() -> None:
    op.execute("ALTER TABLE accounts DROP COLUMN hh_counters, DROP COLUMN hh_counters_at")
    op.execute("DROP TABLE hh_method_access")
