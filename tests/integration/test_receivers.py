"""The local receivers refuse, fail and deliver as Telegram, a mail server and a webhook do."""

import base64
import hashlib
import hmac
import smtplib
import time
from email.message import EmailMessage

import httpx
import pytest

from local.receivers.store import Store
from tests.fixtures.hh_sandbox import NO_TLS
from tests.fixtures.http_servers import Handler, Server
from tests.fixtures.receivers import BOT_TOKEN, PHONE
from tests.fixtures.waiting import until

LONG_S = 30
APPROVE = {"text": "Approve", "callback_data": "approve:1"}


def refused(answer):
    body = answer.json()
    assert body["ok"] is False
    assert body["error_code"] == answer.status_code
    return answer.status_code, body["description"]


@pytest.fixture
def chat(receivers):
    receivers.write("/start")
    return receivers


@pytest.fixture
def webhook():
    """Return a webhook that answers the statuses that *replies* holds, then 200."""

    class Webhook(Handler):
        def respond(self):
            server.received.append((dict(self.headers), self.read_body()))
            self.answer(server.replies.pop(0) if server.replies else 200)

    with Server(Webhook) as server:
        server.received, server.replies = [], []
        yield server


# ── the Bot API ──────────────────────────────────────────────────────────────────────────────────


def test_wrong_token_is_unauthorized(receivers):
    answer = httpx.post(f"{receivers.url}/bot1:wrong/getMe", verify=NO_TLS)
    assert refused(answer) == (401, "Unauthorized")


def test_message_is_in_the_chat_with_its_buttons(chat):
    answer = chat.call(
        "sendMessage", chat_id=PHONE, text="<b>x</b>", reply_markup={"inline_keyboard": [[APPROVE]]}
    )
    result = answer.json()["result"]
    assert (result["text"], result["chat"]["type"]) == ("<b>x</b>", "private")
    shown = chat.chat()["messages"][-1]
    assert (shown["text"], shown["rows"]) == ("<b>x</b>", [[APPROVE]])


@pytest.mark.parametrize(
    ("parameters", "status", "description"),
    [
        ({"chat_id": 1, "text": "x"}, 400, "Bad Request: chat not found"),
        ({"text": "x"}, 400, "Bad Request: chat_id is empty"),
        ({"chat_id": PHONE, "text": " "}, 400, "Bad Request: message text is empty"),
        ({"chat_id": PHONE, "text": "x" * 4_097}, 400, "Bad Request: message is too long"),
        ({"chat_id": PHONE, "text": "😀" * 2_049}, 400, "Bad Request: message is too long"),
        (
            {
                "chat_id": PHONE,
                "text": "x",
                "reply_markup": {"inline_keyboard": [[{"text": "y", "callback_data": "я" * 33}]]},
            },
            400,
            "Bad Request: BUTTON_DATA_INVALID",
        ),
        (
            {
                "chat_id": PHONE,
                "text": "x",
                "reply_markup": {"inline_keyboard": [[{"text": "y", "url": "javascript:1"}]]},
            },
            400,
            "Bad Request: inline keyboard button URL 'javascript:1' is invalid: Wrong HTTP URL",
        ),
    ],
)
def test_message_is_refused_as_telegram_does(chat, parameters, status, description):
    assert refused(chat.call("sendMessage", **parameters)) == (status, description)


def test_bot_cannot_write_first_nor_after_a_block(receivers):
    added = receivers.control("POST", "/telegram/chats", {"name": "Пётр"})["id"]
    first = receivers.call("sendMessage", chat_id=added, text="x")
    assert refused(first) == (403, "Forbidden: bot can't initiate conversation with a user")
    receivers.write("/start", added)
    assert receivers.call("sendMessage", chat_id=added, text="x").status_code == 200
    receivers.control("POST", f"/telegram/chats/{added}/block")
    blocked = receivers.call("sendMessage", chat_id=added, text="x")
    assert refused(blocked) == (403, "Forbidden: bot was blocked by the user")


def test_group_that_became_a_supergroup_names_its_new_id(receivers):
    group = receivers.control("POST", "/telegram/chats", {"name": "G", "kind": "group"})["id"]
    receivers.write("/start", group)
    new = receivers.control("POST", f"/telegram/chats/{group}/migrate")["id"]
    answer = receivers.call("sendMessage", chat_id=group, text="x")
    assert answer.json()["parameters"] == {"migrate_to_chat_id": new}
    assert receivers.call("sendMessage", chat_id=new, text="x").status_code == 200


def test_edited_message_has_the_new_text_and_no_buttons(chat):
    sent = chat.call(
        "sendMessage", chat_id=PHONE, text="x", reply_markup={"inline_keyboard": [[APPROVE]]}
    ).json()["result"]["message_id"]
    edit = {"chat_id": PHONE, "message_id": sent, "text": "y"}
    assert chat.call("editMessageText", **edit).json()["result"]["text"] == "y"
    status, description = refused(chat.call("editMessageText", **edit))
    assert (status, "message is not modified" in description) == (400, True)
    assert chat.chat()["messages"][-1]["rows"] == []


def test_faults_answer_as_telegram_does(chat):
    chat.fault("telegram_429")
    limited = chat.call("sendMessage", chat_id=PHONE, text="x")
    assert (limited.status_code, limited.json()["parameters"]) == (429, {"retry_after": 5})
    chat.fault("telegram_500")
    assert refused(chat.call("sendMessage", chat_id=PHONE, text="x"))[0] == 500
    assert chat.texts() == []
    chat.fault("telegram_lost", seconds=0)
    assert chat.call("sendMessage", chat_id=PHONE, text="sent").status_code == 200
    assert chat.texts() == ["sent"]


# ── updates ──────────────────────────────────────────────────────────────────────────────────────


def test_update_is_repeated_until_it_is_accepted(receivers, webhook):
    webhook.replies = [500, 503]
    receivers.call(
        "setWebhook",
        url=f"{webhook.url}/telegram",
        secret_token="a-secret",
        allowed_updates=["message"],
    )
    receivers.write("https://t.me/bot?start=abc")
    until(lambda: len(webhook.received) >= 3)
    assert {headers["X-Telegram-Bot-Api-Secret-Token"] for headers, _ in webhook.received} == {
        "a-secret"
    }
    assert len({body for _, body in webhook.received}) == 1
    assert b'"/start abc"' in webhook.received[0][1]
    info = until(
        lambda: receivers.call("getWebhookInfo").json()["result"],
        lambda found: found["pending_update_count"] == 0,
    )
    assert "503" in info["last_error_message"]
    assert "a-secret" not in str(info)


def test_pressed_button_is_answered_once(chat):
    chat.call("sendMessage", chat_id=PHONE, text="x", reply_markup={"inline_keyboard": [[APPROVE]]})
    message = chat.chat()["messages"][-1]["message_id"]
    press = {"message_id": message, "data": APPROVE["callback_data"]}
    press_id = chat.control("POST", f"/telegram/chats/{PHONE}/press", press)["id"]
    assert chat.call("answerCallbackQuery", callback_query_id=press_id, text="done").json()["ok"]
    assert chat.chat()["presses"][-1]["answer"] == "done"
    status, description = refused(chat.call("answerCallbackQuery", callback_query_id="1"))
    assert (status, "query ID is invalid" in description) == (400, True)


def test_webhook_must_be_https_elsewhere(receivers):
    answer = receivers.call("setWebhook", url="http://core.example.org/telegram")
    expected = "Bad Request: bad webhook: An HTTPS URL must be provided for webhook"
    assert refused(answer) == (400, expected)
    answer = receivers.call("setWebhook", url="https://core.example.org", secret_token="with space")
    assert refused(answer)[1].endswith("secret token contains unallowed characters")


def test_control_routes_refuse_foreign_pages(receivers):
    headers = {"Origin": "https://evil.example.org"}
    answer = httpx.get(f"{receivers.url}/_receivers/state", headers=headers, verify=NO_TLS)
    assert answer.status_code == 403


# ── e-mail and webhooks ──────────────────────────────────────────────────────────────────────────


def an_email():
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "Приглашение", "a@core.test", "b@x.test"
    message["List-Unsubscribe"] = "<https://core.test/off>"
    message.set_content("Вас приглашают: https://hh.ru/vacancy/1")
    message.add_alternative('<a href="https://core.test/open">Открыть</a>', subtype="html")
    return message


def test_email_is_kept_with_text_headers_and_links(receivers):
    with smtplib.SMTP("127.0.0.1", receivers.smtp_port, timeout=LONG_S) as client:
        client.send_message(an_email())
    [email] = receivers.state()["emails"]
    assert (email["subject"], email["to"]) == ("Приглашение", ["b@x.test"])
    assert email["text"].startswith("Вас приглашают")
    assert email["links"] == ["https://hh.ru/vacancy/1", "https://core.test/open"]
    assert ["List-Unsubscribe", "<https://core.test/off>"] in email["headers"]


@pytest.mark.parametrize(("fault", "status"), [("smtp_busy", 451), ("smtp_refused", 550)])
def test_mail_server_refuses_with_the_status_of_its_fault(receivers, fault, status):
    receivers.fault(fault)
    with (
        smtplib.SMTP("127.0.0.1", receivers.smtp_port, timeout=LONG_S) as client,
        pytest.raises(smtplib.SMTPRecipientsRefused) as refusal,
    ):
        client.send_message(an_email())
    assert refusal.value.recipients["b@x.test"][0] == status
    assert receivers.state()["emails"] == []


def test_webhook_delivery_is_verified_by_its_signature(receivers):
    key = b"0123456789abcdef01234567"
    secret = "whsec_" + base64.b64encode(key).decode()
    receivers.control("PUT", "/hooks/mine", {"secret": secret})
    sent_at, body = str(int(time.time())), '{"type": "invitation"}'
    signature = hmac.new(key, f"msg_1.{sent_at}.{body}".encode(), hashlib.sha256).digest()
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": sent_at,
        "webhook-signature": "v1,b2xk v1," + base64.b64encode(signature).decode(),
    }
    url = f"{receivers.url}/hooks/mine"
    assert httpx.post(url, content=body, headers=headers, verify=NO_TLS).status_code == 204
    changed = httpx.post(url, content=body + " ", headers=headers, verify=NO_TLS)
    assert changed.status_code == 401
    old = headers | {"webhook-timestamp": str(int(sent_at) - 3600)}
    assert httpx.post(url, content=body, headers=old, verify=NO_TLS).status_code == 401
    verdicts = [delivery["verdict"] for delivery in receivers.state()["deliveries"]]
    assert verdicts == ["too old or too new", "wrong signature", "verified"]


def test_what_was_received_survives_a_restart(tmp_path):
    store = Store(tmp_path)
    store.add_message(PHONE, "bot", "x", now=1)
    store.add_email("a@x.test", ["b@x.test"], b"Subject: y\r\n\r\nz", 1)
    store.close()
    again = Store(tmp_path)
    assert [message.text for message in again.messages(PHONE)] == ["x"]
    assert len(again.emails()) == 1
    again.close()


def test_token_is_the_one_of_this_run(receivers):
    assert receivers.call("getMe").json()["result"]["is_bot"] is True
    assert BOT_TOKEN not in str(receivers.state())
