"""Messages: what employers and the person wrote in the negotiations of an application.

``application_messages``: one row for each message that hh.ru showed (``hh_message_id``, once each
in a negotiation), and for each reply that the person asked for, from before its call on. A reply's
``request_key`` is that of its request: pressed twice, it is one row. ``due_at`` is when the worker
has something to do with it, and ``called_at`` when the call began whose outcome is not known.
``application_ledger.conversation_due_at``: when a conversation is to be read.

The downgrade loses the replies' records, which are what keeps a message from being sent twice: it
is refused while there are messages.
"""

from __future__ import annotations

from alembic import op

from migrations import ownership

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    op.execute("SELECT set_config('statement_timeout', '0', true)")
    op.execute("""
        ALTER TABLE application_ledger
            ADD COLUMN conversation_due_at timestamptz,
            ADD COLUMN conversation_read_at timestamptz
    """)
    op.execute("""
        CREATE INDEX application_ledger_conversation_due_index
        ON application_ledger (account_id, conversation_due_at)
        WHERE conversation_due_at IS NOT NULL
    """)
    op.execute("""
        CREATE TABLE application_messages (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            number bigint GENERATED ALWAYS AS IDENTITY,
            ledger_id uuid NOT NULL REFERENCES application_ledger ON DELETE CASCADE,
            account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
            negotiation_id text NOT NULL,
            hh_message_id text,
            author text NOT NULL CHECK (author IN ('applicant', 'employer')),
            state text NOT NULL CHECK (
                state IN ('received', 'sending', 'sent', 'unknown', 'failed', 'handoff')
            ),
            reason text,
            hh_state text,
            text text NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            request_key text,
            due_at timestamptz,
            called_at timestamptz,
            calls smallint NOT NULL DEFAULT 0,
            trace_id uuid,
            UNIQUE (ledger_id, negotiation_id, hh_message_id),
            UNIQUE (account_id, request_key)
        )
    """)
    op.execute("""
        CREATE INDEX application_messages_ledger_id_index
        ON application_messages (ledger_id, created_at, number)
    """)
    op.execute("""
        CREATE INDEX application_messages_due_index
        ON application_messages (account_id, due_at) WHERE due_at IS NOT NULL
    """)


def downgrade() -> None:
    ownership.refuse_to_lose("application_messages", "the messages of people and employers")
    op.execute("DROP TABLE application_messages")
    op.execute("DROP INDEX application_ledger_conversation_due_index")
    op.execute("""
        ALTER TABLE application_ledger
            DROP COLUMN conversation_due_at, DROP COLUMN conversation_read_at
    """)
