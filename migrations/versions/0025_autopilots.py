"""Autopilots: saved searches whose new vacancies are applied to.

``autopilots``: the settings, of saved searches that had them set. ``since_match``: of the matches,
only those with higher numbers are applied to; the others were found before it was switched on.
``campaigns.saved_search_id``: the campaign is the standing one of a saved search; it has one at a
time that is not cancelled. ``campaigns.is_held``: it was paused with its account, and is resumed
with it. ``accounts.autopilot_paused_at``: since when the account's autopilots are paused.

The downgrade refuses while there are any.
"""

from __future__ import annotations

from alembic import op

from migrations import ownership

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE autopilots (
            saved_search_id uuid PRIMARY KEY REFERENCES saved_searches ON DELETE CASCADE,
            account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
            mode text NOT NULL CHECK (mode IN ('off', 'review', 'auto')),
            letter_template_id uuid,
            hh_resume_id text,
            max_per_day integer NOT NULL,
            bucket_share integer NOT NULL,
            working_hours jsonb,
            time_zone text,
            min_fit integer NOT NULL,
            since_match bigint NOT NULL DEFAULT 0,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        )
    """)
    op.execute("CREATE INDEX autopilots_account_id_index ON autopilots (account_id)")
    op.execute("""
        ALTER TABLE campaigns
            ADD COLUMN saved_search_id uuid
                CONSTRAINT campaigns_saved_search_id_fkey
                REFERENCES saved_searches ON DELETE SET NULL,
            ADD COLUMN is_held boolean NOT NULL DEFAULT false
    """)
    op.execute("""
        CREATE INDEX campaigns_saved_search_id_index ON campaigns (saved_search_id)
        WHERE saved_search_id IS NOT NULL
    """)
    op.execute("""
        CREATE UNIQUE INDEX campaigns_standing_index ON campaigns (saved_search_id)
        WHERE state <> 'cancelled'
    """)
    op.execute("ALTER TABLE accounts ADD COLUMN autopilot_paused_at timestamptz")


def downgrade() -> None:
    ownership.refuse_to_lose("autopilots", "people's autopilots")
    op.execute("ALTER TABLE accounts DROP COLUMN autopilot_paused_at")
    op.execute("ALTER TABLE campaigns DROP COLUMN saved_search_id, DROP COLUMN is_held")
    op.execute("DROP TABLE autopilots")
