"""The channel Telegram, against recorded answers of the Bot API."""

import json
import logging
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from ullgetthejob.notifications import telegram_api
from ullgetthejob.notifications.channels import telegram
from ullgetthejob.notifications.errors import ChannelGone, ChannelUnavailable, OutcomeUnknown
from ullgetthejob.notifications.messages import Button, Message
from ullgetthejob.notifications.recipient import Recipient
from ullgetthejob.notifications.telegram_letters import Shown
from ullgetthejob.notifications.telegram_texts import TEXTS, language_of

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
CHAT = Recipient(UUID(int=2), UUID(int=3), "telegram", "700000001", "ru")
APPLICATION = "3f0e8a52-1111-4222-8333-444455556666"
HASH = "0123456789abcdef" * 4
REFUSALS = json.loads(
    (Path(__file__).parents[1] / "data" / "telegram" / "refusals.json").read_text()
)
SENT = {"ok": True, "result": {"message_id": 1, "chat": {"id": 700000001, "type": "private"}}}


@pytest.fixture(autouse=True)
def _bot(monkeypatch):
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", TOKEN)
    monkeypatch.setenv("TELEGRAM_API_URL", "https://api.telegram.org")


def message(text="Вас пригласили", buttons=(), **data):
    return Message(UUID(int=1), "review", "ru", "Тема", text, tuple(buttons), data)


class Bot:
    """Answers with each of *answers* in turn; *sent*: the calls."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.sent = []

    def __call__(self, request):
        self.sent.append((request.url.path.rpartition("/")[2], json.loads(request.content)))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        return httpx.Response(status, json=body)

    def send(self, content):
        telegram.send(content, CHAT, context=None, transport=httpx.MockTransport(self))


def test_message_is_sent_as_plain_text_without_preview():
    bot = Bot((200, SENT))
    bot.send(message("<b>1 & *2*</b>"))
    [(method, parameters)] = bot.sent
    assert method == "sendMessage"
    assert parameters == {
        "chat_id": 700000001,
        "text": "<b>1 & *2*</b>",
        "link_preview_options": {"is_disabled": True},
    }


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal["body"]["description"])
def test_refusal_is_the_error_that_it_means(refusal):
    kind = {"gone": ChannelGone, "unavailable": ChannelUnavailable}[refusal["means"]]
    with pytest.raises(kind) as raised:
        Bot((refusal["status"], refusal["body"])).send(message())
    if kind is ChannelGone:
        assert raised.value.reason == refusal["reason"]
    else:
        assert raised.value.retry_after_s == refusal["retry_after_s"]


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (httpx.ConnectError("no route"), ChannelUnavailable),
        (httpx.ConnectTimeout("too slow"), ChannelUnavailable),
        (httpx.ReadTimeout("no answer"), OutcomeUnknown),
        (httpx.ReadError("reset"), OutcomeUnknown),
        (httpx.RemoteProtocolError("ended"), OutcomeUnknown),
    ],
)
def test_lost_answer_is_unknown_and_a_failed_connection_is_not(failure, kind):
    with pytest.raises(kind):
        Bot(failure).send(message())


def test_answer_that_is_no_json_is_unknown():
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, text="<html>"))
    with pytest.raises(OutcomeUnknown):
        telegram.send(message(), CHAT, context=None, transport=transport)


def test_group_that_became_a_supergroup_is_followed():
    moved = {
        "ok": False,
        "error_code": 400,
        "description": "Bad Request: group chat was upgraded to a supergroup chat",
        "parameters": {"migrate_to_chat_id": -1001234567890},
    }
    bot = Bot((400, moved), (200, SENT))
    bot.send(message())
    assert [parameters["chat_id"] for _, parameters in bot.sent] == [700000001, -1001234567890]


def test_refused_buttons_become_links_in_the_text():
    refusal = {
        "ok": False,
        "error_code": 400,
        "description": "Bad Request: inline keyboard button URL 'http://localhost/x' is invalid:"
        " Wrong HTTP URL",
    }
    bot = Bot((400, refusal), (200, SENT))
    bot.send(message("Text", [Button("Open", url="http://localhost/x")]))
    _, parameters = bot.sent[-1]
    assert parameters["text"] == "Text\nhttp://localhost/x"
    assert "reply_markup" not in parameters


def test_approval_names_the_letter_that_was_shown():
    buttons = [
        Button("Одобрить", action=f"approve:{APPLICATION}"),
        Button("Пропустить", action=f"skip:{APPLICATION}"),
        Button("Открыть", url="https://core.example.org/handoff/x"),
    ]
    shown = Shown("Text", {APPLICATION: HASH[:8]})
    [actions, links] = telegram.keyboard(message(buttons=buttons), shown)
    assert [button["callback_data"] for button in actions] == [
        f"approve:{APPLICATION}:{HASH[:8]}",
        f"skip:{APPLICATION}",
    ]
    assert all(len(button["callback_data"].encode()) <= 64 for button in actions)
    assert links == [{"text": "Открыть", "url": "https://core.example.org/handoff/x"}]


def test_letter_that_is_not_shown_cannot_be_approved():
    buttons = [Button(name, action=f"{name}:{APPLICATION}") for name in ("approve", "skip")]
    [actions] = telegram.keyboard(message(buttons=buttons), Shown("Text"))
    assert [button["callback_data"] for button in actions] == [f"skip:{APPLICATION}"]


def test_action_that_is_too_long_has_no_button():
    bot = Bot((200, SENT))
    bot.send(message(buttons=[Button("x", action="skip:" + "я" * 30)]))
    assert "reply_markup" not in bot.sent[0][1]


@pytest.mark.parametrize("character", ["x", "я", "😀"])
def test_long_text_is_cut_and_keeps_its_link(character):
    link = "https://core.example.org/handoff/token"
    cut = telegram.fit(character * 5_000 + f" {link}")
    assert telegram.length(cut) <= telegram.LONGEST_TEXT
    assert telegram.length(cut) > telegram.LONGEST_TEXT - 3
    assert cut.endswith(f"…\n{link}")
    assert telegram.fit(character * 100) == character * 100


def test_token_is_in_no_log_line(caplog, capsys):
    caplog.set_level(logging.DEBUG)
    Bot((200, SENT)).send(message())
    for answer in ((401, {"ok": False}), httpx.ReadTimeout("x")):
        with pytest.raises((ChannelUnavailable, OutcomeUnknown)) as raised:
            Bot(answer).send(message())
        assert TOKEN not in repr(raised.value)
        assert raised.value.__cause__ is None
    written = caplog.text + "".join(capsys.readouterr())
    assert TOKEN not in written
    assert "Telegram refuses the bot's token" in written


def test_without_a_bot_nothing_is_sent(monkeypatch):
    monkeypatch.delenv("TELEGRAM_BOT_TOKEN")
    bot = Bot()
    with pytest.raises(ChannelUnavailable):
        bot.send(message())
    assert not telegram_api.is_configured()


def test_texts_exist_in_both_languages():
    for name, texts in TEXTS.items():
        assert set(texts) == {"ru", "en"}, name
        fields = [text.count("{") for text in texts.values()]
        assert fields[0] == fields[1], name


@pytest.mark.parametrize(
    ("code", "language"), [("ru", "ru"), ("ru-RU", "ru"), ("en", "en"), ("de", "en"), (None, "ru")]
)
def test_language_follows_the_phone(code, language):
    assert language_of(code) == language
