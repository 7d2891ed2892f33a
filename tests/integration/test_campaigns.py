"""Campaigns on the real sandbox: many vacancies, written by the BFF's own SQL or added here."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.harness.applying import ANNA, CALLER, ApplyHarness, publish, second_session
from ullgetthejob.applications import application_states, ledger, projection
from ullgetthejob.applications import commands as application_commands
from ullgetthejob.applications.campaigns import commands, item_intake, progress
from ullgetthejob.applications.campaigns.models import (
    AddBody,
    CustomizeBody,
    StatusQuery,
    WorkflowBody,
)
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.errors import Conflict, NeedsPerson, NotFound
from ullgetthejob.rate_limits import daily_limit, token_bucket

# As drizzle sends them for the BFF's QueueService.
BFF_INSERT = """
    INSERT INTO application_queue (id, workflow_id, user_id, cv_id, job_id, job_external_id, status,
        payload, attempts, next_run_at, priority, last_error, created_at, updated_at)
    VALUES (DEFAULT, %s, %s, %s, %s, %s, 'pending', %s, 0, DEFAULT, 0, DEFAULT, DEFAULT, DEFAULT)
    RETURNING id
"""
BFF_SELECT = """
    SELECT q.id, q.workflow_id, q.status, q.priority, q.attempts, q.next_run_at, q.last_error,
           q.created_at, q.payload, j.id, j.title, c.id, c.customized_data, c.cover_letter
    FROM application_queue q LEFT JOIN jobs j ON q.job_id = j.id
    LEFT JOIN custom_cvs c ON c.cv_id = q.cv_id AND c.job_id = q.job_id
    WHERE q.user_id = %s AND q.workflow_id = %s
"""
BFF_DELETE = "DELETE FROM application_queue WHERE id = %s"
ADDED_AT = {"jobTitle": "Python", "company": "Ромашка", "addedAt": "2026-11-23T10:00:00.000Z"}


class Campaign:
    """A campaign of the harness's person."""

    def __init__(self, harness, database_url):
        self.harness = harness
        self.id = uuid4()
        self.url = database_url

    def bff(self, sql, *values):
        """Execute *sql* over a connection of the BFF, and return the rows."""
        with psycopg.connect(self.url, autocommit=True) as own:
            found = own.execute(sql, values)
            return found.fetchall() if found.description else []

    def insert(self, vacancy_id, *, user_id=None, cv_id=None, job_id=None, payload=None):
        """Insert an item as the BFF does, and return its id."""
        user_id = user_id or self.harness.user_id
        content = json.dumps(ADDED_AT if payload is None else payload)
        rows = self.bff(BFF_INSERT, self.id, user_id, cv_id, job_id, vacancy_id, content)
        return rows[0][0]

    def insert_many(self, number, **fields):
        return [self.insert(publish(self.harness, **fields)) for _ in range(number)]

    def change(self, command, **options):
        context = {
            "person": self.harness.person,
            "caller": CALLER,
            "connection": self.harness.connection,
            "now": self.harness.world.now(),
        }
        body = WorkflowBody(workflow_id=self.id)
        return commands.change(command, body, **{**context, **options})

    def add(self, caller=CALLER, **fields):
        return commands.add_jobs(
            AddBody(**fields),
            person=self.harness.person,
            caller=caller,
            connection=self.harness.connection,
            now=self.harness.world.now(),
        )

    def progress(self, **options):
        context = {
            "person": self.harness.person,
            "connection": self.harness.connection,
            "now": self.harness.world.now(),
        }
        return progress.progress(self.id, **{**context, **options})

    def items(self):
        """Return what the BFF reads: status and last_error by item."""
        rows = self.bff(BFF_SELECT, self.harness.user_id, self.id)
        return {row[0]: (row[2], row[6]) for row in rows}

    def count_statuses(self):
        statuses = [status for status, _ in self.items().values()]
        return {status: statuses.count(status) for status in sorted(statuses)}

    def rows(self):
        """Return its rows of the ledger, by item."""
        found = self.harness.connection.execute(
            f"SELECT {ledger.COLUMNS} FROM application_ledger WHERE workflow_id = %s", [self.id]
        )
        return {row["queue_item_id"]: ledger.Application(**row) for row in found.fetchall()}


@pytest.fixture
def harness(connected, monkeypatch):
    connected.sandbox.employers_act(False)
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    monkeypatch.setenv("HH_REDIRECT_URI", "https://app.example.org")
    return ApplyHarness(connected)


@pytest.fixture
def campaign(harness, database_url):
    return Campaign(harness, database_url)


def tokens(harness):
    return token_bucket.read_level("submit", harness.account_id, now=harness.world.now()).tokens


def other_harness(harness, name="timur"):
    return ApplyHarness(harness.world, name)


# ── from the BFF's rows to hh.ru ─────────────────────────────────────────────────────────────────


def test_items_of_bff_are_sent_and_projected(harness, campaign):
    items = campaign.insert_many(3)
    assert campaign.count_statuses() == {"pending": 3}
    started = campaign.change("start")
    assert (started.status, started.pending_count) == ("running", 3)
    assert started.estimatedCompletion == started.estimated_completion <= harness.world.now()
    assert campaign.count_statuses() == {"ready": 3}
    harness.run()
    assert campaign.items() == dict.fromkeys(items, ("submitted", None))
    assert [entry["outcome"] for entry in harness.posted()] == ["accepted"] * 3
    done = campaign.progress()
    assert (done.status, done.total, done.completed, done.waiting) == ("completed", 3, 3, 0)
    assert done.estimated_completion is None


def test_created_campaign_sends_nothing(harness, campaign):
    campaign.insert_many(2)
    harness.sweep()
    harness.run()
    assert harness.posted() == []
    assert campaign.count_statuses() == {"pending": 2}
    assert campaign.progress().status == "created"


def test_item_letter_is_latest_custom_cv_letter(harness, campaign):
    vacancy = publish(harness)
    ((job_id,),) = campaign.bff(
        "INSERT INTO jobs (external_id, title, inserted_at, updated_at)"
        " VALUES (%s, 'Python', now(), now())"
        " ON CONFLICT (external_id) DO UPDATE SET title = 'Python' RETURNING id",
        vacancy,
    )
    ((cv_id,),) = campaign.bff(
        "INSERT INTO cvs (user_id, name, file_path, created_at, updated_at)"
        " VALUES (%s, 'CV', '/cv.pdf', now(), now()) RETURNING id",
        harness.user_id,
    )
    for letter, days in (("Вчерашнее письмо", 1), ("Письмо по этой вакансии", 0)):
        campaign.bff(
            "INSERT INTO custom_cvs (cv_id, job_id, cover_letter, created_at, updated_at)"
            " VALUES (%s, %s, %s, now(), now() - make_interval(days => %s))",
            *(cv_id, job_id, letter, days),
        )
    written = campaign.insert(vacancy, cv_id=cv_id, job_id=job_id)
    own = campaign.insert(publish(harness), payload={"coverLetter": "Своё письмо"})
    campaign.change("start")
    rows = campaign.rows()
    assert rows[written].letter == "Письмо по этой вакансии"
    assert rows[own].letter == "Своё письмо"


def test_item_added_to_running_campaign_is_taken_by_sweep(harness, campaign):
    campaign.insert_many(1)
    campaign.change("start")
    harness.run()
    late = campaign.insert(publish(harness))
    harness.world.sandbox.advance(60)
    assert harness.sweep().taken_up == 1
    assert harness.sweep().taken_up == 0
    harness.run()
    assert campaign.items()[late] == ("submitted", None)


@pytest.mark.parametrize(
    ("vacancy_id", "payload", "reason"),
    [
        ("no-id", None, "bad_arguments"),
        ("", None, "bad_arguments"),
        ("1" * 20, None, "bad_arguments"),
        ("1", {"cover_letter": ["a list"]}, "bad_arguments"),
        ("1", {"cover_letter": "x" * 10_001}, "bad_arguments"),
        ("1", {"hh_resume_id": "../me"}, "bad_arguments"),
        ("1", {"customizedCv": {"phone": "+79991234567"}}, "missing_email"),
        ("1", {"customizedCv": {"email": "a@example.org"}}, "missing_phone"),
    ],
)
def test_invalid_item_fails_alone(harness, campaign, vacancy_id, payload, reason):
    bad = campaign.insert(vacancy_id, payload=payload)
    good = campaign.insert(publish(harness), payload="no object at all")
    campaign.change("start")
    assert campaign.items() == {bad: ("failed", reason), good: ("ready", None)}
    harness.run()
    assert campaign.items() == {bad: ("failed", reason), good: ("submitted", None)}
    assert campaign.change("start").status == "completed"
    assert campaign.items()[bad] == ("failed", reason)


def test_duplicate_items_share_one_application(harness, campaign):
    once, twice, applied = publish(harness), publish(harness), publish(harness)
    harness.submit(applied)
    harness.run()
    harness.submit(once)
    items = [campaign.insert(vacancy) for vacancy in (once, applied, twice, twice)]
    campaign.change("start")
    harness.run()
    shown = [campaign.items()[item] for item in items]
    assert shown[:2] == [("failed", "duplicate"), ("failed", "already_applied")]
    assert set(shown[2:]) == {("submitted", None), ("failed", "duplicate")}
    assert len(harness.posted()) == 3


def test_duplicate_item_does_not_replace_letter(harness, campaign):
    vacancy = publish(harness)
    single = harness.submit(vacancy, "Своё письмо")
    item = campaign.insert(vacancy, payload={"cover_letter": "Письмо из рассылки"})
    campaign.change("start")
    assert campaign.items() == {item: ("failed", "duplicate")}
    assert harness.row(single).letter == "Своё письмо"


def test_single_submit_replaces_campaign_letter(harness, campaign):
    vacancy = publish(harness)
    item = campaign.insert(vacancy, payload={"cover_letter": "Письмо из рассылки"})
    campaign.change("start")
    harness.submit(vacancy, "Своё письмо")
    assert campaign.rows()[item].letter == "Своё письмо"
    harness.run()
    assert campaign.items() == {item: ("submitted", None)}


def test_items_of_other_accounts_fail(harness, campaign):
    other = other_harness(harness)
    stranger = uuid4()
    harness.connection.execute(
        "INSERT INTO users (id, email, password_hash, inserted_at, updated_at)"
        " VALUES (%s, %s, '!', now(), now())",
        (stranger, str(stranger)),
    )
    campaign.insert_many(1)
    others = campaign.insert(publish(harness), user_id=other.user_id)
    strangers = campaign.insert(publish(harness), user_id=stranger)
    campaign.change("start")
    rows = campaign.bff("SELECT id, last_error FROM application_queue WHERE status = 'failed'")
    assert dict(rows) == {others: "another_account", strangers: "not_connected"}
    harness.run()
    other.run()
    assert (len(harness.posted()), len(other.posted())) == (1, 0)


@pytest.mark.parametrize(
    ("fields", "state", "reason"),
    [
        ({"has_test": True}, "handoff", "test_required"),
        ({"refusal": "application_denied"}, "refused", "application_denied"),
    ],
)
def test_refused_item_has_reason_and_link(harness, campaign, fields, state, reason):
    (item,) = campaign.insert_many(1, **fields)
    campaign.change("start")
    harness.run()
    link = campaign.rows()[item].link
    shown = f"{reason}: {link}" if state == "handoff" else reason
    assert campaign.items() == {item: ("failed", shown)}
    found = campaign.progress()
    assert (found.failed, found.needs_person) == ((1, 0) if state == "refused" else (0, 1))
    assert (found.progress.failed, found.states) == (1, {state: 1})


def test_every_state_has_a_known_item_status(harness, campaign):
    """Each state of the ledger has a status of the item's row."""
    known = {"ready", "submitting", "submitted", "failed", "rate_limited"}
    assert set(projection.PROJECTED_ITEM_STATUS) == set(application_states.ALLOWED_SOURCES)
    assert set(projection.PROJECTED_ITEM_STATUS.values()) == known
    campaign.insert_many(1)
    campaign.change("start")
    (row,) = campaign.rows().values()
    for state, status in projection.PROJECTED_ITEM_STATUS.items():
        ledger.transition(
            row.id,
            state,
            source=list(application_states.ALLOWED_SOURCES),
            connection=harness.connection,
            now=harness.world.now(),
        )
        assert campaign.bff("SELECT status, core_state FROM application_queue") == [(status, state)]
        found = campaign.progress()
        assert (found.total, sum(dict(found.progress).values())) == (1, 1)
        assert found.states == {state: 1}
        parts = (found.submitted, found.failed, found.waiting, found.needs_person, found.cancelled)
        assert sum(parts) == 1


def test_ready_item_of_bff_is_taken_as_pending(harness, campaign):
    items = campaign.insert_many(2)
    campaign.bff("UPDATE application_queue SET status = 'ready' WHERE id = %s", items[0])
    campaign.bff("UPDATE application_queue SET status = 'customizing' WHERE id = %s", items[1])
    campaign.change("start")
    assert list(campaign.rows()) == items[:1]
    assert campaign.progress().waiting == 2
    harness.run()
    assert campaign.items() == {items[0]: ("submitted", None), items[1]: ("customizing", None)}
    campaign.bff("UPDATE application_queue SET status = 'ready' WHERE id = %s", items[1])
    assert (harness.sweep().taken_up, harness.sweep().taken_up) == (1, 0)
    campaign.change("cancel")
    assert campaign.items()[items[1]] == ("failed", "campaign_cancelled")


def test_repended_item_is_retried_only_where_safe(harness, campaign):
    sent, handed_off, bad = (
        campaign.insert(publish(harness)),
        campaign.insert(publish(harness, has_test=True)),
        campaign.insert("no id"),
    )
    campaign.change("start")
    harness.run()
    before = campaign.items()
    campaign.bff("UPDATE application_queue SET status = 'pending', payload = '{\"again\": 1}'")
    assert harness.sweep().taken_up == 2
    assert campaign.items()[sent] == ("submitted", None)
    assert campaign.items()[handed_off] == ("ready", None)
    assert campaign.items()[bad] == before[bad] == ("failed", "bad_arguments")
    harness.run()
    assert campaign.items() == before
    assert len(harness.posted()) == 1


# ── the limits, and how long it takes ────────────────────────────────────────────────────────────


def test_campaign_completes_at_estimated_time(harness, campaign):
    harness.submit(publish(harness))
    harness.run()
    campaign.insert_many(25)
    started = campaign.change("start")
    assert campaign.count_statuses() == {"ready": 19, "rate_limited": 6}
    waits = sorted(row.due_at for row in campaign.rows().values())[-6:]
    assert started.estimated_completion == waits[-1]
    harness.run()
    assert campaign.count_statuses() == {"submitted": 19, "rate_limited": 6}
    now = harness.world.now()
    estimate = campaign.progress().estimated_completion
    assert abs(estimate - started.estimated_completion) < timedelta(seconds=1)
    assert waits[-1] - now == pytest.approx(timedelta(minutes=45), abs=timedelta(minutes=1))
    harness.world.sandbox.advance((estimate - now).total_seconds() - 60)
    harness.run()
    assert campaign.count_statuses() == {"submitted": 24, "rate_limited": 1}
    harness.world.sandbox.advance(61)
    harness.run()
    assert campaign.count_statuses() == {"submitted": 25}


def test_second_campaign_is_scheduled_after_first(harness, campaign, database_url):
    campaign.insert_many(22)
    first = campaign.change("start")
    later = Campaign(harness, database_url)
    later.insert_many(2)
    second = later.change("start")
    assert later.count_statuses() == {"rate_limited": 2}
    last = max(row.due_at for row in campaign.rows().values())
    assert min(row.due_at for row in later.rows().values()) > last
    wait = second.estimated_completion - first.estimated_completion
    assert wait == pytest.approx(timedelta(minutes=15), abs=timedelta(seconds=5))
    # The times that the first no longer needs go to the second; resumed, it is scheduled after it.
    campaign.change("pause")
    harness.run()
    assert later.count_statuses() == {"submitted": 2}
    campaign.change("resume")
    harness.run()
    assert campaign.count_statuses() == {"submitted": 18, "rate_limited": 4}


@pytest.mark.parametrize("by", ["cancel", "pause", "deletion"])
def test_freed_places_in_schedule_are_reused(harness, campaign, database_url, by):
    for _ in range(20):
        token_bucket.acquire(
            "submit", harness.account_id, spend_id=str(uuid4()), now=harness.world.now()
        )
    items = campaign.insert_many(3)
    campaign.change("start")
    later = Campaign(harness, database_url)
    (item,) = later.insert_many(1)
    later.change("start")
    assert later.rows()[item].due_at > max(row.due_at for row in campaign.rows().values())
    first = min(row.due_at for row in campaign.rows().values())
    if by == "deletion":
        for item_id in items:
            campaign.bff(BFF_DELETE, item_id)
        harness.sweep()
    else:
        campaign.change(by)
    assert abs(later.rows()[item].due_at - first) < timedelta(seconds=1)
    ((until, shown),) = campaign.bff(
        "SELECT a.rate_limited_until, q.next_run_at FROM application_ledger l"
        " JOIN applications a ON a.id = l.application_id"
        " JOIN application_queue q ON q.id = l.queue_item_id WHERE q.id = %s",
        item,
    )
    assert until == shown
    assert abs(until - first.replace(tzinfo=None)) <= timedelta(seconds=2)


def test_daily_limit_is_part_of_the_estimate(harness, campaign, monkeypatch):
    monkeypatch.setenv("RATE_LIMIT_SUBMIT_CAPACITY", "1000")
    monkeypatch.setattr(daily_limit, "DAY_LIMIT", 5)
    campaign.insert_many(7)
    started = campaign.change("start")
    wait = started.estimated_completion - harness.world.now()
    assert wait == pytest.approx(daily_limit.DAY, abs=timedelta(minutes=1))
    harness.run()
    assert campaign.count_statuses() == {"submitted": 5, "rate_limited": 2}


def test_single_application_precedes_campaign(harness, campaign):
    campaign.insert_many(24)
    campaign.change("start")
    harness.run()
    assert campaign.count_statuses() == {"submitted": 20, "rate_limited": 4}
    single = [harness.submit(publish(harness)) for _ in range(2)]
    estimate = campaign.progress().estimated_completion
    sent = []
    for _ in range(6):
        harness.world.sandbox.advance(451)
        harness.run()
        states = [harness.row(application).state for application in single]
        sent.append((states.count("submitted"), campaign.count_statuses().get("submitted", 0)))
    assert sent == [(1, 20), (2, 20), (2, 21), (2, 22), (2, 23), (2, 24)]
    assert abs(estimate - harness.world.now()) < timedelta(seconds=60)


# ── pause, resume, cancel ────────────────────────────────────────────────────────────────────────


def test_paused_campaign_sends_nothing_until_resumed(harness, campaign):
    campaign.insert_many(22)
    campaign.change("start")
    paused = campaign.change("pause")
    assert (paused.status, paused.estimated_completion) == ("paused", None)
    before = {item: (row.state, row.due_at) for item, row in campaign.rows().items()}
    late = campaign.insert(publish(harness))
    harness.run()
    harness.world.sandbox.advance(3600)
    assert (harness.sweep().rung, harness.sweep().taken_up) == (0, 0)
    harness.run()
    assert harness.posted() == []
    assert {item: (row.state, row.due_at) for item, row in campaign.rows().items()} == before
    assert campaign.items()[late] == ("pending", None)
    # A single application has all of the tokens.
    single = harness.submit(publish(harness))
    harness.run()
    assert harness.row(single).state == "submitted"
    assert campaign.change("start").status == "paused"
    assert campaign.change("resume").status == "running"
    harness.run()
    assert campaign.count_statuses() == {"submitted": 19, "rate_limited": 4}


def test_pause_does_not_expire_applications(harness, campaign):
    campaign.insert_many(2)
    campaign.change("start")
    campaign.change("pause")
    harness.world.sandbox.advance((ledger.APPLICATION_TTL + timedelta(days=1)).total_seconds())
    harness.world.connect(ANNA, harness.account_id)
    harness.sweep()
    campaign.change("resume")
    harness.run()
    assert campaign.count_statuses() == {"submitted": 2}


def test_pause_during_preparation_stops_the_attempt(harness, campaign):
    campaign.insert_many(1)
    campaign.change("start")
    resumes = harness.hh.resumes

    def pause_concurrently(token):
        campaign.change("pause")
        return resumes(token)

    harness.hh.resumes = pause_concurrently
    harness.run()
    assert harness.posted() == []
    harness.hh.resumes = resumes
    campaign.change("resume")
    harness.world.sandbox.advance(120)
    harness.run()
    assert len(harness.posted()) == 1
    assert campaign.count_statuses() == {"submitted": 1}
    assert tokens(harness) == 19, "the attempt that was stopped cost no token of its own"


def test_sent_application_of_paused_campaign_is_settled(harness, campaign):
    campaign.insert_many(1)
    campaign.change("start")
    harness.world.sandbox.fault("lost", path="/negotiations", method="POST", times=1)
    harness.run()
    campaign.change("pause")
    for _ in range(4):
        harness.world.sandbox.advance(61)
        harness.sweep()
        harness.run()
    assert campaign.count_statuses() == {"submitted": 1}


def test_cancelled_campaign_cancels_unsent_items(harness, campaign):
    campaign.insert_many(22)
    handed_off = campaign.insert(publish(harness, has_test=True))
    campaign.change("start")
    harness.run()
    pending = campaign.insert(publish(harness))
    cancelled = campaign.change("cancel")
    assert (cancelled.status, cancelled.pending_count) == ("cancelled", 0)
    assert campaign.count_statuses() == {"failed": 24 - 20, "submitted": 20}
    shown = ("failed", "campaign_cancelled")
    assert campaign.items()[pending] == campaign.items()[handed_off] == shown
    assert (campaign.progress().cancelled, campaign.progress().failed) == (4, 0)
    late = campaign.insert(publish(harness))
    harness.world.sandbox.advance(3600)
    harness.sweep()
    harness.run()
    assert campaign.items()[late] == shown
    assert len(harness.posted()) == 20
    for command in ("start", "pause", "resume"):
        with pytest.raises(Conflict):
            campaign.change(command)
    assert campaign.change("cancel").status == "cancelled"


def test_sweeper_completes_interrupted_cancellation(harness, campaign):
    campaign.insert_many(3)
    campaign.change("start")
    harness.connection.execute("UPDATE campaigns SET state = 'cancelled'")
    harness.run()
    assert harness.posted() == []
    assert tokens(harness) == 20
    assert harness.sweep().cancelled == 3
    assert campaign.count_statuses() == {"failed": 3}


def test_deleted_item_is_not_sent(harness, campaign):
    deleted, kept = campaign.insert_many(2)
    campaign.change("start")
    ledger_id = campaign.rows()[deleted].id
    campaign.bff(BFF_DELETE, deleted)
    harness.run()
    assert len(harness.posted()) == 1, "also before the sweeper runs"
    assert tokens(harness) == 19
    assert harness.sweep().cancelled == 1
    row = ledger.read(ledger_id, connection=harness.connection)
    assert (row.state, row.reason) == ("cancelled", "removed_from_queue")
    assert campaign.items() == {kept: ("submitted", None)}
    campaign.bff(BFF_DELETE, kept)
    assert harness.sweep().cancelled == 0, "what was sent stays"


def test_cancelled_application_can_be_requested_again(harness, campaign, database_url):
    vacancies = [publish(harness) for _ in range(3)]
    items = [campaign.insert(vacancy) for vacancy in vacancies]
    campaign.change("start")
    rows = campaign.rows()
    campaign.change("cancel")
    # in another campaign, by a retry of its person, by the BFF's retry
    again = Campaign(harness, database_url)
    item = again.insert(vacancies[0], payload={"cover_letter": "Снова здравствуйте"})
    again.change("start")
    application_commands.retry(
        str(rows[items[1]].id),
        application_commands.RetryBody(),
        person=harness.person,
        caller=CALLER,
        connection=harness.connection,
        now=harness.world.now(),
    )
    campaign.bff(
        "UPDATE applications SET status='pending', error_message=NULL, submitted_at=NULL"
        " WHERE job_external_id = %s",
        vacancies[2],
    )
    harness.sweep()
    harness.run()
    assert {entry["vacancy_id"] for entry in harness.posted()} == set(vacancies)
    assert again.items() == {item: ("submitted", None)}
    assert again.rows()[item].letter == "Снова здравствуйте"
    assert campaign.count_statuses() == {"failed": 3}


# ── ownership, and adding ────────────────────────────────────────────────────────────────────────


def test_campaign_of_another_account_is_not_found(harness, campaign):
    other = other_harness(harness)
    campaign.insert_many(1)
    for known in (False, True):
        if known:
            campaign.change("start")
        for command in ("start", "pause", "resume", "cancel"):
            with pytest.raises(NotFound):
                campaign.change(command, person=other.person)
        with pytest.raises(NotFound):
            campaign.progress(person=other.person)
        context = {"connection": harness.connection, "now": harness.world.now()}
        with pytest.raises(NotFound):
            commands.count_jobs(
                CustomizeBody(workflow_id=campaign.id, job_count=9), person=other.person, **context
            )
        body = AddBody(workflow_id=campaign.id, jobs=[{"job_external_id": "1"}])
        with pytest.raises(NotFound):
            commands.add_jobs(body, person=other.person, caller=CALLER, **context)
    assert len(campaign.bff("SELECT 1 FROM application_queue")) == 1
    assert campaign.bff("SELECT account_id, state FROM campaigns") == [
        (harness.account_id, "running")
    ]


def test_two_sessions_share_one_campaign(harness, campaign):
    (item,) = campaign.insert_many(1)
    campaign.change("start")
    second = second_session(harness)
    other = campaign.insert(publish(harness), user_id=second)
    harness.user_id = second
    assert campaign.change("start").pending_count == 2
    harness.run()
    rows = campaign.bff("SELECT id, status FROM application_queue")
    assert dict(rows) == dict.fromkeys((item, other), "submitted")


def test_unconnected_user_has_no_campaign(harness, campaign):
    campaign.insert_many(1)
    harness.connection.execute("UPDATE users SET account_id = NULL")
    with pytest.raises(NotFound):
        campaign.change("start")
    body = CustomizeBody(workflow_id=uuid4(), job_count=1)
    context = {"connection": harness.connection, "now": harness.world.now()}
    with pytest.raises(NeedsPerson):
        commands.count_jobs(body, person=harness.person, **context)


def test_vacancy_is_added_once_in_either_form(harness, campaign):
    first, second = publish(harness), publish(harness)
    jobs = [{"job_external_id": first, "coverLetter": "Здравствуйте"}, {"jobExternalId": second}]
    added = campaign.add(workflowId=str(campaign.id), jobs=jobs)
    assert (added.queued_count, added.queuedCount, added.status) == (2, 2, "created")
    assert campaign.add(workflowId=str(campaign.id), jobs=jobs).queued_count == 0
    single = publish(harness)
    assert campaign.add(workflow_id=campaign.id, job_external_id=single).queued_count == 1
    campaign.change("start")
    harness.run()
    assert campaign.count_statuses() == {"submitted": 3}
    letters = {row.vacancy_id: row.letter for row in campaign.rows().values()}
    assert letters == {first: "Здравствуйте", second: None, single: None}


def test_new_campaign_is_created_once_per_key(harness, campaign):
    jobs = [{"job_external_id": publish(harness)}]
    without_key = [campaign.add(jobs=jobs).workflow_id for _ in range(2)]
    assert len(set(without_key)) == 2
    keyed = Caller("service", "request-of-a-test", idempotency_key="key-1")
    first, again = (campaign.add(keyed, jobs=jobs) for _ in range(2))
    assert first.workflow_id == again.workflow_id
    assert (first.queued_count, again.queued_count) == (1, 0)


def test_batch_customize_count_is_recorded(harness, campaign):
    campaign.insert_many(1)
    body = CustomizeBody(workflowId=str(campaign.id), userId=str(harness.user_id), jobCount=7)
    context = {
        "person": harness.person,
        "connection": harness.connection,
        "now": harness.world.now(),
    }
    assert commands.count_jobs(body, **context).job_count == 7
    assert campaign.progress().job_count == 7
    assert campaign.progress().status == "created"
    harness.sweep()
    assert campaign.count_statuses() == {"pending": 1}


def test_item_page_names_applications(harness, campaign):
    campaign.insert_many(3)
    campaign.change("start")
    context = {
        "person": harness.person,
        "connection": harness.connection,
        "now": harness.world.now(),
    }
    query = StatusQuery(workflow_id=campaign.id, page=1, per_page=2)
    (item,) = progress.status(query, **context).items
    shown = application_commands.read_application(
        str(item.application_id), person=harness.person, connection=harness.connection
    )
    assert shown.application.job_id == item.job_external_id
    assert progress.status(query, **context).total == 3


def test_item_intake_is_limited_per_sweep(harness, campaign, monkeypatch):
    monkeypatch.setattr(item_intake, "INTAKE_BATCH", 3)
    campaign.insert_many(7)
    estimate = campaign.change("start").estimated_completion
    assert campaign.count_statuses() == {"pending": 4, "ready": 3}
    assert estimate <= harness.world.now()
    assert [harness.sweep().taken_up for _ in range(3)] == [3, 1, 0]
    harness.run()
    assert campaign.count_statuses() == {"submitted": 7}


def test_concurrent_intake_creates_each_application_once(harness, campaign):
    """The second sweep runs in the middle of the first, over a connection of its own."""
    campaign.insert_many(3)
    campaign.change("start")
    campaign.insert_many(3)
    create_application = item_intake._create_application
    created_concurrently = []

    def interrupted(*arguments):
        if not created_concurrently:
            created_concurrently.append(None)
            with psycopg.connect(campaign.url, autocommit=True, row_factory=dict_row) as own:
                created_concurrently[0] = item_intake.sweep(
                    caller=CALLER, connection=own, now=harness.world.now()
                )
        return create_application(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_intake, "_create_application", interrupted)
        assert harness.sweep().taken_up == 1
    assert created_concurrently == [2]
    assert len(campaign.rows()) == 6


def test_campaign_commands_are_audited(harness, campaign):
    campaign.insert_many(1)
    for command in ("start", "start", "pause", "resume", "cancel"):
        campaign.change(command)
    rows = campaign.bff("SELECT action FROM audit_log WHERE action LIKE 'campaign.%%' ORDER BY id")
    assert [action for (action,) in rows] == [
        "campaign.start",
        "campaign.pause",
        "campaign.resume",
        "campaign.cancel",
    ]
