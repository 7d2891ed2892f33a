"""Notifications: a person's channels and settings, and what was planned and sent.

``notification_channels``: addresses and secrets are ciphertexts; ``address_digest`` is keyed, so
that a channel is found by its address. ``notifications``: one message to one channel each, which
outlive a deleted channel.
``accounts.planned_seq``: up to which event notifications are planned; null for an account without
an active channel. The downgrade refuses while there are channels.
"""

from __future__ import annotations

from alembic import op

from migrations import ownership

revision = "0028"
down_revision = "0025"


def upgrade() -> None:
    op.execute("ALTER TABLE accounts ADD COLUMN planned_seq bigint")
    op.execute("""
        CREATE INDEX accounts_unplanned_index ON accounts (id)
        WHERE last_event_seq > planned_seq
    """)
    op.execute("""
        CREATE TABLE notification_channels (
            id uuid PRIMARY KEY,
            account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
            kind text NOT NULL CHECK (kind IN ('email', 'telegram', 'webhook')),
            address text NOT NULL,
            address_digest bytea NOT NULL,
            hint text NOT NULL,
            secret text,
            previous_secret text,
            previous_secret_until timestamptz,
            language text NOT NULL,
            state text NOT NULL CHECK (state IN ('unconfirmed', 'active', 'disabled')),
            reason text,
            since_seq bigint NOT NULL,
            created_at timestamptz NOT NULL,
            changed_at timestamptz NOT NULL,
            UNIQUE (account_id, kind, address_digest)
        )
    """)
    op.execute("""
        CREATE INDEX notification_channels_address_index
        ON notification_channels (address_digest)
    """)
    op.execute("""
        CREATE TABLE notification_settings (
            account_id uuid PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
            settings jsonb NOT NULL,
            updated_at timestamptz NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE notifications (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
            channel_id uuid REFERENCES notification_channels ON DELETE SET NULL,
            channel_kind text NOT NULL,
            kind text NOT NULL,
            state text NOT NULL CHECK (state IN
                ('waiting', 'sending', 'sent', 'uncertain', 'failed', 'cancelled')),
            content jsonb NOT NULL,
            first_seq bigint NOT NULL,
            last_seq bigint NOT NULL,
            due_at timestamptz NOT NULL,
            attempts integer NOT NULL DEFAULT 0,
            attempted_at timestamptz,
            ended_at timestamptz,
            error text,
            created_at timestamptz NOT NULL
        )
    """)
    op.execute("""
        CREATE INDEX notifications_due_at_index ON notifications (due_at)
        WHERE state IN ('waiting', 'sending')
    """)
    op.execute("""
        CREATE INDEX notifications_waiting_index ON notifications (account_id, due_at)
        WHERE state IN ('waiting', 'sending')
    """)
    op.execute("""
        CREATE INDEX notifications_channel_id_index ON notifications (channel_id, kind)
    """)
    op.execute("""
        CREATE INDEX notifications_account_id_index ON notifications (account_id, created_at, id)
    """)
    op.execute("""
        CREATE INDEX notifications_ended_at_index ON notifications (ended_at)
        WHERE ended_at IS NOT NULL
    """)


def downgrade() -> None:
    ownership.refuse_to_lose("notification_channels", "people's notification channels")
    op.execute("DROP TABLE notifications, notification_settings, notification_channels")
    op.execute("DROP INDEX accounts_unplanned_index")
    op.execute("ALTER TABLE accounts DROP COLUMN planned_seq")
