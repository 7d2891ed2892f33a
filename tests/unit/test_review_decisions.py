"""What becomes of an application that is examined, and what a yes is of."""

from types import SimpleNamespace

import pytest

from ullgetthejob.applications.reviews import examination, store
from ullgetthejob.hh.models import Employer, Entry, Salary, VacancyDetail

VACANCY = VacancyDetail(
    id="7", name="Бухгалтер", area=Entry(id="1"), employer=Employer(id="5", name="Лес"),
    type=Entry(id="open"), published_at="2026-11-01T00:00:00Z", description="Отчёты и сверки",
    salary=Salary(lower=100, currency="RUR"),
)  # fmt: skip


def application(**fields):
    own = {"review": "never", "min_fit": None, "letter": None, "letter_template_id": None}
    return SimpleNamespace(**own | fields)


def examined(*rules, score=50, letter="Здравствуйте!", problem=None):
    findings = [SimpleNamespace(rule=rule) for rule in rules]
    return examination.Examination(letter, SimpleNamespace(score=score), findings, problem)


def decide(own, found, *, was_shown=False, vacancy=VACANCY):
    return examination.decide(own, found, vacancy, was_shown=was_shown)


@pytest.mark.parametrize(
    ("fields", "found", "decision"),
    [
        ({}, examined("number"), (None, None)),
        ({"review": "findings"}, examined(), (None, None)),
        ({"review": "findings"}, examined("number"), ("review", "letter_findings")),
        ({"review": "always"}, examined(), ("review", "review_asked_for")),
        ({"letter_template_id": "t"}, examined("number"), (None, None)),
        ({"letter_template_id": "t"}, examined("placeholder"), ("review", "letter_findings")),
        ({"min_fit": 50}, examined(), (None, None)),
        ({"min_fit": 51}, examined(), ("refused", "filtered_fit")),
        ({"min_fit": 51, "review": "always"}, examined(), ("refused", "filtered_fit")),
        (
            {"letter_template_id": "t"},
            examined(letter=None, problem="template_not_found"),
            ("review", "template_not_found"),
        ),
    ],
)
def test_examination_decides(fields, found, decision):
    assert decide(application(**fields), found) == decision


def test_approved_application_returns_only_as_changed():
    own = application(review="always", min_fit=90)
    assert decide(own, examined("number"), was_shown=True) == ("review", "vacancy_changed")


def test_wanted_letter_that_is_missing_is_not_sent():
    vacancy = VACANCY.model_copy(update={"response_letter_required": True})
    decision = decide(application(review="findings"), examined(letter=None), vacancy=vacancy)
    assert decision == ("needs_person", "letter_required")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Главный бухгалтер"},
        {"employer": Employer(id="6", name="Лес")},
        {"salary": Salary(lower=90, currency="RUR")},
        {"salary": None},
        {"area": Entry(id="2")},
        {"description": "Отчёты"},
    ],
)
def test_material_change_is_another_offer(change):
    changed = VACANCY.model_copy(update=change)
    assert examination.digest_offer(changed, "r") != examination.digest_offer(VACANCY, "r")


def test_other_date_and_rating_are_the_same_offer():
    employer = Employer(id="5", name="Лес", rating=4.5)
    changed = VACANCY.model_copy(update={"employer": employer, "archived": False, "premium": True})
    assert examination.digest_offer(changed, "r") == examination.digest_offer(VACANCY, "r")
    assert examination.digest_offer(VACANCY, "r") != examination.digest_offer(VACANCY, "other")


def test_yes_is_of_one_letter_and_one_offer():
    review = store.Review(b"offer", examination.hash_letter("Да"), was_approved=True)
    assert review.allows("Да", b"offer")
    assert not review.allows("Да ", b"offer")
    assert not review.allows("Да", b"other")
    assert not store.Review(b"offer", None, was_approved=False).allows_letter(None)


@pytest.mark.parametrize("text", ["{% if skills.common %}да{% endif %}", "{{ employer }}", "{{"])
def test_template_without_a_letter_says_why(text):
    vacancy = VACANCY.model_copy(update={"employer": Employer(name="Аноним")})
    letter, problem = examination.make_letter(text, {}, vacancy)
    assert letter is None
    assert problem in ("letter_empty", "template_value_missing", "template_invalid")
