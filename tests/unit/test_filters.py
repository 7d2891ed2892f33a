"""The findings of each rule of a person's filters about a vacancy."""

import json
from collections import Counter
from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from local.settings import REPOSITORY
from ullgetthejob.filters import evaluation, models
from ullgetthejob.filters.evaluation import evaluate
from ullgetthejob.filters.models import PreviewBody, Rules, Week
from ullgetthejob.hh.models import Employer, Entry, Salary, Vacancy, VacancyDetail

MOMENT = datetime(2026, 11, 24, 12, tzinfo=UTC)
WANTED = ("ON_SITE", "REMOTE", "HYBRID", "FIELD_WORK")
SCHEDULES = ("fullDay", "shift", "flexible", "remote", "flyInFlyOut")
AMOUNTS = st.integers(1, 1_000_000)


def vacancy(kind=VacancyDetail, **fields):
    plain = {
        "id": "100",
        "name": "Python-разработчик",
        "area": Entry(id="1"),
        "employer": Employer(id="1740", name="ООО «Облачная пристань»"),
        "type": Entry(id="open"),
        "published_at": MOMENT,
    }
    plain |= {"description": "Пишем на Python, иногда продажи."} if kind is VacancyDetail else {}
    return kind(**{**plain, **fields})


def verdicts_of(rules, *, week=None, **fields):
    """Return ``{rule: verdict}`` of the rules that do not keep the vacancy."""
    found = evaluate(Rules.model_validate(rules), vacancy(**fields), week or Week())
    assert len({finding.rule for finding in found}) == len(found)
    return {finding.rule: finding.verdict for finding in found}


ANONYMOUS = Employer(name="Крупная компания")
RICH = Salary(lower=200_000, upper=300_000, currency="RUR", gross=False)


def entries(*ids):
    return tuple(Entry(id=entry_id) for entry_id in ids)


@given(st.sampled_from([Vacancy, VacancyDetail]))
def test_empty_rules_drop_nothing(kind):
    assert evaluate(Rules(), vacancy(kind), Week()) == []


@pytest.mark.parametrize(
    ("rule", "employer", "verdict"),
    [
        ({"id": "1740"}, None, "drop"),
        ({"id": "174"}, None, None),
        ({"name": "облачная пристань"}, None, "drop"),
        ({"name": "Облачной пристани"}, None, "drop"),
        ({"name": "Пристань"}, None, "drop"),
        ({"name": "Пристанище"}, None, None),
        ({"id": "1", "name": "Пристань"}, None, "drop"),
        ({"id": "1740", "name": "Ромашка"}, None, "drop"),
        ({"id": "1740"}, ANONYMOUS, "unknown"),
        ({"name": "Ромашка"}, ANONYMOUS, "unknown"),
        ({"name": "Крупная компания"}, ANONYMOUS, "drop"),
        ({"name": "Ромашка"}, Employer(id="5", name=" "), "unknown"),
    ],
)
def test_employer_matches_by_id_or_name_words(rule, employer, verdict):
    fields = {} if employer is None else {"employer": employer}
    assert verdicts_of({"employers": [rule]}, **fields).get("employer") == verdict
    assert verdicts_of({"employers": [{"id": "9"}, rule]}, **fields).get("employer") == verdict
    assert verdicts_of({"current_employer": rule}, **fields).get("current_employer") == verdict


def test_dropping_employer_rule_precedes_unknown():
    rules = {"employers": [{"id": "9"}, {"name": "Крупная"}]}
    assert verdicts_of(rules, employer=ANONYMOUS) == {"employer": "drop"}


def test_title_and_description_words_match_only_there():
    assert verdicts_of({"title_words": ["разработчики"]}) == {"title": "drop"}
    assert verdicts_of({"title_words": ["продажи"]}) == {}
    assert verdicts_of({"description_words": ["продаж"]}) == {"description": "drop"}
    assert verdicts_of({"description_words": ["разработчик"]}) == {}


@pytest.mark.parametrize("fields", [{"kind": Vacancy}, {"description": " "}])
def test_missing_description_is_unknown(fields):
    assert verdicts_of({"description_words": ["продажи"]}, **fields) == {"description": "unknown"}


@pytest.mark.parametrize(
    ("floor", "salary", "verdict"),
    [
        ({"amount": 300_000}, RICH, None),
        ({"amount": 300_001}, RICH, "drop"),
        ({"amount": 200_000}, Salary(lower=200_000, currency="RUR", gross=False), None),
        ({"amount": 200_001}, Salary(lower=200_000, currency="RUR", gross=False), "drop"),
        # before tax and after
        ({"amount": 87_000}, Salary(upper=100_000, currency="RUR", gross=True), None),
        ({"amount": 87_001}, Salary(upper=100_000, currency="RUR", gross=True), "drop"),
        ({"amount": 87_001}, Salary(upper=100_000, currency="RUR"), "drop"),
        ({"amount": 100_000, "gross": True}, Salary(upper=87_000, currency="RUR", gross=False),
         None),
        ({"amount": 100_000, "gross": True}, Salary(upper=86_999, currency="RUR", gross=False),
         "drop"),
        ({"amount": 100_000, "gross": True}, Salary(upper=100_000, currency="RUR"), None),
        # no salary
        ({"amount": 1}, None, None),
        ({"amount": 1}, Salary(currency="RUR"), None),
        ({"amount": 1, "allow_without_salary": False}, None, "drop"),
        ({"amount": 1, "allow_without_salary": False}, Salary(currency="RUR"), "drop"),
        # what cannot be compared
        ({"amount": 1}, Salary(lower=5_000, currency="USD"), "unknown"),
        ({"amount": 1_000, "currency": "USD"}, Salary(lower=5_000, currency="USD"), None),
        ({"amount": 1}, Salary(lower=5_000, currency="RUR", mode="SHIFT"), "unknown"),
    ],
)  # fmt: skip
def test_salary_floor_verdict(floor, salary, verdict):
    assert verdicts_of({"salary_floor": floor}, salary=salary).get("salary") == verdict


@given(
    AMOUNTS,
    st.tuples(AMOUNTS, AMOUNTS).map(sorted),
    st.booleans(),
    st.sampled_from([True, False, None]),
)
def test_higher_offer_is_kept_where_lower_is_kept(floor, offers, net, gross):
    rules = {"salary_floor": {"amount": floor, "gross": not net}}
    low, high = offers
    verdicts = [
        verdicts_of(rules, salary=Salary(upper=upper, currency="RUR", gross=gross))
        for upper in (low, high)
    ]
    assert verdicts != [{}, {"salary": "drop"}]
    if gross is (not net):
        assert [bool(verdict) for verdict in verdicts] == [low < floor, high < floor]


@pytest.mark.parametrize(
    ("wanted", "formats", "schedule", "verdict"),
    [
        (["REMOTE"], ["REMOTE", "ON_SITE"], None, None),
        (["REMOTE"], ["ON_SITE"], None, "drop"),
        (["REMOTE"], [], "remote", None),
        (["REMOTE"], [], "fullDay", "drop"),
        (["remote"], ["REMOTE"], None, None),
        (["remote"], ["HYBRID"], None, "drop"),
        (["HYBRID"], [], "fullDay", "unknown"),
        (["HYBRID", "remote"], [], "remote", None),
        (["shift"], ["ON_SITE"], None, "unknown"),
        (["shift"], ["ON_SITE"], "shift", None),
        (["shift"], ["ON_SITE"], "fullDay", "drop"),
        (["REMOTE"], [], None, "unknown"),
        (["shift", "HYBRID"], ["ON_SITE"], "fullDay", "drop"),
    ],
)
def test_format_rule_verdict(wanted, formats, schedule, verdict):
    fields = {
        "work_format": entries(*formats),
        "schedule": Entry(id=schedule) if schedule else None,
    }
    assert verdicts_of({"formats": wanted}, **fields).get("format") == verdict


@given(
    st.lists(st.sampled_from([*WANTED, *SCHEDULES]), min_size=1, max_size=9),
    st.sets(st.sampled_from(WANTED)),
    st.sampled_from([None, *SCHEDULES]),
)
def test_wanted_format_is_kept_and_missing_format_is_unknown(wanted, formats, schedule):
    shown = formats | ({schedule} - {None})
    fields = {
        "work_format": entries(*formats),
        "schedule": Entry(id=schedule) if schedule else None,
    }
    verdict = verdicts_of({"formats": wanted}, **fields).get("format")
    if shown & set(wanted):
        assert verdict is None
    if not shown:
        assert verdict == "unknown"
    if verdict is None:
        assert {name.lower() for name in shown} & {name.lower() for name in wanted}


@pytest.mark.parametrize(
    ("made", "unknown", "verdict"),
    [(0, 0, None), (1, 0, None), (2, 0, "drop"), (1, 1, "unknown"), (2, 5, "drop"), (0, 1, None)],
)
def test_weekly_limit_of_employer_verdict(made, unknown, verdict):
    week = Week(
        Counter({"1740": made, "9": 50}), {str(vacancy_id) for vacancy_id in range(unknown)}
    )
    rules = {"max_per_employer_per_week": 2}
    assert verdicts_of(rules, week=week).get("employer_week") == verdict
    assert verdicts_of(rules, week=week, employer=ANONYMOUS) == {"employer_week": "unknown"}


@pytest.mark.parametrize(
    ("policy", "applied_id", "held"),
    [
        ("skip", None, None),
        ("ask", None, None),
        ("allow", "99", None),
        ("skip", "99", models.Held("refused", "filtered_repost")),
        ("ask", "99", models.Held("needs_person", "repost")),
        (None, "99", models.Held("needs_person", "repost")),
    ],
)
def test_repost_is_held_as_the_policy_says(policy, applied_id, held):
    rules = Rules() if policy is None else Rules(repost=policy)
    found = evaluate(rules, vacancy(), Week(), applied_id=applied_id)
    assert evaluation.to_held(found) == held
    assert [finding.because for finding in found] == ([applied_id] if held else [])


def test_other_rules_precede_the_question_about_a_repost():
    unknown = {"description_words": ["продажи"]}
    for rules, fields, held in (
        ({"title_words": ["python"]}, {}, models.Held("refused", "filtered_title")),
        (unknown, {"description": " "}, models.Held("needs_person", "filters_unreadable")),
        ({**unknown, "repost": "skip"}, {"description": " "},
         models.Held("refused", "filtered_repost")),
    ):  # fmt: skip
        found = evaluate(Rules.model_validate(rules), vacancy(**fields), Week(), applied_id="99")
        assert evaluation.to_held(found) == held


def test_repost_policy_alone_is_no_rule_about_vacancies():
    assert [Rules(repost=policy).has_any() for policy in ("skip", "ask", "allow")] == [False] * 3
    assert Rules(title_words=("python",)).has_any()


def test_first_dropping_rule_precedes_unknown():
    rules = Rules.model_validate(
        {"description_words": ["продажи"], "title_words": ["python"], "formats": ["REMOTE"]}
    )
    found = evaluate(rules, vacancy(), Week())
    assert [(finding.rule, finding.verdict) for finding in found] == [
        ("title", "drop"),
        ("description", "drop"),
        ("format", "unknown"),
    ]
    assert [finding.because for finding in found] == ["python", "продажи", "REMOTE"]
    assert evaluation.to_held(found) == models.Held("refused", "filtered_title")
    assert evaluation.to_held(found[2:]) == models.Held("needs_person", "filters_unreadable")


@pytest.mark.parametrize(
    "rules",
    [
        {"unknown": 1},
        {"employers": [{}]},
        {"employers": [{"id": "abc"}]},
        {"employers": [{"id": "1\n"}]},
        {"employers": [{"id": "1", "kind": "x"}]},
        {"employers": [{"id": "1"}] * 201},
        {"title_words": ["!!!"]},
        {"title_words": [""]},
        {"title_words": ["я" * 101]},
        {"title_words": ["слово"] * 101},
        {"title_words": "слово"},
        {"description_words": ["а\x00б"]},
        {"salary_floor": {}},
        {"salary_floor": {"amount": 0}},
        {"salary_floor": {"amount": 1.5}},
        {"salary_floor": {"amount": 10**10}},
        {"salary_floor": {"amount": 1, "currency": "RUB"}},
        {"formats": ["remotely"]},
        {"current_employer": {}},
        {"max_per_employer_per_week": 0},
        {"max_per_employer_per_week": 201},
        {"repost": "never"},
        {"repost": None},
        [],
        None,
    ],
)
def test_invalid_rules_are_refused(rules):
    with pytest.raises(ValidationError):
        Rules.model_validate_json(json.dumps(rules))
    with pytest.raises(ValidationError):
        PreviewBody.model_validate_json(json.dumps({"rules": rules or [], "job_ids": ["1"]}))


def test_stored_rules_round_trip():
    rules = Rules.model_validate(
        {
            "employers": [{"id": "1"}, {"name": "Ромашка"}],
            "title_words": [" стаж* "],
            "salary_floor": {"amount": 1, "gross": True, "allow_without_salary": False},
            "formats": ["REMOTE", "flyInFlyOut"],
            "current_employer": {"name": "Пристань"},
            "max_per_employer_per_week": 1,
            "repost": "allow",
        }
    )
    assert rules.title_words == ("стаж*",)
    stored = json.loads(rules.model_dump_json(exclude_defaults=True))
    assert Rules.model_validate(stored) == rules


def test_formats_and_currencies_equal_hh_dictionaries():
    path = REPOSITORY / "local" / "sandbox" / "data" / "dictionaries.json"
    dictionaries = json.loads(path.read_text())

    def ids(name, key="id"):
        return {entry[key] for entry in dictionaries[name]}

    assert set(get_args(models.WorkFormat)) == ids("work_format")
    assert set(get_args(models.Schedule)) == ids("schedule")
    assert set(get_args(models.Currency)) == ids("currency", "code")
