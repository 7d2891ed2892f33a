"""Outcomes by hh.ru's negotiations, on the real sandbox: by hand, and in another state."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.fixtures.database import waiting_sessions
from tests.fixtures.waiting import until
from tests.harness.applying import ANNA, publish
from tests.harness.context import make_context
from tests.harness.negotiations import DAY_S, HOUR, MINUTE, Edited, SyncHarness, at_hh
from ullgetthejob.applications import acceptance, attempts, ledger
from ullgetthejob.applications.commands import cancel, list_applications
from ullgetthejob.applications.models import ApplicationQuery
from ullgetthejob.applications.submission import SubmitBody
from ullgetthejob.rate_limits import token_bucket


@pytest.fixture
def harness(quiet_world):
    return SyncHarness(quiet_world)


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
    (shown,) = list_applications(ApplicationQuery(), harness.person, harness.context).items
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
    events = harness.read_tables()["events"]
    assert [row["seq"] for row in events] == list(range(1, 11))
    assert [row["type"] for row in events].count("message.received") == len(ids[:2])


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
        psycopg.connect(database_url, autocommit=True) as observer,
        ThreadPoolExecutor(1) as pool,
    ):
        body = SubmitBody(job_external_id=vacancy, cover_letter="Здравствуйте!")
        accepted = acceptance.accept(body, person, make_context(other, harness.world.now))
        reading = pool.submit(harness.sync)
        until(lambda: waiting_sessions(observer))
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
    assert harness.seconds_until_due() == pytest.approx(6 * HOUR, abs=60)


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
            harness.person,
            harness.context,
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
