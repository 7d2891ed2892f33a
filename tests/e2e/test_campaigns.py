"""A campaign that the BFF writes into the shared tables, through the running local cloud."""

from uuid import uuid4

from tests.fixtures.waiting import until
from tests.harness.connected_cloud import log_in


def progress(cloud, workflow, session, holds):
    """Wait until *holds* of the campaign's progress, and return it."""
    query = {"workflow_id": workflow, "user_id": session}
    with cloud.client() as bff:
        return until(lambda: bff.get("/api/queue/progress", params=query).json(), holds)


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


def open_pairs(cloud, bff):
    """Yield the ids of an open vacancy and of its repost, as hh.ru has them."""
    for variant in cloud.sandbox("GET", "/variants")["variants"]:
        pair = [str(variant["original_id"]), str(variant["id"])]
        if variant["variant"] == "other_grade":
            continue
        found = [bff.get(f"/api/jobs/{vacancy_id}") for vacancy_id in pair]
        jobs = [answer.json()["job"] for answer in found if answer.status_code == 200]
        if len(jobs) == 2 and not any(job["archived"] or job["has_test"] for job in jobs):
            yield pair


def test_repost_of_a_sent_application_waits_for_the_yes(cloud):
    cloud.forget_pauses()
    session, _ = log_in(cloud, "olga")
    owner = {"user_id": session}
    with cloud.client() as bff:
        for pair in open_pairs(cloud, bff):
            jobs = [{"job_external_id": id, "cover_letter": "Здравствуйте!"} for id in pair]
            added = bff.post("/api/queue/add", json={**owner, "jobs": jobs}).json()
            workflow = added["workflowId"]
            bff.post("/api/queue/start-workflow", json={**owner, "workflowId": workflow})
            progress(cloud, workflow, session, lambda found: found["waiting"] == 0)
            query = {**owner, "workflow_id": workflow}
            items = bff.get("/api/queue/status", params=query).json()["items"]
            by_state = {item["state"]: item for item in items}
            if set(by_state) == {"submitted", "needs_person"}:
                break  # others need a test, another site, or are two jobs by their full texts
        first, second = by_state["submitted"], by_state["needs_person"]
        assert second["last_error"].startswith("repost: https://")
        path = f"/api/applications/{second['application_id']}"
        asked = bff.get(path, params=owner).json()["application"]
        assert asked["applied_posting"]["job_id"] == first["job_external_id"]
        bff.post(f"{path}/retry", json=owner).raise_for_status()
        done = progress(cloud, workflow, session, lambda found: found["submitted"] == 2)
        assert done["needs_person"] == 0
