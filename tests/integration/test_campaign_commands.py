"""Commands of campaigns on the real sandbox: pause, resume, cancel; ownership, and adding."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.harness.applying import ANNA, publish, second_session
from tests.harness.campaigns import BFF_DELETE, Campaign, other_harness, tokens
from tests.harness.context import make_context
from ullgetthejob.applications import commands as application_commands
from ullgetthejob.applications import ledger
from ullgetthejob.applications.campaigns import commands, item_intake, progress
from ullgetthejob.applications.campaigns.models import (
    AddBody,
    CustomizeBody,
    StatusQuery,
)
from ullgetthejob.applications.models import RetryBody
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.errors import Conflict, NeedsPerson, NotFound


@pytest.fixture
def campaign(harness, database_url):
    return Campaign(harness, database_url)


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
    assert (harness.sweep().notified, harness.sweep().created) == (0, 0)
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
        RetryBody(),
        harness.person,
        harness.context,
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
        counted = CustomizeBody(workflow_id=campaign.id, job_count=9)
        with pytest.raises(NotFound):
            commands.count_jobs(counted, other.person, harness.context)
        body = AddBody(workflow_id=campaign.id, jobs=[{"job_external_id": "1"}])
        with pytest.raises(NotFound):
            commands.add_jobs(body, other.person, harness.context)
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
    with pytest.raises(NeedsPerson):
        commands.count_jobs(body, harness.person, harness.context)


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
    assert commands.count_jobs(body, harness.person, harness.context).job_count == 7
    assert campaign.progress().job_count == 7
    assert campaign.progress().status == "created"
    harness.sweep()
    assert campaign.count_statuses() == {"pending": 1}


def test_item_page_names_applications(harness, campaign):
    campaign.insert_many(3)
    campaign.change("start")
    query = StatusQuery(workflow_id=campaign.id, page=1, per_page=2)
    (item,) = progress.status(query, harness.person, harness.context).items
    shown = application_commands.read_application(
        str(item.application_id), harness.person, harness.context
    )
    assert shown.application.job_id == item.job_external_id
    assert progress.status(query, harness.person, harness.context).total == 3


def test_item_intake_is_limited_per_sweep(harness, campaign, monkeypatch):
    monkeypatch.setattr(item_intake, "INTAKE_BATCH", 3)
    campaign.insert_many(7)
    estimate = campaign.change("start").estimated_completion
    assert campaign.count_statuses() == {"pending": 4, "ready": 3}
    assert estimate <= harness.world.now()
    assert [harness.sweep().created for _ in range(3)] == [3, 1, 0]
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
                created_concurrently[0] = item_intake.sweep(make_context(own, harness.world.now))
        return create_application(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_intake, "_create_application", interrupted)
        assert harness.sweep().created == 1
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
