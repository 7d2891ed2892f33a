"""Campaigns on the real sandbox: from the BFF's rows to hh.ru, and the limits."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from tests.harness.applying import publish
from tests.harness.campaigns import BFF_DELETE, Campaign, other_harness
from ullgetthejob.applications import application_states, ledger, projection
from ullgetthejob.rate_limits import daily_limit, token_bucket


@pytest.fixture
def campaign(harness, database_url):
    return Campaign(harness, database_url)


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
    assert harness.sweep().created == 1
    assert harness.sweep().created == 0
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
    assert (harness.sweep().created, harness.sweep().created) == (1, 0)
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
    assert harness.sweep().created == 2
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


TOKEN_S = 450  # hh.ru's limits as Core keeps them: eight tokens an hour


def spend_tokens(harness, *, left):
    for number in range(20 - left):
        token_bucket.acquire(
            "submit", harness.account_id, spend_id=f"spent-{number}", now=harness.world.now()
        )


def intervals_until_due(campaign, items, start):
    """Return in which of a token's intervals after *start* the applications of items come due."""
    rows = campaign.rows()
    return [round((rows[item].due_at - start).total_seconds() / TOKEN_S) for item in items]


def test_items_that_fail_leave_their_times_to_others(harness, campaign):
    spend_tokens(harness, left=1)
    start = harness.world.now()
    items = []
    for _ in range(3):
        items.append(campaign.insert(publish(harness)))
        campaign.insert("not-an-id")
    campaign.change("start")
    assert sorted(intervals_until_due(campaign, items, start)) == [0, 1, 2]


def test_application_handed_off_leaves_its_time_to_others(harness, campaign):
    spend_tokens(harness, left=1)
    start = harness.world.now()
    items = [
        campaign.insert(publish(harness, has_test=number == 1, test_required=number == 1))
        for number in range(5)
    ]
    for number, item in enumerate(items):  # of one second, they have no order
        campaign.bff(
            "UPDATE application_queue SET created_at = created_at + make_interval(secs => %s)"
            " WHERE id = %s",
            number,
            item,
        )
    campaign.change("start")
    assert intervals_until_due(campaign, items, start) == [0, 1, 2, 3, 4]
    harness.run()
    harness.world.sandbox.advance(TOKEN_S + 1)
    harness.run()
    assert campaign.count_statuses() == {"failed": 1, "rate_limited": 2, "submitted": 2}
    assert intervals_until_due(campaign, items[3:], start) == [2, 3]


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
