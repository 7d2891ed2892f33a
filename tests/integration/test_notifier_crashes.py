"""The notifier is killed at each of its steps, and wake-ups arrive twice, late or never: each event
is told, and none twice."""

import json
import time
from collections import Counter
from dataclasses import dataclass

import pytest

from local.clock import FILE_NAME, LocalClock
from tests.fixtures.receivers import BOT_TOKEN, PHONE
from tests.harness import notify_process
from tests.harness.killing import sqs_message
from tests.harness.notify_process import BEFORE_THE_CALL, CLAIMED, RECEIVED, STEPS_OF_SENDING
from tests.harness.notifying import START, Notified
from tests.harness.worker_pool import Workers
from ullgetthejob.notifications import wake_up
from ullgetthejob.platform import aws, settings

SECRET = "whsec_YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcywgb2s="
ROUND_S = 61
DAY_S = 86_400
ROUNDS = 6  # longer than a lease, and than a row counts as being sent
ROUNDS_OF_THE_LOST = (ROUNDS - 3, ROUNDS - 1)  # whose wake-ups arrive where they are lost


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    log = tmp_path_factory.mktemp("workers") / "log"
    with Workers(log, notify_process.__name__) as started:
        yield started


@dataclass
class Town:
    """Three people on one clock. The wake-ups of the first, who has a webhook, arrive twice; those
    of the second, who has e-mail, late; those of the third, who has a phone, are lost."""

    clock: LocalClock
    people: list[Notified]

    def advance(self, seconds):
        self.clock.advance(seconds)
        for person in self.people:
            person.now = self.clock.now()

    def let_time_pass(self, second):
        """Advance the clock in rounds, in each of which the sweeper notifies. *second*: another
        worker."""
        doubled, late, lost = self.people
        was_notified = False
        for number in range(ROUNDS):
            self.advance(ROUND_S)
            wake_up.notify_due(connection=doubled.connection, now=doubled.now, most=10)
            notified = receive_wake_ups()
            if str(doubled.account_id) in notified:
                second.notify(doubled.account_id)
                doubled.run()
                assert second.answer() == "done"
            if was_notified:
                late.run()
            was_notified = str(late.account_id) in notified
            if number in ROUNDS_OF_THE_LOST:
                lost.run()


@pytest.fixture
def town(notified, webhook, mail_server, receivers, tmp_path, monkeypatch):
    monkeypatch.setenv("TELEGRAM_API_URL", receivers.url)
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", BOT_TOKEN)
    clock = LocalClock(tmp_path / FILE_NAME)
    stopped = {"real": time.time(), "virtual": START.timestamp(), "rate": 0}
    clock.path.write_text(json.dumps(stopped))
    people = [notified, *(Notified(notified.database_url) for _ in range(2))]
    people[0].add("webhook", webhook.url, secret=SECRET)
    people[1].add("email", "anna@example.com")
    people[2].add("telegram", str(PHONE))
    receivers.write("/start")  # a bot writes to nobody first
    return Town(clock, people)


def receive_wake_ups():
    """Receive the wake-ups that were sent, and return their accounts."""
    queue = {"QueueUrl": settings.NOTIFIER_QUEUE_URL()}
    found = []
    while messages := aws.call("sqs", "ReceiveMessage", queue | {"MaxNumberOfMessages": 10}).get(
        "Messages"
    ):
        for message in messages:
            found.append(json.loads(message["Body"])["account_id"])
            handle = {"ReceiptHandle": message["ReceiptHandle"]}
            aws.call("sqs", "DeleteMessage", queue | handle)
    return found


def kill_at(step, workers, account_id, clock, second):
    """Kill a new worker at *step*, which another wake-up for the account finds at work."""
    first = workers.start(clock.path, step=step)
    first.notify(account_id)
    assert first.answer() == "stopped"
    second.notify(account_id)
    assert second.answer() == "done"
    workers.kill(first)


def told(texts, titles):
    """Return how many of *texts* name each title."""
    return Counter(title for text in texts for title in titles if title in text)


@pytest.mark.parametrize("step", [*notify_process.STEPS_OF_PLANNING, *STEPS_OF_SENDING])
def test_notifier_killed_at_any_step_tells_each_event_once(
    town, workers, webhook, mail_server, receivers, step
):
    titles = [f"Должность-{letter}" for letter in "АБВ"]
    for person in town.people:
        person.invite(title=titles[0])
        person.invite(title=titles[1])
    if step in STEPS_OF_SENDING:
        for person in town.people:
            person.plan()
        town.advance(ROUND_S)
    second = workers.start(town.clock.path)
    for person in town.people:
        kill_at(step, workers, person.account_id, town.clock, second)
        person.invite(title=titles[2])
    town.let_time_pass(second)
    workers.kill(second)

    once = dict.fromkeys(titles, 1)
    posted = {headers["webhook-id"]: body.decode() for headers, body in webhook.requests}
    assert told(posted.values(), titles) == once
    mails = {
        mail["message-id"]: mail.get_body(("plain",)).get_content() for mail in mail_server.mails
    }
    assert told(mails.values(), titles) == once
    is_repeated = step == RECEIVED
    assert len(webhook.requests) - len(posted) == len(mail_server.mails) - len(mails) == is_repeated
    # Telegram recognises no repetition: what may have arrived is not sent again.
    is_unknown = step in (CLAIMED, BEFORE_THE_CALL, RECEIVED)
    missed = dict.fromkeys(titles[:2], 0) if is_unknown and step != RECEIVED else {}
    assert told(receivers.texts(), titles) == Counter(once | missed)
    states = [state for _, state in town.people[0].notifications()]
    assert Counter(states)["uncertain"] == is_unknown
    assert set(states) <= {"sent", "uncertain"}


def test_digest_killed_after_any_effect_is_sent_once(town, functions_on, mail_server):
    """Each process goes on where the one before was killed; a receiver of e-mail recognises one
    that it has by its Message-ID."""
    functions = functions_on(town.clock.path)
    person = town.people[1]
    kinds = {"invitation": {"channels": []}, "digest": {"channels": ["email"]}}
    person.set(digest={"every": "daily", "hour": 12}, kinds=kinds)
    for _ in range(3):
        person.invite()
    wake_up, effects = sqs_message("notifier", account_id=str(person.account_id)), []
    for effect in functions.kill_after_each(lambda: wake_up):
        effects.append(effect)
        town.advance(DAY_S)  # longer than a lease; the digest is due
    person.run()
    assert "send" in effects
    mails = {mail["message-id"] for mail in mail_server.mails}
    assert len(mails) == 1
    assert person.notifications() == [("digest", "sent")]
