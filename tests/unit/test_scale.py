"""docs/scale.md is what ``make scale`` computes, apart from what is written by hand."""

from __future__ import annotations

import pytest

from benchmarks import scale
from cli.cost.model import Usage
from ullgetthejob.platform import settings

PARTS = {part.name: part for part in scale.parts(Usage())}


def test_document_is_up_to_date():
    text = scale.DOCUMENT.read_text()
    assert scale.markdown(scale.kept_simulation(text)) == text, "run make scale"


def test_hand_written_simulation_is_kept():
    text = scale.markdown("Measured by hand.\n")
    assert scale.kept_simulation(text) == "Measured by hand.\n"
    assert scale.markdown(scale.kept_simulation(text)) == text
    assert scale.kept_simulation("a document without marks") == ""


def test_pace_of_hh_is_the_first_part_and_that_of_the_code():
    first = scale.parts(Usage())[0]
    assert first.name == "hh.ru's pace"
    assert first.ceiling == settings.HH_CALLS_PER_SECOND.default
    assert first.per_person == pytest.approx(scale.hh_calls_a_day(Usage()) / 86_400)


def test_ceilings_are_positive_and_reached():
    for part in PARTS.values():
        assert part.ceiling > 0, part.name
        assert part.people > 0, part.name
        assert part.times(part.people) == pytest.approx(1)


def test_shared_searches_make_fewer_calls():
    alone, shared = scale.hh_calls_a_day(Usage()), scale.hh_calls_a_day(Usage(), 10)
    assert shared < alone
    idle = Usage(applications_a_day=0, searches_a_day=0, hours_a_day=0)
    assert scale.hh_calls_a_day(idle, 10) == pytest.approx(scale.hh_calls_a_day(idle) / 10)


def test_idle_person_reaches_no_ceiling_of_hh():
    idle = Usage(0, 0, 0, 0, 0)
    assert scale.parts(idle)[0].people == float("inf")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0001, "below 0.001"),
        (0.01234, "0.0123"),
        (12.34, "12.3"),
        (123456.0, "123,000"),
        (1e3, "1,000"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert scale._number(value) == text
