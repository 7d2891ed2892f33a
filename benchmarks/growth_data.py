"""Synthetic rows of any size: accounts, their applications and searches, and jobs.

For ``make bench-growth`` a database of one size is extended to the next. What waits for the present
minute is the same in every size (:data:`DUE` of each kind); everything else grows: what is
finished, and what waits for another time (five applications in a hundred wait for a login, one in
five for tokens). For ``make db-fill`` nothing waits before a month is over, since the accounts are
unknown to hh.ru. The server makes the rows itself, with the lengths of real ones: sending them
would take longer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    Connection = psycopg.Connection[Any]

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
APPLICATIONS = 200  # of each account
DUE = 20  # rows of each kind that are due now
LATER = timedelta(hours=1)  # when what is not due now begins to be
FIRST_VACANCY = 100_000_000

TABLES = {
    "accounts": """
        INSERT INTO accounts (id, hh_user_id, access_state, access_changed_at, created_at,
            last_event_seq, broadcast_seq, negotiations_due_at, negotiations_interval_s)
        SELECT md5('account' || a)::uuid, a::text,
            CASE WHEN a % 5 = 0 THEN 'reauth_required' ELSE 'ok' END, t - interval '90 days',
            t - interval '1 year', 200, CASE WHEN a <= due THEN 190 ELSE 200 END,
            CASE WHEN a <= due THEN t - interval '1 minute' ELSE t + later END, 3600
        FROM new_accounts
    """,
    "users": """
        INSERT INTO users (id, email, password_hash, inserted_at, updated_at, account_id)
        SELECT md5('user' || a)::uuid, md5('user' || a)::uuid || '@session.invalid', '!', u, u,
            md5('account' || a)::uuid FROM new_accounts
    """,
    "account_tokens": """
        INSERT INTO account_tokens (account_id, user_id, access_token, refresh_token, refresh_hash,
            previous_refresh_hash, expires_at, inserted_at, updated_at)
        SELECT md5('account' || a)::uuid, md5('user' || a)::uuid, repeat(md5(a::text), 12),
            repeat(md5(a::text), 12), sha256(('t' || a)::bytea), sha256(('p' || a)::bytea),
            u + interval '7 days', u, u FROM new_accounts
    """,
    "replaced_tokens": """
        INSERT INTO replaced_tokens
        SELECT sha256(('r' || a)::bytea), md5('account' || a)::uuid, repeat(md5(a::text), 12),
            repeat(md5(a::text), 12), t, t FROM new_accounts
    """,
    "hh_logins": """
        INSERT INTO hh_logins (code_hash, user_id, state, account_id, started_at, finished_at)
        SELECT sha256(('l' || a)::bytea), md5('user' || a)::uuid, 'done', md5('account' || a)::uuid,
            t, t FROM new_accounts
    """,
    "state_bound_sessions": """
        INSERT INTO state_bound_sessions SELECT md5('user' || a)::uuid, t FROM new_accounts
    """,
    "application_filters": """
        INSERT INTO application_filters SELECT md5('account' || a)::uuid, '{}', t FROM new_accounts
    """,
    "fit_weights": """
        INSERT INTO fit_weights SELECT md5('account' || a)::uuid, '{}', t FROM new_accounts
    """,
    "letter_templates": """
        INSERT INTO letter_templates (account_id, name, text, created_at, updated_at)
        SELECT md5('account' || a)::uuid, 'name ' || n, repeat('Здравствуйте! ', 40), t, t
        FROM new_accounts, generate_series(1, 3) AS n
    """,
    "notification_settings": """
        INSERT INTO notification_settings SELECT md5('account' || a)::uuid, '{}', t
        FROM new_accounts
    """,
    "notification_channels": """
        INSERT INTO notification_channels (id, account_id, kind, address, address_digest, hint,
            secret, language, state, since_seq, created_at, changed_at)
        SELECT md5('channel' || a)::uuid, md5('account' || a)::uuid, 'email',
            repeat(md5(a::text), 8), sha256(('d' || a)::bytea), 'a…@example.com', NULL, 'ru',
            'active', 0, t, t FROM new_accounts
    """,
    "notifications": """
        INSERT INTO notifications (account_id, channel_id, channel_kind, kind, state, content,
            first_seq, last_seq, due_at, attempts, attempted_at, ended_at, created_at)
        SELECT md5('account' || a)::uuid, md5('channel' || a)::uuid, 'email', 'invitation',
            CASE WHEN n = 1 THEN 'waiting' ELSE 'sent' END,
            jsonb_build_object('count', 1, 'facts', repeat(md5(a::text), 8)), n, n,
            CASE WHEN n = 1 AND a > due THEN t + later ELSE t - interval '1 minute' END,
            CASE WHEN n = 1 THEN 0 ELSE 1 END, t,
            CASE WHEN n > 1 THEN t - make_interval(days => CASE WHEN a <= due THEN 31 ELSE 1 END)
            END, t - make_interval(days => 1) FROM new_accounts, generate_series(1, 20) AS n
    """,
    "audit_log": """
        INSERT INTO audit_log (at, actor, user_id, account_id, action, outcome, request_id)
        SELECT t, 'core', md5('user' || a)::uuid, md5('account' || a)::uuid, 'apply', 'submitted',
            md5(a::text) FROM new_accounts, generate_series(1, 20)
    """,
    "cvs": """
        INSERT INTO cvs (id, user_id, name, file_path, created_at, updated_at)
        SELECT md5('cv' || a)::uuid, md5('user' || a)::uuid, 'CV', '/', u, u FROM new_accounts
    """,
    "jobs": """
        INSERT INTO jobs (id, external_id, hh_vacancy_id, title, company, salary, area, url,
            description, search_query, fetched_at, inserted_at, updated_at, employer_id, vacancy,
            vacancy_hash, detail, detail_hash, detail_fetched_at, published_at, archived, closed_at,
            repost_key)
        SELECT md5('job' || j)::uuid, (100000000 + j)::text, (100000000 + j)::text,
            'Python developer ' || j, 'Company ' || j % 1000, '100-200 RUR', 'Moscow',
            'https://hh.ru/vacancy/' || 100000000 + j, repeat(md5(j::text), 30), 'python',
            u - make_interval(mins => j % 200000), u - interval '30 days',
            u - make_interval(mins => j % 200000), j % 1000,
            jsonb_build_object('id', 100000000 + j, 'name', repeat(md5(j::text), 20)),
            sha256(('v' || j)::bytea),
            CASE WHEN j % 2 = 0 AND j % 200 <> 0 OR due = 0
                THEN jsonb_build_object('id', 100000000 + j, 'name', repeat(md5(j::text), 20)) END,
            NULL, NULL, t - make_interval(mins => j % 200000), j % 10 = 9,
            CASE WHEN j % 10 = 9 THEN t - make_interval(mins => j % 200000) END,
            sha256(('k' || j / 3)::bytea)
        FROM new_jobs
    """,
    "public_feed": """
        INSERT INTO public_feed (vacancy_id, state, due_at, at, ended_at)
        SELECT (100000000 + j)::text, CASE WHEN j <= due THEN 'waiting' ELSE 'posted' END, t, t,
            CASE WHEN j > 20 THEN t - CASE WHEN j <= 220 THEN interval '31 days'
                                      ELSE make_interval(mins => j % 40000) END END
        FROM new_jobs
    """,
    "applications": """
        INSERT INTO applications (id, user_id, job_id, job_external_id, cover_letter, status,
            projected_status, submitted_at, hh_resume_id, hh_negotiation_id, inserted_at,
            updated_at)
        SELECT md5('shown' || n)::uuid, md5('user' || a)::uuid, md5('job' || job)::uuid,
            (100000000 + job)::text, repeat(md5(n::text), 15),
            CASE WHEN n <= 5 AND due > 0 THEN 'pending' ELSE shown END, shown,
            CASE WHEN state = 'submitted' THEN u END, md5(a::text), n::text, u, u
        FROM new_applications
    """,
    "application_ledger": """
        INSERT INTO application_ledger (id, account_id, user_id, vacancy_id, application_id, state,
            reason, due_at, expires_at, letter, resume_id, link, negotiation_id, submitted_at,
            created_at, updated_at, workflow_id, queue_item_id, hh_state, hh_updated_at)
        SELECT md5('ledger' || n)::uuid, md5('account' || a)::uuid, md5('user' || a)::uuid,
            (100000000 + job)::text, md5('shown' || n)::uuid, state,
            CASE WHEN state = 'needs_person' THEN 'reauth_required' END,
            CASE state WHEN 'queued' THEN t - interval '1 minute'
                WHEN 'waiting_quota'
                THEN t + later - interval '1 hour' + make_interval(mins => k) END,
            t + later + interval '14 days', repeat(md5(n::text), 15), md5(a::text),
            'https://hh.ru/vacancy/' || job,
            CASE WHEN state = 'submitted' THEN n::text END,
            CASE WHEN state = 'submitted' THEN t - make_interval(hours => k) END,
            t - make_interval(hours => k), t - make_interval(hours => k),
            CASE WHEN state = 'waiting_quota' THEN md5('campaign' || a)::uuid END,
            CASE WHEN state = 'waiting_quota' THEN md5('item' || n)::uuid END, 'response',
            CASE WHEN state = 'submitted' THEN t - make_interval(hours => k) END
        FROM new_applications
    """,
    "application_keys": """
        INSERT INTO application_keys
        SELECT md5('account' || a)::uuid, md5(n::text)::uuid::text, sha256(n::text::bytea),
            md5('ledger' || n)::uuid, t - make_interval(hours => k) FROM new_applications
    """,
    "application_attempts": """
        INSERT INTO application_attempts (ledger_id, account_id, number, at)
        SELECT md5('ledger' || n)::uuid, md5('account' || a)::uuid, 1, t - make_interval(hours => k)
        FROM new_applications WHERE state = 'submitted'
    """,
    "application_outcomes": """
        INSERT INTO application_outcomes
        SELECT id, at, 'submitted', true FROM application_attempts AS a
        WHERE id > (SELECT coalesce(max(attempt_id), 0) FROM application_outcomes)
    """,
    "application_history": """
        INSERT INTO application_history (ledger_id, at, state)
        SELECT md5('ledger' || n)::uuid, t - make_interval(hours => k), state
        FROM new_applications, generate_series(1, 3)
    """,
    "application_messages": """
        INSERT INTO application_messages (id, ledger_id, account_id, negotiation_id, hh_message_id,
            author, state, hh_state, text, created_at, updated_at)
        SELECT md5('message' || n)::uuid, md5('ledger' || n)::uuid, md5('account' || a)::uuid,
            n::text, n::text, 'employer', 'received', 'text', repeat('Здравствуйте! ', 12), t, t
        FROM new_applications WHERE state = 'submitted'
    """,
    "application_reviews": """
        INSERT INTO application_reviews (ledger_id, content, vacancy_digest, updated_at)
        SELECT md5('ledger' || n)::uuid, jsonb_build_object(
                'vacancy', jsonb_build_object('job_id', (100000000 + job)::text,
                    'title', 'Python-разработчик', 'employer', 'ООО «Компания»',
                    'employer_id', '1', 'salary', '150 000 – 200 000 ₽', 'area', 'Москва',
                    'url', 'https://hh.ru/vacancy/' || job),
                'resume_title', 'Программист', 'findings', '[]'::jsonb),
            sha256(n::text::bytea), t
        FROM new_applications WHERE state = 'review' OR (state = 'submitted' AND k % 3 = 0)
    """,
    "events": """
        INSERT INTO events (account_id, seq, at, type, data)
        SELECT md5('account' || a)::uuid, k,
            t - CASE WHEN n <= 200 THEN interval '8 days' ELSE make_interval(mins => k) END,
            'application.updated', jsonb_build_object('id', md5(n::text), 'x', repeat('x', 250))
        FROM new_applications
    """,
    "campaigns": """
        INSERT INTO campaigns
        SELECT md5(kind || a)::uuid, md5('account' || a)::uuid, md5('user' || a)::uuid,
            CASE kind WHEN 'campaign' THEN 'running' ELSE 'cancelled' END, 40, t,
            t - interval '30 days'
        FROM new_accounts, unnest(ARRAY['campaign', 'cancelled']) AS kind
    """,
    "application_queue": """
        INSERT INTO application_queue (id, workflow_id, user_id, cv_id, job_id, job_external_id,
            status, core_state, payload, attempts, next_run_at, created_at, updated_at)
        SELECT md5('item' || n)::uuid,
            md5(CASE WHEN state = 'submitted' THEN 'cancelled' ELSE 'campaign' END || a)::uuid,
            md5('user' || a)::uuid, md5('cv' || a)::uuid, md5('job' || job)::uuid,
            (100000000 + job)::text,
            CASE WHEN n <= 71 AND due > 0 THEN 'pending' WHEN state = 'submitted' THEN 'failed'
                ELSE 'rate_limited' END,
            CASE WHEN n <= 71 AND due > 0 THEN NULL WHEN state = 'submitted' THEN 'cancelled'
                ELSE state END,
            '{}', 0, u, u, u
        FROM new_applications WHERE state = 'waiting_quota' OR k BETWEEN 52 AND 71
    """,
    "search_queries": """
        INSERT INTO search_queries (id, hash, parameters, due_at, last_match, complete_from,
            full_from, read_whole_from, created_at)
        SELECT md5('query' || a)::uuid, sha256(('q' || a)::bytea),
            jsonb_build_object('text', 'python ' || a),
            CASE WHEN a <= due THEN t - interval '1 minute' ELSE t + later END, 200,
            t - interval '1 hour', t - interval '5 hours', t - interval '5 hours', t
        FROM new_accounts
    """,
    "wide_query": """
        INSERT INTO search_queries (id, hash, parameters, due_at, last_match, complete_from,
            full_from, read_whole_from, created_at)
        SELECT md5('wide')::uuid, sha256('wide'), '{}', t + later, 0,
            t - interval '1 hour', t - interval '5 hours', t - interval '5 hours', t
        FROM moment ON CONFLICT DO NOTHING
    """,
    "search_matches": """
        INSERT INTO search_matches
        SELECT md5('query' || a)::uuid, (100000000 + job)::text, k, t - interval '10 days',
            t - make_interval(hours => CASE WHEN k % 10 = 0 THEN 200 ELSE 1 END)
        FROM new_applications ON CONFLICT DO NOTHING
    """,
    "wide_matches": """
        INSERT INTO search_matches
        SELECT md5('wide')::uuid, (100000000 + j)::text, j / 10, t - interval '10 days',
            t - make_interval(hours => CASE WHEN j % 100 = 0 THEN 200 ELSE 1 END)
        FROM new_jobs WHERE j % 10 = 0
    """,
    "wide_last_match": """
        UPDATE search_queries SET last_match = (
            SELECT max(number) FROM search_matches WHERE query_id = md5('wide')::uuid)
        WHERE id = md5('wide')::uuid
    """,
    "account_vacancies": """
        INSERT INTO account_vacancies
        SELECT md5('account' || a)::uuid, (100000000 + job + 1)::text, (100000000 + job + 1)::text,
            md5('search' || a)::uuid, k, t - make_interval(hours => k)
        FROM new_applications ON CONFLICT DO NOTHING
    """,
    "fetch_runs": """
        INSERT INTO fetch_runs (id, query_id, state, trigger, is_full, plan, found, fetched, new,
            changed, failed, due_at, started_at, finished_at)
        SELECT md5('run' || a || ' ' || r)::uuid, md5('query' || a)::uuid,
            CASE WHEN r = 1 AND a <= due THEN 'running' ELSE 'completed' END, 'schedule', false,
            jsonb_build_object('started_at', t), 200, 200, 2, 1, 0,
            CASE WHEN r = 1 AND a <= due THEN t - interval '1 minute' END,
            t - CASE WHEN r > 48 AND a <= 100 THEN interval '91 days'
                ELSE make_interval(hours => r) END,
            CASE WHEN r = 1 AND a <= due THEN NULL ELSE t - make_interval(hours => r) END
        FROM new_accounts, generate_series(1, 50) AS r
    """,
    "saved_searches": """
        INSERT INTO saved_searches (id, account_id, user_id, query_id, name, search,
            interval_seconds, time_zone, next_run_at, run_id, told_match, created_at, updated_at)
        SELECT md5('search' || a)::uuid, md5('account' || a)::uuid, md5('user' || a)::uuid,
            md5('query' || a)::uuid, 'Python', '{}', 1800, 'Europe/Moscow',
            CASE WHEN a <= due THEN t - interval '1 minute' ELSE t + later END,
            CASE WHEN a <= due THEN md5('run' || a || ' 2')::uuid END, 190, t, t FROM new_accounts
    """,
    "autopilots": """
        WITH made AS (
            INSERT INTO autopilots (saved_search_id, account_id, mode, max_per_day, bucket_share,
                min_fit, created_at, updated_at)
            SELECT md5('search' || a)::uuid, md5('account' || a)::uuid, 'auto', 20, 50, 50, t, t
            FROM new_accounts
        )
        UPDATE campaigns SET saved_search_id = md5('search' || a)::uuid
        FROM new_accounts WHERE workflow_id = md5('campaign' || a)::uuid
    """,
    "resume_raises": """
        INSERT INTO resume_raises (account_id, resume_id, schedule, due_at, raised_at, raised_by,
            hh_updated_at, next_raise_at, outcome, created_at, updated_at)
        SELECT md5('account' || a)::uuid, md5('resume' || a) || left(md5('resume' || a), 6),
            '{"mode": "every_four_hours"}',
            CASE WHEN a <= due THEN t - interval '1 minute' ELSE t + later END,
            t - interval '4 hours', 'schedule', t - interval '4 hours', t, 'raised', t, t
        FROM new_accounts
    """,
    "search_answers": """
        INSERT INTO search_answers (hash, answer, answered_at)
        SELECT sha256(('a' || g)::bytea), jsonb_build_object('x', repeat('x', 5000)),
            t - make_interval(secs => g) FROM moment, generate_series(1, 500) AS g
        ON CONFLICT DO NOTHING
    """,
}  # fmt: skip
# Views of what a step adds: t is the present, u the same without a zone; "due" rows of each kind
# are due then, the others are it "later".
VIEWS = """
    CREATE OR REPLACE TEMPORARY VIEW moment AS
        SELECT timestamptz '{now}' AS t, timestamptz '{now}' AT TIME ZONE 'UTC' AS u, {due} AS due,
            interval '{later_s} seconds' AS later;
    CREATE OR REPLACE TEMPORARY VIEW new_accounts AS
        SELECT a, moment.* FROM moment, generate_series({accounts_before} + 1, {accounts}) AS a;
    CREATE OR REPLACE TEMPORARY VIEW new_jobs AS
        SELECT j, moment.* FROM moment, generate_series({jobs_before} + 1, {jobs}) AS j;
    CREATE OR REPLACE TEMPORARY VIEW new_applications AS
        SELECT application.*,
            CASE state WHEN 'submitted' THEN 'submitted' WHEN 'queued' THEN 'processing'
                WHEN 'waiting_quota' THEN 'rate_limited' ELSE 'needs_person' END AS shown
        FROM (
            SELECT new_accounts.*, k, (a - 1) * 200 + k AS n,
                (a * 7919 + k * 31) % {jobs} + 1 AS job,
                CASE WHEN k = 51 AND a <= due THEN 'queued'
                    WHEN k > 100 AND k <= 150 AND a % 5 = 0 THEN 'needs_person'
                    WHEN k BETWEEN 11 AND 50 THEN 'waiting_quota'
                    WHEN k BETWEEN 6 AND 10 THEN 'review' ELSE 'submitted' END AS state
            FROM new_accounts, generate_series(1, 200) AS k
        ) AS application
"""


@dataclass(frozen=True)
class Size:
    """How many accounts and jobs a database has."""

    accounts: int
    jobs: int

    def __str__(self) -> str:
        return f"{self.accounts:,} accounts, {self.jobs:,} jobs"


def fill(
    connection: Connection,
    before: Size,
    size: Size,
    progress: Callable[[str], None],
    *,
    now: datetime = NOW,
    due: int = DUE,
    later: timedelta = LATER,
) -> None:
    """Extend the database from *before* to *size*: *due* rows of each kind are due at *now*, the
    others that wait *later*. *connection* is a superuser's: foreign keys are not checked, since all
    rows that they name are made here."""
    connection.execute("SET session_replication_role = replica")
    views = VIEWS.format(
        now=now.isoformat(),
        due=due,
        later_s=int(later.total_seconds()),
        accounts_before=before.accounts,
        accounts=size.accounts,
        jobs_before=before.jobs,
        jobs=size.jobs,
    )
    connection.execute(views)
    for table, statement in TABLES.items():
        progress(table)
        connection.execute(statement)
    connection.execute("SET session_replication_role = DEFAULT")
    progress("VACUUM ANALYZE")
    connection.execute("VACUUM ANALYZE")


def uuid_of(name: str) -> UUID:
    """Return the id that the server computes for *name* as ``md5(name)::uuid``."""
    return UUID(hashlib.md5(name.encode(), usedforsecurity=False).hexdigest())
