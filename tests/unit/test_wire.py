"""hh.ru's answers into models: our own samples, and answers in the shapes of real ones."""

from tests.fixtures import hh_answers
from ullgetthejob.hh import responses
from ullgetthejob.hh.models import Salary, Vacancy, VacancyDetail

MINIMAL = {
    "id": "130000001",
    "name": "Python-разработчик",
    "area": {"id": "1", "name": "Москва"},
    "employer": {"name": "Аноним"},
    "type": {"id": "anonymous", "name": "Анонимная"},
    "published_at": "2026-08-20T10:15:30+0300",
}


def test_salary_range_precedes_salary():
    month = {"from": 1, "to": 2, "currency": "RUR", "gross": True}
    hour = {**month, "mode": {"id": "HOUR"}, "frequency": {"id": "WEEKLY"}}
    assert responses.vacancy({**MINIMAL, "salary": month}).salary == Salary(
        lower=1, upper=2, currency="RUR", gross=True
    )
    both = responses.vacancy({**MINIMAL, "salary": month, "salary_range": hour}).salary
    assert (both.mode, both.frequency) == ("HOUR", "WEEKLY")
    assert responses.vacancy({**MINIMAL, "salary": None, "salary_range": None}).salary is None


def test_both_shapes_of_employment_are_read_and_may_be_absent():
    old = {"schedule": {"id": "remote", "name": "Удаленно"}, "employment": {"id": "full"}}
    new = {"work_format": [{"id": "REMOTE"}], "employment_form": {"id": "FULL"}}
    assert responses.vacancy({**MINIMAL, **old}).schedule.id == "remote"
    assert responses.vacancy({**MINIMAL, **new}).work_format[0].id == "REMOTE"
    bare = responses.vacancy(MINIMAL)
    assert (bare.schedule, bare.employment, bare.employment_form) == (None, None, None)
    assert bare.work_format == ()


def test_null_means_absent():
    nulls = {"schedule": None, "work_format": None, "archived": None, "address": None}
    assert responses.vacancy({**MINIMAL, **nulls}) == responses.vacancy(MINIMAL)


def test_snippets_lose_their_tags():
    snippet = {"requirement": "<highlighttext>Python</highlighttext> 3", "responsibility": None}
    read = responses.vacancy({**MINIMAL, "snippet": snippet}).snippet
    assert (read.requirement, read.responsibility) == ("Python 3", "")


def test_branded_description_replaces_an_empty_one():
    branded = "<style>p{}</style><p>Мы ищем</p>"
    detail = responses.vacancy_detail(
        {**MINIMAL, "description": "", "branded_description": branded}
    )
    assert detail.description == "Мы ищем"


def test_search_items_in_real_shapes_survive_json():
    items = hh_answers.search_items()
    for item in items:
        vacancy = responses.vacancy(item)
        assert vacancy.id == item["id"]
        assert vacancy.name == item["name"]
        assert "<" not in vacancy.snippet.requirement + vacancy.snippet.responsibility
        assert (
            Vacancy.model_validate_json(vacancy.model_dump_json(exclude_defaults=True)) == vacancy
        )


def test_details_in_real_shapes_survive_json():
    details = hh_answers.vacancy_details()
    for answer in details:
        detail = responses.vacancy_detail(answer)
        assert detail.description
        assert detail.key_skills == tuple(skill["name"] for skill in answer["key_skills"])
        text = detail.model_dump_json(exclude_defaults=True)
        assert VacancyDetail.model_validate_json(text) == detail
