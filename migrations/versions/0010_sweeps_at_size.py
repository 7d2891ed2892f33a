"""Indexes with which the periodic steps find due rows, independent of the number of finished rows;
state-bound sessions; and the token pairs that a login replaced.

``applications.projected_status`` is what Core wrote into ``status``: where the BFF has overwritten
it, the two differ, and a partial index has only those rows. (Comparing each row with the ledger
meant a join of two whole tables every minute.) Rows of the original, which Core never wrote, have
no ``projected_status``.

The other indexes are partial too: each has the rows that may be due, and no finished ones.

``state_bound_sessions``: a session that once asked for a state of its own must return one at every
login. There is no foreign key: the session becomes a user with its first login.

``replaced_tokens``: earlier token pairs of an account, as ciphertext, to be revoked when the person
disconnects. The downgrade refuses while there are any: they are still valid at hh.ru.
"""

from __future__ import annotations

from alembic import op

from migrations import ownership

revision = "0010"
down_revision = "0009"

INDEXES = {
    "applications_overwritten_index": """applications (updated_at, id)
        WHERE projected_status IS NOT NULL AND status IS DISTINCT FROM projected_status""",
    "application_ledger_access_index": """application_ledger (account_id)
        WHERE state = 'needs_person' AND reason IN ('reauth_required', 'captcha')""",
    "application_ledger_expires_at_index": """application_ledger (expires_at)
        WHERE state IN ('needs_person', 'handoff') AND due_at IS NULL""",
    "application_ledger_not_out_index": """application_ledger (id)
        WHERE workflow_id IS NOT NULL
          AND state IN ('queued', 'preparing', 'waiting_quota', 'needs_person', 'handoff')""",
    "application_ledger_campaign_not_out_index": """application_ledger (workflow_id)
        WHERE workflow_id IS NOT NULL
          AND state IN ('queued', 'preparing', 'waiting_quota', 'needs_person', 'handoff')""",
    "application_queue_pending_index": """application_queue (workflow_id)
        WHERE status = 'pending'""",
    "campaigns_state_index": "campaigns (state, workflow_id)",
    "saved_searches_untold_index": """saved_searches (run_id)
        WHERE run_id IS NOT NULL AND NOT paused""",
}
# The BFF's status for each state; a row with another status was overwritten before.
PROJECTED = """
    UPDATE applications AS shown SET projected_status = CASE ledger.state
        WHEN 'waiting_quota' THEN 'rate_limited'
        WHEN 'submitted' THEN 'submitted'
        WHEN 'needs_person' THEN 'needs_person'
        WHEN 'handoff' THEN 'needs_person'
        WHEN 'refused' THEN 'failed'
        WHEN 'expired' THEN 'failed'
        WHEN 'cancelled' THEN 'cancelled'
        ELSE 'processing' END
    FROM application_ledger AS ledger WHERE ledger.application_id = shown.id
"""


def upgrade() -> None:
    # The role's limit is meant for requests; this updates one row per application.
    op.execute("SELECT set_config('statement_timeout', '0', true)")
    ownership.add_column("applications", "projected_status", "varchar(255)")
    op.execute(PROJECTED)
    for name, definition in INDEXES.items():
        op.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {definition}")
    op.execute("""
        CREATE TABLE state_bound_sessions (
            user_id uuid PRIMARY KEY,
            asked_at timestamptz NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE replaced_tokens (
            refresh_hash bytea PRIMARY KEY,
            account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
            access_token text NOT NULL,
            refresh_token text NOT NULL,
            expires_at timestamptz NOT NULL,
            received_at timestamptz NOT NULL
        )
    """)
    op.execute("CREATE INDEX replaced_tokens_account_id_index ON replaced_tokens (account_id)")
    op.execute("""
        CREATE INDEX state_bound_sessions_asked_at_index ON state_bound_sessions (asked_at)
    """)


def downgrade() -> None:
    ownership.refuse_to_lose("replaced_tokens", "token pairs that were not revoked")
    op.execute("DROP TABLE state_bound_sessions, replaced_tokens")
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    ownership.drop_column("applications", "projected_status")
