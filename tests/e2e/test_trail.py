"""One trail: from the request of an application to the employer's invitation on the socket."""

import asyncio
import json
from uuid import uuid4

import aiohttp
import httpx
import pytest

from docs.telemetry_reference import OF_ALL, SPAN, WIDE
from tests.fixtures.local_cloud import new_cloud
from tests.fixtures.waiting import until
from tests.harness.connected_cloud import log_in

WITHIN_S = 60
LETTER = "Маркер-письма 7f3a: здравствуйте!"
EMAIL = "marker-of-a-trail@example.org"


@pytest.fixture(scope="module")
def cloud():
    with new_cloud() as own:
        own.start()
        yield own


def logged(cloud):
    """Return each JSON line of the logs in their order in time, with its file as ``file``."""
    found = []
    for path in (cloud.data_dir / "logs").glob("*.log"):
        for line in path.read_text().splitlines():
            at, _, text = line.partition(" ")
            if text.startswith("{"):
                found.append({**json.loads(text), "file": path.stem, "logged_at": at})
    return sorted(found, key=lambda line: line["logged_at"])


async def apply_and_be_invited(cloud, call, url, vacancy_id, request_id):
    """Submit an application, let the employer invite, and return the answer of the submit once the
    invitation has come over the socket."""
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        await socket.send_json({"type": "replay", "cursor": 0})
        answer = call(
            "POST",
            "/api/applications/submit",
            headers={"X-Request-ID": request_id},
            json={
                "job_external_id": vacancy_id,
                "cover_letter": LETTER,
                "customized_cv": {"email": EMAIL, "phone": "+79990000000"},
            },
        )
        application_id = answer.json()["application_id"]
        while True:
            message = await socket.receive_json(timeout=WITHIN_S)
            data = message.get("data", {})
            if data.get("application_id") != application_id:
                continue
            if data["hh_state"] == "invitation":
                return answer
            if data["state"] == "submitted" and data["reason"] is None:
                (made,) = cloud.sandbox("GET", "/applications?person=anna")["applications"]
                cloud.sandbox(
                    "POST", f"/applications/{made['negotiation_id']}/act", {"act": "invitation"}
                )
                cloud.sandbox("POST", "/clock", {"advance_seconds": 3600})


def test_trail_of_an_application_reaches_the_invitation(cloud):
    cloud.sandbox("POST", "/employers", {"act": False})
    _, jwt = log_in(cloud, "anna")
    headers = {
        "X-Core-Secret": cloud.secrets["ORCHESTRATOR_SECRET"],
        "Authorization": f"Bearer {jwt}",
    }

    def call(method, path, **options):
        answer = httpx.request(
            method, cloud.url + path, headers=headers | options.pop("headers", {}), timeout=35,
            **options,
        )  # fmt: skip
        answer.raise_for_status()
        return answer

    vacancy = cloud.sandbox("POST", "/vacancies", {"title": "Бухгалтер"})
    ticket = call("POST", "/api/realtime/ticket", json={}).json()
    request_id = str(uuid4())
    answer = asyncio.run(
        apply_and_be_invited(cloud, call, ticket["url"], vacancy["id"], request_id)
    )
    trace_id = request_id.replace("-", "")
    assert answer.headers["x-request-id"] == request_id
    assert trace_id in answer.headers["traceparent"]
    application_id = answer.json()["application_id"]

    def trail():
        lines = [line for line in logged(cloud) if line.get("trace_id") == trace_id]
        frames = [line for line in lines if line.get("kind") == "frame"]
        return lines if len(frames) >= 3 else None

    lines = until(trail)
    by_file = {line["file"] for line in lines}
    assert {"gateway", "submit", "applier", "broadcaster"} <= by_file
    (begin,) = [line for line in lines if line["message"] == "request"]
    assert (begin["route"], begin["status"]) == ("POST /api/applications/submit", 202)
    spans = [line for line in lines if line["message"] == "span"]
    assert {"sql", "aws", "hh", "pace", "message", "frame"} == {line["kind"] for line in spans}
    hh = [line["operation"] for line in spans if line["kind"] == "hh"]
    assert {"GET /vacancies/{id}", "GET /resumes/{id}", "POST /negotiations"} <= set(hh)
    assert hh.count("POST /negotiations") == 1
    changes = [line for line in lines if line["message"] == "application changed"]
    assert [(line.get("from"), line["to"]) for line in changes[:4]] == [
        (None, "queued"),
        ("queued", "preparing"),
        ("preparing", "submitting"),
        ("submitting", "submitted"),
    ]
    assert "invitation" in {line.get("reason") for line in changes}
    assert {line["application_id"] for line in changes} == {application_id}
    of_all_lines = {"level", "location", "message", "timestamp", "service", "file", "logged_at"}
    of_all_lines |= {"route", "queue", "request_id", "xray_trace_id", "connection_id"}
    for message, described in (("span", SPAN), ("invocation", WIDE)):
        documented = {*of_all_lines, *OF_ALL, *described}
        for line in lines:
            assert line["message"] != message or set(line) <= documented
    # Every span hangs below another one, or below an invocation of the trail.
    ids = {line["span_id"] for line in lines if "span_id" in line}
    wide = [line for line in lines if line["message"] == "invocation"]
    assert all(line["parent_id"] in ids for line in wide if line.get("queue"))


def test_no_line_of_a_trail_is_personal(cloud):
    text = "".join(path.read_text() for path in (cloud.data_dir / "logs").glob("*.log"))
    assert '"kind":"sql"' in text
    for marker in ("Маркер-письма", EMAIL, "79990000000", "Веснина"):
        assert marker not in text
