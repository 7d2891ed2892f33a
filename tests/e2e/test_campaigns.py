"""A campaign that the BFF writes into the shared tables, through the running local cloud."""

import time
from uuid import uuid4

from tests.harness.connected_cloud import log_in

DEADLINE_S = 40


def progress(cloud, workflow, session, holds):
    """Wait until *holds* of the campaign's progress, and return it."""
    ends = time.monotonic() + DEADLINE_S
    query = {"workflow_id": workflow, "user_id": session}
    with cloud.client() as bff:
        while True:
            found = bff.get("/api/queue/progress", params=query).json()
            if holds(found):
                return found
            assert time.monotonic() < ends, found
            time.sleep(0.3)


def test_campaign_items_written_by_the_bff_are_sent(cloud):
    session, _ = log_in(cloud, "timur")
    workflow = str(uuid4())
    with cloud.client() as bff:
        jobs = bff.post("/api/jobs/search", json={"text": "", "per_page": 4}).json()["jobs"]
        early, late = [job["id"] for job in jobs[:3]], jobs[3]["id"]

        def write(vacancy):
            cloud.query(
                "INSERT INTO application_queue (workflow_id, user_id, job_id, job_external_id,"
                f" payload) SELECT '{workflow}', '{session}', id, external_id, "
                """'{"coverLetter": "Здравствуйте!"}' FROM jobs """
                f"WHERE external_id = '{vacancy}' RETURNING id"
            )

        for vacancy in early:
            write(vacancy)
        body = {"workflowId": workflow, "userId": session}
        started = bff.post("/api/queue/start-workflow", json=body)
        assert started.status_code == 200, started.text
        assert started.json()["estimatedCompletion"]
        done = progress(cloud, workflow, session, lambda found: found["waiting"] == 0)
        assert (done["total"], done["failed"]) == (3, 0)
        write(late)
        cloud.sandbox("POST", "/clock", {"advance_seconds": 61})  # the sweeper's minute
        progress(
            cloud, workflow, session, lambda found: (found["total"], found["waiting"]) == (4, 0)
        )
    went = cloud.query(
        f"SELECT count(*) FROM application_queue WHERE workflow_id = '{workflow}'"
        " AND status IN ('submitted', 'failed')"
    )
    assert [tuple(row) for row in went] == [(4,)]
