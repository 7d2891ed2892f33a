"""The generated and committed references equal what the code generates today (make docs)."""

import json

from docs import generate
from ullgetthejob.platform.http import ANYONE


def test_committed_references_are_up_to_date():
    for path, text in generate.documents().items():
        assert path.read_text() == text, f"{path.name} is out of date: run make docs"


def test_openapi_references_resolve():
    document = json.loads(generate.openapi())
    text = json.dumps(document)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"], name


def test_statuses_follow_from_auth_and_parameters():
    """The responses in all tests are compared too: tests/fixtures/documented.py."""
    document = json.loads(generate.openapi())
    for route in (route for api in generate.apis().values() for route in api.routes.values()):
        named = document["paths"][route.path][route.method.lower()]["responses"]
        expected = {*route.answers, *route.refuses, 500}
        if route.auth is not ANYONE:
            expected |= {400, 401, 404, 413, 422, 503}
        if {"person", "optional_user"} & {*route.parameters}:
            expected.add(403)
        if "person" in route.parameters:
            expected.add(409)
        assert {int(status) for status in named} == expected, route.key
        assert {status for status in expected if status < 300} == {
            status for status in route.answers if status < 300
        }


def test_every_route_of_the_functions_is_documented():
    document = json.loads(generate.openapi())
    documented = {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
    }
    assert documented == {key for api in generate.apis().values() for key in api.routes}


def test_lengths_of_lists_are_numbers_of_items():
    """``minLength`` and ``maxLength`` say nothing about a list (JSON Schema)."""
    wrong = [
        schema
        for schema in objects(json.loads(generate.openapi()))
        if schema.get("type") == "array" and {"minLength", "maxLength"} & set(schema)
    ]
    assert wrong == []


def objects(content):
    """Yield every object in a document."""
    if isinstance(content, dict):
        yield content
    for value in content.values() if isinstance(content, dict) else content:
        if isinstance(value, dict | list):
            yield from objects(value)
