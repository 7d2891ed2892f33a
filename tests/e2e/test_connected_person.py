"""A person connects through the running local cloud, and stays connected after SIGKILL."""

import httpx

from tests.harness import connected_cloud

TITLES = {"Python-разработчик", "Backend-инженер"}


def titles(cloud, jwt):
    return {
        resume["title"] for resume in connected_cloud.get(cloud, "/api/hh/resumes", jwt)["items"]
    }


def test_person_logs_in_reads_resumes_and_disconnects(cloud):
    session_id, jwt = connected_cloud.log_in(cloud)
    assert connected_cloud.get(cloud, "/api/hh/status", jwt)["connected"] is True
    [first, *_] = connected_cloud.get(cloud, "/api/hh/resumes", jwt)["items"]
    resume = connected_cloud.get(cloud, f"/api/hh/resumes/{first['id']}", jwt)["resume"]
    assert (resume["email"], resume["phone"]) == ("anna.vesnina@example.org", "+79005550101")
    headers = {"Authorization": f"Bearer {jwt}"}
    gone = httpx.delete(f"{cloud.url}/api/hh/connection", headers=headers, timeout=35)
    assert gone.json() == {"success": True, "revoked": True, "not_revoked": []}
    status = httpx.get(f"{cloud.url}/api/hh/status", headers=headers, timeout=35)
    assert (status.status_code, status.json()["error"]) == (401, "invalid_token")
    with cloud.client() as bff:
        account = bff.get(f"/api/accounts/{session_id}").json()
    assert (account["connected"], account["access"]["reason"]) == (False, "disconnected")


def test_connected_person_stays_connected_after_sigkill(own_cloud):
    own_cloud.start()
    (session_id, jwt), (_, other) = (
        connected_cloud.log_in(own_cloud),
        connected_cloud.log_in(own_cloud),
    )
    assert titles(own_cloud, jwt) == TITLES
    own_cloud.kill()

    own_cloud.start()
    assert connected_cloud.get(own_cloud, "/api/hh/status", jwt)["connected"] is True
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
