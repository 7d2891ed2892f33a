"""The sandbox's faults as a client sees them."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from local.sandbox import faults
from tests.fixtures.hh_sandbox import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fixtures.hh_sandbox import HhSandbox


@pytest.fixture
def client(hh_sandbox: HhSandbox) -> Iterator[httpx.Client]:
    headers = {
        "User-Agent": "UllGetTheJobTests/1.0 (tests@example.org)",
        "Authorization": f"Bearer {hh_sandbox.token()}",
    }
    with httpx.Client(
        base_url=hh_sandbox.url, headers=headers, trust_env=False, verify=NO_TLS
    ) as client:
        yield client


def enveloped(status: int, type_: str) -> Callable[[httpx.Response], None]:
    def check(answer: httpx.Response) -> None:
        assert answer.status_code == status
        assert answer.json()["errors"][0]["type"] == type_
        assert answer.json()["request_id"] == answer.headers["X-Request-ID"]

    return check


def page(status: int, text: str) -> Callable[[httpx.Response], None]:
    def check(answer: httpx.Response) -> None:
        assert answer.status_code == status
        assert answer.headers["Content-Type"].startswith("text/html")
        assert text in answer.text

    return check


def errors_with_200(answer: httpx.Response) -> None:
    assert answer.status_code == 200
    assert answer.json()["errors"][0]["type"] == "bad_argument"
    assert "items" not in answer.json()
    assert "found" not in answer.json()


def empty(answer: httpx.Response) -> None:
    assert answer.status_code == 200
    assert (answer.json()["items"], answer.json()["found"]) == ([], 0)


def captcha(answer: httpx.Response) -> None:
    enveloped(403, "captcha_required")(answer)
    assert answer.json()["errors"][0]["captcha_url"].startswith("https://hh.ru/account/captcha?")


def revoked(answer: httpx.Response) -> None:
    enveloped(403, "oauth")(answer)
    assert answer.json()["errors"][0]["value"] == "token_revoked"


def repeated_item(answer: httpx.Response) -> None:
    assert answer.status_code == 200
    items = answer.json()["items"]
    assert items[0] == items[-1]
    assert len(items) > 1


ANSWERED: dict[str, Callable[[httpx.Response], None]] = {
    "repeated_item": repeated_item,
    "withdrawn": enveloped(404, "not_found"),
    "too_many_requests": enveloped(429, "too_many_requests"),
    "server_error": enveloped(500, "server_error"),
    "bad_gateway": page(502, "Bad Gateway"),
    "service_unavailable": enveloped(503, "service_unavailable"),
    "edge_block": page(403, "DDoS-Guard"),
    "legal_block": page(451, "451"),
    "vpn_check": page(200, "vpncheeck"),
    "captcha": captcha,
    "errors_with_200": errors_with_200,
    "empty": empty,
    "token_revoked": revoked,
}
WITHOUT_ANSWER = {"drop", "lost", "truncated", "slow"}
# "refusal": test_sandbox_negotiations_apply.py; "exchange_limit": test_sandbox_documents.py;
# "overlapping_pages": below
ELSEWHERE = {"refusal", "exchange_limit", "overlapping_pages"}


def test_every_kind_of_fault_has_a_test() -> None:
    assert set(ANSWERED) | WITHOUT_ANSWER | ELSEWHERE == set(faults.KINDS)


@pytest.mark.parametrize("kind", ANSWERED)
def test_fault_replaces_a_single_response(
    hh_sandbox: HhSandbox, client: httpx.Client, kind: str
) -> None:
    hh_sandbox.fault(kind, times=1)
    ANSWERED[kind](client.get("/vacancies"))
    right = client.get("/vacancies")
    assert right.status_code == 200
    assert right.json()["found"] > 0


def test_overlapping_pages_repeat_and_lose_a_vacancy(
    hh_sandbox: HhSandbox, client: httpx.Client
) -> None:
    hh_sandbox.control("POST", "/clock", {"rate": 0})

    def read_pages() -> tuple[list[list[str]], set[int]]:
        answers = [
            client.get("/vacancies", params={"page": page, "per_page": 100}).json()
            for page in range(20)
        ]
        ids = [[item["id"] for item in answer["items"]] for answer in answers if answer["items"]]
        return ids, {answer["found"] for answer in answers}

    right, found = read_pages()
    hh_sandbox.fault("overlapping_pages")
    overlapping, still_found = read_pages()
    assert still_found == found == {len({id for page in right for id in page})}
    assert overlapping[0] == right[0]
    assert overlapping[1][0] == right[0][-1]
    later = list(itertools.chain.from_iterable(overlapping[1:]))
    assert later == list(itertools.chain.from_iterable(right))[99:-1]
    assert [len(page) for page in overlapping] == [len(page) for page in right]
    hh_sandbox.control("DELETE", "/faults")
    assert read_pages()[0] == right


def test_overlapping_pages_start_with_the_second_page(
    hh_sandbox: HhSandbox, client: httpx.Client
) -> None:
    hh_sandbox.control("POST", "/clock", {"rate": 0})
    hh_sandbox.fault("overlapping_pages", times=1)
    first = client.get("/vacancies").json()["items"]
    second = client.get("/vacancies", params={"page": 1}).json()["items"]
    assert second[0] == first[-1]
    assert client.get("/vacancies", params={"page": 1}).json()["items"][0] == second[1]


def test_dropped_connection_has_no_response(hh_sandbox: HhSandbox, client: httpx.Client) -> None:
    hh_sandbox.fault("drop", times=1)
    with pytest.raises(httpx.TransportError):
        client.get("/vacancies")
    assert client.get("/vacancies").status_code == 200


def test_truncated_body_breaks_off(hh_sandbox: HhSandbox, client: httpx.Client) -> None:
    hh_sandbox.fault("truncated", times=1)
    received = b""
    with pytest.raises(httpx.TransportError), client.stream("GET", "/vacancies") as answer:  # noqa: PT012 - the body is what breaks
        assert answer.status_code == 200
        for chunk in answer.iter_raw():
            received += chunk
    assert received.startswith(b'{"items":[{')
    assert client.get("/vacancies").status_code == 200


def test_slow_response_is_right_and_late(hh_sandbox: HhSandbox, client: httpx.Client) -> None:
    hh_sandbox.fault("slow", times=1, seconds=0.6)
    started = time.monotonic()
    assert client.get("/vacancies").json()["found"] > 0
    assert time.monotonic() - started >= 0.6


def test_slow_response_does_not_block_other_calls(
    hh_sandbox: HhSandbox, client: httpx.Client
) -> None:
    hh_sandbox.fault("slow", path="/vacancies", seconds=30)
    with pytest.raises(httpx.ReadTimeout):
        client.get("/vacancies", timeout=0.3)
    assert client.get("/languages", timeout=25).status_code == 200, "sooner than 30 s"


def test_fault_stays_until_it_is_cleared(hh_sandbox: HhSandbox, client: httpx.Client) -> None:
    hh_sandbox.fault("server_error", path="/areas")
    assert [client.get("/areas").status_code for _ in range(3)] == [500] * 3
    assert client.get("/languages").status_code == 200
    state = hh_sandbox.control("GET", "/state")
    assert [(fault["kind"], fault["used"]) for fault in state["faults"]] == [("server_error", 3)]
    hh_sandbox.control("DELETE", "/faults")
    assert client.get("/areas").status_code == 200


def test_unknown_fault_is_refused_with_the_known_kinds(hh_sandbox: HhSandbox) -> None:
    with pytest.raises(httpx.HTTPStatusError) as refusal:
        hh_sandbox.fault("flood")
    answer: Any = refusal.value.response
    assert answer.status_code == 400
    assert answer.json()["kinds"] == list(faults.KINDS)
