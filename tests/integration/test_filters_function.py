"""functions/filters, as the BFF and a person call it."""

import json
from datetime import datetime
from typing import Any

import pytest

from local.settings import REPOSITORY
from tests.harness.context import make_context

READ, REPLACE = "GET /api/filters", "PUT /api/filters"
PREVIEW = "POST /api/filters/preview"
EMPTY: dict[str, Any] = {
    "employers": [],
    "title_words": [],
    "description_words": [],
    "salary_floor": None,
    "formats": [],
    "current_employer": None,
    "max_per_employer_per_week": None,
    "repost": "ask",
}
RULES = {
    "employers": [{"id": "1740", "name": None}, {"id": None, "name": "Ромашка"}],
    "title_words": ["продажи", "стаж*"],
    "description_words": ["холодные звонки"],
    "salary_floor": {
        "amount": 150_000,
        "currency": "RUR",
        "gross": False,
        "allow_without_salary": True,
    },
    "formats": ["REMOTE", "flexible"],
    "current_employer": {"id": None, "name": "Пристань"},
    "max_per_employer_per_week": 2,
    "repost": "skip",
}


@pytest.fixture
def anna(core):
    """Return Anna's session and JWT."""
    return core.log_in("anna")


def test_put_replaces_all_rules(core, anna):
    _, jwt = anna
    as_anna = {"jwt": jwt, "secret": None}
    assert core.call(READ, **as_anna).body == {"success": True, "rules": EMPTY, "updated_at": None}
    put = core.call(REPLACE, body={"rules": RULES}, **as_anna)
    assert (put.status, put.body["rules"]) == (200, RULES)
    assert datetime.fromisoformat(put.body["updated_at"]) <= core.now()
    assert core.call(READ, **as_anna).body == put.body
    assert core.call(REPLACE, body={"rules": {"title_words": ["стаж"]}}, **as_anna).status == 200
    assert core.call(READ, **as_anna).body["rules"] == {**EMPTY, "title_words": ["стаж"]}
    assert core.audited()[-2:] == [("user", "filters.replace", "ok")] * 2


def test_rules_belong_to_account_of_session(core, anna):
    session, _ = anna
    other_session, other_jwt = core.log_in("anna")
    _, timurs = core.log_in("timur")
    body = {"rules": RULES, "user_id": session}
    assert core.call(REPLACE, body=body).status == 200
    assert core.call(READ, jwt=other_jwt).body["rules"] == RULES
    assert core.call(READ, query={"user_id": other_session}).body["rules"] == RULES
    assert core.call(READ, jwt=timurs).body["rules"] == EMPTY


def test_unconnected_user_cannot_store_rules(core, anna):
    _, jwt = anna
    core.rows("UPDATE users SET account_id = NULL")
    assert core.call(REPLACE, body={"rules": RULES}, jwt=jwt).refusal == (409, "reauth_required")
    assert core.call(READ, jwt=jwt).body["rules"] == EMPTY
    assert core.call(PREVIEW, body={}, jwt=jwt).body["checked"] == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "rules"),
        ({"rules": {"words": ["x"]}}, "rules.words"),
        ({"rules": RULES, "more": 1}, "more"),
        ({"rules": {"title_words": ["*"]}}, "rules.title_words[0]"),
        ({"rules": {"salary_floor": {"amount": 0}}}, "rules.salary_floor.amount"),
        ({"rules": {"employers": [{}]}}, "rules.employers[0]"),
        ({"rules": {"formats": ["REMOTE", "MARS"]}}, "rules.formats[1]"),
        ({"rules": ["title_words"]}, "rules"),
    ],
)
def test_invalid_rule_is_named_and_not_stored(core, anna, body, field):
    _, jwt = anna
    reply = core.call(REPLACE, body=body, jwt=jwt)
    assert reply.status == 422, reply
    assert [error["field"] for error in reply.body["details"]["fields"]] == [field]
    assert core.call(READ, jwt=jwt).body["updated_at"] is None


def test_repeated_put_is_idempotent(core, anna):
    _, jwt = anna
    answers = [core.call(REPLACE, body={"rules": RULES}, jwt=jwt) for _ in range(2)]
    assert [item.body["rules"] for item in answers] == [RULES] * 2
    assert len(core.rows("SELECT FROM application_filters")) == 1


def test_preview_of_searched_vacancies(core, anna, monkeypatch):
    from ullgetthejob.hh import environment
    from ullgetthejob.hh.search_parameters import SearchParameters
    from ullgetthejob.platform import postgres
    from ullgetthejob.vacancies import search

    _, jwt = anna
    monkeypatch.setenv("HH_ACCESS_TOKEN", core.sandbox.token())
    with postgres.session() as connection:
        queue = environment.search_queue()
        context = make_context(connection, core.now, hh=environment.client())
        found = search.search(SearchParameters(text="", per_page=100), queue, context)
        search.search(SearchParameters(text="", per_page=20, page=5), queue, context)
    rules = {"salary_floor": {"amount": 100_000}, "description_words": ["опыт"]}
    reply = core.call(PREVIEW, body={"rules": rules}, jwt=jwt)
    assert reply.status == 200
    shown = reply.body
    assert shown["checked"] == len(shown["jobs"]) == 100
    assert shown["kept"] == 0, "no description was read yet"
    assert shown["by_rule"]["salary"] == shown["dropped"] > 0
    assert shown["unknown"] == 100 - shown["dropped"]
    ids = [job.id for job in found.jobs[:3]]
    asked = core.call(PREVIEW, body={"job_ids": [*ids, "1"]}, jwt=jwt).body
    assert [job["job_id"] for job in asked["jobs"]] == ids
    assert (asked["kept"], asked["not_stored"]) == (3, ["1"])
    assert core.call(PREVIEW, body={"job_ids": ["x"]}, jwt=jwt).status == 422
    assert core.call(PREVIEW, body={"job_ids": ["1"] * 101}, jwt=jwt).status == 422


def test_unreadable_rules_are_reported_and_replaceable(core, anna):
    _, jwt = anna
    core.call(REPLACE, body={"rules": RULES}, jwt=jwt)
    core.rows('UPDATE application_filters SET rules = \'{"formats": ["MARS"]}\'')
    assert core.call(READ, jwt=jwt).refusal == (409, "filters_unreadable")
    assert core.call(PREVIEW, body={}, jwt=jwt).refusal == (409, "filters_unreadable")
    assert core.call(PREVIEW, body={"rules": RULES}, jwt=jwt).status == 200
    assert core.call(REPLACE, body={"rules": RULES}, jwt=jwt).status == 200
    assert core.call(READ, jwt=jwt).status == 200


@pytest.mark.parametrize("name", ["filters", "filters-replace", "filters-preview"])
def test_sample_events_succeed(core, anna, name):
    session, _ = anna
    sample = (REPOSITORY / "events" / f"{name}.json").read_text()
    event = json.loads(sample.replace("00000000-0000-4000-8000-000000000001", session))
    assert core.invoke(event).status == 200
