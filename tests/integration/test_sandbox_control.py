"""The sandbox's control routes, its process, and the state that survives a kill."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from local.clock import FILE_NAME, LocalClock
from tests.fixtures.hh_sandbox import NO_TLS, ROOT, HhSandbox, run_sandbox

if TYPE_CHECKING:
    from pathlib import Path

AGENT = {"User-Agent": "UllGetTheJobTests/1.0 (tests@example.org)"}
SMALL = ("--vacancies", "200", "--calls-per-second", "100000")


def get(sandbox: HhSandbox, path: str, token: str | None = None, **params: str) -> httpx.Response:
    headers = AGENT | {"Authorization": f"Bearer {token or sandbox.token()}"}
    return httpx.get(
        sandbox.url + path, params=params, headers=headers, trust_env=False, verify=NO_TLS
    )


def ids(sandbox: HhSandbox, **params: str) -> list[str]:
    params = {"per_page": "100", "order_by": "publication_time"} | params
    return [item["id"] for item in get(sandbox, "/vacancies", **params).json()["items"]]


def refused(sandbox: HhSandbox, path: str, body: Any) -> str:
    with pytest.raises(httpx.HTTPStatusError) as refusal:
        sandbox.control("POST", path, body)
    assert refusal.value.response.status_code == 400
    return str(refusal.value.response.json()["error"])


def test_clock_jump_publishes_vacancies(hh_sandbox: HhSandbox) -> None:
    before = ids(hh_sandbox)
    hh_sandbox.advance(2 * 86_400)
    after = ids(hh_sandbox)
    new = [id_ for id_ in after if int(id_) > int(before[0])]
    assert 20 < len(new) <= 100
    shared = LocalClock(hh_sandbox.data_dir / FILE_NAME).now()
    reported = datetime.fromisoformat(hh_sandbox.control("GET", "/state")["clock"]["now"])
    assert abs((reported - shared).total_seconds()) < 60


def test_clock_rate_speeds_up_time(hh_sandbox: HhSandbox) -> None:
    def now() -> datetime:
        return datetime.fromisoformat(hh_sandbox.control("GET", "/state")["clock"]["now"])

    hh_sandbox.control("POST", "/clock", {"rate": 3_600})
    started = now()
    time.sleep(0.2)
    assert 600 < (now() - started).total_seconds() < 60 * 3_600


@pytest.mark.parametrize(
    "body", [{}, {"advance_seconds": -1}, {"advance_seconds": "1"}, {"rate": -1}, {"hours": 1}, []]
)
def test_invalid_clock_change_is_refused(hh_sandbox: HhSandbox, body: Any) -> None:
    before = hh_sandbox.control("GET", "/state")["clock"]["now"]
    assert refused(hh_sandbox, "/clock", body)
    assert hh_sandbox.control("GET", "/state")["clock"]["now"] > before


def test_era_is_switched_and_shown(hh_sandbox: HhSandbox) -> None:
    assert hh_sandbox.control("GET", "/state")["era"] == "2025"
    for era, mode in (("2026", "closed"), ("removed-404", "closed"), ("2025", "open")):
        hh_sandbox.control("POST", "/era", {"era": era})
        state = hh_sandbox.control("GET", "/state")
        assert (state["era"], state["mode"]) == (era, mode)


def test_modes_are_the_eras_2025_and_closed(hh_sandbox: HhSandbox) -> None:
    for mode, era in (("closed", "closed"), ("open", "2025")):
        hh_sandbox.control("POST", "/mode", {"mode": mode})
        state = hh_sandbox.control("GET", "/state")
        assert (state["era"], state["mode"]) == (era, mode)


@pytest.mark.parametrize("body", [{}, {"era": "2024"}, {"era": 2026}, {"era": ["2026"]}, []])
def test_unknown_era_is_refused(hh_sandbox: HhSandbox, body: Any) -> None:
    hh_sandbox.set_era("2026")
    assert "removed-410" in refused(hh_sandbox, "/era", body)
    assert hh_sandbox.control("GET", "/state")["era"] == "2026"


def test_vacancy_can_be_published_found_and_closed(hh_sandbox: HhSandbox) -> None:
    made = hh_sandbox.publish(
        "Настройщик органов", employer="Филармония", area="2", experience="moreThan6"
    )
    found = get(hh_sandbox, "/vacancies", text="настройщик органа", area="2").json()
    assert [item["id"] for item in found["items"]] == [made["id"]]
    assert found["items"][0]["employer"]["name"] == "Филармония"
    assert ids(hh_sandbox)[0] == made["id"], "it is the newest"
    hh_sandbox.control("POST", f"/vacancies/{made['id']}/close")
    assert get(hh_sandbox, "/vacancies", text="настройщик органа").json()["found"] == 0
    assert get(hh_sandbox, f"/vacancies/{made['id']}").json()["archived"] is True


def test_deleted_vacancies_are_unknown_and_their_ids_unused(hh_sandbox: HhSandbox) -> None:
    generated = set(ids(hh_sandbox))
    made = [hh_sandbox.publish("Настройщик органов")["id"] for _ in range(2)]
    hh_sandbox.control("POST", f"/vacancies/{made[0]}/close")
    hh_sandbox.control("DELETE", "/vacancies")
    assert get(hh_sandbox, "/vacancies", text="настройщик органа").json()["found"] == 0
    assert [get(hh_sandbox, f"/vacancies/{id_}").status_code for id_ in made] == [404, 404]
    assert len(generated & set(ids(hh_sandbox))) >= len(generated) - 3, "one may have closed"
    assert int(hh_sandbox.publish("Настройщик органов")["id"]) > max(map(int, made))


def test_invalid_vacancy_is_refused(hh_sandbox: HhSandbox) -> None:
    assert refused(hh_sandbox, "/vacancies", {"title": "a", "area": "x"}).startswith("area")
    assert refused(hh_sandbox, "/vacancies", {}).startswith("title")


def test_invalid_mode_and_limit_are_refused(hh_sandbox: HhSandbox) -> None:
    hh_sandbox.control("POST", "/mode", {"mode": "closed"})
    assert hh_sandbox.control("GET", "/state")["mode"] == "closed"
    assert get(hh_sandbox, "/vacancies").status_code == 200, "search stays open to applications"
    assert "open, closed" in refused(hh_sandbox, "/mode", {"mode": "ajar"})
    assert "calls_per_second" in refused(hh_sandbox, "/limit", {"calls_per_second": 0})


def test_calls_are_counted_and_listed(hh_sandbox: HhSandbox) -> None:
    get(hh_sandbox, "/vacancies", text="python")
    get(hh_sandbox, "/vacancies/1")
    state = hh_sandbox.control("GET", "/state")
    assert state["calls"]["by_route"] == {"GET /vacancies": 1, "GET /vacancies/{vacancy_id}": 1}
    assert state["calls"]["by_status"] == {"200": 1, "404": 1}
    hits = hh_sandbox.control("GET", "/hits")["hits"]
    assert [(hit["path"], hit["query"]) for hit in hits] == [
        ("/vacancies", "text=python"),
        ("/vacancies/1", ""),
    ]
    hh_sandbox.control("DELETE", "/hits")
    assert hh_sandbox.control("GET", "/state")["calls"]["total"] == 0


def test_manual_names_routes_and_faults(hh_sandbox: HhSandbox) -> None:
    text = httpx.get(f"{hh_sandbox.url}/_sandbox/", trust_env=False).text
    for word in ("/_sandbox/clock", "/_sandbox/faults", "vpn_check", "close", "advance_seconds"):
        assert word in text


def test_state_survives_a_kill(tmp_path: Path) -> None:
    with run_sandbox(tmp_path, *SMALL) as sandbox:
        sandbox.advance(5 * 86_400)
        token = sandbox.token()
        made = sandbox.publish("Хранитель времени", area="1", salary={"from": 1, "to": 2})
        gone = ids(sandbox)[5]
        sandbox.control("POST", f"/vacancies/{gone}/close")
        seen = ids(sandbox)
        detail = get(sandbox, f"/vacancies/{seen[3]}").json()
        before = datetime.fromisoformat(sandbox.control("GET", "/state")["clock"]["now"])
        sandbox.kill()
    with run_sandbox(tmp_path, *SMALL) as sandbox:
        after = datetime.fromisoformat(sandbox.control("GET", "/state")["clock"]["now"])
        assert 0 <= (after - before).total_seconds() < 600
        assert get(sandbox, "/vacancies", token=token).status_code == 200
        # In between, a vacancy may have been published and another one closed.
        again = ids(sandbox)
        assert len(set(seen) & set(again)) >= len(seen) - 3
        assert made["id"] in again
        assert gone not in again
        assert get(sandbox, f"/vacancies/{seen[3]}").json() == detail
        assert get(sandbox, f"/vacancies/{made['id']}").json() == made
        form = {
            "grant_type": "client_credentials",
            "client_id": sandbox.client_id,
            "client_secret": sandbox.client_secret,
        }
        too_early = httpx.post(f"{sandbox.url}/token", data=form, headers=AGENT, trust_env=False)
        assert too_early.status_code == 403, "the five minutes are kept too"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_process_despite_a_slow_response(
    tmp_path: Path, number: signal.Signals
) -> None:
    with run_sandbox(tmp_path, *SMALL) as sandbox:
        sandbox.fault("slow", seconds=60)
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{sandbox.url}/areas", headers=AGENT, timeout=0.2, trust_env=False)
        os.kill(sandbox.process.pid, number)
        assert sandbox.process.wait(timeout=50) == 0, "before the slow response"


def test_process_exits_when_its_stdin_closes(tmp_path: Path) -> None:
    with run_sandbox(tmp_path, *SMALL) as sandbox:
        assert sandbox.process.stdin is not None
        sandbox.process.stdin.close()
        assert sandbox.process.wait(timeout=60) == 0


def test_exit_with_parent_needs_a_pipe() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "local.sandbox", "--exit-with-parent"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "needs a pipe" in ended.stderr


def test_taken_port_is_reported_in_a_single_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "local.sandbox", "--port", str(port), *SMALL]
        ended = subprocess.run(
            [*command, "--data-dir", str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert f"Port {port} is taken" in ended.stderr


CROSS_SITE_HEADERS = [
    {"Host": "rebound.example"},
    {"Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
]


@pytest.mark.parametrize("headers", CROSS_SITE_HEADERS)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/_sandbox/state"),
        ("GET", "/_sandbox/people"),
        ("POST", "/_sandbox/clock"),
        ("POST", "/_sandbox/token"),
        ("DELETE", "/_sandbox/tokens"),
        ("GET", "/_sandbox/employers"),
        ("POST", "/oauth/authorize"),
    ],
)
def test_cross_site_call_is_refused(
    hh_sandbox: HhSandbox, method: str, path: str, headers: dict[str, str]
) -> None:
    before = get(hh_sandbox, "/_sandbox/state").json()
    answer = httpx.request(
        method, hh_sandbox.url + path, headers=headers, content=b"{}", verify=NO_TLS
    )
    assert answer.status_code == 403
    assert list(answer.json()) == ["error"]
    after = get(hh_sandbox, "/_sandbox/state").json()
    assert after["calls"] == before["calls"]


def test_login_page_accepts_cross_site_navigation(
    hh_sandbox: HhSandbox,
) -> None:
    """As a link on the BFF's page to hh.ru's does."""
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    answer = httpx.get(f"{hh_sandbox.url}/oauth/authorize", headers=followed, verify=NO_TLS)
    assert answer.status_code == 400  # the page says that the application is unknown
    assert "text/html" in answer.headers["content-type"]


def test_incomplete_request_is_closed(hh_sandbox: HhSandbox) -> None:
    port = int(hh_sandbox.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(b"GET /vacancies HTTP/1.1\r\nHost: loc")
        assert connection.recv(1000) == b""


def test_variants_are_listed_with_their_originals(hh_sandbox: HhSandbox) -> None:
    hh_sandbox.control("POST", "/clock", {"rate": 0})
    listed = hh_sandbox.control("GET", "/variants")["variants"]
    token = hh_sandbox.token()
    assert {row["variant"] for row in listed} == {"repost", "other_city", "other_grade"}
    for row in listed[:5]:
        variant, original = (
            hh_sandbox.call("GET", f"/vacancies/{row[name]}", token).json()
            for name in ("id", "original_id")
        )
        assert variant["employer"]["id"] == original["employer"]["id"]
        assert not variant["archived"]
        assert "variant" not in variant, "hh.ru has no such key"
