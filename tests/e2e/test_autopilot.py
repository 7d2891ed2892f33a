"""A saved search that applies to what it finds, in the running local cloud."""

import time
from datetime import datetime, timedelta
from uuid import uuid4

import httpx

from tests.harness.connected_cloud import get, log_in

INTERVAL_S = 300
HOUR = timedelta(hours=1)
WITHIN_S = 90  # real seconds, on a busy machine


def call(cloud, method, path, jwt, body):
    headers = {"Authorization": f"Bearer {jwt}"}
    answer = httpx.request(method, f"{cloud.url}{path}", json=body, headers=headers, timeout=35)
    assert answer.is_success, answer.text
    return answer.json()


def until(cloud, jwt, search_id, holds, advance_s=0):
    """Advance the clock until *holds* of the autopilot, and return it."""
    ends = time.monotonic() + WITHIN_S
    while not holds(found := get(cloud, f"/api/schedules/{search_id}", jwt)["apply"]):
        assert time.monotonic() < ends, found
        if advance_s:
            cloud.sandbox("POST", "/clock", {"advance_seconds": advance_s})
        time.sleep(0.5)
    return found


def test_autopilot_sends_within_its_day_and_hours_each_once_and_none_that_is_filtered(cloud):
    cloud.forget_pauses()
    _, jwt = log_in(cloud, "marina")
    word = f"маяк{uuid4().hex[:8]}"
    call(cloud, "PUT", "/api/filters", jwt, {"rules": {"title_words": ["стажёр"]}})

    def publish(title):
        made = cloud.sandbox("POST", "/vacancies", {"title": f"{title} {word}"})
        return str(made["id"])

    filtered = publish("Стажёр")
    wanted = {publish(title) for title in ("Смотритель", "Электрик", "Механик")}
    apply = {"mode": "auto", "max_per_day": 2, "bucket_share": 100, "min_fit": 0}
    body = {"search": {"text": word}, "interval_seconds": INTERVAL_S, "apply": apply}
    search_id = call(cloud, "POST", "/api/schedules", jwt, body)["id"]

    def is_held(found):
        counts = found["counts"]
        return (counts["sent_in_24h"], counts["waiting"]) == (2, 1) and wait(found) > HOUR

    def wait(found):
        now = datetime.fromisoformat(cloud.sandbox("GET", "/state")["clock"]["now"])
        return datetime.fromisoformat(found["counts"]["next_send_at"]) - now

    held = until(cloud, jwt, search_id, is_held, advance_s=61)
    assert 20 * HOUR < wait(held) < 24 * HOUR
    call(cloud, "POST", f"/api/schedules/{search_id}/fetch", jwt, {})
    cloud.sandbox("POST", "/clock", {"advance_seconds": int(wait(held).total_seconds()) + 61})
    done = until(cloud, jwt, search_id, lambda found: not found["counts"]["waiting"], 61)
    assert done["counts"]["found"] == 3
    posted = cloud.sandbox("GET", "/applications?person=marina")["applications"]
    of_search = [entry for entry in posted if entry["vacancy_id"] in {*wanted, filtered}]
    assert sorted(entry["vacancy_id"] for entry in of_search) == sorted(wanted)
    call(cloud, "PUT", "/api/filters", jwt, {"rules": {}})
    call(cloud, "DELETE", f"/api/schedules/{search_id}", jwt, {})
