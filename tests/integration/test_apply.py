"""From submit to hh.ru: the ledger, the submitter and the sweeper on the real sandbox."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from tests.harness import applying
from ullgetthejob.accounts import people
from ullgetthejob.applications import attempts, ledger, projection
from ullgetthejob.applications.commands import cancel, confirm, read_application, retry
from ullgetthejob.applications.models import RetryBody
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.errors import Conflict, NeedsPerson
from ullgetthejob.rate_limits import daily_limit, token_bucket


def test_application_is_sent_once(harness):
    vacancy = applying.publish(harness)
    accepted = harness.submit(vacancy)
    assert (accepted.status, accepted.state) == ("processing", "queued")
    assert harness.run() is False
    row = harness.row(accepted)
    assert (row.state, row.reason, row.due_at) == ("submitted", None, None)
    assert row.negotiation_id
    (posted,) = harness.posted()
    assert (posted["vacancy_id"], posted["outcome"]) == (vacancy, "accepted")
    harness.run()
    assert len(harness.posted()) == 1


def test_repeated_submit_returns_first_application(harness):
    vacancy = applying.publish(harness)
    first = harness.submit(vacancy, idempotency_key="k1")
    again = harness.submit(vacancy, idempotency_key="k1")
    other_key = harness.submit(vacancy, idempotency_key="k2")
    assert first.application_id == again.application_id == other_key.application_id
    with pytest.raises(Conflict):
        harness.submit(applying.publish(harness), idempotency_key="k1")


def shown_letter(harness, accepted):
    """Return the letter of the row that the BFF reads."""
    sql = "SELECT cover_letter FROM applications WHERE id = %s"
    row = harness.connection.execute(sql, [harness.row(accepted).application_id]).fetchone()
    return row["cover_letter"]


def test_letter_without_key_is_replaced_until_sent(harness):
    vacancy = applying.publish(harness)
    first = harness.submit(vacancy, "Первое письмо")
    again = harness.submit(vacancy, "Второе письмо")
    assert (again.application_id, again.status) == (first.application_id, "processing")
    assert (harness.row(first).letter, shown_letter(harness, first)) == ("Второе письмо",) * 2
    without = harness.submit(vacancy, None)
    assert (without.application_id, harness.row(first).letter) == (
        again.application_id,
        "Второе письмо",
    )
    harness.run()
    (posted,) = harness.posted()
    assert posted["letter"] == "Второе письмо"
    late = harness.submit(vacancy, "Третье письмо")
    assert (late.application_id, late.state) == (first.application_id, "submitted")
    assert (harness.row(first).letter, shown_letter(harness, first)) == ("Второе письмо",) * 2
    harness.run()
    assert len(harness.posted()) == 1


def test_repeated_submit_ignores_other_resume(harness):
    vacancy = applying.publish(harness)
    first = harness.submit(vacancy)
    cv = {"email": "anna@example.org", "phone": "+79991234567", "title": "Повар"}
    for other in ({"hh_resume_id": "ab12"}, {"customized_cv": cv, "create_resume": True}):
        assert harness.submit(vacancy, **other).application_id == first.application_id
    assert harness.row(first).wanted_resume_id is None


def test_reused_key_with_other_letter_is_conflict(harness):
    vacancy = applying.publish(harness)
    first = harness.submit(vacancy, "Первое письмо", idempotency_key="k1")
    with pytest.raises(Conflict):
        harness.submit(vacancy, "Второе письмо", idempotency_key="k1")
    assert harness.row(first).letter == "Первое письмо"
    harness.submit(vacancy, "Второе письмо", idempotency_key="k2")
    repeated = harness.submit(vacancy, "Первое письмо", idempotency_key="k1")
    assert repeated.application_id == first.application_id
    assert harness.row(first).letter == "Второе письмо", "a repeated request changes nothing"


def test_idempotency_key_header_counts_as_callers_key(harness, monkeypatch):
    vacancy = applying.publish(harness)
    monkeypatch.setattr(
        "tests.harness.applying.CALLER",
        Caller("service", "a-request-of-a-test", idempotency_key="k1"),
    )
    accepted = harness.submit(vacancy, "Первое письмо")
    assert accepted.idempotency_key == "k1"
    with pytest.raises(Conflict):
        harness.submit(vacancy, "Второе письмо")


def test_letter_replaced_during_preparation_is_sent(harness):
    vacancy = applying.publish(harness)
    accepted = harness.submit(vacancy, "Первое письмо")
    resumes = harness.hh.resumes

    def submit_concurrently(token):
        harness.submit(vacancy, "Второе письмо")
        return resumes(token)

    harness.hh.resumes = submit_concurrently
    harness.run()
    (posted,) = harness.posted()
    assert posted["letter"] == harness.row(accepted).letter == "Второе письмо"


def test_letter_replaced_during_call_is_ignored(harness):
    vacancy = applying.publish(harness)
    accepted = harness.submit(vacancy, "Первое письмо")
    apply_at_hh = harness.hh.apply

    def submit_concurrently(*arguments, **options):
        assert harness.submit(vacancy, "Второе письмо").application_id == accepted.application_id
        return apply_at_hh(*arguments, **options)

    harness.hh.apply = submit_concurrently
    harness.run()
    (posted,) = harness.posted()
    assert posted["letter"] == harness.row(accepted).letter == "Первое письмо"


@pytest.mark.parametrize("state", ["queued", "handoff", "needs_person"])
def test_retry_with_other_letter_updates_projection(harness, state):
    fields = {"has_test": True} if state == "handoff" else {}
    fields |= {"response_letter_required": True} if state == "needs_person" else {}
    vacancy = applying.publish(harness, **fields)
    accepted = harness.submit(vacancy, None if state == "needs_person" else "Первое письмо")
    if state != "queued":
        harness.run()
    assert harness.row(accepted).state == state
    answer = retry(
        str(accepted.application_id),
        RetryBody(cover_letter="Второе письмо"),
        harness.person,
        harness.context,
    )
    assert answer.application.cover_letter == shown_letter(harness, accepted) == "Второе письмо"


@pytest.mark.parametrize(
    ("fields", "state", "reason"),
    [
        ({"has_test": True}, "handoff", "test_required"),
        ({"letter_required": True, "letter": None}, "needs_person", "letter_required"),
        ({"refusal": "application_denied"}, "refused", "application_denied"),
        ({"refusal": "inappropriate_language"}, "needs_person", "inappropriate_language"),
        ({"refusal": "resume_visibility_conflict"}, "handoff", "resume_visibility_conflict"),
    ],
)
def test_refused_application_state_follows_error_table(harness, fields, state, reason):
    letter = fields.pop("letter", "Здравствуйте!")
    if fields.pop("letter_required", False):
        fields["response_letter_required"] = True
    accepted = harness.submit(applying.publish(harness, **fields), letter)
    harness.run()
    row = harness.row(accepted)
    assert (row.state, row.reason) == (state, reason)
    if state == "handoff":
        assert row.link


def test_archived_vacancy_costs_no_token(harness):
    vacancy = applying.publish(harness)
    harness.world.sandbox.control("POST", f"/vacancies/{vacancy}/close")
    accepted = harness.submit(vacancy)
    harness.run()
    assert harness.row(accepted).reason == "vacancy_archived"
    assert (
        token_bucket.read_level("submit", harness.account_id, now=harness.world.now()).tokens == 20
    )


@pytest.mark.parametrize("kind", ["lost", "drop", "truncated"])
def test_lost_answer_is_settled_by_reading_negotiations(harness, kind):
    accepted = harness.submit(applying.publish(harness))
    harness.world.sandbox.fault(kind, path="/negotiations", method="POST", times=1)
    harness.run()
    states = [harness.row(accepted).state]
    for _ in range(6):
        harness.world.sandbox.advance(61)
        harness.run()
        states.append(harness.row(accepted).state)
    assert states[-1] == "submitted", states
    assert [entry["outcome"] for entry in harness.posted()].count("accepted") == 1


def test_application_without_token_is_sent_when_due(harness):
    accepted = [harness.submit(applying.publish(harness)) for _ in range(22)]
    harness.run()
    states = [harness.row(application).state for application in accepted]
    assert states == ["submitted"] * 20 + ["waiting_quota"] * 2
    first, second = (harness.row(application).due_at for application in accepted[-2:])
    assert second - first == timedelta(minutes=7, seconds=30)
    harness.world.sandbox.advance((first - harness.world.now()).total_seconds() + 1)
    harness.run()
    assert [harness.row(application).state for application in accepted[-2:]] == [
        "submitted",
        "waiting_quota",
    ]
    late = harness.submit(applying.publish(harness))
    assert late.status == "waiting_quota"
    assert late.next_attempt_at > harness.world.now()


def test_daily_limit_is_never_exceeded(harness, monkeypatch):
    monkeypatch.setenv("RATE_LIMIT_SUBMIT_CAPACITY", "1000")
    monkeypatch.setattr(daily_limit, "DAY_LIMIT", 5)
    harness.world.sandbox.applications_per_day(5)
    accepted = [harness.submit(applying.publish(harness)) for _ in range(7)]
    harness.run()
    assert [harness.row(application).state for application in accepted].count("submitted") == 5
    assert {entry["outcome"] for entry in harness.posted()} == {"accepted"}
    harness.world.sandbox.advance(24 * 3600 + 121 + 450)  # the second waits for one token more
    harness.run()
    assert {harness.row(application).state for application in accepted} == {"submitted"}
    assert {entry["outcome"] for entry in harness.posted()} == {"accepted"}


def test_daily_limit_used_by_hand_is_refused_once(harness):
    harness.world.sandbox.applications_per_day(3)
    harness.world.sandbox.apply_by_hand(applying.ANNA, count=3)
    accepted = [harness.submit(applying.publish(harness)) for _ in range(3)]
    harness.run()
    assert {harness.row(application).state for application in accepted} == {"waiting_quota"}
    assert people.find_by_id(harness.user_id).access.state == "limited_until"
    refused = [entry for entry in harness.posted() if entry["outcome"] == "limit_exceeded"]
    assert len(refused) == 1


def test_closed_applying_hands_off_all_applications(harness):
    accepted = [harness.submit(applying.publish(harness)) for _ in range(3)]
    harness.world.sandbox.control("POST", "/mode", {"mode": "closed"})
    harness.run()
    rows = [harness.row(application) for application in accepted]
    assert {(row.state, row.reason) for row in rows} == {("handoff", "hh_closed")}
    assert all(row.link and row.letter for row in rows)
    done = confirm(
        str(rows[0].id),
        harness.person,
        harness.context,
    )
    assert done.application.state == "submitted"
    assert done.application.by_hand


def test_new_login_requeues_waiting_applications(harness):
    accepted = harness.submit(applying.publish(harness))
    harness.world.sandbox.control("POST", f"/people/{applying.ANNA}/revoke")
    harness.run()
    assert (harness.row(accepted).state, harness.row(accepted).reason) == (
        "needs_person",
        "reauth_required",
    )
    with pytest.raises(NeedsPerson):
        retry(
            str(accepted.application_id),
            RetryBody(),
            harness.person,
            harness.context,
        )
    harness.world.connect(applying.ANNA, harness.account_id)
    harness.connection.execute("UPDATE accounts SET access_state = 'ok', access_reason = NULL")
    assert harness.sweep().returned == 1
    harness.run()
    assert harness.row(accepted).state == "submitted"


def test_interrupted_call_is_not_repeated_before_timeout(harness):
    accepted = harness.submit(applying.publish(harness))
    row = harness.row(accepted)
    now = harness.world.now()
    ledger.transition(row.id, "preparing", connection=harness.connection, now=now, due_at=now)
    resume_id = next(iter(harness.world.sandbox.resumes(applying.ANNA).values()))
    attempt = attempts.begin_attempt(
        ledger.read(row.id, connection=harness.connection),
        resume_id,
        "only_one",
        connection=harness.connection,
        now=now,
    )
    assert isinstance(attempt, attempts.Begun)
    harness.run()
    assert harness.row(accepted).state == "submitting", "its call may still be under way"
    for _ in range(5):
        harness.world.sandbox.advance(91)
        harness.run()
    assert harness.row(accepted).state == "submitted"
    assert len(harness.posted()) == 1


@pytest.mark.parametrize("state", ["submitted", "waiting_quota", "refused", "handoff"])
def test_overwritten_status_is_retried_only_where_safe(harness, state):
    fields = {"refused": {"refusal": "application_denied"}, "handoff": {"has_test": True}}
    accepted = harness.submit(applying.publish(harness, **fields.get(state, {})))
    if state == "waiting_quota":
        while token_bucket.read_level("submit", harness.account_id, now=harness.world.now()).tokens:
            token_bucket.acquire(
                "submit", harness.account_id, spend_id=str(uuid4()), now=harness.world.now()
            )
    harness.run()
    assert harness.row(accepted).state == state
    harness.connection.execute(
        "UPDATE applications SET status='pending', error_message=NULL, submitted_at=NULL"
    )
    swept = harness.sweep()
    if state in ("refused", "handoff"):
        assert (swept.retried, harness.row(accepted).state) == (1, "queued")
    else:
        assert (swept.repaired, harness.row(accepted).state) == (1, state)
        shown = harness.connection.execute("SELECT status FROM applications").fetchone()
        assert shown["status"] == projection.PROJECTED_STATUS[state]
    harness.run()
    assert len(harness.posted()) <= 2


def test_cancelled_application_is_not_sent(harness):
    accepted = harness.submit(applying.publish(harness))
    application_id = str(accepted.application_id)
    cancelled = cancel(application_id, harness.person, harness.context)
    assert cancelled.application.state == "cancelled"
    harness.run()
    assert harness.posted() == []
    shown = read_application(application_id, harness.person, harness.context).application
    assert [step.state for step in shown.history] == ["queued", "cancelled"]


def test_two_sessions_share_one_application(harness):
    other = applying.second_session(harness)
    vacancy = applying.publish(harness)
    first = harness.submit(vacancy)
    harness.user_id, before = other, harness.user_id
    assert harness.submit(vacancy).application_id == first.application_id
    assert people.find_by_id(other).account_id == people.find_by_id(before).account_id


def test_events_are_numbered_without_gap(harness):
    for _ in range(3):
        harness.submit(applying.publish(harness))
    harness.run()
    rows = harness.connection.execute("SELECT seq, type, data FROM events ORDER BY seq").fetchall()
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    moves = [row["data"] for row in rows if row["type"] == "application.updated"]
    assert {move["state"] for move in moves} >= {"queued", "submitting", "submitted"}
    limits = [row["data"] for row in rows if row["type"] == "rate_limit.updated"]
    assert [limit["tokens"] for limit in limits] == [19, 18, 17]
    assert [limit["applicationsToday"] for limit in limits] == [1, 2, 3]
    assert json.dumps([row["data"] for row in rows]).count("Здравствуйте") == 0


def test_submit_and_sweeper_notify_due_account(harness, local_aws, dynamodb_tables):
    harness.submit(applying.publish(harness))
    sqs = local_aws.client("sqs")
    url = dynamodb_tables["APPLIER_QUEUE_URL"]
    received = sqs.receive_message(QueueUrl=url)["Messages"]
    assert json.loads(received[0]["Body"]) == {"account_id": str(UUID(str(harness.account_id)))}
    harness.world.sandbox.advance(30)
    assert harness.sweep().notified == 1
