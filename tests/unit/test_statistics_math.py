"""Intervals and quartiles against published values."""

from collections import Counter
from datetime import UTC, date, datetime

import pytest

from ullgetthejob.applications.outcome_stages import find_stages
from ullgetthejob.hh.models import Negotiation
from ullgetthejob.statistics import durations, funnel, intervals, models
from ullgetthejob.statistics.csv_export import plain_cell
from ullgetthejob.statistics.durations import Quartiles
from ullgetthejob.statistics.funnel import Tally

# Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
WILSON = [
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
]
# Newcombe, "Interval estimation for the difference between independent proportions", 1998,
# table II, method 10.
DIFFERENCES = [
    (56, 70, 48, 80, 0.0524, 0.3339),
    (9, 10, 3, 10, 0.1705, 0.8090),
    (6, 7, 2, 7, 0.0582, 0.8062),
    (5, 56, 0, 29, -0.0381, 0.1926),
    (0, 10, 0, 20, -0.1611, 0.2775),
    (10, 10, 0, 20, 0.6791, 1.0),
]
# Freireich and others, 1963: weeks of remission, as in Kaplan and Meier's textbooks. R's
# survfit() prints the medians 23 and 8.
TREATED = Counter([6, 6, 6, 7, 10, 13, 16, 22, 23])
TREATED_CENSORED = Counter([6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35])
PLACEBO = Counter([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23])


@pytest.mark.parametrize(("successes", "sample", "low", "high"), WILSON)
def test_wilson_interval_has_published_limits(successes, sample, low, high):
    assert intervals.wilson(successes, sample) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("a", "m", "b", "n", "low", "high"), DIFFERENCES)
def test_difference_has_published_limits(a, m, b, n, low, high):
    assert intervals.difference(a, m, b, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_of_all_reaches_one():
    low, high = intervals.wilson(20, 20)
    assert (round(low, 4), high) == (0.8389, 1.0)


@pytest.mark.parametrize(("number", "z"), [(1, 1.95996), (2, 2.24140), (10, 2.80703)])
def test_more_comparisons_need_a_larger_z(number, z):
    assert intervals.z_of_comparisons(number) == pytest.approx(z, abs=1e-5)


def test_quartiles_with_censored_are_those_of_survfit():
    assert durations.kaplan_meier(TREATED, TREATED_CENSORED) == Quartiles(13, 23, None)
    assert durations.kaplan_meier(PLACEBO, {}) == Quartiles(4, 8, 12)


def test_quartiles_without_censored_are_those_of_the_data():
    assert durations.quartiles(Counter(range(1, 101))) == Quartiles(25, 50, 75)
    assert durations.quartiles(Counter([5])) == Quartiles(5, 5, 5)
    assert durations.quartiles({}) == durations.NONE


def test_quartiles_that_were_not_reached_are_unknown():
    assert durations.kaplan_meier({3: 30}, {400: 70}) == Quartiles(3, None, None)
    assert durations.kaplan_meier({}, {5: 10}) == durations.NONE


def test_waiting_application_counts_until_its_time():
    """Half of those that could be seen at four hours were answered by then."""
    assert durations.kaplan_meier({4: 2}, {1: 4, 4: 2}) == Quartiles(4, 4, None)


def test_thousands_of_times_are_exact():
    hours = Counter(dict.fromkeys(range(1, 4001), 1))
    assert durations.kaplan_meier(hours, {}) == Quartiles(1000, 2000, 3000)


# ── stages ───────────────────────────────────────────────────────────────────────────────────────

SENT = datetime(2026, 11, 1, 9, tzinfo=UTC)
UPDATED = datetime(2026, 11, 2, 9, tzinfo=UTC)
READ = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ({"state": "response"}, (None, None, None, None)),
        ({"state": "response", "viewed": True}, (READ, None, None, None)),
        (
            {"state": "response", "viewed": True, "has_unread_message": True},
            (UPDATED, UPDATED, None, None),
        ),
        ({"state": "discard"}, (UPDATED, UPDATED, None, None)),
        ({"state": "a new state of hh.ru"}, (UPDATED, UPDATED, None, None)),
        ({"state": "hidden"}, (None, None, None, None)),
        ({"state": "invitation"}, (UPDATED, UPDATED, UPDATED, None)),
        ({"state": "interview"}, (UPDATED, UPDATED, UPDATED, None)),
        ({"state": "hired"}, (UPDATED, UPDATED, UPDATED, UPDATED)),
    ],
)
def test_stages_of_a_negotiation_include_the_earlier_ones(shown, expected):
    negotiation = Negotiation(id="1", created_at=SENT, updated_at=UPDATED, **shown)
    times = find_stages(negotiation, now=READ)
    assert (times.seen_at, times.answered_at, times.invited_at, times.offered_at) == expected


# ── claims ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("sample", "is_claimed"), [(0, False), (19, False), (20, True)])
def test_rate_is_claimed_from_twenty_on(sample, is_claimed):
    rate = funnel.make_rate("applied", sample // 2, sample)
    assert (rate.rate is not None, rate.low is not None) == (is_claimed, is_claimed)
    assert (rate.n, rate.reached) == (sample, sample // 2)


def tally(sent, invited):
    counts = Counter(applied=sent, invited=invited, settled=sent, settled_invited=invited)
    return Tally(counts)


def verdicts(by, groups):
    total = Tally(sum((group.counts for group in groups.values()), Counter()))
    found = funnel.compose_groups(by, groups, total, {}, is_closed=False)
    return {
        group.key: comparison.verdict
        for group in found
        for comparison in group.comparisons
        if comparison.stage == "invited"
    }


def test_groups_differ_only_where_the_interval_says_so():
    clear = {"a": tally(100, 40), "b": tally(100, 10)}
    assert verdicts("template", clear) == {"a": "higher", "b": "lower"}
    close = {"a": tally(100, 20), "b": tally(100, 14)}
    assert verdicts("template", close) == {"a": "not_different", "b": "not_different"}
    few = {"a": tally(19, 19), "b": tally(100, 0)}
    assert verdicts("template", few) == {"a": "too_few", "b": "too_few"}


def test_best_of_many_equal_hours_is_no_discovery():
    """16 of 40 against 9 of 40 elsewhere: alone it would be called higher."""
    assert intervals.difference(16, 40, 9 * 23, 40 * 23)[0] > 0
    hours = {str(hour): tally(40, 16 if hour == 9 else 9) for hour in range(24)}
    assert set(verdicts("hour", hours).values()) == {"not_different"}


def test_groups_with_an_order_of_their_own_are_in_it():
    hours = {key: tally(3, 0) for key in ("10", None, "9", "22")}
    found = funnel.compose_groups("hour", hours, tally(12, 0), {}, is_closed=False)
    assert [group.key for group in found] == ["9", "10", "22", None]
    assert found[0].label == "09:00–09:59"
    sizes = funnel.compose_groups(
        "resume", {"a": tally(1, 0), "b": tally(2, 0)}, tally(3, 0), {"b": "Backend"}, False
    )
    assert [(group.key, group.label) for group in sizes] == [("b", "Backend"), ("a", "a…")]


def test_closed_method_claims_nothing_about_outcomes():
    shown = funnel.compose_groups("fit", {"80": tally(30, 0)}, tally(30, 0), {}, is_closed=True)
    [group] = shown
    stages = {stage.stage: stage for stage in group.stages}
    assert stages["applied"].count == 30
    assert (stages["invited"].count, stages["invited"].rate) == (None, None)
    assert group.comparisons == []


# ── periods and cells ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "first", "last"),
    [
        ({}, date(2026, 9, 1), date(2026, 11, 29)),
        ({"from": "2026-11-01"}, date(2026, 11, 1), date(2026, 11, 29)),
        ({"to": "2026-01-31"}, date(2025, 11, 3), date(2026, 1, 31)),
        ({"from": "2027-01-01"}, date(2027, 1, 1), date(2027, 1, 1)),
    ],
)
def test_period_is_ninety_days_in_the_persons_zone(given, first, last):
    late = datetime(2026, 11, 28, 22, tzinfo=UTC)  # the next day in Moscow
    assert funnel.resolve_days(models.Period.model_validate(given), late) == (first, last)


def test_period_ends_with_its_last_day():
    values = funnel.period_values(date(2026, 3, 28), date(2026, 3, 29), "Europe/Berlin")
    assert values["since"].astimezone(UTC) == datetime(2026, 3, 27, 23, tzinfo=UTC)
    assert values["until"].astimezone(UTC) == datetime(2026, 3, 29, 22, tzinfo=UTC)  # summer time


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_cell_that_looks_like_a_formula_is_text(start):
    assert plain_cell(f"{start}cmd|' /C calc'!A0") == f"'{start}cmd|' /C calc'!A0"


def test_other_cells_stay_as_they_are():
    for cell in ("Python", "", None, -5, 0.25, "1 = 1"):
        assert plain_cell(cell) == cell
