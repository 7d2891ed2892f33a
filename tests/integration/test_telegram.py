"""The bot: pairing, commands and buttons, from the webhook to what the phone shows."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from functions.telegram import app
from local.clock import FILE_NAME
from tests.fixtures.receivers import BOT_TOKEN, PHONE
from tests.harness import notify_process
from tests.harness.worker_pool import Workers
from ullgetthejob.accounts import people
from ullgetthejob.handoff import links
from ullgetthejob.notifications import channel_store, telegram_pairing
from ullgetthejob.notifications.channels import telegram
from ullgetthejob.notifications.errors import ChannelGone
from ullgetthejob.notifications.messages import Button, Message
from ullgetthejob.notifications.recipient import Recipient
from ullgetthejob.platform import clock, postgres
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.errors import Conflict

SECRET = "a-webhook-secret"
NOW = datetime(2027, 1, 15, 12, 0, tzinfo=UTC)


def recipient(person):
    return Recipient(UUID(int=2), person.account_id, "telegram", str(PHONE), "ru")


class Bot:
    """The function ``telegram`` behind the receivers' phones; *updates* are delivered by hand."""

    def __init__(self, receivers, connection):
        self.receivers = receivers
        self.connection = connection
        self.now = NOW
        self._delivered = 0

    def context(self):
        return Context(self.connection, lambda: self.now, Caller("service", "request"))

    def account(self):
        """Return the person of a new account."""
        [row] = self.connection.execute(
            "INSERT INTO accounts (hh_user_id, access_state, access_changed_at, created_at)"
            " VALUES (%s, 'ok', %s, %s) RETURNING id",
            (uuid4().hex, NOW, NOW),
        ).fetchall()
        user_id = uuid4()
        self.connection.execute(
            "INSERT INTO users (id, email, password_hash, account_id, inserted_at, updated_at)"
            " VALUES (%s, %s, '', %s, %s, %s)",
            (user_id, f"{user_id}@x.test", row["id"], NOW, NOW),
        )
        return people.find_by_id(user_id)

    def link(self, person):
        return telegram_pairing.issue_link(person, self.context()).url

    def deliver(self, update=None, secret=SECRET):
        """Deliver *update*, by default the newest of the receivers, and return the status."""
        event = self.event(update or self.newest_update(), secret)
        answer = app.handler(event, SimpleNamespace(aws_request_id="aws"))
        return answer["statusCode"]

    def newest_update(self):
        """Return the newest update of the receivers, as Telegram sends it."""
        shown = self.receivers.control("GET", "/telegram/updates")["updates"][-1]
        return {key: shown[key] for key in shown if key not in ("attempts", "delivered_at")}

    def event(self, update, secret=SECRET):
        """Return the request with which Telegram delivers an update."""
        return {
            "version": "2.0",
            "routeKey": "POST /telegram",
            "headers": {"X-Telegram-Bot-Api-Secret-Token": secret},
            "body": json.dumps(update),
            "isBase64Encoded": False,
        }

    def write(self, text, chat_id=PHONE):
        """Write to the bot and return the texts that it answers."""
        before = len(self.receivers.texts(chat_id))
        self.receivers.write(text, chat_id)
        assert self.deliver() == 200
        return self.receivers.texts(chat_id)[before:]

    def press(self, data, chat_id=PHONE):
        """Press a button of the newest message and return the answer that the phone shows."""
        message = self.receivers.chat(chat_id)["messages"][-1]
        content = {"message_id": message["message_id"], "data": data}
        self.receivers.control("POST", f"/telegram/chats/{chat_id}/press", content)
        assert self.deliver() == 200
        return self.receivers.chat(chat_id)["presses"][-1]["answer"]

    def application(self, person, state, letter=None):
        """Return the id of a new application of a person."""
        [row] = self.connection.execute(
            "INSERT INTO application_ledger (account_id, user_id, vacancy_id, state, created_at,"
            " updated_at, expires_at, letter) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
            (
                *(person.account_id, person.user_id, str(uuid4().int % 10**8), state, NOW, NOW),
                *(NOW + timedelta(days=14), letter),
            ),
        ).fetchall()
        return row["id"]

    def state(self, application_id):
        statement = "SELECT state FROM application_ledger WHERE id = %s"
        return self.connection.execute(statement, (application_id,)).fetchone()["state"]

    def offer(self, person, *actions, **data):
        """Send the phone a message with buttons."""
        buttons = tuple(Button(action.partition(":")[0], action=action) for action in actions)
        content = Message(UUID(int=1), "review", "ru", "Тема", "Отклик готов", buttons, data)
        telegram.send(content, recipient(person), context=self.context())

    def channels(self, person):
        rows = self.connection.execute(
            "SELECT state, reason, language FROM notification_channels WHERE account_id = %s"
            " ORDER BY created_at",
            (person.account_id,),
        )
        return [(row["state"], row["reason"], row["language"]) for row in rows]


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    log = tmp_path_factory.mktemp("workers") / "log"
    with Workers(log, notify_process.__name__) as started:
        yield started


@pytest.fixture
def bot(receivers, dynamodb_tables, database_url, monkeypatch):
    for name, value in {
        "DATABASE_URL": database_url,
        "SECRET_KEY_BASE": "a secret of these tests alone, long enough",
        "TELEGRAM_API_URL": receivers.url,
        "TELEGRAM_BOT_TOKEN": BOT_TOKEN,
        "TELEGRAM_BOT_NAME": "ullgetthejob_local_bot",
        "TELEGRAM_WEBHOOK_SECRET": SECRET,
        "PUBLIC_URL": "https://core.example.org",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SECRET_KEY_BASE_PREVIOUS", raising=False)
    postgres.close()
    connection = psycopg.connect(database_url, autocommit=True, row_factory=dict_row)
    running = Bot(receivers, connection)
    clock.install(lambda: running.now)
    yield running
    clock.install(None)
    connection.close()
    postgres.close()


@pytest.fixture
def person(bot):
    """Return a person whose phone is paired."""
    found = bot.account()
    bot.write(bot.link(found))
    return found


# ── pairing ──────────────────────────────────────────────────────────────────────────────────────


def test_link_pairs_the_chat_in_which_it_is_opened(bot):
    person = bot.account()
    link = bot.link(person)
    parts = urlsplit(link)
    assert (parts.netloc, parts.path) == ("t.me", "/ullgetthejob_local_bot")
    [token] = parse_qs(parts.query)["start"]
    assert len(token) <= 64

    [answer] = bot.write(link)
    assert answer.startswith("Готово")
    assert bot.channels(person) == [("active", None, "ru")]
    [row] = bot.connection.execute("SELECT address, hint FROM notification_channels").fetchall()
    assert str(PHONE) not in row["address"] + row["hint"]


def test_answers_are_in_the_language_of_the_phone(bot):
    phone = bot.receivers.control("POST", "/telegram/chats", {"name": "A", "language": "en"})["id"]
    person = bot.account()
    [answer] = bot.write(bot.link(person), phone)
    assert answer.startswith("Done")
    assert bot.channels(person) == [("active", None, "en")]


def test_link_works_once_and_for_fifteen_minutes(bot):
    person = bot.account()
    link = bot.link(person)
    bot.now += timedelta(minutes=15)
    [answer] = bot.write(link)
    assert "истекла" in answer
    fresh = bot.link(person)
    bot.write(fresh)
    other = bot.receivers.control("POST", "/telegram/chats", {"name": "B"})["id"]
    [answer] = bot.write(fresh, other)
    assert "уже использована" in answer
    assert len(bot.channels(person)) == 1


def test_chat_moves_to_another_account_and_says_so(bot, person):
    other = bot.account()
    [answer] = bot.write(bot.link(other))
    assert "другому аккаунту" in answer
    assert bot.channels(person) == [("disabled", "paired_elsewhere", "ru")]
    assert bot.channels(other) == [("active", None, "ru")]


def test_group_is_refused(bot):
    group = bot.receivers.control("POST", "/telegram/chats", {"name": "G", "kind": "group"})["id"]
    person = bot.account()
    [answer] = bot.write(bot.link(person), group)
    assert "не в группы" in answer
    assert bot.channels(person) == []


def test_deleted_account_is_not_paired(bot):
    person = bot.account()
    link = bot.link(person)
    bot.connection.execute("DELETE FROM accounts WHERE id = %s", (person.account_id,))
    [answer] = bot.write(link)
    assert "истекла" in answer


def test_without_a_bot_there_is_no_link(bot, monkeypatch):
    monkeypatch.setenv("TELEGRAM_BOT_NAME", "")
    with pytest.raises(Conflict) as refusal:
        bot.link(bot.account())
    assert refusal.value.code == "telegram_off"


# ── commands ─────────────────────────────────────────────────────────────────────────────────────


def test_strange_chat_learns_how_to_pair(bot):
    assert "откройте ссылку" in bot.write("/start")[0]
    assert "не привязан" in bot.write("/handoff")[0]


def test_stop_disables_the_channel(bot, person):
    [answer] = bot.write("/stop")
    assert answer.startswith("Уведомления отключены")
    assert bot.channels(person) == [("disabled", "stopped", "ru")]
    assert bot.write("/stop") == [answer]
    bot.write(bot.link(person))
    assert bot.channels(person) == [("active", None, "ru")]


def test_blocked_bot_disables_the_channel(bot, person):
    bot.receivers.control("POST", f"/telegram/chats/{PHONE}/block")
    assert bot.deliver() == 200
    assert bot.channels(person) == [("disabled", "blocked", "ru")]


def test_handoff_sends_a_link_that_opens_once(bot, person):
    [answer] = bot.write("/handoff")
    ticket = answer.rpartition("/handoff/")[2]
    holder = links.consume(ticket, by="browser", now=bot.now)
    assert (holder.account_id, holder.user_id) == (person.account_id, person.user_id)


# ── the webhook ──────────────────────────────────────────────────────────────────────────────────


def test_update_without_the_secret_is_refused(bot, person):
    bot.receivers.write("/stop")
    for secret in ("", "wrong", "a-webhook-secreт"):
        assert bot.deliver(secret=secret) == 401
    assert bot.channels(person) == [("active", None, "ru")]


def test_update_is_processed_once(bot, person):
    bot.write("/handoff")
    texts = bot.receivers.texts()
    assert bot.deliver() == 200
    assert bot.receivers.texts() == texts


def test_update_is_repeated_after_a_failed_answer(bot, person):
    bot.receivers.fault("telegram_500")
    bot.receivers.write("/stop")
    assert bot.deliver() == 503
    assert bot.channels(person) == [("disabled", "stopped", "ru")]
    assert bot.deliver() == 200
    assert bot.receivers.texts()[-1].startswith("Уведомления отключены")


def test_update_that_another_process_handles_is_refused_for_now(bot, monkeypatch):
    statuses = []
    bot.receivers.write("/start")
    real = telegram_pairing.find_paired

    def find_paired(*arguments, **options):
        statuses.append(bot.deliver())
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(telegram_pairing, "find_paired", find_paired)
        assert bot.deliver() == 200
    assert statuses == [503]
    assert len(bot.receivers.texts()) == 1


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"edited_message": {"text": "x"}},
        {"message": {"message_id": 1, "chat": {"id": PHONE, "type": "private"}}},
        {"message": {"message_id": 1, "chat": {"id": PHONE, "type": "private"}, "text": "\u2003"}},
        {"callback_query": {"id": "1", "from": {"id": PHONE}}},
    ],
)
def test_update_of_another_shape_is_accepted(bot, content):
    assert bot.deliver({"update_id": 5, **content}) == 200


# ── what is sent ─────────────────────────────────────────────────────────────────────────────────


def test_message_arrives_as_text_with_buttons(bot, person):
    buttons = (Button("Открыть", action="open"), Button("hh.ru", url="https://hh.ru/vacancy/1"))
    text = "<script>alert(1)</script> *не* _разметка_"
    content = Message(UUID(int=1), "waits_for_you", "ru", "Тема", text, buttons)
    telegram.send(content, recipient(person), context=bot.context())
    shown = bot.receivers.chat()["messages"][-1]
    assert shown["text"] == text
    assert bot.press("open") == "Ссылка отправлена."
    assert "/handoff/" in bot.receivers.texts()[-1]


def test_message_to_a_blocked_bot_ends_the_channel(bot, person):
    bot.receivers.control("POST", f"/telegram/chats/{PHONE}/block")
    content = Message(UUID(int=1), "message", "ru", "Тема", "Текст")
    with pytest.raises(ChannelGone) as gone:
        telegram.send(content, recipient(person), context=bot.context())
    assert gone.value.reason == "blocked"


def test_skipped_application_is_cancelled_as_its_message_says(bot, person):
    application = bot.application(person, "handoff")
    bot.offer(person, f"skip:{application}")
    assert bot.press(f"skip:{application}").startswith("Пропущено")
    assert bot.state(application) == "cancelled"
    shown = bot.receivers.chat()["messages"][-1]
    assert shown["text"].startswith("Отклик готов\n\n— Пропущено")
    assert shown["rows"] == []


def test_button_that_is_pressed_twice_acts_once(bot, person):
    application = bot.application(person, "handoff")
    bot.offer(person, f"skip:{application}")
    message = bot.receivers.chat()["messages"][-1]["message_id"]
    content = {"message_id": message, "data": f"skip:{application}"}
    for _ in range(2):  # both before the bot hears of it
        bot.receivers.control("POST", f"/telegram/chats/{PHONE}/press", content)
    updates = bot.receivers.control("GET", "/telegram/updates")["updates"][-2:]
    for update in updates:
        kept = {key: update[key] for key in ("update_id", "callback_query")}
        assert bot.deliver(kept) == 200
    steps = bot.connection.execute(
        "SELECT count(*) AS steps FROM audit_log WHERE action = 'application.cancel'"
    ).fetchone()
    assert bot.state(application) == "cancelled"
    assert steps["steps"] == 1


def test_application_that_was_sent_is_not_skipped(bot, person):
    application = bot.application(person, "submitted")
    bot.offer(person, f"skip:{application}")
    assert bot.press(f"skip:{application}") == "Этот отклик уже отправлен."
    assert bot.state(application) == "submitted"


def test_application_of_another_account_is_not_skipped(bot, person):
    application = bot.application(bot.account(), "handoff")
    bot.offer(person, f"skip:{application}")
    assert "больше не ждёт" in bot.press(f"skip:{application}")
    assert bot.state(application) == "handoff"


@pytest.mark.parametrize("data", ["skip:", "skip:x", "approve", "unknown:1", "skip:\u0000"])
def test_button_with_unknown_data_does_nothing(bot, person, data):
    update = {
        "update_id": 77,
        "callback_query": {
            "id": "1",
            "from": {"id": PHONE, "language_code": "ru"},
            "message": {"message_id": 1, "chat": {"id": PHONE, "type": "private"}, "text": "x"},
            "data": data,
        },
    }
    assert bot.deliver(update) in (200, 422)


def test_chat_of_nobody_cannot_press(bot, person):
    buttons = (Button("Открыть", action="open"),)
    bot.write("/stop")
    content = Message(UUID(int=1), "waits_for_you", "ru", "Тема", "Текст", buttons)
    telegram.send(content, recipient(person), context=bot.context())
    assert "не привязан" in bot.press("open")


def test_digest_of_the_chat_survives_the_rotation_of_the_key(bot, person, monkeypatch):
    monkeypatch.setenv("SECRET_KEY_BASE_PREVIOUS", "a secret of these tests alone, long enough")
    monkeypatch.setenv("SECRET_KEY_BASE", "another secret of these tests, also long enough")
    assert len(channel_store.digests(str(PHONE))) == 2
    assert "/handoff/" in bot.write("/handoff")[0]


# ── approvals ────────────────────────────────────────────────────────────────────────────────────


def ask(bot, person, *letters):
    """Ask for approvals of new applications with these letters; return their ids."""
    ids = [bot.application(person, "review", letter=letter) for letter in letters]
    actions = [f"{action}:{id}" for id in ids for action in ("approve", "skip")]
    items = [{"application_id": str(id), "title": f"Вакансия {id}"} for id in ids]
    bot.offer(person, *actions, items=items)
    return ids


def data_of(bot):
    rows = bot.receivers.chat()["messages"][-1]["rows"]
    return [button["callback_data"] for row in rows for button in row]


def test_approval_is_of_the_letter_that_was_shown(bot, person):
    [application] = ask(bot, person, "Здравствуйте!")
    shown = bot.receivers.chat()["messages"][-1]["text"]
    assert shown == "Отклик готов\n\nЗдравствуйте!"
    approve, _ = data_of(bot)
    assert bot.press(approve).startswith("Одобрено")
    assert bot.state(application) == "queued"
    assert "— Одобрено" in bot.receivers.chat()["messages"][-1]["text"]


@pytest.mark.parametrize("step", notify_process.STEPS_OF_AN_UPDATE)
def test_approval_killed_at_any_step_approves_once(bot, person, workers, tmp_path, step):
    [application] = ask(bot, person, "Здравствуйте!")
    message = bot.receivers.chat()["messages"][-1]["message_id"]
    press = {"message_id": message, "data": data_of(bot)[0]}
    bot.receivers.control("POST", f"/telegram/chats/{PHONE}/press", press)
    stopped = {"real": 0, "virtual": NOW.timestamp(), "rate": 0}
    clock_file = tmp_path / FILE_NAME
    clock_file.write_text(json.dumps(stopped))
    request = json.dumps(bot.event(bot.newest_update()))
    workers.kill_at(step, f"{notify_process.UPDATE}{request}", clock_file)
    assert bot.deliver() == 503  # as long as it may be at work
    bot.now += timedelta(minutes=1)
    assert [bot.deliver() for _ in range(2)] == [200, 200]
    assert bot.state(application) == "queued"
    approvals = bot.connection.execute(
        "SELECT count(*) AS made FROM audit_log WHERE action = 'review.approve'"
    ).fetchone()
    assert approvals["made"] == 1


def test_changed_letter_is_not_approved(bot, person):
    [application] = ask(bot, person, "Здравствуйте!")
    approve, _ = data_of(bot)
    bot.connection.execute(
        "UPDATE application_ledger SET letter = 'Другое' WHERE id = %s", (application,)
    )
    assert bot.press(approve).startswith("Письмо изменилось")
    assert bot.state(application) == "review"
    assert data_of(bot)  # the buttons stay


def test_letter_without_room_is_not_shown_nor_approved(bot, person):
    first, second = ask(bot, person, "Короткое", "я" * 4_090)
    assert [data.rpartition(":")[0].partition(":")[0] for data in data_of(bot)[:1]] == ["approve"]
    approvals = [data for data in data_of(bot) if data.startswith("approve:")]
    assert [data.split(":")[1] for data in approvals] == [str(first)]
    assert "Короткое" in bot.receivers.chat()["messages"][-1]["text"]
    assert f"skip:{second}" in data_of(bot)


def test_skipped_review_cannot_be_approved_afterwards(bot, person):
    [application] = ask(bot, person, "Здравствуйте!")
    approve, skip = data_of(bot)
    message = bot.receivers.chat()["messages"][-1]["message_id"]
    for data in (skip, approve):  # both before the bot hears of it
        content = {"message_id": message, "data": data}
        bot.receivers.control("POST", f"/telegram/chats/{PHONE}/press", content)
    for update in bot.receivers.control("GET", "/telegram/updates")["updates"][-2:]:
        kept = {key: update[key] for key in ("update_id", "callback_query")}
        assert bot.deliver(kept) == 200
    assert bot.state(application) == "cancelled"
    answers = [press["answer"] for press in bot.receivers.chat()["presses"][-2:]]
    assert [answer.partition(":")[0] for answer in answers] == [
        "Пропущено",
        "Этот отклик больше не ждёт решения.",
    ]


def test_approval_of_another_account_is_refused(bot, person):
    [application] = ask(bot, bot.account(), "Здравствуйте!")
    approve = data_of(bot)[0]
    assert "больше не ждёт" in bot.press(approve)
    assert bot.state(application) == "review"
