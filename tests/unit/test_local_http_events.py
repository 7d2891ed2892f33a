"""Payload format 2.0 in both directions."""

import base64
import json

import pytest

from local.gateway.events import MalformedResponse, Request, to_event, to_response

# The shape of "sam local generate-event apigateway http-api-proxy", without what only custom
# domains with client certificates, authorizers and stage variables bring.
DOCUMENTED = {
    "version": str,
    "routeKey": str,
    "rawPath": str,
    "rawQueryString": str,
    "cookies": list,
    "headers": dict,
    "queryStringParameters": dict,
    "pathParameters": dict,
    "body": str,
    "isBase64Encoded": bool,
    "requestContext": {
        "accountId": str,
        "apiId": str,
        "domainName": str,
        "domainPrefix": str,
        "http": {"method": str, "path": str, "protocol": str, "sourceIp": str, "userAgent": str},
        "requestId": str,
        "routeKey": str,
        "stage": str,
        "time": str,
        "timeEpoch": int,
    },
}


def request(target="/", headers=(), body=b"", method="GET"):
    return Request(method, target, [("Host", "localhost:4000"), *headers], body, "127.0.0.1")


def event(*args, key="GET /", parameters=None, **kwargs):
    return json.loads(to_event(request(*args, **kwargs), key, parameters or {}))


def shape(value):
    nested = ("headers", "queryStringParameters", "pathParameters")
    return {
        name: shape(item) if isinstance(item, dict) and name not in nested else type(item)
        for name, item in value.items()
    }


def test_event_has_the_documented_shape():
    made = event(
        "/jobs/7?a=1",
        [("Cookie", "x=1; y=2"), ("Content-Type", "application/json")],
        b"{}",
        method="POST",
        parameters={"id": "7"},
    )

    assert shape(made) == DOCUMENTED


def test_missing_request_parts_are_absent():
    made = event()

    assert {"cookies", "queryStringParameters", "pathParameters", "body"}.isdisjoint(made)
    assert made["isBase64Encoded"] is False
    assert made["rawQueryString"] == ""


def test_header_names_are_lowercased_and_duplicates_joined():
    made = event(headers=[("X-One", "a"), ("x-one", "b"), ("Connection", "close")])

    assert made["headers"]["x-one"] == "a,b"
    assert "connection" not in made["headers"]


def test_cookies_move_out_of_the_headers():
    made = event(headers=[("Cookie", "a=1; b=2")])

    assert made["cookies"] == ["a=1", "b=2"]
    assert "cookie" not in made["headers"]


def test_client_address_is_appended():
    headers = event(headers=[("X-Forwarded-For", "10.0.0.1")])["headers"]

    assert headers["x-forwarded-for"] == "10.0.0.1, 127.0.0.1"
    assert headers["x-forwarded-port"] == "4000"
    assert headers["x-amzn-trace-id"].startswith("Root=1-")


def test_query_is_decoded_and_the_raw_query_kept():
    made = event("/?q=a%20b&area=1&area=2&empty=")

    assert made["rawQueryString"] == "q=a%20b&area=1&area=2&empty="
    assert made["queryStringParameters"] == {"q": "a b", "area": "1,2", "empty": ""}


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/jobs/..%2Fresumes%2Fmine", "/jobs/../resumes/mine"),
        ("/jobs/%252F", "/jobs/%2F"),
        ("/jobs/%D0%B8", "/jobs/и"),
        ("/jobs/a%3Fb?c", "/jobs/a"),
        ("/jobs/../x", "/jobs/../x"),
        ("//jobs", "//jobs"),
        ("?a=1", "/"),
    ],
)
def test_path_is_decoded_once_and_not_normalised(target, path):
    assert request(target).path == path
    assert event(target)["rawPath"] == path


@pytest.mark.parametrize(
    ("content_type", "is_text"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("text/plain", True),
        ("application/xml", True),
        ("application/javascript", True),
        ("application/x-www-form-urlencoded", False),
        ("multipart/form-data; boundary=x", False),
        ("application/octet-stream", False),
        ("", False),
    ],
)
def test_body_is_text_for_textual_content_types(content_type, is_text):
    made = event(headers=[("Content-Type", content_type)], body="да".encode(), method="POST")

    assert made["isBase64Encoded"] is not is_text
    body = made["body"].encode() if is_text else base64.b64decode(made["body"])
    assert body.decode() == "да"


def answer(value):
    response = to_response(json.dumps(value).encode())
    return response.status, response.headers, response.body


def test_object_with_a_status_is_the_response():
    assert answer(
        {
            "statusCode": "201",
            "headers": {"X-A": "1", "X-N": 2, "content-type": "text/html"},
            "cookies": ["a=1", "b=2"],
            "body": "да",
        }
    ) == (
        201,
        [
            ("x-a", "1"),
            ("x-n", "2"),
            ("content-type", "text/html"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
        ],
        "да".encode(),
    )


def test_base64_body_is_decoded():
    encoded = base64.b64encode(b"\x00\xff").decode()

    assert answer({"statusCode": 200, "body": encoded, "isBase64Encoded": True})[2] == b"\x00\xff"


def test_body_without_a_content_type_is_text():
    assert ("content-type", "text/plain; charset=utf-8") in answer({"statusCode": 200})[1]


@pytest.mark.parametrize(
    ("value", "body"), [({"a": 1}, b'{"a": 1}'), ([1], b"[1]"), ("hi", b"hi"), (None, b"null")]
)
def test_other_json_is_the_body_of_a_200(value, body):
    assert answer(value) == (200, [("content-type", "application/json")], body)


@pytest.mark.parametrize(
    "value",
    [
        {"statusCode": "many"},
        {"statusCode": 42},
        {"statusCode": 200, "body": {"an": "object"}},
        {"statusCode": 200, "headers": ["x"]},
        {"statusCode": 200, "headers": {"x": {}}},
        {"statusCode": 200, "body": "%", "isBase64Encoded": True},
    ],
)
def test_malformed_result_is_refused(value):
    with pytest.raises(MalformedResponse):
        answer(value)


def test_result_that_is_not_json_is_refused():
    with pytest.raises(MalformedResponse):
        to_response(b"<html>")


def test_cookies_of_several_headers_stay_separate():
    made = event("/", [("Cookie", "x=1; y=2"), ("cookie", "z=3")])
    assert made["cookies"] == ["x=1", "y=2", "z=3"]
    assert "cookie" not in made["headers"]


def test_transport_headers_of_the_function_are_dropped():
    answer = {
        "statusCode": 200,
        "headers": {"Content-Length": "1", "Transfer-Encoding": "chunked", "X-A": "b"},
        "body": "whole",
    }
    response = to_response(json.dumps(answer).encode())
    assert dict(response.headers) == {"x-a": "b", "content-type": "text/plain; charset=utf-8"}


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate"])
def test_body_with_a_content_encoding_is_binary(encoding):
    made = event(
        "/",
        [("Content-Type", "application/json"), ("Content-Encoding", encoding)],
        b"\x1f\x8b",
        method="POST",
    )
    assert (made["body"], made["isBase64Encoded"]) == ("H4s=", True)
