"""Filters of applications: submit advises, the submitter decides; no token is spent."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness.applying import ANNA, CALLER, ApplyHarness, publish, second_session
from ullgetthejob.applications import commands as application_commands
from ullgetthejob.applications import negotiation_sync, submitter
from ullgetthejob.applications.commands import RetryBody, read_application, retry
from ullgetthejob.applications.filters import commands
from ullgetthejob.applications.filters.models import FiltersBody, PreviewBody
from ullgetthejob.platform import postgres
from ullgetthejob.platform.errors import NeedsPerson
from ullgetthejob.rate_limits import token_bucket
from ullgetthejob.vacancies import store

PIER = {"id": "77001", "name": "ООО «Облачная пристань»"}
OTHER = {"id": "77002", "name": "Ромашка"}
DAY = 24 * 3600
# The sandbox's own texts, by the vacancy's id, may mention duty at night.
DAYTIME = ["Развитие сервисов"]


class FilteringHarness(ApplyHarness):
    """A person who applies with filters."""

    def put(self, **rules):
        body = FiltersBody.model_validate({"rules": rules})
        context = {"connection": self.connection, "now": self.world.now()}
        return commands.replace(body, person=self.person, caller=CALLER, **context)

    def preview(self, **body):
        return commands.preview(
            PreviewBody.model_validate(body),
            person=self.person,
            connection=self.connection,
            now=self.world.now(),
        )

    def retry(self, accepted):
        context = {"connection": self.connection, "now": self.world.now()}
        application_id = str(accepted.application_id)
        return retry(application_id, RetryBody(), person=self.person, caller=CALLER, **context)

    def store(self, vacancy_id):
        """Store the vacancy as a request of its page does."""
        detail = self.hh.vacancy(vacancy_id)
        store.store_detail(detail, connection=self.connection, now=self.world.now())

    def state(self, accepted):
        row = self.row(accepted)
        return row.state, row.reason

    def tokens(self):
        return token_bucket.read_level("submit", self.account_id, now=self.world.now()).tokens


@pytest.fixture
def harness(connected, monkeypatch):
    connected.sandbox.employers_act(False)
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    monkeypatch.setenv("HH_REDIRECT_URI", "https://app.example.org")
    return FilteringHarness(connected)


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
    context = {"person": harness.person, "connection": harness.connection}
    shown = read_application(str(accepted.application_id), **context).application
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
    context = {"person": harness.person, "connection": harness.connection}
    with pytest.raises(NeedsPerson) as refused:
        commands.show(**context)
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


# ── the weekly limit of an employer ──────────────────────────────────────────────────────────────


def test_weekly_limit_of_employer_over_seven_days(harness):
    harness.put(max_per_employer_per_week=2)
    first = [harness.submit(publish(harness, employer=PIER)) for _ in range(4)]
    elsewhere = harness.submit(publish(harness, employer=OTHER))
    harness.run()
    assert sorted(harness.state(application) for application in first) == [
        ("refused", "filtered_employer_week"),
        ("refused", "filtered_employer_week"),
        ("submitted", None),
        ("submitted", None),
    ]
    assert harness.state(elsewhere) == ("submitted", None)
    known = publish(harness, employer=PIER)
    harness.store(known)
    assert harness.submit(known).reason == "filtered_employer_week", "refused at once"
    harness.world.sandbox.advance(7 * DAY - 3600)
    refused = next(
        application for application in first if harness.row(application).state == "refused"
    )
    harness.retry(refused)
    harness.run()
    assert harness.state(refused) == ("refused", "filtered_employer_week")
    harness.world.sandbox.advance(3601)
    harness.retry(refused)
    harness.run()
    assert harness.state(refused) == ("submitted", None)


def test_by_hand_counts_with_unknown_vacancy(harness):
    harness.put(max_per_employer_per_week=1)
    by_hand = harness.submit(publish(harness, employer=PIER, has_test=True))
    harness.run()
    assert harness.state(by_hand) == ("handoff", "test_required")
    confirm_by_hand(harness, by_hand)
    harness.connection.execute("DELETE FROM jobs")
    accepted = [harness.submit(publish(harness, employer=employer)) for employer in (PIER, OTHER)]
    harness.run()
    assert [harness.state(application) for application in accepted] == [
        ("refused", "filtered_employer_week"),
        ("submitted", None),
    ]


def confirm_by_hand(harness, accepted):
    context = {"connection": harness.connection, "now": harness.world.now()}
    application_commands.confirm(
        str(accepted.application_id), person=harness.person, caller=CALLER, **context
    )


def test_by_hand_with_deleted_vacancy_needs_person(harness):
    harness.put(max_per_employer_per_week=2)
    deleted = harness.submit("999999999999")
    harness.run()
    assert harness.state(deleted) == ("refused", "vacancy_not_found")
    harness.connection.execute("UPDATE application_ledger SET state = 'handoff'")
    confirm_by_hand(harness, deleted)
    accepted = [harness.submit(publish(harness, employer=PIER)) for _ in range(2)]
    harness.run()
    assert [harness.state(application) for application in accepted] == [
        ("submitted", None),
        ("needs_person", "filters_unreadable"),
    ]


@pytest.mark.parametrize(("days_ago", "state"), [(1, "refused"), (8, "submitted")])
def test_already_applied_counts_from_its_creation(harness, days_ago, state):
    vacancy = publish(harness, employer=PIER)
    harness.world.sandbox.apply_by_hand(ANNA, vacancy_id=vacancy)
    harness.world.sandbox.advance(days_ago * DAY)
    harness.put(max_per_employer_per_week=1)
    again, second = harness.submit(vacancy), harness.submit(publish(harness, employer=PIER))
    harness.run()
    assert harness.state(again) == ("submitted", "already_applied")
    if harness.row(second).state == "refused":
        harness.retry(second)
        harness.run()
    assert harness.row(second).state == state


def test_by_hand_on_hh_counts_after_sync(harness):
    harness.world.sandbox.apply_by_hand(ANNA, vacancy_id=publish(harness, employer=PIER))
    harness.put(max_per_employer_per_week=1)
    negotiation_sync.schedule_sync(
        harness.account_id, at=harness.world.now(), connection=harness.connection
    )
    accepted = harness.submit(publish(harness, employer=PIER))
    harness.run()
    assert harness.state(accepted) == ("refused", "filtered_employer_week")


def test_failing_hh_lets_nothing_through(harness):
    harness.put(max_per_employer_per_week=1)
    by_hand = harness.submit(publish(harness, employer=PIER, has_test=True))
    harness.run()
    confirm_by_hand(harness, by_hand)
    accepted = harness.submit(publish(harness, employer=PIER))
    harness.connection.execute("DELETE FROM jobs")
    harness.world.sandbox.fault(
        "server_error", path=f"/vacancies/{harness.row(by_hand).vacancy_id}"
    )
    harness.run()
    assert harness.state(accepted)[0] == "queued"
    harness.world.sandbox.control("DELETE", "/faults")
    harness.world.sandbox.advance(60)
    harness.run()
    assert harness.state(accepted) == ("refused", "filtered_employer_week")


def test_uncertain_application_counts_until_settled(harness):
    harness.put(max_per_employer_per_week=1)
    first, second = (harness.submit(publish(harness, employer=PIER)) for _ in range(2))
    harness.world.sandbox.fault("lost", path="/negotiations", method="POST", times=1)
    harness.run()
    assert harness.state(first)[0] == "uncertain"
    assert harness.state(second) == ("refused", "filtered_employer_week")


def test_concurrent_workers_keep_weekly_limit(harness, monkeypatch):
    harness.put(max_per_employer_per_week=3)
    other = second_session(harness)
    accepted = []
    for number in range(12):
        harness.user_id, other = other, harness.user_id
        accepted.append(harness.submit(publish(harness, employer=PIER), f"{number}"))

    def work(number):
        with own_connection() as connection:
            submitter.run(
                harness.account_id,
                hh=harness.hh,
                connection=connection,
                clock=harness.world.now,
                request_id=f"request-{number}",
            )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    harness.run()
    assert len([entry for entry in harness.posted() if entry["outcome"] == "accepted"]) == 3
    states = [harness.state(application) for application in accepted]
    assert states.count(("submitted", None)) == 3
    assert states.count(("refused", "filtered_employer_week")) == 9


def own_connection():
    import psycopg
    from psycopg.rows import dict_row

    return psycopg.connect(postgres.conninfo(), autocommit=True, row_factory=dict_row)


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
    assert commands.show(person=timur.person, connection=timur.connection).updated_at is None
    accepted = timur.submit(publish(harness))
    timur.run()
    assert timur.row(accepted).state == "submitted"
    assert ANNA not in {entry["person"] for entry in harness.world.sandbox.applications()}
