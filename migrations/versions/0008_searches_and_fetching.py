"""Saved searches, their runs, the vacancies announced to each account, and the public feed.

``saved_searches`` belong to people; equal ones share a row of ``search_queries``, the canonical
search, which is what hh.ru is asked for. ``fetch_runs`` has the runs: ``plan`` is what remains to
be read, ``step`` increases with each stored page, so that of two workers only one continues.
``search_matches`` are the vacancies that a query found, numbered in that order, under the query's
row lock. ``account_vacancies`` are those announced to an account; ``seq`` is the event that did,
null where the same job was announced under another id (``original_id``).

On ``jobs``: of which vacancy it is a repost, and whether it is closed. ``public_feed`` has one row
for each new vacancy to be posted to the BFF. On ``accounts``: the last event that all of its
WebSocket connections have.

The downgrade refuses while there are saved searches.
"""

from __future__ import annotations

from alembic import op

from migrations import ownership

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE search_queries (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            hash bytea NOT NULL UNIQUE,
            parameters jsonb NOT NULL,
            due_at timestamptz,
            last_match bigint NOT NULL DEFAULT 0,
            complete_from timestamptz,
            full_from timestamptz,
            full_found integer,
            created_at timestamptz NOT NULL
        )
    """)
    op.execute("""
        CREATE INDEX search_queries_due_at_index ON search_queries (due_at)
        WHERE due_at IS NOT NULL
    """)
    op.execute("""
        CREATE TABLE fetch_runs (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            query_id uuid NOT NULL REFERENCES search_queries ON DELETE CASCADE,
            state text NOT NULL CHECK (state IN ('running', 'completed', 'partial', 'failed')),
            trigger text NOT NULL CHECK (trigger IN ('schedule', 'request')),
            reason text,
            is_full boolean NOT NULL,
            since timestamptz,
            plan jsonb NOT NULL,
            step integer NOT NULL DEFAULT 0,
            attempts integer NOT NULL DEFAULT 0,
            due_at timestamptz,
            found integer,
            fetched integer NOT NULL DEFAULT 0,
            new integer NOT NULL DEFAULT 0,
            changed integer NOT NULL DEFAULT 0,
            failed integer NOT NULL DEFAULT 0,
            calls integer NOT NULL DEFAULT 0,
            started_at timestamptz NOT NULL,
            finished_at timestamptz
        )
    """)
    op.execute("""
        CREATE UNIQUE INDEX fetch_runs_running_index ON fetch_runs (query_id)
        WHERE state = 'running'
    """)
    op.execute("""
        CREATE INDEX fetch_runs_due_at_index ON fetch_runs (due_at) WHERE state = 'running'
    """)
    op.execute("CREATE INDEX fetch_runs_query_id_index ON fetch_runs (query_id, started_at)")
    op.execute("CREATE INDEX fetch_runs_started_at_index ON fetch_runs (started_at)")
    op.execute("""
        CREATE TABLE saved_searches (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
            user_id uuid NOT NULL,
            query_id uuid NOT NULL REFERENCES search_queries,
            name text NOT NULL,
            search jsonb NOT NULL,
            interval_seconds integer NOT NULL,
            paused boolean NOT NULL DEFAULT false,
            working_hours jsonb,
            time_zone text NOT NULL,
            next_run_at timestamptz,
            run_id uuid REFERENCES fetch_runs ON DELETE SET NULL,
            told_match bigint NOT NULL DEFAULT 0,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            UNIQUE (account_id, query_id)
        )
    """)
    op.execute("CREATE INDEX saved_searches_query_id_index ON saved_searches (query_id)")
    op.execute("CREATE INDEX saved_searches_run_id_index ON saved_searches (run_id)")
    op.execute("""
        CREATE TABLE search_matches (
            query_id uuid NOT NULL REFERENCES search_queries ON DELETE CASCADE,
            vacancy_id text NOT NULL,
            number bigint NOT NULL,
            first_seen_at timestamptz NOT NULL,
            seen_at timestamptz NOT NULL,
            PRIMARY KEY (query_id, vacancy_id),
            UNIQUE (query_id, number)
        )
    """)
    op.execute("CREATE INDEX search_matches_vacancy_id_index ON search_matches (vacancy_id)")
    op.execute("""
        CREATE TABLE account_vacancies (
            account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
            vacancy_id text NOT NULL,
            original_id text NOT NULL,
            saved_search_id uuid,
            seq bigint,
            at timestamptz NOT NULL,
            PRIMARY KEY (account_id, vacancy_id)
        )
    """)
    op.execute("""
        CREATE INDEX account_vacancies_original_id_index
        ON account_vacancies (account_id, original_id)
    """)
    op.execute("CREATE INDEX account_vacancies_at_index ON account_vacancies (at)")
    op.execute("""
        ALTER TABLE jobs
            ADD COLUMN repost_of text,
            ADD COLUMN repost_key bytea,
            ADD COLUMN closed_at timestamptz,
            ADD COLUMN looked_at timestamptz
    """)
    op.execute("""
        CREATE INDEX jobs_repost_key_index ON jobs (repost_key, published_at)
        WHERE repost_key IS NOT NULL
    """)
    op.execute("""
        CREATE INDEX jobs_unread_index ON jobs (published_at DESC)
        WHERE detail IS NULL AND closed_at IS NULL
    """)
    op.execute("""
        CREATE TABLE public_feed (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            vacancy_id text NOT NULL UNIQUE,
            state text NOT NULL DEFAULT 'waiting'
                CHECK (state IN ('waiting', 'posted', 'dead', 'off')),
            attempts integer NOT NULL DEFAULT 0,
            reason text,
            due_at timestamptz NOT NULL,
            at timestamptz NOT NULL,
            ended_at timestamptz
        )
    """)
    op.execute("""
        CREATE INDEX public_feed_waiting_index ON public_feed (number) WHERE state = 'waiting'
    """)
    op.execute("""
        CREATE INDEX public_feed_ended_at_index ON public_feed (ended_at)
        WHERE ended_at IS NOT NULL
    """)
    op.execute("ALTER TABLE accounts ADD COLUMN broadcast_seq bigint NOT NULL DEFAULT 0")
    op.execute("UPDATE accounts SET broadcast_seq = last_event_seq")
    op.execute("""
        CREATE INDEX accounts_unserved_index ON accounts (id)
        WHERE last_event_seq > broadcast_seq
    """)


def downgrade() -> None:
    ownership.refuse_to_lose("saved_searches", "people's saved searches")
    op.execute("ALTER TABLE accounts DROP COLUMN broadcast_seq")
    op.execute("""
        ALTER TABLE jobs
            DROP COLUMN repost_of,
            DROP COLUMN repost_key,
            DROP COLUMN closed_at,
            DROP COLUMN looked_at
    """)
    op.execute("""
        DROP TABLE public_feed, account_vacancies, search_matches, saved_searches, fetch_runs,
            search_queries
    """)
