"""Refusals and negotiations in hh.ru's shapes."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from local.sandbox.negotiations.negotiation import Negotiation, Step, number_of
from local.sandbox.negotiations.negotiation_store import ACCEPTED, Attempt
from local.sandbox.negotiations.refusals import REFUSALS, missing, refuse
from local.sandbox.store import Store

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_795_000_000.0


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_has_the_error_envelope(name: str) -> None:
    wanted = REFUSALS[name]
    error = refuse(name)
    body = error.body("abc")
    assert error.status == wanted.status
    assert body["errors"] == [{"type": wanted.type, "value": wanted.value}]
    assert body["request_id"] == "abc"
    assert ("bad_argument" in body) == (wanted.argument is not None)


def test_refuse_returns_a_new_error_each_time() -> None:
    first = refuse("already_applied")
    first.errors[0]["value"] = "changed"
    assert refuse("already_applied").errors[0]["value"] == "already_applied"


def test_missing_field_is_named() -> None:
    assert missing("resume_id").body("abc") == {
        "errors": [{"type": "bad_argument", "value": "resume_id"}],
        "request_id": "abc",
        "description": "Bad Request",
        "bad_argument": "resume_id",
        "bad_arguments": [{"name": "resume_id", "description": "required"}],
    }


def negotiation(*kinds: str) -> Negotiation:
    steps = tuple(Step(number, NOW + number, kind, None) for number, kind in enumerate(kinds))
    return Negotiation(7, "1", "2", "3", "api", NOW, steps)


@pytest.mark.parametrize(
    ("kinds", "state", "viewed", "unread", "updated", "in_a_row"),
    [
        (("response",), "response", False, 0, 0, 0),
        (("response", "viewed"), "response", True, 0, 0, 0),
        (("response", "viewed", "message"), "response", True, 1, 2, 0),
        (("response", "viewed", "message", "invitation"), "invitation", True, 2, 3, 0),
        (("response", "viewed", "invitation", "discard"), "discard", True, 2, 3, 0),
        (("response", "reply", "reply"), "response", False, 0, 2, 2),
        (("response", "reply", "viewed", "reply"), "response", True, 0, 3, 2),
        (("response", "reply", "message", "reply"), "response", False, 1, 3, 1),
    ],
)
def test_steps_determine_state_and_counters(
    kinds: tuple[str, ...], state: str, viewed: bool, unread: int, updated: int, in_a_row: int
) -> None:
    application = negotiation(*kinds)
    assert (application.state, application.viewed_at is not None, application.unread) == (
        state,
        viewed,
        unread,
    )
    assert (application.updated_at - NOW, application.in_a_row) == (updated, in_a_row)


def test_negotiation_ids_convert_both_ways() -> None:
    application = negotiation("response", "message")
    assert (application.id, application.chat_id, number_of(application.id)) == (
        "4200000007",
        5_000_000_007,
        7,
    )
    assert number_of("abc") is number_of("٣") is number_of("9" * 30) is None
    first, second = (int(step.message_id) for step in application.messages)
    assert first < second
    assert len(str(first)) == 10


def test_file_of_an_earlier_version_is_opened(tmp_path: Path) -> None:
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / "state.sqlite3") as database:
        database.execute("ALTER TABLE negotiations ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0")
    database.close()
    store = Store(tmp_path)
    number = store.negotiations.accept(
        Attempt(NOW, "api", "1", "2", "3", None, 201, ACCEPTED), actions=()
    )
    assert number == 1
    store.close()
