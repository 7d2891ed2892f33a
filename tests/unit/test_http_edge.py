"""The edge: every way in which a request can be wrong, and what the caller gets."""

import base64
import hashlib
import hmac
import json
from types import SimpleNamespace

import pytest
from pydantic import BaseModel, model_validator

from ullgetthejob.platform.errors import Conflict, Forbidden, Unavailable
from ullgetthejob.platform.http import ANYONE, MAX_BODY_BYTES, SERVICE, Answer, Api

SECRET = "a-secret-for-tests"
CONTEXT = SimpleNamespace(aws_request_id="aws-request-id")


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


api = Api()


@api.post("/things", who=SERVICE)
def make(body: Body) -> Answer[Size]:
    return Answer(202, Size(size=body.size), {"x-extra": "1"})


@api.get("/things/{id}", who=SERVICE)
def show(id: str) -> Body:
    if id == "conflict":
        raise Conflict("used before")
    if id == "forbidden":
        raise Forbidden("no", code="user_mismatch")
    if id == "down":
        raise Unavailable("later", retry_after_s=7)
    if id == "crash":
        raise RuntimeError("password=hunter2")
    return Body(size=len(id))


@api.get("/open", who=ANYONE)
def open_route() -> Size:
    return Size(size=0)


@pytest.fixture(autouse=True)
def _secret(monkeypatch):
    monkeypatch.setenv("ORCHESTRATOR_SECRET", SECRET)
    monkeypatch.delenv("ORCHESTRATOR_SECRET_PREVIOUS", raising=False)
    monkeypatch.delenv("REQUIRE_SIGNATURE", raising=False)


def call(key, body=None, headers=None, *, secret=SECRET, parameters=None, encode=False):
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
    }
    answer = api.handler(event, CONTEXT)
    return answer["statusCode"], json.loads(answer["body"]), answer["headers"]


def refused(*arguments, **named):
    status, body, headers = call(*arguments, **named)
    assert body["request_id"] == headers["x-request-id"]
    assert isinstance(body["error"], str)
    assert body["message"]
    return status, body["error"]


def test_a_good_call_is_answered():
    status, body, headers = call("POST /things", {"size": 1})
    assert (status, body, headers["x-extra"]) == (202, {"size": 1}, "1")
    assert call("GET /things/{id}", parameters={"id": "abc"})[:2] == (200, {"size": 3, "tags": []})


def test_a_base64_body_is_decoded():
    assert call("POST /things", {"size": 1}, encode=True)[0] == 202


def test_the_secret_is_demanded_and_compared():
    assert refused("POST /things", {"size": 1}, secret=None) == (401, "unauthorized")
    assert refused("POST /things", {"size": 1}, secret="wrong") == (401, "unauthorized")
    assert refused("POST /things", {"size": 1}, secret="") == (401, "unauthorized")
    assert refused("POST /things", {"size": 1}, secret="секрет") == (401, "unauthorized")


def test_the_alias_header_is_taken():
    headers = {"x-orchestrator-secret": SECRET}
    assert call("POST /things", {"size": 1}, headers, secret=None)[0] == 202


@pytest.mark.parametrize("unset", [None, ""])
def test_an_unset_secret_never_matches(monkeypatch, unset):
    if unset is None:
        monkeypatch.delenv("ORCHESTRATOR_SECRET")
    else:
        monkeypatch.setenv("ORCHESTRATOR_SECRET", unset)
    for sent in (None, "", "None", "anything"):
        assert refused("POST /things", {"size": 1}, secret=sent)[0] == 401


def test_the_previous_secret_is_taken_while_it_rotates(monkeypatch):
    monkeypatch.setenv("ORCHESTRATOR_SECRET_PREVIOUS", "the-old-one")
    assert call("POST /things", {"size": 1}, secret="the-old-one")[0] == 202
    assert call("POST /things", {"size": 1})[0] == 202


def signature(body, secret=SECRET):
    return hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()


def test_a_signature_that_is_sent_must_fit():
    body = '{"size": 1}'
    assert call("POST /things", body, {"x-signature": signature(body)})[0] == 202
    wrong = refused("POST /things", body, {"x-signature": signature(body + " ")})
    assert wrong == (401, "invalid_signature")
    other = refused("POST /things", body, {"x-signature": signature(body, "other")})
    assert other == (401, "invalid_signature")


def test_a_signature_can_be_demanded(monkeypatch):
    monkeypatch.setenv("REQUIRE_SIGNATURE", "true")
    assert refused("POST /things", '{"size": 1}') == (401, "invalid_signature")
    body = '{"size": 1}'
    assert call("POST /things", body, {"x-signature": signature(body)})[0] == 202


def test_a_bearer_token_binds_also_beside_a_good_secret():
    headers = {"authorization": "Bearer a.b.c"}
    assert refused("POST /things", {"size": 1}, headers) == (401, "invalid_token")


def test_who_is_not_known_is_told_nothing_about_the_body():
    assert refused("POST /things", "not json", secret="wrong")[0] == 401


@pytest.mark.parametrize("body", ["", None, "{", "[1]", "nul", '"text"', "5", "null"])
def test_what_is_not_a_json_object_is_400(body):
    assert refused("POST /things", body) == (400, "invalid_json")


def test_broken_base64_is_400():
    event = {
        "routeKey": "POST /things",
        "headers": {"x-core-secret": SECRET},
        "body": "%%%",
        "isBase64Encoded": True,
    }
    assert api.handler(event, CONTEXT)["statusCode"] == 400


def test_a_large_body_is_413():
    body = json.dumps({"size": 1, "pad": "x" * MAX_BODY_BYTES})
    assert refused("POST /things", body) == (413, "payload_too_large")


def test_each_wrong_field_is_named():
    status, body, _ = call("POST /things", {"size": "big", "tags": [1, "x"]})
    assert status == 422
    assert body["error"] == "invalid_request"
    assert [entry["field"] for entry in body["details"]["fields"]] == ["size", "tags[1]"]
    assert body["message"].startswith("size: ")


def test_a_rule_over_several_fields_names_one():
    status, body, _ = call("POST /things", {"size": 13})
    assert (status, body["message"]) == (422, "size: brings bad luck")
    assert body["details"]["fields"] == [{"field": "size", "message": "brings bad luck"}]


def test_wrong_input_is_not_echoed():
    _, body, _ = call("POST /things", {"size": "SENSITIVE"})
    assert "SENSITIVE" not in json.dumps(body)


def test_errors_become_their_status_and_code():
    def ask(id):
        return refused("GET /things/{id}", parameters={"id": id})

    assert ask("conflict") == (409, "conflict")
    assert ask("forbidden") == (403, "user_mismatch")
    assert ask("down") == (503, "unavailable")
    assert refused("GET /nowhere") == (404, "not_found")


def test_unavailable_says_when_to_come_back():
    headers = call("GET /things/{id}", parameters={"id": "down"})[2]
    assert headers["retry-after"] == "7"


def test_an_unexpected_error_shows_and_logs_no_text_of_it(log):
    status, body, _ = call("GET /things/{id}", parameters={"id": "crash"})
    assert (status, body["error"]) == (500, "internal_error")
    assert "hunter2" not in json.dumps(body) + log.getvalue()
    assert "RuntimeError" in log.getvalue()


def test_a_plain_request_id_goes_through_the_chain_and_others_are_replaced():
    def id_of(sent):
        return call("GET /open", headers={"x-request-id": sent})[2]["x-request-id"]

    plain = "6f1e7a5c-0d4e-4f43-9d6a-8a54cf6b3f10"
    assert id_of(plain) == plain
    assert id_of('evil"\n{}') == "aws-request-id"
    assert id_of("x" * 65) == "aws-request-id"


def test_the_secret_is_in_no_log_line(log):
    call("POST /things", {"size": 1})
    call("POST /things", {"size": 1}, secret=SECRET + "x")
    assert "answered" in log.getvalue()
    assert SECRET not in log.getvalue()
