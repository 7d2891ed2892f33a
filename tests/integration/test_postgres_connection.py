"""The connection of an environment: reused, replaced when lost, unavailable without a server."""

import psycopg
import pytest

from ullgetthejob.platform import postgres


def terminate_others(url):
    """Terminate all other connections, as a failover or a restart of the server does."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_connection_is_reused(database):
    assert postgres.connection() is postgres.connection()


def test_no_statement_is_prepared(database):
    for _ in range(10):
        postgres.connection().execute("SELECT %s::int", (1,))
    prepared = postgres.connection().execute("SELECT count(*) AS n FROM pg_prepared_statements")
    assert prepared.fetchone() == {"n": 0}


def test_closed_idle_connection_is_replaced(database):
    before = postgres.connection()
    terminate_others(database)
    with postgres.session() as connection:
        assert connection.execute("SELECT 1 AS one").fetchone() == {"one": 1}
    assert postgres.connection() is not before


def test_broken_connection_is_unavailable_and_replaced(database):
    def break_within():
        with postgres.session() as connection:
            terminate_others(database)
            connection.execute("SELECT 1")

    with pytest.raises(postgres.DatabaseUnavailable):
        break_within()
    with postgres.session() as connection:
        connection.execute("SELECT 1")


def test_missing_server_is_unavailable(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@127.0.0.1:9/d")
    postgres.close()
    with pytest.raises(postgres.DatabaseUnavailable), postgres.session():
        pass


def test_other_errors_are_not_hidden(database):
    with pytest.raises(psycopg.errors.UndefinedTable), postgres.session() as connection:
        connection.execute("SELECT * FROM no_such_table")
