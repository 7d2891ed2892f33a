"""Migrations on a database of the original: its tables are adopted, its rows stay."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrations.upgrade import MigrationRefused, current, downgrade, upgrade
from tests.fixtures.revisions import ALL

ORIGINAL = (Path(__file__).parents[1] / "fixtures" / "original_schema.sql").read_text()
SCHEMA = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           pg_get_expr(d.adbin, d.adrelid)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'i')
          AND a.attnum > 0 AND NOT a.attisdropped AND c.relname !~ '^alembic'
"""


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture
def original_url(empty_database_url):
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(ORIGINAL)
    return empty_database_url


def test_adopted_rows_stay_and_get_created_at(original_url):
    assert upgrade(original_url).applied == ALL
    jobs = rows(original_url, "SELECT external_id, title, created_at = inserted_at FROM jobs")
    assert jobs == [("93353083", "Бухгалтер", True)]
    assert rows(original_url, "SELECT created_at::date::text FROM applications") == [
        ("2025-10-04",)
    ]


def test_adopted_tables_are_logged(original_url, caplog):
    with caplog.at_level(logging.WARNING, "migrations"):
        upgrade(original_url)
    assert "adopted existing tables: users, jobs, applications" in caplog.text


def test_adopted_schema_has_all_columns_and_indexes(original_url, database_url):
    upgrade(original_url)
    fresh, adopted = set(rows(database_url, SCHEMA)), set(rows(original_url, SCHEMA))
    # the newest original allows rows of hh_tokens without tokens
    nullable = {
        ("hh_tokens", "access_token", "text", True, None),
        ("hh_tokens", "refresh_token", "text", True, None),
    }
    assert fresh - adopted == nullable


def test_other_tables_and_columns_stay_unchanged(original_url):
    upgrade(original_url)
    assert rows(original_url, "SELECT count(*) FROM schema_migrations") == [(2,)]
    assert rows(original_url, "SELECT ai_enriched FROM jobs") == [(False,)]
    downgrade(original_url, "base")
    assert rows(original_url, "SELECT count(*) FROM company_research") == [(0,)]


def test_cloak_ciphertext_becomes_text_and_bytes_again(original_url):
    upgrade(original_url)
    (token,) = rows(original_url, "SELECT access_token FROM hh_tokens")
    assert token[0].startswith("cloak:Af8B/wH/")
    assert "\n" not in token[0]
    downgrade(original_url, "0001")
    assert rows(
        original_url, "SELECT encode(access_token, 'hex'), refresh_token FROM hh_tokens"
    ) == [("01ff" * 60, None)]


def test_downgrade_restores_original_schema_and_rows(original_url):
    before = set(rows(original_url, SCHEMA))
    upgrade(original_url)
    downgrade(original_url, "base")
    after = set(rows(original_url, SCHEMA))
    assert before <= after
    assert {table for table, *_ in after - before} == {"application_queue_workflow_id_index"}
    assert rows(original_url, "SELECT title FROM jobs") == [("Бухгалтер",)]


def test_columns_missing_in_older_original_are_added(original_url):
    with psycopg.connect(original_url) as connection:
        connection.execute(
            "DROP TABLE application_queue, hh_tokens; "
            "ALTER TABLE jobs DROP hh_vacancy_id, DROP has_test, DROP skills; "
            "DROP INDEX jobs_source_index"
        )
    upgrade(original_url)
    assert rows(original_url, "SELECT hh_vacancy_id, has_test, skills FROM jobs") == [
        (None, False, [])
    ]
    indexes = rows(original_url, "SELECT indexname FROM pg_indexes WHERE tablename = 'jobs'")
    assert {("jobs_hh_vacancy_id_index",), ("jobs_source_index",)} <= set(indexes)
    assert rows(original_url, "SELECT count(*) FROM hh_tokens") == [(0,)]


def test_column_of_another_type_stops_adoption(original_url):
    with psycopg.connect(original_url) as connection:
        connection.execute("ALTER TABLE jobs ALTER has_test DROP DEFAULT, ALTER has_test TYPE text")
    with pytest.raises(MigrationRefused, match=r"jobs\.has_test is text, not boolean"):
        upgrade(original_url)
    assert current(original_url) is None
    assert rows(original_url, "SELECT has_test FROM jobs") == [("false",)]
