"""A person can neither read nor change another's data: every route of the template, every place
that can hold an id, with and without the service's secret."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any, get_args, get_origin
from urllib.parse import quote
from uuid import UUID, uuid4, uuid5

import pytest

from local.sandbox.people import people
from tests.fixtures.core import SERVICE_HEADER
from tests.fixtures.wire import every_route, send
from ullgetthejob.accounts import token_store
from ullgetthejob.platform import postgres
from ullgetthejob.platform.http import ADMIN, SERVICE, USER, USER_OR_SERVICE

# The redirect comes late: it binds a session, whose logins are then refused without its state. The
# deletion comes last.
DELETION = "DELETE /api/accounts/{user_id}"
LATE = ["GET /auth/hh/redirect", DELETION]
ROUTES = dict(
    sorted(every_route().items(), key=lambda item: LATE.index(item[0]) if item[0] in LATE else -1)
)
# These can be repeated after the person was deleted.
OF_UNKNOWN_USERS = {"GET /api/accounts/{user_id}/export", DELETION}
NAMES = ("user_id", "session_id", "account_id", "id", "resume_id", "hh_user_id", "subject", "sub")
FREE_TEXT = {"name", "text", "letter"}  # is shown to the person who wrote it
HEADERS = ("X-Session-Id", "X-User-Id", "X-Account-Id", "X-Forwarded-User", "X-Remote-User", "From")
COOKIES = ("session_id", "user_id", "dev_connect_session", "dev_connect_jwt")


# These routes show vacancies, which are public; a vacancy may have the title of a resume.
SHOW_VACANCIES = {
    "POST /api/jobs/search",
    "POST /api/jobs/import",
    "GET /api/jobs/{id}",
    "POST /api/filters/preview",
}


# Which fields the body has depends on one of them: their names are not enough to fill it.
CHOOSE_FIELDS = {"POST /api/notifications/channels"}


@dataclass(frozen=True)
class ConnectedPerson:
    """A connected person, with everything that no other person may see."""

    user_id: str
    jwt: str
    account_id: str
    resume_ids: tuple[str, ...]
    code: str
    tokens: tuple[str, str]
    hh: people.Person

    @property
    def workflow_id(self) -> str:
        """Return the id of the person's campaign."""
        return str(uuid5(UUID(self.account_id), "campaign"))

    @property
    def schedule_id(self) -> str:
        """Return the id of the person's saved search."""
        return str(uuid5(UUID(self.account_id), "saved search"))

    @property
    def template_id(self) -> str:
        """Return the id of the person's letter template."""
        return str(uuid5(UUID(self.account_id), "letter template"))

    def id_for(self, name: str, path: str = "") -> str:
        """Return the id that fits a variable, parameter or field called *name*, in *path*."""
        if name == "id" and path.startswith("/api/schedules/"):
            return self.schedule_id
        if name == "template_id" or (name == "id" and path.startswith("/api/letters/")):
            return self.template_id
        return {
            "account_id": self.account_id,
            "workflow_id": self.workflow_id,
            "act": "pause",
            "id": self.resume_ids[0],
            "resume_id": self.resume_ids[0],
            "hh_user_id": self.hh.id,
            "refresh_token": self.tokens[1],
            "code": self.code,
            "letter_hash": "0" * 64,
        }.get(name, self.user_id)

    def seen_in(self, text: str) -> set[str]:
        """Return the private values that *text* contains."""
        private = {
            *(self.user_id, self.jwt, self.account_id, *self.resume_ids, *self.tokens),
            *(self.workflow_id, self.schedule_id, self.template_id),
            *(self.hh.id, self.hh.email, self.hh.phone, self.hh.first_name, self.hh.last_name),
            *(resume["title"] for resume in self.hh.resume),
        }
        if not text.startswith("\ufeff"):  # CSV
            text = json.dumps(json.loads(text), ensure_ascii=False)
        text = text.casefold()
        return {value for value in private if value.casefold() in text}


@pytest.fixture
def connect(core, monkeypatch):
    """Return a function that connects a person of the sandbox by its key."""
    monkeypatch.setenv("HH_ACCESS_TOKEN", core.sandbox.token())
    monkeypatch.setenv("WEBSOCKET_URL", "ws://localhost:4000/ws")

    def connected(key: str) -> ConnectedPerson:
        code, hh_person = core.code(key), people.find(key)
        assert hh_person is not None
        user_id = str(uuid4())
        jwt = core.callback(code, user_id).body["jwt"]
        resumes = core.call("GET /api/hh/resumes", jwt=jwt, secret=None).body["items"]
        [row] = core.rows("SELECT account_id FROM users WHERE id = %s", user_id)
        pair = token_store.read(row["account_id"], connection=postgres.connection(), now=core.now())
        person = ConnectedPerson(
            user_id,
            jwt,
            str(row["account_id"]),
            tuple(resume["id"] for resume in resumes),
            code,
            (pair.access_token, pair.refresh_token),
            hh_person,
        )
        core.rows(
            "INSERT INTO letter_templates (id, account_id, name, text, created_at, updated_at)"
            " VALUES (%s, %s, 'Короткое', 'Здравствуйте!', now(), now())",
            *(person.template_id, person.account_id),
        )
        core.rows(
            "INSERT INTO campaigns (workflow_id, account_id, user_id, state, created_at,"
            " updated_at) VALUES (%s, %s, %s, 'running', now(), now())",
            *(person.workflow_id, person.account_id, user_id),
        )
        core.rows(
            "WITH query AS (INSERT INTO search_queries (hash, parameters, created_at)"
            " VALUES (decode(md5(%s), 'hex'), '{\"text\": \"nobody\"}', now()) RETURNING id)"
            " INSERT INTO saved_searches (id, account_id, user_id, query_id, name, search,"
            " interval_seconds, paused, time_zone, created_at, updated_at)"
            " SELECT %s, %s, %s, id, %s, '{}', 1800, true, 'UTC', now(), now() FROM query",
            *(key, person.schedule_id, person.account_id, user_id, person.schedule_id),
        )
        return person

    return connected


def variables(route):
    return re.findall(r"\{(\w+)\+?\}", route.path)


def fields(model):
    return {} if model is None else model.model_fields


def filled(model, person: ConnectedPerson) -> dict[str, Any]:
    """Return a body or query for *model* with *person*'s ids, as far as its fields' names tell."""
    required = [name for name, field in fields(model).items() if field.is_required()]
    known = set(fields(model)) & {*NAMES, "code"}
    values: dict[str, Any] = {name: person.id_for(name) for name in {*required, *known}}
    nested = {name for name in required if hasattr(fields(model)[name].annotation, "model_fields")}
    lists = {name for name in required if get_origin(fields(model)[name].annotation) is list}
    items = {
        name: filled_item(get_args(fields(model)[name].annotation)[0], person) for name in lists
    }
    return values | {name: {} for name in nested} | {name: [item] for name, item in items.items()}


def filled_item(kind, person: ConnectedPerson) -> Any:
    """Return an item of a list of *kind*."""
    if hasattr(kind, "model_fields"):
        return filled(kind, person)
    return person.user_id if kind is UUID else "1"


def attacks(route, a: ConnectedPerson, b: ConnectedPerson):
    """Yield requests of A's with B's ids in a single place each, and in all places at once."""
    own = {
        "parameters": {name: a.id_for(name, route.path) for name in variables(route)},
        "query": filled(route.query, a),
        "body": filled(route.body, a),
    }
    yield own
    for name in variables(route):
        ids = {b.id_for(name), b.user_id, b.account_id, b.schedule_id, *b.resume_ids, b.hh.id}
        for foreign in ids:
            yield {**own, "parameters": {**own["parameters"], name: foreign}}
    for place, model in (("query", route.query), ("body", route.body)):
        yield {**own, place: filled(model, b)}
        for name in {*NAMES, *fields(model)} - FREE_TEXT:
            yield {**own, place: {**own[place], name: b.id_for(name)}}
        yield {**own, place: {**own[place], **{name: b.id_for(name) for name in NAMES}}}
        upper_case = {name.upper(): b.id_for(name) for name in NAMES}
        yield {**own, place: {**own[place], **upper_case, "userId": b.user_id}}
    spoofed = [(name, b.user_id) for name in HEADERS]
    cookies = "; ".join(f"{name}={b.jwt if 'jwt' in name else b.user_id}" for name in COOKIES)
    yield {**own, "headers": [*spoofed, ("Cookie", cookies)]}
    everywhere = {name: b.id_for(name) for name in NAMES}
    yield {
        "parameters": {name: b.id_for(name, route.path) for name in variables(route)},
        "query": {**filled(route.query, b), **everywhere},
        "body": {**filled(route.body, b), **everywhere},
        "headers": [*spoofed, ("Cookie", cookies)],
    }


def sent(route, jwt, attack, *, secret):
    headers = [*attack.get("headers", ()), ("Authorization", f"Bearer {jwt}")]
    if secret:
        headers.append(SERVICE_HEADER)
    return send(
        route.method,
        route.path,
        headers=headers,
        parameters=attack["parameters"],
        query=attack["query"],
        body=attack["body"] if route.method != "GET" else None,
    )


def state_of(core, person):
    """Return all rows of *person*, except the audit records of their own actions."""
    by_account = ("account_tokens", "users", "application_filters", "campaigns", "saved_searches",
                  "fit_weights", "letter_templates", "autopilots", "resume_raises")  # fmt: skip
    return {
        "accounts": core.rows("SELECT * FROM accounts WHERE id = %s", person.account_id),
        **{
            table: core.rows(f"SELECT * FROM {table} WHERE account_id = %s", person.account_id)
            for table in by_account
        },
    }


def test_foreign_ids_with_an_own_token_reveal_nothing(core, connect):
    a, b = connect("anna"), connect("timur")
    before = state_of(core, b)
    for key, route in ROUTES.items():
        for secret in (False, True):
            for attack in attacks(route, a, b):
                reply = sent(route, a.jwt, attack, secret=secret)
                seen = b.seen_in(reply.text)
                if key in SHOW_VACANCIES:
                    seen -= {resume["title"] for resume in b.hh.resume}
                assert seen == set(), (key, attack, reply)
                assert reply.status in (200, 201, 202, 400, 401, 403, 404, 409, 422), (key, reply)
                if key == DELETION and reply.status == 202:
                    session = str(uuid4())
                    a = replace(a, user_id=session, jwt=core.log_in("anna", session)[1])
                if reply.status == 403:
                    assert reply.error == "user_mismatch"
                if key == "DELETE /api/hh/connection" and reply.status == 200:
                    a = replace(a, jwt=core.log_in("anna", a.user_id)[1])
        assert state_of(core, b) == before, key
    assert send("GET", "/api/hh/resumes", headers=bearing(b)).status == 200


def bearing(person):
    return [("Authorization", f"Bearer {person.jwt}")]


def test_own_ids_with_an_own_token_reveal_own_values(connect):
    """The same requests with B's own token show B's values: so the test above can fail."""
    a, b = connect("anna"), connect("timur")
    shown = {}
    for key, route in ROUTES.items():
        if route.method != "DELETE":
            replies = [sent(route, b.jwt, attack, secret=True) for attack in attacks(route, b, a)]
            shown[key] = set().union(*(b.seen_in(reply.text) for reply in replies))
    assert {b.user_id, b.account_id} <= shown["GET /api/accounts/{user_id}"]
    assert set(b.resume_ids) <= shown["GET /api/hh/resumes"]
    assert {b.hh.email, b.hh.phone, b.hh.last_name} <= shown["GET /api/hh/resumes/{id}"]
    assert set(b.tokens) <= shown["POST /auth/hh/refresh"]
    for key in ("GET /api/schedules", "GET /api/schedules/{id}", "PATCH /api/schedules/{id}"):
        assert b.schedule_id in shown[key]
    assert {b.user_id, b.jwt} & shown["GET /auth/hh/callback"]


def test_foreign_user_id_is_refused_as_user_mismatch(connect):
    a, b = connect("anna"), connect("timur")
    foreign_ids = (b.user_id, b.user_id.upper(), str(uuid4()), "0" * 8 + b.user_id[8:])
    tried = 0
    for key, route in ROUTES.items():
        own = next(attacks(route, a, b))
        if key in CHOOSE_FIELDS:
            continue
        places = {
            "parameters": variables(route),
            "query": fields(route.query),
            "body": fields(route.body),
        }
        for place in (name for name, known in places.items() if "user_id" in known):
            for foreign_id in foreign_ids:
                attack = {**own, place: {**own[place], "user_id": foreign_id}}
                for secret in (False, True):
                    reply = sent(route, a.jwt, attack, secret=secret)
                    if route.auth is ADMIN or (route.auth is SERVICE and not secret):
                        assert reply.status == 401, key
                    else:
                        assert (reply.status, reply.error) == (403, "user_mismatch"), key
                    tried += 1
    assert tried > 100


def test_token_beside_the_secret_binds_service_routes(connect):
    a, b = connect("anna"), connect("timur")
    headers = [*bearing(a), SERVICE_HEADER]
    for path, query in (
        ("/auth/hh/callback", {"code": b.code, "session_id": b.user_id}),
        ("/auth/hh/callback", {"code": "never-given", "session_id": b.user_id}),
        ("/auth/hh/callback", {"code": b.code}),
    ):
        reply = send("GET", path, headers=headers, query=query)
        assert (reply.status, reply.error) == (403, "user_mismatch"), query
    reply = send("GET", "/auth/hh/callback", headers=headers, query={
        "code": b.code, "session_id": a.user_id,
    })  # fmt: skip
    assert (reply.status, reply.error) == (409, "code_of_another_session")
    for token in b.tokens[1], b.tokens[1].strip():
        body = {"refresh_token": token}
        reply = send("POST", "/auth/hh/refresh", headers=headers, body=body)
        assert (reply.status, reply.error) == (403, "user_mismatch")
        assert send("POST", "/auth/hh/refresh", headers=[SERVICE_HEADER], body=body).status == 200


def test_resume_of_another_person_is_not_found(core, connect):
    a, b = connect("anna"), connect("timur")
    for resume_id in b.resume_ids:
        for foreign in (
            resume_id,
            resume_id.upper(),
            quote(f"../resumes/{resume_id}", safe=""),
            b.hh.id,
        ):
            for headers in (bearing(a), [*bearing(a), SERVICE_HEADER]):
                reply = send(
                    "GET", "/api/hh/resumes/{id}", headers=headers, parameters={"id": foreign}
                )
                assert (reply.status, reply.error) == (404, "resume_not_found")
    assert core.access(a.user_id)["state"] == "ok"


# ── the service, without a token ─────────────────────────────────────────────────────────────────

NO_IDS = [
    *("undefined", "null", "me", "0", "1", "%", "'", "../x", "5b0f6f0e7f3b4df09d1f2f9a4b6f3c11"),
    *("{5b0f6f0e-7f3b-4df0-9d1f-2f9a4b6f3c11}", "urn:uuid:5b0f6f0e-7f3b-4df0-9d1f-2f9a4b6f3c11"),
    *("5b0f6f0e-7f3b-4df0-9d1f-2f9a4b6f3c1", "5b0f6f0e-7f3b-4df0-9d1f-2f9a4b6f3c111", "٥" * 36),
    *("5b0f6f0e-7f3b-4df0-9d1f-2f9a4b6f3c11\n", " 5b0f6f0e-7f3b-4df0-9d1f-2f9a4b6f3c11", "\0"),
    *("5b0f6f0e-7f3b-4df0-9d1f-2f9a4b6f3c11,5b0f6f0e-7f3b-4df0-9d1f-2f9a4b6f3c12", "g" * 36),
]


# The answers to a repeated request, where they differ from the first.
SAME_AGAIN = {
    "POST /api/schedules": (200, None),
    "DELETE /api/schedules/{id}": (404, "not_found"),
    "POST /api/letters/templates": (200, None),
    "DELETE /api/letters/templates/{id}": (404, "template_not_found"),
}


def test_service_has_to_name_an_existing_user(core, connect):
    person, answered = connect("anna"), set()
    for key, route in ROUTES.items():
        if route.auth is not USER_OR_SERVICE:
            continue
        if "user_id" in variables(route):
            place = "parameters"
        else:
            place = "body" if "user_id" in fields(route.body) else "query"
        own = next(attacks(route, person, person))

        def answer_for(user_id, own=own, place=place, route=route):
            request = {**own, place: {**own[place], "user_id": user_id}}
            if user_id is None:
                del request[place]["user_id"]
            body = request["body"] if route.method != "GET" else None
            reply = send(
                route.method,
                route.path,
                headers=[SERVICE_HEADER],
                parameters=request["parameters"],
                query=request["query"],
                body=body,
            )
            return reply.status, reply.error

        for no_id in [*NO_IDS, *([] if place == "parameters" else [None, ""])]:
            # API Gateway decodes a path before it looks for a route.
            other_path = place == "parameters" and "/" in no_id
            expected = (404, None) if other_path else (422, "invalid_request")
            assert answer_for(no_id) == expected, (key, no_id)
        status, error = answer_for(person.user_id)
        if status != 422:  # where the names of the fields are enough to fill a body
            assert error != "user_not_found", key
            again = SAME_AGAIN.get(key, (status, error))
            assert answer_for(person.user_id.upper()) == again, key
            unknown = (status, error) if key in OF_UNKNOWN_USERS else (404, "user_not_found")
            assert answer_for(str(uuid4())) == unknown, key
            answered.add(key)
    assert {"GET /api/accounts/{user_id}", "POST /api/accounts/{user_id}/resume"} <= answered
    assert core.rows("SELECT FROM users WHERE id = %s", person.user_id) == []


def test_user_route_refuses_the_service_without_a_token(connect):
    person = connect("anna")
    for key, route in ROUTES.items():
        if route.auth is USER:
            attack = next(attacks(route, person, person))
            for headers in ([SERVICE_HEADER], [SERVICE_HEADER, ("X-User-Id", person.user_id)]):
                reply = send(
                    route.method,
                    route.path,
                    headers=headers,
                    parameters=attack["parameters"],
                    query={"user_id": person.user_id},
                )
                assert (reply.status, reply.error) == (401, "unauthorized"), key
                assert person.seen_in(reply.text) == set()
