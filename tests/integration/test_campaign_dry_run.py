"""What a campaign's dry run says of each vacancy, and what really comes of the items afterwards."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.harness.applying import harness, publish
from tests.harness.filtering import DAYTIME, PIER
from ullgetthejob.applications.campaigns import commands, dry_run
from ullgetthejob.applications.campaigns.models import AddBody, StartBody, WorkflowBody
from ullgetthejob.filters import commands as filters
from ullgetthejob.filters.models import FiltersBody
from ullgetthejob.platform.errors import NotFound
from ullgetthejob.rate_limits import token_bucket
from ullgetthejob.vacancies import store

__all__ = ["harness"]

WRITTEN = """
    SELECT (SELECT count(*) FROM application_ledger) AS applications,
           (SELECT count(*) FROM application_queue) AS items,
           (SELECT count(*) FROM campaigns) AS campaigns,
           (SELECT count(*) FROM events) AS events, (SELECT count(*) FROM audit_log) AS audited
"""


def kept(harness, **fields):
    vacancy_id = publish(harness, **fields)
    detail = harness.hh.vacancy(vacancy_id)
    store.store_detail(detail, connection=harness.connection, now=harness.world.now())
    return vacancy_id


def calls(harness):
    return harness.world.sandbox.control("GET", "/state")["calls"]["by_route"]


def ask(harness, job_ids, **fields):
    jobs = [{"job_external_id": job_id, "cover_letter": "Здравствуйте!"} for job_id in job_ids]
    body = AddBody.model_validate({"jobs": jobs, "dry_run": True, **fields})
    return dry_run.of_jobs(body, harness.person, harness.context)


def add(harness, job_ids):
    jobs = [{"job_external_id": job_id, "cover_letter": "Здравствуйте!"} for job_id in job_ids]
    body = AddBody.model_validate({"jobs": jobs})
    return commands.add_jobs(body, harness.person, harness.context).workflow_id


def by_job(answer):
    return {row.job_id: row for row in answer.rows}


def test_dry_run_writes_nothing_and_tells_what_comes_of_items(harness):
    rules = {"employers": [{"id": PIER["id"]}]}
    filters.replace(FiltersBody.model_validate({"rules": rules}), harness.person, harness.context)
    applied, queued = kept(harness), kept(harness)
    harness.submit(applied)
    harness.run()
    harness.submit(queued)
    for number in range(17):
        token_bucket.acquire(
            "submit", harness.account_id, spend_id=f"spent-{number}", now=harness.world.now()
        )
    plain = [kept(harness, duties=[f"{DAYTIME[0]} {number}" * 9]) for number in range(3)]
    job_ids = [
        *plain, kept(harness, employer=PIER), applied, queued,
        kept(harness, has_test=True, test_required=True), "not-an-id",
    ]  # fmt: skip
    before, asked = harness.connection.execute(WRITTEN).fetchone(), calls(harness)
    answer = ask(harness, job_ids)
    assert harness.connection.execute(WRITTEN).fetchone() == before
    assert calls(harness) == asked
    assert [row.job_id for row in answer.rows] == job_ids
    assert answer.counts == Counter(row.would for row in answer.rows)
    workflow_id = add(harness, job_ids)
    started = StartBody(workflow_id=workflow_id, dry_run=True)
    before_start = answer
    # Items of one request have one priority and time: the queue orders them by their own ids.
    answer = dry_run.of_campaign(started, harness.person, harness.context)
    assert answer.counts == before_start.counts
    assert answer.estimated_completion == before_start.estimated_completion
    commands.start(WorkflowBody(workflow_id=workflow_id), harness.person, harness.context)
    for _ in range(20):
        harness.run()
        harness.world.sandbox.advance(150)
    items = harness.connection.execute(
        "SELECT job_external_id AS id, core_state, last_error FROM application_queue"
    ).fetchall()
    came = {"submitted": ("apply_now", "wait"), "refused": ("refuse",), "handoff": ("handoff",)}
    rows = by_job(answer)
    assert set(rows) == {item["id"] for item in items}
    for item in items:
        row = rows[item["id"]]
        assert row.would in came[item["core_state"]], (item, row)
        if item["core_state"] != "submitted":
            assert item["last_error"].partition(":")[0] == row.reason
    sent = harness.connection.execute(
        "SELECT submitted_at FROM application_ledger"
        " WHERE workflow_id IS NOT NULL AND submitted_at IS NOT NULL ORDER BY submitted_at"
    ).fetchall()
    expected = sorted(row.send_at for row in answer.rows if row.send_at is not None)
    assert any(row.would == "wait" for row in answer.rows)
    for row, send_at in zip(sent, expected, strict=True):
        assert abs(row["submitted_at"] - send_at) < timedelta(minutes=7.5)  # a token takes as long


def test_vacancy_that_is_not_kept_is_unknown(harness):
    answer = ask(harness, [publish(harness)])
    [row] = answer.rows
    assert {gate.name for gate in row.gates if gate.result == "unknown"} == {"vacancy", "resume"}
    assert (row.would, row.is_certain, answer.uncertain) == ("apply_now", False, 1)


def test_vacancy_of_the_campaign_is_not_added_twice(harness):
    job_id = kept(harness)
    workflow_id = add(harness, [job_id])
    answer = ask(harness, [job_id, job_id], workflow_id=str(workflow_id))
    assert [(row.would, row.reason) for row in answer.rows] == [("refuse", "duplicate")] * 2
    twice = ask(harness, [job_id, job_id])
    assert [row.would for row in twice.rows] == ["apply_now", "refuse"]


def test_template_that_does_not_exist_refuses_its_item(harness):
    jobs = [{"job_external_id": kept(harness), "letter_template_id": str(uuid4())}]
    body = AddBody.model_validate({"jobs": jobs, "dry_run": True})
    [row] = dry_run.of_jobs(body, harness.person, harness.context).rows
    assert (row.would, row.reason) == ("refuse", "template_not_found")


def test_campaign_of_another_account_is_not_found(harness):
    workflow_id = add(harness, [kept(harness)])
    harness.connection.execute("UPDATE users SET account_id = NULL")
    other, _ = harness.world.connect("timur")
    harness.connection.execute("UPDATE users SET account_id = %s", [other])
    with pytest.raises(NotFound):
        ask(harness, ["1"], workflow_id=str(workflow_id))
