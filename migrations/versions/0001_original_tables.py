"""The original application's tables, with names, types, defaults, keys and indexes as in Ecto.

The BFF reads and writes these tables, so nothing here may be renamed or retyped. Timestamps are
``timestamp(0)`` without a zone and mean UTC.

Where the original ran before, its tables are adopted: they keep their rows, missing tables, columns
and indexes are added, and a column of another type stops the migration. One newer version of the
original is known and allowed: tokens as ``bytea``, which 0002 converts to text.

The downgrade drops the tables that this migration created, never existing ones, and only empty ones
unless called with ``drop_data``.
"""

from __future__ import annotations

from alembic import op

from migrations import ownership

revision = "0001"
down_revision = None

# In the order of their foreign keys.
TABLES = {
    "users": """
        CREATE TABLE users (
            id uuid DEFAULT gen_random_uuid() CONSTRAINT users_pkey PRIMARY KEY,
            email varchar(255) NOT NULL,
            password_hash varchar(255) NOT NULL,
            inserted_at timestamp(0) NOT NULL,
            updated_at timestamp(0) NOT NULL
        )""",
    "jobs": """
        CREATE TABLE jobs (
            id uuid DEFAULT gen_random_uuid() CONSTRAINT jobs_pkey PRIMARY KEY,
            external_id varchar(255) NOT NULL,
            title varchar(255) NOT NULL,
            company varchar(255),
            salary varchar(255),
            area varchar(255),
            url text,
            description text,
            source varchar(255) DEFAULT 'hh.ru',
            search_query varchar(255),
            fetched_at timestamp(0),
            inserted_at timestamp(0) NOT NULL,
            updated_at timestamp(0) NOT NULL,
            hh_vacancy_id varchar(255),
            has_test boolean NOT NULL DEFAULT false,
            test_required boolean NOT NULL DEFAULT false,
            employer_id varchar(255),
            skills varchar(255)[] DEFAULT ARRAY[]::varchar[]
        )""",
    "applications": """
        CREATE TABLE applications (
            id uuid DEFAULT gen_random_uuid() CONSTRAINT applications_pkey PRIMARY KEY,
            user_id uuid NOT NULL
                CONSTRAINT applications_user_id_fkey REFERENCES users ON DELETE CASCADE,
            job_id uuid CONSTRAINT applications_job_id_fkey REFERENCES jobs ON DELETE CASCADE,
            job_external_id varchar(255) NOT NULL,
            cover_letter text,
            status varchar(255) DEFAULT 'pending',
            submitted_at timestamp(0),
            response_data jsonb,
            error_message text,
            hh_resume_id varchar(255),
            inserted_at timestamp(0) NOT NULL,
            updated_at timestamp(0) NOT NULL,
            hh_negotiation_id varchar(255),
            hh_status varchar(255),
            rate_limited_until timestamp(0)
        )""",
    "parsed_cvs": """
        CREATE TABLE parsed_cvs (
            id uuid DEFAULT gen_random_uuid() CONSTRAINT parsed_cvs_pkey PRIMARY KEY,
            user_id uuid CONSTRAINT parsed_cvs_user_id_fkey REFERENCES users ON DELETE SET NULL,
            first_name varchar(100),
            last_name varchar(100),
            email varchar(255),
            phone varchar(50),
            title varchar(255),
            summary text,
            experience text,
            education text,
            skills varchar(255)[] DEFAULT ARRAY[]::varchar[],
            projects text,
            full_text text,
            original_filename varchar(255),
            file_path text,
            model_used varchar(100),
            created_at timestamp(0) NOT NULL,
            updated_at timestamp(0) NOT NULL
        )""",
    "cvs": """
        CREATE TABLE cvs (
            id uuid DEFAULT gen_random_uuid() CONSTRAINT cvs_pkey PRIMARY KEY,
            user_id uuid NOT NULL CONSTRAINT cvs_user_id_fkey REFERENCES users ON DELETE CASCADE,
            name varchar(255) NOT NULL,
            file_path text NOT NULL,
            original_filename varchar(255),
            content_type varchar(255),
            parsed_data jsonb,
            is_active boolean DEFAULT true,
            created_at timestamp(0) NOT NULL,
            updated_at timestamp(0) NOT NULL
        )""",
    "custom_cvs": """
        CREATE TABLE custom_cvs (
            id uuid DEFAULT gen_random_uuid() CONSTRAINT custom_cvs_pkey PRIMARY KEY,
            cv_id uuid NOT NULL CONSTRAINT custom_cvs_cv_id_fkey REFERENCES cvs ON DELETE CASCADE,
            job_id uuid CONSTRAINT custom_cvs_job_id_fkey REFERENCES jobs ON DELETE SET NULL,
            job_title varchar(255),
            customized_data jsonb,
            cover_letter text,
            ai_suggestions jsonb,
            created_at timestamp(0) NOT NULL,
            updated_at timestamp(0) NOT NULL
        )""",
    "application_queue": """
        CREATE TABLE application_queue (
            id uuid DEFAULT gen_random_uuid() CONSTRAINT application_queue_pkey PRIMARY KEY,
            workflow_id uuid NOT NULL,
            user_id uuid NOT NULL
                CONSTRAINT application_queue_user_id_fkey REFERENCES users ON DELETE CASCADE,
            cv_id uuid NOT NULL
                CONSTRAINT application_queue_cv_id_fkey REFERENCES cvs ON DELETE CASCADE,
            job_id uuid CONSTRAINT application_queue_job_id_fkey REFERENCES jobs ON DELETE SET NULL,
            job_external_id varchar(255) NOT NULL,
            status varchar(255) DEFAULT 'pending',
            payload jsonb,
            attempts integer DEFAULT 0,
            next_run_at timestamp(0) DEFAULT now(),
            priority integer DEFAULT 0,
            last_error text,
            created_at timestamp(0) NOT NULL,
            updated_at timestamp(0) NOT NULL
        )""",
    # user_id: neither unique nor a foreign key in the original; no default for id either.
    "hh_tokens": """
        CREATE TABLE hh_tokens (
            id uuid CONSTRAINT hh_tokens_pkey PRIMARY KEY,
            user_id uuid,
            access_token text NOT NULL,
            refresh_token text NOT NULL,
            expires_at timestamp(0) NOT NULL,
            inserted_at timestamp(0) NOT NULL,
            updated_at timestamp(0) NOT NULL
        )""",
}

# Ecto's names: <table>_<column>_index.
UNIQUE_INDEXES = [("users", "email"), ("jobs", "external_id"), ("jobs", "hh_vacancy_id")]
INDEXES = [
    ("jobs", "source"),
    ("jobs", "fetched_at"),
    ("applications", "user_id"),
    ("applications", "job_id"),
    ("applications", "status"),
    ("applications", "submitted_at"),
    ("parsed_cvs", "user_id"),
    ("cvs", "user_id"),
    ("custom_cvs", "cv_id"),
    ("custom_cvs", "job_id"),
    ("application_queue", "workflow_id"),
    ("application_queue", "user_id"),
    ("application_queue", "cv_id"),
    ("application_queue", "job_id"),
    ("application_queue", "status"),
    ("application_queue", "next_run_at"),
    ("application_queue", "priority"),
    ("hh_tokens", "user_id"),
]

NEWER_TOKENS = [
    ("hh_tokens", "access_token", "bytea"),
    ("hh_tokens", "refresh_token", "bytea"),
]


def upgrade() -> None:
    adopted = ownership.adopt(TABLES, old_types=NEWER_TOKENS)
    for table, statement in TABLES.items():
        if table not in adopted:
            op.execute(statement)
            ownership.mark_table(table)
    for kind, indexes in (("UNIQUE INDEX", UNIQUE_INDEXES), ("INDEX", INDEXES)):
        for table, column in indexes:
            op.execute(f"CREATE {kind} IF NOT EXISTS {table}_{column}_index ON {table} ({column})")


def downgrade() -> None:
    made = [table for table in reversed(TABLES) if ownership.is_marked_table(table)]
    for table in made:
        ownership.refuse_to_lose(table, f"all of {table}")
    for table in made:
        op.execute(f"DROP TABLE {table}")
