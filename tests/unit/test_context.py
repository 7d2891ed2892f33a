"""The context of a piece of work."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.harness.context import CALLER, make_context
from ullgetthejob.platform.context import Context

START = datetime(2026, 11, 25, 9, tzinfo=UTC)


class Clock:
    """A clock that advances by a second each time that it is read."""

    def __init__(self):
        self.at = START

    def now(self):
        self.at += timedelta(seconds=1)
        return self.at


def test_fixed_time_stays_and_the_first_context_goes_on():
    context = make_context(None, Clock().now)
    fixed = context.with_fixed_time()
    assert [fixed.now(), fixed.clock(), fixed.with_fixed_time().now()] == [
        START + timedelta(seconds=1)
    ] * 3
    assert context.now() == START + timedelta(seconds=2)


def test_client_is_opened_when_it_is_used():
    opened = []
    context = Context(None, Clock().now, CALLER, lambda: opened.append("hh") or "the client")
    fixed = context.with_fixed_time()
    assert opened == []
    assert (fixed.hh, opened) == ("the client", ["hh"])


def test_context_without_hh_refuses_the_client():
    with pytest.raises(AssertionError, match="no access to hh"):
        _ = make_context(None, Clock().now).hh
