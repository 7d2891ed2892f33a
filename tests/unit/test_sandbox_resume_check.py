"""The errors of a resume's fields, with reason and pointer, and its missing fields."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from local.sandbox.errors import ApiError
from local.sandbox.people import people
from local.sandbox.resumes import resume_check
from local.sandbox.resumes.resume_conditions import missing, progress
from local.sandbox.resumes.resume_store import first_body

NOW = 1_795_000_000.0  # November 2026
# The sample of hh.ru's specification.
SAMPLE: dict[str, Any] = {
    "area": {"id": "1"},
    "citizenship": [{"id": "113"}],
    "contact": [
        {
            "preferred": True,
            "type": {"id": "email", "name": "Эл. почта"},
            "value": "my-email@example.com",
        },
        {
            "comment": "Комментарий",
            "need_verification": False,
            "preferred": False,
            "type": {"id": "cell", "name": "Мобильный телефон"},
            "value": {
                "city": "955",
                "country": "7",
                "formatted": "+7 (955) 000-00-00",
                "number": "0000000",
            },
            "verified": False,
        },
    ],
    "education": {
        "additional": None,
        "attestation": None,
        "elementary": None,
        "level": {"id": "master", "name": "Магистр"},
        "primary": [{"id": "1", "name": "testUniversity", "result": "speciality", "year": 1988}],
    },
    "experience": [
        {
            "area": None,
            "company": "Компания",
            "company_url": "http://url.ru",
            "description": "Руководил отделом",
            "employer": None,
            "end": "2012-02-06",
            "industries": [],
            "position": "Директор",
            "start": "2011-01-02",
        }
    ],
    "first_name": "Иван",
    "gender": {"id": "male", "name": None},
    "language": [{"id": "eng", "level": {"id": "a1", "name": "A1"}, "name": "Английский"}],
    "last_name": "Иванов",
    "photo": None,
    "portfolio": None,
    "skills": "Свободное описание навыков",
    "title": "RESUME",
}
CELL = {"type": {"id": "cell"}, "preferred": True, "value": {"formatted": "+7 955 000-00-00"}}
MAIL = {"type": {"id": "email"}, "preferred": True, "value": "a@example.org"}
RUSSIAN = {"id": "rus", "level": {"id": "l1"}}
JOB = {"company": "К", "position": "П", "description": "О", "start": "2011-01-02"}
SCHOOL = {"name": "У", "year": 2001}


def read(*, new: bool = True, others: frozenset[str] = frozenset(), **fields: Any) -> Any:
    body = copy.deepcopy(SAMPLE) | fields if new else fields
    return resume_check.read(body, NOW, new=new, others=set(others))


def findings(**fields: Any) -> list[tuple[str, str, str]]:
    with pytest.raises(ApiError) as refused:
        read(**fields)
    assert refused.value.status == 400
    assert {error["type"] for error in refused.value.errors} == {"bad_json_data"}
    assert all(error["description"] for error in refused.value.errors)
    return [(error["value"], error["reason"], error["pointer"]) for error in refused.value.errors]


def test_sample_of_the_specification_is_accepted() -> None:
    assert read()["title"] == "RESUME"


@pytest.mark.parametrize(
    "person", [person for person in people.all_people().values() if person.resume]
)
def test_initial_resumes_are_accepted(person: people.Person) -> None:
    for short in person.resume:
        body = first_body(person, short)
        if short["skill_set"]:
            assert missing(body) == []
            resume_check.read(body, NOW, new=True, others=set())


@pytest.mark.parametrize(
    ("field", "value", "finding"),
    [
        ("title", None, ("title", "required", "/title")),
        ("first_name", None, ("first_name", "required", "/first_name")),
        ("last_name", None, ("last_name", "required", "/last_name")),
        ("area", None, ("area", "required", "/area")),
        ("title", "x", ("title", "length_less_than_min", "/title")),
        ("title", "   ", ("title", "length_less_than_min", "/title")),
        ("title", "x" * 101, ("title", "length_greater_than_max", "/title")),
        ("title", "TEST_RESUME", ("title", "invalid", "/title")),
        ("title", 7, ("title", "invalid", "/title")),
        ("first_name", "1van", ("first_name", "not_match_regexp", "/first_name")),
        ("area", "1", ("area", "invalid", "/area")),
        ("area", {}, ("area", "required", "/area/id")),
        ("area", {"id": 1}, ("area", "invalid", "/area/id")),
        ("area", {"id": "0"}, ("area", "not_found", "/area/id")),
        ("area", {"id": "113"}, ("area", "not_a_leaf", "/area/id")),
        ("citizenship", [{"id": "1"}], ("citizenship", "not_country", "/citizenship/0/id")),
        ("citizenship", [{"id": "0"}], ("citizenship", "not_found", "/citizenship/0/id")),
        ("citizenship", [], ("citizenship", "size_less_than_min", "/citizenship")),
        ("citizenship", {"id": "113"}, ("citizenship", "invalid", "/citizenship")),
        ("access", {"type": {}}, ("access", "required", "/access/type/id")),
        ("access", {}, ("access", "required", "/access/type/id")),
        (
            "access",
            {"type": {"id": "everyone"}},
            ("access", "not_available", "/access/type/id"),
        ),
        ("gender", {"id": "x"}, ("gender", "not_in_dictionary", "/gender/id")),
        (
            "professional_roles",
            [{"id": "96"}] * 6,
            ("professional_roles", "size_greater_than_max", "/professional_roles"),
        ),
        (
            "professional_roles",
            [{"id": "0"}],
            ("professional_roles", "not_in_dictionary", "/professional_roles/0/id"),
        ),
        ("skill_set", ["x"] * 31, ("skill_set", "size_greater_than_max", "/skill_set")),
        (
            "skill_set",
            ["ok", "x" * 101],
            ("skill_set", "length_greater_than_max", "/skill_set/1"),
        ),
        ("skill_set", "Python", ("skill_set", "invalid", "/skill_set")),
        ("salary", {"amount": 1}, ("currency", "required", "/salary/currency")),
        (
            "salary",
            {"amount": 1, "currency": "XXX"},
            ("currency", "not_in_dictionary", "/salary/currency"),
        ),
        (
            "salary",
            {"amount": -1, "currency": "RUR"},
            ("amount", "less_than_min", "/salary/amount"),
        ),
        (
            "salary",
            {"amount": True, "currency": "RUR"},
            ("amount", "invalid", "/salary/amount"),
        ),
        ("birth_date", "2026-01-01", ("birth_date", "later_than_max", "/birth_date")),
        ("birth_date", "1899-01-01", ("birth_date", "earlier_than_min", "/birth_date")),
        ("birth_date", "1990-02-30", ("birth_date", "invalid", "/birth_date")),
        ("birth_date", 1990, ("birth_date", "invalid", "/birth_date")),
        ("has_vehicle", "yes", ("has_vehicle", "invalid", "/has_vehicle")),
        ("travel_time", {"id": "x"}, ("travel_time", "not_in_dictionary", "/travel_time/id")),
        ("schedules", [{"id": "x"}], ("schedules", "not_in_dictionary", "/schedules/0/id")),
        (
            "resume_locale",
            {"id": "XX"},
            ("resume_locale", "not_in_dictionary", "/resume_locale/id"),
        ),
        (
            "education",
            {"level": {"id": "higher"}, "primary": [SCHOOL | {"year": 1900}]},
            ("year", "less_than_min", "/education/primary/0/year"),
        ),
        (
            "education",
            {"level": {"id": "higher"}, "primary": [SCHOOL | {"year": 2100}]},
            ("year", "greater_than_max", "/education/primary/0/year"),
        ),
        ("education", {"primary": [SCHOOL]}, ("level", "required", "/education/level/id")),
        (
            "experience",
            [JOB | {"start": None}],
            ("start", "required", "/experience/0/start"),
        ),
        (
            "experience",
            [JOB, JOB | {"end": "2010-01-01"}],
            ("end", "end_date_before_start_date", "/experience/1/end"),
        ),
        (
            "experience",
            [JOB | {"start": "2030-01-01"}],
            ("start", "later_than_max", "/experience/0/start"),
        ),
        (
            "experience",
            [JOB | {"description": "x" * 32_769}],
            ("description", "length_greater_than_max", "/experience/0/description"),
        ),
        ("experience", ["x"], ("experience", "invalid", "/experience/0")),
        (
            "language",
            [RUSSIAN, {"id": "eng", "level": {"id": "l1"}}],
            ("language", "more_than_one_native_language", "/language"),
        ),
        (
            "language",
            [RUSSIAN, {"id": "rus", "level": {"id": "c1"}}],
            ("language", "must_contain_unique", "/language"),
        ),
        ("language", [{"id": "xxx", "level": {"id": "a1"}}],
         ("language", "not_in_dictionary", "/language/0/id")),
        ("contact", [CELL, MAIL], ("contact", "preferred_must_be_unique", "/contact")),
        (
            "contact",
            [MAIL | {"preferred": False}],
            ("contact", "preferred_contact_not_specified", "/contact"),
        ),
        (
            "contact",
            [MAIL, MAIL | {"preferred": False}],
            ("contact", "must_contain_unique", "/contact"),
        ),
        ("contact", [MAIL | {"value": "nobody"}], ("value", "invalid", "/contact/0/value")),
        ("contact", [MAIL | {"value": None}], ("value", "required", "/contact/0/value")),
        ("contact", [MAIL | {"value": {}}], ("value", "invalid", "/contact/0/value")),
        (
            "contact",
            [CELL | {"value": {"country": "7"}}],
            ("value", "need_country_city_number_or_formatted", "/contact/0/value"),
        ),
        ("contact", [CELL | {"value": {"formatted": "555"}}],
         ("value", "invalid", "/contact/0/value")),
        (
            "contact",
            [CELL | {"value": {"country": "7", "city": "9x5", "number": "1"}}],
            ("value", "invalid", "/contact/0/value"),
        ),
        (
            "contact",
            [CELL | {"value": {"country": "7", "city": "955", "number": "1"}}],
            ("value", "invalid", "/contact/0/value"),
        ),
        ("contact", [CELL] * 5, ("contact", "size_greater_than_max", "/contact")),
    ],
)  # fmt: skip
def test_wrong_field_has_its_reason_and_pointer(
    field: str, value: Any, finding: tuple[str, str, str]
) -> None:
    assert findings(**{field: value}) == [finding]


def test_all_wrong_fields_are_reported_together() -> None:
    assert [pointer for _, _, pointer in findings(title="x", gender={"id": "x"})] == [
        "/gender/id",
        "/title",
    ]


def test_title_of_another_resume_is_a_duplicate() -> None:
    assert findings(others=frozenset({"RESUME"})) == [("title", "duplicate", "/title")]


def test_edit_cannot_clear_a_required_field() -> None:
    assert read(new=False, skills="Другое") == {"skills": "Другое"}
    assert read(new=False, skills=None) == {"skills": None}
    assert findings(new=False, skill_set=None) == [("skill_set", "required", "/skill_set")]
    assert findings(new=False, skill_set=[]) == [("skill_set", "size_less_than_min", "/skill_set")]


def test_unknown_fields_are_ignored() -> None:
    assert "summary" not in read(summary="Я")


def test_old_singular_fields_become_lists() -> None:
    taken = read(employment={"id": "full"}, schedule={"id": "remote"})
    assert taken["employments"] == [{"id": "full"}]
    assert taken["schedules"] == [{"id": "remote"}]
    assert not {"employment", "schedule"} & set(taken)


def test_missing_fields_of_the_sample_are_listed() -> None:
    assert missing(read()) == [
        "professional_roles",
        "skill_set",
        "employments",
        "schedules",
        "access",
        "resume_locale",
        "travel_time",
        "business_trip_readiness",
    ]


@pytest.mark.parametrize("contact", [[MAIL], [CELL]])
def test_both_email_and_phone_are_mandatory(contact: list[dict[str, Any]]) -> None:
    assert "contact" in missing(read(contact=contact))
    both = [MAIL, CELL | {"preferred": False}]
    assert "contact" not in missing(read(contact=both))


def test_progress_grows_with_filled_fields() -> None:
    assert progress({})["percentage"] == 0
    assert 0 < progress(read())["percentage"] < 100
