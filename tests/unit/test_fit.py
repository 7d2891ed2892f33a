"""The score of a resume and a vacancy, part by part."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from tests.fixtures.hh_answers import search_items, vacancy_details
from ullgetthejob import fit
from ullgetthejob.fit.models import Weights
from ullgetthejob.fit.profile import profile_of
from ullgetthejob.fit.scoring import compare_skills
from ullgetthejob.hh import responses
from ullgetthejob.vacancies import store

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
RESUME = {
    "id": "a1",
    "title": "Python-разработчик",
    "professional_roles": [{"id": "96", "name": "Программист, разработчик"}],
    "area": {"id": "2", "name": "Санкт-Петербург"},
    "salary": {"amount": 200000, "currency": "RUR"},
    "total_experience": {"months": 50},
    "work_format": [{"id": "HYBRID"}],
    "skill_set": ["Python", "Postgres", "Docker", "Ответственность"],
    "skills": "Пишу сервисы, знаю очереди сообщений и RabbitMQ.",
    "experience": [{"position": "Backend developer", "description": "REST API на Django"}],
}
BODY = {
    "id": "7",
    "name": "Разработчик Python",
    "area": {"id": "2", "name": "Санкт-Петербург"},
    "employer": {"id": "1", "name": "Почта", "employer_rating": {"total_rating": "4.4"}},
    "salary": {"from": 200000, "to": 260000, "currency": "RUR", "gross": True},
    "type": {"id": "open"},
    "published_at": (NOW - timedelta(days=3)).isoformat(),
    "experience": {"id": "between3And6", "name": "От 3 до 6 лет"},
    "work_format": [{"id": "HYBRID", "name": "Гибрид"}],
    "professional_roles": [{"id": "96"}],
    "description": "<p>Развитие сервисов.</p>",
    "key_skills": [{"name": name} for name in ("Python", "PostgreSQL", "Django", "Kafka")],
}


def vacancy(**changes):
    return responses.vacancy_detail({**BODY, **changes})


def part(part_name, resume=RESUME, **changes):
    found = fit.score(resume, vacancy(**changes), now=NOW)
    return next(reason for reason in found.reasons if reason.part == part_name)


def test_score_is_the_sum_of_points_with_reasons_in_words():
    found = fit.score(RESUME, vacancy(), now=NOW)
    assert found.score == round(sum(reason.points for reason in found.reasons))
    assert found.score > 85
    assert sum(reason.of for reason in found.reasons) == pytest.approx(100, abs=0.5)
    assert found.skills_in_common == ["Python", "PostgreSQL", "Django"]
    assert found.skills_missing == ["Kafka"]
    words = {reason.part: (reason.ru, reason.en) for reason in found.reasons}
    assert words == {
        "title": ("Должность похожа на «Python-разработчик», роль на hh.ru та же",
                  "The title is like “Python-разработчик”, the same role at hh.ru"),
        "skills": ("Общие навыки: Python, PostgreSQL, Django; не хватает: Kafka",
                   "Skills in common: Python, PostgreSQL, Django; missing: Kafka"),
        "experience": ("Опыт подходит: опыт 4.2 г., нужно: от 3 до 6 лет",
                       "Right: experience 4.2 y., wanted: от 3 до 6 лет"),
        "salary": ("Зарплата не ниже желаемой: до 226 200 на руки, желаемая 200 000",
                   "The salary is enough: up to 226 200 net, wanted 200 000"),
        "format": ("Формат подходит: гибрид", "The format fits: hybrid"),
        "city": ("Город подходит: Санкт-Петербург", "The city fits: Санкт-Петербург"),
        "freshness": ("Опубликована дней назад: 3", "Published 3 days ago"),
        "employer_rating": ("Оценка работодателя: 4.4", "The employer is rated 4.4"),
    }  # fmt: skip


def test_score_depends_on_its_arguments_alone():
    first = fit.score(RESUME, vacancy(), now=NOW)
    assert fit.score(profile_of(RESUME), vacancy(), Weights(), now=NOW) == first


@pytest.mark.parametrize(
    ("name", "changes", "fits"),
    [
        ("salary", {"salary": {"from": None, "to": 150000, "currency": "RUR", "gross": False}},
         0.5),
        ("salary", {"salary": {"from": 200000, "to": None, "currency": "RUR", "gross": False}}, 1),
        ("salary", {"salary": {"from": None, "to": 60000, "currency": "RUR"}}, 0),
        ("salary", {"salary": {"from": 3000, "to": None, "currency": "USD"}}, None),
        ("salary", {"salary": None}, None),
        ("salary", {"salary_range": {"from": 9000, "to": None, "currency": "RUR",
                                     "mode": {"id": "SHIFT"}}}, None),
        ("experience", {"experience": {"id": "moreThan6"}}, 50 / 72),
        ("experience", {"experience": {"id": "between1And3"}}, 0.8 - 0.15 * 2 / 12),
        ("experience", {"experience": {"id": "noExperience"}}, 0.8 - 0.15 * 26 / 12),
        ("experience", {"experience": None}, None),
        ("format", {"work_format": [{"id": "ON_SITE"}]}, 0.5),
        ("format", {"work_format": [{"id": "REMOTE"}]}, 0.8),
        ("format", {"work_format": [{"id": "FIELD_WORK"}]}, 0),
        ("format", {"work_format": None, "schedule": {"id": "remote"}}, 0.8),
        ("format", {"work_format": []}, None),
        ("city", {"area": {"id": "1", "name": "Москва"}}, 0),
        ("city", {"area": {"id": "1", "name": "Москва"}, "work_format": [{"id": "REMOTE"}]}, 1),
        ("city", {"area": {"id": "2019", "name": "Область"},
                  "address": {"city": "Санкт-Петербург"}}, 1),
        ("freshness", {"published_at": (NOW - timedelta(days=60)).isoformat()}, 0),
        ("freshness", {"published_at": (NOW + timedelta(hours=3)).isoformat()}, 1),
        ("employer_rating", {"employer": {"id": "1", "name": "А"}}, None),
        ("employer_rating", {"employer": {"id": "1", "name": "А", "employer_rating": None}}, None),
        ("employer_rating", {"employer": {"id": "1", "name": "А",
                                          "employer_rating": {"total_rating": "много"}}}, None),
        ("skills", {"name": "Разработчик",
                    "key_skills": [{"name": "Kafka"}, {"name": "Go"}, {"name": "C++"}]}, 0),
    ],
)  # fmt: skip
def test_part_fits(name, changes, fits):
    found = part(name, **changes)
    assert found.fit == (None if fits is None else pytest.approx(fits, abs=0.001))
    if fits is None:
        assert (found.points, found.of) == (0, 0)


@pytest.mark.parametrize(
    ("relocation", "fits"),
    [
        (None, 0),
        ({"type": {"id": "no_relocation"}, "area": []}, 0),
        ({"type": {"id": "relocation_possible"}, "area": []}, 0.7),
        ({"type": {"id": "relocation_desirable"}, "area": [{"id": "1"}]}, 0.7),
        ({"type": {"id": "relocation_desirable"}, "area": [{"id": "3"}]}, 0),
    ],
)
def test_readiness_to_move_counts_for_the_city(relocation, fits):
    resume = {**RESUME, "relocation": relocation}
    assert part("city", resume, area={"id": "1", "name": "Москва"}).fit == fits


@pytest.mark.parametrize(
    ("own", "offered", "is_common"),
    [
        ("JS", "JavaScript", True), ("Java", "JavaScript", False), ("k8s", "Kubernetes", True),
        ("С++", "C++", True), ("C", "C++", False), ("1C", "1С:Предприятие 8", True),
        ("Ведение переговоров", "ведение  переговоров", True), ("MS Excel", "Excel", True),
        ("Продажи", "Активные продажи", True), ("Go", "Golang", True), ("SQL", "NoSQL", False),
        ("Закупка", "Закупки", True), ("React", "React Native", True), ("Сварка", "Сверка", False),
    ],
)  # fmt: skip
def test_spellings_of_a_skill_are_one(own, offered, is_common):
    offer = vacancy(key_skills=[{"name": offered}])
    common, missing = compare_skills({"skill_set": [own]}, offer)
    assert (common, missing) == (
        ([" ".join(offered.split())], []) if is_common else ([], [" ".join(offered.split())])
    )


def test_skill_of_a_text_counts_less_than_one_of_the_list():
    listed = part("skills", key_skills=[{"name": "Docker"}]).fit
    in_text = part("skills", key_skills=[{"name": "RabbitMQ"}]).fit
    assert listed > in_text > part("skills", key_skills=[{"name": "Kafka"}]).fit


def test_conditions_count_little_where_the_work_is_another():
    skills = [{"name": name} for name in ("Супы", "Соусы", "Гриль")]
    offer = vacancy(name="Повар", professional_roles=[{"id": "94"}], key_skills=skills)
    other = fit.score(RESUME, offer, now=NOW)
    assert other.score < 5
    assert {reason.fit for reason in other.reasons if reason.part in ("salary", "city")} == {1}


def test_weight_of_zero_leaves_a_part_out():
    weights = Weights(city=0, title=100)
    found = fit.score(RESUME, vacancy(area={"id": "1", "name": "Москва"}), weights, now=NOW)
    assert next(reason.of for reason in found.reasons if reason.part == "city") == 0
    only_city = Weights(**dict.fromkeys(Weights.model_fields, 0) | {"city": 1})
    assert fit.score(RESUME, vacancy(), only_city, now=NOW).score == 100


@pytest.mark.parametrize(
    "weights",
    [{"title": -1}, {"title": 101}, {"luck": 1}, dict.fromkeys(Weights.model_fields, 0)],
)
def test_weights_are_bounded(weights):
    with pytest.raises(ValidationError):
        Weights.model_validate(weights)


@pytest.mark.parametrize(
    "resume",
    [
        {},
        {"title": None, "skill_set": None, "experience": None, "salary": None, "area": None},
        {"experience": [None, {"position": None, "description": None}], "relocation": {}},
        {"skill_set": [], "schedules": [{"id": "fullDay"}], "total_experience": None},
    ],
)
def test_incomplete_resume_has_a_score(resume):
    assert 0 <= fit.score(resume, vacancy(), now=NOW).score <= 100


def test_excerpt_of_a_search_has_a_score():
    item = {**BODY, "snippet": {"requirement": "Опыт с Python и Docker", "responsibility": None}}
    found = fit.score(RESUME, responses.vacancy(item), now=NOW)
    assert found.score > 70
    assert found.skills_in_common == ["Python", "Docker"]


def test_vacancies_of_every_shape_of_hh_ru_have_a_score():
    offers = [responses.vacancy(item) for item in search_items()]
    offers += [responses.vacancy_detail(body) for body in vacancy_details()]
    assert len(offers) > 10
    for offer in offers:
        assert 0 <= fit.score(RESUME, offer, now=NOW).score <= 100


def test_hundreds_of_vacancies_are_scored_in_a_cpu_second():
    own = profile_of(RESUME)
    offers = [vacancy(description="Развитие сервисов и команды. " * 80) for _ in range(200)]
    fit.score(own, offers[0], now=NOW)
    begin = time.process_time()
    for offer in offers:
        fit.score(own, offer, now=NOW)
    assert time.process_time() - begin < 2


def test_rating_of_an_employer_is_no_change_of_a_vacancy():
    rated, other = vacancy(), vacancy(employer={"id": "1", "name": "Почта"})
    assert (rated.employer.rating, other.employer.rating) == (4.4, None)
    assert store._hash(rated) == store._hash(other)
    assert store._dump(rated) != store._dump(other)
    renamed = vacancy(employer={"id": "1", "name": "Телеграф"})
    assert store._hash(renamed) != store._hash(rated)
