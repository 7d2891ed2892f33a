"""functions/queue, as the BFF and the original's callers call it."""

import json
from datetime import datetime
from uuid import uuid4

import pytest

from local.settings import REPOSITORY

ADD, COUNT = "POST /api/queue/add", "POST /api/queue/batch-customize"
START, CHANGE = "POST /api/queue/start-workflow", "POST /api/queue/{act}"
STATUS, PROGRESS = "GET /api/queue/status", "GET /api/queue/progress"
TIMES = ("created_at", "next_run_at")


def change(core, command, workflow, user, **options):
    body = {"workflowId": workflow, "userId": user}
    return core.call(CHANGE, body=body, parameters={"act": command}, **options)


def insert(core, workflow, user, vacancy="1"):
    core.rows(
        "INSERT INTO application_queue (workflow_id, user_id, job_external_id, payload)"
        " VALUES (%s, %s, %s, '{}')",
        *(workflow, user, vacancy),
    )


@pytest.fixture
def anna(core):
    return core.log_in("anna")[0]


@pytest.fixture
def workflow(core, anna):
    """Return the id of a campaign of two items that the BFF wrote."""
    workflow = str(uuid4())
    insert(core, workflow, anna, "1")
    insert(core, workflow, anna, "2")
    return workflow


def test_count_and_start_calls_of_bff(core, anna, workflow):
    body = {"workflowId": workflow, "userId": anna, "jobCount": 2}
    counted = core.call(COUNT, body=body)
    assert (counted.status, counted.body["job_count"]) == (200, 2)
    started = core.call(START, body={"workflowId": workflow, "userId": anna})
    assert started.status == 200
    assert started.body["success"] is True
    assert started.body["workflowId"] == started.body["workflow_id"] == workflow
    assert (started.body["status"], started.body["pending_count"]) == ("running", 2)
    estimate = started.body["estimatedCompletion"]
    assert estimate == started.body["estimated_completion"]
    assert abs((datetime.fromisoformat(estimate) - core.now()).total_seconds()) < 300
    again = core.call(START, body={"workflowId": workflow, "userId": anna})
    assert (again.status, again.body["status"]) == (200, "running")
    assert len(core.rows("SELECT id FROM application_ledger")) == 2


@pytest.mark.parametrize("names", [("workflowId", "userId"), ("workflow_id", "user_id")])
def test_both_spellings_are_accepted(core, anna, workflow, names):
    body = dict(zip(names, (workflow, anna), strict=True))
    for name, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        reply = core.call(CHANGE, body=body, parameters={"act": name})
        assert (reply.status, reply.body["status"]) == (200, state)
    query = {names[0]: workflow, "user_id": anna}
    assert core.call(PROGRESS, query=query).body["status"] == "cancelled"


def test_progress_counts_states_and_status_lists_items(core, anna, workflow):
    insert(core, workflow, anna, "not an id")
    core.call(START, body={"workflowId": workflow, "userId": anna})
    query = {"workflow_id": workflow, "user_id": anna}
    progress = core.call(PROGRESS, query=query).body
    assert {name: progress[name] for name in ("total", "completed", "failed", "waiting")} == {
        "total": 3,
        "completed": 0,
        "failed": 1,
        "waiting": 2,
    }
    assert progress["progress"] == {
        "pending": 0,
        "customizing": 0,
        "ready": 2,
        "submitting": 0,
        "submitted": 0,
        "failed": 1,
        "rate_limited": 0,
    }
    assert progress["states"] == {"queued": 2, "refused": 1}
    status = core.call(STATUS, query=query | {"per_page": "2"}).body
    assert (status["progress"], status["total"]) == (progress["progress"], 3)
    items = (
        status["items"]
        + core.call(STATUS, query=query | {"per_page": "2", "page": "1"}).body["items"]
    )
    assert sorted(
        (item["job_external_id"], item["status"], item["state"], item["last_error"])
        for item in items
    ) == [
        ("1", "ready", "queued", None),
        ("2", "ready", "queued", None),
        ("not an id", "failed", "refused", "bad_arguments"),
    ]
    times = [datetime.fromisoformat(item[name]) for item in items for name in TIMES]
    assert all(time.utcoffset() is not None for time in times)


@pytest.mark.parametrize("user_id", ["undefined", "null", "1", "", None])
def test_user_id_that_is_no_uuid_is_refused(core, workflow, user_id):
    for key in (COUNT, START):
        reply = core.call(key, body={"workflowId": workflow, "userId": user_id})
        assert reply.refusal == (422, "invalid_request")
    assert change(core, "pause", workflow, user_id).refusal == (422, "invalid_request")
    query = {"workflow_id": workflow} | ({} if user_id is None else {"user_id": user_id})
    for key in (STATUS, PROGRESS):
        assert core.call(key, query=query).refusal == (422, "invalid_request")


@pytest.mark.parametrize("workflow_id", ["undefined", "", None, 7])
def test_workflow_id_that_is_no_uuid_is_refused(core, anna, workflow_id):
    for key in (COUNT, START):
        reply = core.call(key, body={"workflowId": workflow_id, "userId": anna})
        assert reply.refusal == (422, "invalid_request")
    query = {"workflow_id": str(workflow_id), "user_id": anna}
    assert core.call(PROGRESS, query=query).refusal == (422, "invalid_request")


def test_unknown_or_foreign_workflow_is_not_found(core, anna, workflow):
    timur, jwt = core.log_in("timur")
    for unknown, user in ((str(uuid4()), anna), (workflow, timur)):
        query = {"workflow_id": unknown, "user_id": user}
        replies = [core.call(key, query=query) for key in (STATUS, PROGRESS)]
        replies += [change(core, name, unknown, user) for name in ("pause", "resume", "cancel")]
        replies.append(core.call(START, body={"workflowId": unknown, "userId": user}))
        assert {reply.refusal for reply in replies} == {(404, "campaign_not_found")}
    mismatch = core.call(START, body={"workflowId": workflow, "userId": anna}, jwt=jwt)
    assert mismatch.refusal == (403, "user_mismatch")
    assert change(core, "steal", workflow, anna).refusal == (404, "not_found")


def test_jwt_subject_is_the_user(core, workflow, anna):
    session, jwt = core.log_in("anna")
    assert session != anna
    started = core.call(START, body={"workflowId": workflow}, jwt=jwt)
    assert (started.status, started.body["pending_count"]) == (200, 2)


def test_single_job_and_job_list_are_added(core, anna):
    single = core.call(ADD, body={"user_id": anna, "job_external_id": "5", "cover_letter": "Да"})
    assert (single.status, single.body["queuedCount"]) == (200, 1)
    workflow = single.body["workflow_id"]
    jobs = [{"jobExternalId": "5"}, {"jobExternalId": "6", "jobTitle": "Повар"}]
    body = {"workflowId": workflow, "userId": anna, "jobs": jobs}
    assert [core.call(ADD, body=body).body["queued_count"] for _ in range(2)] == [1, 0]
    rows = core.rows(
        "SELECT job_external_id, status, payload FROM application_queue"
        " WHERE workflow_id = %s ORDER BY 1",
        workflow,
    )
    assert [(row["job_external_id"], row["status"], row["payload"]) for row in rows] == [
        ("5", "pending", {"cover_letter": "Да"}),
        ("6", "pending", {"jobTitle": "Повар"}),
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"jobs": [{"cover_letter": "Да"}]}, "jobs[0].job_external_id"),
        ({"jobs": [{"job_external_id": "1" * 256}]}, "jobs[0].job_external_id"),
        ({"jobs": [{"job_external_id": "1"}] * 501}, "jobs"),
        ({"jobs": "1"}, "jobs"),
        ({"cover_letter": "Да"}, "jobs"),
    ],
)
def test_invalid_item_is_refused(core, anna, body, field):
    reply = core.call(ADD, body={"userId": anna, **body})
    assert reply.refusal == (422, "invalid_request")
    assert [error["field"] for error in reply.body["details"]["fields"]] == [field]
    assert core.rows("SELECT id FROM application_queue") == []


def test_sample_events_of_unknown_user_are_not_found(core):
    """The samples name the demo user, which a fresh database does not have."""
    for file in sorted((REPOSITORY / "events").glob("queue*.json")):
        reply = core.invoke(json.loads(file.read_text()))
        assert reply.refusal == (404, "user_not_found"), file.name
