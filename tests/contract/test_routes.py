"""Every route of the template exists in its function, and only the intended routes are open."""

import importlib
import json
from types import SimpleNamespace

import pytest

from local.template import reader as template
from ullgetthejob.accounts import people
from ullgetthejob.platform.http import (
    ADMIN,
    ANYONE,
    SERVICE,
    TELEGRAM,
    USER,
    USER_OR_SERVICE,
)

# The routes with other callers than the service.
AUTH = {
    "GET /api/v1/system/health": ANYONE,
    "GET /api/v1/system/ready": ANYONE,
    "DELETE /api/hh/connection": USER,
    "GET /api/hh/status": USER,
    "GET /api/hh/resumes": USER,
    "GET /api/hh/resumes/{id}": USER,
    "GET /api/hh/resumes/{id}/raise": USER_OR_SERVICE,
    "POST /api/hh/resumes/{id}/raise": USER_OR_SERVICE,
    "PUT /api/hh/resumes/{id}/raise-schedule": USER_OR_SERVICE,
    "GET /api/accounts/{user_id}": USER_OR_SERVICE,
    "POST /api/accounts/{user_id}/pause": USER_OR_SERVICE,
    "POST /api/accounts/{user_id}/resume": USER_OR_SERVICE,
    "GET /api/accounts/{user_id}/export": USER_OR_SERVICE,
    "DELETE /api/accounts/{user_id}": USER_OR_SERVICE,
    "POST /api/accounts/{user_id}/handoff-link": USER_OR_SERVICE,
    "GET /handoff/page.js": ANYONE,
    "GET /handoff/{ticket}": ANYONE,
    "POST /handoff/{ticket}": ANYONE,
    "GET /handoff": ANYONE,
    "POST /handoff": ANYONE,
    "GET /api/applications": USER_OR_SERVICE,
    "GET /api/applications/{id}": USER_OR_SERVICE,
    "POST /api/applications/{id}/confirm": USER_OR_SERVICE,
    "POST /api/applications/{id}/cancel": USER_OR_SERVICE,
    "POST /api/applications/{id}/retry": USER_OR_SERVICE,
    "POST /api/jobs/import": USER_OR_SERVICE,
    "GET /api/jobs/{id}/fit": USER_OR_SERVICE,
    "GET /api/fit/weights": USER_OR_SERVICE,
    "PUT /api/fit/weights": USER_OR_SERVICE,
    "GET /api/letters/templates": USER_OR_SERVICE,
    "POST /api/letters/templates": USER_OR_SERVICE,
    "PUT /api/letters/templates/{id}": USER_OR_SERVICE,
    "DELETE /api/letters/templates/{id}": USER_OR_SERVICE,
    "POST /api/letters/preview": USER_OR_SERVICE,
    "POST /api/letters/check": USER_OR_SERVICE,
    "GET /api/notifications": USER_OR_SERVICE,
    "PUT /api/notifications": USER_OR_SERVICE,
    "GET /api/notifications/channels": USER_OR_SERVICE,
    "POST /api/notifications/channels": USER_OR_SERVICE,
    "DELETE /api/notifications/channels/{id}": USER_OR_SERVICE,
    "POST /api/notifications/channels/{id}/test": USER_OR_SERVICE,
    "POST /api/notifications/channels/{id}/rotate-secret": USER_OR_SERVICE,
    "GET /notifications/confirm/{token}": ANYONE,
    "POST /notifications/confirm/{token}": ANYONE,
    "GET /notifications/unsubscribe/{token}": ANYONE,
    "POST /notifications/unsubscribe/{token}": ANYONE,
    "GET /api/reviews": USER_OR_SERVICE,
    "GET /api/applications/{id}/messages": USER_OR_SERVICE,
    "POST /api/applications/{id}/messages": USER_OR_SERVICE,
    "POST /api/reviews/approve": USER_OR_SERVICE,
    "POST /api/reviews/reject": USER_OR_SERVICE,
    "PUT /api/reviews/{id}": USER_OR_SERVICE,
    "GET /api/stats": USER_OR_SERVICE,
    "GET /api/stats.csv": USER_OR_SERVICE,
    "GET /api/stats/silent": USER_OR_SERVICE,
    "GET /api/filters": USER_OR_SERVICE,
    "PUT /api/filters": USER_OR_SERVICE,
    "POST /api/filters/preview": USER_OR_SERVICE,
    "POST /api/schedules": USER_OR_SERVICE,
    "GET /api/schedules": USER_OR_SERVICE,
    "GET /api/schedules/{id}": USER_OR_SERVICE,
    "GET /api/schedules/{id}/matches": USER_OR_SERVICE,
    "PATCH /api/schedules/{id}": USER_OR_SERVICE,
    "DELETE /api/schedules/{id}": USER_OR_SERVICE,
    "POST /api/schedules/{id}/fetch": USER_OR_SERVICE,
    "POST /api/realtime/ticket": USER_OR_SERVICE,
    "DELETE /api/rate-limit/{user_id}": ADMIN,
    "POST /telegram": TELEGRAM,
    "POST /api/notifications/telegram/pairing": USER_OR_SERVICE,
}
# Routes that can be repeated after the person was deleted.
OF_UNKNOWN_USERS = {"GET /api/accounts/{user_id}/export", "DELETE /api/accounts/{user_id}"}
SECRETS = {
    SERVICE: "x-core-secret",
    ADMIN: "x-admin-secret",
    TELEGRAM: "x-telegram-bot-api-secret-token",
}
SECRET_SETTINGS = (
    "ORCHESTRATOR_SECRET",
    "ORCHESTRATOR_SECRET_PREVIOUS",
    "ADMIN_SECRET",
    "TELEGRAM_WEBHOOK_SECRET",
)
CONTEXT = SimpleNamespace(aws_request_id="aws-request-id")
TEMPLATE = template.load()
ROUTES = [
    (function.code.name, f"{route.method} {route.path}")
    for function in TEMPLATE.functions.values()
    for route in function.routes
]


def api_of(function):
    return importlib.import_module(f"functions.{function}.app").api


def call(function, key, headers):
    event = {
        "version": "2.0",
        "routeKey": key,
        "headers": headers,
        "pathParameters": {"id": "1", "user_id": "00000000-0000-4000-8000-000000000001"},
        "body": "{}",
        "isBase64Encoded": False,
    }
    answer = api_of(function).handler(event, CONTEXT)
    return answer["statusCode"], json.loads(answer["body"])["error"]


def test_the_template_has_routes():
    assert len(ROUTES) >= 3


@pytest.mark.parametrize(("function", "key"), ROUTES, ids=[key for _, key in ROUTES])
def test_template_route_exists_in_its_function(function, key):
    assert key in api_of(function).routes


def test_function_routes_are_in_the_template():
    for function in {function for function, _ in ROUTES}:
        assert set(api_of(function).routes) == {key for own, key in ROUTES if own == function}


@pytest.mark.parametrize(("function", "key"), ROUTES, ids=[key for _, key in ROUTES])
def test_only_listed_routes_are_not_service_routes(function, key):
    assert api_of(function).routes[key].auth is AUTH.get(key, SERVICE)


@pytest.mark.parametrize(("function", "key"), ROUTES, ids=[key for _, key in ROUTES])
def test_routes_with_tokens_have_people(function, key):
    api = api_of(function)
    assert api.routes[key].auth in (ANYONE, TELEGRAM) or api.people is people
    if api.routes[key].auth in (USER, USER_OR_SERVICE):
        name = "optional_user" if key in OF_UNKNOWN_USERS else "person"
        assert name in api.routes[key].parameters


@pytest.mark.parametrize(("function", "key"), ROUTES, ids=[key for _, key in ROUTES])
def test_routes_with_a_context_have_an_opener(function, key):
    api = api_of(function)
    assert "context" not in api.routes[key].parameters or api.open_context is not None


GUARDED = [(function, key) for function, key in ROUTES if AUTH.get(key) is not ANYONE]


@pytest.mark.parametrize("known", ["the-secret", "", None], ids=["set", "empty", "unset"])
@pytest.mark.parametrize(("function", "key"), GUARDED, ids=[key for _, key in GUARDED])
def test_guarded_route_refuses_a_missing_or_wrong_secret(monkeypatch, function, key, known):
    for name in SECRET_SETTINGS:
        monkeypatch.delenv(name, raising=False)
        if known is not None:
            monkeypatch.setenv(name, known)
    header = SECRETS.get(AUTH.get(key), "x-core-secret")
    for sent in ({}, {header: ""}, {header: "wrong"}, {header: "None"}):
        assert call(function, key, sent) == (401, "unauthorized")


def test_service_and_admin_secrets_are_separate(monkeypatch):
    monkeypatch.setenv("ORCHESTRATOR_SECRET", "the-service's")
    monkeypatch.setenv("ADMIN_SECRET", "the-administrator's")
    monkeypatch.setenv("TELEGRAM_WEBHOOK_SECRET", "telegram's")
    both = {
        "x-core-secret": "the-administrator's",
        "x-admin-secret": "the-service's",
        "x-telegram-bot-api-secret-token": "the-service's",
    }
    for function, key in GUARDED:
        assert call(function, key, both) == (401, "unauthorized")
    only_service = {"x-core-secret": "the-service's"}
    for function, key in GUARDED:
        if AUTH.get(key) in (ADMIN, TELEGRAM):
            assert call(function, key, only_service) == (401, "unauthorized")


@pytest.mark.parametrize(("function", "key"), GUARDED, ids=[key for _, key in GUARDED])
def test_invalid_token_beside_a_valid_secret_is_refused(monkeypatch, function, key):
    monkeypatch.setenv("ORCHESTRATOR_SECRET", "the-secret")
    monkeypatch.setenv("SECRET_KEY_BASE", "a secret of this test alone, long enough")
    monkeypatch.setenv("ADMIN_SECRET", "the-admins")
    monkeypatch.setenv("TELEGRAM_WEBHOOK_SECRET", "telegrams")
    headers = {
        "x-telegram-bot-api-secret-token": "telegrams",
        "x-core-secret": "the-secret",
        "x-admin-secret": "the-admins",
        "authorization": "Bearer x.y.z",
    }
    assert call(function, key, headers) == (401, "invalid_token")
