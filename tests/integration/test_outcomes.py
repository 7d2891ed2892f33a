"""Sync of hh.ru's negotiations: applications by hand, views and answers, on the real sandbox."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from tests.harness.applying import ANNA, CALLER, ApplyHarness, publish
from ullgetthejob.applications import acceptance, attempts, ledger, negotiation_sync, submitter
from ullgetthejob.applications.acceptance import SubmitBody
from ullgetthejob.applications.commands import (
    ApplicationQuery,
    cancel,
    list_applications,
    read_application,
)
from ullgetthejob.rate_limits import daily_limit, token_bucket

EMPLOYERS = {"viewed", "invitation", "discard"}
MINUTE, HOUR, DAY_S = 60, 3600, 24 * 3600
# Every table that an outcome is written to, and its order.
TABLES = {
    "application_ledger": "vacancy_id",
    "application_attempts": "id",
    "application_outcomes": "attempt_id",
    "application_history": "id",
    "events": "seq",
    "applications": "job_external_id",
}


class SyncHarness(ApplyHarness):
    """A person whose negotiations are read."""

    def account(self):
        return self.connection.execute(
            "SELECT * FROM accounts WHERE id = %s", (self.account_id,)
        ).fetchone()

    def sync(self, hh=None):
        """Read the negotiations now, whenever they are due."""
        self.connection.execute("UPDATE accounts SET negotiations_due_at = %s", (self.world.now(),))
        return self.read_if_due(hh)

    def read_if_due(self, hh=None):
        return submitter.run(
            self.account_id,
            hh=hh or self.hh,
            connection=self.connection,
            clock=self.world.now,
            request_id="a-request-of-a-test",
        )

    def rows(self):
        return self.connection.execute(
            "SELECT * FROM application_ledger ORDER BY created_at, negotiation_id"
        ).fetchall()

    def steps(self, negotiation_id):
        """Return the reasons of an application's history."""
        found = self.connection.execute(
            "SELECT h.reason FROM application_history h JOIN application_ledger l"
            " ON l.id = h.ledger_id WHERE l.negotiation_id = %s ORDER BY h.id",
            (negotiation_id,),
        )
        return [row["reason"] for row in found]

    def event_reasons(self, negotiation_id):
        """Return the reasons of an application's events."""
        found = self.connection.execute(
            "SELECT e.data->>'reason' AS reason FROM events e JOIN application_ledger l"
            " ON l.id::text = e.data->>'application_id' WHERE l.negotiation_id = %s ORDER BY seq",
            (negotiation_id,),
        )
        return [row["reason"] for row in found]

    def counted(self):
        """Return when each application was made that counts among the 200."""
        since = self.world.now() - daily_limit.DAY
        found = self.connection.execute(
            daily_limit.SELECT_COUNTED_ATTEMPTS, {"account_id": self.account_id, "since": since}
        )
        return sorted(row["at"] for row in found)

    def read_tables(self):
        return {
            table: self.connection.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()
            for table, order in TABLES.items()
        }

    def by_hand(self, **body):
        ids = self.world.sandbox.apply_by_hand(self.name, **body)["negotiation_ids"]
        return ids[0] if len(ids) == 1 else ids

    def count_calls(self):
        """Return how often hh.ru was asked for negotiations."""
        calls = self.world.sandbox.control("GET", "/state")["calls"]["by_route"]
        return calls.get("GET /negotiations", 0)


@pytest.fixture
def harness(connected, monkeypatch):
    connected.sandbox.employers_act(False)
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    monkeypatch.setenv("HH_REDIRECT_URI", "https://app.example.org")
    return SyncHarness(connected)


def at_hh(entry):
    """Return the time of an entry of the sandbox's log as negotiations have it, in whole
    seconds."""
    return datetime.fromisoformat(entry["at"]).replace(microsecond=0)


# ── by hand ──────────────────────────────────────────────────────────────────────────────────────


def test_by_hand_is_inserted_and_counts_from_creation(harness):
    negotiation = harness.by_hand()
    made = at_hh(harness.posted()[0])
    harness.world.sandbox.advance(3 * HOUR)
    harness.sync()
    (row,) = harness.rows()
    assert (row["state"], row["by_hand"], row["negotiation_id"]) == ("submitted", True, negotiation)
    assert row["submitted_at"] == row["created_at"] == made
    assert row["user_id"] == harness.user_id
    assert harness.counted() == [made]
    (shown,) = list_applications(
        ApplicationQuery(), person=harness.person, connection=harness.connection
    ).items
    assert (shown.by_hand, shown.hh_state, shown.viewed) == (True, "response", False)
    (projected,) = harness.read_tables()["applications"]
    assert (projected["status"], projected["hh_status"]) == ("submitted", "response")
    assert (projected["hh_negotiation_id"], projected["user_id"]) == (negotiation, harness.user_id)
    assert projected["error_message"] is None
    assert harness.event_reasons(negotiation) == harness.steps(negotiation) == ["by_hand"]


def test_by_hand_belongs_to_latest_session(harness):
    latest = uuid4()
    harness.connection.execute(
        "INSERT INTO users (id, email, password_hash, account_id, inserted_at, updated_at)"
        " VALUES (%(id)s, %(id)s::text, '!', %(account)s, %(later)s, %(later)s)",
        {
            "id": latest,
            "account": harness.account_id,
            "later": harness.world.now() + timedelta(minutes=1),
        },
    )
    harness.by_hand()
    harness.sync()
    assert harness.rows()[0]["user_id"] == latest


def test_repeated_sync_changes_nothing(harness):
    harness.by_hand(count=3)
    accepted = harness.submit(publish(harness))
    harness.run()
    harness.sync()
    harness.world.sandbox.employer_does(harness.row(accepted).negotiation_id, "invitation")
    harness.sync()
    before = harness.read_tables()
    for _ in range(2):
        harness.sync()
    assert harness.read_tables() == before
    assert len(harness.counted()) == 4


@pytest.mark.parametrize("step", range(1, 9))
def test_sync_interrupted_at_any_step_is_resumed(harness, monkeypatch, step):
    ids = harness.by_hand(count=4)
    for negotiation_id in ids[:2]:
        harness.world.sandbox.advance(2)
        harness.world.sandbox.employer_does(negotiation_id, "discard")
    record_change, calls = ledger.record_change, itertools.count(1)

    def interrupt_after_step(*args, **kwargs):
        record_change(*args, **kwargs)
        if next(calls) == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(ledger, "record_change", interrupt_after_step)
    with pytest.raises(KeyboardInterrupt):
        harness.sync()
    harness.sync()
    answered = ["by_hand", "viewed", "discard"]
    for reasons in (harness.steps, harness.event_reasons):
        recorded = [reasons(negotiation_id) for negotiation_id in ids]
        assert recorded == [answered, answered, ["by_hand"], ["by_hand"]]
    assert len(harness.counted()) == len(harness.rows()) == 4
    sequence = [row["seq"] for row in harness.read_tables()["events"]]
    assert sequence == list(range(1, 9))


def test_interrupted_sync_does_not_skip_negotiations(harness, monkeypatch):
    harness.by_hand()
    harness.world.sandbox.advance(3 * DAY_S)
    harness.by_hand(count=110)
    harness.world.sandbox.advance(5)
    harness.by_hand()
    record_change, calls = ledger.record_change, itertools.count(1)

    def interrupt_fiftieth(*args, **kwargs):
        if next(calls) == 50:
            raise KeyboardInterrupt
        record_change(*args, **kwargs)

    monkeypatch.setattr(ledger, "record_change", interrupt_fiftieth)
    with pytest.raises(KeyboardInterrupt):
        harness.sync()
    assert len(harness.rows()) == 49
    # No view is waited for: they are read again only because they were not read yet.
    harness.connection.execute("UPDATE application_ledger SET hh_viewed = true")
    harness.world.sandbox.advance(2 * DAY_S)
    harness.sync()
    assert len(harness.rows()) == 112


def test_concurrent_submit_and_sync_make_one_row(harness, database_url):
    vacancy = publish(harness)
    negotiation, person = harness.by_hand(vacancy_id=vacancy), harness.person
    with (
        psycopg.connect(database_url, row_factory=dict_row) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        body = SubmitBody(job_external_id=vacancy, cover_letter="Здравствуйте!")
        accepted = acceptance.accept(
            body, person=person, caller=CALLER, connection=other, now=harness.world.now()
        )
        reading = pool.submit(harness.sync)
        while not other.execute(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        ).fetchall():
            time.sleep(0.02)
        other.commit()
        reading.result(timeout=20)
    (row,) = harness.rows()
    assert (row["id"], row["state"]) == (accepted.application_id, "submitted")
    assert (row["negotiation_id"], row["by_hand"]) == (negotiation, True)
    assert harness.steps(negotiation) == [None, "by_hand"]
    assert len(harness.counted()) == 1


def test_account_without_session_is_not_read(harness):
    harness.by_hand()
    harness.connection.execute("DELETE FROM users")
    harness.sync()
    assert harness.count_calls() == 0
    assert seconds_until_due(harness) == pytest.approx(6 * HOUR, abs=60)


def test_reapplying_with_other_resume_counts_again(
    harness,
):
    """hh.ru: a deleted resume deletes its negotiations; they still count in the daily limit."""
    token = harness.world.log_in(ANNA).access_token
    first_resume, *_ = harness.world.sandbox.resumes(ANNA).values()
    copy = harness.world.sandbox.call(
        "POST", f"/resumes?source_resume_id={first_resume}", token, json={"title": "Другое резюме"}
    )
    second_resume = copy.headers["Location"].rsplit("/", 1)[1]
    harness.world.sandbox.advance(30)
    vacancy = publish(harness)
    first = harness.by_hand(vacancy_id=vacancy, resume_id=first_resume)
    harness.world.sandbox.employer_does(first, "discard")
    harness.sync()
    harness.world.sandbox.call("DELETE", f"/resumes/{first_resume}", token)
    published = harness.world.sandbox.call("POST", f"/resumes/{second_resume}/publish", token)
    assert published.status_code == 204, published.text
    harness.world.sandbox.advance(HOUR)
    second = harness.by_hand(vacancy_id=vacancy, resume_id=second_resume)
    for _ in range(3):
        harness.sync()
    assert harness.steps(second) == ["by_hand", "viewed", "discard", "applied_again"]
    (row,) = harness.rows()
    assert (row["hh_state"], row["hh_viewed"]) == ("response", False)
    assert len(harness.counted()) == 2


# ── applications that the ledger has in another state ────────────────────────────────────────────


def spend_all_tokens(harness):
    while token_bucket.read_level("submit", harness.account_id, now=harness.world.now()).tokens:
        token_bucket.acquire(
            "submit", harness.account_id, spend_id=str(uuid4()), now=harness.world.now()
        )


@pytest.mark.parametrize(
    "state", ["queued", "waiting_quota", "needs_person", "handoff", "cancelled", "refused"]
)
def test_by_hand_settles_waiting_application(harness, state):
    fields = {"handoff": {"has_test": True}, "needs_person": {"response_letter_required": True}}
    vacancy = publish(harness, **fields.get(state, {}))
    accepted = harness.submit(vacancy, None if state == "needs_person" else "Здравствуйте!")
    if state == "waiting_quota":
        spend_all_tokens(harness)
    elif state == "refused":
        now = harness.world.now()
        ledger.transition(
            accepted.application_id,
            "refused",
            connection=harness.connection,
            now=now,
            reason="other",
        )
    elif state == "cancelled":
        cancel(
            str(accepted.application_id),
            person=harness.person,
            caller=CALLER,
            connection=harness.connection,
            now=harness.world.now(),
        )
    if state != "queued":
        harness.run()
    assert harness.row(accepted).state == state
    negotiation = harness.by_hand(vacancy_id=vacancy, message="Сама")
    harness.sync()
    row = harness.row(accepted)
    assert (row.state, row.reason, row.by_hand) == ("submitted", "by_hand", True)
    assert (row.negotiation_id, row.due_at) == (negotiation, None)
    assert len(harness.counted()) == 1
    assert [entry["by"] for entry in harness.posted()] == ["hand"], "Core did not try"


def interrupt_call(harness, vacancy):
    """Begin an attempt of a worker whose process ends during its call; return the application and
    the resume's id."""
    accepted = harness.submit(vacancy)
    now = harness.world.now()
    ledger.transition(
        accepted.application_id, "preparing", connection=harness.connection, now=now, due_at=now
    )
    resume_id = next(iter(harness.world.sandbox.resumes(ANNA).values()))
    attempts.begin_attempt(
        harness.row(accepted), resume_id, "only_one", connection=harness.connection, now=now
    )
    return accepted, resume_id


def test_arrived_call_is_settled_as_cores_own(harness):
    vacancy = publish(harness)
    accepted, resume_id = interrupt_call(harness, vacancy)
    answer = harness.world.sandbox.apply(
        harness.world.log_in(ANNA).access_token, vacancy, resume_id
    )
    assert answer.status_code == 201
    harness.sync()
    row = harness.row(accepted)
    assert (row.state, row.reason, row.by_hand) == ("submitted", "found_at_hh", False)
    outcomes = harness.read_tables()["application_outcomes"]
    assert [outcome["outcome"] for outcome in outcomes] == ["found_at_hh"]
    assert len(harness.counted()) == 1


def test_call_after_by_hand_is_not_counted(harness):
    vacancy = publish(harness)
    harness.by_hand(vacancy_id=vacancy)
    made = at_hh(harness.posted()[0])
    harness.world.sandbox.advance(10 * MINUTE)
    accepted, _ = interrupt_call(harness, vacancy)
    harness.sync()
    row = harness.row(accepted)
    assert (row.state, row.reason, row.by_hand) == ("submitted", "by_hand", True)
    assert harness.counted() == [made]


def test_already_applied_gets_id_and_earlier_time(harness):
    vacancy = publish(harness)
    negotiation = harness.by_hand(vacancy_id=vacancy)
    made = at_hh(harness.posted()[0])
    harness.world.sandbox.advance(HOUR)
    accepted = harness.submit(vacancy)
    harness.run()  # hh.ru says already_applied, and is read at once
    row = harness.row(accepted)
    assert (row.state, row.reason) == ("submitted", "already_applied")
    assert (row.negotiation_id, row.by_hand) == (negotiation, True)
    assert harness.counted() == [made]
    assert (
        token_bucket.read_level("submit", harness.account_id, now=harness.world.now()).tokens == 19
    )


def test_negotiation_beyond_pages_is_looked_up_by_vacancy(harness):
    vacancy = publish(harness)
    old = harness.by_hand(vacancy_id=vacancy)
    harness.world.sandbox.advance(3 * DAY_S)
    harness.by_hand(count=120)
    harness.world.sandbox.advance(5)
    harness.by_hand()
    harness.sync()
    # As if all others had been read, and viewed by their employers.
    harness.connection.execute("DELETE FROM application_ledger WHERE vacancy_id = %s", [vacancy])
    harness.connection.execute("UPDATE application_ledger SET hh_viewed = true")
    harness.world.sandbox.advance(2 * DAY_S)
    harness.connection.execute("UPDATE accounts SET negotiations_due_at = NULL")
    calls = harness.count_calls()
    accepted = harness.submit(vacancy)
    harness.run()
    row = harness.row(accepted)
    assert (row.reason, row.negotiation_id) == ("already_applied", old)
    assert harness.count_calls() == calls + 2, "a page, and the one of this vacancy"


class Edited(httpx.BaseTransport):
    """A transport that returns the sandbox's answers, with the pages of negotiations edited by
    *edit*."""

    def __init__(self, edit):
        self._real, self._edit = httpx.HTTPTransport(), edit

    def handle_request(self, request):
        answer = self._real.handle_request(request)
        answer.read()
        if request.url.path != "/negotiations" or request.method != "GET":
            return answer
        content = answer.json()
        self._edit(content["items"])
        return httpx.Response(answer.status_code, json=content)

    def close(self):
        self._real.close()


def test_two_negotiations_of_vacancy_count_and_later_is_kept(harness):
    later = harness.by_hand()
    harness.world.sandbox.employer_does(later, "viewed")

    def with_another(items):
        hours_ago = datetime.fromisoformat(items[0]["created_at"]) - timedelta(hours=3)
        at = hours_ago.strftime("%Y-%m-%dT%H:%M:%S%z")
        before = {"id": str(int(later) - 1), "created_at": at, "updated_at": at}
        items.append(items[0] | before | {"state": {"id": "discard", "name": "Отказ"}})

    hh = harness.world.hh(Edited(with_another))
    for _ in range(3):
        harness.sync(hh)
    (row,) = harness.rows()
    assert (row["negotiation_id"], row["hh_state"]) == (later, "response")
    assert len(harness.counted()) == 2
    steps = ["by_hand", "viewed", "discard", "applied_again", "viewed"]
    assert harness.steps(later) == harness.event_reasons(later) == steps


def test_negotiation_of_deleted_vacancy_is_found_by_id(harness):
    accepted = harness.submit(publish(harness))
    harness.run()
    harness.by_hand()  # its vacancy is unknown afterwards
    negotiation = harness.row(accepted).negotiation_id
    harness.world.sandbox.employer_does(negotiation, "invitation")

    def without_vacancies(items):
        for item in items:
            item["vacancy"] = None

    harness.sync(harness.world.hh(Edited(without_vacancies)))
    assert harness.row(accepted).hh_state == "invitation"
    assert len(harness.rows()) == 1
    assert harness.count_calls() == 1, "the next reading is not due"


# ── actions of employers ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("acts", "steps"),
    [
        (["viewed"], ["viewed"]),
        (["invitation"], ["viewed", "invitation"]),
        (["discard"], ["viewed", "discard"]),
        (["viewed", "message", "invitation", "interview", "hired"], None),
        (["message"], ["viewed"]),
    ],
)
def test_employer_action_is_recorded_once(harness, acts, steps):
    accepted = harness.submit(publish(harness))
    harness.run()
    negotiation = harness.row(accepted).negotiation_id
    for act in acts:
        harness.world.sandbox.advance(MINUTE)
        harness.world.sandbox.employer_does(negotiation, act, "Здравствуйте!")
        for _ in range(2):
            harness.sync()
    steps = steps or ["viewed", "invitation", "interview", "hired"]
    assert harness.steps(negotiation)[-len(steps) :] == steps
    shown = read_application(
        str(accepted.application_id), person=harness.person, connection=harness.connection
    ).application
    assert shown.viewed
    assert [(step.state, step.reason) for step in shown.history][-len(steps) :] == [
        ("submitted", step) for step in steps
    ]
    events = harness.read_tables()["events"]
    last = [(event["data"]["reason"], event["data"]["viewed"]) for event in events[-len(steps) :]]
    assert last == [(step, True) for step in steps]
    assert events[-1]["data"]["hh_state"] == shown.hh_state
    assert "Здравствуйте" not in json.dumps([event["data"] for event in events])


def test_view_of_old_application_behind_newer_is_found(harness):
    """hh.ru: a view by the employer does not move a negotiation to the front."""
    old = harness.by_hand()
    harness.world.sandbox.advance(3 * DAY_S)
    harness.by_hand(count=130)
    harness.world.sandbox.advance(5)
    harness.by_hand()
    harness.sync()
    harness.world.sandbox.advance(2 * DAY_S)
    harness.sync()
    assert harness.steps(old) == ["by_hand"]
    harness.world.sandbox.employer_does(old, "viewed")
    harness.sync()
    assert harness.steps(old) == ["by_hand", "viewed"]


def test_sync_reads_back_only_to_oldest_relevant(harness):
    ids = harness.by_hand(count=130)
    for negotiation_id in ids:
        harness.world.sandbox.employer_does(negotiation_id, "discard")
    harness.world.sandbox.advance(5)
    harness.world.sandbox.employer_does(harness.by_hand(), "discard")
    harness.sync()
    assert harness.count_calls() == 2
    harness.world.sandbox.advance(2 * DAY_S)
    harness.sync()
    assert harness.count_calls() == 3, "the second page was read and is final"


def test_two_weeks_of_employer_actions_equal_sandbox_log(harness):
    """The sandbox's log and the ledger are equal after two weeks on the schedule."""
    harness.world.sandbox.employers_act(True)
    for _ in range(12):
        harness.submit(publish(harness))
    harness.run()
    for _ in range(14 * 4):
        harness.world.sandbox.advance(6 * HOUR)
        if harness.world.now().hour < 6:
            harness.by_hand()
        harness.sweep()
        harness.read_if_due()
    harness.sync()
    log = {entry["negotiation_id"]: entry for entry in harness.posted()}
    rows = {row["negotiation_id"]: row for row in harness.rows()}
    assert log.keys() == rows.keys()
    assert len(log) > 20
    for negotiation_id, entry in log.items():
        row = rows[negotiation_id]
        assert (row["hh_state"], row["hh_viewed"]) == (entry["state"], entry["viewed"])
        assert row["by_hand"] is (entry["by"] == "hand")
        expected = (["viewed"] if entry["viewed"] else []) + (
            [entry["state"]] if entry["state"] != "response" else []
        )
        for reasons in (harness.steps, harness.event_reasons):
            recorded = [reason for reason in reasons(negotiation_id) if reason in EMPLOYERS]
            assert recorded == expected
    assert {step for negotiation_id in log for step in harness.steps(negotiation_id)} >= {
        "viewed",
        "discard",
    }
    attempts = harness.read_tables()["application_attempts"]
    assert len(attempts) == len(log), "each counts once"


# ── the schedule of the sync ─────────────────────────────────────────────────────────────────────


def seconds_until_due(harness):
    row = harness.account()
    return (row["negotiations_due_at"] - harness.world.now()).total_seconds()


def test_sync_interval_backs_off_and_resets(harness):
    intervals = []
    for _ in range(8):
        harness.sync()
        intervals.append(harness.account()["negotiations_interval_s"] // MINUTE)
    assert intervals == [10, 20, 40, 80, 160, 320, 360, 360]
    assert seconds_until_due(harness) == pytest.approx(6 * HOUR, abs=60)
    accepted = harness.submit(publish(harness))
    harness.run()
    assert seconds_until_due(harness) == pytest.approx(10 * MINUTE, abs=60), (
        "an application was sent"
    )
    for _ in range(3):
        harness.sync()
    assert seconds_until_due(harness) > 30 * MINUTE
    harness.world.sandbox.employer_does(harness.row(accepted).negotiation_id, "viewed")
    harness.sync()
    assert seconds_until_due(harness) == pytest.approx(10 * MINUTE, abs=60), "an employer viewed"


def test_sweeper_notifies_account_when_sync_is_due(harness):
    harness.sync()
    assert harness.sweep().rung == 0
    harness.world.sandbox.advance(11 * MINUTE)
    assert harness.sweep().rung == 1
    harness.read_if_due()
    assert harness.sweep().rung == 0


@pytest.mark.parametrize("state", ["reauth_required", "captcha", "closed"])
def test_sync_is_not_run_without_access(harness, state):
    harness.connection.execute(
        "UPDATE accounts SET access_state = %s, access_until = %s, negotiations_due_at = %s",
        (
            state,
            harness.world.now() + timedelta(hours=1) if state == "closed" else None,
            harness.world.now(),
        ),
    )
    assert harness.sweep().rung == 0
    harness.read_if_due()
    assert harness.count_calls() == 0
    if state == "closed":
        harness.world.sandbox.advance(HOUR + 1)
    else:
        harness.connection.execute("UPDATE accounts SET access_state = 'ok'")
    assert harness.sweep().rung == 1
    harness.read_if_due()
    assert harness.count_calls() == 1


def test_sync_refused_as_closed_is_not_repeated(harness):
    harness.world.sandbox.control("POST", "/mode", {"mode": "closed"})
    harness.sync()
    assert harness.world.access(harness.account_id) == ("closed", "forbidden")
    calls = harness.count_calls()
    harness.world.sandbox.advance(HOUR)
    assert harness.sweep().rung == 0
    harness.read_if_due()
    assert harness.count_calls() == calls


def test_failed_sync_is_repeated_after_five_minutes(harness):
    harness.by_hand()
    harness.world.sandbox.fault("bad_gateway", path="/negotiations", method="GET")
    harness.sync()
    assert seconds_until_due(harness) == pytest.approx(5 * MINUTE, abs=60)
    harness.world.sandbox.control("DELETE", "/faults")
    harness.world.sandbox.advance(6 * MINUTE)
    harness.read_if_due()
    assert len(harness.rows()) == 1


def test_login_schedules_sync_at_once(core):
    user_id = str(uuid4())
    core.callback(core.code(ANNA), user_id)
    (row,) = core.rows("SELECT negotiations_due_at FROM accounts")
    assert (core.now() - row["negotiations_due_at"]).total_seconds() < MINUTE


# ── the limit ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def five_a_day(harness, monkeypatch):
    monkeypatch.setenv("RATE_LIMIT_SUBMIT_CAPACITY", "1000")
    monkeypatch.setattr(daily_limit, "DAY_LIMIT", 5)
    harness.world.sandbox.applications_per_day(5)


@pytest.mark.usefixtures("five_a_day")
def test_next_slot_is_known_after_limit_exceeded(harness):
    harness.by_hand(count=3)
    oldest = at_hh(harness.posted()[0])
    harness.world.sandbox.advance(HOUR)
    accepted = [harness.submit(publish(harness)) for _ in range(5)]
    harness.run()
    outcomes = Counter(entry["outcome"] for entry in harness.posted())
    assert outcomes == {"accepted": 5, "limit_exceeded": 1}
    access = harness.person.access
    assert (access.state, access.until) == ("limited_until", oldest + daily_limit.DAY)
    rows = [harness.row(application) for application in accepted]
    waiting = [row for row in rows if row.state == "waiting_quota"]
    assert len(waiting) == 3
    assert min(row.due_at for row in waiting) == access.until
    harness.world.sandbox.advance((access.until - harness.world.now()).total_seconds() + 1)
    for _ in range(4):
        harness.sweep()
        harness.run()
        harness.world.sandbox.advance(10 * MINUTE)
    assert {harness.row(application).state for application in accepted} == {"submitted"}
    assert Counter(entry["outcome"] for entry in harness.posted())["limit_exceeded"] == 1


@pytest.mark.usefixtures("five_a_day")
def test_limit_exceeded_at_most_once_per_interval(harness):
    for hour in range(72):
        if hour % 8 == 3 and has_slot_at_hh(harness):
            harness.by_hand()
        if hour % 6 == 0:
            harness.submit(publish(harness))
        for _ in range(4):
            harness.sweep()
            harness.run()
            harness.world.sandbox.advance(15 * MINUTE)
    harness.sync()
    log = harness.posted()
    assert {entry["outcome"] for entry in log} == {"accepted", "limit_exceeded"}
    refused = [at_hh(entry) for entry in log if entry["outcome"] == "limit_exceeded"]
    gaps = [later - sooner for sooner, later in pairwise(refused)]
    assert all(gap >= negotiation_sync.MIN_INTERVAL for gap in gaps)
    accepted = [entry for entry in log if entry["outcome"] == "accepted"]
    assert len({entry["vacancy_id"] for entry in accepted}) == len(accepted)
    assert {entry["by"] for entry in accepted} == {"hand", "api"}
    outcomes = harness.read_tables()["application_outcomes"]
    counts = Counter(outcome["counts"] for outcome in outcomes)
    assert counts == {True: len(accepted), False: len(refused)}
    # Nothing is lost: each application that was not sent yet has its time.
    states = Counter(row["state"] for row in harness.rows())
    assert states["submitted"] == len(accepted)
    assert set(states) <= {"submitted", "waiting_quota"}
    assert all(row["due_at"] for row in harness.rows() if row["state"] == "waiting_quota")


def has_slot_at_hh(harness):
    since = harness.world.now() - timedelta(days=1)
    accepted = harness.posted(outcome="accepted")
    return sum(datetime.fromisoformat(entry["at"]) > since for entry in accepted) < 5


def test_two_hundred_by_hand_are_counted_after_refusal(harness):
    harness.by_hand(count=200)
    made = [at_hh(entry) for entry in harness.posted()]
    accepted = harness.submit(publish(harness))
    harness.run()
    assert harness.row(accepted).state == "waiting_quota"
    assert len(harness.counted()) == 200
    access = harness.person.access
    assert (access.state, access.until) == ("limited_until", made[0] + daily_limit.DAY)
    assert harness.row(accepted).due_at == access.until
    harness.world.sandbox.advance((access.until - harness.world.now()).total_seconds() + 1)
    assert harness.sweep().rung == 1
    harness.run()
    assert harness.row(accepted).state == "submitted"
    assert len(harness.posted(outcome="limit_exceeded")) == 1
