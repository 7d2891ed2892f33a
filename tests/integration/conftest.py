"""Core's functions in this process: routes called as API Gateway calls them, all else real."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from local.clock import FILE_NAME, LocalClock
from tests.fixtures.hh_sandbox import REDIRECT_URI, USER_AGENT
from tests.fixtures.local_cloud import ROOT
from ullgetthejob.hh import environment
from ullgetthejob.platform import clock, postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tests.fixtures.hh_sandbox import HhSandbox

SECRET = "local-development-secret"
FUNCTIONS = ("oauth", "resumes", "accounts")
LIFE_S = 14 * 86_400
WORKER = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from functions.oauth.app import handler
from local.clock import LocalClock
from ullgetthejob.hh.environment import client
from ullgetthejob.platform import clock
clock.install(LocalClock(Path(sys.argv[1])).now)
client()
print("ready", flush=True)
event = json.loads(sys.stdin.readline())
print("answer", json.dumps(handler(event, SimpleNamespace(aws_request_id="worker-1"))), flush=True)
"""


@dataclass(frozen=True)
class Reply:
    """What a function answered. *text*: the body as it was sent."""

    status: int
    text: str
    headers: dict[str, str] = field(repr=False)

    @property
    def body(self) -> Any:
        """The body's JSON."""
        return json.loads(self.text)

    @property
    def refusal(self) -> tuple[int, str]:
        """Status and code of an error."""
        return self.status, self.body["error"]

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Reply:
        """What a handler returned."""
        return cls(answer["statusCode"], answer["body"], answer["headers"])


class Worker:
    """A process of the function ``oauth``, which waits for one event."""

    def __init__(self, sandbox: HhSandbox) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(sandbox.data_dir / FILE_NAME)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, event: dict[str, Any]) -> None:
        """Let it begin, as soon as it is there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        self._process.stdin.write(json.dumps(event) + "\n")
        self._process.stdin.flush()

    def reply(self) -> Reply:
        """What it answers."""
        output, _ = self._process.communicate(timeout=60)
        [line] = [line for line in output.splitlines() if line.startswith("answer ")]
        return Reply.of(json.loads(line.removeprefix("answer ")))

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.communicate(timeout=10)


@dataclass
class Core:
    """The functions about people, on the clock of *sandbox*; the caller is the BFF."""

    sandbox: HhSandbox
    clock: LocalClock
    database_url: str

    def now(self) -> datetime:
        """The sandbox's moment."""
        return self.clock.now()

    def event(
        self,
        key: str,
        *,
        query: dict[str, str] | None = None,
        parameters: dict[str, str] | None = None,
        body: Any = None,
        jwt: str | None = None,
        secret: str | None = SECRET,
        request_id: str = "request-of-a-test",
    ) -> dict[str, Any]:
        """As API Gateway sends it."""
        headers = {"x-request-id": request_id}
        if secret is not None:
            headers["x-core-secret"] = secret
        if jwt is not None:
            headers["authorization"] = f"Bearer {jwt}"
        return {
            "version": "2.0",
            "routeKey": key,
            "headers": headers,
            "queryStringParameters": query or {},
            "pathParameters": parameters or {},
            "body": None if body is None else json.dumps(body),
            "isBase64Encoded": False,
        }

    def call(self, key: str, **options: Any) -> Reply:
        """Call the route *key*; *options* are those of :meth:`event`."""
        modules = [importlib.import_module(f"functions.{name}.app") for name in FUNCTIONS]
        [handler] = [module.handler for module in modules if key in module.api.routes]
        context = SimpleNamespace(aws_request_id="aws-request-id")
        return Reply.of(handler(self.event(key, **options), context))

    def worker(self) -> Worker:
        """Another process, at the same database, AWS and hh.ru."""
        return Worker(self.sandbox)

    # ── logging in ───────────────────────────────────────────────────────────────────────────────

    def redirect(self, **query: str) -> tuple[str, str]:
        """Where the browser is sent, and the state."""
        reply = self.call("GET /auth/hh/redirect", query=query)
        assert reply.status == 200, reply
        return reply.body["url"], reply.body["state"]

    def consent(self, url: str, person: str) -> str:
        """The code that *person* comes back with from the login page at *url*."""
        parts = urlsplit(url)
        back = self.sandbox.consent(person, **dict(parse_qsl(parts.query)))
        assert back["state"] == dict(parse_qsl(parts.query))["state"]
        return back["code"]

    def code(self, person: str = "anna") -> str:
        """A code of the plain login."""
        return self.consent(self.redirect()[0], person)

    def callback(self, code: str | None, session_id: str | None = None, **options: Any) -> Reply:
        """The way back; *options* named ``jwt`` or ``secret`` aside, they are of the query."""
        edge = {name: options.pop(name) for name in ("jwt", "secret") if name in options}
        query = {"code": code, "session_id": session_id, **options}
        given = {name: value for name, value in query.items() if value is not None}
        return self.call("GET /auth/hh/callback", query=given, **edge)

    def log_in(
        self, person: str = "anna", session_id: str | None = None, *, bound: bool = False
    ) -> tuple[str, str]:
        """A session that is connected (a new one by default), and its JWT. *bound*: by a state of
        its own, without which no connected session moves to another account."""
        session_id = session_id or str(uuid4())
        url, state = self.redirect(**({"session_id": session_id} if bound else {}))
        options = {"state": state} if bound else {}
        reply = self.callback(self.consent(url, person), session_id, **options)
        assert reply.status == 200, reply
        self.forget_hits()
        return session_id, reply.body["jwt"]

    # ── what came of it ──────────────────────────────────────────────────────────────────────────

    def forget_hits(self) -> None:
        """Count hh.ru's calls anew."""
        self.sandbox.control("DELETE", "/hits")

    def hits(self, route: str = "POST /token") -> int:
        """How often hh.ru was called there."""
        return int(self.sandbox.control("GET", "/state")["calls"]["by_route"].get(route, 0))

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of Postgres, over a connection of its own."""
        with psycopg.connect(self.database_url, autocommit=True, row_factory=dict_row) as own:
            found = own.execute(sql, values)
            return found.fetchall() if (found.statusmessage or "").startswith("SELECT") else []

    def audited(self) -> list[tuple[str, str, str]]:
        """Actor, action and outcome of each act on record."""
        rows = self.rows("SELECT actor, action, outcome FROM audit_log ORDER BY id")
        return [(row["actor"], row["action"], row["outcome"]) for row in rows]

    def account(self, user_id: str, **options: Any) -> Any:
        """``GET /api/accounts/{user_id}``."""
        reply = self.call("GET /api/accounts/{user_id}", parameters={"user_id": user_id}, **options)
        assert reply.status == 200, reply
        return reply.body

    def access(self, user_id: str) -> Any:
        """Its access state."""
        return self.account(user_id)["access"]

    def live_pairs(self, person: str = "anna") -> int:
        """How many pairs hh.ru takes of *person*."""
        people = self.sandbox.control("GET", "/people")["people"]
        return int(next(one["live_token_pairs"] for one in people if one["key"] == person))


def forget() -> None:
    """As a new environment knows nothing of the last one."""
    postgres.close()
    if environment.client.cache_info().currsize:
        environment.client().close()
        environment.client(background=True).close()
        environment.client.cache_clear()


@pytest.fixture
def core(
    dynamodb_tables: dict[str, str],
    database_url: str,
    hh_sandbox: HhSandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Core]:
    """See :class:`Core`."""
    for name, value in {
        "DATABASE_URL": database_url,
        "ORCHESTRATOR_SECRET": SECRET,
        "SECRET_KEY_BASE": "a secret key base of tests, long enough",
        "HH_API_URL": hh_sandbox.url,
        "HH_OAUTH_URL": f"{hh_sandbox.url}/oauth",
        "HH_REDIRECT_URI": REDIRECT_URI,
        "HH_CLIENT_ID": hh_sandbox.client_id,
        "HH_CLIENT_SECRET": hh_sandbox.client_secret,
        "HH_USER_AGENT": USER_AGENT,
        "HH_CALLS_PER_SECOND": "1000",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("APP_URL", "SECRET_KEY_BASE_PREVIOUS", "TOKEN_KEY_ID_PREVIOUS"):
        monkeypatch.delenv(name, raising=False)
    forget()
    moment = LocalClock(hh_sandbox.data_dir / FILE_NAME)
    clock.install(moment.now)
    yield Core(hh_sandbox, moment, database_url)
    clock.install(None)
    forget()
