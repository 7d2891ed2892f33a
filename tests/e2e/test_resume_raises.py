"""A resume is raised on its schedule, in the running local cloud, with its clock jumped."""

import time
from datetime import datetime, timedelta
from itertools import pairwise

import httpx

from tests.harness.connected_cloud import get, log_in

HOUR = timedelta(hours=1)
WITHIN_S = 90  # real seconds, on a busy machine


def published_at(cloud, person):
    people = cloud.sandbox("GET", "/people")["people"]
    [resume] = next(each["resumes"] for each in people if each["key"] == person)
    return resume["id"], datetime.fromisoformat(resume["published_at"])


def until_raised_again(cloud, jwt, path, before):
    """Advance the clock to the next raise, until it was made; return the state."""
    ends = time.monotonic() + WITHIN_S
    now = datetime.fromisoformat(cloud.sandbox("GET", "/state")["clock"]["now"])
    wait = datetime.fromisoformat(before["scheduled_at"]) - now
    cloud.sandbox("POST", "/clock", {"advance_seconds": max(0, wait.total_seconds()) + 1})
    while (found := get(cloud, path, jwt))["raised_at"] == before["raised_at"]:
        assert time.monotonic() < ends, found
        cloud.sandbox("POST", "/clock", {"advance_seconds": 61})
        time.sleep(0.5)
    return found


def test_resume_is_raised_every_four_hours_with_proof_of_hh(cloud):
    cloud.forget_pauses()
    _, jwt = log_in(cloud, "marina")
    resume_id, _ = published_at(cloud, "marina")
    path = f"/api/hh/resumes/{resume_id}/raise"
    headers = {"Authorization": f"Bearer {jwt}"}
    body = {"schedule": {"mode": "every_four_hours"}}
    scheduled = httpx.put(f"{cloud.url}{path}-schedule", json=body, headers=headers, timeout=35)
    assert scheduled.status_code == 200, scheduled.text
    states = [scheduled.json()]
    for _ in range(3):
        states.append(until_raised_again(cloud, jwt, path, states[-1]))
        assert states[-1]["raised_by"] == "schedule"
        proof = datetime.fromisoformat(states[-1]["hh_updated_at"])
        assert abs(proof - published_at(cloud, "marina")[1]) < timedelta(seconds=2)
    times = [datetime.fromisoformat(state["raised_at"]) for state in states[1:]]
    assert all(later - earlier >= 4 * HOUR for earlier, later in pairwise(times))
    early = httpx.post(f"{cloud.url}{path}", headers=headers, timeout=35)
    assert (early.status_code, early.json()["error"]) == (409, "raise_too_early")
    body = {"schedule": {"mode": "off"}}
    off = httpx.put(f"{cloud.url}{path}-schedule", json=body, headers=headers, timeout=35)
    assert off.json()["scheduled_at"] is None
