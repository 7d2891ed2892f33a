"""The parameters of a search: refused, ignored and parsed values."""

from __future__ import annotations

import pytest
from multidict import MultiDict

from local.sandbox.errors import ApiError
from local.sandbox.vacancies import search_params
from local.sandbox.vacancies.search_params import Search

NOW = 1_795_000_000.0


def read(*pairs: tuple[str, str]) -> Search:
    return search_params.parse(MultiDict(pairs), NOW)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("experience", "some"),
        ("experience", "between1And3,moreThan6"),
        ("employment", "FULL"),
        ("employment_form", "full"),
        ("schedule", "remotely"),
        ("work_format", "remote"),
        ("work_schedule_by_days", "5/2"),
        ("working_hours", "8"),
        ("education", "phd"),
        ("area", "1,2"),
        ("area", "Москва"),
        ("metro", "999.1"),
        ("professional_role", "100500"),
        ("industry", "x"),
        ("employer_id", "1,2"),
        ("employer_id", "abc"),
        ("excluded_employer_id", "-1"),
        ("salary", "many"),
        ("currency", "RUB"),
        ("only_with_salary", "1"),
        ("salary_mode", "YEAR"),
        ("salary_frequency", "NEVER"),
        ("driver_license_types", "Z"),
        ("label", "nice"),
        ("period", "0"),
        ("period", "-3"),
        ("date_from", "yesterday"),
        ("order_by", "best"),
        ("part_time", "full"),
        ("search_field", "title"),
        ("accept_temporary", "yes"),
        ("premium", "да"),
        ("no_magic", "2"),
        ("page", "-1"),
        ("page", "one"),
        ("per_page", "101"),
        ("per_page", "٣"),
        ("top_lat", "north"),
    ],
)
def test_wrong_value_is_refused_with_its_parameter(name: str, value: str) -> None:
    with pytest.raises(ApiError) as refusal:
        read((name, value))
    assert refusal.value.status == 400
    assert refusal.value.errors[0] == {"type": "bad_argument", "value": name}
    assert refusal.value.legacy["bad_argument"] == name


@pytest.mark.parametrize(
    ("pairs", "named"),
    [
        ([("period", "3"), ("date_from", "2026-01-01")], ["period"]),
        ([("date_to", "2026-01-01")], ["date_to"]),
        ([("order_by", "distance")], ["sort_point_lat"]),
        ([("order_by", "distance"), ("sort_point_lat", "55")], ["sort_point_lng"]),
        ([("top_lat", "55"), ("bottom_lat", "54")], ["left_lng", "right_lng"]),
        ([("page", "20"), ("per_page", "100")], ["page", "per_page"]),
        ([("page", "100")], ["page", "per_page"]),
    ],
)
def test_contradictory_parameters_are_refused(
    pairs: list[tuple[str, str]], named: list[str]
) -> None:
    with pytest.raises(ApiError) as refusal:
        read(*pairs)
    assert [error["value"] for error in refusal.value.errors] == named


def test_search_depth_error_has_hh_text() -> None:
    with pytest.raises(ApiError) as refusal:
        read(("page", "100"))
    assert refusal.value.body("id")["bad_arguments"] == [
        {
            "name": "page, per_page",
            "description": "you can't look up more than 2000 items in the list",
        }
    ]


def test_last_page_within_the_depth_is_allowed() -> None:
    assert read(("page", "19"), ("per_page", "100")).page == 19


def test_too_long_text_is_refused_with_the_reason() -> None:
    with pytest.raises(ApiError) as refusal:
        read(("text", "я" * 3_001))
    assert refusal.value.errors == [
        {"type": "bad_argument", "value": "text", "reason": "too_long_value"}
    ]


def test_unknown_parameters_and_empty_values_are_ignored() -> None:
    search = read(
        ("resume_id", "1"), ("company", "x"), ("erea", "77777"), ("area", ""), ("page", "")
    )
    assert search == Search()


def test_repeated_keys_become_a_list() -> None:
    search = read(("area", "1"), ("area", "2"), ("per_page", "5"))
    assert search.one_of == {"area": frozenset({"1", "2"})}
    assert search.per_page == 5


def test_times_are_rounded_to_five_minutes() -> None:
    search = read(("date_from", "2026-11-10T12:04:59+0300"))
    assert search.published_from == read(("date_from", "2026-11-10T12:00:00+03:00")).published_from


def test_unescaped_plus_in_a_date_is_accepted() -> None:
    search = read(("date_from", "2026-11-10T12:00:00 0300"))
    assert search.published_from == read(("date_from", "2026-11-10T12:00:00+0300")).published_from
