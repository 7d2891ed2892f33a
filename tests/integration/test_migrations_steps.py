"""Upgrades and downgrades: with data in place, concurrently, and beside sessions with locks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from migrations.seed import DEMO_USER_ID, seed
from migrations.upgrade import (
    Migrated,
    MigrationBlocked,
    MigrationError,
    MigrationRefused,
    current,
    downgrade,
    upgrade,
)
from tests.fixtures.database import create_database, drop_database
from tests.fixtures.revisions import ALL, HEAD

REPOSITORY = Path(__file__).parents[2]
SCHEMA = """
    SELECT table_name, column_name, data_type, column_default, is_nullable
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL
    SELECT tablename, indexname, indexdef, NULL, NULL FROM pg_indexes WHERE schemaname = 'public'
    ORDER BY 1, 2
"""


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def fill(url: str) -> None:
    """Insert one row into each table that holds people's data."""
    seed(url)
    query(
        url,
        """
        INSERT INTO jobs (external_id, title, inserted_at, updated_at)
            VALUES ('1', 'Повар', now(), now());
        INSERT INTO applications (user_id, job_id, job_external_id, inserted_at, updated_at)
            SELECT users.id, jobs.id, '1', now(), now() FROM users, jobs;
        INSERT INTO hh_tokens
            (id, user_id, access_token, refresh_token, expires_at, inserted_at, updated_at)
            SELECT gen_random_uuid(), id, 'cipher', 'text', now(), now(), now() FROM users
        """,
    )


def test_upgrade_reports_revisions_and_is_idempotent(empty_database_url):
    assert current(empty_database_url) is None
    assert upgrade(empty_database_url) == Migrated(None, HEAD, ALL)
    assert upgrade(empty_database_url) == Migrated(HEAD, HEAD, ())
    assert current(empty_database_url) == HEAD


@pytest.fixture(scope="module")
def climbing_url(postgres_url):
    """The URL of a database without rows, which goes from one revision to the next."""
    yield create_database(postgres_url, "climbing")
    drop_database(postgres_url, "climbing")


@pytest.fixture
def at_revision(postgres_url, climbing_url):
    """Return a function that makes a database at a revision, and returns its URL."""

    def make(revision):
        is_below = (current(climbing_url) or "") < revision
        (upgrade if is_below else downgrade)(climbing_url, revision)
        return create_database(postgres_url, "at_revision", "climbing")

    yield make
    drop_database(postgres_url, "at_revision")


@pytest.mark.parametrize("revision", ALL)
def test_revision_goes_down_and_up_with_data_in_place(at_revision, revision):
    url = at_revision(revision)
    fill(url)
    schema = query(url, SCHEMA)
    below = ("base", *ALL)[ALL.index(revision)]
    drop = revision == "0001"  # its tables contain the rows
    assert downgrade(url, below, drop_data=drop).applied == (revision,)
    # 0018 mends databases on which an earlier text of 0008 was run, and leaves all others.
    assert (query(url, SCHEMA) == schema) is (revision == "0018")
    if not drop:
        assert query(url, "SELECT title FROM jobs") == [("Повар",)]
        assert query(url, "SELECT access_token FROM hh_tokens") == [("cipher",)]
    upgrade(url, revision)
    assert query(url, SCHEMA) == schema


def test_downgrade_to_base_leaves_only_version_table(database_url):
    assert downgrade(database_url, "base") == Migrated(HEAD, None, tuple(reversed(ALL)))
    tables = query(database_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert tables == [("alembic_version_core",)]
    assert current(database_url) is None


def test_downgrade_refuses_to_lose_rows(database_url):
    fill(database_url)
    with pytest.raises(
        MigrationRefused, match=r"would lose all of hh_tokens \(1 rows.*DROP_DATA=1"
    ):
        downgrade(database_url, "base")
    assert current(database_url) == HEAD
    downgrade(database_url, "base", drop_data=True)
    assert current(database_url) is None


@pytest.mark.parametrize(
    ("row", "lost"),
    [
        (
            "INSERT INTO application_queue (workflow_id, user_id, job_external_id) "
            "SELECT gen_random_uuid(), id, '1' FROM users",
            "queued applications",
        ),
        ("UPDATE applications SET custom_cv_id = id", "which CV was sent with an application"),
        (
            "WITH account AS (INSERT INTO accounts (hh_user_id, access_changed_at, created_at) "
            "VALUES ('1', now(), now()) RETURNING id) "
            "INSERT INTO account_tokens (account_id, access_token, refresh_token, refresh_hash, "
            "expires_at, inserted_at, updated_at) "
            "SELECT id, 'a', 'b', 'c', now(), now(), now() FROM account",
            "connections to hh.ru",
        ),
        (
            "INSERT INTO audit_log (at, actor, action, outcome) VALUES (now(), 'user', 'x', 'ok')",
            "the audit log",
        ),
        (
            "WITH account AS (INSERT INTO accounts (hh_user_id, access_changed_at, created_at) "
            "VALUES ('1', now(), now()) RETURNING id) "
            "INSERT INTO application_ledger (account_id, user_id, vacancy_id, state, created_at, "
            "updated_at) SELECT id, id, '1', 'queued', now(), now() FROM account",
            "applications",
        ),
        (
            "WITH account AS (INSERT INTO accounts (hh_user_id, access_changed_at, created_at) "
            "VALUES ('1', now(), now()) RETURNING id) "
            "INSERT INTO application_filters SELECT id, '{}', now() FROM account",
            "people's filters",
        ),
        (
            "WITH account AS (INSERT INTO accounts (hh_user_id, access_changed_at, created_at) "
            "VALUES ('1', now(), now()) RETURNING id) "
            "INSERT INTO fit_weights SELECT id, '{}', now() FROM account",
            "people's weights of the fit",
        ),
        (
            "WITH account AS (INSERT INTO accounts (hh_user_id, access_changed_at, created_at) "
            "VALUES ('1', now(), now()) RETURNING id) INSERT INTO letter_templates "
            "(account_id, name, text, created_at, updated_at) "
            "SELECT id, 'a', 'b', now(), now() FROM account",
            "people's letter templates",
        ),
        (
            "WITH account AS (INSERT INTO accounts (hh_user_id, access_changed_at, created_at) "
            "VALUES ('1', now(), now()) RETURNING id) INSERT INTO notification_channels "
            "(id, account_id, kind, address, address_digest, hint, language, state, since_seq, "
            "created_at, changed_at) "
            "SELECT id, id, 'email', 'a', 'b', 'c', 'ru', 'active', 0, now(), now() FROM account",
            "people's notification channels",
        ),
        (
            "WITH account AS (INSERT INTO accounts (hh_user_id, access_changed_at, created_at) "
            "VALUES ('1', now(), now()) RETURNING id) "
            "INSERT INTO campaigns SELECT id, id, id, 'running', 1, now(), now() FROM account",
            "people's campaigns",
        ),
        (
            "WITH account AS (INSERT INTO accounts (hh_user_id, access_changed_at, created_at) "
            "VALUES ('1', now(), now()) RETURNING id), query AS (INSERT INTO search_queries "
            "(hash, parameters, created_at) VALUES ('a', '{}', now()) RETURNING id), "
            "search AS (INSERT INTO saved_searches (account_id, user_id, query_id, name, search, "
            "interval_seconds, time_zone, created_at, updated_at) SELECT account.id, account.id, "
            "query.id, 'a', '{}', 1800, 'UTC', now(), now() FROM account, query "
            "RETURNING id, account_id) INSERT INTO autopilots (saved_search_id, account_id, mode, "
            "max_per_day, bucket_share, min_fit, created_at, updated_at) "
            "SELECT id, account_id, 'auto', 1, 1, 1, now(), now() FROM search",
            "people's autopilots",
        ),
        (
            "WITH account AS (INSERT INTO accounts (hh_user_id, access_changed_at, created_at) "
            "VALUES ('1', now(), now()) RETURNING id) INSERT INTO resume_raises (account_id, "
            "resume_id, schedule, created_at, updated_at) SELECT id, 'a', '{}', now(), now() "
            "FROM account",
            "schedules of people's resumes",
        ),
    ],
)
def test_downgrade_refuses_to_lose_rows_of_additions(database_url, row, lost):
    fill(database_url)
    query(database_url, row)
    with pytest.raises(MigrationRefused, match=lost):
        downgrade(database_url, "0001")
    assert downgrade(database_url, "0001", drop_data=True).revision_after == "0001"
    assert query(database_url, "SELECT count(*) FROM applications") == [(1,)]


def test_foreign_key_of_other_table_stops_downgrade(database_url):
    query(database_url, "CREATE TABLE sessions (user_id uuid REFERENCES users)")
    with pytest.raises(MigrationError, match="cannot drop table users because other objects"):
        downgrade(database_url, "base")
    assert current(database_url) == HEAD


def test_concurrent_migrators_apply_each_revision_once(empty_database_url):
    program = (
        "import json, sys; from migrations.upgrade import upgrade; sys.stdin.read(1); "
        "print(json.dumps(upgrade(sys.argv[1]).applied))"
    )
    migrators = [
        subprocess.Popen(
            [sys.executable, "-c", program, empty_database_url],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY / "layers" / "core")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for migrator in migrators:
        assert migrator.stdin is not None
        migrator.stdin.write("!")
        migrator.stdin.flush()
    applied = [json.loads(migrator.communicate(timeout=300)[0]) for migrator in migrators]
    assert sorted(applied) == [[], [], list(ALL)]
    assert query(empty_database_url, "SELECT version_num FROM alembic_version_core") == [(HEAD,)]


def test_locked_table_fails_upgrade_and_names_holder(database_url):
    downgrade(database_url, "0002")
    with psycopg.connect(database_url, application_name="another session") as holder:
        holder.execute("LOCK TABLE jobs IN ACCESS SHARE MODE")
        with pytest.raises(
            MigrationBlocked, match=r"locked.*for 0\.2 s.*another session, idle in tr"
        ):
            upgrade(database_url, lock_timeout_s=0.2)
    assert current(database_url) == "0002"
    assert upgrade(database_url, lock_timeout_s=0.2).applied == ALL[2:]


def test_failing_revision_undoes_earlier_revisions(empty_database_url):
    query(empty_database_url, "CREATE TABLE hh_dictionaries (name text)")
    with pytest.raises(MigrationError, match='"hh_dictionaries" already exists; nothing was chang'):
        upgrade(empty_database_url)
    assert current(empty_database_url) is None
    tables = query(empty_database_url, "SELECT tablename FROM pg_tables WHERE schemaname='public'")
    assert tables == [("hh_dictionaries",)]


def test_any_libpq_connection_string_is_accepted(empty_database_url):
    pairs = make_conninfo("", **conninfo_to_dict(empty_database_url))
    assert " host=" in f" {pairs}"
    assert upgrade(pairs, "0001").revision_after == "0001"
    assert current(empty_database_url + "?connect_timeout=3") == "0001"


def test_unknown_revision_is_named(empty_database_url):
    with pytest.raises(MigrationError, match="'4711'"):
        upgrade(empty_database_url, "4711")


def test_unreachable_database_error_has_no_password():
    with pytest.raises(MigrationError, match="cannot be reached") as caught:
        upgrade("postgresql://user:geheim@127.0.0.1:1/db")
    assert "geheim" not in str(caught.value)


def test_seeding_twice_leaves_one_demo_user(database_url):
    assert (seed(database_url), seed(database_url)) == (1, 0)
    assert query(database_url, "SELECT id::text FROM users") == [(DEMO_USER_ID,)]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_log SET outcome = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"],
)
def test_audit_log_is_append_only(database_url, statement):
    with pytest.raises(psycopg.errors.RaiseException, match="audit_log only grows"):
        query(database_url, statement)
