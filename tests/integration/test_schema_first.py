"""The schema before the functions: the custom resource, readiness, and the limits of time."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from functions.health.app import handler as health
from functions.migrator.app import handler
from migrations import deployment
from migrations.upgrade import MIGRATORS_LOCK, current, downgrade, upgrade
from tests.fixtures.http_servers import Handler, Server
from tests.fixtures.revisions import HEAD
from ullgetthejob.platform import postgres, schema

EVENTS = Path(__file__).parents[2] / "events"
STACK = {"StackId": "arn:stack", "RequestId": "a-request", "LogicalResourceId": "Schema"}
CONTEXT = SimpleNamespace(aws_request_id="aws-request-id")


class Answers(Server):
    """CloudFormation's presigned address. *statuses*: what it returns, then 200."""

    def __init__(self):
        super().__init__(AnswersHandler)
        self.statuses, self.taken = [], []

    def request(self, kind="Update"):
        return {"RequestType": kind, "ResponseURL": f"{self.url}/bucket?Signature=secret", **STACK}


class AnswersHandler(Handler):
    def respond(self):
        body = json.loads(self.read_body())
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 200:
            self.server.taken.append((self.path, self.headers["content-type"], body))
        self.answer(status)


@pytest.fixture
def answers(monkeypatch):
    monkeypatch.setattr(deployment, "PAUSE_S", 0.01)
    with Answers() as server:
        yield server


@pytest.fixture
def database(empty_database_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    yield empty_database_url
    postgres.close()


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_deployment_migrates_and_is_answered(database, answers, kind):
    handler(answers.request(kind), None)
    assert current(database) == HEAD
    ((path, content_type, body),) = answers.taken
    assert (path, content_type) == ("/bucket?Signature=secret", "")
    assert body == {
        "Status": "SUCCESS",
        "PhysicalResourceId": "schema",
        "Data": {"Revision": HEAD},
        **STACK,
    }


def test_deployment_repeated_by_cloudformation_changes_nothing(database, answers):
    for _ in range(2):
        handler(answers.request(), None)
    assert [body["Status"] for *_, body in answers.taken] == ["SUCCESS"] * 2


def test_rollback_leaves_the_schema_of_a_newer_release(database, answers):
    upgrade(database)
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE alembic_version_core SET version_num = '9999'")
    handler(answers.request(), None)
    ((*_, body),) = answers.taken
    assert body["Status"] == "SUCCESS"
    assert body["Data"] == {"Revision": "9999"}


def test_destroyed_stack_leaves_the_schema(database, answers):
    upgrade(database)
    handler(answers.request("Delete"), None)
    assert answers.taken[0][2]["Status"] == "SUCCESS"
    assert current(database) == HEAD


def test_failed_migration_is_answered_with_its_reason(database, answers):
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE users (id integer)")  # not the original's
    handler(answers.request("Create"), None)
    ((*_, body),) = answers.taken
    assert body["Status"] == "FAILED"
    assert "users.id is integer, not uuid" in body["Reason"]
    assert current(database) is None


def test_unreachable_database_is_answered_without_its_address(answers, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://core:pass-word@127.0.0.1:9/core")
    handler(answers.request("Create"), None)
    ((*_, body),) = answers.taken
    assert body["Status"] == "FAILED"
    assert "nothing listens" in body["Reason"]
    assert "pass-word" not in json.dumps(body)


def test_answer_is_sent_again_when_it_is_not_taken(database, answers):
    answers.statuses = [503, 503]
    handler(answers.request(), None)
    assert len(answers.taken) == 1
    answers.statuses = [503] * 3
    with pytest.raises(OSError, match="did not take the answer") as raised:
        handler(answers.request(), None)
    assert "Signature" not in str(raised.value)


# ── readiness ────────────────────────────────────────────────────────────────────────────────────


def ready():
    event = json.loads((EVENTS / "health-ready.json").read_text())
    answer = health(event, CONTEXT)
    return answer["statusCode"], json.loads(answer["body"])


def test_newest_schema_is_ready(database, monkeypatch):
    monkeypatch.setenv("COMMIT", "abc")
    upgrade(database)
    assert ready() == (
        200,
        {
            "status": "ready",
            "db": "up",
            "revision": HEAD,
            "needed": schema.REVISION,
            "commit": "abc",
        },
    )


def test_older_schema_is_not_ready(database):
    upgrade(database)
    downgrade(database, "-1")
    status, body = ready()
    assert status == 503
    assert (body["status"], body["db"], body["needed"]) == ("unavailable", "up", HEAD)
    assert body["revision"] < HEAD


def test_newer_schema_is_ready(database):
    """As after a rollback of the functions."""
    upgrade(database)
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE alembic_version_core SET version_num = '9999'")
    assert ready()[0] == 200


def test_database_without_migrations_is_not_ready(database):
    status, body = ready()
    assert (status, body["db"], body["revision"]) == (503, "up", None)


def test_unreachable_database_is_not_ready(monkeypatch):
    postgres.close()
    monkeypatch.setenv("DATABASE_URL", "postgresql://core@127.0.0.1:9/core")
    status, body = ready()
    assert (status, body["db"], body["revision"]) == (503, "down", None)


# ── migrations ───────────────────────────────────────────────────────────────────────────────────


def test_migrations_run_without_the_limits_of_the_role(database):
    """A migrator that waits for another one for longer than the limit of a statement."""
    with psycopg.connect(database, autocommit=True) as connection:
        name = connection.execute("SELECT current_database()").fetchone()[0]
        connection.execute(f"ALTER DATABASE {name} SET statement_timeout = '200ms'")
        connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATORS_LOCK,))
        other = threading.Timer(1, connection.execute, ("SELECT pg_advisory_unlock_all()",))
        other.start()
        assert upgrade(database).revision_after == HEAD
        other.join()


def test_missing_indexes_of_the_edited_migration_are_created(database):
    from importlib import import_module

    versions = "migrations.versions.0018_indexes_of_an_edited_migration"
    names = sorted(import_module(versions).INDEXES)
    upgrade(database, "0014")
    with psycopg.connect(database) as connection:
        for name in names[1:]:  # one is there
            connection.execute(f"DROP INDEX {name}")
        connection.execute("CREATE INDEX public_feed_due_at_index ON public_feed (due_at)")
    upgrade(database)
    query = "SELECT indexname FROM pg_indexes WHERE indexname = ANY(%s) ORDER BY 1"
    with psycopg.connect(database) as connection:
        wanted = [*names, "public_feed_due_at_index"]
        assert [row[0] for row in connection.execute(query, (wanted,))] == names
