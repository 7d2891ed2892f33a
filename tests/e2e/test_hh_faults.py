"""Every fault of the sandbox, and the response to Core's caller."""

import itertools
import time

import pytest

from local.sandbox import faults
from local.template.reader import load

PAGE_SIZES = itertools.count(1)  # each test has a search of its own: equal ones share an answer
LIMIT_S = load().functions["SearchFunction"].timeout_s

# fault: status and error of the answer; None: the caller notices nothing
EXPECTED = {
    "too_many_requests": (503, "hh_busy"),
    "server_error": (503, "hh_unavailable"),
    "bad_gateway": (503, "hh_unavailable"),
    "service_unavailable": (503, "hh_unavailable"),
    "edge_block": (503, "hh_region_blocked"),
    "legal_block": (503, "hh_region_blocked"),
    "vpn_check": (503, "hh_region_blocked"),
    "captcha": (503, "hh_captcha"),
    "slow": (503, "hh_unavailable"),
    "truncated": (503, "hh_unavailable"),
    "errors_with_200": (422, "bad_arguments"),
    "drop": (503, "hh_unavailable"),
}


@pytest.fixture
def core(cloud):
    cloud.forget_pauses()
    with cloud.client() as client:
        client.post("/api/jobs/search", json={"text": "Python"}).raise_for_status()
        yield client
    cloud.sandbox("DELETE", "/faults")
    cloud.forget_pauses()


@pytest.fixture
def search():
    return {"text": "Python", "per_page": next(PAGE_SIZES)}


def test_every_sandbox_fault_is_covered():
    # "lost", "refusal": of applying; "withdrawn": test_closed_doors; "exchange_limit":
    # test_hh_token_facts, test_hh_client; "repeated_item", "overlapping_pages": test_run_worker
    tried_otherwise = {
        "empty", "token_revoked", "lost", "refusal", "withdrawn", "repeated_item",
        "overlapping_pages", "exchange_limit",
    }  # fmt: skip
    assert set(faults.KINDS) == set(EXPECTED) | tried_otherwise


@pytest.mark.parametrize("kind", sorted(EXPECTED))
def test_fault_gives_a_clear_response_in_time(core, cloud, search, kind):
    more = {"seconds": 60} if kind == "slow" else {}
    cloud.sandbox("POST", "/faults", {"kind": kind, "path": "/vacancies", **more})
    began = time.monotonic()
    answer = core.post("/api/jobs/search", json=search)
    assert time.monotonic() - began < LIMIT_S
    body = answer.json()
    assert (answer.status_code, body["error"]) == EXPECTED[kind]
    if answer.status_code == 503:
        assert int(answer.headers["retry-after"]) >= 1
    for hidden in ("<html", "ddos", "captcha?", "Traceback", "127.0.0.1", "httpx", "psycopg"):
        assert hidden not in answer.text


def test_empty_result_is_a_success(core, cloud, search):
    cloud.sandbox("POST", "/faults", {"kind": "empty", "path": "/vacancies"})
    body = core.post("/api/jobs/search", json=search).json()
    assert (body["jobs"], body["found"]) == ([], 0)


def test_revoked_token_is_renewed_transparently(core, cloud, search):
    cloud.sandbox("POST", "/clock", {"advance_seconds": 301})
    cloud.sandbox("POST", "/faults", {"kind": "token_revoked", "times": 1})
    assert core.post("/api/jobs/search", json=search).status_code == 200


def test_core_recovers_when_hh_recovers(core, cloud, search):
    cloud.sandbox("POST", "/faults", {"kind": "service_unavailable"})
    for _ in range(4):
        answer = core.post("/api/jobs/search", json=search)
        assert answer.status_code == 503
    cloud.sandbox("DELETE", "/faults")
    time.sleep(int(answer.headers["retry-after"]) + 0.5)
    assert core.post("/api/jobs/search", json=search).status_code == 200


def test_known_outage_of_hh_sends_no_requests(core, cloud, search):
    def searches():
        return cloud.sandbox("GET", "/state")["calls"]["by_route"].get("GET /vacancies", 0)

    cloud.sandbox("POST", "/faults", {"kind": "edge_block"})
    assert core.post("/api/jobs/search", json=search).status_code == 503
    before = searches()
    began = time.monotonic()
    for _ in range(5):
        answer = core.post("/api/jobs/search", json=search)
        assert answer.json()["error"] == "hh_region_blocked"
    assert time.monotonic() - began < 20
    assert searches() == before
