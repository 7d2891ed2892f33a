"""The smoke test of a deployed Core: it answers, its schema fits, and each way in works.

Nothing is left behind: the search is one page, and the application is a dry one: its vacancy is
read from the configured hh.ru as the submitter reads it, and Core has to refuse it, since its user
does not exist. With a user's id, a ticket opens a socket; without, a ticket has to be refused to a
user who does not exist, and by the WebSocket if it was never issued.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from cli.doctor.checks import Finding

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT_S = 35  # longer than API Gateway's
UNKNOWN_USER = "00000000-0000-4000-8000-00000000dead"
NEVER_ISSUED = "smoke-test"
REFUSED_TICKET = (401, 403)
REFUSED_PERSON = ("user_not_found", "not_connected")
RUNBOOKS = "see docs/runbooks.md and: ugtj cloud rollback"


@dataclass(frozen=True)
class Deployed:
    """A Core to test. *commit*: the one that must answer; *user*: for whom a socket is opened; each
    may be unknown."""

    url: str
    websocket_url: str
    secret: str
    commit: str | None = None
    user: str | None = None

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and JSON of a service call; ``None`` if it is no JSON."""
        answer = httpx.request(
            method,
            self.url + path,
            json=body,
            headers={"x-core-secret": self.secret},
            timeout=TIMEOUT_S,
        )
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, None


def smoke(core: Deployed) -> list[Finding]:
    """Return what each test found."""
    return [_run(name, test, core) for name, test in TESTS.items()]


def _run(name: str, test: Callable[[Deployed], str], core: Deployed) -> Finding:
    try:
        return Finding(name, "ok", test(core))
    except _Failed as failed:
        return Finding(name, "problem", str(failed), RUNBOOKS)
    except (httpx.HTTPError, OSError, TimeoutError) as error:
        # Not the error's text: it may name the socket's address, which has a ticket in it.
        return Finding(name, "problem", f"no answer ({type(error).__name__})", RUNBOOKS)


class _Failed(Exception):
    """A test that failed; the message says how."""


def _expect(status: int, body: Any, wanted: int = 200) -> Any:
    if status != wanted or not isinstance(body, dict):
        error = body.get("error") or body.get("status") if isinstance(body, dict) else "no JSON"
        raise _Failed(f"it answered {status} ({error})")
    return body


def _test_health(core: Deployed) -> str:
    body = _expect(*core.call("GET", "/api/v1/system/health"))
    return f"status {body['status']}"


def _test_ready(core: Deployed) -> str:
    status, body = core.call("GET", "/api/v1/system/ready")
    if status == 503 and isinstance(body, dict) and "needed" in body:
        raise _Failed(f"the schema is at {body['revision']}, the code needs {body['needed']}")
    body = _expect(status, body)
    if core.commit and body["commit"] != core.commit:
        raise _Failed(f"commit {body['commit']} answers, not {core.commit}")
    return f"schema {body['revision']}, commit {body['commit'] or 'unknown'}"


def _test_search(core: Deployed) -> str:
    body = _expect(*core.call("POST", "/api/jobs/search", {"per_page": 1}))
    return f"{body['found']} vacancies"


def _test_socket(core: Deployed) -> str:
    if core.user is None:
        request = core.call("POST", "/api/realtime/ticket", {"user_id": UNKNOWN_USER})
        _expect_refusal(*request, REFUSED_PERSON, "a ticket for")
        status = asyncio.run(_refusal(f"{core.websocket_url}?ticket={NEVER_ISSUED}"))
        if status not in REFUSED_TICKET:
            raise _Failed(f"it answered {status} to a ticket that was never issued")
        return "a ticket that was never issued is refused; --user opens one"
    body = _expect(*core.call("POST", "/api/realtime/ticket", {"user_id": core.user}))
    first = asyncio.run(_first_frame(body["url"]))
    if first != "ready":
        raise _Failed(f"the socket said {first}")
    return "a ticket opened it"


async def _refusal(url: str) -> int:
    """Return the status with which the WebSocket refuses a connection; 101 if it does not."""
    import aiohttp

    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            aiohttp.ClientSession() as session,
            session.ws_connect(url),
        ):
            return 101
    except aiohttp.WSServerHandshakeError as error:
        return error.status
    except aiohttp.ClientError as error:
        raise _Failed(f"no answer ({type(error).__name__})") from None


async def _first_frame(url: str) -> str:
    import aiohttp

    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            aiohttp.ClientSession() as session,
            session.ws_connect(url) as socket,
        ):
            await socket.send_json({"type": "subscribe"})
            return str((await socket.receive_json())["type"])
    except (aiohttp.ClientError, TypeError, ValueError) as error:
        raise _Failed(f"the socket broke ({type(error).__name__})") from None


def _test_application(core: Deployed) -> str:
    """Read a vacancy in full, and submit for a user who does not exist: all that comes before the
    application itself has to answer."""
    found = _expect(*core.call("POST", "/api/jobs/search", {"per_page": 1}))["jobs"]
    if not found:
        raise _Failed("hh.ru found no vacancy to read")
    vacancy = str(found[0]["id"])
    _expect(*core.call("GET", f"/api/jobs/{vacancy}"))
    body = {"user_id": UNKNOWN_USER, "job_external_id": vacancy, "cover_letter": "smoke test"}
    answer = core.call("POST", "/api/applications/submit", body)
    error = _expect_refusal(*answer, REFUSED_PERSON, "an application of")
    return f"vacancy {vacancy} was read, and the application refused as it must be ({error})"


def _expect_refusal(status: int, body: Any, codes: tuple[str, ...], subject: str) -> str:
    """Return the code with which a user who does not exist was refused."""
    error = str(body.get("error")) if isinstance(body, dict) else "no JSON"
    if error in codes:
        return error
    _expect(status, body)
    raise _Failed(f"{subject} a user who does not exist was accepted")


TESTS: dict[str, Callable[[Deployed], str]] = {
    "health": _test_health,
    "ready": _test_ready,
    "search": _test_search,
    "socket": _test_socket,
    "application": _test_application,
}
