"""The migrated schema, column by column, against the contract with the BFF.

The expected values come from the contract (and hh.ru's part from the design), not from the
migrations.
"""

from __future__ import annotations

import psycopg
import pytest

ID = "uuid not null default gen_random_uuid()"
TEXT = "text"
NAME = "character varying(255)"
MOMENT = "timestamp(0) without time zone"
WORDS = "character varying(255)[] default ARRAY[]::character varying[]"

CONTRACT = {
    "users": {
        "id": ID,
        "email": f"{NAME} not null",
        "password_hash": f"{NAME} not null",
        "inserted_at": f"{MOMENT} not null",
        "updated_at": f"{MOMENT} not null",
        "account_id": "uuid",
        "tokens_valid_from": "timestamp with time zone",
    },
    "jobs": {
        "id": ID,
        "external_id": f"{NAME} not null",
        "title": f"{NAME} not null",
        "company": NAME,
        "salary": NAME,
        "area": NAME,
        "url": TEXT,
        "description": TEXT,
        "source": f"{NAME} default 'hh.ru'::character varying",
        "search_query": NAME,
        "fetched_at": MOMENT,
        "inserted_at": f"{MOMENT} not null",
        "updated_at": f"{MOMENT} not null",
        "hh_vacancy_id": NAME,
        "has_test": "boolean not null default false",
        "test_required": "boolean not null default false",
        "employer_id": NAME,
        "skills": WORDS,
        "created_at": f"{MOMENT} default now()",
        "vacancy": "jsonb",
        "vacancy_hash": "bytea",
        "detail": "jsonb",
        "detail_hash": "bytea",
        "detail_fetched_at": "timestamp with time zone",
        "published_at": "timestamp with time zone",
        "archived": "boolean not null default false",
        "repost_of": "text",
        "repost_key": "bytea",
        "closed_at": "timestamp with time zone",
        "looked_at": "timestamp with time zone",
    },
    "applications": {
        "id": ID,
        "user_id": "uuid not null",
        "job_id": "uuid",
        "job_external_id": f"{NAME} not null",
        "cover_letter": TEXT,
        "status": f"{NAME} default 'pending'::character varying",
        "submitted_at": MOMENT,
        "response_data": "jsonb",
        "error_message": TEXT,
        "hh_resume_id": NAME,
        "inserted_at": f"{MOMENT} not null",
        "updated_at": f"{MOMENT} not null",
        "hh_negotiation_id": NAME,
        "hh_status": NAME,
        "rate_limited_until": MOMENT,
        "created_at": f"{MOMENT} default now()",
        "custom_cv_id": "uuid",
        "projected_status": NAME,
    },
    "parsed_cvs": {
        "id": ID,
        "user_id": "uuid",
        "first_name": "character varying(100)",
        "last_name": "character varying(100)",
        "email": NAME,
        "phone": "character varying(50)",
        "title": NAME,
        "summary": TEXT,
        "experience": TEXT,
        "education": TEXT,
        "skills": WORDS,
        "projects": TEXT,
        "full_text": TEXT,
        "original_filename": NAME,
        "file_path": TEXT,
        "model_used": "character varying(100)",
        "created_at": f"{MOMENT} not null",
        "updated_at": f"{MOMENT} not null",
    },
    "cvs": {
        "id": ID,
        "user_id": "uuid not null",
        "name": f"{NAME} not null",
        "file_path": "text not null",
        "original_filename": NAME,
        "content_type": NAME,
        "parsed_data": "jsonb",
        "is_active": "boolean default true",
        "created_at": f"{MOMENT} not null",
        "updated_at": f"{MOMENT} not null",
    },
    "custom_cvs": {
        "id": ID,
        "cv_id": "uuid not null",
        "job_id": "uuid",
        "job_title": NAME,
        "customized_data": "jsonb",
        "cover_letter": TEXT,
        "ai_suggestions": "jsonb",
        "created_at": f"{MOMENT} not null",
        "updated_at": f"{MOMENT} not null",
    },
    "application_queue": {
        "id": ID,
        "workflow_id": "uuid not null",
        "user_id": "uuid not null",
        "cv_id": "uuid",
        "job_id": "uuid",
        "job_external_id": f"{NAME} not null",
        "status": f"{NAME} default 'pending'::character varying",
        "payload": "jsonb",
        "attempts": "integer default 0",
        "next_run_at": f"{MOMENT} default now()",
        "priority": "integer default 0",
        "last_error": TEXT,
        "created_at": f"{MOMENT} not null default now()",
        "updated_at": f"{MOMENT} not null default now()",
        "core_state": TEXT,
    },
    "hh_tokens": {
        "id": "uuid not null",
        "user_id": "uuid",
        "access_token": "text not null",
        "refresh_token": "text not null",
        "expires_at": f"{MOMENT} not null",
        "inserted_at": f"{MOMENT} not null",
        "updated_at": f"{MOMENT} not null",
        "account_id": "uuid",
        "refresh_hash": "bytea",
        "previous_refresh_hash": "bytea",
        "refreshed_at": "timestamp with time zone",
    },
    "account_tokens": {
        "account_id": "uuid not null",
        "user_id": "uuid",
        "access_token": "text not null",
        "refresh_token": "text not null",
        "refresh_hash": "bytea not null",
        "previous_refresh_hash": "bytea",
        "refreshed_at": "timestamp with time zone",
        "expires_at": f"{MOMENT} not null",
        "inserted_at": f"{MOMENT} not null",
        "updated_at": f"{MOMENT} not null",
    },
    "hh_dictionaries": {
        "name": "text not null",
        "etag": TEXT,
        "entries": "jsonb not null",
        "fetched_at": "timestamp with time zone not null",
        "expires_at": "timestamp with time zone not null",
    },
    "hh_app_tokens": {
        "client_id": "text not null",
        "access_token": TEXT,
        "requested_at": "timestamp with time zone",
        "obtained_at": "timestamp with time zone",
    },
    "accounts": {
        "id": "uuid not null default gen_random_uuid()",
        "hh_user_id": "text not null",
        "access_state": "text not null default 'reauth_required'::text",
        "access_reason": "text",
        "access_until": "timestamp with time zone",
        "access_changed_at": "timestamp with time zone not null",
        "captcha_url": "text",
        "access_tries": "smallint not null default 0",
        "created_at": "timestamp with time zone not null",
        "last_event_seq": "bigint not null default 0",
        "negotiations_due_at": "timestamp with time zone",
        "negotiations_interval_s": "integer",
        "broadcast_seq": "bigint not null default 0",
        "planned_seq": "bigint",
        "hh_counters": "jsonb",
        "hh_counters_at": "timestamp with time zone",
        "deletion_requested_at": "timestamp with time zone",
        "deletion_due_at": "timestamp with time zone",
        "autopilot_paused_at": "timestamp with time zone",
    },
    "search_answers": {
        "hash": "bytea not null",
        "answer": "jsonb",
        "answered_at": "timestamp with time zone",
        "asked_by": "uuid",
        "asked_until": "timestamp with time zone",
    },
    "hh_logins": {
        "code_hash": "bytea not null",
        "user_id": "uuid",
        "state": "text not null",
        "pair": "text",
        "account_id": "uuid",
        "refusal": "text",
        "started_at": "timestamp with time zone not null",
        "finished_at": "timestamp with time zone",
    },
    "audit_log": {
        "id": "bigint not null",
        "at": "timestamp with time zone not null",
        "actor": "text not null",
        "user_id": "uuid",
        "account_id": "uuid",
        "action": "text not null",
        "outcome": "text not null",
        "request_id": "text",
    },
    "alembic_version_core": {"version_num": "character varying(32) not null"},
}

KEYS = {
    **{f"{table}_pkey": "PRIMARY KEY (id)" for table in list(CONTRACT)[:8]},
    "hh_dictionaries_pkey": "PRIMARY KEY (name)",
    "accounts_pkey": "PRIMARY KEY (id)",
    "accounts_hh_user_id_key": "UNIQUE (hh_user_id)",
    "accounts_access_state_check": (
        "CHECK ((access_state = ANY (ARRAY['ok'::text, 'reauth_required'::text, 'captcha'::text, "
        "'limited_until'::text, 'closed'::text])))"
    ),
    "users_account_id_fkey": "FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE SET NULL",
    "hh_tokens_account_id_fkey": (
        "FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE"
    ),
    "account_tokens_pkey": "PRIMARY KEY (account_id)",
    "search_answers_pkey": "PRIMARY KEY (hash)",
    "account_tokens_refresh_hash_key": "UNIQUE (refresh_hash)",
    "account_tokens_account_id_fkey": (
        "FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE"
    ),
    "hh_logins_pkey": "PRIMARY KEY (code_hash)",
    "hh_logins_state_check": (
        "CHECK ((state = ANY (ARRAY['sent'::text, 'exchanged'::text, 'done'::text, "
        "'refused'::text])))"
    ),
    "audit_log_pkey": "PRIMARY KEY (id)",
    "hh_app_tokens_pkey": "PRIMARY KEY (client_id)",
    "alembic_version_core_pkc": "PRIMARY KEY (version_num)",
    "applications_user_id_fkey": "FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE",
    "applications_job_id_fkey": "FOREIGN KEY (job_id) REFERENCES jobs(id) ON DELETE CASCADE",
    "parsed_cvs_user_id_fkey": "FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE SET NULL",
    "cvs_user_id_fkey": "FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE",
    "custom_cvs_cv_id_fkey": "FOREIGN KEY (cv_id) REFERENCES cvs(id) ON DELETE CASCADE",
    "custom_cvs_job_id_fkey": "FOREIGN KEY (job_id) REFERENCES jobs(id) ON DELETE SET NULL",
    "application_queue_user_id_fkey": (
        "FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE"
    ),
    "application_queue_cv_id_fkey": "FOREIGN KEY (cv_id) REFERENCES cvs(id) ON DELETE CASCADE",
    "application_queue_job_id_fkey": "FOREIGN KEY (job_id) REFERENCES jobs(id) ON DELETE SET NULL",
}

INDEXES = {
    "accounts_unserved_index": "accounts(id)",
    "accounts_unplanned_index": "accounts(id)",
    "accounts_access_changed_at_index": "accounts(access_changed_at)",
    "accounts_deletion_due_at_index": "accounts(deletion_due_at)",
    "accounts_negotiations_due_at_index": "accounts(negotiations_due_at)",
    "users_account_id_index": "users(account_id)",
    "accounts_hh_user_id_key": "UNIQUE accounts(hh_user_id)",
    "hh_tokens_account_id_index": "UNIQUE hh_tokens(account_id)",
    "hh_tokens_refresh_hash_index": "UNIQUE hh_tokens(refresh_hash)",
    "hh_tokens_previous_refresh_hash_index": "hh_tokens(previous_refresh_hash)",
    "account_tokens_refresh_hash_key": "UNIQUE account_tokens(refresh_hash)",
    "account_tokens_previous_refresh_hash_index": "account_tokens(previous_refresh_hash)",
    "hh_logins_account_id_index": "hh_logins(account_id)",
    "hh_logins_user_id_index": "hh_logins(user_id)",
    "hh_logins_started_at_index": "hh_logins(started_at)",
    "audit_log_account_id_index": "audit_log(account_id, id)",
    "audit_log_user_id_index": "audit_log(user_id)",
    "users_email_index": "UNIQUE users(email)",
    "jobs_external_id_index": "UNIQUE jobs(external_id)",
    "jobs_hh_vacancy_id_index": "UNIQUE jobs(hh_vacancy_id)",
    "jobs_source_index": "jobs(source)",
    "jobs_fetched_at_index": "jobs(fetched_at)",
    "jobs_published_at_index": "jobs(published_at)",
    "jobs_employer_id_index": "jobs(employer_id)",
    "jobs_repost_key_index": "jobs(repost_key, published_at)",
    "jobs_repost_of_index": "jobs(repost_of)",
    "jobs_unread_index": "jobs(published_at)",
    "applications_user_id_index": "applications(user_id)",
    "applications_job_id_index": "applications(job_id)",
    "applications_status_index": "applications(status)",
    "applications_submitted_at_index": "applications(submitted_at)",
    "applications_overwritten_index": "applications(updated_at, id)",
    "parsed_cvs_user_id_index": "parsed_cvs(user_id)",
    "cvs_user_id_index": "cvs(user_id)",
    "custom_cvs_cv_id_index": "custom_cvs(cv_id)",
    "custom_cvs_job_id_index": "custom_cvs(job_id)",
    "application_queue_workflow_id_index": "application_queue(workflow_id)",
    "application_queue_user_id_index": "application_queue(user_id)",
    "application_queue_cv_id_index": "application_queue(cv_id)",
    "application_queue_job_id_index": "application_queue(job_id)",
    "application_queue_status_index": "application_queue(status)",
    "application_queue_not_taken_up_index": "application_queue(workflow_id)",
    "application_queue_next_run_at_index": "application_queue(next_run_at)",
    "application_queue_priority_index": "application_queue(priority)",
    "application_queue_items_index": (
        "application_queue(workflow_id, COALESCE(priority, 0), created_at, id)"
    ),
    "hh_tokens_user_id_index": "hh_tokens(user_id)",
}


@pytest.fixture
def catalog(database_url):
    with psycopg.connect(database_url) as connection:
        yield connection


def test_columns_match_the_contract(catalog):
    found: dict[str, dict[str, str]] = {}
    for table, column, kind, not_null, default in catalog.execute("""
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               pg_get_expr(d.adbin, d.adrelid)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
              AND a.attnum > 0 AND NOT a.attisdropped
    """):
        definition = [
            kind,
            *(["not null"] * not_null),
            *([f"default {default}"] if default else []),
        ]
        found.setdefault(table, {})[column] = " ".join(definition)
    assert {table: found[table] for table in CONTRACT} == CONTRACT


def test_keys_have_the_names_of_ecto(catalog):
    found = catalog.execute(
        """
        SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
              AND conrelid = ANY(%s::regclass[])
    """,
        [list(CONTRACT)],
    ).fetchall()
    assert dict(found) == KEYS


def test_indexes_have_the_names_of_ecto(catalog):
    found = catalog.execute(
        """
        SELECT i.relname, CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END || t.relname
               || '(' || string_agg(pg_get_indexdef(i.oid, n, true), ', ' ORDER BY n) || ')'
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = indrelid,
             generate_series(1, x.indnkeyatts) n
        WHERE t.relnamespace = 'public'::regnamespace AND NOT x.indisprimary
              AND t.oid = ANY(%s::regclass[])
        GROUP BY i.relname, x.indisunique, t.relname
    """,
        [list(CONTRACT)],
    ).fetchall()
    assert dict(found) == INDEXES


def test_every_foreign_key_has_an_index(catalog):
    """Without one, the delete of a row reads whole the table that refers to it."""
    without = catalog.execute("""
        SELECT conname FROM pg_constraint AS c
        WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND NOT EXISTS (
            SELECT FROM pg_index AS i
            WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1]
                AND coalesce(pg_get_expr(i.indpred, i.indrelid, true), '')
                    IN ('', pg_get_indexdef(i.indexrelid, 1, true) || ' IS NOT NULL')
        )
    """).fetchall()
    assert without == []


def test_version_tables_of_ecto_and_alembic_are_not_created(catalog):
    tables = {name for (name,) in catalog.execute("SELECT tablename FROM pg_tables")}
    assert tables.isdisjoint({"schema_migrations", "alembic_version", "sessions"})
