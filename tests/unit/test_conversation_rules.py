"""The rules of conversations: news, which reply a message is, and what becomes of a lost reply."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ullgetthejob.applications.conversations import rules
from ullgetthejob.applications.outcome_stages import StageTimes
from ullgetthejob.hh import responses
from ullgetthejob.hh.error_parsing import Received, parse_message
from ullgetthejob.hh.error_rules import MESSAGE_RULES
from ullgetthejob.hh.errors import Action, HHForbidden, HHMessageRefused, HHNotFound, HHUnavailable
from ullgetthejob.hh.models import ConversationMessage, Negotiation

ONE = UUID(int=1)
AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Sent:
    text: str
    called_at: datetime | None = AT
    id: UUID = ONE


def negotiation(**fields):
    times = {"created_at": AT, "updated_at": AT}
    return Negotiation(**{"id": "1", "state": "response", **times, **fields})


def message(text="Спасибо, буду.", author="applicant", at=AT, state="text", id="1"):
    return ConversationMessage(id=id, author=author, text=text, state=state, created_at=at)


@pytest.mark.parametrize(
    ("fields", "last", "expected"),
    [
        ({"message_count": 1}, None, False),
        ({"message_count": 2}, None, True),
        ({"message_count": 2}, AT, False),
        ({"message_count": 2}, AT - MINUTE, True),
        ({"message_count": 1, "has_unread_message": True}, None, True),
        ({"message_count": 2, "updated_at": AT - rules.READ_WITHIN}, None, False),
        ({}, None, True),  # hh.ru does not say how many there are
    ],
)
def test_conversation_is_read_when_it_may_have_news(fields, last, expected):
    assert rules.has_news(negotiation(**fields), last, now=AT) is expected


@pytest.mark.parametrize(
    ("shown", "replies", "matched"),
    [
        ([message()], [Sent("Спасибо, буду.")], ["1"]),
        ([message("Спасибо,\r\n буду. ")], [Sent("Спасибо, буду.")], ["1"]),
        ([message()], [Sent("Спасибо, не буду.")], []),
        ([message(author="employer")], [Sent("Спасибо, буду.")], []),
        ([message(at=AT - 2 * MINUTE)], [Sent("Спасибо, буду.")], []),
        ([message()], [Sent("Спасибо, буду.", None)], []),
        # Each message is one reply, the earliest first.
        ([message()], [Sent("Спасибо, буду.", AT + MINUTE / 2), Sent("Спасибо, буду.")], ["1"]),
        ([message(), message(id="2")], [Sent("Спасибо, буду.")], ["1"]),
    ],
)
def test_reply_is_found_by_its_text_and_time(shown, replies, matched):
    assert list(rules.match_replies(shown, replies)) == matched


def test_two_equal_replies_are_two_messages():
    replies = [Sent("Да", id=uuid4()), Sent("Да", AT + MINUTE, uuid4())]
    shown = [message("Да", at=AT + MINUTE, id="2"), message("Да", id="1")]
    found = rules.match_replies(shown, replies)
    assert found == {"1": replies[0].id, "2": replies[1].id}


def test_stages_are_those_of_the_employers_messages():
    shown = [
        message(state="response"),
        message(author="employer", at=AT + MINUTE),
        message(author="employer", at=AT + 2 * MINUTE, state="invitation"),
        message(author="employer", at=AT + 3 * MINUTE, state="discard"),
    ]
    first, invited = AT + MINUTE, AT + 2 * MINUTE
    assert rules.find_stages(shown) == StageTimes(first, first, invited, None)
    assert rules.find_stages(shown[:1]) == StageTimes()


@pytest.mark.parametrize(
    ("reason", "calls", "other", "state", "waits", "is_called"),
    [
        ("no_answer", 1, False, "unknown", True, True),
        ("interrupted", 1, False, "unknown", True, True),
        ("not_seen", 1, False, "sending", True, False),
        ("not_seen", rules.MAX_CALLS, False, "failed", False, True),
        ("unclear_answer", 1, False, "unknown", False, True),
        # The person's other message may be the reply, as hh.ru changed it: it is not sent again.
        ("not_seen", 1, True, "unknown", False, True),
    ],
)
def test_absent_reply_is_sent_again_only_if_it_never_arrived(
    reason, calls, other, state, waits, is_called
):
    found = rules.decide_absent(reason, calls, is_another_there=other)
    assert (found.state, found.wait is not None, found.is_called) == (state, waits, is_called)


def test_reply_waits_longer_the_older_it_is():
    waits = [rules.pause_after(AT, now=AT + age) for age in (0 * MINUTE, 4 * MINUTE, 60 * MINUTE)]
    assert waits == [rules.MIN_PAUSE, MINUTE, rules.MAX_PAUSE]


def test_long_text_is_cut():
    assert len(rules.shorten("я" * 1_000_000)) == rules.MAX_TEXT_CHARS
    assert rules.shorten("<b>&amp;</b>") == "<b>&amp;</b>", "a message is text, not markup"


# ── hh.ru's answers ──────────────────────────────────────────────────────────────────────────────


def received(status, content=None):
    body = b"" if content is None else json.dumps(content).encode()
    path = "/negotiations/1/messages"
    return Received(status, {"content-type": "application/json"}, body, "POST", path)


def refused(status, **entry):
    return received(status, {"errors": [entry], "request_id": "x"})


@pytest.mark.parametrize("rule", MESSAGE_RULES[:-1], ids=lambda rule: rule.value)
def test_refused_message_follows_its_row(rule):
    with pytest.raises(HHMessageRefused) as caught:
        parse_message(refused(403, type="negotiations", value=rule.value))
    error = caught.value
    assert (error.reason, error.action, error.message) == (rule.value, rule.action, rule.message)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refused(403, type="negotiations", value="new_one"), HHMessageRefused),
        (received(418, {"description": "?"}), HHMessageRefused),
        (refused(403, type="forbidden"), HHForbidden),
        (refused(404, type="not_found"), HHNotFound),
        (received(500), HHUnavailable),
        (received(200, {"id": "1"}), HHUnavailable),
    ],
)
def test_other_answer_to_a_message_is_its_error(answer, error):
    with pytest.raises(error) as caught:
        parse_message(answer)
    if error is HHMessageRefused:
        assert caught.value.action is Action.HAND_OFF
    if error is HHUnavailable:
        assert caught.value.may_have_acted
        assert caught.value.is_lost is (answer.status == 500)


def test_message_without_json_was_accepted():
    assert parse_message(Received(201, {"content-type": "text/html"}, b"")) is None


def test_message_of_unknown_shape_hides_no_other():
    shown = {
        "id": 7,
        "text": None,
        "state": {"id": "invitation"},
        "author": {"participant_type": "employer"},
        "created_at": "2026-08-20T17:45:12+0300",
    }
    broken = [{}, {**shown, "author": {"participant_type": "bot"}}, {**shown, "id": ""}]
    page = responses.conversation_page({"items": [*broken, shown], "pages": 1})
    assert page.unreadable == len(broken)
    assert [(item.id, item.text) for item in page.items] == [("7", "")]


# ── Core writes nothing by itself ────────────────────────────────────────────────────────────────


def names_in(path, name):
    tree = ast.parse(path.read_text())
    return any(
        getattr(node, "attr", None) == name or getattr(node, "id", None) == name
        for node in ast.walk(tree)
    )


def test_only_the_route_of_replies_inserts_replies():
    """The statement is the store's, its function is the command's, the command the route's; and
    only what was inserted is sent."""
    files = [
        path
        for folder in ("layers/core", "functions", "migrations", "local", "cli")
        for path in (ROOT / folder).rglob("*.py")
    ]
    inserting = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if "INSERT INTO application_messages" in path.read_text()
    }
    room = "layers/core/ullgetthejob/applications/conversations"
    assert inserting == {f"{room}/store.py"}
    users = {
        name: {path.relative_to(ROOT).as_posix() for path in files if names_in(path, name)}
        for name in ("INSERT_REPLY", "insert_reply", "write_message")
    }
    assert users == {
        "INSERT_REPLY": {f"{room}/store.py"},
        "insert_reply": {f"{room}/commands.py"},
        "write_message": {f"{room}/replies.py"},
    }
    importing = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if "applications.conversations import commands" in path.read_text()
    }
    assert importing == {"functions/reviews/app.py"}
