"""The HTTP edge: every way in which a request can be wrong, and the response to it."""

import base64
import gzip
import hashlib
import hmac
import json
import re
import tracemalloc
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, model_validator

from ullgetthejob.platform.authentication import Caller, invalid_token
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.errors import Conflict, Forbidden, NeedsPerson, NotFound, Unavailable
from ullgetthejob.platform.http import (
    ANYONE,
    SERVICE,
    USER,
    USER_OR_SERVICE,
    Api,
    Response,
)
from ullgetthejob.platform.request_parsing import MAX_BODY_BYTES

SECRET = "a-secret-for-tests"
CONTEXT = SimpleNamespace(aws_request_id="aws-request-id")
ANNA, TIMUR, UNKNOWN = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "ab0")


class Size(BaseModel):
    size: int


class Body(BaseModel):
    size: int
    tags: list[int] = []

    @model_validator(mode="after")
    def _rule(self):
        if self.size == 13:
            raise ValueError("size: brings bad luck")
        return self


class Filter(BaseModel):
    size: int = 0
    flavour: Literal["sweet", "sour"] = "sweet"
    user_id: str | None = None


class Wish(BaseModel):
    user_id: str | None = None


class About(BaseModel):
    """The person that a request concerned, its caller, and its id."""

    user_id: UUID | None
    kind: str
    caller_id: UUID | None
    request_id: str


@dataclass(frozen=True)
class Person:
    user_id: UUID


class People:
    """Two known persons, Anna and Timur, whose tokens are their names."""

    def find_by_token(self, token):
        known = {"anna": ANNA, "timur": TIMUR}
        if token not in known:
            raise invalid_token()
        return Person(UUID(known[token]))

    def find_by_id(self, user_id):
        if str(user_id) not in (ANNA, TIMUR):
            raise NotFound("there is no such user", code="user_not_found")
        return Person(user_id)

    def find_or_unknown(self, user_id):
        return Person(user_id)


opened: list[str | None] = []  # "opened" and "closed", as contexts are


@contextmanager
def open_context(caller):
    opened.append("opened")
    try:
        yield Context(None, None, caller)
    finally:
        opened.append("closed")


api = Api(People(), open_context)


def about(person: Person | None, caller: Caller) -> About:
    return About(
        user_id=person and person.user_id,
        kind=caller.kind,
        caller_id=caller.user_id,
        request_id=caller.request_id,
    )


@api.get("/filtered", auth=SERVICE)
def filtered(query: Filter) -> Filter:
    return query


@api.get("/called", auth=SERVICE)
def called(caller: Caller) -> About:
    return about(None, caller)


@api.get("/mine", auth=USER)
def mine(person: Person, caller: Caller) -> About:
    return about(person, caller)


@api.delete("/people/{user_id}", auth=USER_OR_SERVICE)
def by_path(person: Person, caller: Caller) -> About:
    return about(person, caller)


@api.get("/people", auth=USER_OR_SERVICE)
def by_query(query: Filter, person: Person, caller: Caller) -> About:
    return about(person, caller)


@api.get("/optional_user", auth=USER_OR_SERVICE)
def of_optional_user(optional_user: Person, caller: Caller) -> About:
    return about(optional_user, caller)


@api.post("/people", auth=USER_OR_SERVICE)
def by_body(body: Wish, person: Person, caller: Caller) -> About:
    return about(person, caller)


@api.post("/contexts/{id}", auth=USER_OR_SERVICE)
def in_context(id: str, body: Wish, person: Person, context: Context) -> About:
    opened.append(context.caller.idempotency_key)
    if id == "conflict":
        raise Conflict("used before")
    return about(person, context.caller)


@api.post("/things", auth=SERVICE)
def make(body: Body) -> Response[Size]:
    return Response(202, Size(size=body.size), {"x-extra": "1"})


@api.get("/things/{id}", auth=SERVICE)
def show(id: str) -> Body:
    if id == "conflict":
        raise Conflict("used before")
    if id == "forbidden":
        raise Forbidden("no", code="user_mismatch")
    if id == "down":
        raise Unavailable("later", retry_after_s=7)
    if id == "captcha":
        raise NeedsPerson("solve it", code="hh_captcha", details={"access": {"state": "captcha"}})
    if id == "crash":
        raise RuntimeError("password=hunter2")
    return Body(size=len(id))


@api.get("/open", auth=ANYONE)
def open_route() -> Size:
    return Size(size=0)


@pytest.fixture(autouse=True)
def _secret(monkeypatch):
    monkeypatch.setenv("ORCHESTRATOR_SECRET", SECRET)
    monkeypatch.delenv("ORCHESTRATOR_SECRET_PREVIOUS", raising=False)
    monkeypatch.delenv("REQUIRE_SIGNATURE", raising=False)


def call(key, body=None, headers=None, *, secret=SECRET, parameters=None, query=None, encode=False):
    raw = body if isinstance(body, (str, bytes, type(None))) else json.dumps(body)
    if encode:
        raw = base64.b64encode(raw.encode()).decode()
    event = {
        "version": "2.0",
        "routeKey": key,
        "headers": {**({"x-core-secret": secret} if secret else {}), **(headers or {})},
        "body": raw,
        "isBase64Encoded": encode,
        "pathParameters": parameters,
        **({"queryStringParameters": query} if query else {}),
    }
    answer = api.handler(event, CONTEXT)
    return answer["statusCode"], json.loads(answer["body"]), answer["headers"]


def refused(*arguments, **named):
    status, body, headers = call(*arguments, **named)
    assert body["request_id"] == headers["x-request-id"]
    assert isinstance(body["error"], str)
    assert body["message"]
    return status, body["error"]


def test_valid_call_is_answered():
    status, body, headers = call("POST /things", {"size": 1})
    assert (status, body, headers["x-extra"]) == (202, {"size": 1}, "1")
    assert call("GET /things/{id}", parameters={"id": "abc"})[:2] == (200, {"size": 3, "tags": []})


def test_base64_body_is_decoded():
    assert call("POST /things", {"size": 1}, encode=True)[0] == 202


def test_missing_or_wrong_secret_is_refused():
    assert refused("POST /things", {"size": 1}, secret=None) == (401, "unauthorized")
    assert refused("POST /things", {"size": 1}, secret="wrong") == (401, "unauthorized")
    assert refused("POST /things", {"size": 1}, secret="") == (401, "unauthorized")
    assert refused("POST /things", {"size": 1}, secret="секрет") == (401, "unauthorized")


def test_alias_header_of_the_secret_is_accepted():
    headers = {"x-orchestrator-secret": SECRET}
    assert call("POST /things", {"size": 1}, headers, secret=None)[0] == 202


@pytest.mark.parametrize("unset", [None, ""])
def test_unset_secret_never_matches(monkeypatch, unset):
    if unset is None:
        monkeypatch.delenv("ORCHESTRATOR_SECRET")
    else:
        monkeypatch.setenv("ORCHESTRATOR_SECRET", unset)
    for sent in (None, "", "None", "anything"):
        assert refused("POST /things", {"size": 1}, secret=sent)[0] == 401


def test_previous_secret_is_accepted_during_rotation(monkeypatch):
    monkeypatch.setenv("ORCHESTRATOR_SECRET_PREVIOUS", "the-old-one")
    assert call("POST /things", {"size": 1}, secret="the-old-one")[0] == 202
    assert call("POST /things", {"size": 1})[0] == 202


def signature(body, secret=SECRET):
    return hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()


def test_wrong_signature_is_refused():
    body = '{"size": 1}'
    assert call("POST /things", body, {"x-signature": signature(body)})[0] == 202
    wrong = refused("POST /things", body, {"x-signature": signature(body + " ")})
    assert wrong == (401, "invalid_signature")
    other = refused("POST /things", body, {"x-signature": signature(body, "other")})
    assert other == (401, "invalid_signature")


def test_error_response_has_success_false_and_advice():
    for key, options in (("GET /nowhere", {}), ("POST /things", {"secret": None})):
        body = call(key, None, **options)[1]
        assert body["success"] is False
        assert body["advice"].startswith(("There is no such page", "You are not logged in"))
    _, body, _ = call("GET /things/{id}", parameters={"id": "crash"})
    assert (body["success"], body["error"]) == (False, "internal_error")


@pytest.mark.parametrize("key", ["GET /filtered", "DELETE /people/{user_id}"])
def test_request_without_body_needs_no_signature(monkeypatch, key):
    monkeypatch.setenv("REQUIRE_SIGNATURE", "true")
    parameters = {"user_id": ANNA} if "user_id" in key else {}
    assert call(key, parameters=parameters)[0] == 200
    fits, wrong = ({"x-signature": signature(body)} for body in ("", "other"))
    assert call(key, None, fits, parameters=parameters)[0] == 200
    assert refused(key, None, wrong, parameters=parameters) == (401, "invalid_signature")


def test_required_signature_is_demanded(monkeypatch):
    monkeypatch.setenv("REQUIRE_SIGNATURE", "true")
    assert refused("POST /things", '{"size": 1}') == (401, "invalid_signature")
    body = '{"size": 1}'
    assert call("POST /things", body, {"x-signature": signature(body)})[0] == 202


def test_invalid_token_beside_a_valid_secret_is_refused():
    headers = {"authorization": "Bearer a.b.c"}
    assert refused("POST /things", {"size": 1}, headers) == (401, "invalid_token")


def test_token_without_people_is_refused():
    api_without_people = Api()
    api_without_people.get("/open", auth=SERVICE)(open_route)
    event = {
        "routeKey": "GET /open",
        "headers": {"x-core-secret": SECRET, "authorization": "Bearer anna"},
    }
    answer = api_without_people.handler(event, CONTEXT)
    assert (answer["statusCode"], json.loads(answer["body"])["error"]) == (401, "invalid_token")


def test_unauthenticated_caller_gets_401_for_a_bad_body():
    assert refused("POST /things", "not json", secret="wrong")[0] == 401


@pytest.mark.parametrize("body", ["", None, "{", "[1]", "nul", '"text"', "5", "null"])
def test_body_that_is_not_a_json_object_is_400(body):
    assert refused("POST /things", body) == (400, "invalid_json")


def test_broken_base64_is_400():
    event = {
        "routeKey": "POST /things",
        "headers": {"x-core-secret": SECRET},
        "body": "%%%",
        "isBase64Encoded": True,
    }
    assert api.handler(event, CONTEXT)["statusCode"] == 400


def test_large_body_is_413():
    body = json.dumps({"size": 1, "pad": "x" * MAX_BODY_BYTES})
    assert refused("POST /things", body) == (413, "payload_too_large")


def compressed(body, encoding="gzip", **headers):
    """Send a request whose body is compressed, as API Gateway passes it on."""
    event = {
        "routeKey": "POST /things",
        "headers": {"x-core-secret": SECRET, "content-encoding": encoding, **headers},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }
    answer = api.handler(event, CONTEXT)
    return answer["statusCode"], json.loads(answer["body"])


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
def test_gzip_body_is_read(encoding):
    assert compressed(gzip.compress(b'{"size": 1}'), encoding)[0] == 202


def test_identity_encoded_body_is_read():
    assert compressed(b'{"size": 1}', "identity")[0] == 202


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b'{"size": 1}', "gzip"),
        (gzip.compress(b'{"size": 1}')[:-3], "gzip"),
        (gzip.compress(b'{"size": 1}') + b"more", "gzip"),
        (zlib.compress(b'{"size": 1}'), "deflate"),
        (gzip.compress(gzip.compress(b'{"size": 1}')), "gzip, gzip"),
        (b"not looked at", "br"),
    ],
    ids=["not-gzip", "cut-off", "more-behind", "deflate", "twice", "brotli"],
)
def test_undecodable_body_is_400(body, encoding):
    status, answer = compressed(body, encoding)
    assert (status, answer["error"]) == (400, "unsupported_encoding")


def test_encoding_without_a_body_is_accepted():
    event = {
        "routeKey": "GET /open",
        "headers": {"x-core-secret": SECRET, "content-encoding": "gzip"},
    }
    assert api.handler(event, CONTEXT)["statusCode"] == 200


def test_decompression_bomb_is_413_and_not_unpacked():
    bomb = gzip.compress(b"0" * 200_000_000)
    assert len(bomb) < MAX_BODY_BYTES
    tracemalloc.start()
    try:
        status, answer = compressed(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (status, answer["error"]) == (413, "payload_too_large")
    assert peak < 5_000_000


def test_signature_is_of_the_encoded_body():
    body = gzip.compress(b'{"size": 1}')
    of_sent = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert compressed(body, **{"x-signature": of_sent})[0] == 202
    assert compressed(body, **{"x-signature": signature('{"size": 1}')})[0] == 401


def test_every_wrong_field_is_named():
    status, body, _ = call("POST /things", {"size": "big", "tags": [1, "x"]})
    assert status == 422
    assert body["error"] == "invalid_request"
    assert [entry["field"] for entry in body["details"]["fields"]] == ["size", "tags[1]"]
    assert body["message"].startswith("size: ")


def test_rule_over_several_fields_names_the_first():
    status, body, _ = call("POST /things", {"size": 13})
    assert (status, body["message"]) == (422, "size: brings bad luck")
    assert body["details"]["fields"] == [{"field": "size", "message": "brings bad luck"}]


def test_wrong_input_is_not_echoed():
    _, body, _ = call("POST /things", {"size": "SENSITIVE"})
    assert "SENSITIVE" not in json.dumps(body)


def test_errors_have_their_status_and_code():
    def refusal_of(thing):
        return refused("GET /things/{id}", parameters={"id": thing})

    assert refusal_of("conflict") == (409, "conflict")
    assert refusal_of("forbidden") == (403, "user_mismatch")
    assert refusal_of("down") == (503, "unavailable")
    assert refusal_of("captcha") == (409, "hh_captcha")
    assert refused("GET /nowhere") == (404, "not_found")


def test_unavailable_has_retry_after():
    headers = call("GET /things/{id}", parameters={"id": "down"})[2]
    assert headers["retry-after"] == "7"


def test_text_of_an_unexpected_error_is_hidden(log):
    status, body, _ = call("GET /things/{id}", parameters={"id": "crash"})
    assert (status, body["error"]) == (500, "internal_error")
    assert "hunter2" not in json.dumps(body) + log.getvalue()
    assert "RuntimeError" in log.getvalue()


def test_only_well_formed_request_id_is_kept():
    def id_of(sent):
        return call("GET /open", headers={"x-request-id": sent})[2]["x-request-id"]

    plain = "6f1e7a5c-0d4e-4f43-9d6a-8a54cf6b3f10"
    assert id_of(plain) == plain
    for malformed in ('evil"\n{}', "x" * 65):
        assert re.fullmatch("[0-9a-f]{32}", id_of(malformed)), "the id of the trace"


def test_secret_is_not_logged(log):
    call("POST /things", {"size": 1})
    call("POST /things", {"size": 1}, secret=SECRET + "x")
    assert '"message":"invocation"' in log.getvalue()
    assert SECRET not in log.getvalue()


# ── queries ──────────────────────────────────────────────────────────────────────────────────────


def test_query_is_validated_by_its_model():
    status, body, _ = call("GET /filtered", query={"size": "3", "flavour": "sour", "other": "x"})
    assert (status, body) == (200, {"size": 3, "flavour": "sour", "user_id": None})
    assert call("GET /filtered")[1]["size"] == 0


def test_wrong_query_fields_are_named_and_not_echoed():
    sent = {"size": "SENSITIVE", "flavour": "BITTER"}
    status, body, _ = call("GET /filtered", query=sent)
    assert (status, body["error"]) == (422, "invalid_request")
    assert [entry["field"] for entry in body["details"]["fields"]] == ["size", "flavour"]
    assert not {"SENSITIVE", "BITTER"} & set(json.dumps(body).split('"'))


# ── the caller, and the person concerned ─────────────────────────────────────────────────────────


def bearing(token):
    return {"authorization": f"Bearer {token}"}


def identity_of(*arguments, **named):
    """Return the person that the request concerned, and the kind and the id of the caller."""
    status, body, _ = call(*arguments, **named)
    assert status == 200, body
    return body["user_id"], body["kind"], body["caller_id"]


def test_caller_has_request_id_and_user_of_the_token():
    headers = {"x-request-id": "request-of-a-test"}
    body = call("GET /called", headers=headers)[1]
    assert (body["request_id"], body["kind"]) == ("request-of-a-test", "service")
    assert identity_of("GET /called") == (None, "service", None)
    assert identity_of("GET /called", headers=bearing("anna")) == (None, "service", ANNA)
    assert refused("GET /called", headers=bearing("anna"), secret=None) == (401, "unauthorized")


def test_user_route_needs_only_a_token():
    for secret in (None, "wrong", SECRET):
        assert identity_of("GET /mine", headers=bearing("anna"), secret=secret) == (
            ANNA,
            "user",
            ANNA,
        )
        assert refused("GET /mine", secret=secret) == (401, "unauthorized")
        assert refused("GET /mine", headers=bearing("x"), secret=secret) == (401, "invalid_token")


@pytest.mark.parametrize(
    "header", ["", " ", "anna", "Basic anna", "Bearer", "Bearer ", "Bearer  ", "Bearer anna timur"]
)
def test_malformed_bearer_token_is_refused_on_every_route(header):
    headers = {"authorization": header}
    for key in ("GET /mine", "GET /called", "GET /people"):
        assert refused(key, headers=headers, query={"user_id": ANNA}) == (401, "invalid_token")


def test_scheme_is_case_insensitive():
    assert identity_of("GET /mine", headers={"authorization": "bearer anna"})[0] == ANNA


PLACES = {
    "path": lambda user_id: {"key": "DELETE /people/{user_id}", "parameters": {"user_id": user_id}},
    "query": lambda user_id: {"key": "GET /people", "query": {"user_id": user_id}},
    "body": lambda user_id: {"key": "POST /people", "body": {"user_id": user_id}},
}


@pytest.fixture(params=PLACES)
def naming(request):
    """Return a function that builds the arguments of a call with a user in path, query or body."""
    return PLACES[request.param]


def test_service_names_the_user(naming):
    assert identity_of(**naming(ANNA)) == (ANNA, "service", None)
    assert identity_of(**naming(ANNA.upper())) == (ANNA, "service", None)
    assert refused(**naming(UNKNOWN)) == (404, "user_not_found")


def test_token_beside_the_secret_must_match_the_user(naming):
    assert identity_of(**naming(ANNA), headers=bearing("anna")) == (ANNA, "user", ANNA)
    for secret in (SECRET, None):
        for other in (TIMUR, UNKNOWN):
            mismatch = refused(**naming(other), headers=bearing("anna"), secret=secret)
            assert mismatch == (403, "user_mismatch")
        wrong = refused(**naming(ANNA), headers=bearing("x"), secret=secret)
        assert wrong == (401, "invalid_token")


def test_call_without_token_and_secret_is_refused(naming):
    assert refused(**naming(ANNA), secret=None) == (401, "unauthorized")
    assert refused(**naming(ANNA), secret="wrong") == (401, "unauthorized")


def test_context_is_open_during_the_call_of_the_function():
    opened.clear()
    headers = {"authorization": "Bearer anna", "idempotency-key": "one"}
    status, body, _ = call("POST /contexts/{id}", {}, headers, parameters={"id": "1"})
    assert (status, body["user_id"], body["caller_id"]) == (200, ANNA, ANNA)
    assert re.fullmatch("[0-9a-f]{32}", body["request_id"])
    assert opened == ["opened", "one", "closed"]


def test_context_is_closed_after_an_error():
    opened.clear()
    body = {"user_id": ANNA}
    assert refused("POST /contexts/{id}", body, parameters={"id": "conflict"})[0] == 409
    assert opened == ["opened", None, "closed"]


@pytest.mark.parametrize(
    ("status", "changes"),
    [
        (401, {"secret": "wrong"}),
        (401, {"headers": {"authorization": "Bearer nobody"}}),
        (400, {"body": "{"}),
        (422, {"body": {"user_id": 1}}),
        (422, {"headers": {"idempotency-key": "ключ"}}),
        (422, {"body": {}}),
        (404, {"body": {"user_id": UNKNOWN}}),
        (403, {"body": {"user_id": TIMUR}, "headers": {"authorization": "Bearer anna"}}),
    ],
)
def test_refused_request_opens_no_context(status, changes):
    opened.clear()
    request = {"body": {"user_id": ANNA}, "parameters": {"id": "1"}, **changes}
    assert refused("POST /contexts/{id}", **request)[0] == status
    assert opened == []


def test_optional_user_may_be_unknown():
    def identity(user_id, **options):
        return identity_of("GET /optional_user", query={"user_id": user_id}, **options)

    assert identity(UNKNOWN) == (UNKNOWN, "service", None)
    assert identity(ANNA, headers=bearing("anna"), secret=None) == (ANNA, "user", ANNA)
    mismatch = refused("GET /optional_user", query={"user_id": UNKNOWN}, headers=bearing("anna"))
    assert mismatch == (403, "user_mismatch")


@pytest.mark.parametrize("wrong", ["undefined", "", "mvp-demo-user", ANNA.replace("-", ""), "1"])
def test_user_id_that_is_no_uuid_is_422(naming, wrong):
    for headers in ({}, bearing("anna")):
        status, body, _ = call(**naming(wrong), headers=headers)
        assert (status, body["error"]) == (422, "invalid_request")
        assert body["details"]["fields"][0]["field"] == "user_id"


NAMED_TWICE = {
    "path and query": {
        "key": "DELETE /people/{user_id}",
        "parameters": {"user_id": ANNA},
        "query": {"user_id": TIMUR},
    },
    "path and body": {
        "key": "DELETE /people/{user_id}",
        "parameters": {"user_id": ANNA},
        "body": {"user_id": TIMUR},
    },
    "path and the other spelling": {
        "key": "DELETE /people/{user_id}",
        "parameters": {"user_id": ANNA},
        "query": {"userId": TIMUR},
    },
    "query and body": {
        "key": "POST /people",
        "query": {"user_id": ANNA},
        "body": {"user_id": TIMUR},
    },
    "query and an unused body": {
        "key": "GET /people",
        "query": {"user_id": ANNA},
        "body": {"userId": TIMUR},
    },
    "both spellings": {"key": "POST /people", "body": {"user_id": ANNA, "userId": TIMUR}},
    "the same member twice": {
        "key": "POST /people",
        "body": f'{{"user_id": "{ANNA}", "user_id": "{TIMUR}"}}',
    },
    "an escaped spelling": {
        "key": "POST /people",
        "query": {"user_id": ANNA},
        "body": f'{{"user\\u005fid": "{TIMUR}"}}',
    },
}


@pytest.mark.parametrize("places", NAMED_TWICE)
def test_contradicting_user_ids_are_422(places):
    for headers in ({}, bearing("anna"), bearing("timur")):
        status, body, _ = call(**NAMED_TWICE[places], headers=headers)
        assert (status, body["error"]) == (422, "invalid_request")
        assert body["details"]["fields"][0]["field"] == "user_id"


@pytest.mark.parametrize("places", NAMED_TWICE)
def test_equal_user_ids_are_accepted(places):
    same = json.loads(json.dumps(NAMED_TWICE[places]).replace(TIMUR, ANNA.upper()))
    assert identity_of(**same) == (ANNA, "service", None)


@pytest.mark.parametrize("name", ["user_id", "userId"])
@pytest.mark.parametrize("wrong", ["undefined", "", 7, ["a"], {"user_id": "a"}])
def test_invalid_body_user_beside_a_valid_query_user_is_422(name, wrong):
    reply = call("POST /people", {name: wrong}, query={"user_id": ANNA})
    assert (reply[0], reply[1]["error"]) == (422, "invalid_request")


def test_missing_user_is_the_token_subject_or_422():
    assert identity_of("GET /people", headers=bearing("anna"), secret=None) == (ANNA, "user", ANNA)
    assert identity_of("POST /people", {}, bearing("timur"), secret=None) == (TIMUR, "user", TIMUR)
    for key, body in (("GET /people", None), ("POST /people", {})):
        assert refused(key, body) == (422, "invalid_request")


def test_required_action_is_in_the_details():
    body = call("GET /things/{id}", parameters={"id": "captcha"})[1]
    assert body["details"] == {"access": {"state": "captcha"}}
