"""Fifty accounts that apply at once, compared with hh.ru's pace alone.

``make bench-applying``. It uses the services of a local run (Postgres, moto, hh.ru's sandbox, which
responds after 100 ms) and as many processes of the applier as the template reserves. Every account
has one application; all wake-ups are there from the beginning. The baseline is the pace: the calls
that were made, at three a second. What is above it is time in which nothing was sent to hh.ru.

The processes first do an account each that does not count, as an environment's first invocation
opens connections. The accounts belong to a few people of the sandbox, each with tokens of its own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import httpx

from benchmarks import services
from benchmarks.fetch import LAMBDA

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNTS = 50
PROCESSES = 5  # what the template reserves for the applier
PEOPLE = ("anna", "timur", "olga", "marina")
CALLS_PER_SECOND = 3
LATENCY_S = 0.1
ROUNDS = 3
TARGET = 0.95  # of the pace
INSERT_ACCOUNT = """
    INSERT INTO accounts (hh_user_id, access_state, access_changed_at, created_at)
    VALUES (%s, 'ok', %s, %s) RETURNING id
"""
INSERT_USER = """
    INSERT INTO users (id, email, password_hash, account_id, inserted_at, updated_at)
    VALUES (%(id)s, %(id)s::text, '!', %(account)s, %(now)s, %(now)s)
"""


def main() -> None:
    """Run the benchmark and print the results."""
    services.end_on_signals()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    arguments = parser.parse_args()
    shares = []
    with tempfile.TemporaryDirectory(prefix="bench-applying-") as folder_name:
        folder = Path(folder_name)
        folder.chmod(0o755)  # Postgres's own user must be able to enter it
        with services.running(folder) as variables, _Sandbox(variables) as sandbox:
            os.environ.update(variables["OauthFunction"])
            os.environ.update(variables["ApplierFunction"])
            os.environ.update(LAMBDA)
            os.environ.update(HH_CALLS_PER_SECOND=str(CALLS_PER_SECOND))
            os.environ["POWERTOOLS_METRICS_DISABLED"] = "true"
            print(f"{arguments.accounts} accounts at once, {PROCESSES} processes of the applier:")
            print(f"{'calls':>8}{'pace s':>9}{'took s':>9}{'share':>8}{'CPU ms each':>13}")
            for _ in range(arguments.rounds):
                shares.append(_round(sandbox, arguments.accounts))
    share = statistics.median(shares)
    verdict = "met" if share >= TARGET else "MISSED"
    print(f"Of what the pace allows: {share:.1%}; at least {TARGET:.0%} is wanted: {verdict}.")


def _round(sandbox: _Sandbox, accounts: int) -> float:
    """Let *accounts* new accounts apply; return the share of the pace that was used."""
    warm_up, counted = _prepare(sandbox, PROCESSES), _prepare(sandbox, accounts)
    with ProcessPoolExecutor(
        PROCESSES,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
    ) as pool:
        list(pool.map(_apply, warm_up))
        time.sleep(1)  # until the last slot of the warm-up is over
        before = sandbox.calls()
        began = time.perf_counter()
        cpu = list(pool.map(_apply, counted))
        took = time.perf_counter() - began
        by_route = sandbox.calls() - before
    calls = by_route.total()
    _require_submitted(counted)
    # The first call needs no wait, and the last one is not followed by any.
    pace = (calls - 1) / CALLS_PER_SECOND
    each = statistics.mean(cpu) * 1000
    print(f"{calls:8}{pace:9.2f}{took:9.2f}{pace / took:8.1%}{each:13.1f}", flush=True)
    print("        ", ", ".join(f"{number} {route}" for route, number in by_route.most_common()))
    return pace / took


def _prepare(sandbox: _Sandbox, number: int) -> list[str]:
    """Connect *number* accounts, each with one application; return their ids."""
    from ullgetthejob.accounts import people
    from ullgetthejob.applications.acceptance import accept
    from ullgetthejob.applications.submission import SubmitBody
    from ullgetthejob.platform import clock, postgres
    from ullgetthejob.platform.authentication import Caller
    from ullgetthejob.platform.context import Context

    connection = postgres.connection()
    context = Context(connection, clock.now, Caller("service", "benchmark"))
    ids = []
    for person in itertools.islice(itertools.cycle(PEOPLE), number):
        account_id, user_id = _connect(sandbox, person), uuid4()
        values = {"id": user_id, "account": account_id, "now": clock.now()}
        connection.execute(INSERT_USER, values)
        body = SubmitBody(job_external_id=sandbox.publish(), cover_letter="Здравствуйте!")
        accept(body, people.find_by_id(user_id), context)
        ids.append(str(account_id))
    return ids


def _connect(sandbox: _Sandbox, person: str) -> UUID:
    """Store an account with a token pair of *person*'s; return its id."""
    from ullgetthejob.accounts import token_store
    from ullgetthejob.hh.oauth import TokenPair
    from ullgetthejob.platform import clock, postgres

    connection, now = postgres.connection(), clock.now()
    row = connection.execute(INSERT_ACCOUNT, (uuid4().hex, now, now)).fetchone()
    assert row is not None
    pair = TokenPair(*sandbox.log_in(person))
    encrypted = token_store.encrypt(row["id"], pair)
    token_store.save(encrypted, user_id=uuid4(), connection=connection, now=now)
    return UUID(str(row["id"]))


def _require_submitted(account_ids: list[str]) -> None:
    from ullgetthejob.platform import postgres

    row = postgres.connection().execute(
        "SELECT count(*) AS number FROM application_ledger"
        " WHERE account_id = ANY(%s::uuid[]) AND state = 'submitted'",
        (account_ids,),
    ).fetchone()  # fmt: skip
    assert row is not None
    assert row["number"] == len(account_ids), row


def _start() -> None:
    """Import the applier, as an environment does when it starts."""
    from functions.applier import app

    assert app.__name__


def _apply(account_id: str) -> float:
    """Process the wake-up of an account; return the seconds of the processor that it took."""
    from functions.applier import app

    began = time.thread_time()
    body = json.dumps({"account_id": account_id})
    answer: dict[str, Any] = app.handler({"Records": [{"messageId": "1", "body": body}]}, None)
    assert answer == {"batchItemFailures": []}, answer
    return time.thread_time() - began


class _Sandbox:
    """The control of hh.ru's sandbox, which responds slowly while it is open."""

    def __init__(self, variables: dict[str, dict[str, str]]) -> None:
        own = variables["ApplierFunction"]
        headers = {"User-Agent": own["HH_USER_AGENT"]}
        self._http = httpx.Client(base_url=own["HH_API_URL"], headers=headers, timeout=30)

    def __enter__(self) -> _Sandbox:
        for path in ("/vacancies", "/negotiations", "/resumes"):
            slow = {"kind": "slow", "path": path, "seconds": LATENCY_S}
            self._control("POST", "/faults", slow)
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def publish(self) -> str:
        """Publish a vacancy; return its id."""
        return str(self._control("POST", "/vacancies", {"title": f"Бухгалтер {uuid4().hex}"})["id"])

    def log_in(self, person: str) -> Iterator[Any]:
        """Return access token, refresh token and seconds of a new pair of *person*'s."""
        from ullgetthejob.platform import secrets, settings

        redirect = {
            "client_id": secrets.require(settings.HH_CLIENT_ID),
            "redirect_uri": settings.HH_REDIRECT_URI(),
        }
        parameters = {"response_type": "code", **redirect}
        form = {"person": person, "decision": "allow"}
        answer = self._http.post("/oauth/authorize", params=parameters, data=form)
        code = parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]
        grant = {
            "grant_type": "authorization_code",
            "code": code,
            **redirect,
            "client_secret": secrets.require(settings.HH_CLIENT_SECRET),
        }
        tokens = self._http.post("/token", data=grant).raise_for_status().json()
        return (tokens[name] for name in ("access_token", "refresh_token", "expires_in"))

    def calls(self) -> Counter[str]:
        """Return how many calls hh.ru got of each route, without those for tokens."""
        calls = Counter(self._control("GET", "/state")["calls"]["by_route"])
        return Counter({route: number for route, number in calls.items() if route != "POST /token"})

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._http.request(method, f"/_sandbox{path}", json=body)
        return answer.raise_for_status().json() if answer.content else None


if __name__ == "__main__":
    main()
