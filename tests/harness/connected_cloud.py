"""Logging in through the running local cloud, as the BFF and a browser do."""

from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import httpx


def log_in(cloud, person="anna"):
    """As the BFF does it, and a browser in between; the session and its JWT."""
    session_id = str(uuid4())
    with cloud.client() as bff:
        there = bff.get("/auth/hh/redirect").json()
        form = {"person": person, "decision": "allow"}
        consent = httpx.post(there["url"], data=form, timeout=30)
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
