"""Schedule expressions of EventBridge rules."""

from datetime import UTC, datetime, timedelta

import pytest

from local.event_sources.schedule import parse


def test_rate_keeps_its_phase_over_a_jump():
    schedule, start = parse("rate(5 minutes)"), datetime(2026, 2, 1, 12, tzinfo=UTC)
    assert schedule.next_after(start) == start + timedelta(minutes=5)
    assert schedule.latest(start, start + timedelta(minutes=4, seconds=59)) is None
    assert schedule.latest(start, start + timedelta(minutes=23)) == start + timedelta(minutes=20)
    assert schedule.latest(start, start + timedelta(minutes=5)) == start + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("expression", "period"),
    [
        ("rate(1 minute)", timedelta(minutes=1)),
        ("rate(12 hours)", timedelta(hours=12)),
        ("rate(7 days)", timedelta(days=7)),
    ],
)
def test_rate_of_each_unit_is_read(expression, period):
    assert parse(expression).period == period


@pytest.mark.parametrize(
    "expression",
    [
        "rate(0 minutes)",
        "rate(1 week)",
        "rate(soon)",
        "cron(0 9 * * ? *)",
        "at(2026-01-01T00:00:00)",
    ],
)
def test_other_expression_is_refused(expression):
    with pytest.raises(ValueError, match="does not run locally"):
        parse(expression)
