"""Tokens in a table of Core's own, and Core's state beside the BFF's status on campaign items.

``account_tokens``: what Core kept in ``hh_tokens`` before. A migration of the BFF drops
``hh_tokens``; from this revision on Core loses nothing by it. ``hh_tokens`` stays, for the
original: Core reads none of its rows. Where it was dropped already, it is created again, and the
accounts whose tokens were lost with it have to log in again.

``application_queue.status`` has only values that the BFF, its page and the original know:
``pending, customizing, ready, submitting, submitted, failed, rate_limited``. ``core_state`` beside
it is Core's own state from the ledger; null for an item that has no application yet.

The downgrade moves the tokens back and restores the earlier values. It loses nothing.
"""

from __future__ import annotations

import logging

from alembic import op
from sqlalchemy import text

from migrations import ownership

revision = "0011"
down_revision = "0010"

logger = logging.getLogger("migrations")

KNOWN = "'pending', 'customizing', 'ready', 'submitting', 'submitted', 'failed', 'rate_limited'"
MOVED = """
    user_id, access_token, refresh_token, refresh_hash, previous_refresh_hash, refreshed_at,
    expires_at, inserted_at, updated_at
"""
# As created by 0001, 0002 and 0004.
HH_TOKENS = """
    CREATE TABLE hh_tokens (
        id uuid CONSTRAINT hh_tokens_pkey PRIMARY KEY,
        user_id uuid,
        access_token text NOT NULL,
        refresh_token text NOT NULL,
        expires_at timestamp(0) NOT NULL,
        inserted_at timestamp(0) NOT NULL,
        updated_at timestamp(0) NOT NULL
    )
"""
# The ledger's state of the items that became applications.
TAKEN_UP = """
    UPDATE application_queue q SET
        core_state = l.state,
        status = CASE
            WHEN q.status = 'pending' THEN 'pending'
            WHEN l.state IN ('queued', 'preparing') THEN 'ready'
            WHEN l.state IN ('submitting', 'uncertain') THEN 'submitting'
            WHEN l.state = 'waiting_quota' THEN 'rate_limited'
            WHEN l.state = 'submitted' THEN 'submitted'
            ELSE 'failed'
        END,
        last_error = CASE
            WHEN l.state IN ('needs_person', 'handoff')
                THEN concat_ws(': ', coalesce(l.reason, l.state), l.link)
            WHEN l.state IN ('refused', 'cancelled', 'expired') THEN coalesce(l.reason, l.state)
            ELSE q.last_error
        END
    FROM application_ledger l WHERE l.queue_item_id = q.id
"""
# Items that failed before they became applications, and those detached from their campaign.
NOT_TAKEN_UP = f"""
    UPDATE application_queue SET
        core_state = CASE status
            WHEN 'completed' THEN 'submitted'
            WHEN 'cancelled' THEN 'cancelled'
            WHEN 'needs_person' THEN 'needs_person'
            ELSE 'refused'
        END,
        last_error = CASE WHEN status = 'completed' THEN NULL
            ELSE coalesce(last_error, CASE status WHEN 'cancelled' THEN 'campaign_cancelled'
                                      ELSE status END) END,
        status = CASE WHEN status = 'completed' THEN 'submitted' ELSE 'failed' END
    WHERE core_state IS NULL
      AND (status NOT IN ({KNOWN})
           OR status = 'failed' AND EXISTS (SELECT FROM campaigns c
                                            WHERE c.workflow_id = application_queue.workflow_id))
"""  # noqa: S608
WORDS_OF_BEFORE = """
    UPDATE application_queue SET status = CASE
        WHEN core_state = 'submitted' THEN 'completed'
        WHEN core_state IN ('needs_person', 'handoff') THEN 'needs_person'
        WHEN core_state = 'cancelled' THEN 'cancelled'
        WHEN core_state = 'waiting_quota' THEN 'rate_limited'
        WHEN core_state IN ('refused', 'expired') THEN 'failed'
        ELSE 'processing'
    END
    WHERE core_state IS NOT NULL AND status <> 'pending'
"""


def upgrade() -> None:
    op.execute("""
        CREATE TABLE account_tokens (
            account_id uuid PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
            user_id uuid,
            access_token text NOT NULL,
            refresh_token text NOT NULL,
            refresh_hash bytea NOT NULL UNIQUE,
            previous_refresh_hash bytea,
            refreshed_at timestamptz,
            expires_at timestamp(0) NOT NULL,
            inserted_at timestamp(0) NOT NULL,
            updated_at timestamp(0) NOT NULL
        )
    """)
    op.execute("""
        CREATE INDEX account_tokens_previous_refresh_hash_index
        ON account_tokens (previous_refresh_hash)
    """)
    if ownership.existing_tables(["hh_tokens"]):
        _move("hh_tokens", "account_tokens", "account_id")
    else:
        _create_hh_tokens_again()
        _require_login()
    # The role's limit is meant for requests; this updates one row per item.
    op.execute("SELECT set_config('statement_timeout', '0', true)")
    ownership.add_column("application_queue", "core_state", "text")
    op.execute(TAKEN_UP)
    op.execute(NOT_TAKEN_UP)
    op.execute("DROP INDEX application_queue_pending_index")
    op.execute("""
        CREATE INDEX application_queue_not_taken_up_index ON application_queue (workflow_id)
        WHERE status IN ('pending', 'customizing') OR status = 'ready' AND core_state IS NULL
    """)


def downgrade() -> None:
    op.execute(WORDS_OF_BEFORE)
    op.execute("DROP INDEX application_queue_not_taken_up_index")
    op.execute("""
        CREATE INDEX application_queue_pending_index ON application_queue (workflow_id)
        WHERE status = 'pending'
    """)
    ownership.drop_column("application_queue", "core_state")
    if not ownership.existing_tables(["hh_tokens"]):
        _create_hh_tokens_again()
    _move("account_tokens", "hh_tokens", "id, account_id")
    op.execute("DROP TABLE account_tokens")


def _move(source: str, target: str, ids: str) -> None:
    """Move every account's row from *source* to *target*, whose ids are named *ids*."""
    own_ids = ids.replace("id,", "gen_random_uuid(),", 1) if ids.startswith("id,") else ids
    op.execute(f"""
        INSERT INTO {target} ({ids}, {MOVED}) SELECT {own_ids}, {MOVED} FROM {source}
        WHERE account_id IS NOT NULL
    """)  # noqa: S608 - our own text
    op.execute(f"DELETE FROM {source} WHERE account_id IS NOT NULL")  # noqa: S608


def _create_hh_tokens_again() -> None:
    op.execute(HH_TOKENS)
    op.execute("CREATE INDEX hh_tokens_user_id_index ON hh_tokens (user_id)")
    ownership.mark_table("hh_tokens")
    ownership.add_column("hh_tokens", "account_id", "uuid REFERENCES accounts ON DELETE CASCADE")
    ownership.add_column("hh_tokens", "refresh_hash", "bytea")
    ownership.add_column("hh_tokens", "previous_refresh_hash", "bytea")
    ownership.add_column("hh_tokens", "refreshed_at", "timestamptz")
    op.execute("CREATE UNIQUE INDEX hh_tokens_account_id_index ON hh_tokens (account_id)")
    op.execute("CREATE UNIQUE INDEX hh_tokens_refresh_hash_index ON hh_tokens (refresh_hash)")
    op.execute(
        "CREATE INDEX hh_tokens_previous_refresh_hash_index ON hh_tokens (previous_refresh_hash)"
    )
    logger.warning("hh_tokens was dropped by another migration; created it again, empty")


def _require_login() -> None:
    """Mark every account as without tokens, so that its person is asked to log in."""
    lost = op.get_bind().execute(
        text("""
            UPDATE accounts
            SET access_state = 'reauth_required', access_reason = 'not_connected',
                access_until = NULL, captcha_url = NULL, access_changed_at = now()
            WHERE access_state <> 'reauth_required'
        """)
    )
    if lost.rowcount:
        logger.warning("%s accounts have lost their tokens and have to log in again", lost.rowcount)
