"""Vacancies as Core sees them, hh.ru's dictionaries, and the application's own token.

On ``jobs``, beside the columns shared with the BFF: ``vacancy`` is a vacancy in Core's normalised
form as a search last showed it, ``detail`` as its own page showed it; the hashes say whether a
fetch returned anything new. The new timestamps have a time zone.

None of this was entered by a person, and all of it can be fetched again: the downgrade drops it.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE jobs
            ADD COLUMN vacancy jsonb,
            ADD COLUMN vacancy_hash bytea,
            ADD COLUMN detail jsonb,
            ADD COLUMN detail_hash bytea,
            ADD COLUMN detail_fetched_at timestamptz,
            ADD COLUMN published_at timestamptz,
            ADD COLUMN archived boolean NOT NULL DEFAULT false
    """)
    op.execute("CREATE INDEX jobs_published_at_index ON jobs (published_at)")
    op.execute("""
        CREATE TABLE hh_dictionaries (
            name text PRIMARY KEY,
            etag text,
            entries jsonb NOT NULL,
            fetched_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL
        )
    """)
    # access_token is ciphertext, or null; requested_at is for hh.ru's rule of one request in five
    # minutes.
    op.execute("""
        CREATE TABLE hh_app_tokens (
            client_id text PRIMARY KEY,
            access_token text,
            requested_at timestamptz,
            obtained_at timestamptz
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE hh_app_tokens, hh_dictionaries")
    op.execute("""
        ALTER TABLE jobs
            DROP COLUMN vacancy,
            DROP COLUMN vacancy_hash,
            DROP COLUMN detail,
            DROP COLUMN detail_hash,
            DROP COLUMN detail_fetched_at,
            DROP COLUMN published_at,
            DROP COLUMN archived
    """)
