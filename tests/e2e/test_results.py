"""The statistics of a person whose employers acted for days equal the log of hh.ru's sandbox."""

import time

from tests.harness.connected_cloud import get, log_in

DEADLINE_S = 90
APPLICATIONS = 40
STEP_S = 6 * 3600 + 61  # a reading of negotiations is due by then


def ever(cloud):
    """Return how many of the person's applications ever reached each stage, by the sandbox."""
    log = cloud.sandbox("GET", "/applications?person=olga&outcome=accepted")["applications"]
    return {
        "applied": len(log),
        "seen": sum(entry["viewed"] or entry["answered"] for entry in log),
        "answered": sum(entry["answered"] for entry in log),
        "invited": sum(entry["invited"] for entry in log),
    }


def reached(cloud, jwt):
    stages = get(cloud, "/api/stats", jwt)["all"]["stages"]
    return {stage["stage"]: stage["count"] for stage in stages if stage["stage"] in ever(cloud)}


def wait_until_equal(cloud, jwt):
    ends = time.monotonic() + DEADLINE_S
    while (shown := reached(cloud, jwt)) != ever(cloud):
        assert time.monotonic() < ends, (shown, ever(cloud))
        time.sleep(0.3)
    return shown


def test_funnel_equals_the_log_of_the_sandbox(cloud):
    _, jwt = log_in(cloud, "olga")
    cloud.sandbox("POST", "/employers", {"act": True})
    cloud.sandbox("POST", "/people/olga/applications", {"count": APPLICATIONS})
    cloud.sandbox("POST", "/clock", {"advance_seconds": 61})  # the sweeper's minute
    sent = wait_until_equal(cloud, jwt)["applied"]
    assert sent >= APPLICATIONS
    for _ in range(3):  # three days, each read once
        cloud.sandbox("POST", "/clock", {"advance_seconds": 4 * STEP_S})
        shown = wait_until_equal(cloud, jwt)
    assert sent > shown["seen"] > shown["answered"] > shown["invited"] > 0
    # An invitation that a refusal follows stays one.
    log = cloud.sandbox("GET", "/applications?person=olga&outcome=accepted")["applications"]
    invited = next(entry for entry in log if entry["state"] == "invitation")
    act = f"/applications/{invited['negotiation_id']}/act"
    cloud.sandbox("POST", act, {"act": "discard"})
    cloud.sandbox("POST", "/clock", {"advance_seconds": STEP_S})
    assert wait_until_equal(cloud, jwt)["invited"] >= shown["invited"]
    stages = {stage["stage"]: stage for stage in get(cloud, "/api/stats", jwt)["all"]["stages"]}
    rate = stages["seen"]["rate"]
    assert rate["n"] == sent
    assert rate["low"] < rate["rate"] < rate["high"]
    cloud.sandbox("POST", "/clock", {"advance_seconds": 7 * 86_400})
    answered = wait_until_equal(cloud, jwt)["answered"]
    assert get(cloud, "/api/stats/silent?days=7", jwt)["found"] == sent - answered
