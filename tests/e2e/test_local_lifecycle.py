"""The lifecycle of the local cloud: started, stopped, killed, started again."""

import operator
import subprocess
import time
from pathlib import Path

from tests.fixtures.waiting import until

SEARCHES = 200


def arguments(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""  # Postgres's workers come and go


def test_ctrl_c_stops_everything_and_restart_keeps_the_data(own_cloud):
    own_cloud.start()
    with own_cloud.client() as core:
        found = core.post("/api/jobs/search", json={"text": "Python"}).json()["jobs"]
    secret = own_cloud.secrets["ORCHESTRATOR_SECRET"]
    own_cloud.stop()
    until(own_cloud.processes, operator.not_)

    own_cloud.start()
    assert own_cloud.started_in_s < 100
    assert own_cloud.secrets["ORCHESTRATOR_SECRET"] == secret
    assert own_cloud.query("SELECT count(*) FROM jobs") == [(len(found),)]
    with own_cloud.client() as core:
        # The token from before is still readable: hh.ru would give no other for five minutes.
        assert core.post("/api/jobs/search", json={"text": "Java"}).status_code == 200


def test_sigkill_of_the_whole_tree_loses_nothing(own_cloud):
    own_cloud.settings["HH_CALLS_PER_SECOND"] = "9"  # hh.ru's own limit is 10
    own_cloud.start()
    seen = set()
    with own_cloud.client() as core:
        for turn in range(SEARCHES):
            body = {"text": "", "per_page": 10, "page": turn}
            answer = core.post("/api/jobs/search", json=body)
            assert answer.status_code == 200, answer.text
            seen.update(job["id"] for job in answer.json()["jobs"])
    own_cloud.kill()
    until(own_cloud.processes, operator.not_)

    own_cloud.start()
    stored = {id for (id,) in own_cloud.query("SELECT external_id FROM jobs")}
    assert seen <= stored
    with own_cloud.client() as core:
        assert core.post("/api/jobs/search", json={"text": "Java"}).status_code == 200


def test_hh_outage_is_503_without_details(own_cloud):
    own_cloud.start()
    with own_cloud.client() as core:
        core.post("/api/jobs/search", json={"text": "Python"}).raise_for_status()
        for pid in own_cloud.processes():
            if b"local.sandbox" in arguments(pid):
                subprocess.run(["kill", "-9", str(pid)], check=True)
        began = time.monotonic()
        answer = core.post("/api/jobs/search", json={"text": "Java"})
        assert time.monotonic() - began < 28
        assert (answer.status_code, answer.json()["error"]) == (503, "hh_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert "127.0.0.1" not in answer.text
