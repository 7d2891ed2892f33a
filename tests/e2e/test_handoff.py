"""The handoff page of a running local cloud, over real HTTP and by its own clock."""

import re
import time

import httpx
import pytest

from tests.fixtures.hh_sandbox import NO_TLS
from tests.harness.connected_cloud import log_in

LONG_S = 60
LETTER = "Здравствуйте! МАРКЕРСТРАНИЦЫ"


@pytest.fixture(scope="module")
def person(cloud):
    """Return the headers of a person, and their user's id."""
    user_id, jwt = log_in(cloud, "egor")
    return {"Authorization": f"Bearer {jwt}"}, user_id


def handed_off(cloud, headers):
    """Return an application whose last step is the person's."""
    fields = {"title": "Кладовщик", "has_test": True, "test_required": True}
    vacancy = cloud.sandbox("POST", "/vacancies", fields)["id"]
    with cloud.client() as bff:
        body = {"job_external_id": vacancy, "cover_letter": LETTER}
        sent = bff.post("/api/applications/submit", json=body, headers=headers)
        application_id = sent.json()["application_id"]
        deadline = time.monotonic() + LONG_S
        while state_of(cloud, headers, application_id) != "handoff":
            assert time.monotonic() < deadline
            time.sleep(0.2)
    return application_id


def state_of(cloud, headers, application_id):
    with cloud.client() as bff:
        answer = bff.get(f"/api/applications/{application_id}", headers=headers)
        return answer.json()["application"]["state"]


def new_link(cloud, person):
    headers, user_id = person
    answer = httpx.post(
        f"{cloud.url}/api/accounts/{user_id}/handoff-link", headers=headers, verify=NO_TLS
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["url"]


def browser():
    return httpx.Client(headers={"Accept-Language": "en"}, timeout=35, verify=NO_TLS)


def form_of(answer, action, **fields):
    token = re.search(r'name="form_token" value="(\w+)"', answer.text)
    return {"form_token": token[1] if token else "", "action": action, **fields}


def test_link_is_opened_done_and_over(cloud, person):
    cloud.forget_pauses()
    headers, _ = person
    application_id = handed_off(cloud, headers)
    link, unused = new_link(cloud, person), new_link(cloud, person)
    with browser() as own, browser() as other:
        shown, others = own.get(link), other.get(link)
        opened = own.post(link, data=form_of(shown, "open"))
        assert (opened.status_code, opened.headers["location"]) == (303, "/handoff")
        used = other.post(link, data=form_of(others, "open"))
        assert (used.status_code, "Send me a new link" in used.text) == (410, True)
        page = own.get(f"{cloud.url}/handoff")
        assert (LETTER in page.text, application_id in page.text) == (True, True)
        done = form_of(page, "done", application=application_id)
        for _ in range(2):
            assert own.post(f"{cloud.url}/handoff", data=done).status_code == 303
        assert state_of(cloud, headers, application_id) == "submitted"

        cloud.sandbox("POST", "/clock", {"advance_seconds": 3601})
        assert own.post(f"{cloud.url}/handoff", data=done).status_code == 401
        expired = other.get(unused)
        assert (expired.status_code, "This link has ended" in expired.text) == (410, True)
    logs = "".join(
        path.read_text(errors="replace") for path in (cloud.data_dir / "logs").rglob("*.log")
    )
    assert "POST /handoff/{ticket}" in logs
    for secret in (link.rpartition("/")[2], unused.rpartition("/")[2], "МАРКЕРСТРАНИЦЫ"):
        assert secret not in logs + "".join(cloud.output)
