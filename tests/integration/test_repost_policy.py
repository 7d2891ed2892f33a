"""A repost of a job that was applied to: skipped, asked about, or sent, as its person says."""

from __future__ import annotations

import pytest

from tests.harness.applying import publish
from tests.harness.campaigns import Campaign
from tests.harness.filtering import DAYTIME, PIER, FilteringHarness
from ullgetthejob.applications import acceptance, commands
from ullgetthejob.applications.campaigns import item_intake
from ullgetthejob.applications.models import RetryBody
from ullgetthejob.applications.submission import SubmitBody
from ullgetthejob.platform.errors import Conflict

WANTED = {
    "skip": ("refused", "filtered_repost"),
    "ask": ("needs_person", "repost"),
    "allow": ("submitted", None),
}


@pytest.fixture
def harness(quiet_world):
    return FilteringHarness(quiet_world)


def postings(harness, number=2):
    """Publish and store postings of one job; return their ids, that of the original first."""
    first, *others = (publish(harness, employer=PIER, duties=DAYTIME) for _ in range(number))
    for vacancy_id in (first, *others):
        harness.store(vacancy_id)
    harness.connection.execute("UPDATE jobs SET repost_of = NULL")
    harness.connection.execute(
        "UPDATE jobs SET repost_of = %s WHERE external_id = ANY(%s)", (first, others)
    )
    return first, *others


def apply(harness, vacancy_id, **fields):
    accepted = harness.submit(vacancy_id, **fields)
    harness.run()
    return accepted


def retry(harness, accepted, **body):
    answer = commands.retry(
        str(accepted.application_id), RetryBody(**body), harness.person, harness.context
    )
    harness.run()
    return answer.application


def read(harness, accepted):
    application_id = str(accepted.application_id)
    return commands.read_application(application_id, harness.person, harness.context).application


@pytest.mark.parametrize("own", [None, "skip", "ask", "allow"])
@pytest.mark.parametrize("rules", [None, "skip", "ask", "allow"])
def test_policy_of_application_precedes_that_of_rules(harness, rules, own):
    original, repost = postings(harness)
    if rules is not None:
        harness.put(repost=rules)
    assert harness.state(apply(harness, original)) == ("submitted", None)
    tokens = harness.tokens()
    accepted = apply(harness, repost, repost=own)
    wanted = own or rules or "ask"
    assert harness.state(accepted) == WANTED[wanted]
    assert len(harness.posted()) == (2 if wanted == "allow" else 1)
    assert (harness.tokens() < tokens - 0.5) == (wanted == "allow")


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1, 2)])
def test_any_posting_of_the_job_counts(harness, order):
    ids = postings(harness, 3)
    first, second = (ids[place] for place in order)
    applied = apply(harness, first)
    asked = apply(harness, second)
    assert harness.state(asked) == WANTED["ask"]
    shown = read(harness, asked)
    assert (shown.applied_posting.job_id, shown.applied_posting.application_id) == (
        first,
        applied.application_id,
    )
    assert second in shown.link
    assert read(harness, applied).applied_posting is None


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        ("submitted", "ask"),
        ("uncertain", "ask"),
        ("handoff", "allow"),
        ("needs_person", "allow"),
        ("refused", "allow"),
        ("cancelled", "allow"),
        ("expired", "allow"),
        ("waiting_quota", "allow"),
    ],
)
def test_only_what_hh_may_have_counts(harness, state, wanted):
    original, repost = postings(harness)
    first = harness.submit(original)
    harness.connection.execute(
        "UPDATE application_ledger SET state = %s, due_at = NULL WHERE id = %s",
        (state, first.application_id),
    )
    due = harness.submit(repost)
    harness.connection.execute(
        "UPDATE application_ledger SET due_at = NULL WHERE id = %s", (first.application_id,)
    )
    harness.run()
    assert harness.state(due) == WANTED[wanted]


def test_application_of_another_person_does_not_count(harness):
    original, repost = postings(harness)
    timur = FilteringHarness(harness.world, "timur")
    apply(timur, original)
    assert harness.state(apply(harness, repost)) == ("submitted", None)


def test_retry_is_the_yes_to_the_question(harness):
    original, repost = postings(harness)
    apply(harness, original)
    asked = apply(harness, repost)
    assert harness.submit(repost).application_id == asked.application_id
    assert harness.state(asked) == WANTED["ask"], "a repeated request is no yes"
    assert retry(harness, asked).repost == "allow"
    assert harness.state(asked) == ("submitted", None)
    assert len(harness.posted()) == 2


def test_pending_written_by_the_bff_is_no_yes(harness):
    original, repost = postings(harness)
    apply(harness, original)
    asked = apply(harness, repost)
    harness.connection.execute(
        "UPDATE applications SET status = 'pending' WHERE job_external_id = %s", (repost,)
    )
    assert harness.sweep().retried == 1
    harness.run()
    assert harness.state(asked) == WANTED["ask"]
    assert len(harness.posted()) == 1


def test_retry_of_skipped_repost_needs_an_explicit_yes(harness):
    original, repost = postings(harness)
    harness.put(repost="skip")
    apply(harness, original)
    skipped = apply(harness, repost)
    retry(harness, skipped)
    assert harness.state(skipped) == WANTED["skip"]
    retry(harness, skipped, repost="allow")
    assert harness.state(skipped) == ("submitted", None)


def test_yes_overrides_no_other_rule(harness):
    original, repost = postings(harness)
    apply(harness, original)
    asked = apply(harness, repost)
    harness.put(title_words=["разработчик"])
    retry(harness, asked)
    assert harness.state(asked) == ("refused", "filtered_title")
    harness.put()
    retry(harness, asked)
    assert harness.state(asked) == ("submitted", None), "the yes is kept"


def test_asked_person_confirms_or_cancels(harness):
    ids = postings(harness, 3)
    apply(harness, ids[0])
    asked = [apply(harness, vacancy_id) for vacancy_id in ids[1:]]
    for command, accepted in zip((commands.confirm, commands.cancel), asked, strict=True):
        command(str(accepted.application_id), harness.person, harness.context)
    assert [harness.row(accepted).state for accepted in asked] == ["submitted", "cancelled"]
    assert len(harness.posted()) == 1


def test_policy_of_waiting_application_is_set_by_retry(harness):
    original, repost = postings(harness)
    apply(harness, original)
    waiting = harness.submit(repost)
    assert retry(harness, waiting, repost="skip").state == "queued"
    assert harness.state(waiting) == WANTED["skip"]


def test_key_with_another_policy_is_a_conflict(harness):
    vacancy = publish(harness)
    person, context = harness.person, harness.context

    def accept(**fields):
        body = SubmitBody(job_external_id=vacancy, idempotency_key="k", **fields)
        return acceptance.accept(body, person, context)

    first = accept(repost="skip")
    assert accept(repost="skip").application_id == first.application_id
    with pytest.raises(Conflict):
        accept(repost="allow")


# ── campaigns ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("campaign_policy", "own", "wanted"),
    [
        (None, None, "ask"),
        ("skip", None, "skip"),
        ("allow", None, "allow"),
        ("allow", "skip", "skip"),
        (None, "allow", "allow"),
    ],
)
def test_campaign_and_its_items_have_policies(harness, database_url, campaign_policy, own, wanted):
    original, repost = postings(harness)
    campaign = Campaign(harness, database_url)
    campaign.add(workflow_id=campaign.id, jobs=[{"job_external_id": original}])
    campaign.change("start")
    harness.run()
    jobs = [{"job_external_id": repost, "repost": own}]
    campaign.add(workflow_id=campaign.id, jobs=jobs, repost=campaign_policy)
    item_intake.sweep(harness.context)
    harness.run()
    states = {row.vacancy_id: (row.state, row.reason) for row in campaign.rows().values()}
    assert states == {original: ("submitted", None), repost: WANTED[wanted]}
    found = campaign.progress()
    assert (found.submitted, found.needs_person) == (1 + (wanted == "allow"), wanted == "ask")
    assert found.waiting == 0


def test_bad_policy_of_an_item_fails_the_item_alone(harness, database_url):
    campaign = Campaign(harness, database_url)
    bad = campaign.insert(publish(harness), payload={"repost": "never"})
    good = campaign.insert(publish(harness))
    campaign.change("start")
    harness.run()
    assert campaign.items()[bad] == ("failed", "bad_arguments")
    assert campaign.items()[good][0] == "submitted"


def test_item_set_to_pending_asks_again_until_a_yes(harness, database_url):
    original, repost = postings(harness)
    campaign = Campaign(harness, database_url)
    for vacancy_id in (original, repost):
        campaign.insert(vacancy_id)
    campaign.change("start")
    harness.run()
    assert campaign.count_statuses() == {"failed": 1, "submitted": 1}
    [item] = [id for id, (status, _) in campaign.items().items() if status == "failed"]
    assert campaign.items()[item][1].startswith("repost: https://")
    campaign.bff("UPDATE application_queue SET status = 'pending' WHERE id = %s", item)
    item_intake.sweep(harness.context)
    harness.run()
    row = campaign.rows()[item]
    assert (row.state, row.reason) == WANTED["ask"]
    commands.retry(str(row.id), RetryBody(), harness.person, harness.context)
    harness.run()
    assert campaign.items()[item] == ("submitted", None)
    assert len(harness.posted()) == 2


# ── preview ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("policy", "verdict"), [("skip", "drop"), ("ask", "unknown"), ("allow", "keep")]
)
def test_preview_agrees_with_applications_to_postings(harness, policy, verdict):
    ids = postings(harness, 3)
    harness.put(repost=policy)
    shown = harness.preview(job_ids=list(ids))
    assert [job.verdict for job in shown.jobs] == ["keep", verdict, verdict]
    found = [finding.because for job in shown.jobs for finding in job.findings]
    assert found == ([] if policy == "allow" else [ids[0]] * 2)
    accepted = [apply(harness, vacancy_id) for vacancy_id in ids]
    assert [harness.state(each) for each in accepted] == [
        ("submitted", None),
        *[WANTED[policy]] * 2,
    ]
    later = harness.preview(job_ids=[ids[1]]).jobs[0]
    assert later.verdict == ("keep" if policy == "allow" else verdict)
