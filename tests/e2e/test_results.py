"""The statistics of a person whose employers acted for days equal the log of hh.ru's sandbox."""

import time

from tests.harness.connected_cloud import get, log_in

DEADLINE_S = 60
APPLICATIONS = 40
STEP_S = 6 * 3600 + 61  # a reading of negotiations is due by then
STEPS = 4 * 9  # nine days: an employer takes at most as long


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
    first = wait_until_equal(cloud, jwt)
    assert first == {"applied": APPLICATIONS, "seen": 0, "answered": 0, "invited": 0}
    for _ in range(3):  # three days and more, each read once
        cloud.sandbox("POST", "/clock", {"advance_seconds": 4 * STEP_S})
        shown = wait_until_equal(cloud, jwt)
    assert shown["applied"] > shown["seen"] > shown["answered"] > shown["invited"] > 0
    # One that was invited is refused: it stays invited.
    log = cloud.sandbox("GET", "/applications?person=olga&outcome=accepted")["applications"]
    invited = next(entry for entry in log if entry["invited"])
    act = f"/applications/{invited['negotiation_id']}/act"
    cloud.sandbox("POST", act, {"act": "discard"})
    cloud.sandbox("POST", "/clock", {"advance_seconds": STEP_S})
    assert wait_until_equal(cloud, jwt)["invited"] >= shown["invited"]
    [rate] = [s["rate"] for s in get(cloud, "/api/stats", jwt)["all"]["stages"] if s["stage"] == "seen"]
    assert rate["n"] == APPLICATIONS
    assert rate["low"] < rate["rate"] < rate["high"]
    cloud.sandbox("POST", "/clock", {"advance_seconds": 14 * 86_400})
    silent = get(cloud, "/api/stats/silent?per_page=100", jwt)
    answered = wait_until_equal(cloud, jwt)["answered"]
    silent = get(cloud, "/api/stats/silent?per_page=100", jwt)
    assert silent["found"] == len(silent["items"]) == APPLICATIONS - answered
