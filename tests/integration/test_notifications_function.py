"""functions/notifications: settings, channels, and the pages behind the links of e-mails."""

import json
import re
from types import SimpleNamespace
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from functions.notifications.app import handler
from functions.notifier.app import handler as notifier
from tests.fixtures.core import reply_of
from ullgetthejob.notifications import models
from ullgetthejob.platform import clock

SHOW, REPLACE = "GET /api/notifications", "PUT /api/notifications"
LIST, ADD = "GET /api/notifications/channels", "POST /api/notifications/channels"
DELETE = "DELETE /api/notifications/channels/{id}"
TEST = "POST /api/notifications/channels/{id}/test"
ROTATE = "POST /api/notifications/channels/{id}/rotate-secret"
CONTEXT = SimpleNamespace(aws_request_id="aws-request-id")
SECRET = "local-development-secret"
PATH = re.compile(r"https://core\.example\.com(/notifications/(\w+)/)(\S+)")


class Person:
    """Calls of the BFF for the notified person, and of their browser."""

    def __init__(self, notified):
        self.notified = notified
        self.user_id = str(notified.user_id)

    def call(self, key, *, channel_id=None, token=None, body=None, user_id=None, secret=SECRET):
        user_id = user_id or self.user_id
        method = key.split()[0]
        parameters = {"id": channel_id, "token": token}
        event = {
            "version": "2.0",
            "routeKey": key,
            "headers": {"x-core-secret": secret} if secret else {},
            "requestContext": {"domainName": "core.example.com"},
            "queryStringParameters": {} if token or method in ("PUT",) else {"user_id": user_id},
            "pathParameters": {name: value for name, value in parameters.items() if value},
            "isBase64Encoded": False,
        }
        if body is not None or method in ("POST", "PUT"):
            event["body"] = json.dumps({**(body or {}), **({} if token else {"user_id": user_id})})
            event["queryStringParameters"] = {}
        if token:
            event["headers"] = {"content-type": "application/x-www-form-urlencoded"}
            event["body"] = "List-Unsubscribe=One-Click" if method == "POST" else None
        return reply_of(handler(event, CONTEXT))

    def add(self, **body):
        return self.call(ADD, body=body)

    def channels(self):
        return self.call(LIST).body["items"]

    def wake(self):
        body = json.dumps({"account_id": str(self.notified.account_id)})
        record = {"messageId": "1", "body": body, "attributes": {}}
        assert notifier({"Records": [record]}, CONTEXT) == {"batchItemFailures": []}

    def audited(self):
        rows = self.notified.rows("SELECT action FROM audit_log ORDER BY id")
        return [row["action"].removeprefix("notification_") for row in rows]


@pytest.fixture
def person(notified, monkeypatch):
    monkeypatch.setenv("ORCHESTRATOR_SECRET", SECRET)
    clock.install(lambda: notified.now)
    yield Person(notified)
    clock.install(None)


def link_of(mail, kind):
    """Return the token of the link of a *kind* in an e-mail."""
    text = mail.get_body(("plain",)).get_content()
    return next(token for _, found, token in PATH.findall(text) if found == kind)


# ── settings ─────────────────────────────────────────────────────────────────────────────────────


def test_settings_are_replaced_as_a_whole(person):
    first = person.call(SHOW).body
    assert first["settings"]["time_zone"] == "Europe/Moscow"
    assert set(first["settings"]["kinds"]) == set(models.Preferences().complete().kinds)
    assert (first["channels"], first["recent"]) == ([], [])
    body = {"time_zone": "Asia/Omsk", "language": "en", "quiet_hours": None,
            "digest": {"every": "weekly", "hour": 7, "weekday": 5},
            "kinds": {"refusal": {"channels": [], "when": "now"}}}  # fmt: skip
    replaced = person.call(REPLACE, body=body)
    assert replaced.status == 200, replaced
    shown = person.call(SHOW).body["settings"]
    assert shown == replaced.body["settings"]
    assert shown["kinds"].pop("refusal") == {"channels": [], "when": "now"}
    assert shown["kinds"]["invitation"]["channels"] == ["email", "telegram", "webhook"]
    assert {name: shown[name] for name in ("time_zone", "language", "quiet_hours", "digest")} == {
        name: body[name] for name in ("time_zone", "language", "quiet_hours", "digest")
    }
    assert person.call(REPLACE, body={}).body["settings"] == first["settings"]
    assert person.audited() == ["settings.replace"] * 2


WRONG_SETTINGS = (
    [({"time_zone": "Mars"}, "time_zone"), ({"quiet_hours": {"since": "25:00"}}, "quiet_hours"),
     ({"digest": {"every": "hourly"}}, "digest"), ({"kinds": {"weather": {}}}, "kinds"),
     ({"colour": "red"}, "colour")]
)  # fmt: skip


def test_wrong_settings_are_refused(person):
    for body, field in WRONG_SETTINGS:
        refused = person.call(REPLACE, body=body)
        assert refused.refusal == (422, "invalid_request"), body
        assert refused.body["details"]["fields"][0]["field"].startswith(field)


def test_settings_need_an_account(person):
    user_id = uuid4()
    person.notified.connection.execute(
        "INSERT INTO users (id, email, password_hash, inserted_at, updated_at)"
        " VALUES (%s, 'x', '!', now(), now())",
        (user_id,),
    )
    assert person.call(SHOW, user_id=str(user_id)).status == 200
    assert person.call(REPLACE, body={}, user_id=str(user_id)).status == 409
    assert person.call(SHOW, secret=None).status == 401


# ── webhooks ─────────────────────────────────────────────────────────────────────────────────────


def test_webhook_shows_its_secret_once(person):
    added = person.add(kind="webhook", url="http://127.0.0.1:9/hook?key=1")
    assert added.status == 201, added
    assert added.body["secret"].startswith("whsec_")
    assert (added.body["hint"], added.body["state"]) == ("127.0.0.1", "active")
    again = person.add(kind="webhook", url="http://127.0.0.1:9/hook?key=1")
    assert (again.status, again.body["id"], again.body["secret"]) == (200, added.body["id"], None)
    [listed] = person.channels()
    assert "secret" not in listed
    assert "key=1" not in json.dumps(person.call(SHOW).body)
    stored = person.notified.rows("SELECT to_jsonb(c)::text AS c FROM notification_channels c")
    assert added.body["secret"] not in stored[0]["c"]


PRIVATE = (
    ["https://127.0.0.1/", "https://localhost/", "https://169.254.169.254/latest/meta-data/",
     "https://[::1]/", "https://10.0.0.1/", "https://0x7f000001/", "https://2130706433/",
     "http://8.8.8.8/", "https://user:password@8.8.8.8/", "https://no-such-name.invalid/"]
)  # fmt: skip


def test_webhook_to_a_private_address_is_refused(person, monkeypatch):
    monkeypatch.setenv("WEBHOOK_ADDRESSES", "public")
    for url in PRIVATE:
        refused = person.add(kind="webhook", url=url)
        assert refused.refusal == (422, "invalid_request"), url
        assert refused.body["details"]["fields"][0]["field"] == "url"
    assert person.channels() == []


def test_public_address_is_accepted(person, monkeypatch):
    monkeypatch.setenv("WEBHOOK_ADDRESSES", "public")
    assert person.add(kind="webhook", url="https://8.8.8.8/hook").status == 201


WRONG_CHANNELS = (
    [{"kind": "webhook"}, {"kind": "email"}, {"kind": "telegram", "address": "a@example.com"},
     {"kind": "email", "address": "a"}, {"kind": "email", "address": "a@b@example.com"},
     {"kind": "email", "address": "a\n@example.com"}, {"kind": "email", "url": "http://a"},
     {"kind": "webhook", "url": "http://127.0.0.1/", "address": "a@example.com"}]
)  # fmt: skip


def test_wrong_channel_is_refused(person):
    for body in WRONG_CHANNELS:
        assert person.add(**body).refusal == (422, "invalid_request"), body


def test_number_of_channels_is_bounded(person):
    for number in range(models.MAX_CHANNELS):
        assert person.add(kind="webhook", url=f"http://127.0.0.1:9/{number}").status == 201
    assert person.add(kind="webhook", url="http://127.0.0.1:9/x").refusal == (
        409, "too_many_channels",
    )  # fmt: skip


def test_secret_is_rotated(person, webhook):
    added = person.add(kind="webhook", url=webhook.url).body
    rotated = person.call(ROTATE, channel_id=added["id"])
    assert rotated.status == 200, rotated
    assert rotated.body["secret"] not in ("", added["secret"])
    person.call(TEST, channel_id=added["id"])
    person.wake()
    [(headers, _)] = webhook.requests
    assert len(headers["webhook-signature"].split()) == 2


def test_webhook_is_tested(person, webhook):
    channel_id = person.add(kind="webhook", url=webhook.url).body["id"]
    planned = person.call(TEST, channel_id=channel_id)
    assert planned.status == 202, planned
    person.wake()
    [message] = webhook.messages
    assert message["type"] == "notification.test"
    [recent] = person.call(SHOW).body["recent"]
    assert (recent["id"], recent["state"]) == (planned.body["notification_id"], "sent")


def test_tests_of_a_day_are_bounded(person, webhook):
    channel_id = person.add(kind="webhook", url=webhook.url).body["id"]
    statuses = [person.call(TEST, channel_id=channel_id).status for _ in range(21)]
    assert statuses == [202] * 20 + [429]


def test_failure_is_shown(person, webhook):
    webhook.answers = [(500, {})]
    channel_id = person.add(kind="webhook", url=webhook.url).body["id"]
    person.call(TEST, channel_id=channel_id)
    person.wake()
    [recent] = person.call(SHOW).body["recent"]
    assert (recent["state"], recent["error"]) == ("waiting", "http_500")


def test_channels_belong_to_the_account(person, webhook):
    channel_id = person.add(kind="webhook", url=webhook.url).body["id"]
    person.notified.connection.execute(
        "UPDATE users SET account_id = %s", (person.notified.insert_account(),)
    )
    missing = (404, "channel_not_found")
    for wrong in (channel_id, str(uuid4()), "x"):
        for key in (DELETE, TEST, ROTATE):
            assert person.call(key, channel_id=wrong).refusal == missing
    assert person.channels() == []


def test_deleted_channel_gets_nothing_more(person, webhook):
    channel_id = person.add(kind="webhook", url=webhook.url).body["id"]
    person.notified.invite()
    person.wake()
    assert person.call(DELETE, channel_id=channel_id).body == {"success": True}
    person.notified.wait(minutes=2)
    person.wake()
    assert webhook.requests == []
    assert person.channels() == []
    [recent] = person.call(SHOW).body["recent"]
    assert (recent["state"], recent["channel_id"]) == ("cancelled", None)
    assert person.audited() == ["channel.create", "channel.delete"]


# ── e-mail ───────────────────────────────────────────────────────────────────────────────────────


def test_e_mail_is_confirmed_before_anything_is_sent(person, mail_server):
    added = person.add(kind="email", address="anna@Example.COM")
    assert (added.status, added.body["state"]) == (201, "unconfirmed")
    assert added.body["hint"] == "a…@example.com"
    person.notified.invite()
    person.wake()
    [mail] = mail_server.mails
    assert mail["subject"] == "Подтвердите адрес"
    assert "list-unsubscribe" not in mail
    token = link_of(mail, "confirm")
    shown = person.call("GET /notifications/confirm/{token}", token=token)
    assert (shown.status, "<button>" in shown.text) == (200, True)
    assert shown.headers["content-type"].startswith("text/html")
    assert person.channels()[0]["state"] == "unconfirmed"
    assert person.call("POST /notifications/confirm/{token}", token=token).status == 200
    assert person.channels()[0]["state"] == "active"
    person.notified.invite()
    person.wake()
    person.notified.wait(minutes=1)
    person.wake()
    assert [mail["subject"] for mail in mail_server.mails][1:] == [
        "Приглашение: «Инженер», Полярная почта"
    ]
    assert person.audited() == ["channel.create", "channel.confirm"]


@pytest.mark.parametrize("wait", [{"hours": 25}, {}])
def test_confirmation_ends_after_a_day_and_its_use(person, mail_server, wait):
    person.add(kind="email", address="anna@example.com")
    person.wake()
    token = link_of(mail_server.mails[0], "confirm")
    if wait:
        person.notified.wait(**wait)
    else:
        assert person.call("POST /notifications/confirm/{token}", token=token).status == 200
        person.notified.connection.execute("UPDATE notification_channels SET state = 'disabled'")
    CONTEXT.aws_request_id = str(uuid4())  # another request
    answer = person.call("POST /notifications/confirm/{token}", token=token)
    assert answer.status == 410
    assert person.channels()[0]["state"] != "active"


def test_unknown_links_are_pages_too(person):
    for token in ("x", "é" * 10, "A" * 2_000, "../../etc"):
        for kind in ("confirm", "unsubscribe"):
            answer = person.call(f"POST /notifications/{kind}/{{token}}", token=token)
            assert (answer.status, answer.text[:15]) == (410, "<!doctype html>")


def test_e_mail_is_unsubscribed_in_one_click(person, mail_server):
    person.notified.set(quiet_hours=None)
    person.notified.add("email", "anna@example.com")
    person.notified.invite()
    person.notified.run_later()
    [mail] = mail_server.mails
    url = urlsplit(mail["list-unsubscribe"].strip("<>"))
    token = url.path.rpartition("/")[2]
    shown = person.call("GET /notifications/unsubscribe/{token}", token=token)
    assert (shown.status, "<button>" in shown.text) == (200, True)
    assert person.channels()[0]["state"] == "active"
    for _ in range(2):
        done = person.call("POST /notifications/unsubscribe/{token}", token=token)
        assert done.status == 200
    [channel] = person.channels()
    assert (channel["state"], channel["reason"]) == ("disabled", "unsubscribed")
    assert person.audited() == ["channel.unsubscribe"]
    again = person.add(kind="email", address="anna@example.com")
    assert (again.status, again.body["state"]) == (200, "unconfirmed")


def test_confirmations_of_a_day_are_bounded(person, mail_server):
    for number in range(5):
        added = person.add(kind="email", address=f"a{number}@example.com")
        assert person.call(DELETE, channel_id=added.body["id"]).status == 200
    refused = person.add(kind="email", address="more@example.com")
    assert refused.refusal == (429, "too_many_messages")
    assert person.channels() == []


def test_e_mail_that_is_not_configured_is_refused(person, monkeypatch):
    monkeypatch.setenv("EMAIL_FROM", "")
    assert person.add(kind="email", address="a@example.com").refusal == (409, "email_off")


def test_e_mail_has_no_secret_and_is_not_tested_before(person, mail_server):
    channel_id = person.add(kind="email", address="a@example.com").body["id"]
    assert person.call(ROTATE, channel_id=channel_id).refusal == (409, "no_secret")
    assert person.call(TEST, channel_id=channel_id).refusal == (409, "channel_not_active")
