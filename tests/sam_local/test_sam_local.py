"""The same template, layers and events in AWS's own container, on Python 3.13."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sam_local.conftest import Sam

REPOSITORY = Path(__file__).parents[2]
START_LIMIT_S = 60


def sample(name: str, sam: Sam) -> dict[str, Any]:
    """Return a sample event with the secret of the services."""
    event: dict[str, Any] = json.loads((REPOSITORY / f"events/{name}.json").read_text())
    if "x-core-secret" in event.get("headers", {}):
        event["headers"]["x-core-secret"] = sam.secret
    return event


def body(answer: dict[str, Any], status: int = 200) -> Any:
    assert answer["statusCode"] == status, answer
    return json.loads(answer["body"])


def versions() -> list[str]:
    return sorted(file.name[:4] for file in (REPOSITORY / "migrations/versions").glob("0*.py"))


def test_migrator_knows_every_version(sam: Sam) -> None:
    answer = sam.invoke("MigratorFunction", sample("migrator", sam))
    assert answer["revision_after"] == versions()[-1]


def test_migrator_goes_down_and_up_again(sam: Sam) -> None:
    *_, before, last = versions()
    down = {"action": "downgrade", "revision": before, "confirm": True}
    assert sam.invoke("MigratorFunction", down)["revision_after"] == before
    answer = sam.invoke("MigratorFunction", sample("migrator", sam))
    assert answer == {"revision_before": before, "revision_after": last, "applied": [last]}


def test_health_sees_the_database(sam: Sam) -> None:
    answer = sam.invoke("HealthFunction", sample("health", sam))
    assert body(answer).items() >= {"status": "ok", "db": "up"}.items()


def test_search_returns_jobs_that_can_be_read_in_full(sam: Sam) -> None:
    found = body(sam.invoke("SearchFunction", sample("search", sam)))
    assert found["found"] >= len(found["jobs"]) > 0
    event = sample("search-job", sam)
    event["pathParameters"]["id"] = found["jobs"][0]["id"]
    read = body(sam.invoke("SearchFunction", event))
    assert read["job"]["title"] == found["jobs"][0]["title"]
    assert read["job"]["full_description_loaded"] is True


def test_search_refuses_a_wrong_secret(sam: Sam) -> None:
    event = sample("search", sam)
    event["headers"]["x-core-secret"] = "another"
    assert body(sam.invoke("SearchFunction", event), 401)["error"] == "unauthorized"


@pytest.fixture(scope="module")
def api(sam: Sam, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Run ``sam local start-api``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    log = tmp_path_factory.mktemp("api") / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            sam.command("start-api", "--port", str(port), "--warm-containers", "LAZY"),
            cwd=REPOSITORY,
            env=sam.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(port, process, log)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                yield client
        finally:
            process.send_signal(signal.SIGINT)  # it removes its containers
            process.wait(30)


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_LIMIT_S
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"start-api does not listen:\n{log.read_text()}")


def test_api_serves_every_route(api: httpx.Client, sam: Sam) -> None:
    secret = {"X-Core-Secret": sam.secret}
    health = api.get("/api/v1/system/health")
    assert health.status_code == 200
    assert health.json().items() >= {"status": "ok", "db": "up"}.items()

    wanted = json.loads(sample("search", sam)["body"])
    search = api.post("/api/jobs/search", json=wanted, headers=secret)
    assert search.status_code == 200, search.text
    job = search.json()["jobs"][0]

    read = api.get(f"/api/jobs/{job['id']}", headers=secret)
    assert read.status_code == 200, read.text
    assert read.json()["job"]["id"] == job["id"]


def log_in(api: httpx.Client, sam: Sam, session: str, person: str) -> Any:
    """Connect *person* of the sandbox to the *session*, as their browser and the BFF do."""
    secret = {"X-Core-Secret": sam.secret}
    way = api.get("/auth/hh/redirect", params={"session_id": session}, headers=secret)
    assert way.status_code == 200, way.text
    consent = httpx.post(way.json()["url"], data={"person": person, "decision": "allow"})
    back = dict(httpx.URL(consent.headers["location"]).params)
    callback = {**back, "session_id": session}
    login = api.get("/auth/hh/callback", params=callback, headers=secret)
    assert login.status_code == 200, login.text
    return login.json()


def test_person_logs_in_and_sees_resumes(api: httpx.Client, sam: Sam) -> None:
    session = "00000000-0000-4000-8000-00000000000a"
    login = log_in(api, sam, session, "timur")
    user = {"Authorization": f"Bearer {login['jwt']}"}
    resumes = api.get("/api/hh/resumes", headers=user)
    assert resumes.status_code == 200, resumes.text
    (resume,) = resumes.json()["items"]
    read = api.get(f"/api/hh/resumes/{resume['id']}", headers=user)
    assert read.json()["resume"]["email"].endswith("@example.org")
    account = api.get(f"/api/accounts/{session}", headers=user)
    assert account.json()["access"]["state"] == "ok"
    assert api.delete("/api/hh/connection", headers=user).json()["revoked"] is True
    assert api.get("/api/hh/status", headers=user).status_code == 401


# Expected statuses other than 200: of samples whose token or id does not exist.
OTHER_STATUS = {
    "applications-cancel": 404,
    "applications-confirm": 404,
    "applications-detail": 404,
    "applications-retry": 404,
    "handoff": 401,
    "handoff-buttons": 401,
    "handoff-link": 410,
    "handoff-open": 403,
    "letters-check": 404,
    "letters-create": 201,
    "letters-delete": 404,
    "letters-preview": 404,
    "letters-replace": 404,
    "notifications-add": 409,  # no sender's address
    "notifications-confirm": 410,
    "notifications-delete": 404,
    "notifications-rotate": 404,
    "notifications-show_unsubscribe": 410,
    "notifications-test": 404,
    "notifications-unsubscribe": 410,
    "reviews-edit": 404,
    "reviews-messages": 404,
    "reviews-reply": 404,
    "oauth-callback": 400,
    "oauth-disconnect": 401,
    "oauth-refresh": 400,
    "accounts-delete": 202,
    "accounts-status": 401,
    "rate_limit-reset": 401,
    "realtime-broadcast_dummy": 409,  # no address of a BFF
    "resumes": 401,
    "resumes-detail": 401,
    "resumes-fit": 404,
    "resumes-raise": 404,
    "resumes-schedule": 404,
    "resumes-show_raise": 404,
    "schedules-change": 404,
    "schedules-delete": 404,
    "schedules-detail": 404,
    "schedules-fetch": 404,
    "schedules-matches": 404,
    "schedules-create": 201,
    "search-job": 404,
    "submit": 202,
    "telegram": 401,
    "websocket": 401,
}
SAMPLES = sorted(file.stem for file in (REPOSITORY / "events").glob("*.json"))


def function_of(event: str) -> str:
    """``rate_limit-check`` is for RateLimitFunction."""
    folder = event.partition("-")[0]
    return "".join(word.capitalize() for word in folder.split("_")) + "Function"


@pytest.fixture(scope="module")
def demo(api: httpx.Client, sam: Sam) -> None:
    """Connect the person of the samples, with their campaign."""
    log_in(api, sam, "00000000-0000-4000-8000-000000000001", "anna")
    body(sam.invoke("QueueFunction", sample("queue-add", sam)))


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize("event", SAMPLES)
def test_each_sample_event_is_handled(sam: Sam, event: str) -> None:
    answer = sam.invoke(function_of(event), sample(event, sam))
    if answer is not None and "statusCode" in answer:
        assert answer["statusCode"] == OTHER_STATUS.get(event, 200), answer
    elif answer is not None and "batchItemFailures" in answer:
        assert answer == {"batchItemFailures": []}
    else:
        assert event not in OTHER_STATUS
        assert "errorType" not in (answer or {}), answer


def test_api_requires_the_secret(api: httpx.Client) -> None:
    refused = api.post("/api/jobs/search", json={"text": "x"})
    assert (refused.status_code, refused.json()["error"]) == (401, "unauthorized")
