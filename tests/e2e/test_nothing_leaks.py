"""No output leaks secrets: every flow runs under every fault, then all output of the local cloud is
searched for tokens, codes, states, secrets and personal data.

Not searched: the stores of hh.ru and of the receivers of messages, and the key material of KMS,
which are outside of the product.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import socket
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import aiohttp
import httpx
import psycopg
import pytest

from local.postgres.server import EmbeddedPostgres
from local.sandbox import faults
from local.sandbox.people import people
from local.template.reader import load
from tests.fixtures.leaks import Markers, phone_spellings, spellings
from tests.fixtures.local_cloud import LocalCloud, new_cloud

LIFE_S = 14 * 86_400
SLOW_S = 6  # longer than Core waits for hh.ru
EMPLOYER = "employer"
PLANTED = "planted.person@leaks.example"
PLANTED_SECRET = "a-wrong-secret-of-a-caller"
# Files that are no output of the local cloud: hh.ru, code, and the stores of secrets.
OUTSIDE = ("sandbox", "receivers/", "layers", "aws/", "secrets.json", "postgres/", "ports.json")
UUID_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class World:
    """A local cloud, a BFF, and the markers that no output may hold."""

    cloud: LocalCloud
    markers: Markers = field(default_factory=Markers, repr=False)
    output: list[str] = field(default_factory=list, repr=False)  # of starts before this one
    refusals: list[str] = field(default_factory=list, repr=False)  # bodies of errors
    sessions: dict[str, str] = field(default_factory=dict, repr=False)  # ids by person
    jwts: dict[str, str] = field(default_factory=dict, repr=False)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=35))

    # ── the BFF, and people's browsers ───────────────────────────────────────────────────────────

    def call(self, method: str, path: str, *, secret: bool = True, **options: Any) -> Any:
        """Call Core and record refusals."""
        headers = dict(options.pop("headers", {}))
        if secret:
            headers["X-Core-Secret"] = self.cloud.secrets["ORCHESTRATOR_SECRET"]
        answer = self.http.request(method, self.cloud.url + path, headers=headers, **options)
        if answer.status_code >= 400:
            self.refusals.append(f"{method} {path.partition('?')[0][:30]}: {answer.text}")
        for token in re.findall(r'"jwt":"([^"]+)"', answer.text):
            self.markers.add("a JWT", token, token.rpartition(".")[2])
        return answer

    def as_person(self, method: str, path: str, person: str, **options: Any) -> Any:
        """Call Core with the person's JWT."""
        headers = {"Authorization": f"Bearer {self.jwts[person]}", **options.pop("headers", {})}
        return self.call(method, path, secret=False, headers=headers, **options)

    def redirect(self, **query: str) -> str:
        """Return the address of the login page."""
        answer = self.call("GET", "/auth/hh/redirect", params=query).json()
        self.markers.add("a state", answer["state"])
        return str(answer["url"])

    def consent(self, url: str, person: str, decision: str = "allow") -> dict[str, str]:
        """Submit the login page and return the query of its redirect."""
        answer = self.http.post(url, data={"person": person, "decision": decision})
        back = parse_qs(urlsplit(answer.headers["location"]).query)
        if "code" in back:
            self.markers.add("an authorisation code", *back["code"])
        return {name: values[0] for name, values in back.items()}

    def callback(self, **query: str) -> Any:
        """Call the OAuth callback."""
        return self.call("GET", "/auth/hh/callback", params=query)

    def log_in(self, person: str) -> None:
        """Connect the person in their own session."""
        session = self.sessions.setdefault(person, str(uuid4()))
        back = self.consent(self.redirect(), person)
        answer = self.callback(code=back["code"], session_id=session)
        assert answer.status_code == 200, answer.text
        self.jwts[person] = answer.json()["jwt"]

    def resumes(self, person: str) -> Any:
        """Read the person's resumes."""
        return self.as_person("GET", "/api/hh/resumes", person)

    def sandbox(self, method: str, path: str, content: Any = None) -> None:
        """Call a control route of the sandbox."""
        port = self.cloud.ports["hh"]
        url = f"http://127.0.0.1:{port}/_sandbox{path}"
        self.http.request(method, url, json=content).raise_for_status()

    def forget_pauses(self) -> None:
        """Delete the pause of calls to hh.ru."""
        for pacer in ("default", "default#exchanges"):
            key = {"pk": {"S": f"pacer#{pacer}"}}
            self.dynamodb_client.delete_item(TableName="PacerTable", Key=key)

    def forget_closed_methods(self) -> None:
        """Delete what Core learned of closed methods: it would try each a day later."""
        self.cloud.query("DELETE FROM hh_method_access RETURNING method")

    @cached_property
    def dynamodb_client(self) -> Any:
        """Return a DynamoDB client of the local AWS."""
        return self.cloud.aws_client("dynamodb")

    # ── markers ──────────────────────────────────────────────────────────────────────────────────

    def collect_markers(self) -> None:
        """Add all tokens and codes issued so far to the markers."""
        for path in self.cloud.data_dir.glob("sandbox/*.sqlite*"):
            with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(path)) as store:
                for access, refresh in store.execute("SELECT access, refresh FROM pairs"):
                    self.markers.add("an access token", access)
                    self.markers.add("a refresh token", refresh)
                for (code,) in store.execute("SELECT code FROM codes"):
                    self.markers.add("an authorisation code", code)
                for (token,) in store.execute("SELECT token FROM tokens"):
                    self.markers.add("an application token", token)

    def verifiers(self) -> list[str]:
        """Return PKCE verifiers, which only DynamoDB holds: useless without the code."""
        return re.findall(r'"verifier": \{"S": "([^"]+)"', self.dynamodb())

    # ── outputs ──────────────────────────────────────────────────────────────────────────────────

    def dynamodb(self) -> str:
        """Return every item as text."""
        path = self.cloud.data_dir / "aws" / "items.sqlite"
        with closing(sqlite3.connect(path)) as items:
            return "\n".join(item for (item,) in items.execute("SELECT item FROM items"))

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Return rows of Postgres."""
        server = EmbeddedPostgres(self.cloud.data_dir / "postgres")
        with psycopg.connect(server.url, autocommit=True) as connection:
            found = connection.execute(statement, values)
            return found.fetchall() if found.description else []

    def tables(self) -> dict[str, str]:
        """Return every row of every table as text, by table."""
        names = self.sql(
            "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n"
            " ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'm')"
            " AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
        )
        return {
            name: "\n".join(row for (row,) in self.sql(f"SELECT t::text FROM {name} t"))
            for (name,) in names
        }

    def written(self) -> dict[str, str]:
        """Return all output: printed, logged, in refusals and in files, by its place."""
        data_dir, inside = self.cloud.data_dir, {}
        for path in data_dir.rglob("*"):
            name = str(path.relative_to(data_dir))
            if path.is_file() and (path.name == "server.log" or not name.startswith(OUTSIDE)):
                inside[name] = path
        return {
            **{name: path.read_bytes().decode("utf-8", "replace") for name, path in inside.items()},
            "stdout": "".join([*self.output, *self.cloud.output]),
            "refusals": "\n".join(self.refusals),
            "status": json.dumps(self.cloud.status()) if self.cloud.process else "",
        }

    def start_again(self) -> None:
        """Kill the local cloud with SIGKILL and start it again."""
        self.cloud.kill()
        self.output += self.cloud.output
        self.cloud.start()

    def kill(self, module: str) -> None:
        """Kill the processes of the local cloud whose command line has *module*."""
        for pid in self.cloud.processes():
            with suppress(FileNotFoundError, ProcessLookupError):
                if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def world():
    """Return a local cloud after every flow and fault."""
    with new_cloud(HH_CALLS_PER_SECOND="100") as cloud:
        cloud.start()
        made = World(cloud)
        made.sandbox("POST", "/limit", {"calls_per_second": 1_000})
        know_secrets_and_people(made)
        for flow in FLOWS:
            flow(made)
            made.collect_markers()
        yield made
        made.dynamodb_client.close()
        made.http.close()


def know_secrets_and_people(world):
    for name, value in world.cloud.secrets.items():
        if name != "HH_CLIENT_ID":  # stands in the address of the login page
            world.markers.add(name, value)
    password = (world.cloud.data_dir / "postgres" / "password").read_text().strip()
    world.markers.add("the password of Postgres", password)
    world.markers.add("what a caller sent", PLANTED, PLANTED_SECRET)
    for person in people.all_people().values():
        world.markers.add("an e-mail", person.email)
        world.markers.add("a phone", *phone_spellings(person.phone))
        names = (person.first_name, person.last_name, person.middle_name)
        world.markers.add("a name", *(name for name in names if name and len(name) >= 4))
        for resume in person.resume:
            texts = [resume.get("skills", "")]
            texts += [job.get("description", "") for job in resume.get("experience", [])]
            texts += [job.get("company", "") for job in resume.get("experience", [])]
            world.markers.add("a resume", *(text[:60] for text in texts if len(text) >= 12))


# ── the flows ────────────────────────────────────────────────────────────────────────────────────


def people_log_in(world):
    world.log_in("anna")
    world.log_in("timur")
    assert world.resumes("anna").json()["items"]
    for item in world.resumes("timur").json()["items"]:
        detail = world.as_person("GET", f"/api/hh/resumes/{item['id']}", "timur").json()
        assert detail["resume"]["email"] == people.find("timur").email
        assert world.as_person("GET", f"/api/hh/resumes/{item['id']}", "anna").status_code == 404
    for person, session in world.sessions.items():
        assert world.as_person("GET", f"/api/accounts/{session}", person).status_code == 200
        assert world.as_person("POST", f"/api/accounts/{session}/resume", person).status_code == 200


def pkce_and_states(world):
    bound = str(uuid4())
    for session, query in (
        (world.sessions["anna"], {"pkce": "S256"}),
        (bound, {"pkce": "S256", "session_id": bound}),
    ):
        url = world.redirect(**query)
        world.markers.add("a PKCE verifier", *world.verifiers())
        back = world.consent(url, "anna")
        assert world.callback(**back, session_id=session).status_code == 200
        assert world.callback(**back, session_id=session).status_code == 200  # a replay
        assert world.callback(**back, session_id=str(uuid4())).status_code in (400, 409)
    back = world.consent(world.redirect(session_id=str(uuid4())), "anna")
    assert world.callback(**back, session_id=str(uuid4())).status_code == 400  # of another session
    assert world.callback(code="F" * 64, session_id=bound).json()["error"] == "state_required"
    session = world.sessions["anna"]
    url = world.redirect()
    back = world.consent(url, "anna", decision="deny")
    assert world.callback(**back, session_id=session).json()["error"] == "access_denied"
    world.sandbox("POST", "/clock", {"advance_seconds": 601})
    back = world.consent(url, "anna")
    assert world.callback(**back, session_id=session).json()["error"] == "invalid_state"
    assert world.callback(code="F" * 64, session_id=session).json()["error"] == "invalid_code"
    world.markers.add("an authorisation code", "F" * 64)


def a_socket_is_told_what_it_should_not_be(world):
    """Use valid, used and invented tickets; send frames with planted data."""
    answer = world.as_person("POST", "/api/realtime/ticket", "anna").json()
    world.markers.add("a ticket", answer["ticket"])
    made_up = answer["url"].replace(answer["ticket"], PLANTED_SECRET)
    frames = (
        *(
            PLANTED,
            json.dumps({"type": PLANTED}),
            json.dumps({"type": "replay", "cursor": PLANTED}),
        ),
        *(json.dumps({"type": "subscribe", "topics": [PLANTED]}), PLANTED_SECRET * 200),
        json.dumps({"type": "replay", "cursor": 0}),
    )

    async def talk():
        async with aiohttp.ClientSession() as session:
            connected = await session.ws_connect(answer["url"])
            for frame in frames:
                await connected.send_str(frame)
                reply = await connected.receive_str(timeout=30)
                if '"error"' in reply:
                    world.refusals.append(reply)
            for url in (answer["url"], made_up):
                with pytest.raises(aiohttp.WSServerHandshakeError):
                    await session.ws_connect(url)
            await connected.close()

    asyncio.run(talk())


def an_employer_logs_in(world):
    back = world.consent(world.redirect(), EMPLOYER)
    answer = world.callback(code=back["code"], session_id=str(uuid4()))
    assert answer.json()["error"] == "not_an_applicant"


def a_trusted_server_gets_tokens(world):
    back = world.consent(world.redirect(), "timur")
    tokens = world.callback(code=back["code"]).json()["tokens"]
    for _ in range(2):
        body = {"refresh_token": tokens["refresh_token"]}
        assert world.call("POST", "/auth/hh/refresh", json=body).status_code == 200
    world.sandbox("POST", "/clock", {"advance_seconds": LIFE_S + 1})
    renewed = world.call("POST", "/auth/hh/refresh", json=body).json()["tokens"]
    assert renewed["refresh_token"] != tokens["refresh_token"]
    assert world.call("POST", "/auth/hh/refresh", json=body).status_code == 200
    for wrong in (tokens["access_token"], renewed["access_token"], PLANTED):
        assert world.call("POST", "/auth/hh/refresh", json={"refresh_token": wrong}).is_error
    world.log_in("anna")
    assert world.resumes("anna").status_code == 200


def everything_in_a_wrong_place(world):
    """Send secrets where they are not expected, as erring callers do."""
    jwt, session = world.jwts["anna"], world.sessions["anna"]
    back = world.consent(world.redirect(), "anna")
    for text in (jwt, PLANTED, back["code"]):
        bearing = {"Authorization": f"Bearer {text}x"}
        for answer in (
            world.call("GET", f"/api/accounts/{text}"),
            world.call("GET", f"/api/{text}?token={text}"),
            world.call("GET", f"/api/accounts/{session}?user_id={text}", headers=bearing),
            world.call("GET", f"/api/hh/resumes/{text}", headers=bearing),
            world.call("GET", "/auth/hh/redirect", params={"pkce": text, "session_id": text}),
            world.callback(code=text, session_id=text, state=text),
            world.callback(code="x", state=text, session_id=session),
            world.callback(error=text, session_id=session),
            world.callback(error=text * 5, session_id=session),
            world.call("POST", "/auth/hh/refresh", content=f'{{"refresh_token": "{text}'),
            world.call("POST", "/auth/hh/refresh", json={"refresh_token": [text], text: text}),
            world.call("POST", "/auth/hh/refresh", json=[text]),
            world.call("POST", "/auth/hh/refresh", json={"refresh_token": text * 9}),
            world.call("GET", "/api/hh/status", secret=False, headers={"Authorization": text}),
            world.call("GET", "/api/hh/status", secret=False, headers={"Cookie": f"jwt={text}"}),
            world.call("DELETE", "/api/hh/connection", headers={"Authorization": f"Basic {text}"}),
            world.call("GET", "/auth/hh/redirect", secret=False, headers={"X-Core-Secret": text}),
        ):
            assert answer.is_error
        spoofed = {"X-Request-ID": f"{text}.", "User-Agent": text, "Referer": text, "Origin": text}
        world.call("GET", "/api/hh/status", headers=spoofed)
    for headers in (
        *({"X-Core-Secret": PLANTED_SECRET}, {"X-Admin-Secret": PLANTED_SECRET}),
        {"X-Core-Secret": world.cloud.secrets["ORCHESTRATOR_SECRET"][:-1]},
        {
            "X-Core-Secret": world.cloud.secrets["ORCHESTRATOR_SECRET"],
            "X-Signature": PLANTED_SECRET,
        },
        {"X-Core-Secret": world.cloud.secrets["ADMIN_SECRET"]},
        {"Authorization": f"Bearer {world.cloud.secrets['SECRET_KEY_BASE']}"},
    ):
        assert world.call("GET", "/auth/hh/redirect", secret=False, headers=headers).is_error


def every_route_with_all_of_it(world):
    """Call all routes of the template with wrong ids and invalid credentials."""
    jwt, session = world.jwts["timur"], world.sessions["timur"]
    for route in load().routes:
        for place in (jwt, PLANTED, session):
            path = re.sub(r"\{[^}]+\}", place, route.path)
            for headers in (
                {},
                {"Authorization": f"Bearer {jwt}x"},
                {"Authorization": f"Bearer {jwt}"} if route.method == "GET" else {},
            ):
                body = {"user_id": place, "text": PLANTED, "refresh_token": PLANTED}
                more = {} if route.method in ("GET", "DELETE") else {"json": body}
                world.call(route.method, f"{path}?user_id={place}", headers=headers, **more)


def what_is_no_http(world):
    """Send requests that the gateway itself refuses."""
    jwt = world.jwts["anna"]
    for request in (
        f"GET /api/{jwt} HTTP/9.9\r\n\r\n",
        f"GET /api/accounts/{jwt}\r\n\r\n",
        f"G{{T /api/hh/status HTTP/1.1\r\nAuthorization: Bearer {jwt}\r\n\r\n",
        f"GET /api/hh/status HTTP/1.1\r\nAuthorization: Bearer {jwt}\x00\r\n\r\n",
        f"GET /api/hh/status HTTP/1.1\r\nAuthorization : Bearer {jwt}\r\n\r\n",
        f"GET /api/hh/status HTTP/1.1\r\nHost: x\r\nAuthorization: {jwt * 50}\r\n\r\n",
        f"GET /api/hh/status?jwt={jwt * 50} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"POST /auth/hh/refresh HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {jwt}\r\n\r\n",
        f"POST /auth/hh/refresh HTTP/1.1\r\nHost: x\r\nContent-Length: {jwt}\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", world.cloud.port), timeout=5) as connection:
            connection.sendall(request.encode("latin-1"))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass


def every_fault(world):
    """Log in, refresh, list and read under each fault of the sandbox."""
    resume, session = world.resumes("anna").json()["items"][0]["id"], world.sessions["anna"]

    def log_in():
        back = world.consent(url, "anna")
        world.callback(code=back["code"], session_id=session)

    def refresh():
        world.call("POST", "/auth/hh/refresh", json={"refresh_token": PLANTED})

    def read():
        world.resumes("anna")
        world.as_person("GET", f"/api/hh/resumes/{resume}", "anna")
        world.as_person("GET", f"/api/accounts/{session}", "anna")
        world.as_person("POST", f"/api/accounts/{session}/resume", "anna")

    url = world.redirect()
    for kind in faults.KINDS:
        for path, calls in {
            "/token": (log_in, refresh),
            "/me": (log_in,),
            "/resumes": (read,),
        }.items():
            if kind == "refusal" or (kind == "slow" and path != "/me"):
                continue  # a refusal is of applications alone
            more = {"seconds": SLOW_S, "times": 1} if kind == "slow" else {}
            world.sandbox("POST", "/faults", {"kind": kind, "path": path, **more})
            for call in calls:
                call()
            world.sandbox("DELETE", "/faults")
            world.forget_pauses()
            world.forget_closed_methods()
        world.log_in("anna")
        assert world.resumes("anna").status_code == 200, kind


def every_state_of_an_account(world):
    """Change people's state at hh.ru, then refresh and log in."""
    for trouble in (
        *(("account", state) for state in ("locked", "password_invalidated", "login_not_verified")),
        *(("password", None), ("revoke", None)),
    ):
        route, state = trouble
        world.log_in("timur")
        back = world.consent(world.redirect(), "timur")
        # First the trouble, then the end of the tokens: the local cloud renews by itself, too.
        world.sandbox("POST", f"/people/timur/{route}", {"state": state})
        if route != "revoke":
            world.sandbox("POST", "/clock", {"advance_seconds": LIFE_S + 1})
            world.log_in("anna")
        if route == "account" or route == "revoke":
            assert world.resumes("timur").status_code in (401, 409), trouble
        world.callback(code=back["code"], session_id=world.sessions["timur"])
        world.sandbox("POST", "/people/timur/account", {"state": "active"})
    world.sandbox("POST", "/mode", {"mode": "closed"})
    assert world.resumes("anna").json()["error"] == "hh_closed"
    world.sandbox("POST", "/mode", {"mode": "open"})
    world.forget_closed_methods()
    world.log_in("anna")
    world.log_in("timur")


def handlers_crash(world):
    """Let the database refuse writes unexpectedly, with errors that quote the row."""
    for table in ("users", "account_tokens", "hh_logins", "accounts", "audit_log"):
        back = world.consent(world.redirect(), "anna")
        world.sql(f"ALTER TABLE {table} ADD CONSTRAINT never CHECK (false) NOT VALID")
        answer = world.callback(code=back["code"], session_id=world.sessions["anna"])
        assert answer.json()["error"] == "internal_error", table
        world.resumes("anna")
        world.sql(f"ALTER TABLE {table} DROP CONSTRAINT never")
    for table in ("audit_log", "account_tokens", "users"):
        world.sql(f"ALTER TABLE {table} RENAME TO elsewhere")
        assert world.resumes("anna").json()["error"] == "internal_error", table
        world.sql(f"ALTER TABLE elsewhere RENAME TO {table}")
    world.log_in("anna")


def a_ciphertext_moves(world):
    """Move a ciphertext to another account's row, where it does not decrypt."""
    ids = {
        person: world.sql("SELECT account_id FROM users WHERE id = %s", session)[0][0]
        for person, session in world.sessions.items()
    }
    world.sql(
        "UPDATE account_tokens t SET access_token = o.access_token, refresh_token = o.refresh_token"
        " FROM account_tokens o WHERE t.account_id = %s AND o.account_id = %s",
        ids["timur"],
        ids["anna"],
    )
    answer = world.resumes("timur")
    assert (answer.status_code, answer.json()["error"]) == (409, "reauth_required")
    assert answer.json()["details"]["access"]["reason"] == "tokens_unreadable"
    assert world.resumes("anna").status_code == 200
    world.log_in("timur")
    assert world.resumes("timur").status_code == 200


def services_die(world):
    """Kill AWS, then Postgres, with SIGKILL."""
    anna, url = world.sessions["anna"], world.redirect()
    back = world.consent(url, "anna")
    world.kill("local.aws")
    for answer in (
        world.resumes("anna"),
        world.callback(**back, session_id=anna),
        world.callback(code=back["code"], session_id=anna),
        world.call("GET", "/auth/hh/redirect"),
    ):
        assert answer.status_code == 503
    (postmaster,) = (
        (world.cloud.data_dir / "postgres/cluster/postmaster.pid").read_text().split()[:1]
    )
    os.kill(int(postmaster), signal.SIGKILL)
    for answer in (
        world.resumes("anna"),
        world.as_person("GET", f"/api/accounts/{anna}", "anna"),
        world.callback(code=back["code"], session_id=anna),
        world.call("POST", "/auth/hh/refresh", json={"refresh_token": PLANTED}),
    ):
        assert answer.status_code in (401, 503)
    world.start_again()
    assert world.resumes("anna").status_code == 200


def the_page_that_plays_the_bff(world):
    """Use ``/dev/connect``, with valid and invalid redirects of hh.ru."""
    page, session = f"{world.cloud.url}/dev/connect", world.sessions["anna"]
    with httpx.Client(timeout=35) as browser:
        sent = browser.post(f"{page}/login", headers={"Sec-Fetch-Site": "same-origin"})
        state = parse_qs(urlsplit(sent.headers["location"]).query)["state"]
        world.markers.add("a state", *state)
        back = world.consent(sent.headers["location"], "anna")
        for query in (back, back, {**back, "code": PLANTED}, {"error": PLANTED}, {"code": PLANTED}):
            answer = browser.get(page, params=query)
            for jwt in browser.cookies.values():
                if jwt.count(".") == 2:
                    world.markers.add("a JWT", jwt)
            assert answer.status_code < 500
        browser.cookies.set("dev_connect_jwt", PLANTED, path="/dev/connect")
        browser.get(page, params=back)
        browser.post(f"{page}/disconnect", headers={"Sec-Fetch-Site": "same-origin"})
    assert UUID_FORM.fullmatch(session)
    world.log_in("anna")


def people_disconnect(world):
    # Anna has logged in many times, and every pair of hers is revoked: faster than hh.ru takes it
    # from a sandbox that was started anew.
    world.sandbox("POST", "/limit", {"calls_per_second": 1_000})
    for path in ("/token", "/resumes"):
        world.sandbox("POST", "/faults", {"kind": "server_error", "path": path, "times": 1})
        world.as_person("DELETE", "/api/hh/connection", "anna")
        world.sandbox("DELETE", "/faults")
        world.forget_pauses()
        assert world.resumes("anna").status_code == 401
        world.log_in("anna")
    assert world.as_person("DELETE", "/api/hh/connection", "timur").status_code == 200
    assert world.resumes("timur").status_code == 401


FLOWS = (
    people_log_in,
    pkce_and_states,
    a_socket_is_told_what_it_should_not_be,
    an_employer_logs_in,
    a_trusted_server_gets_tokens,
    everything_in_a_wrong_place,
    every_route_with_all_of_it,
    what_is_no_http,
    every_fault,
    every_state_of_an_account,
    handlers_crash,
    a_ciphertext_moves,
    the_page_that_plays_the_bff,
    services_die,
    people_disconnect,
)


# ── the search ───────────────────────────────────────────────────────────────────────────────────


def test_markers_are_the_values_in_use(world):
    """An empty search is meaningful only with the right markers."""
    kinds = set(world.markers.known.values())
    assert {
        *("a JWT", "a state", "an authorisation code", "a PKCE verifier", "an access token"),
        *("a refresh token", "an e-mail", "a phone", "a name", "a resume", "SECRET_KEY_BASE"),
        *("ORCHESTRATOR_SECRET", "HH_CLIENT_SECRET", "ADMIN_SECRET", "the password of Postgres"),
        "a ticket",
    } <= kinds
    jwt = world.jwts["anna"]
    answered = world.resumes("anna").text
    shown = world.markers.found_in(f"Bearer {jwt} {answered}")
    assert {"a JWT", "an e-mail", "a phone", "a name"} <= set(shown) | {"an e-mail", "a phone"}
    for path in world.cloud.data_dir.glob("sandbox/*.sqlite*"):
        shown |= world.markers.found_in(path.read_bytes().decode("utf-8", "replace"))
    assert {"an access token", "a refresh token", "an authorisation code"} <= set(shown)


@pytest.mark.parametrize("text", ["USER0123456789ABCDEF", "Веснина", "a+b@c.example/ü?"])
def test_leak_search_finds_every_spelling(text):
    markers = Markers()
    markers.add("it", text)
    for spelling in spellings(text):
        assert markers.found_in(f"x{spelling}y"), spelling
        assert not markers.found_in(f"x{spelling[1:-1]}y".replace(text, ""))
    for lead in range(3):
        if len(text.encode()) >= 12:
            written = base64.b64encode(b"." * lead + text.encode() + b"...").decode()
            assert markers.found_in(written)
    assert markers.found_in(json.dumps({"a": json.dumps({"b": text})}))
    assert not markers.found_in("nothing of the kind")


def test_leak_search_covers_all_outputs(world):
    written = world.written()
    for name in (*(f.name for f in load().functions.values() if f.routes), "gateway", "access"):
        assert len(written[f"logs/{name}.log"]) > 100, name
    assert "violates check constraint" in written["postgres/server.log"]
    assert "Failing row" not in written["postgres/server.log"]  # it would quote any column
    assert "Ctrl-C stops everything" in written["stdout"]
    assert "internal_error" in written["refusals"]
    assert {"users", "account_tokens", "audit_log"} <= set(world.tables())
    assert world.sql("SELECT count(*) FROM audit_log")[0][0] > 50


def test_outputs_hold_no_secret_or_personal_data(world):
    for name, text in world.written().items():
        assert world.markers.found_in(text) == {}, name


def test_dashboard_pages_hold_no_secret_or_letter(world):
    """Every page that links lead to, but for those of employers, who received the letters. What a
    person of the sandbox is called stands on the pages of people."""
    seen, waiting = set(), ["/dev/dashboard"]
    while waiting and len(seen) < 150:
        path = waiting.pop()
        if path in seen or "/hh/" in path:
            continue
        seen.add(path)
        answer = world.http.get(world.cloud.url + path)
        assert answer.status_code in (200, 404, 503), path
        found = world.markers.found_in(answer.text)
        assert set(found) <= {"a name"}, (path, found)
        links = re.findall(r'href="(/dev/dashboard[^"#]*)"', answer.text)
        waiting += [link.replace("&amp;", "&") for link in links]
    assert len(seen) > 20


def test_postgres_tables_hold_no_marker(world):
    for table, rows in world.tables().items():
        assert world.markers.found_in(rows) == {}, table
    emails = [
        email for (email,) in world.sql("SELECT email FROM users WHERE account_id IS NOT NULL")
    ]
    assert emails
    for email in emails:
        assert UUID_FORM.fullmatch(email.removesuffix("@session.invalid")), email


def test_dynamodb_holds_no_marker_but_verifiers(world):
    items = world.dynamodb()
    assert "oauth-state#" in items
    for path in (world.cloud.data_dir / "aws").glob("items.sqlite*"):  # what was deleted too
        items += path.read_bytes().decode("utf-8", "replace")
    assert set(world.markers.found_in(items)) <= {"a PKCE verifier"}


def test_tokens_are_stored_as_kms_ciphertexts_alone(world):
    keys = {key.key_id for key in load().keys.values()}
    rows = world.sql("SELECT access_token, refresh_token FROM account_tokens")
    pairs = [pair for (pair,) in world.sql("SELECT pair FROM hh_logins WHERE pair IS NOT NULL")]
    assert rows
    assert pairs  # of a login that broke in the middle
    for ciphertext in [*(text for row in rows for text in row), *pairs]:
        content = base64.b64decode(ciphertext, validate=True)
        assert content[:36].decode() in keys  # moto writes the key's id first


def test_postgres_files_hold_no_token(world):
    """Neither does the write-ahead log: a backup is useless without KMS."""
    shapes = rb"USER[0-9A-F]{40}|[0-9A-F]{64}|eyJ[\w-]{20,}\.eyJ"
    for kind in ("an access token", "a refresh token", "an authorisation code", "a JWT"):
        known = [text for text, label in world.markers.known.items() if label == kind]
        assert any(re.search(shapes.lower(), text.encode()) for text in known), kind
    searched = 0
    for folder in ("base", "pg_wal"):
        for path in (world.cloud.data_dir / "postgres" / "cluster" / folder).rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                searched += b"@session.invalid" in content
                assert not re.search(shapes, content), path
    assert searched >= 2  # the search sees planted values, in tables and in the log
