"""Links to the handoff page, on a real DynamoDB API: one use, an hour, nothing in plain text."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from ullgetthejob.handoff import links
from ullgetthejob.platform.one_time_tokens import InvalidToken

NOW = datetime(2027, 1, 15, 12, 0, tzinfo=UTC)
ACCOUNT, USER = UUID(int=1), UUID(int=2)


@pytest.fixture(autouse=True)
def _tables(dynamodb_tables, monkeypatch):
    monkeypatch.setenv("PUBLIC_URL", "https://core.example.org/")


def create_ticket():
    link = links.create(ACCOUNT, user_id=USER, now=NOW)
    prefix = "https://core.example.org/handoff/"
    assert link.startswith(prefix)
    return link.removeprefix(prefix)


def reason_of(ticket, by="A", after=timedelta(0)):
    with pytest.raises(InvalidToken) as raised:
        links.consume(ticket, by=by, now=NOW + after)
    return raised.value.reason


def test_link_names_its_user_and_account_once():
    ticket = create_ticket()
    holder = links.consume(ticket, by="A", now=NOW)
    assert (holder.account_id, holder.user_id, holder.issued_at) == (ACCOUNT, USER, NOW)
    assert reason_of(ticket, by="B") == "used"
    assert links.consume(ticket, by="A", now=NOW) == holder  # a repeated press of its button


def test_link_ends_after_an_hour():
    ticket = create_ticket()
    assert reason_of(ticket, after=timedelta(hours=1)) == "expired"
    assert links.consume(ticket, by="A", now=NOW + timedelta(minutes=59))


def test_look_up_consumes_nothing():
    ticket = create_ticket()
    found = links.look_up(ticket, now=NOW)
    assert (found.consumed_by, found.is_expired) == (None, False)
    assert found.content["account_id"] == str(ACCOUNT)
    assert links.look_up(ticket, now=NOW + timedelta(hours=2)).is_expired
    links.consume(ticket, by="A", now=NOW)
    assert links.look_up(ticket, now=NOW).consumed_by == "A"


@pytest.mark.parametrize("ticket", ["", "x" * 101, "нет", "unknown"])
def test_text_that_is_no_ticket_is_unknown(ticket):
    assert links.look_up(ticket, now=NOW) is None
    assert reason_of(ticket) == "unknown"


def test_origin_stands_in_where_no_address_is_set(monkeypatch):
    monkeypatch.setenv("PUBLIC_URL", "")
    link = links.create(ACCOUNT, user_id=USER, now=NOW, origin="https://api.example.org")
    assert link.startswith("https://api.example.org/handoff/")
