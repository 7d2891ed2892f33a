"""All queries of the BFF's newest version, on the migrated schema."""

from __future__ import annotations

import uuid

import psycopg
import pytest

SESSION = uuid.uuid4()  # the BFF uses its session id as the user's id

# The BFF's own migration 0002, run by hand on the shared database.
BFF_0002 = """
    CREATE TABLE IF NOT EXISTS "sessions" (
      "id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
      "session_id" varchar(255) NOT NULL UNIQUE,
      "user_id" uuid,
      "token" text NOT NULL,
      "expires_at" timestamp NOT NULL,
      "revoked_at" timestamp,
      "last_activity_at" timestamp DEFAULT now(),
      "ip_address" varchar(45),
      "user_agent" text,
      "created_at" timestamp DEFAULT now() NOT NULL,
      "updated_at" timestamp DEFAULT now() NOT NULL,
      CONSTRAINT "sessions_user_id_fkey" FOREIGN KEY ("user_id")
        REFERENCES "public"."users"("id") ON DELETE cascade
    )
"""


@pytest.fixture
def bff(database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO users (id, email, password_hash, inserted_at, updated_at) "
            "VALUES (%s, %s, '!', now(), now())",
            [SESSION, f"{SESSION}@session.invalid"],
        )
        yield connection


@pytest.fixture
def job(bff):
    (job_id,) = bff.execute(
        "INSERT INTO jobs (external_id, title, inserted_at, updated_at) "
        "VALUES ('93353083', 'Python-разработчик', now(), now()) RETURNING id"
    ).fetchone()
    return job_id


@pytest.fixture
def application(bff, job):
    (application_id,) = bff.execute(
        "INSERT INTO applications (user_id, job_id, job_external_id, status, error_message, "
        "submitted_at, inserted_at, updated_at) "
        "VALUES (%s, %s, '93353083', 'failed', 'timeout', now(), now(), now()) RETURNING id",
        [SESSION, job],
    ).fetchone()
    return application_id


def test_jobs_have_created_at(bff, job):
    row = bff.execute(
        "SELECT id, external_id, title, company, salary, area, url, description, source, "
        "search_query, fetched_at, hh_vacancy_id, has_test, test_required, employer_id, skills, "
        "created_at, updated_at FROM jobs"
    ).fetchone()
    assert (row[0], row[8], row[12], row[15]) == (job, "hh.ru", False, [])
    assert row[16] is not None


def test_job_with_core_columns_is_readable_by_bff(bff, job):
    bff.execute("UPDATE jobs SET vacancy = '{}', published_at = now(), archived = true")
    assert bff.execute("SELECT title FROM jobs").fetchone() == ("Python-разработчик",)


def test_applications_have_created_at_and_custom_cv(bff, application):
    row = bff.execute(
        "SELECT a.id, a.user_id, a.job_id, a.custom_cv_id, a.job_external_id, a.cover_letter, "
        "a.status, a.submitted_at, a.response_data, a.error_message, a.hh_resume_id, "
        "a.hh_negotiation_id, a.hh_status, a.rate_limited_until, a.created_at, a.updated_at "
        "FROM applications a LEFT JOIN jobs j ON j.id = a.job_id WHERE a.user_id = %s",
        [SESSION],
    ).fetchone()
    assert (row[0], row[3]) == (application, None)
    assert row[14] is not None


def test_retry_resets_application(bff, application):
    changed = bff.execute(
        "UPDATE applications SET status = 'pending', error_message = NULL, submitted_at = NULL "
        "WHERE id = %s",
        [application],
    )
    assert changed.rowcount == 1


def test_parsed_cv_of_session_is_stored_and_found(bff):
    (cv,) = bff.execute(
        "INSERT INTO parsed_cvs (id, user_id, first_name, last_name, email, phone, title, summary, "
        "experience, education, skills, projects, full_text, original_filename, file_path, "
        "model_used, created_at, updated_at) VALUES (DEFAULT, %s, 'Анна', 'Ким', 'a@example.org', "
        "'+79991234567', 'Разработчик', '', '', '', %s, '', '', 'cv.pdf', DEFAULT, 'm', "
        "now(), now()) RETURNING id",
        [SESSION, ["Python", "SQL"]],
    ).fetchone()
    by_id = bff.execute("SELECT skills FROM parsed_cvs WHERE id = %s", [cv]).fetchone()
    by_user = bff.execute("SELECT id FROM parsed_cvs WHERE user_id = %s", [SESSION]).fetchone()
    assert (by_id, by_user) == ((["Python", "SQL"],), (cv,))


def test_parsed_cv_outlives_its_user(bff):
    bff.execute(
        "INSERT INTO parsed_cvs (user_id, created_at, updated_at) VALUES (%s, now(), now())",
        [SESSION],
    )
    bff.execute("DELETE FROM users")
    assert bff.execute("SELECT user_id FROM parsed_cvs").fetchone() == (None,)


def test_queue_row_needs_neither_timestamps_nor_cv(bff, job):
    queued, created, updated = bff.execute(
        "INSERT INTO application_queue (id, workflow_id, user_id, cv_id, job_id, job_external_id, "
        "status, payload, attempts, next_run_at, priority, last_error, created_at, updated_at) "
        "VALUES (DEFAULT, %s, %s, NULL, %s, '93353083', 'pending', '{}', 0, DEFAULT, 0, DEFAULT, "
        "DEFAULT, DEFAULT) RETURNING id, created_at, updated_at",
        [uuid.uuid4(), SESSION, job],
    ).fetchone()
    assert created is not None
    assert updated is not None
    selected = bff.execute(
        "SELECT id FROM application_queue WHERE user_id = %s AND status = 'pending' "
        "ORDER BY created_at DESC",
        [SESSION],
    ).fetchall()
    assert selected == [(queued,)]
    assert bff.execute("DELETE FROM application_queue WHERE id = %s", [queued]).rowcount == 1


def test_custom_cvs_are_readable_by_bff(bff, job):
    (cv,) = bff.execute(
        "INSERT INTO cvs (user_id, name, file_path, created_at, updated_at) "
        "VALUES (%s, 'CV', '/cv.pdf', now(), now()) RETURNING id",
        [SESSION],
    ).fetchone()
    bff.execute(
        "INSERT INTO custom_cvs (cv_id, job_id, created_at, updated_at) "
        "VALUES (%s, %s, now(), now())",
        [cv, job],
    )
    selected = bff.execute(
        "SELECT id, cv_id, job_id, job_title, customized_data, cover_letter, ai_suggestions, "
        "created_at, updated_at FROM custom_cvs"
    ).fetchall()
    assert [row[1:3] for row in selected] == [(cv, job)]


def test_bff_sessions_table_can_be_added(bff):
    bff.execute(BFF_0002)
    session = [str(SESSION), "a.jwt.of-core"]
    insert = (
        "INSERT INTO sessions (id, session_id, user_id, token, expires_at) "
        "VALUES (DEFAULT, %s, NULL, %s, now() + interval '7 days') RETURNING id"
    )
    (row,) = bff.execute(insert, session).fetchone()
    touched = bff.execute(
        "UPDATE sessions SET last_activity_at = now() WHERE session_id = %s AND revoked_at IS NULL",
        session[:1],
    )
    assert touched.rowcount == 1
    assert bff.execute("SELECT id, token FROM sessions").fetchone() == (row, "a.jwt.of-core")
