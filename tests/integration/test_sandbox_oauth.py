"""People's tokens in the sandbox: codes, pairs, refreshing, revoking, and every refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from local.sandbox.oauth import grants, pkce
from local.sandbox.oauth.account_store import TOKEN_LIFE_S
from tests.fixtures.hh_sandbox import REDIRECT_URI, run_sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.hh_sandbox import HhSandbox

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
PKCE = {"code_challenge": pkce.challenge(VERIFIER), "code_challenge_method": "S256"}


def refusal(answer: httpx.Response) -> tuple[str, str]:
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert set(body) == {"error", "error_description"}
    return body["error"], body["error_description"]


def exchange(sandbox: HhSandbox, code: str, **form: str) -> httpx.Response:
    return sandbox.grant(grant_type="authorization_code", code=code, **form)


def refresh(sandbox: HhSandbox, token: str, **form: str) -> httpx.Response:
    return sandbox.grant(grant_type="refresh_token", refresh_token=token, **form)


def errors_of(sandbox: HhSandbox, token: str) -> list[dict[str, Any]]:
    """Return the errors of a call with the token, none if it is valid."""
    errors: list[dict[str, Any]] = sandbox.call("GET", "/me", token).json().get("errors", [])
    return errors


REVOKED = [{"type": "oauth", "value": "token_revoked"}]
EXPIRED = [{"type": "oauth", "value": "token_expired"}]


# ── authorization_code ──────────────────────────────────────────────────────────────────────────


def test_code_gives_a_pair_valid_for_fourteen_days(hh_sandbox: HhSandbox) -> None:
    pair = hh_sandbox.log_in("anna")
    assert set(pair) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (pair["token_type"], pair["expires_in"]) == ("bearer", 1_209_600)
    assert pair["access_token"].startswith("USER")
    hh_sandbox.advance(TOKEN_LIFE_S - 60)
    assert errors_of(hh_sandbox, pair["access_token"]) == []
    hh_sandbox.advance(60)
    answer = hh_sandbox.call("GET", "/me", pair["access_token"])
    assert (answer.status_code, answer.json()["errors"]) == (403, EXPIRED)
    assert answer.json()["oauth_error"] == "token-expired"


def test_second_use_of_a_code_keeps_the_first_pair(hh_sandbox: HhSandbox) -> None:
    code = hh_sandbox.consent("anna")["code"]
    pair = exchange(hh_sandbox, code).json()
    again = refusal(exchange(hh_sandbox, code))
    assert again == ("invalid_grant", "code has already been used")
    assert errors_of(hh_sandbox, pair["access_token"]) == []


def test_code_expires(hh_sandbox: HhSandbox) -> None:
    code = hh_sandbox.consent("anna")["code"]
    hh_sandbox.advance(grants.CODE_LIFE_S)
    assert refusal(exchange(hh_sandbox, code)) == ("invalid_grant", "code expired")


def test_revoked_code_is_refused(hh_sandbox: HhSandbox) -> None:
    code = hh_sandbox.consent("anna")["code"]
    hh_sandbox.control("POST", "/people/anna/revoke")
    assert refusal(exchange(hh_sandbox, code)) == ("invalid_grant", "code was revoke")


@pytest.mark.parametrize("code", ["", "unknown"])
def test_unknown_code_is_not_found(hh_sandbox: HhSandbox, code: str) -> None:
    assert refusal(exchange(hh_sandbox, code)) == ("invalid_request", "code not found")


@pytest.mark.parametrize("form", [{"client_id": "x"}, {"client_secret": "x"}, {"client_id": ""}])
def test_wrong_client_does_not_use_up_the_code(hh_sandbox: HhSandbox, form: dict[str, str]) -> None:
    code = hh_sandbox.consent("anna", **PKCE)["code"]
    wrong = refusal(exchange(hh_sandbox, code, code_verifier=VERIFIER, **form))
    assert wrong == ("invalid_client", "client_id or client_secret not found")
    assert exchange(hh_sandbox, code, code_verifier=VERIFIER).status_code == 200


def test_exchange_needs_the_redirect_uri_of_authorize(hh_sandbox: HhSandbox) -> None:
    deeper = f"{REDIRECT_URI}/deep"
    code = hh_sandbox.consent("anna", redirect_uri=deeper)["code"]
    bad = ("invalid_request", "bad redirect url")
    assert refusal(exchange(hh_sandbox, code)) == bad
    assert refusal(exchange(hh_sandbox, code, redirect_uri=REDIRECT_URI)) == bad
    assert exchange(hh_sandbox, code, redirect_uri=deeper).status_code == 200


def test_exchange_without_redirect_uri_needs_none_or_registered(hh_sandbox: HhSandbox) -> None:
    code = hh_sandbox.consent("anna")["code"]
    other = refusal(exchange(hh_sandbox, code, redirect_uri="https://other.example.org"))
    assert other == ("invalid_request", "bad redirect url")
    assert exchange(hh_sandbox, code, redirect_uri=REDIRECT_URI).status_code == 200


@pytest.mark.parametrize("verifier", [{}, {"code_verifier": VERIFIER + "x"}])
def test_challenge_needs_its_verifier(hh_sandbox: HhSandbox, verifier: dict[str, str]) -> None:
    code = hh_sandbox.consent("anna", **PKCE)["code"]
    assert refusal(exchange(hh_sandbox, code, **verifier))[0] == "invalid_grant"
    assert exchange(hh_sandbox, code, code_verifier=VERIFIER).status_code == 200


def test_verifier_without_a_challenge_is_refused(hh_sandbox: HhSandbox) -> None:
    code = hh_sandbox.consent("anna")["code"]
    assert refusal(exchange(hh_sandbox, code, code_verifier=VERIFIER))[0] == "invalid_grant"


# ── refresh_token ───────────────────────────────────────────────────────────────────────────────


def test_refresh_before_expiry_is_refused(hh_sandbox: HhSandbox) -> None:
    pair = hh_sandbox.log_in("anna")
    early = ("invalid_grant", "token not expired")
    assert refusal(refresh(hh_sandbox, pair["refresh_token"])) == early
    hh_sandbox.advance(TOKEN_LIFE_S - 60)
    assert refusal(refresh(hh_sandbox, pair["refresh_token"])) == early


def test_refresh_after_expiry_gives_a_new_pair_once(hh_sandbox: HhSandbox) -> None:
    pair = hh_sandbox.log_in("anna")
    hh_sandbox.advance(TOKEN_LIFE_S)
    new = refresh(hh_sandbox, pair["refresh_token"]).json()
    assert set(new) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert not set(pair.values()) & {new["access_token"], new["refresh_token"]}
    assert errors_of(hh_sandbox, new["access_token"]) == []
    assert errors_of(hh_sandbox, pair["access_token"]) == EXPIRED
    used = ("invalid_grant", "token has already been refreshed")
    assert refusal(refresh(hh_sandbox, pair["refresh_token"])) == used
    hh_sandbox.advance(TOKEN_LIFE_S)
    assert refusal(refresh(hh_sandbox, pair["refresh_token"])) == used
    assert refresh(hh_sandbox, new["refresh_token"]).status_code == 200


def test_refresh_token_is_valid_after_a_year(hh_sandbox: HhSandbox) -> None:
    pair = hh_sandbox.log_in("anna")
    hh_sandbox.advance(365 * 86_400)
    assert refresh(hh_sandbox, pair["refresh_token"]).status_code == 200


def test_refresh_ignores_unknown_fields(hh_sandbox: HhSandbox) -> None:
    pair = hh_sandbox.log_in("anna")
    hh_sandbox.advance(TOKEN_LIFE_S)
    assert refresh(hh_sandbox, pair["refresh_token"], client_id="x").status_code == 200


@pytest.mark.parametrize("token", ["", "  "])
def test_empty_refresh_token_is_refused(hh_sandbox: HhSandbox, token: str) -> None:
    assert refusal(refresh(hh_sandbox, token)) == ("invalid_request", "token is empty")


def test_unknown_refresh_token_is_not_found(hh_sandbox: HhSandbox) -> None:
    assert refusal(refresh(hh_sandbox, "USERX")) == ("invalid_request", "token not found")


def test_token_of_another_kind_cannot_refresh(hh_sandbox: HhSandbox) -> None:
    for token in (hh_sandbox.log_in("anna")["access_token"], hh_sandbox.token()):
        assert refusal(refresh(hh_sandbox, token)) == ("invalid_grant", "bad token")


def test_new_password_deactivates_all_tokens_of_a_person(hh_sandbox: HhSandbox) -> None:
    first, second, other = (hh_sandbox.log_in(name) for name in ("anna", "anna", "olga"))
    ended = hh_sandbox.control("POST", "/people/anna/password")
    assert ended == {"person": "anna", "ended_token_pairs": 2}
    for pair in (first, second):
        assert errors_of(hh_sandbox, pair["access_token"]) == REVOKED
        assert refusal(refresh(hh_sandbox, pair["refresh_token"])) == (
            "invalid_grant",
            "token deactivated",
        )
    assert errors_of(hh_sandbox, other["access_token"]) == []
    assert errors_of(hh_sandbox, hh_sandbox.log_in("anna")["access_token"]) == []


def test_revoked_tokens_are_refused(hh_sandbox: HhSandbox) -> None:
    pair = hh_sandbox.log_in("anna")
    hh_sandbox.control("POST", "/people/170000001/revoke")
    assert errors_of(hh_sandbox, pair["access_token"]) == REVOKED
    gone = ("invalid_grant", "token was revoked")
    assert refusal(refresh(hh_sandbox, pair["refresh_token"])) == gone


@pytest.mark.parametrize(
    ("state", "description"),
    [
        ("locked", "account is locked"),
        ("deleted", "account not found"),
        ("password_invalidated", "password invalidated"),
        ("login_not_verified", "login not verified"),
    ],
)
def test_inactive_account_gets_no_tokens(
    hh_sandbox: HhSandbox, state: str, description: str
) -> None:
    code, pair = hh_sandbox.consent("anna")["code"], hh_sandbox.log_in("anna")
    hh_sandbox.control("POST", "/people/anna/account", {"state": state})
    assert refusal(exchange(hh_sandbox, code)) == ("invalid_request", description)
    hh_sandbox.advance(TOKEN_LIFE_S)
    assert refusal(refresh(hh_sandbox, pair["refresh_token"])) == ("invalid_request", description)
    hh_sandbox.control("POST", "/people/anna/account", {"state": "active"})
    assert refresh(hh_sandbox, pair["refresh_token"]).status_code == 200


@pytest.mark.parametrize("state", ["locked", "deleted"])
def test_tokens_of_a_locked_account_are_refused(hh_sandbox: HhSandbox, state: str) -> None:
    pair = hh_sandbox.log_in("anna")
    hh_sandbox.control("POST", "/people/anna/account", {"state": state})
    assert errors_of(hh_sandbox, pair["access_token"]) == REVOKED
    hh_sandbox.control("POST", "/people/anna/account", {"state": "active"})
    assert errors_of(hh_sandbox, pair["access_token"]) == []


# ── DELETE /token ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["/token", "/oauth/token"])
def test_delete_token_revokes_the_pair(hh_sandbox: HhSandbox, path: str) -> None:
    pair, other = hh_sandbox.log_in("anna"), hh_sandbox.log_in("anna")
    answer = hh_sandbox.call("DELETE", path, pair["access_token"])
    assert (answer.status_code, answer.content) == (204, b"")
    assert errors_of(hh_sandbox, pair["access_token"]) == REVOKED
    gone = ("invalid_grant", "token was revoked")
    assert refusal(refresh(hh_sandbox, pair["refresh_token"])) == gone
    again = hh_sandbox.call("DELETE", path, pair["access_token"])
    assert (again.status_code, again.json()["errors"]) == (403, REVOKED)
    assert errors_of(hh_sandbox, other["access_token"]) == []


def test_expired_token_cannot_be_deleted_and_can_be_refreshed(hh_sandbox: HhSandbox) -> None:
    pair = hh_sandbox.log_in("anna")
    hh_sandbox.advance(TOKEN_LIFE_S)
    answer = hh_sandbox.call("DELETE", "/token", pair["access_token"])
    assert (answer.status_code, answer.json()["errors"]) == (403, EXPIRED)
    assert refresh(hh_sandbox, pair["refresh_token"]).status_code == 200


def test_delete_token_without_a_token_is_forbidden(hh_sandbox: HhSandbox) -> None:
    answer = hh_sandbox.call("DELETE", "/token")
    assert (answer.status_code, answer.json()["errors"]) == (403, [{"type": "forbidden"}])


# ── other ──────────────────────────────────────────────────────────────────────────────────────


def test_refresh_token_is_not_an_access_token(hh_sandbox: HhSandbox) -> None:
    pair = hh_sandbox.log_in("anna")
    assert errors_of(hh_sandbox, pair["refresh_token"]) == [
        {"type": "oauth", "value": "bad_authorization"}
    ]


def test_faults_apply_to_the_token_endpoint(hh_sandbox: HhSandbox) -> None:
    code = hh_sandbox.consent("anna")["code"]
    hh_sandbox.fault("service_unavailable", path="/token", times=1)
    assert [exchange(hh_sandbox, code).status_code for _ in range(2)] == [503, 200]


def test_lost_refresh_response_still_uses_the_token(hh_sandbox: HhSandbox) -> None:
    pair = hh_sandbox.log_in("anna")
    hh_sandbox.advance(TOKEN_LIFE_S)
    hh_sandbox.fault("truncated", path="/token", times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        refresh(hh_sandbox, pair["refresh_token"])
    assert refusal(refresh(hh_sandbox, pair["refresh_token"]))[1] == (
        "token has already been refreshed"
    )


def test_codes_tokens_and_account_states_survive_a_kill(tmp_path: Path) -> None:
    options = ("--vacancies", "20")
    with run_sandbox(tmp_path, *options) as sandbox:
        anna, olga = sandbox.log_in("anna"), sandbox.log_in("olga")
        code = sandbox.consent("timur")["code"]
        sandbox.control("POST", "/people/olga/account", {"state": "locked"})
        sandbox.call("DELETE", "/token", sandbox.log_in("marina")["access_token"])
        sandbox.kill()
    with run_sandbox(tmp_path, *options) as sandbox:
        assert errors_of(sandbox, anna["access_token"]) == []
        assert exchange(sandbox, code).status_code == 200
        assert refusal(exchange(sandbox, code))[1] == "code has already been used"
        sandbox.advance(TOKEN_LIFE_S)
        assert refusal(refresh(sandbox, olga["refresh_token"]))[1] == "account is locked"
        assert refresh(sandbox, anna["refresh_token"]).status_code == 200
