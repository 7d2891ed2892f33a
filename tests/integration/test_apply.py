"""From submit to hh.ru: the ledger, the applier and the sweeper on the real sandbox."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from ullgetthejob.accounts import people
from ullgetthejob.applications import acceptance, attempts, ledger, projection, submitter
from ullgetthejob.applications.acceptance import SubmitBody
from ullgetthejob.applications.commands import RetryBody, cancel, confirm, read_application, retry
from ullgetthejob.applications.sweep import sweep
from ullgetthejob.platform import postgres
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.errors import Conflict, NeedsPerson
from ullgetthejob.rate_limits import token_bucket

if TYPE_CHECKING:
    from ullgetthejob.accounts.people import Person

CALLER = Caller("service", "a-request-of-a-test")
ANNA = "anna"


class Desk:
    """Somebody who applies."""

    def __init__(self, world, who=ANNA):
        self.world = world
        self.who = who
        self.account_id, _ = world.connect(who)
        self.user_id = uuid4()
        now = world.now()
        world_row = {"id": self.user_id, "account": self.account_id, "now": now}
        postgres.connection().execute(
            "INSERT INTO users (id, email, password_hash, account_id, inserted_at, updated_at)"
            " VALUES (%(id)s, %(id)s::text, '!', %(account)s, %(now)s, %(now)s)",
            world_row,
        )
        self.hh = world.hh()

    @property
    def person(self) -> Person:
        return people.find_by_id(self.user_id)

    @property
    def connection(self):
        return postgres.connection()

    def submit(self, vacancy_id, letter="Здравствуйте!", **fields):
        body = SubmitBody(job_external_id=vacancy_id, cover_letter=letter, **fields)
        return acceptance.accept(
            body,
            person=self.person,
            caller=CALLER,
            connection=self.connection,
            now=self.world.now(),
        )

    def run(self):
        return submitter.run(
            self.account_id,
            hh=self.hh,
            connection=self.connection,
            clock=self.world.now,
            request_id="bell",
        )

    def sweep(self):
        return sweep(connection=self.connection, now=self.world.now())

    def row(self, accepted):
        row = ledger.read(accepted.application_id, connection=self.connection)
        assert row is not None
        return row

    def posted(self, **wanted):
        return self.world.sandbox.applications(person=self.who, **wanted)


@pytest.fixture
def desk(connected, monkeypatch):
    connected.sandbox.employers_act(False)
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    monkeypatch.setenv("HH_REDIRECT_URI", "https://app.example.org")
    return Desk(connected)


def publish(desk, **fields):
    return str(desk.world.sandbox.publish("Python-разработчик", **fields)["id"])


def test_an_application_goes_out_once_and_hh_has_it(desk):
    vacancy = publish(desk)
    accepted = desk.submit(vacancy)
    assert (accepted.status, accepted.state) == ("processing", "queued")
    assert desk.run() is False
    row = desk.row(accepted)
    assert (row.state, row.reason, row.due_at) == ("submitted", None, None)
    assert row.negotiation_id
    (judged,) = desk.posted()
    assert (judged["vacancy_id"], judged["outcome"]) == (vacancy, "accepted")
    desk.run()
    assert len(desk.posted()) == 1


def test_the_same_again_is_answered_with_the_first(desk):
    vacancy = publish(desk)
    first = desk.submit(vacancy, idempotency_key="k1")
    again = desk.submit(vacancy, idempotency_key="k1")
    other_key = desk.submit(vacancy, idempotency_key="k2")
    assert first.application_id == again.application_id == other_key.application_id
    with pytest.raises(Conflict):
        desk.submit(publish(desk), idempotency_key="k1")


def shown_letter(desk, accepted):
    """The letter of the row that the BFF reads."""
    sql = "SELECT cover_letter FROM applications WHERE id = %s"
    row = desk.connection.execute(sql, [desk.row(accepted).application_id]).fetchone()
    return row["cover_letter"]


def test_another_letter_without_a_key_replaces_the_first_one_until_it_is_out(desk):
    vacancy = publish(desk)
    first = desk.submit(vacancy, "Первое письмо")
    again = desk.submit(vacancy, "Второе письмо")
    assert (again.application_id, again.status) == (first.application_id, "processing")
    assert (desk.row(first).letter, shown_letter(desk, first)) == ("Второе письмо",) * 2
    without = desk.submit(vacancy, None)
    assert (without.application_id, desk.row(first).letter) == (
        again.application_id,
        "Второе письмо",
    )
    desk.run()
    (judged,) = desk.posted()
    assert judged["letter"] == "Второе письмо"
    late = desk.submit(vacancy, "Третье письмо")
    assert (late.application_id, late.state) == (first.application_id, "submitted")
    assert (desk.row(first).letter, shown_letter(desk, first)) == ("Второе письмо",) * 2
    desk.run()
    assert len(desk.posted()) == 1


def test_what_else_is_different_without_a_key_is_answered_with_the_first(desk):
    vacancy = publish(desk)
    first = desk.submit(vacancy)
    cv = {"email": "anna@example.org", "phone": "+79991234567", "title": "Повар"}
    for other in ({"hh_resume_id": "ab12"}, {"customized_cv": cv, "create_resume": True}):
        assert desk.submit(vacancy, **other).application_id == first.application_id
    assert desk.row(first).wanted_resume_id is None


def test_a_key_of_the_caller_s_own_with_another_letter_is_a_conflict(desk):
    vacancy = publish(desk)
    first = desk.submit(vacancy, "Первое письмо", idempotency_key="k1")
    with pytest.raises(Conflict):
        desk.submit(vacancy, "Второе письмо", idempotency_key="k1")
    assert desk.row(first).letter == "Первое письмо"
    desk.submit(vacancy, "Второе письмо", idempotency_key="k2")
    repeated = desk.submit(vacancy, "Первое письмо", idempotency_key="k1")
    assert repeated.application_id == first.application_id
    assert desk.row(first).letter == "Второе письмо", "a request that comes again changes nothing"


def test_the_header_idempotency_key_is_a_key_of_the_caller_s_own(desk, monkeypatch):
    vacancy = publish(desk)
    monkeypatch.setattr(
        f"{__name__}.CALLER", Caller("service", "a-request-of-a-test", idempotency_key="k1")
    )
    accepted = desk.submit(vacancy, "Первое письмо")
    assert accepted.idempotency_key == "k1"
    with pytest.raises(Conflict):
        desk.submit(vacancy, "Второе письмо")


def test_a_letter_that_comes_while_the_resume_is_chosen_is_the_one_that_goes_out(desk):
    vacancy = publish(desk)
    accepted = desk.submit(vacancy, "Первое письмо")
    resumes = desk.hh.resumes

    def submit_meanwhile(token):
        desk.submit(vacancy, "Второе письмо")
        return resumes(token)

    desk.hh.resumes = submit_meanwhile
    desk.run()
    (judged,) = desk.posted()
    assert judged["letter"] == desk.row(accepted).letter == "Второе письмо"


def test_a_letter_that_comes_while_the_call_is_out_changes_nothing(desk):
    vacancy = publish(desk)
    accepted = desk.submit(vacancy, "Первое письмо")
    apply_at_hh = desk.hh.apply

    def submit_meanwhile(*arguments, **about):
        assert desk.submit(vacancy, "Второе письмо").application_id == accepted.application_id
        return apply_at_hh(*arguments, **about)

    desk.hh.apply = submit_meanwhile
    desk.run()
    (judged,) = desk.posted()
    assert judged["letter"] == desk.row(accepted).letter == "Первое письмо"


@pytest.mark.parametrize("state", ["queued", "handoff", "needs_person"])
def test_a_retry_with_another_letter_shows_it_in_applications(desk, state):
    fields = {"has_test": True} if state == "handoff" else {}
    fields |= {"response_letter_required": True} if state == "needs_person" else {}
    vacancy = publish(desk, **fields)
    accepted = desk.submit(vacancy, None if state == "needs_person" else "Первое письмо")
    if state != "queued":
        desk.run()
    assert desk.row(accepted).state == state
    answer = retry(
        str(accepted.application_id),
        RetryBody(cover_letter="Второе письмо"),
        person=desk.person,
        caller=CALLER,
        connection=desk.connection,
        now=desk.world.now(),
    )
    assert answer.application.cover_letter == shown_letter(desk, accepted) == "Второе письмо"


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
def test_what_hh_does_not_take_ends_where_its_table_says(desk, fields, state, reason):
    letter = fields.pop("letter", "Здравствуйте!")
    if fields.pop("letter_required", False):
        fields["response_letter_required"] = True
    accepted = desk.submit(publish(desk, **fields), letter)
    desk.run()
    row = desk.row(accepted)
    assert (row.state, row.reason) == (state, reason)
    if state == "handoff":
        assert row.link


def test_an_archived_vacancy_costs_no_token(desk):
    vacancy = publish(desk)
    desk.world.sandbox.control("POST", f"/vacancies/{vacancy}/close")
    accepted = desk.submit(vacancy)
    desk.run()
    assert desk.row(accepted).reason == "vacancy_archived"
    assert token_bucket.read_level("submit", desk.account_id, now=desk.world.now()).tokens == 20


@pytest.mark.parametrize("kind", ["lost", "drop", "truncated"])
def test_a_lost_answer_is_settled_by_reading(desk, kind):
    accepted = desk.submit(publish(desk))
    desk.world.sandbox.fault(kind, path="/negotiations", method="POST", times=1)
    desk.run()
    states = [desk.row(accepted).state]
    for _ in range(6):
        desk.world.sandbox.advance(61)
        desk.run()
        states.append(desk.row(accepted).state)
    assert states[-1] == "submitted", states
    assert [one["outcome"] for one in desk.posted()].count("accepted") == 1


def test_the_twenty_first_waits_for_its_token_and_goes_out_then(desk):
    accepted = [desk.submit(publish(desk)) for _ in range(22)]
    desk.run()
    states = [desk.row(one).state for one in accepted]
    assert states == ["submitted"] * 20 + ["waiting_quota"] * 2
    first, second = (desk.row(one).due_at for one in accepted[-2:])
    assert second - first == timedelta(minutes=7, seconds=30)
    desk.world.sandbox.advance((first - desk.world.now()).total_seconds() + 1)
    desk.run()
    assert [desk.row(one).state for one in accepted[-2:]] == ["submitted", "waiting_quota"]
    late = desk.submit(publish(desk))
    assert late.status == "waiting_quota"
    assert late.next_attempt_at > desk.world.now()


def test_never_more_than_two_hundred_in_a_day(desk, monkeypatch):
    monkeypatch.setenv("RATE_LIMIT_SUBMIT_CAPACITY", "1000")
    monkeypatch.setattr(ledger, "DAY_LIMIT", 5)
    desk.world.sandbox.applications_per_day(5)
    accepted = [desk.submit(publish(desk)) for _ in range(7)]
    desk.run()
    assert [desk.row(one).state for one in accepted].count("submitted") == 5
    assert {one["outcome"] for one in desk.posted()} == {"accepted"}
    desk.world.sandbox.advance(24 * 3600 + 121 + 450)  # the second waits for one token more
    desk.run()
    assert {desk.row(one).state for one in accepted} == {"submitted"}
    assert {one["outcome"] for one in desk.posted()} == {"accepted"}


def test_applications_by_hand_make_the_account_wait_once(desk):
    desk.world.sandbox.applications_per_day(3)
    desk.world.sandbox.apply_by_hand(ANNA, count=3)
    accepted = [desk.submit(publish(desk)) for _ in range(3)]
    desk.run()
    assert {desk.row(one).state for one in accepted} == {"waiting_quota"}
    assert people.find_by_id(desk.user_id).access.state == "limited_until"
    refused = [one for one in desk.posted() if one["outcome"] == "limit_exceeded"]
    assert len(refused) == 1


def test_a_closed_door_hands_everything_over(desk):
    accepted = [desk.submit(publish(desk)) for _ in range(3)]
    desk.world.sandbox.control("POST", "/mode", {"mode": "closed"})
    desk.run()
    rows = [desk.row(one) for one in accepted]
    assert {(row.state, row.reason) for row in rows} == {("handoff", "hh_closed")}
    assert all(row.link and row.letter for row in rows)
    done = confirm(
        str(rows[0].id),
        person=desk.person,
        caller=CALLER,
        connection=desk.connection,
        now=desk.world.now(),
    )
    assert done.application.state == "submitted"
    assert done.application.by_hand


def test_after_a_new_login_what_waited_for_it_goes_out(desk):
    accepted = desk.submit(publish(desk))
    desk.world.sandbox.control("POST", f"/people/{ANNA}/revoke")
    desk.run()
    assert (desk.row(accepted).state, desk.row(accepted).reason) == (
        "needs_person",
        "reauth_required",
    )
    with pytest.raises(NeedsPerson):
        retry(
            str(accepted.application_id),
            RetryBody(),
            person=desk.person,
            caller=CALLER,
            connection=desk.connection,
            now=desk.world.now(),
        )
    desk.world.connect(ANNA, desk.account_id)
    desk.connection.execute("UPDATE accounts SET access_state = 'ok', access_reason = NULL")
    assert desk.sweep().returned == 1
    desk.run()
    assert desk.row(accepted).state == "submitted"


def test_a_worker_that_died_with_the_call_out_does_not_call_again(desk):
    accepted = desk.submit(publish(desk))
    row = desk.row(accepted)
    now = desk.world.now()
    ledger.transition(row.id, "preparing", connection=desk.connection, now=now, due_at=now)
    resume_id = next(iter(desk.world.sandbox.resumes(ANNA).values()))
    attempt = attempts.begin_attempt(
        ledger.read(row.id, connection=desk.connection),
        resume_id,
        "only_one",
        connection=desk.connection,
        now=now,
    )
    assert isinstance(attempt, ledger.Application)
    desk.run()
    assert desk.row(accepted).state == "submitting", "its call may still be out"
    for _ in range(5):
        desk.world.sandbox.advance(91)
        desk.run()
    assert desk.row(accepted).state == "submitted"
    assert len(desk.posted()) == 1


@pytest.mark.parametrize("state", ["submitted", "waiting_quota", "refused", "handoff"])
def test_what_the_bff_writes_over_the_state_changes_nothing_that_is_not_safe(desk, state):
    fields = {"refused": {"refusal": "application_denied"}, "handoff": {"has_test": True}}
    accepted = desk.submit(publish(desk, **fields.get(state, {})))
    if state == "waiting_quota":
        while token_bucket.read_level("submit", desk.account_id, now=desk.world.now()).tokens:
            token_bucket.acquire(
                "submit", desk.account_id, spend_id=str(uuid4()), now=desk.world.now()
            )
    desk.run()
    assert desk.row(accepted).state == state
    desk.connection.execute(
        "UPDATE applications SET status='pending', error_message=NULL, submitted_at=NULL"
    )
    swept = desk.sweep()
    if state in ("refused", "handoff"):
        assert (swept.retried, desk.row(accepted).state) == (1, "queued")
    else:
        assert (swept.repaired, desk.row(accepted).state) == (1, state)
        shown = desk.connection.execute("SELECT status FROM applications").fetchone()
        assert shown["status"] == projection.PROJECTED_STATUS[state]
    desk.run()
    assert len(desk.posted()) <= 2


def test_cancel_and_history(desk):
    accepted = desk.submit(publish(desk))
    id = str(accepted.application_id)
    about = {"person": desk.person, "connection": desk.connection}
    cancelled = cancel(id, caller=CALLER, now=desk.world.now(), **about)
    assert cancelled.application.state == "cancelled"
    desk.run()
    assert desk.posted() == []
    shown = read_application(id, **about).application
    assert [step.state for step in shown.history] == ["queued", "cancelled"]


def test_one_person_on_two_sessions_has_one_bucket_and_one_application(desk):
    other = uuid4()
    desk.connection.execute(
        "INSERT INTO users (id, email, password_hash, account_id, inserted_at, updated_at)"
        " VALUES (%s, %s, '!', %s, now(), now())",
        (other, str(other), desk.account_id),
    )
    vacancy = publish(desk)
    first = desk.submit(vacancy)
    desk.user_id, before = other, desk.user_id
    assert desk.submit(vacancy).application_id == first.application_id
    assert people.find_by_id(other).account_id == people.find_by_id(before).account_id


def test_events_are_numbered_without_a_gap(desk):
    for _ in range(3):
        desk.submit(publish(desk))
    desk.run()
    rows = desk.connection.execute("SELECT seq, type, data FROM events ORDER BY seq").fetchall()
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    moves = [row["data"] for row in rows if row["type"] == "application.updated"]
    assert {move["state"] for move in moves} >= {"queued", "submitting", "submitted"}
    limits = [row["data"] for row in rows if row["type"] == "rate_limit.updated"]
    assert [told["tokens"] for told in limits] == [19, 18, 17]
    assert [told["applicationsToday"] for told in limits] == [1, 2, 3]
    assert json.dumps([row["data"] for row in rows]).count("Здравствуйте") == 0


def test_bells_ring_for_whoever_has_something_due(desk, local_aws, dynamodb_tables):
    desk.submit(publish(desk))
    sqs = local_aws.client("sqs")
    url = dynamodb_tables["APPLIER_QUEUE_URL"]
    received = sqs.receive_message(QueueUrl=url)["Messages"]
    assert json.loads(received[0]["Body"]) == {"account_id": str(UUID(str(desk.account_id)))}
    desk.world.sandbox.advance(30)
    assert desk.sweep().rung == 1
