"""Filters of applications: submit advises, the submitter decides; no token is spent."""

from __future__ import annotations

import json

import pytest

from tests.harness.applying import ANNA, publish
from tests.harness.filtering import DAYTIME, OTHER, PIER, FilteringHarness
from ullgetthejob.applications.commands import read_application
from ullgetthejob.filters import commands
from ullgetthejob.platform.errors import NeedsPerson


@pytest.fixture
def harness(quiet_world):
    return FilteringHarness(quiet_world)


DROPPED = {
    "employer": ({"employers": [{"id": PIER["id"]}]}, {}),
    "current_employer": ({"current_employer": {"name": "Облачной пристани"}}, {}),
    "title": ({"title_words": ["разработчики"]}, {}),
    "description": ({"description_words": ["дежурства"]}, {"duties": ["Ночные дежурства"]}),
    "salary": (
        {"salary_floor": {"amount": 100_000}},
        {"salary": {"to": 100_000, "gross": True}},
    ),
    "format": ({"formats": ["REMOTE"]}, {"work_format": ["ON_SITE"]}),
}


@pytest.mark.parametrize("rule", DROPPED)
def test_rule_drops_at_submit_or_in_the_submitter(harness, rule):
    rules, fields = DROPPED[rule]
    stored, unknown = (publish(harness, employer=PIER, **fields) for _ in range(2))
    harness.store(stored)
    harness.put(**rules)
    at_once, later = harness.submit(stored), harness.submit(unknown)
    assert (at_once.status, at_once.state, at_once.reason) == (
        "refused",
        "refused",
        f"filtered_{rule}",
    )
    assert later.status == "processing"
    harness.run()
    assert harness.state(at_once) == harness.state(later) == ("refused", f"filtered_{rule}")
    assert harness.posted() == []
    assert harness.tokens() == 20
    shown = harness.connection.execute("SELECT status, error_message FROM applications").fetchall()
    assert shown == [{"status": "failed", "error_message": f"filtered_{rule}"}] * 2


def test_vacancy_that_no_rule_drops_is_sent(harness):
    everything = {name: value for rules, _ in DROPPED.values() for name, value in rules.items()}
    harness.put(**everything, max_per_employer_per_week=1)
    accepted = harness.submit(
        str(
            harness.world.sandbox.publish(
                "Аналитик данных",
                employer=OTHER,
                work_format=["REMOTE"],
                salary={"from": 150_000},
                duties=DAYTIME,
            )["id"]
        )
    )
    harness.run()
    assert harness.state(accepted) == ("submitted", None)


def test_filtered_application_is_retried_after_new_rules(harness):
    vacancy = publish(harness, employer=PIER)
    harness.store(vacancy)
    harness.put(title_words=["разработчик"])
    accepted = harness.submit(vacancy)
    application_id = str(accepted.application_id)
    shown = read_application(application_id, harness.person, harness.context).application
    assert [(step.state, step.reason) for step in shown.history] == [("refused", "filtered_title")]
    assert harness.submit(vacancy).application_id == accepted.application_id
    assert harness.retry(accepted).application.state == "queued"
    harness.run()
    assert harness.state(accepted) == ("refused", "filtered_title"), "the rules still apply"
    harness.put()
    harness.retry(accepted)
    harness.run()
    assert harness.state(accepted) == ("submitted", None)


def test_retry_by_bff_does_not_override_rules(harness):
    harness.put(title_words=["разработчик"])
    accepted = harness.submit(publish(harness))
    harness.run()
    harness.connection.execute("UPDATE applications SET status='pending', error_message=NULL")
    assert harness.sweep().retried == 1
    harness.run()
    assert harness.state(accepted) == ("refused", "filtered_title")
    assert harness.posted() == []


def test_new_rules_apply_to_waiting_applications(harness):
    accepted = harness.submit(publish(harness))
    harness.put(title_words=["разработчик"])
    harness.run()
    assert harness.state(accepted) == ("refused", "filtered_title")


def test_submitter_evaluates_current_vacancy(harness):
    vacancy = publish(harness, employer=PIER, work_format=["ON_SITE"])
    harness.store(vacancy)
    harness.connection.execute(
        "UPDATE jobs SET detail = jsonb_set(detail, '{work_format,0,id}', '\"REMOTE\"')"
    )
    harness.put(formats=["REMOTE"])
    accepted = harness.submit(vacancy)
    assert accepted.status == "processing"
    harness.run()
    assert harness.state(accepted) == ("refused", "filtered_format")


def test_filter_precedes_required_test(harness):
    harness.put(title_words=["разработчик"])
    accepted = harness.submit(publish(harness, has_test=True))
    harness.run()
    assert harness.state(accepted) == ("refused", "filtered_title")


# ── fail closed ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "stored", [{"title_words": [""]}, {"salaries": 1}, {"formats": ["MARS"]}, [], "x", None]
)
def test_unreadable_rules_let_nothing_through(harness, stored):
    vacancy = publish(harness)
    harness.store(vacancy)
    harness.connection.execute(
        "INSERT INTO application_filters (account_id, rules, updated_at)"
        " VALUES (%s, %s::jsonb, %s)",
        (harness.account_id, json.dumps(stored), harness.world.now()),
    )
    accepted = harness.submit(vacancy)
    assert accepted.status == "processing"
    harness.run()
    assert harness.state(accepted) == ("needs_person", "filters_unreadable")
    assert harness.row(accepted).link
    assert (harness.posted(), harness.tokens()) == ([], 20)
    with pytest.raises(NeedsPerson) as refused:
        commands.show(harness.person, harness.context)
    assert refused.value.code == "filters_unreadable"
    with pytest.raises(NeedsPerson):
        harness.preview()
    assert harness.preview(rules={}).kept == 1
    harness.put()
    harness.retry(accepted)
    harness.run()
    assert harness.state(accepted) == ("submitted", None)


@pytest.mark.parametrize(
    ("rules", "fields"),
    [
        ({"current_employer": {"id": "77001"}}, {"type": "anonymous"}),
        ({"employers": [{"name": "Облачная пристань"}]}, {"type": "anonymous"}),
        ({"max_per_employer_per_week": 5}, {"type": "anonymous"}),
        ({"salary_floor": {"amount": 1}}, {"salary": {"from": 9_000, "currency": "USD"}}),
        ({"salary_floor": {"amount": 1}}, {"salary": {"from": 9_000, "mode": "SHIFT"}}),
    ],
)
def test_vacancy_without_facts_needs_person(harness, rules, fields):
    harness.put(**rules)
    vacancy = publish(harness, employer=PIER, **fields)
    harness.store(vacancy)
    accepted = harness.submit(vacancy)
    assert accepted.status == "processing", "the submitter decides"
    harness.run()
    assert harness.state(accepted) == ("needs_person", "filters_unreadable")
    assert harness.row(accepted).link
    assert harness.posted() == []


# ── preview ──────────────────────────────────────────────────────────────────────────────────────


def test_preview_returns_verdicts_and_findings(harness):
    ids = [
        publish(harness, employer=PIER, work_format=["ON_SITE"], duties=["Ночные дежурства"]),
        publish(harness, employer=OTHER, work_format=["REMOTE"], duties=DAYTIME),
        publish(harness, employer=OTHER, work_format=["REMOTE"], duties=DAYTIME),
        publish(harness, employer=OTHER, work_format=["REMOTE"], duties=DAYTIME, type="anonymous"),
    ]
    for vacancy_id in ids:
        harness.store(vacancy_id)
    rules = {
        "employers": [{"name": "Пристань"}],
        "formats": ["REMOTE"],
        "description_words": ["дежурств*"],
        "max_per_employer_per_week": 1,
    }
    shown = harness.preview(rules=rules, job_ids=[*ids, "5", ids[0]])
    assert (shown.checked, shown.kept, shown.dropped, shown.unknown) == (4, 1, 2, 1)
    assert shown.not_stored == ["5"]
    assert [job.job_id for job in shown.jobs] == ids
    assert [job.verdict for job in shown.jobs] == ["drop", "keep", "drop", "unknown"]
    findings = shown.jobs[0].findings
    assert {finding.rule: finding.because.split(",")[0] for finding in findings} == {
        "employer": "Пристань",
        "description": "дежурств*",
        "format": "ON_SITE",
    }
    assert {rule: number for rule, number in shown.by_rule.items() if number} == {
        "employer": 1,
        "description": 1,
        "format": 1,
        "employer_week": 1,
    }
    newest = harness.preview(rules=rules)
    assert {job.job_id for job in newest.jobs} == set(ids)
    assert harness.preview().kept == 4, "nothing is stored yet"
    harness.put(**rules)
    assert harness.preview().jobs == newest.jobs
    assert harness.posted() == []


def test_preview_agrees_with_later_submissions(harness):
    employers = (PIER, OTHER, PIER, OTHER, PIER)
    search = [publish(harness, employer=employer) for employer in employers]
    for vacancy_id in search:
        harness.store(vacancy_id)
    harness.put(current_employer={"id": OTHER["id"]}, max_per_employer_per_week=2)
    previewed = {job.job_id: job.verdict for job in harness.preview(job_ids=search).jobs}
    accepted = [harness.submit(vacancy_id) for vacancy_id in search]
    harness.run()
    assert previewed == {
        application.job_id: "keep" if harness.row(application).state == "submitted" else "drop"
        for application in accepted
    }


def test_rules_of_another_account_do_not_apply(harness):
    harness.put(title_words=["разработчик"])
    timur = FilteringHarness(harness.world, "timur")
    assert commands.show(timur.person, timur.context).updated_at is None
    accepted = timur.submit(publish(harness))
    timur.run()
    assert timur.row(accepted).state == "submitted"
    assert ANNA not in {entry["person"] for entry in harness.world.sandbox.applications()}
