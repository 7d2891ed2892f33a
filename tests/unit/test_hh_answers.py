"""hh.ru's answers in the shapes of real ones, parsed into models and errors."""

import json
import re
from datetime import datetime, timedelta

import pytest

from tests.fixtures.hh_answers import (
    list_answers,
    read_answer,
    search_items,
    vacancy_details,
)
from ullgetthejob.accounts import resumes
from ullgetthejob.hh import dictionaries, errors, responses
from ullgetthejob.hh.error_parsing import (
    Received,
    parse,
    parse_application,
    parse_resume,
    parse_token,
)
from ullgetthejob.hh.error_rules import REFRESH
from ullgetthejob.hh.models import Employer, NegotiationPage, SearchPage, Vacancy, VacancyDetail


def received(name):
    """Return an error as hh.ru sends it; the status is in the name of its file."""
    status = int(re.fullmatch(r"error_(\d{3})_\w+", name)[1])
    body = json.dumps(read_answer(name)).encode()
    return Received(status, {"content-type": "application/json"}, body, "GET", "/vacancies/1")


# ── vacancies ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", list_answers("vacancies_*"))
def test_search_page_is_read_whole(name):
    answer = read_answer(name)
    page = responses.search_page(answer)
    assert page.unreadable == 0
    assert [vacancy.id for vacancy in page.items] == [item["id"] for item in answer["items"]]
    numbers = (page.found, page.page, page.pages, page.per_page)
    assert numbers == tuple(answer[key] for key in ("found", "page", "pages", "per_page"))
    assert SearchPage.model_validate_json(page.model_dump_json()) == page


def test_search_item_keeps_its_fields():
    for item in search_items():
        vacancy = responses.vacancy(item)
        assert (vacancy.id, vacancy.name) == (item["id"], item["name"])
        assert vacancy.area.id == item["area"]["id"]
        assert vacancy.employer.id == item["employer"].get("id")
        assert vacancy.published_at == datetime.fromisoformat(item["published_at"])
        assert vacancy.published_at.utcoffset() == timedelta(hours=3)
        for flag in ("premium", "has_test", "response_letter_required", "archived"):
            assert getattr(vacancy, flag) is item[flag]


def test_search_item_snippet_has_no_markup():
    for item in search_items():
        snippet = responses.vacancy(item).snippet
        text = snippet.requirement + snippet.responsibility
        assert "<" not in text
        assert "&quot;" not in text
        for key in ("requirement", "responsibility"):
            assert bool(getattr(snippet, key)) == bool(item["snippet"][key])


def test_search_item_salary_prefers_the_newer_key():
    for item in search_items():
        salary = responses.vacancy(item).salary
        given = item.get("salary_range") or item["salary"]
        assert (salary is None) == (given is None)
        if salary is not None:
            assert (salary.lower, salary.upper) == (given["from"], given["to"])
            assert (salary.currency, salary.gross) == (given["currency"], given["gross"])
            assert salary.mode == given.get("mode", {"id": "MONTH"})["id"]
            assert salary.frequency == (given.get("frequency") or {"id": None})["id"]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("vacancies_old_shape", True, False),
        ("vacancies_both_shapes", True, True),
        ("vacancies_new_shape", False, True),
    ],
)
def test_search_item_has_the_keys_of_its_generation(name, old, new):
    for vacancy in responses.search_page(read_answer(name)).items:
        assert new == (vacancy.employment_form is not None)
        assert old or (vacancy.schedule, vacancy.employment) == (None, None)
        assert new or vacancy.work_format == vacancy.working_hours == ()


def test_search_item_survives_json():
    for item in search_items():
        vacancy = responses.vacancy(item)
        text = vacancy.model_dump_json(exclude_defaults=True)
        assert Vacancy.model_validate_json(text) == vacancy


def test_employer_of_anonymous_vacancy_has_no_id():
    answer = read_answer("vacancy_old_shape_anonymous_archived")
    detail = responses.vacancy_detail(answer)
    assert detail.type.id == "anonymous"
    assert detail.archived
    assert detail.employer == Employer(name="Компания, которой нет", trusted=True)


@pytest.mark.parametrize("name", list_answers("vacancy_*"))
def test_vacancy_detail_is_read_and_survives_json(name):
    answer = read_answer(name)
    detail = responses.vacancy_detail(answer)
    assert detail.id == answer["id"]
    assert detail.description
    assert "<" not in detail.description
    assert "tmpl_hh" not in detail.description
    assert detail.key_skills == tuple(skill["name"] for skill in answer["key_skills"])
    assert detail.allow_messages is answer["allow_messages"]
    text = detail.model_dump_json(exclude_defaults=True)
    assert VacancyDetail.model_validate_json(text) == detail


def test_vacancy_detail_keeps_paragraphs_and_entities():
    detail = responses.vacancy_detail(read_answer("vacancy_old_shape_required_test"))
    lines = [line for line in detail.description.splitlines() if line.strip()]
    assert lines[1].startswith("Ищем коллегу №")
    assert any("Ждём от вас:" in line for line in lines)
    assert "Зарплата > средней, график 5/2." in lines


def test_branded_page_replaces_an_empty_description():
    answer = read_answer("vacancy_old_shape_branded") | {"description": ""}
    text = responses.vacancy_detail(answer).description
    assert "Работа, которой нет." in text
    assert "script" not in text
    assert "margin" not in text


@pytest.mark.parametrize(
    ("name", "required"),
    [
        ("vacancy_old_shape_required_test", True),
        ("vacancy_both_shapes_optional_test_branded", False),
    ],
)
def test_vacancy_detail_says_whether_its_test_is_required(name, required):
    detail = responses.vacancy_detail(read_answer(name))
    assert detail.has_test
    assert detail.test.required is required


def test_licences_and_languages_of_a_vacancy_are_read():
    details = [responses.vacancy_detail(answer) for answer in vacancy_details()]
    assert ("B",) in {detail.driver_license_types for detail in details}
    assert "eng" in {language.id for detail in details for language in detail.languages}


def test_new_shape_detail_has_no_old_keys():
    detail = responses.vacancy_detail(read_answer("vacancy_new_shape"))
    assert (detail.schedule, detail.employment) == (None, None)
    assert detail.employment_form.id
    assert detail.salary.mode == "MONTH"


# ── a person's answers ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("kind", "applicant"), [("applicant", True), ("employer", False)])
def test_me_names_the_kind_of_account(kind, applicant):
    answer = read_answer(f"me_{kind}")
    person = responses.me(answer)
    assert (person.id, person.auth_type) == (answer["id"], kind)
    assert (person.is_applicant, person.is_employer) == (applicant, not applicant)
    assert answer["email"] not in person.model_dump_json()


def test_resumes_of_a_person_are_read():
    items, pages = responses.resume_page(read_answer("resumes_mine"))
    assert pages == 1
    assert [item["title"] for item in items] == ["Инженер по данным", "Python-разработчик"]
    assert responses.resume_page(read_answer("resumes_none")) == ([], 0)


def test_resume_is_read_for_the_bff_import():
    resume = resumes._for_import(responses.resume(read_answer("resume")))
    content = resume.model_dump()
    assert content["email"] == "ivan.primerov@example.org"
    assert content["phone"] == "+79005550177"
    assert content["skills"][0] == "Python"
    schools = [school["school"] for school in content["education"]]
    assert schools == ["Выдуманный университет", "Выдуманные курсы"]
    assert [job["company"] for job in content["experience"]] == [
        "ООО «Пример Лабс»", "Тестовая Мануфактура",
    ]  # fmt: skip


def test_creation_of_resumes_is_available():
    assert responses.creation_is_available(read_answer("resumes_creation_availability"))


def test_negotiations_are_read_with_deleted_vacancies():
    page = responses.negotiation_page(read_answer("negotiations"))
    assert page.pages == 1
    assert [item.state for item in page.items] == ["discard", "invitation", "response", "hidden"]
    assert [item.viewed for item in page.items] == [True, True, False, False]
    assert (page.items[3].vacancy_id, page.items[3].resume_id) == (None, None)
    assert page.items[0].vacancy_id.isdigit()
    assert page.items[0].updated_at > page.items[0].created_at
    assert NegotiationPage.model_validate_json(page.model_dump_json()) == page


# ── dictionaries ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "name", "place", "code", "text"),
    [
        ("/dictionaries", "dictionaries", "experience", "noExperience", "Нет опыта"),
        ("/dictionaries", "dictionaries", "currency", "RUR", "Рубли"),
        ("/areas", "areas", "ids", "3", "Екатеринбург"),
        ("/areas", "areas", "ids", "16", "Беларусь"),
        ("/metro", "metro", "ids", "1.12", "Выдуманный мост"),
        ("/professional_roles", "professional_roles", "ids", "124", "Тестировщик"),
        ("/industries", "industries", "ids", "7.540", "Разработка программного обеспечения"),
    ],
)
def test_dictionary_is_read_into_names_by_code(path, name, place, code, text):
    assert dictionaries._READERS[path](read_answer(name))[place][code] == text


# ── errors ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("error_400_bad_argument", errors.HHBadArgument),
        ("error_403_captcha", errors.HHCaptcha),
        ("error_403_token_revoked", errors.HHTokenRefused),
        ("error_404_not_found", errors.HHNotFound),
    ],
)
def test_error_answer_raises_its_error(name, error):
    with pytest.raises(error):
        parse(received(name))


def test_too_many_requests_is_unavailable_for_a_while():
    with pytest.raises(errors.Unavailable) as raised:
        parse(received("error_429_too_many_requests"))
    assert raised.value.retry_after_s > 0


def test_captcha_answer_carries_its_address():
    with pytest.raises(errors.HHCaptcha) as raised:
        parse(received("error_403_captcha"))
    assert raised.value.captcha_url == "https://hh.ru/account/captcha?state=example"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("error_400_limit_exceeded", "limit_exceeded"),
        ("error_403_already_applied", "already_applied"),
    ],
)
def test_refused_application_names_its_reason(name, reason):
    with pytest.raises(errors.HHApplyRefused) as raised:
        parse_application(received(name))
    assert raised.value.reason == reason


def test_refused_resume_names_its_fields():
    with pytest.raises(errors.HHResumeRefused) as raised:
        parse_resume(received("error_400_resume_fields"))
    assert set(raised.value.fields) == {"skill_set", "title"}


def test_used_refresh_token_is_refused():
    with pytest.raises((errors.HHRefreshRefused, errors.HHTokenRefused)):
        parse_token(received("error_400_token_grant"), REFRESH)
