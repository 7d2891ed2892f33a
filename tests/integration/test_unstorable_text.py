"""Text that Postgres cannot hold, in every field of every route: never a bare 500."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from tests.fixtures.core import ADMIN_HEADER, SERVICE_HEADER
from tests.fixtures.wire import every_route, send
from ullgetthejob.hh.error_parsing import Received, parse
from ullgetthejob.platform import storable_text
from ullgetthejob.platform.errors import Invalid

ROUTES = every_route()
BAD = {"NUL": "a\x00b", "surrogate": "a\ud800b"}


def names_of(model):
    return [] if model is None else list(model.model_fields)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_unstorable_text_is_never_a_500(core, monkeypatch, bad):
    monkeypatch.setenv("ADMIN_SECRET", ADMIN_HEADER[1])
    monkeypatch.setenv("HH_ACCESS_TOKEN", core.sandbox.token())
    monkeypatch.setenv("WEBSOCKET_URL", "ws://localhost:4000/ws")
    session_id, jwt = core.log_in("anna")
    tried = 0
    for key, route in ROUTES.items():
        if key.startswith("DELETE /api/hh"):
            continue
        variables = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
        ids = {"user_id": session_id, "act": "pause"}
        own = {
            "parameters": {name: ids.get(name, "1") for name in variables},
            "query": {},
            "body": {"user_id": session_id, "job_external_id": "1"},
        }
        is_user = route.auth.value in ("user", "user or service")
        headers = [
            SERVICE_HEADER,
            ADMIN_HEADER,
            *([("Authorization", f"Bearer {jwt}")] if is_user else []),
        ]
        attacks = [
            *(("parameters", name, bad) for name in variables),
            *(("query", name, bad) for name in names_of(route.query)),
            *(("body", name, bad) for name in names_of(route.body)),
            *(("body", name, [bad]) for name in names_of(route.body)),
            *(("body", name, {bad: bad}) for name in names_of(route.body)),
            *(("body", name, [{"job_external_id": bad}]) for name in names_of(route.body)),
            ("body", bad, "of a name"),
            ("header", "Idempotency-Key", bad),
        ]
        for place, name, value in attacks:
            if place in ("parameters", "query") and bad == BAD["surrogate"]:
                continue  # a URL cannot contain one
            request = {part: dict(values) for part, values in own.items()}
            extra = []
            if place == "header":
                extra = [(name, value)]
            else:
                request[place][name] = value
            if route.method == "GET":
                request["body"] = None
            reply = send(route.method, route.path, headers=[*headers, *extra], **request)
            assert reply.status < 500, (key, place, name, reply)
            tried += 1
    assert tried > 200


def test_bad_item_of_many_fails_alone(core):
    session_id, jwt = core.log_in("anna")
    flow = str(uuid4())
    jobs = [{"job_external_id": "12"}, {"job_external_id": "1\x00"}, {"job_external_id": "13"}]
    headers = [SERVICE_HEADER, ("Authorization", f"Bearer {jwt}")]
    body = {"workflowId": flow, "userId": session_id, "jobs": jobs}
    reply = send("POST", "/api/queue/add", headers=headers, parameters={}, query={}, body=body)
    assert reply.status in (200, 201, 202), reply
    stored = core.rows("SELECT job_external_id FROM application_queue ORDER BY job_external_id")
    assert {"12", "13"} <= {row["job_external_id"] for row in stored}


def test_unstorable_field_is_named():
    body = json.dumps({"customized_cv": {"title": "a\x00"}}).encode()
    with pytest.raises(Invalid) as raised:
        storable_text.checked_body(body)
    assert raised.value.details == {
        "fields": [
            {
                "field": "customized_cv.title",
                "message": "must not have a NUL character or half of a surrogate pair",
            }
        ]
    }


def test_valid_surrogate_pair_and_backslash_are_kept():
    for text in ("a 😀 b", "a \\u0000 b"):
        body = json.dumps({"cover_letter": text}).encode()
        assert json.loads(storable_text.checked_body(body)) == {"cover_letter": text}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_hh_ru_response_is_read_with_replacements(bad):
    body = json.dumps({"items": [{"name": bad}]}).encode()
    text = "ab" if bad == BAD["NUL"] else "a\ufffdb"
    assert parse(Received(200, {}, body)) == {"items": [{"name": text}]}
