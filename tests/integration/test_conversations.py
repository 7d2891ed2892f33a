"""Conversations on the real sandbox: messages are stored once, and a reply is sent once."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.harness.applying import insert_session, publish
from tests.harness.context import make_context
from tests.harness.negotiations import DAY_S, MINUTE, SyncHarness
from ullgetthejob.accounts import people
from ullgetthejob.applications import commands as applications
from ullgetthejob.applications.conversations import commands, models, rules, store
from ullgetthejob.notifications import facts
from ullgetthejob.platform import telemetry
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.errors import Conflict, Invalid, NotFound
from ullgetthejob.statistics import store as statistics

if TYPE_CHECKING:
    from tests.fixtures.hh_sandbox import HhSandbox

HELLO = "Здравствуйте! <b>Когда</b> вам удобно? &amp; <script>1</script>"
REPLY = "Спасибо, завтра в 15:00."


class Talk(SyncHarness):
    """A person with an application that hh.ru has, and its conversation."""

    def __init__(self, world):
        super().__init__(world)
        self.applied = self.submit(publish(self))
        self.run()
        self.id = str(self.applied.application_id)
        self.negotiation = self.row(self.applied).negotiation_id
        world.sandbox.advance(MINUTE)  # hh.ru opens a conversation after a second

    @property
    def sandbox(self) -> HhSandbox:
        sandbox: HhSandbox = self.world.sandbox
        return sandbox

    def employer(self, text=HELLO, act="message"):
        self.sandbox.employer_does(self.negotiation, act, text)

    def reply(self, text=REPLY, key=None):
        body = models.ReplyBody(text=text, idempotency_key=key)
        return commands.reply(self.id, body, self.person, self.context)

    def messages(self, **query):
        query = models.MessageQuery(**query)
        return commands.list_messages(self.id, query, self.person, self.context)

    def shown(self):
        """Return the author, text and state of each message, the oldest first."""
        items = reversed(self.messages().items)
        return [(item.author, item.text, item.state) for item in items]

    def at_hh(self):
        """Return the texts of the person's replies that hh.ru has."""
        found = self.sandbox.control("GET", f"/applications/{self.negotiation}/messages")
        return [
            message["text"]
            for message in found["messages"]
            if message["author"]["participant_type"] == "applicant"
            and message["state"]["id"] == "text"
        ]

    def events(self, *types):
        rows = self.read_tables()["events"]
        return [row["data"] for row in rows if row["type"] in types]

    def calls(self, verb):
        calls = self.sandbox.control("GET", "/state")["calls"]["by_route"]
        return sum(
            number
            for route, number in calls.items()
            if route.startswith(f"{verb} ") and route.endswith("/messages")
        )

    def state(self, replied):
        row = store.read_reply(replied.message.message_id, connection=self.connection)
        return row.state, row.reason

    def pass_time(self, minutes):
        for _ in range(minutes):
            self.sandbox.advance(MINUTE)
            self.sweep()
            self.run()

    def fault(self, kind, method="POST", **options):
        self.sandbox.fault(kind, path="/negotiations/", method=method, **options)


@pytest.fixture
def talk(quiet_world):
    return Talk(quiet_world)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


def test_message_of_the_employer_is_stored_and_told_once(talk):
    talk.employer()
    for _ in range(2):
        talk.sync()
    assert talk.shown() == [
        ("applicant", "Здравствуйте!", "sent"),
        ("employer", HELLO, "received"),
    ]
    [event] = talk.events("message.received")
    assert event.keys() == {"application_id", "job_id", "message_id", "hh_state", "written_at"}
    assert HELLO not in json.dumps(talk.events("message.received", "application.updated"))
    told = facts.facts_of({"seq": 1, "type": "message.received", "data": event})
    assert [(fact.kind, fact.key) for fact in told] == [("message", talk.id)]
    assert talk.calls("GET") == 1, "it was read once, since nothing was new"


def test_message_sets_the_first_times_of_the_statistics(talk):
    talk.employer()
    talk.sandbox.advance(DAY_S)
    talk.employer("Приглашаем", act="invitation")
    talk.sandbox.advance(DAY_S)
    talk.employer("Увы", act="discard")  # before Core reads: hh.ru shows a refusal
    talk.sync()
    [row] = talk.rows()
    answered = row["first_answered_at"]
    assert row["first_seen_at"] == answered < row["first_invited_at"] < talk.world.now()
    assert (row["first_invited_at"] - answered).days in (0, 1)
    [counted] = talk.connection.execute(
        statistics.SELECT_OUTCOMES,
        {
            "account_id": talk.account_id,
            "since": row["created_at"].replace(year=2000),
            "until": talk.world.now(),
            "now": talk.world.now(),
            "window": rules.REPLY_TTL,
        },
    ).fetchall()
    assert (counted["answered"], counted["invited"]) == (1, 1)


def test_history_shows_what_was_written(talk):
    talk.employer()
    talk.sync()
    replied = talk.reply()
    talk.run()
    shown = applications.read_application(talk.id, talk.person, talk.context).application
    written = [(step.reason, step.message_id) for step in shown.history if step.message_id]
    [received, sent] = sorted(written)
    assert received[0] == "message"
    assert sent == ("reply", replied.message.message_id)


def test_long_conversation_is_read_whole(talk):
    for number in range(230):
        talk.employer(f"Вопрос {number}")
        talk.sandbox.advance(1)
    talk.sync()
    assert len(talk.messages(per_page=100).items) == 100
    stored = talk.connection.execute("SELECT count(*) AS n FROM application_messages").fetchone()
    assert stored["n"] == 231
    first = talk.messages(per_page=100)
    second = talk.messages(per_page=100, cursor=first.next_cursor)
    texts = [item.text for item in (*first.items, *second.items)]
    assert texts == [f"Вопрос {229 - number}" for number in range(200)]


def test_reading_that_fails_is_due_again(talk):
    talk.employer()
    talk.fault("bad_gateway", method="GET", times=1)
    talk.sync()
    assert len(talk.shown()) == 0
    talk.pass_time(7)
    assert talk.shown()[-1] == ("employer", HELLO, "received")


def test_closed_reading_is_not_tried_again(talk):
    talk.employer()
    talk.fault("withdrawn", method="GET", status=403)
    talk.sync()
    talk.pass_time(10)
    assert talk.calls("GET") == 1
    talk.sandbox.control("DELETE", "/faults")
    talk.sandbox.advance(DAY_S)
    talk.pass_time(1)
    assert talk.shown()[-1] == ("employer", HELLO, "received")


def test_person_who_looks_has_it_read(talk):
    talk.sync()
    assert talk.messages().read_at is None
    talk.run()
    assert talk.messages().read_at is not None
    before = talk.calls("GET")
    talk.run()
    assert talk.calls("GET") == before, "it was just read"


# ── replying ─────────────────────────────────────────────────────────────────────────────────────


def test_reply_is_sent_once_however_often_it_is_pressed(talk):
    talk.employer()
    talk.sync()
    replied = talk.reply(key="press-1")
    for _ in range(3):
        assert talk.reply(key="press-1").message.message_id == replied.message.message_id
        talk.run()
    talk.sync()
    assert talk.at_hh() == [REPLY]
    assert talk.state(replied) == ("sent", None)
    assert talk.shown()[-1] == ("applicant", REPLY, "sent")
    assert len(talk.shown()) == 3, "hh.ru's message is the reply, not another one"
    states = [event["state"] for event in talk.events("message.updated")]
    assert states == ["sent"]
    assert REPLY not in json.dumps(talk.events("message.updated"))
    with pytest.raises(Conflict):
        talk.reply("Другой текст", key="press-1")


def test_key_may_be_the_header(talk):
    caller = Caller("user", "request", talk.user_id, idempotency_key="header")
    context = make_context(talk.connection, talk.world.now, caller=caller, hh=talk.hh)
    body = models.ReplyBody(text=REPLY)
    ids = {commands.reply(talk.id, body, talk.person, context).message.message_id for _ in "12"}
    assert len(ids) == 1


def test_reply_without_a_key_is_one_until_the_employer_writes(talk):
    first, again = talk.reply("Да"), talk.reply("Да")
    assert first.message.message_id == again.message.message_id
    talk.run()
    talk.employer()
    talk.sync()
    assert talk.reply("Да").message.message_id != first.message.message_id
    talk.run()
    assert talk.at_hh() == ["Да", "Да"]


def test_reply_is_checked_and_sent_all_the_same(talk):
    text = "Спасибо! Пишите на other@mail.example или https://phishing.example/x, [имя]"
    replied = talk.reply(text)
    assert replied.is_checked
    assert {finding.rule for finding in replied.findings} == {"contact", "link", "placeholder"}
    talk.run()
    assert talk.at_hh() == [text]


def test_reply_without_resume_is_sent_unchecked(talk):
    talk.sandbox.fault("bad_gateway", path="/resumes", method="GET")
    replied = talk.reply()
    assert (replied.findings, replied.is_checked) == ([], False)
    talk.run()
    assert talk.at_hh() == [REPLY]


@pytest.mark.parametrize("fault", ["drop", "lost"])
def test_lost_answer_is_settled_by_reading(talk, fault):
    talk.fault(fault, times=1)
    replied = talk.reply()
    talk.run()
    assert talk.state(replied) == ("unknown", "no_answer")
    talk.pass_time(5)
    assert talk.state(replied) == ("sent", None)
    assert talk.at_hh() == [REPLY]
    assert talk.calls("POST") == (1 if fault == "lost" else 2)


def test_reply_that_cannot_be_looked_for_is_not_sent_again(talk):
    talk.fault("lost", times=1)
    talk.fault("withdrawn", method="GET", status=403)
    replied = talk.reply()
    talk.run()
    talk.pass_time(10)
    assert talk.state(replied) == ("unknown", "hh_closed")
    assert talk.at_hh() == [REPLY]
    assert talk.messages().items[0].link


def test_closed_writing_is_left_to_the_person(talk):
    talk.fault("withdrawn", status=403)
    replied = talk.reply()
    talk.run()
    assert talk.state(replied) == ("handoff", "hh_closed")
    again = talk.reply("Ещё раз")
    assert (again.message.state, again.message.text) == ("handoff", "Ещё раз")
    assert again.message.link
    talk.pass_time(3)
    assert talk.at_hh() == []


@pytest.mark.parametrize(
    "refusal", ["in_a_row_limit", "archived", "disabled_by_employer", "topic_not_found"]
)
def test_refused_reply_fails_with_hhs_reason(talk, refusal):
    talk.fault("refusal", value=refusal)
    replied = talk.reply()
    talk.run()
    assert talk.state(replied) == ("failed", refusal)
    talk.sandbox.control("DELETE", "/faults")
    assert talk.reply().message.message_id != replied.message.message_id, "pressed again"
    talk.run()
    assert talk.at_hh() == [REPLY]


def test_reply_waits_until_the_conversation_is_open(talk):
    talk.fault("refusal", value="chat_is_not_ready", times=2)
    replied = talk.reply()
    talk.run()
    assert talk.state(replied) == ("sending", "hh_message_refused")
    talk.pass_time(3)
    assert talk.at_hh() == [REPLY]


def test_reply_that_waited_a_day_fails(talk):
    talk.fault("too_many_requests")
    replied = talk.reply()
    talk.run()
    talk.sandbox.advance(DAY_S)
    talk.pass_time(1)
    assert talk.state(replied) == ("failed", "waited_too_long")
    assert talk.at_hh() == []


def test_replies_are_sent_in_order(talk):
    talk.fault("lost", times=1)
    talk.reply("Первое")
    talk.reply("Второе")
    talk.run()
    assert talk.at_hh() == ["Первое"], "the second waits until the first is found"
    talk.pass_time(3)
    assert talk.at_hh() == ["Первое", "Второе"]


def test_replies_beyond_five_in_waiting_are_refused(talk):
    for number in range(commands.MAX_WAITING):
        talk.reply(f"Ответ {number}")
    with pytest.raises(Conflict) as caught:
        talk.reply("Шестой")
    assert caught.value.code == "replies_waiting"


def test_reply_to_what_was_not_sent_is_refused(talk):
    waiting = talk.submit(publish(talk), review="always")
    with pytest.raises(Conflict):
        commands.reply(
            str(waiting.application_id), models.ReplyBody(text="Да"), talk.person, talk.context
        )
    with pytest.raises(Invalid):
        talk.reply(" \n ")


def test_conversation_of_another_person_is_not_found(talk):
    other = insert_session(talk.world.account(), talk.world.now())
    stranger = people.find_by_id(other)
    for id in (talk.id, str(uuid4()), "x"):
        with pytest.raises(NotFound):
            commands.list_messages(id, models.MessageQuery(), stranger, talk.context)
        with pytest.raises(NotFound):
            commands.reply(id, models.ReplyBody(text="Да"), stranger, talk.context)
    talk.run()
    assert talk.at_hh() == []


def test_texts_are_in_no_log(talk, monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(telemetry.logger.registered_handler, "stream", log)
    talk.fault("lost", times=1)
    talk.fault("refusal", value="inappropriate_language_message", times=1)
    talk.employer("МАРКЕР работодателя")
    talk.reply("МАРКЕР ответа")
    talk.sync()
    talk.pass_time(4)
    talk.reply("МАРКЕР второй")
    talk.pass_time(4)
    written = log.getvalue()
    assert "reply changed" in written
    assert "МАРКЕР" not in written
    escaped = json.dumps("МАРКЕР").strip('"')
    assert escaped not in written
