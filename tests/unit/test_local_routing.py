"""Route selection of an HTTP API."""

import pytest

from local.gateway.routing import Routes
from local.template.resources import Route

ROUTES = Routes(
    Route(method, path, "F")
    for method, path in [
        ("GET", "/pets/{kind}/1"),
        ("GET", "/pets/dog/{id}"),
        ("GET", "/pets/dog/1"),
        ("POST", "/pets/cat"),
    ]
)


@pytest.mark.parametrize(
    ("request_line", "key", "parameters"),
    [
        ("GET /pets/dog/1", "GET /pets/dog/1", {}),
        ("GET /pets/dog/2", "GET /pets/dog/{id}", {"id": "2"}),
        ("GET /pets/cow/1", "GET /pets/{kind}/1", {"kind": "cow"}),
        ("POST /pets/cat", "POST /pets/cat", {}),
    ],
)
def test_most_specific_route_is_chosen(request_line, key, parameters):
    match = ROUTES.match(*request_line.split())

    assert match.route.key == key
    assert match.parameters == parameters


@pytest.mark.parametrize(
    "request_line", ["GET /jobs/", "GET /jobs/1/2", "GET /jobs", "POST /jobs/1", "HEAD /jobs/1"]
)
def test_path_variable_matches_a_whole_segment_alone(request_line):
    assert Routes([Route("GET", "/jobs/{id}", "F")]).match(*request_line.split()) is None
