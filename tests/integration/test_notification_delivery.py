"""Delivery to a real HTTP receiver and a real SMTP server: once, whatever fails in between."""

import base64
import hashlib
import hmac
import json
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

import boto3
import pytest

from tests.fixtures import certificates
from tests.fixtures.aws import CREDENTIALS
from tests.harness.notifying import WebhookReceiver
from ullgetthejob.handoff import links
from ullgetthejob.notifications import channel_store, channels, delivery, signatures, wake_up
from ullgetthejob.notifications.errors import ChannelGone, ChannelUnavailable, OutcomeUnknown
from ullgetthejob.platform import aws, settings, tls

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes, ok").decode()
PHONE = "700000001"


def wake_ups():
    """Return the accounts of the wake-ups in the notifier's queue."""
    request = {"QueueUrl": settings.NOTIFIER_QUEUE_URL(), "MaxNumberOfMessages": 10}
    messages = aws.call("sqs", "ReceiveMessage", request).get("Messages", [])
    return [json.loads(message["Body"])["account_id"] for message in messages]


def expected_signature(headers, body, secret):
    """Compute the signature from the specification alone."""
    key = base64.b64decode(secret.split("_", 1)[1])
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


@pytest.fixture
def hooked(notified, webhook):
    """The person with a webhook."""
    notified.channel_id = notified.add("webhook", webhook.url, secret=SECRET)
    return notified


@pytest.fixture
def mailed(notified, mail_server):
    """The person with an e-mail address, and no quiet hours."""
    notified.set(quiet_hours=None)
    notified.channel_id = notified.add("email", "anna@example.com")
    return notified


@pytest.fixture
def phone(notified, monkeypatch):
    """The person with a chat of Telegram, whose adapter is a fake: *sent*, and what it raises."""
    notified.add("telegram", PHONE)
    notified.sent, notified.failures = [], []

    def send(message, _recipient, *, context):
        notified.sent.append(message)
        if notified.failures:
            raise notified.failures.pop(0)

    monkeypatch.setattr(channels, "send", send)
    return notified


# ── webhooks ─────────────────────────────────────────────────────────────────────────────────────


def test_webhook_is_posted_and_signed(hooked, webhook):
    application_id = hooked.invite(title="<b>Инженер</b>\nданных")
    hooked.run_later()
    [(headers, body)] = webhook.requests
    [notification_id] = [row["id"] for row in hooked.rows("SELECT id FROM notifications")]
    assert headers["webhook-id"] == str(notification_id)
    assert int(headers["webhook-timestamp"]) == int(hooked.now.timestamp())
    assert headers["webhook-signature"] == expected_signature(headers, body, SECRET)
    assert headers["content-type"] == "application/json"
    content = json.loads(body)
    assert content["type"] == "notification.invitation"
    assert datetime.fromisoformat(content["timestamp"]) == hooked.now
    [item] = content["data"]["items"]
    assert item["application_id"] == str(application_id)
    assert (item["title"], item["company"]) == ("<b>Инженер</b>\nданных", "Полярная почта")
    assert "«<b>Инженер</b> данных», Полярная почта" in content["data"]["text"]
    assert hooked.notifications("state", "attempts", "error") == [("sent", 1, None)]
    hooked.run()
    assert len(webhook.requests) == 1


def test_both_secrets_sign_while_one_is_rotated(hooked, webhook):
    row = channel_store.find(hooked.channel_id, connection=hooked.connection)
    new = signatures.new_secret()
    until = hooked.now + timedelta(days=1)
    assert channel_store.rotate_secret(row, new, until=until, connection=hooked.connection)
    hooked.invite()
    hooked.run_later()
    hooked.wait(days=1)
    hooked.invite()
    hooked.run_later()
    (headers, body), (later_headers, later_body) = webhook.requests
    assert headers["webhook-signature"].split(" ") == [
        expected_signature(headers, body, new), expected_signature(headers, body, SECRET),
    ]  # fmt: skip
    assert later_headers["webhook-signature"] == expected_signature(later_headers, later_body, new)


def test_burst_is_one_request(hooked, webhook):
    for _ in range(7):
        hooked.invite()
    hooked.run_later()
    [message] = webhook.messages
    assert message["data"]["count"] == 7
    assert message["data"]["subject"] == "Приглашений: 7"


@pytest.mark.parametrize("answer", [(503, {}), (301, {"location": "/"}), (404, {}), None])
def test_refused_webhook_is_repeated_with_the_same_id(hooked, webhook, answer):
    webhook.answers = [answer]
    hooked.invite()
    hooked.run_later()
    assert hooked.notifications("state", "attempts") == [("waiting", 1)]
    hooked.wait(seconds=4)
    hooked.run()
    assert len(webhook.requests) == 1
    hooked.wait(seconds=1)
    hooked.run()
    assert hooked.notifications("state", "attempts") == [("sent", 2)]
    first, second = webhook.ids
    assert first == second


def test_retry_after_is_honoured(hooked, webhook):
    webhook.answers = [(429, {"retry-after": "120"})]
    hooked.invite()
    hooked.run_later()
    [(due_at,)] = hooked.notifications("due_at")
    assert due_at == hooked.now + timedelta(seconds=120)


def test_retry_after_a_date_is_honoured(hooked, webhook):
    webhook.answers = [(503, {"retry-after": "Tue, 24 Nov 2026 10:00:00 GMT"})]
    hooked.invite()
    hooked.run_later()
    [(due_at,)] = hooked.notifications("due_at")
    assert due_at == datetime.fromisoformat("2026-11-24T10:00:00+00:00")


def test_webhook_that_never_accepts_fails_after_three_days(hooked, webhook):
    webhook.answers = [(500, {})] * 100
    hooked.invite()
    hooked.run_later()
    began = hooked.now
    while hooked.notifications() == [("invitation", "waiting")]:
        [(due_at,)] = hooked.notifications("due_at")
        hooked.now = due_at
        hooked.run()
    assert hooked.notifications("state", "error", "attempts") == [
        ("failed", "http_500", delivery.MAX_ATTEMPTS)
    ]
    assert timedelta(days=2, hours=12) < hooked.now - began < timedelta(days=3, hours=12)
    assert len(set(webhook.ids)) == 1
    assert len(webhook.ids) == delivery.MAX_ATTEMPTS


def test_gone_webhook_is_disabled_and_told_by_e_mail(hooked, webhook, mail_server):
    hooked.set(quiet_hours=None)
    hooked.add("email", "anna@example.com")
    webhook.answers = [(410, {})]
    hooked.invite()
    hooked.run_later()
    hooked.run_later()
    state = hooked.rows("SELECT state, reason FROM notification_channels WHERE kind = 'webhook'")
    assert state == [{"state": "disabled", "reason": "webhook_gone"}]
    subjects = [mail["subject"] for mail in mail_server.mails]
    assert sorted(subjects) == ["Нужна ваша помощь", "Приглашение: «Инженер», Полярная почта"]
    hooked.invite()
    hooked.run_later()
    assert len(webhook.requests) == 1


def test_address_that_became_private_is_not_called(hooked, webhook, monkeypatch):
    monkeypatch.setenv("WEBHOOK_ADDRESSES", "public")
    hooked.invite()
    hooked.run_later()
    assert webhook.requests == []
    assert hooked.notifications("state", "error") == [("failed", "address_refused")]


@pytest.mark.parametrize(
    ("host", "is_trusted", "outcome"),
    [
        ("localhost", True, ("sent", None)),
        ("localhost", False, ("waiting", "certificate_refused")),
        ("hooks.example.com", True, ("waiting", "certificate_refused")),
    ],
)
def test_https_webhook_is_posted_only_to_a_verified_server(
    notified, monkeypatch, tmp_path, host, is_trusted, outcome
):
    certificate, authority = certificates.issue(tmp_path, host)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    tls.context.cache_clear()
    with WebhookReceiver(certificate) as receiver:
        notified.add("webhook", receiver.url, secret=SECRET)
        notified.invite()
        notified.run_later()
        assert notified.notifications("state", "error") == [outcome]
        assert len(receiver.requests) == (outcome[0] == "sent")
    tls.context.cache_clear()


def test_receiver_that_stopped_is_tried_again(hooked, webhook):
    webhook.stop()
    hooked.invite()
    hooked.run_later()
    assert hooked.notifications("state", "error") == [("waiting", "unreachable")]


# ── e-mail ───────────────────────────────────────────────────────────────────────────────────────


def test_e_mail_is_plain_text_and_escaped_html(mailed, mail_server):
    mailed.invite(title="Инженер <script>alert(1)</script>")
    mailed.run_later()
    [mail] = mail_server.mails
    assert (mail["from"], mail["to"]) == ("core@example.com", "anna@example.com")
    assert mail["subject"].startswith("Приглашение: «Инженер <script>")
    [notification_id] = [row["id"] for row in mailed.rows("SELECT id FROM notifications")]
    assert mail["message-id"] == f"<{notification_id}@example.com>"
    text = mail.get_body(("plain",)).get_content()
    assert "<script>alert(1)</script>" in text
    assert "https://hh.ru/applicant/negotiations" in text
    html = mail.get_body(("html",)).get_content()
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_e_mail_can_be_unsubscribed_in_one_click(mailed, mail_server):
    mailed.invite()
    mailed.run_later()
    [mail] = mail_server.mails
    url = mail["list-unsubscribe"].strip("<>")
    assert url.startswith("https://core.example.com/notifications/unsubscribe/")
    assert mail["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert url in mail.get_body(("plain",)).get_content()


def test_language_of_the_channel_is_used(notified, mail_server):
    notified.set(quiet_hours=None)
    notified.add("email", "anna@example.com", language="en")
    notified.invite()
    notified.run_later()
    [mail] = mail_server.mails
    assert mail["subject"] == "Invitation: “Инженер”, Полярная почта"


def test_unanswered_e_mail_is_repeated_with_its_message_id(mailed, mail_server):
    mail_server.hang_ups = 1
    mailed.invite()
    mailed.run_later()
    assert mailed.notifications("state", "error") == [("waiting", "outcome_unknown")]
    mailed.run_later()
    first, second = (mail["message-id"] for mail in mail_server.mails)
    assert first == second
    assert mailed.notifications("state") == [("sent",)]


def test_refused_recipient_disables_the_address(mailed, mail_server):
    mail_server.answers = ["550 5.1.1 no such user"]
    mailed.invite()
    mailed.run_later()
    assert mailed.notifications("state", "error") == [("failed", "address_refused")]
    assert mailed.rows("SELECT state FROM notification_channels") == [{"state": "disabled"}]


def test_busy_mail_server_is_tried_again(mailed, mail_server):
    mail_server.answers = ["451 4.3.0 later"]
    mailed.invite()
    mailed.run_later()
    assert mailed.notifications("state", "error") == [("waiting", "smtp_451")]
    mailed.run_later()
    assert mailed.notifications("state") == [("sent",)]


def test_quiet_hours_hold_an_e_mail_until_the_morning(notified, mail_server):
    notified.add("email", "anna@example.com")
    notified.now = datetime.fromisoformat("2026-11-24T23:00+03:00")
    notified.invite()
    notified.run_later()
    assert mail_server.mails == []
    notified.now = datetime.fromisoformat("2026-11-25T03:00+03:00")
    notified.invite()
    notified.run_later()
    notified.now = datetime.fromisoformat("2026-11-25T08:00+03:00")
    notified.run()
    [mail] = mail_server.mails
    assert mail["subject"] == "Приглашений: 2"


def test_quiet_hours_that_were_set_since_hold_it_too(mailed, mail_server):
    mailed.now = datetime.fromisoformat("2026-11-24T23:00+03:00")
    mailed.invite()
    mailed.run()
    mailed.set(quiet_hours={"since": "22:00", "until": "07:00"})
    mailed.wait(minutes=2)
    mailed.run()
    assert mail_server.mails == []
    assert mailed.notifications("state", "attempts") == [("waiting", 0)]
    mailed.now = datetime.fromisoformat("2026-11-25T07:00+03:00")
    mailed.run()
    assert len(mail_server.mails) == 1


def test_kind_that_was_turned_off_since_is_not_sent(mailed, mail_server):
    mailed.invite()
    mailed.run()
    mailed.set(quiet_hours=None, kinds={"invitation": {"channels": []}})
    mailed.run_later()
    assert mail_server.mails == []
    assert mailed.notifications("state", "error") == [("cancelled", "turned_off")]


def test_closed_hh_makes_one_message_a_day_with_count_and_link(mailed, mail_server):
    done, *_ = [mailed.application(state="handoff", reason="hh_closed") for _ in range(4)]
    mailed.run()
    mailed.connection.execute(
        "UPDATE application_ledger SET state = 'submitted' WHERE id = %s", (done,)
    )
    mailed.now = datetime.fromisoformat("2026-11-25T09:00+03:00")
    mailed.run()
    [mail] = mail_server.mails
    assert mail["subject"] == "Откликов ждут вас: 3"
    text = mail.get_body(("plain",)).get_content()
    [link] = [word for word in text.split() if "/handoff/" in word]
    ticket = urlsplit(link).path.rpartition("/")[2]
    holder = links.consume(ticket, by="browser", now=mailed.now)
    assert (holder.account_id, holder.user_id) == (mailed.account_id, mailed.user_id)


def test_what_the_person_has_done_already_is_not_told(mailed, mail_server):
    mailed.application(state="handoff", reason="hh_closed")
    mailed.run()
    mailed.connection.execute("UPDATE application_ledger SET state = 'submitted'")
    mailed.wait(days=1)
    mailed.run()
    assert mail_server.mails == []
    assert mailed.notifications("state", "error") == [("cancelled", "nothing_left_to_tell")]


def test_requested_link_comes_at_once_also_at_night(notified, mail_server):
    notified.add("email", "anna@example.com")
    notified.now = datetime.fromisoformat("2026-11-24T23:00+03:00")
    notified.append("account.updated", {"handoff_link": "requested"})
    notified.run()
    [mail] = mail_server.mails
    assert "https://core.example.com/handoff/" in mail.get_body(("plain",)).get_content()


def test_webhook_gets_no_link_to_the_persons_page(hooked, webhook):
    hooked.application(state="handoff", reason="hh_closed")
    hooked.run_later()
    [(_, body)] = webhook.requests
    assert b"/handoff/" not in body


def test_ses_gets_the_raw_e_mail(notified, aws_endpoint, monkeypatch):
    ses = boto3.client("sesv2", endpoint_url=aws_endpoint, region_name="us-east-1", **CREDENTIALS)
    ses.create_email_identity(EmailIdentity="core@example.com")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    notified.set(quiet_hours=None)
    notified.add("email", "anna@example.com")
    notified.invite()
    notified.run_later()
    assert notified.notifications("state", "error") == [("sent", None)]


def test_ses_that_refuses_is_tried_again(notified, monkeypatch):
    monkeypatch.setenv("EMAIL_FROM", "unknown@example.org")
    notified.set(quiet_hours=None)
    notified.add("email", "anna@example.com")
    notified.invite()
    notified.run_later()
    [(state, error)] = notified.notifications("state", "error")
    assert state == "waiting"
    assert error.startswith("ses_")


def test_ses_that_does_not_answer_may_have_accepted(notified, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", "http://127.0.0.1:9")
    notified.set(quiet_hours=None)
    notified.add("email", "anna@example.com")
    notified.invite()
    notified.run_later()
    assert notified.notifications("state", "error") == [("waiting", "outcome_unknown")]


# ── a channel that does not recognise repetitions ────────────────────────────────────────────────


def test_unknown_outcome_is_not_repeated(phone):
    phone.failures = [OutcomeUnknown()]
    phone.invite()
    phone.run_later()
    phone.run_later(hours=1)
    assert phone.notifications("state", "error") == [("uncertain", "outcome_unknown")]
    assert len(phone.sent) == 1


def test_unexpected_failure_is_an_unknown_outcome(phone):
    phone.failures = [RuntimeError()]
    phone.invite()
    phone.run_later()
    assert phone.notifications("state") == [("uncertain",)]


def test_refusal_is_repeated_as_the_channel_says(phone):
    phone.failures = [ChannelUnavailable(37, reason="http_429")]
    phone.invite()
    phone.run_later()
    phone.wait(seconds=36)
    phone.run()
    assert len(phone.sent) == 1
    phone.wait(seconds=1)
    phone.run()
    first, second = phone.sent
    assert first.id == second.id
    assert phone.notifications("state") == [("sent",)]


def test_blocked_bot_disables_the_channel(phone):
    phone.failures = [ChannelGone("blocked")]
    phone.invite()
    phone.run_later()
    assert phone.notifications("state", "error") == [("failed", "blocked")]
    assert phone.rows("SELECT state, reason FROM notification_channels") == [
        {"state": "disabled", "reason": "blocked"}
    ]


def test_review_has_buttons_for_each_application(phone):
    # The state is of another migration's constraint.
    phone.connection.execute(
        "ALTER TABLE application_ledger DROP CONSTRAINT application_ledger_state_check"
    )
    first = phone.application(state="review")
    phone.application(state="review", title="Аналитик")
    phone.run_later()
    [message] = phone.sent
    actions = [button.action for button in message.buttons if button.action]
    assert actions[:2] == [f"approve:{first}", f"skip:{first}"]
    assert len(actions) == 4
    assert message.buttons[2].label == "Отправить: Аналитик"
    assert "/handoff/" in message.buttons[-1].url
    assert message.subject == "Откликов ждут вашего решения: 2"


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────


def test_address_that_cannot_be_decrypted_fails(hooked, webhook):
    other = channel_store.encrypt(UUID(int=1), "x")
    hooked.connection.execute("UPDATE notification_channels SET address = %s", (other,))
    hooked.invite()
    hooked.run_later()
    assert webhook.requests == []
    assert hooked.notifications("state", "error") == [("failed", "address_unreadable")]


def test_kms_that_does_not_answer_costs_no_attempt(hooked, webhook, monkeypatch):
    hooked.invite()
    hooked.run()
    hooked.wait(minutes=1)
    with monkeypatch.context() as broken:
        broken.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
        aws.reset_connections()
        hooked.run()
    aws.reset_connections()
    assert hooked.notifications("state", "attempts") == [("waiting", 0)]
    hooked.wait(minutes=1)
    hooked.run()
    assert len(webhook.requests) == 1


# ── wake-ups ─────────────────────────────────────────────────────────────────────────────────────


def test_sweeper_wakes_accounts_with_something_due(hooked):
    def sweep():
        return wake_up.notify_due(connection=hooked.connection, now=hooked.now, most=10)

    assert sweep() == 0
    hooked.invite()
    assert sweep() == 1
    hooked.plan()
    assert sweep() == 0
    hooked.wait(minutes=1)
    assert sweep() == 1
    assert wake_ups() == [str(hooked.account_id)] * 2


def test_ended_notifications_are_kept_for_a_month(hooked, webhook):
    hooked.invite()
    hooked.run_later()

    def delete():
        return wake_up.delete_ended(connection=hooked.connection, now=hooked.now, most=10)

    hooked.wait(days=29)
    assert delete() == 0
    hooked.wait(days=2)
    assert delete() == 1
