"""A person who is connected through the running local cloud, and still is after SIGKILL."""

from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import httpx
import pytest

from tests.fixtures.local_cloud import new_cloud, remove

TITLES = {"Python-разработчик", "Backend-инженер"}


@pytest.fixture
def own_cloud():
    cloud = new_cloud()
    yield cloud
    remove(cloud)


def log_in(cloud, person="anna"):
    """As the BFF does it, and a browser in between; the session and its JWT."""
    session_id = str(uuid4())
    with cloud.client() as bff:
        there = bff.get("/auth/hh/redirect").json()
        form = {"person": person, "decision": "allow"}
        consent = httpx.post(there["url"], data=form, timeout=10)
        back = dict(parse_qsl(urlsplit(consent.headers["location"]).query))
        assert back["state"] == there["state"]
        query = {"code": back["code"], "session_id": session_id}  # the BFF drops the state
        first = bff.get("/auth/hh/callback", params=query)
        assert first.status_code == 200, first.text
        assert bff.get("/auth/hh/callback", params=query).text == first.text
    return session_id, first.json()["jwt"]


def get(cloud, path, jwt):
    headers = {"Authorization": f"Bearer {jwt}"}
    answer = httpx.get(f"{cloud.url}{path}", headers=headers, timeout=35)
    assert answer.status_code == 200, answer.text
    return answer.json()


def titles(cloud, jwt):
    return {resume["title"] for resume in get(cloud, "/api/hh/resumes", jwt)["items"]}


def test_a_person_logs_in_reads_resumes_and_disconnects(cloud):
    session_id, jwt = log_in(cloud)
    assert get(cloud, "/api/hh/status", jwt)["connected"] is True
    [first, *_] = get(cloud, "/api/hh/resumes", jwt)["items"]
    resume = get(cloud, f"/api/hh/resumes/{first['id']}", jwt)["resume"]
    assert (resume["email"], resume["phone"]) == ("anna.vesnina@example.org", "+79005550101")
    headers = {"Authorization": f"Bearer {jwt}"}
    gone = httpx.delete(f"{cloud.url}/api/hh/connection", headers=headers, timeout=35)
    assert gone.json() == {"success": True, "revoked": True, "not_revoked": []}
    status = httpx.get(f"{cloud.url}/api/hh/status", headers=headers, timeout=35)
    assert (status.status_code, status.json()["error"]) == (401, "invalid_token")
    with cloud.client() as bff:
        account = bff.get(f"/api/accounts/{session_id}").json()
    assert (account["connected"], account["access"]["reason"]) == (False, "disconnected")


def test_after_sigkill_and_a_new_start_a_connected_person_is_still_connected(own_cloud):
    own_cloud.start()
    (session_id, jwt), (_, other) = log_in(own_cloud), log_in(own_cloud)
    assert titles(own_cloud, jwt) == TITLES
    own_cloud.kill()

    own_cloud.start()
    assert get(own_cloud, "/api/hh/status", jwt)["connected"] is True
    assert titles(own_cloud, jwt) == titles(own_cloud, other) == TITLES
    # the pair is readable in full: its refresh token gives the next one
    own_cloud.sandbox("POST", "/clock", {"advance_seconds": 14 * 86_400 + 1})
    assert titles(own_cloud, jwt) == TITLES
    own_cloud.kill()

    own_cloud.start()
    assert titles(own_cloud, other) == TITLES
    with own_cloud.client() as bff:
        assert bff.get(f"/api/accounts/{session_id}").json()["connected"] is True
    assert own_cloud.query("SELECT count(*) FROM account_tokens") == [(1,)]
