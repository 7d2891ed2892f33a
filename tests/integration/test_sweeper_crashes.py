"""The sweeper is killed after each of its effects, and runs twice at once: the next sweep completes
what it left, rings for all that waits, and changes nothing a second time."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta

import pytest

from tests.harness.applying import insert_session, publish
from tests.harness.campaigns import Campaign
from tests.harness.killing import MOST_EFFECTS
from ullgetthejob.platform import aws, settings

SWEEP = "sweeper {}"
QUEUES = (
    settings.APPLIER_QUEUE_URL,
    settings.BROADCASTER_QUEUE_URL,
    settings.NOTIFIER_QUEUE_URL,
    settings.PUBLIC_FEED_QUEUE_URL,
)
# What waits for a worker whose wake-up was lost, of accounts of their own.
INSERT_WAITING = """
    UPDATE accounts SET deletion_requested_at = %(now)s, deletion_due_at = %(now)s
    WHERE id = %(deleted)s;
    INSERT INTO resume_raises (account_id, resume_id, schedule, due_at, created_at, updated_at)
    VALUES (%(raised)s, 'a-resume', '{}', %(now)s, %(now)s, %(now)s);
    INSERT INTO hh_method_access (account_id, method, state, since, confirmed_at, probe_at)
    VALUES (%(closed)s, 'apply', 'closed', %(now)s, %(now)s, %(later)s);
    INSERT INTO application_ledger (account_id, user_id, vacancy_id, state, due_at, created_at,
        updated_at)
    VALUES (%(closed)s, %(closed)s, 'waits', 'waiting_quota', %(later)s, %(now)s, %(now)s);
    INSERT INTO notifications (account_id, channel_kind, kind, state, content, first_seq, last_seq,
        due_at, created_at)
    VALUES (%(told)s, 'email', 'invitation', 'waiting', '{}', 1, 1, %(now)s, %(now)s);
    INSERT INTO public_feed (vacancy_id, due_at, at) VALUES ('new', %(now)s, %(now)s);
    UPDATE accounts SET last_event_seq = 1, broadcast_seq = 0 WHERE id = %(unserved)s;
"""
# One row, or two, of each table that is tidied up; all are past their time.
INSERT_OLD = """
    INSERT INTO events (account_id, seq, at, type, data)
    SELECT %(old_account)s, number, %(old)s, 'jobs.new', '{}' FROM generate_series(1, 2) number;
    INSERT INTO search_answers (hash, answer, answered_at) VALUES ('x', '{}', %(old)s);
    INSERT INTO notifications (account_id, channel_kind, kind, state, content, first_seq, last_seq,
        due_at, ended_at, created_at)
    VALUES (%(old_account)s, 'email', 'invitation', 'sent', '{}', 1, 1, %(old)s, %(old)s, %(old)s);
    INSERT INTO public_feed (vacancy_id, state, due_at, at, ended_at)
    VALUES ('old', 'posted', %(old)s, %(old)s, %(old)s);
    INSERT INTO deleted_accounts VALUES ('x', %(old)s);
    INSERT INTO application_ledger (id, account_id, user_id, vacancy_id, state, created_at,
        updated_at)
    VALUES (%(old_account)s, %(old_account)s, %(old_account)s, 'old', 'submitted', %(old)s,
        %(old)s);
    INSERT INTO application_keys VALUES (%(old_account)s, 'key', 'x', %(old_account)s, %(old)s);
    INSERT INTO application_history (ledger_id, at, state)
    VALUES (%(old_account)s, %(old)s, 'queued'), (%(old_account)s, %(old)s, 'submitted');
    INSERT INTO jobs (external_id, title, published_at, fetched_at, inserted_at, updated_at)
    VALUES ('old', '', %(old)s, %(old)s, %(old)s, %(old)s);
    INSERT INTO search_queries (id, hash, parameters, created_at)
    VALUES (%(old_account)s, 'x', '{}', %(old)s);
    INSERT INTO search_matches VALUES (%(old_account)s, 'gone', 1, %(old)s, %(old)s);
    INSERT INTO account_vacancies (account_id, vacancy_id, original_id, at)
    VALUES (%(old_account)s, 'gone', 'gone', %(old)s);
"""
TIDIED = {  # the rows that are left of what is old, by table
    "events": 0,
    "search_answers": 0,
    "notifications": 1,
    "public_feed": 1,
    "deleted_accounts": 0,
    "application_keys": 0,
    "application_history": 1,
    "jobs": 0,
    "search_matches": 0,
    "account_vacancies": 0,
}
MOVED = 7  # applications: one returns, is retried, expires; two are cancelled, two taken up
COUNT_OLD = """
    SELECT (SELECT count(*) FROM events WHERE account_id = %(old_account)s) AS events,
        (SELECT count(*) FROM search_answers) AS search_answers,
        (SELECT count(*) FROM notifications) AS notifications,
        (SELECT count(*) FROM public_feed) AS public_feed,
        (SELECT count(*) FROM deleted_accounts) AS deleted_accounts,
        (SELECT count(*) FROM application_keys WHERE account_id = %(old_account)s)
            AS application_keys,
        (SELECT count(*) FROM application_history WHERE ledger_id = %(old_account)s)
            AS application_history,
        (SELECT count(*) FROM jobs WHERE external_id = 'old') AS jobs,
        (SELECT count(*) FROM search_matches) AS search_matches,
        (SELECT count(*) FROM account_vacancies) AS account_vacancies
"""


class Town:
    """One of everything that a sweep does."""

    def __init__(self, harness, database_url):
        self.harness = harness
        now = harness.world.now()
        self.accounts = {
            name: harness.world.account()
            for name in ("deleted", "raised", "closed", "told", "unserved", "old_account")
        }
        insert_session(self.accounts["raised"], now)
        self.values = {
            **self.accounts,
            "now": now - timedelta(seconds=1),
            "later": now + timedelta(days=1),
            "old": now - timedelta(days=500),
        }
        self.applications = {
            name: harness.submit(publish(harness)).application_id
            for name in ("due", "returned", "retried", "repaired", "expired")
        }
        self.cancelled, self.running = (Campaign(harness, database_url) for _ in range(2))
        for campaign in (self.cancelled, self.running):
            campaign.insert_many(2)
            campaign.change("start")
        self.insert()
        self.running.insert_many(2)
        self.rung()  # all wake-ups until now are lost

    def insert(self):
        for statement in (INSERT_WAITING + INSERT_OLD).split(";")[:-1]:
            self.harness.connection.execute(statement, self.values)
        held = "UPDATE application_ledger SET state = %s, reason = %s, due_at = NULL WHERE id = %s"
        for name, state, reason in (
            ("returned", "needs_person", "captcha"),
            ("retried", "handoff", "no_resume"),
            ("expired", "handoff", "no_resume"),
        ):
            self.harness.connection.execute(held, [state, reason, self.applications[name]])
        self.harness.connection.execute(
            "UPDATE applications SET status = 'handoff', projected_status = 'handoff'"
            " WHERE id = (SELECT application_id FROM application_ledger WHERE id = %s)",
            [self.applications["expired"]],
        )
        self.harness.connection.execute(
            "UPDATE application_ledger SET expires_at = %s WHERE id = %s",
            [self.values["now"], self.applications["expired"]],
        )
        for name, word in (("retried", "pending"), ("repaired", "a word of the BFF's")):
            self.harness.connection.execute(
                "UPDATE applications SET status = %s WHERE id = (SELECT application_id FROM"
                " application_ledger WHERE id = %s)",
                [word, self.applications[name]],
            )
        self.harness.connection.execute(
            "UPDATE campaigns SET state = 'cancelled' WHERE workflow_id = %s", [self.cancelled.id]
        )

    def rung(self):
        """Receive all wake-ups; return the queues that have rung for whom."""
        found = set()
        for setting in QUEUES:
            queue = {"QueueUrl": setting()}
            while messages := aws.call(
                "sqs", "ReceiveMessage", {**queue, "MaxNumberOfMessages": 10}
            ).get("Messages"):
                for sent in messages:
                    (name,) = json.loads(sent["Body"]).values()
                    found.add((setting.name.removesuffix("_QUEUE_URL"), name))
                    handle = {"ReceiptHandle": sent["ReceiptHandle"]}
                    aws.call("sqs", "DeleteMessage", queue | handle)
        return found

    def counts(self):
        """Return the old rows that are left."""
        return self.harness.connection.execute(COUNT_OLD, self.values).fetchone()

    def states(self):
        """Return states and reasons of the applications, by name."""
        found = self.harness.connection.execute(
            "SELECT l.id, l.state, l.reason, a.status FROM application_ledger l"
            " JOIN applications a ON a.id = l.application_id WHERE l.account_id = %s",
            [self.harness.account_id],
        )
        names = {id_: name for name, id_ in self.applications.items()}
        return {
            names[row["id"]]: (row["state"], row["reason"], row["status"])
            for row in found
            if row["id"] in names
        }

    def events(self):
        """Return how many events of each application there are, by state."""
        found = self.harness.connection.execute(
            "SELECT data->>'application_id' AS id, data->>'state' AS state FROM events"
            " WHERE type = 'application.updated' AND account_id = %s",
            [self.harness.account_id],
        )
        return Counter((row["id"], row["state"]) for row in found)

    def check(self):
        """Check that all is done, once, and rung for."""
        assert self.counts() == TIDIED
        assert self.states() == {
            "due": ("queued", None, "processing"),
            "returned": ("queued", "access_returned", "processing"),
            "retried": ("queued", "retried", "processing"),
            "repaired": ("queued", None, "processing"),
            "expired": ("expired", "waited_too_long", "failed"),
        }
        assert self.cancelled.count_statuses() == {"failed": 2}
        assert {row.state for row in self.running.rows().values()} == {"queued"}
        assert len(self.running.rows()) == 4
        events = self.events()
        assert events[str(self.applications["expired"]), "expired"] == 1
        for row in self.cancelled.rows().values():
            assert (row.state, events[str(row.id), "cancelled"]) == ("cancelled", 1)
        for row in self.running.rows().values():
            assert events[str(row.id), "queued"] == 1
        numbers = self.harness.connection.execute(
            "SELECT count(*) AS n, max(seq) AS last FROM events WHERE account_id = %s",
            [self.harness.account_id],
        ).fetchone()
        assert numbers["n"] == numbers["last"]

    def check_rung(self):
        assert self.rung() == {
            ("APPLIER", str(self.harness.account_id)),
            ("APPLIER", str(self.accounts["closed"])),
            ("APPLIER", str(self.accounts["deleted"])),
            ("APPLIER", str(self.accounts["raised"])),
            ("BROADCASTER", str(self.harness.account_id)),
            ("BROADCASTER", str(self.accounts["unserved"])),
            ("NOTIFIER", str(self.accounts["told"])),
            ("PUBLIC_FEED", "public"),
        }


@pytest.fixture
def town(harness, database_url):
    return Town(harness, database_url)


def test_sweep_killed_after_any_effect_is_completed_by_the_next(town, functions):
    """First after each wake-up, which leaves all as it was; then each sweep does one thing more
    than the one before."""
    before = town.states(), town.counts()
    sent = 0
    while (effect := functions.kill_after(sent + 1, SWEEP)).startswith("SendMessage"):
        sent += 1
        assert (town.states(), town.counts()) == before
    effects = [effect]
    while (effect := functions.kill_after(sent + 1, SWEEP)) is not None:
        effects.append(effect)
        assert len(effects) < MOST_EFFECTS, effects
    deleted = {effect.partition("DELETE FROM ")[2] for effect in effects} - {""}
    assert deleted == set(TIDIED)
    assert sum("application_ledger" in effect for effect in effects) == MOVED
    town.rung()  # these are lost
    functions.call(SWEEP)
    town.check()
    town.check_rung()


def test_sweeps_at_once_do_everything_once(town, functions):
    functions.call(*[SWEEP] * 3)
    functions.call(SWEEP)
    town.check()
    town.check_rung()
