"""Campaigns while processes are killed after each of their effects, and requests and wake-ups come
twice, at once or never: each item is applied to once, none is lost, and the counts are right."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.harness.apply_invariants import calls_made, check_invariants, tokens_spent
from tests.harness.applying import publish, receive_wake_ups
from tests.harness.campaigns import Campaign, tokens
from tests.harness.killing import http_request, sqs_message
from ullgetthejob.applications import submitter

START, ADD, CHANGE = (
    "POST /api/queue/start-workflow",
    "POST /api/queue/add",
    "POST /api/queue/{act}",
)
ITEMS = 2
MOST_ROUNDS = 40


@pytest.fixture
def campaign(harness, database_url):
    return Campaign(harness, database_url)


@pytest.fixture
def new_campaign(harness, database_url):
    """Return a function that makes another campaign."""

    def make(items=ITEMS):
        made = Campaign(harness, database_url)
        made.insert_many(items)
        return made

    return make


def body_of(campaign, **fields):
    ids = {"workflow_id": str(campaign.id), "user_id": str(campaign.harness.user_id)}
    return {**ids, **fields}


def start(campaign):
    return http_request("queue", START, body_of(campaign))


def change(campaign, act):
    return http_request("queue", CHANGE, body_of(campaign), act=act)


def state_of(campaign):
    found = campaign.bff("SELECT state FROM campaigns WHERE workflow_id = %s", campaign.id)
    return found[0][0] if found else None


def events_of(campaign, state):
    """Return how many events tell that an application of the campaign came into *state*."""
    ids = [str(row.id) for row in campaign.rows().values()]
    sql = "SELECT data->>'application_id' FROM events WHERE data->>'state' = %s"
    return sum(application_id in ids for (application_id,) in campaign.bff(sql, state))


def finish(harness):
    """Sweep and submit until nothing is left."""
    for _ in range(MOST_ROUNDS):
        swept = harness.sweep()
        if not swept.notified and not swept.created:
            return
        harness.run()
        harness.world.sandbox.advance(31)
    raise AssertionError("work is left after the last round")


def check_applied_once(harness, campaigns):
    """Check that hh.ru has each item of *campaigns* once, and that nothing else was spent."""
    for campaign in campaigns:
        progress = campaign.progress()
        total = len(campaign.items())
        assert (progress.total, progress.submitted, progress.waiting) == (total, total, 0)
        assert progress.status == "completed"
        assert len(campaign.rows()) == total
    applied = [entry["vacancy_id"] for entry in harness.posted(outcome="accepted")]
    assert len(applied) == len(set(applied)) == sum(len(each.items()) for each in campaigns)
    check_invariants(
        harness.account_id,
        harness.name,
        sandbox=harness.world.sandbox,
        connection=harness.connection,
    )
    made = calls_made(harness.account_id, connection=harness.connection)
    assert made == tokens_spent(harness.account_id) == len(applied)


# ── killed ───────────────────────────────────────────────────────────────────────────────────────


def test_start_killed_after_any_effect_applies_each_item_once(harness, functions, new_campaign):
    """The BFF repeats what had no effect; the sweeper does the rest."""
    campaigns = []

    def start_another():
        campaigns.append(new_campaign())
        return start(campaigns[-1])

    effects = list(functions.kill_after_each(start_another))
    assert (effects[0], effects[-1].split()[0]) == ("INSERT INTO campaigns", "SendMessage")
    assert len([effect for effect in effects if "application_ledger" in effect]) == ITEMS
    receive_wake_ups()  # these are lost
    for campaign in campaigns:
        if state_of(campaign) != "running":
            functions.call(start(campaign))
    finish(harness)
    check_applied_once(harness, campaigns)


def test_submitter_killed_after_any_effect_applies_items_once(harness, functions, campaign):
    """Each process goes on where the one before was killed."""
    campaign.insert_many(ITEMS)
    campaign.change("start")
    wake_up, effects = sqs_message("applier", account_id=str(harness.account_id)), []
    for effect in functions.kill_after_each(lambda: wake_up):
        effects.append(effect)
        harness.world.sandbox.advance(submitter.LEASE_S + 1)
    finish(harness)
    assert "POST /negotiations" in effects
    assert campaign.count_statuses() == {"submitted": ITEMS}
    applied = [entry["vacancy_id"] for entry in harness.posted(outcome="accepted")]
    assert len(applied) == len(set(applied)) == ITEMS
    assert campaign.progress().completed == ITEMS
    check_invariants(
        harness.account_id,
        harness.name,
        sandbox=harness.world.sandbox,
        connection=harness.connection,
    )


def test_cancel_killed_after_any_effect_sends_nothing(harness, functions, new_campaign):
    campaigns = []

    def cancel_another():
        campaigns.append(new_campaign())
        campaigns[-1].change("start")
        return change(campaigns[-1], "cancel")

    for _ in functions.kill_after_each(cancel_another):
        harness.run()
        assert harness.posted() == [], "also before the sweeper runs"
        assert state_of(campaigns[-1]) == "cancelled"
    harness.sweep()
    for campaign in campaigns:
        assert campaign.count_statuses() == {"failed": ITEMS}
        assert {row.state for row in campaign.rows().values()} == {"cancelled"}
        assert events_of(campaign, "cancelled") == ITEMS
    finish(harness)
    assert (harness.posted(), tokens(harness)) == ([], 20)
    assert len(campaigns) >= ITEMS + 2


@pytest.mark.parametrize("act", ["pause", "resume"])
def test_pause_and_resume_killed_after_any_effect_are_whole(harness, functions, new_campaign, act):
    campaigns = []

    def change_another():
        campaigns.append(new_campaign(1))
        campaigns[-1].change("start")
        if act == "resume":
            campaigns[-1].change("pause")
            campaigns[-1].insert(publish(harness))
        return change(campaigns[-1], act)

    list(functions.kill_after_each(change_another))
    receive_wake_ups()
    assert {state_of(campaign) for campaign in campaigns} <= {"running", "paused"}
    for campaign in campaigns:
        campaign.change("resume")
    finish(harness)
    check_applied_once(harness, campaigns)


def test_addition_killed_after_any_effect_is_made_once(harness, functions, campaign):
    vacancies = [publish(harness) for _ in range(ITEMS)]
    jobs = [{"job_external_id": vacancy} for vacancy in vacancies]
    user = {"user_id": str(harness.user_id)}
    key = {"idempotency-key": str(uuid4())}
    add = http_request("queue", ADD, {**user, "jobs": jobs}, headers=key)
    effects = list(functions.kill_after_each(lambda: add))
    functions.call(add, add)
    assert len(effects) == 1, "all of it, or nothing"
    rows = campaign.bff("SELECT workflow_id, job_external_id FROM application_queue")
    assert sorted(vacancy for _, vacancy in rows) == sorted(vacancies)
    ((campaign.id,),) = campaign.bff("SELECT workflow_id FROM campaigns")
    functions.call(start(campaign))
    finish(harness)
    check_applied_once(harness, [campaign])


# ── twice, at once ───────────────────────────────────────────────────────────────────────────────


def test_starts_and_wake_ups_at_once_apply_each_item_once(harness, functions, campaign):
    campaign.insert_many(6)
    functions.call(*[start(campaign)] * 3)
    wake_up = sqs_message("applier", account_id=str(harness.account_id))
    functions.call(wake_up, wake_up, start(campaign))
    functions.call(wake_up)
    finish(harness)
    check_applied_once(harness, [campaign])
    assert events_of(campaign, "submitted") == 6


def test_sweeps_at_once_take_up_each_item_once(harness, functions, campaign):
    campaign.insert_many(1)
    campaign.change("start")
    campaign.insert_many(5)
    functions.call(*["sweeper {}"] * 3)
    assert len(campaign.rows()) == 6
    finish(harness)
    check_applied_once(harness, [campaign])


def test_cancels_at_once_cancel_each_item_once(harness, functions, campaign):
    campaign.insert_many(6)
    campaign.change("start")
    functions.call(change(campaign, "cancel"), change(campaign, "cancel"), "sweeper {}")
    finish(harness)
    assert campaign.count_statuses() == {"failed": 6}
    assert events_of(campaign, "cancelled") == 6
    assert harness.posted() == []
