"""Autopilots on the real sandbox: what a run found is sent within ceilings, hours and pauses."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from tests.harness.applying import insert_session, publish
from tests.harness.context import CALLER, make_context
from tests.harness.notifications import item
from ullgetthejob.applications import attempts, ledger, pacing
from ullgetthejob.applications.campaigns import commands as campaign_commands
from ullgetthejob.applications.campaigns import progress
from ullgetthejob.applications.campaigns.models import WorkflowBody
from ullgetthejob.autopilot import changes, found, pause, store
from ullgetthejob.autopilot.models import ApplySettings, PauseBody, ResumeBody
from ullgetthejob.autopilot.pace import Slot
from ullgetthejob.autopilot.progress import list_answers
from ullgetthejob.hh import responses
from ullgetthejob.saved_searches import commands, notifications
from ullgetthejob.vacancies import store as vacancies

DAY = timedelta(days=1)
ON = ApplySettings(mode="auto", max_per_day=200, bucket_share=100, min_fit=0)


class Pilot:
    """A saved search of the harness's person, with an autopilot."""

    def __init__(self, harness, **settings):
        self.harness = harness
        self.query_id = self.scalar(
            "INSERT INTO search_queries (hash, parameters, created_at) VALUES (%s, '{}', %s)"
            " RETURNING id",
            *(uuid4().bytes, self.now),
        )
        self.id = self.scalar(
            "INSERT INTO saved_searches (account_id, user_id, query_id, name, search,"
            " interval_seconds, time_zone, created_at, updated_at)"
            " VALUES (%s, %s, %s, 'Казань', '{}', 1800, 'Europe/Moscow', %s, %s) RETURNING id",
            *(harness.account_id, harness.user_id, self.query_id, self.now, self.now),
        )
        self.number = 0
        if settings.get("mode") != "none":
            self.change(**{**ON.model_dump(), **settings})

    @property
    def now(self):
        return self.harness.world.now()

    def scalar(self, sql, *values):
        row = self.harness.connection.execute(sql, values).fetchone()
        return next(iter(row.values())) if row else None

    def change(self, **fields):
        """Change the settings as PATCH does."""
        sent = ApplySettings.model_validate(fields)
        connection, now = self.harness.connection, self.now
        with connection.transaction():
            changes.lock(self.id, sent, connection=connection, now=now)
            search = connection.execute(
                "SELECT * FROM saved_searches WHERE id = %s FOR UPDATE", [self.id]
            ).fetchone()
            changes.change(search, sent, is_new_query=False, connection=connection, now=now)

    def find(self, *vacancy_ids, **fields):
        """Store vacancies as matches of a run that has ended, and return the run's id."""
        connection = self.harness.connection
        shown = [item(int(id), **fields) for id in vacancy_ids]
        listed = [responses.vacancy(each) for each in shown]
        vacancies.store_vacancies(listed, search_query="", connection=connection, now=self.now)
        for vacancy_id in vacancy_ids:
            self.number += 1
            connection.execute(
                "INSERT INTO search_matches (query_id, vacancy_id, number, first_seen_at, seen_at)"
                " VALUES (%s, %s, %s, %s, %s)",
                [self.query_id, vacancy_id, self.number, self.now, self.now],
            )
        connection.execute(
            "UPDATE search_queries SET last_match = %s WHERE id = %s", [self.number, self.query_id]
        )
        run_id = self.scalar(
            "INSERT INTO fetch_runs (query_id, state, trigger, is_full, plan, started_at,"
            " finished_at) VALUES (%s, 'completed', 'schedule', true, '{}', %s, %s) RETURNING id",
            *(self.query_id, self.now, self.now),
        )
        self.scalar("UPDATE saved_searches SET run_id = %s WHERE id = %s RETURNING id",
                    run_id, self.id)  # fmt: skip
        return run_id

    def notify(self, run_id, connection=None):
        connection = connection or self.harness.connection
        return notifications.notify_accounts(run_id, connection=connection, now=self.now)

    def take(self, number, **fields):
        """Publish vacancies, let a run find them, and create applications; return their ids."""
        published = [publish(self.harness, **fields) for _ in range(number)]
        self.notify(self.find(*published))
        self.harness.sweep()
        return published

    def items(self):
        rows = self.harness.connection.execute(
            "SELECT q.job_external_id, q.payload FROM application_queue q"
            " JOIN campaigns c ON c.workflow_id = q.workflow_id WHERE c.saved_search_id = %s"
            " ORDER BY q.created_at, q.job_external_id",
            [self.id],
        )
        return {row["job_external_id"]: row["payload"] for row in rows.fetchall()}

    def rows(self):
        """Return state, reason and due_at of its applications, in the order of their creation."""
        rows = self.harness.connection.execute(
            "SELECT l.state, l.reason, l.due_at FROM application_ledger l"
            " JOIN campaigns c ON c.workflow_id = l.workflow_id WHERE c.saved_search_id = %s"
            " ORDER BY l.due_at NULLS FIRST, l.created_at",
            [self.id],
        )
        return [(row["state"], row["reason"], row["due_at"]) for row in rows.fetchall()]

    def states(self):
        return [state for state, _, _ in self.rows()]

    def answer(self):
        connection = self.harness.connection
        found = list_answers(
            self.harness.account_id, [self.id], connection=connection, now=self.now
        )
        return found[self.id]

    @property
    def workflow_id(self):
        return self.answer().workflow_id


def hours_after(moment, hours):
    """Return working hours of three hours that begin so many hours after *moment*, in Moscow."""
    local = moment + timedelta(hours=3 + hours)
    return {"from": f"{local:%H}:00", "to": f"{local + timedelta(hours=3):%H}:00"}


# ── from found to item ───────────────────────────────────────────────────────────────────────────


def test_found_vacancies_become_items_and_are_sent(harness):
    pilot = Pilot(harness)
    sent = pilot.take(3)
    assert pilot.items() == {id: {"review": "findings", "min_fit": 0} for id in sent}
    harness.run()
    assert pilot.states() == ["submitted"] * 3
    assert sorted(entry["vacancy_id"] for entry in harness.posted()) == sorted(sent)
    answer = pilot.answer()
    counts = (answer.counts.found, answer.counts.waiting, answer.counts.sent_in_24h)
    assert counts == (3, 0, 3)
    shown = progress.progress(pilot.workflow_id, harness.person, harness.context)
    assert (shown.saved_search_id, shown.name, shown.status) == (pilot.id, "Казань", "completed")


def test_vacancy_notified_repeatedly_is_an_item_once(harness, connect):
    pilot = Pilot(harness)
    run_id = pilot.find("101", "102")
    begin = threading.Barrier(4)

    def notify(connection):
        begin.wait()
        return pilot.notify(run_id, connection)

    with ThreadPoolExecutor(4) as pool:
        announced = list(pool.map(notify, [connect() for _ in range(4)]))
    assert sorted(announced) == [0, 0, 0, 2]
    assert list(pilot.items()) == ["101", "102"]
    assert pilot.scalar("SELECT count(*) FROM application_queue") == 2
    assert pilot.scalar("SELECT count(*) FROM campaigns") == 1


def test_crash_of_a_notification_leaves_no_event_and_no_item(harness, monkeypatch):
    pilot = Pilot(harness)
    run_id = pilot.find("101")

    def crash(*_, **__):
        raise ConnectionAbortedError

    with monkeypatch.context() as patched:
        patched.setattr(notifications, "UPDATE_SEARCH_DETACHED", "SELECT 1/0")
        with pytest.raises(psycopg.errors.DivisionByZero):
            pilot.notify(run_id)
    assert pilot.items() == {}
    assert pilot.scalar("SELECT count(*) FROM campaigns") == 0
    assert pilot.notify(run_id) == 1
    assert list(pilot.items()) == ["101"]


def test_vacancies_found_before_switching_on_are_left_alone(harness):
    pilot = Pilot(harness, mode="off")
    pilot.notify(pilot.find("101"))
    not_announced_yet = pilot.find("102")
    pilot.change(mode="auto")
    pilot.notify(not_announced_yet)
    assert pilot.items() == {}
    pilot.notify(pilot.find("103"))
    assert list(pilot.items()) == ["103"]


def test_vacancy_of_two_searches_is_an_item_of_the_first(harness):
    first, second = Pilot(harness), Pilot(harness)
    first.notify(first.find("101"))
    second.notify(second.find("101", "102"))
    assert (list(first.items()), list(second.items())) == (["101"], ["102"])


def test_vacancy_that_a_rule_drops_is_no_item(harness):
    harness.connection.execute(
        "INSERT INTO application_filters VALUES (%s, %s, %s)",
        [harness.account_id, json.dumps({"title_words": ["стажёр"]}), harness.world.now()],
    )
    pilot = Pilot(harness)
    pilot.notify(pilot.find("101", name="Стажёр"))
    pilot.notify(pilot.find("102"))
    assert list(pilot.items()) == ["102"]


def test_review_mode_or_missing_template_asks_always(harness):
    template_id = uuid4()
    harness.connection.execute(
        "INSERT INTO letter_templates VALUES (%s, %s, 'a', 'b', %s, %s)",
        [template_id, harness.account_id, harness.world.now(), harness.world.now()],
    )
    pilot = Pilot(harness, mode="review", letter_template_id=template_id)
    pilot.notify(pilot.find("101"))
    pilot.change(mode="auto")
    pilot.notify(pilot.find("102"))
    harness.connection.execute("DELETE FROM letter_templates")
    pilot.notify(pilot.find("103"))
    with_template = {"min_fit": 0, "letter_template_id": str(template_id)}
    assert pilot.items() == {
        "101": {"review": "always", **with_template},
        "102": {"review": "findings", **with_template},
        "103": {"review": "always", "min_fit": 0},
    }


# ── ceilings ─────────────────────────────────────────────────────────────────────────────────────


def test_day_ceiling_holds_until_24_hours_after_the_first(harness):
    pilot = Pilot(harness, max_per_day=2)
    pilot.take(5)
    harness.run()
    rows = pilot.rows()
    assert pilot.states() == ["submitted"] * 2 + ["waiting_quota"] * 3
    assert {reason for _, reason, _ in rows[2:]} == {"max_per_day"}
    assert len({due_at for _, _, due_at in rows[2:4]}) <= 2
    assert rows[4][2] - rows[2][2] >= DAY - timedelta(minutes=1), "the fifth: a day later"
    assert pilot.answer().counts.next_send_at == rows[2][2]
    harness.world.sandbox.advance(23 * 3600)
    harness.run()
    assert pilot.states().count("submitted") == 2
    harness.world.sandbox.advance(3600 + 60)
    harness.run()
    assert pilot.states().count("submitted") == 4
    assert pilot.answer().counts.sent_in_24h == 2


def test_slot_of_a_refused_application_goes_to_the_next(harness):
    pilot = Pilot(harness, max_per_day=1)
    first = pilot.take(4)
    harness.run()
    assert sorted(pilot.states()) == ["submitted", *["waiting_quota"] * 3]
    waiting = harness.connection.execute(
        "SELECT vacancy_id FROM application_ledger WHERE state = 'waiting_quota' ORDER BY due_at"
    ).fetchall()
    for row in waiting[:2]:
        harness.world.sandbox.control("POST", f"/vacancies/{row['vacancy_id']}/close", {})
    harness.world.sandbox.advance(24 * 3600 + 60)
    harness.run()
    assert sorted(pilot.states()) == ["refused", "refused", "submitted", "submitted"]
    assert len(first) == 4


def test_share_of_the_bucket_leaves_tokens_to_the_person(harness):
    pilot = Pilot(harness, bucket_share=10)
    pilot.take(4)
    harness.run()
    assert pilot.states() == ["submitted"] * 2 + ["waiting_quota"] * 2
    assert [reason for _, reason, _ in pilot.rows()[2:]] == ["bucket_share"] * 2
    own = harness.submit(publish(harness))
    harness.run()
    assert harness.row(own).state == "submitted"


def test_application_out_of_hours_waits_until_they_begin(harness):
    now = harness.world.now()
    pilot = Pilot(harness, working_hours=hours_after(now, 2))
    pilot.take(2)
    harness.run()
    (state, reason, due_at), other = pilot.rows()
    assert (state, reason) == ("waiting_quota", "working_hours")
    assert timedelta(hours=1) < due_at - now <= timedelta(hours=2)
    assert other == (state, reason, due_at)
    assert harness.posted() == []
    assert harness.run() is not True, "nothing is tried again until then"
    harness.world.sandbox.advance(2 * 3600)
    harness.run()
    assert pilot.states() == ["submitted"] * 2


def test_application_to_review_is_not_held_with_the_others(harness):
    now = harness.world.now()
    pilot = Pilot(harness, working_hours=hours_after(now, 2))
    auto = pilot.take(2)
    pilot.change(mode="review")
    [seen_first, approved] = pilot.take(2)
    found = harness.connection.execute("SELECT vacancy_id, id FROM application_ledger").fetchall()
    ids = {row["vacancy_id"]: row["id"] for row in found}
    harness.connection.execute(
        "INSERT INTO application_reviews VALUES (%s, '{}', '', 'hash', %s)",
        [ids[approved], now],
    )
    held = ledger.read(ids[auto[0]], connection=harness.connection)
    slot = pacing.find_slot(held, connection=harness.connection, now=pilot.now)
    pacing.hold(held, slot, connection=harness.connection, now=pilot.now)
    states = harness.connection.execute(
        "SELECT vacancy_id, state FROM application_ledger"
    ).fetchall()
    assert {row["vacancy_id"]: row["state"] for row in states} == {
        **dict.fromkeys([*auto, approved], "waiting_quota"),
        seen_first: "queued",
    }


def test_two_workers_at_once_do_not_exceed_the_day(harness, connect):
    """Each has lost the lease to the other, and has prepared an application."""
    pilot = Pilot(harness, max_per_day=1)
    pilot.take(2)
    now = pilot.now
    ids = harness.connection.execute(
        "SELECT id FROM application_ledger WHERE workflow_id = %s", [pilot.workflow_id]
    ).fetchall()
    prepared = [
        ledger.transition(
            row["id"], "preparing", connection=harness.connection, now=now, due_at=now
        )
        for row in ids
    ]
    begin = threading.Barrier(2)

    def send(application, connection):
        begin.wait()
        return attempts.begin_attempt(application, "a", "b", connection=connection, now=now)

    with ThreadPoolExecutor(2) as pool:
        begun = list(pool.map(send, prepared, [connect(), connect()]))
    assert sorted(type(each).__name__ for each in begun) == ["Begun", "Slot"]
    [slot] = [each for each in begun if isinstance(each, Slot)]
    assert (slot.at, slot.reason) == (now + DAY, "max_per_day")


# ── pause ────────────────────────────────────────────────────────────────────────────────────────


def test_switched_off_keeps_what_waits_and_on_goes_on(harness):
    pilot = Pilot(harness)
    pilot.take(2)
    pilot.change(mode="off")
    harness.run()
    harness.sweep()
    assert harness.posted() == []
    assert pilot.states() == ["queued"] * 2
    pilot.notify(pilot.find("101"))
    assert "101" not in pilot.items()
    pilot.change(mode="auto")
    harness.run()
    assert pilot.states() == ["submitted"] * 2


def test_account_pause_holds_autopilots_and_resume_goes_on(harness):
    pilot = Pilot(harness)
    pilot.take(1)
    for _ in range(2):
        paused = pause.pause(PauseBody(), harness.person, harness.context)
    assert paused.campaigns == 0
    assert pilot.answer().is_paused
    harness.run()
    assert harness.posted() == []
    own = harness.submit(publish(harness))
    pilot.take(1)
    other = Pilot(harness)
    other.take(1)
    harness.run()
    assert harness.row(own).state == "submitted", "what the person submits is sent"
    assert len(harness.posted()) == 1
    assert other.answer().is_paused, "also an autopilot that found its first vacancy since"
    for _ in range(2):
        answer = pause.resume(ResumeBody(), harness.person, harness.context)
        assert answer.autopilot_paused_at is None
    harness.sweep()
    harness.run()
    assert pilot.states() + other.states() == ["submitted"] * 3
    actions = "SELECT count(*) FROM audit_log WHERE action = %s"
    assert pilot.scalar(actions, "account.resume") == 1


def test_resume_of_all_leaves_campaigns_paused_before(harness):
    pilot = Pilot(harness)
    pilot.take(1)
    running, before = uuid4(), uuid4()
    for workflow_id, state in ((running, "running"), (before, "paused")):
        harness.connection.execute(
            "INSERT INTO campaigns (workflow_id, account_id, user_id, state, created_at,"
            " updated_at) VALUES (%s, %s, %s, %s, now(), now())",
            [workflow_id, harness.account_id, harness.user_id, state],
        )
    states = "SELECT state FROM campaigns WHERE workflow_id = %s"
    assert pause.pause(PauseBody(), harness.person, harness.context).campaigns == 1
    assert pilot.scalar(states, running) == "running"
    assert pause.pause(PauseBody(all=True), harness.person, harness.context).campaigns == 1
    assert pilot.scalar(states, running) == "paused"
    pause.resume(ResumeBody(), harness.person, harness.context)
    assert pilot.scalar(states, running) == "paused"
    pause.resume(ResumeBody(all=True), harness.person, harness.context)
    assert pilot.scalar(states, running) == "running"
    assert pilot.scalar(states, before) == "paused"


def test_campaign_paused_by_hand_stays_so_when_account_resumes(harness):
    pilot = Pilot(harness)
    pilot.take(1)
    pause.pause(PauseBody(), harness.person, harness.context)
    body = WorkflowBody(workflow_id=pilot.workflow_id)
    campaign_commands.change("resume", body, harness.person, harness.context)
    campaign_commands.change("pause", body, harness.person, harness.context)
    pause.resume(ResumeBody(), harness.person, harness.context)
    assert pilot.answer().is_paused


def test_pause_waits_for_the_attempt_under_way(harness, connect):
    pilot = Pilot(harness)
    pilot.take(1)
    now = pilot.now
    row = harness.connection.execute("SELECT id FROM application_ledger").fetchone()
    prepared = ledger.transition(
        row["id"], "preparing", connection=harness.connection, now=now, due_at=now
    )
    own = connect()
    context = make_context(own, harness.world.now, caller=CALLER)
    with ThreadPoolExecutor(1) as pool:
        with harness.connection.transaction():
            attempts._lock_running_campaign(prepared, connection=harness.connection)
            paused = pool.submit(pause.pause, PauseBody(), harness.person, context)
            with pytest.raises(TimeoutError):
                paused.result(timeout=0.5)
        assert paused.result(timeout=30).campaigns == 1
    with pytest.raises(ledger.ConcurrentUpdate):
        attempts.begin_attempt(prepared, "a", "b", connection=harness.connection, now=now)


def test_deleted_search_cancels_what_was_not_sent(harness):
    pilot = Pilot(harness, max_per_day=1)
    pilot.take(2)
    harness.run()
    workflow_id = pilot.workflow_id
    commands.delete_search(str(pilot.id), harness.person, harness.context)
    harness.sweep()
    rows = harness.connection.execute(
        "SELECT state FROM application_ledger WHERE workflow_id = %s ORDER BY state", [workflow_id]
    ).fetchall()
    assert [row["state"] for row in rows] == ["cancelled", "submitted"]


def test_campaign_after_a_cancelled_one_has_the_same_ceilings(harness):
    pilot = Pilot(harness, max_per_day=1)
    pilot.take(1)
    harness.run()
    first = pilot.workflow_id
    body = WorkflowBody(workflow_id=first)
    campaign_commands.change("cancel", body, harness.person, harness.context)
    pilot.take(1)
    harness.run()
    assert pilot.workflow_id not in (None, first)
    assert pilot.states() == ["submitted", "waiting_quota"]


def test_items_of_a_user_who_left_belong_to_another_session(harness):
    pilot = Pilot(harness)
    stranger, _ = harness.world.connect("timur")
    harness.connection.execute(
        "UPDATE users SET account_id = %s WHERE id = %s", [stranger, harness.user_id]
    )
    found.add_items(pilot.id, ["101"], connection=harness.connection, now=pilot.now)
    assert pilot.items() == {}
    other = insert_session(harness.account_id, pilot.now)
    pilot.notify(pilot.find("101"))
    assert pilot.scalar("SELECT user_id FROM application_queue") == other
    assert store.find(pilot.id, connection=harness.connection)["mode"] == "auto"
