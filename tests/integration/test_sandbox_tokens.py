"""``POST /token`` of the sandbox: application tokens and hh.ru's five minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from tests.fixtures.hh_sandbox import HhSandbox

HEADERS = {"User-Agent": "UllGetTheJobTests/1.0 (tests@example.org)"}


def ask(sandbox: HhSandbox, path: str = "/token", **form: str) -> tuple[int, Any]:
    fields = {
        "grant_type": "client_credentials",
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
    } | form
    answer = httpx.post(sandbox.url + path, data=fields, headers=HEADERS, trust_env=False)
    return answer.status_code, answer.json()


def search(sandbox: HhSandbox, token: str) -> httpx.Response:
    headers = HEADERS | {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{sandbox.url}/vacancies", headers=headers, trust_env=False)


@pytest.mark.parametrize("path", ["/token", "/oauth/token"])
def test_application_token_does_not_expire(hh_sandbox: HhSandbox, path: str) -> None:
    status, body = ask(hh_sandbox, path)
    assert status == 200
    assert set(body) == {"access_token", "token_type"}
    assert body["token_type"] == "bearer"
    hh_sandbox.advance(400 * 86_400)
    assert search(hh_sandbox, body["access_token"]).status_code == 200


def test_second_token_within_five_minutes_is_refused(hh_sandbox: HhSandbox) -> None:
    first = ask(hh_sandbox)[1]["access_token"]
    too_early = {"error": "forbidden", "error_description": "app token refresh too early"}
    assert ask(hh_sandbox) == (403, too_early)
    hh_sandbox.advance(290)
    assert ask(hh_sandbox) == (403, too_early)
    assert search(hh_sandbox, first).status_code == 200


def test_new_token_revokes_the_previous_token(hh_sandbox: HhSandbox) -> None:
    first = ask(hh_sandbox)[1]["access_token"]
    hh_sandbox.advance(301)
    second = ask(hh_sandbox)[1]["access_token"]
    assert second != first
    refused = search(hh_sandbox, first)
    assert refused.status_code == 403
    assert refused.json()["errors"] == [{"type": "oauth", "value": "token_revoked"}]
    assert refused.json()["oauth_error"] == "token-revoked"
    assert search(hh_sandbox, second).status_code == 200


@pytest.mark.parametrize(
    ("form", "error", "description"),
    [
        ({"client_secret": "x"}, "invalid_client", "client_id or client_secret not found"),
        ({"client_id": "x"}, "invalid_client", "client_id or client_secret not found"),
        ({"client_id": "й"}, "invalid_client", "client_id or client_secret not found"),
        ({"grant_type": "password"}, "unsupported_grant_type", "unsupported grant_type"),
        ({"grant_type": ""}, "unsupported_grant_type", "unsupported grant_type"),
        ({"grant_type": "authorization_code", "code": "x"}, "invalid_request", "code not found"),
        ({"grant_type": "refresh_token"}, "invalid_request", "token is empty"),
        (
            {"grant_type": "refresh_token", "refresh_token": "x"},
            "invalid_request",
            "token not found",
        ),
    ],
)
def test_refusals_have_the_shape_of_rfc_6749(
    hh_sandbox: HhSandbox, form: dict[str, str], error: str, description: str
) -> None:
    assert ask(hh_sandbox, **form) == (400, {"error": error, "error_description": description})


def test_json_body_is_refused(hh_sandbox: HhSandbox) -> None:
    answer = httpx.post(
        f"{hh_sandbox.url}/token",
        json={"grant_type": "client_credentials"},
        headers=HEADERS,
        trust_env=False,
    )
    assert answer.json()["error"] == "unsupported_grant_type"


def test_token_endpoint_needs_a_user_agent(hh_sandbox: HhSandbox) -> None:
    answer = httpx.post(f"{hh_sandbox.url}/token", data={}, trust_env=False)
    assert answer.json()["errors"] == [{"type": "bad_user_agent", "value": "blacklisted"}]


def test_application_token_cannot_be_deleted(hh_sandbox: HhSandbox) -> None:
    headers = HEADERS | {"Authorization": f"Bearer {hh_sandbox.token()}"}
    answer = httpx.delete(f"{hh_sandbox.url}/token", headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["errors"]) == (403, [{"type": "forbidden"}])
