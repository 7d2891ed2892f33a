"""The function ``migrator``: events, responses and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from functions.migrator.app import handler
from migrations.upgrade import MigrationBlocked, MigrationError, current
from tests.fixtures.revisions import ALL, HEAD

SAMPLE = json.loads((Path(__file__).parents[2] / "events" / "migrator.json").read_text())


@pytest.fixture
def database(empty_database_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    return empty_database_url


def test_sample_event_migrates_empty_database_to_head(database):
    assert handler(SAMPLE, None) == {
        "revision_before": None,
        "revision_after": HEAD,
        "applied": list(ALL),
    }
    assert handler(SAMPLE, None)["applied"] == []


def test_current_changes_nothing(database):
    unmigrated: dict[str, object] = {"revision_before": None, "revision_after": None, "applied": []}
    assert handler({"action": "current"}, None) == unmigrated
    handler({"revision": "0002"}, None)
    assert handler({"action": "current"}, None)["revision_after"] == "0002"


def test_confirmed_downgrade_is_applied(database):
    handler({}, None)
    event = {"action": "downgrade", "revision": "0001", "confirm": True}
    assert handler(event, None)["applied"] == list(reversed(ALL[1:]))
    assert current(database) == "0001"


def test_downgrade_drops_data_only_with_drop_data(database):
    handler({}, None)
    with psycopg.connect(database) as connection:
        connection.execute(
            "INSERT INTO users (email, password_hash, inserted_at, updated_at) "
            "VALUES ('a', '!', now(), now())"
        )
    event = {"action": "downgrade", "revision": "base", "confirm": True}
    with pytest.raises(MigrationError, match="would lose all of users"):
        handler(event, None)
    assert handler({**event, "drop_data": True}, None)["revision_after"] is None


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        ({"action": "downgrade", "revision": "0001"}, '"confirm": true'),
        ({"action": "downgrade", "confirm": True}, 'needs "revision"'),
        ({"action": "downgrade", "revision": "0001", "confirm": "yes"}, "confirm"),
        ({"revision": "head; DROP TABLE users"}, "revision"),
        ({"revison": "head"}, "revison"),
        ({"action": "drop"}, "action"),
        ("head", "Command"),
    ],
)
def test_invalid_event_changes_nothing(database, event, complaint):
    with pytest.raises(ValueError, match=complaint):
        handler(event, None)
    assert current(database) is None


def test_error_has_no_cause_that_could_quote_rows(database):
    handler({"revision": "0001"}, None)
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE hh_app_tokens (client_id text)")
    with pytest.raises(MigrationError, match="already exists") as caught:
        handler({}, None)
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None
    assert not isinstance(caught.value, MigrationBlocked)
