"""Filters on the way of an application: submit advises, the applier decides; nothing is spent."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from tests.integration.test_apply import ANNA, CALLER, Desk, publish
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
# What the sandbox makes up, by the vacancy's id, may speak of duty at night.
DAYTIME = ["Развитие сервисов"]


class FilteringDesk(Desk):
    """Somebody who applies, but not everywhere."""

    def put(self, **rules):
        body = FiltersBody.model_validate({"rules": rules})
        about = {"connection": self.connection, "now": self.world.now()}
        return commands.replace(body, person=self.person, caller=CALLER, **about)

    def preview(self, **body):
        return commands.preview(
            PreviewBody.model_validate(body),
            person=self.person,
            connection=self.connection,
            now=self.world.now(),
        )

    def retry(self, accepted):
        about = {"connection": self.connection, "now": self.world.now()}
        id = str(accepted.application_id)
        return retry(id, RetryBody(), person=self.person, caller=CALLER, **about)

    def see(self, vacancy_id):
        """Store it as a look at its page does."""
        detail = self.hh.vacancy(vacancy_id)
        store.store_detail(detail, connection=self.connection, now=self.world.now())

    def where(self, accepted):
        row = self.row(accepted)
        return row.state, row.reason

    def tokens(self):
        return token_bucket.read_level("submit", self.account_id, now=self.world.now()).tokens


@pytest.fixture
def desk(connected, monkeypatch):
    connected.sandbox.employers_act(False)
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    monkeypatch.setenv("HH_REDIRECT_URI", "https://app.example.org")
    return FilteringDesk(connected)


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
def test_a_rule_drops_at_submit_what_is_stored_and_in_the_applier_what_is_not(desk, rule):
    rules, fields = DROPPED[rule]
    seen, unseen = (publish(desk, employer=PIER, **fields) for _ in range(2))
    desk.see(seen)
    desk.put(**rules)
    at_once, later = desk.submit(seen), desk.submit(unseen)
    assert (at_once.status, at_once.state, at_once.reason) == (
        "refused",
        "refused",
        f"filtered_{rule}",
    )
    assert later.status == "processing"
    desk.run()
    assert desk.where(at_once) == desk.where(later) == ("refused", f"filtered_{rule}")
    assert desk.posted() == []
    assert desk.tokens() == 20
    shown = desk.connection.execute("SELECT status, error_message FROM applications").fetchall()
    assert shown == [{"status": "failed", "error_message": f"filtered_{rule}"}] * 2


def test_what_no_rule_drops_goes_out(desk):
    everything = {name: value for rules, _ in DROPPED.values() for name, value in rules.items()}
    desk.put(**everything, max_per_employer_per_week=1)
    accepted = desk.submit(
        str(
            desk.world.sandbox.publish(
                "Аналитик данных",
                employer=OTHER,
                work_format=["REMOTE"],
                salary={"from": 150_000},
                duties=DAYTIME,
            )["id"]
        )
    )
    desk.run()
    assert desk.where(accepted) == ("submitted", None)


def test_a_filtered_one_is_history_and_can_be_asked_again_with_other_rules(desk):
    vacancy = publish(desk, employer=PIER)
    desk.see(vacancy)
    desk.put(title_words=["разработчик"])
    accepted = desk.submit(vacancy)
    about = {"person": desk.person, "connection": desk.connection}
    shown = read_application(str(accepted.application_id), **about).application
    assert [(step.state, step.reason) for step in shown.history] == [("refused", "filtered_title")]
    assert desk.submit(vacancy).application_id == accepted.application_id
    assert desk.retry(accepted).application.state == "queued"
    desk.run()
    assert desk.where(accepted) == ("refused", "filtered_title"), "the rules still hold"
    desk.put()
    desk.retry(accepted)
    desk.run()
    assert desk.where(accepted) == ("submitted", None)


def test_the_bff_s_wish_to_retry_does_not_go_past_the_rules(desk):
    desk.put(title_words=["разработчик"])
    accepted = desk.submit(publish(desk))
    desk.run()
    desk.connection.execute("UPDATE applications SET status='pending', error_message=NULL")
    assert desk.sweep().retried == 1
    desk.run()
    assert desk.where(accepted) == ("refused", "filtered_title")
    assert desk.posted() == []


def test_new_rules_hold_for_what_waits_already(desk):
    accepted = desk.submit(publish(desk))
    desk.put(title_words=["разработчик"])
    desk.run()
    assert desk.where(accepted) == ("refused", "filtered_title")


def test_the_applier_decides_with_the_vacancy_as_it_is_now(desk):
    vacancy = publish(desk, employer=PIER, work_format=["ON_SITE"])
    desk.see(vacancy)
    desk.connection.execute(
        "UPDATE jobs SET detail = jsonb_set(detail, '{work_format,0,id}', '\"REMOTE\"')"
    )
    desk.put(formats=["REMOTE"])
    accepted = desk.submit(vacancy)
    assert accepted.status == "processing"
    desk.run()
    assert desk.where(accepted) == ("refused", "filtered_format")


def test_nobody_is_asked_to_pass_the_test_of_a_vacancy_that_is_filtered(desk):
    desk.put(title_words=["разработчик"])
    accepted = desk.submit(publish(desk, has_test=True))
    desk.run()
    assert desk.where(accepted) == ("refused", "filtered_title")


# ── fail closed ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "stored", [{"title_words": [""]}, {"salaries": 1}, {"formats": ["MARS"]}, [], "x", None]
)
def test_rules_that_cannot_be_read_let_nothing_through(desk, stored):
    vacancy = publish(desk)
    desk.see(vacancy)
    desk.connection.execute(
        "INSERT INTO application_filters (account_id, rules, updated_at)"
        " VALUES (%s, %s::jsonb, %s)",
        (desk.account_id, json.dumps(stored), desk.world.now()),
    )
    accepted = desk.submit(vacancy)
    assert accepted.status == "processing"
    desk.run()
    assert desk.where(accepted) == ("needs_person", "filters_unreadable")
    assert desk.row(accepted).link
    assert (desk.posted(), desk.tokens()) == ([], 20)
    about = {"person": desk.person, "connection": desk.connection}
    with pytest.raises(NeedsPerson) as refused:
        commands.show(**about)
    assert refused.value.code == "filters_unreadable"
    with pytest.raises(NeedsPerson):
        desk.preview()
    assert desk.preview(rules={}).kept == 1
    desk.put()
    desk.retry(accepted)
    desk.run()
    assert desk.where(accepted) == ("submitted", None)


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
def test_a_vacancy_without_the_facts_goes_to_the_person(desk, rules, fields):
    desk.put(**rules)
    vacancy = publish(desk, employer=PIER, **fields)
    desk.see(vacancy)
    accepted = desk.submit(vacancy)
    assert accepted.status == "processing", "it is the applier's to decide"
    desk.run()
    assert desk.where(accepted) == ("needs_person", "filters_unreadable")
    assert desk.row(accepted).link
    assert desk.posted() == []


# ── at most so many an employer and week ─────────────────────────────────────────────────────────


def test_at_most_two_an_employer_in_any_seven_days(desk):
    desk.put(max_per_employer_per_week=2)
    first = [desk.submit(publish(desk, employer=PIER)) for _ in range(4)]
    elsewhere = desk.submit(publish(desk, employer=OTHER))
    desk.run()
    assert sorted(desk.where(one) for one in first) == [
        ("refused", "filtered_employer_week"),
        ("refused", "filtered_employer_week"),
        ("submitted", None),
        ("submitted", None),
    ]
    assert desk.where(elsewhere) == ("submitted", None)
    known = publish(desk, employer=PIER)
    desk.see(known)
    assert desk.submit(known).reason == "filtered_employer_week", "told at once"
    desk.world.sandbox.advance(7 * DAY - 3600)
    refused = next(one for one in first if desk.row(one).state == "refused")
    desk.retry(refused)
    desk.run()
    assert desk.where(refused) == ("refused", "filtered_employer_week")
    desk.world.sandbox.advance(3601)
    desk.retry(refused)
    desk.run()
    assert desk.where(refused) == ("submitted", None)


def test_what_was_made_by_hand_counts_whether_its_vacancy_is_known_or_not(desk):
    desk.put(max_per_employer_per_week=1)
    by_hand = desk.submit(publish(desk, employer=PIER, has_test=True))
    desk.run()
    assert desk.where(by_hand) == ("handoff", "test_required")
    confirm_by_hand(desk, by_hand)
    desk.connection.execute("DELETE FROM jobs")
    accepted = [desk.submit(publish(desk, employer=one)) for one in (PIER, OTHER)]
    desk.run()
    assert [desk.where(one) for one in accepted] == [
        ("refused", "filtered_employer_week"),
        ("submitted", None),
    ]


def confirm_by_hand(desk, accepted):
    about = {"connection": desk.connection, "now": desk.world.now()}
    application_commands.confirm(
        str(accepted.application_id), person=desk.person, caller=CALLER, **about
    )


def test_one_by_hand_whose_vacancy_is_gone_may_have_been_the_same_employer(desk):
    desk.put(max_per_employer_per_week=2)
    gone = desk.submit("999999999999")
    desk.run()
    assert desk.where(gone) == ("refused", "vacancy_not_found")
    desk.connection.execute("UPDATE application_ledger SET state = 'handoff'")
    confirm_by_hand(desk, gone)
    accepted = [desk.submit(publish(desk, employer=PIER)) for _ in range(2)]
    desk.run()
    assert [desk.where(one) for one in accepted] == [
        ("submitted", None),
        ("needs_person", "filters_unreadable"),
    ]


@pytest.mark.parametrize(("days_ago", "state"), [(1, "refused"), (8, "submitted")])
def test_one_that_hh_ru_knew_already_counts_from_when_it_was_made(desk, days_ago, state):
    vacancy = publish(desk, employer=PIER)
    desk.world.sandbox.apply_by_hand(ANNA, vacancy_id=vacancy)
    desk.world.sandbox.advance(days_ago * DAY)
    desk.put(max_per_employer_per_week=1)
    again, second = (desk.submit(one) for one in (vacancy, publish(desk, employer=PIER)))
    desk.run()
    assert desk.where(again) == ("submitted", "already_applied")
    if desk.row(second).state == "refused":
        desk.retry(second)
        desk.run()
    assert desk.row(second).state == state


def test_what_was_made_on_hh_ru_itself_counts_once_it_is_read(desk):
    desk.world.sandbox.apply_by_hand(ANNA, vacancy_id=publish(desk, employer=PIER))
    desk.put(max_per_employer_per_week=1)
    negotiation_sync.schedule_sync(desk.account_id, at=desk.world.now(), connection=desk.connection)
    accepted = desk.submit(publish(desk, employer=PIER))
    desk.run()
    assert desk.where(accepted) == ("refused", "filtered_employer_week")


def test_hh_ru_in_trouble_lets_nothing_through(desk):
    desk.put(max_per_employer_per_week=1)
    by_hand = desk.submit(publish(desk, employer=PIER, has_test=True))
    desk.run()
    confirm_by_hand(desk, by_hand)
    accepted = desk.submit(publish(desk, employer=PIER))
    desk.connection.execute("DELETE FROM jobs")
    desk.world.sandbox.fault("server_error", path=f"/vacancies/{desk.row(by_hand).vacancy_id}")
    desk.run()
    assert desk.where(accepted)[0] == "queued"
    desk.world.sandbox.control("DELETE", "/faults")
    desk.world.sandbox.advance(60)
    desk.run()
    assert desk.where(accepted) == ("refused", "filtered_employer_week")


def test_an_unanswered_call_counts_until_it_is_settled(desk):
    desk.put(max_per_employer_per_week=1)
    first, second = (desk.submit(publish(desk, employer=PIER)) for _ in range(2))
    desk.world.sandbox.fault("lost", path="/negotiations", method="POST", times=1)
    desk.run()
    assert desk.where(first)[0] == "uncertain"
    assert desk.where(second) == ("refused", "filtered_employer_week")


def test_two_sessions_and_eight_workers_at_once_do_not_make_one_too_many(desk, monkeypatch):
    desk.put(max_per_employer_per_week=3)
    other = uuid4()
    desk.connection.execute(
        "INSERT INTO users (id, email, password_hash, account_id, inserted_at, updated_at)"
        " VALUES (%s, %s, '!', %s, now(), now())",
        (other, str(other), desk.account_id),
    )
    accepted = []
    for place in range(12):
        desk.user_id, other = other, desk.user_id
        accepted.append(desk.submit(publish(desk, employer=PIER), f"{place}"))

    def work(nth):
        with own_connection() as connection:
            submitter.run(
                desk.account_id,
                hh=desk.hh,
                connection=connection,
                clock=desk.world.now,
                request_id=f"bell-{nth}",
            )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    desk.run()
    assert len([one for one in desk.posted() if one["outcome"] == "accepted"]) == 3
    states = [desk.where(one) for one in accepted]
    assert states.count(("submitted", None)) == 3
    assert states.count(("refused", "filtered_employer_week")) == 9


def own_connection():
    import psycopg
    from psycopg.rows import dict_row

    return psycopg.connect(postgres.conninfo(), autocommit=True, row_factory=dict_row)


# ── preview ──────────────────────────────────────────────────────────────────────────────────────


def test_a_preview_says_what_would_be_dropped_and_why(desk):
    ids = [
        publish(desk, employer=PIER, work_format=["ON_SITE"], duties=["Ночные дежурства"]),
        publish(desk, employer=OTHER, work_format=["REMOTE"], duties=DAYTIME),
        publish(desk, employer=OTHER, work_format=["REMOTE"], duties=DAYTIME),
        publish(desk, employer=OTHER, work_format=["REMOTE"], duties=DAYTIME, type="anonymous"),
    ]
    for id in ids:
        desk.see(id)
    rules = {
        "employers": [{"name": "Пристань"}],
        "formats": ["REMOTE"],
        "description_words": ["дежурств*"],
        "max_per_employer_per_week": 1,
    }
    shown = desk.preview(rules=rules, job_ids=[*ids, "5", ids[0]])
    assert (shown.checked, shown.kept, shown.dropped, shown.unknown) == (4, 1, 2, 1)
    assert shown.not_stored == ["5"]
    assert [one.job_id for one in shown.jobs] == ids
    assert [one.verdict for one in shown.jobs] == ["drop", "keep", "drop", "unknown"]
    assert {one.rule: one.because.split(",")[0] for one in shown.jobs[0].findings} == {
        "employer": "Пристань",
        "description": "дежурств*",
        "format": "ON_SITE",
    }
    assert {rule: n for rule, n in shown.by_rule.items() if n} == {
        "employer": 1,
        "description": 1,
        "format": 1,
        "employer_week": 1,
    }
    newest = desk.preview(rules=rules)
    assert {one.job_id for one in newest.jobs} == set(ids)
    assert desk.preview().kept == 4, "nothing is stored yet"
    desk.put(**rules)
    assert desk.preview().jobs == newest.jobs
    assert desk.posted() == []


def test_a_preview_agrees_with_what_then_happens(desk):
    search = [publish(desk, employer=one) for one in (PIER, OTHER, PIER, OTHER, PIER)]
    for id in search:
        desk.see(id)
    desk.put(current_employer={"id": OTHER["id"]}, max_per_employer_per_week=2)
    told = {one.job_id: one.verdict for one in desk.preview(job_ids=search).jobs}
    accepted = [desk.submit(id) for id in search]
    desk.run()
    happened = {one.job_id: desk.row(one).state for one in accepted}
    assert {id: "keep" if happened[id] == "submitted" else "drop" for id in search} == told


def test_one_person_s_rules_are_not_another_s(desk):
    desk.put(title_words=["разработчик"])
    timur = FilteringDesk(desk.world, "timur")
    assert commands.show(person=timur.person, connection=timur.connection).updated_at is None
    accepted = timur.submit(publish(desk))
    timur.run()
    assert timur.row(accepted).state == "submitted"
    assert ANNA not in {one["person"] for one in desk.world.sandbox.applications()}
