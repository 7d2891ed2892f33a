"""Applications: Core's own tables, beside the tables that the BFF writes.

``application_ledger`` has one row per account and vacancy, for all of the person's sessions,
whether Core or the person applied. ``application_attempts`` is append-only: a row before each call
that may create an application at hh.ru (and one for each that the person made by hand); its result
is one row of ``application_outcomes``. ``application_history`` has each change of state.

``events`` is an account's log for its WebSocket connections: ``seq`` increases by one, assigned
under the account's row lock in the transaction of the change.

The downgrade refuses while there are applications.
"""

from __future__ import annotations

from alembic import op

from migrations import ownership

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("ALTER TABLE accounts ADD COLUMN last_event_seq bigint NOT NULL DEFAULT 0")
    op.execute("""
        CREATE TABLE application_ledger (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
            user_id uuid NOT NULL,
            vacancy_id text NOT NULL,
            application_id uuid,
            state text NOT NULL CHECK (state IN
                ('queued', 'preparing', 'submitting', 'submitted', 'uncertain', 'waiting_quota',
                 'needs_person', 'handoff', 'refused', 'cancelled', 'expired')),
            reason text,
            due_at timestamptz,
            expires_at timestamptz,
            letter text,
            wanted_resume_id text,
            resume_id text,
            resume_reason text,
            link text,
            negotiation_id text,
            by_hand boolean NOT NULL DEFAULT false,
            submitted_at timestamptz,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            UNIQUE (account_id, vacancy_id)
        )
    """)
    op.execute("""
        CREATE INDEX application_ledger_due_at_index ON application_ledger (due_at)
        WHERE due_at IS NOT NULL
    """)
    op.execute("""
        CREATE INDEX application_ledger_application_id_index ON application_ledger (application_id)
    """)
    op.execute("""
        CREATE TABLE application_keys (
            account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
            key text NOT NULL,
            request_hash bytea NOT NULL,
            ledger_id uuid NOT NULL REFERENCES application_ledger ON DELETE CASCADE,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (account_id, key)
        )
    """)
    op.execute("""
        CREATE TABLE application_attempts (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            ledger_id uuid NOT NULL REFERENCES application_ledger ON DELETE CASCADE,
            account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
            number integer NOT NULL,
            at timestamptz NOT NULL,
            UNIQUE (ledger_id, number)
        )
    """)
    op.execute("""
        CREATE INDEX application_attempts_account_id_index ON application_attempts (account_id, at)
    """)
    # counts: whether it counts toward hh.ru's 200 in 24 hours.
    op.execute("""
        CREATE TABLE application_outcomes (
            attempt_id bigint PRIMARY KEY REFERENCES application_attempts ON DELETE CASCADE,
            at timestamptz NOT NULL,
            outcome text NOT NULL,
            counts boolean NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE application_history (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            ledger_id uuid NOT NULL REFERENCES application_ledger ON DELETE CASCADE,
            at timestamptz NOT NULL,
            state text NOT NULL,
            reason text
        )
    """)
    op.execute("""
        CREATE INDEX application_history_ledger_id_index ON application_history (ledger_id, id)
    """)
    op.execute("""
        CREATE TABLE events (
            account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
            seq bigint NOT NULL,
            at timestamptz NOT NULL,
            type text NOT NULL,
            data jsonb NOT NULL,
            PRIMARY KEY (account_id, seq)
        )
    """)
    op.execute("CREATE INDEX events_at_index ON events (at)")


def downgrade() -> None:
    ownership.refuse_to_lose("application_ledger", "applications")
    op.execute("""
        DROP TABLE events, application_history, application_outcomes, application_attempts,
            application_keys, application_ledger
    """)
    op.execute("ALTER TABLE accounts DROP COLUMN last_event_seq")
