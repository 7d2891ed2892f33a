"""The parameters of a search: validation, and the query that is sent to hh.ru."""

import pytest
from pydantic import ValidationError

from ullgetthejob.hh.search_parameters import SearchParameters


def problem(**parameters):
    with pytest.raises(ValidationError) as raised:
        SearchParameters.model_validate(parameters)
    first = raised.value.errors()[0]
    return first["loc"][0] if first["loc"] else first["msg"].removeprefix("Value error, ")


def test_request_of_the_bff_becomes_hh_rus_query():
    body = {
        "text": "JavaScript Developer",
        "area": "1",
        "experience": "between1And3",
        "employment": "full",
        "schedule": "remote",
    }
    assert SearchParameters.model_validate(body).query() == [
        ("text", "JavaScript Developer"),
        ("experience", "between1And3"),
        ("employment_form", "FULL"),
        ("employment_form", "FLY_IN_FLY_OUT"),
        ("work_format", "REMOTE"),
        ("area", "1"),
        ("no_magic", "true"),
        ("page", "0"),
        ("per_page", "100"),
    ]


def test_lists_become_repeated_keys_and_booleans_words():
    parameters = SearchParameters.model_validate(
        {"area": ["1", "2"], "only_with_salary": True, "salary": 100000}
    )
    query = parameters.query()
    assert [value for name, value in query if name == "area"] == ["1", "2"]
    assert ("label", "with_salary") in query
    assert "only_with_salary" not in dict(query)
    assert ("salary", "100000") in query


def test_unknown_parameter_is_refused():
    assert problem(are="1") == "are"
    assert problem(resume_id="1") == "resume_id"
    assert problem(bottom_left_lat=55.7) == "bottom_left_lat"


FILTERS = ("employment", "employment_form", "schedule", "work_format", "label", "only_with_salary")


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (
            {"employment": ["part", "project"]},
            {("employment_form", "PART"), ("employment_form", "PROJECT")},
        ),
        # a value without an equal: the alternatives cannot be spread over two parameters
        (
            {"employment": ["part", "volunteer"]},
            {("employment", "part"), ("employment", "volunteer")},
        ),
        ({"schedule": ["remote", "shift"]}, {("schedule", "remote"), ("schedule", "shift")}),
        # both at once narrow each other at hh.ru
        (
            {"schedule": "remote", "work_format": "HYBRID"},
            {("schedule", "remote"), ("work_format", "HYBRID")},
        ),
        (
            {"only_with_salary": True, "label": "internship"},
            {("label", "internship"), ("label", "with_salary")},
        ),
        ({"only_with_salary": True, "label": "with_salary"}, {("label", "with_salary")}),
        ({"only_with_salary": False}, set()),
    ],
)
def test_deprecated_filter_with_an_equal_is_translated(given, sent):
    query = SearchParameters.model_validate(given).query()
    pairs = [pair for pair in query if pair[0] in FILTERS]
    assert len(pairs) == len(sent)
    assert set(pairs) == sent


def test_stored_search_of_an_older_version_is_still_read():
    box = {"bottom_left_lat": 1, "bottom_left_lng": 2, "top_right_lat": 3, "top_right_lng": 4}
    stored = SearchParameters.from_stored({**box, "salary_mode": ["MONTH", "SHIFT"]})
    assert stored == SearchParameters(bottom_lat=1, left_lng=2, top_lat=3, right_lng=4)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("area", "1,2"),
        ("area", ""),
        ("area", []),
        ("area", {"id": "1"}),
        ("experience", "x" * 41),
        ("experience", "../me"),
        ("education", "phd"),
        ("text", 5),
        ("text", None),
        ("text", "x" * 2001),
        ("text", "a\x00b"),
        ("salary", 0),
        ("salary", "много"),
        ("period", 0),
        ("period", 32),
        ("page", -1),
        ("per_page", 0),
        ("per_page", 101),
        ("only_with_salary", "maybe"),
        ("sort_point_lat", 91),
        ("currency", ["RUR"]),
        ("salary_mode", ["MONTH", "SHIFT"]),
    ],
)
def test_wrong_value_is_refused_by_its_field(field, value):
    assert problem(**{field: value}) == field


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"page": 20, "per_page": 100}, "page"),
        ({"period": 3, "date_from": "2026-01-01"}, "period"),
        ({"date_to": "2026-01-01"}, "date_to"),
        ({"date_from": "2026-02-01", "date_to": "2026-01-01"}, "date_to"),
        ({"date_from": "yesterday!"}, "date_from"),
        ({"currency": "USD"}, "currency"),
        ({"order_by": "distance"}, "order_by"),
        ({"sort_point_lat": 55.7, "sort_point_lng": 37.6}, "order_by"),
        ({"bottom_lat": 55.7}, "bottom_lat"),
    ],
)
def test_contradicting_parameters_are_refused(parameters, field):
    assert problem(**parameters).startswith(f"{field}: ")


def test_last_page_within_the_depth_is_allowed():
    assert SearchParameters(page=19, per_page=100).page == 19
    assert SearchParameters(page=99, per_page=20).page == 99


def test_moments_and_days_are_accepted():
    SearchParameters(date_from="2026-01-01", date_to="2026-01-31")
    SearchParameters(date_from="2026-01-01T10:00:00+0300")
