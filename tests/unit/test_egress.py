"""``make simulate-egress``: a day of calls to hh.ru, and when an egress has no room for more."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from benchmarks import egress
from benchmarks.egress import BIN_S, DAY_S, MAX_WAIT_S, Assumptions

BINS = DAY_S // BIN_S
PACE = 0.5  # calls a second: few people, so that a simulation takes moments
ASSUMED = Assumptions()


@pytest.fixture
def idle_day():
    return [0] * BINS


def test_calls_at_the_pace_are_served():
    assert egress.is_served([int(BIN_S * 3)] * BINS, 3)


def test_calls_above_the_pace_are_not_served():
    assert not egress.is_served([int(BIN_S * 3) + 1] * BINS, 3)


@pytest.mark.parametrize(("extra", "is_served"), [(0, True), (1, False)])
def test_calls_at_once_are_served_within_the_longest_wait(idle_day, extra, is_served):
    idle_day[10] = int(BIN_S * 3 + MAX_WAIT_S * 3) + extra
    assert egress.is_served(idle_day, 3) is is_served


def test_calls_left_at_the_end_of_the_day_are_not_served(idle_day):
    idle_day[-1] = BIN_S * 3 + 1
    assert not egress.is_served(idle_day, 3)


def calls(applications, way):
    return Counter(
        int(moment)
        for moment in egress.person_calls(applications, way, ASSUMED, random.Random(3))  # noqa: S311
    )


def test_idle_person_costs_searches_and_reading_of_negotiations():
    searches = ASSUMED.searches * (48 + (300 // 100 - 1) + ASSUMED.new)
    assert calls(0, "before").total() == calls(0, "after").total() == searches + 4


@pytest.mark.parametrize("applications", [1, 10, 200])
def test_application_costs_three_calls_and_resumes_once_an_hour(applications):
    before, after = calls(applications, "before"), calls(applications, "after")
    saved = before.total() - after.total()
    assert saved <= applications - 1
    assert not after - before, "no call comes in the place of another"
    if applications == 200:  # 24 hours, and twenty at once
        assert saved >= applications - 26


def test_searches_cost_nothing_beside_a_shared_stream():
    without = calls(10, "after").total() - calls(10, "stream").total()
    assert without == pytest.approx(calls(0, "after").total(), abs=30)


def test_simulation_is_repeatable_and_grows_with_the_pace():
    result = egress.simulate(10, "after", calls_per_second=PACE)
    assert result == egress.simulate(10, "after", calls_per_second=PACE)
    assert result.people > 0
    more = egress.simulate(10, "after", calls_per_second=2 * PACE)
    assert 1.7 * result.people <= more.people <= 2.4 * result.people


def test_document_shows_what_the_simulation_says():
    row = next(
        line for line in egress.DOCUMENT.read_text().splitlines() if line.startswith("| 200 ")
    )
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:3] == [egress.cell(egress.simulate(200, way)) for way in ("before", "after")]


def test_table_is_replaced_in_the_document(tmp_path):
    file = tmp_path / "egress.md"
    file.write_text("Before.\n\n| head |\n|---|\n| old |\n\nAfter.\n")
    egress.write(["| head |", "|---|", "| new |"], file)
    assert file.read_text() == "Before.\n\n| head |\n|---|\n| new |\n\nAfter.\n"
