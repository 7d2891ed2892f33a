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


def why(sandbox: HhSandbox, token: str) -> list[dict[str, Any]]:
    """The errors of a call with the token; none when it is good."""
    errors: list[dict[str, Any]] = sandbox.call("GET", "/me", token).json().get("errors", [])
    return errors


REVOKED = [{"type": "oauth", "value": "token_revoked"}]
EXPIRED = [{"type": "oauth", "value": "token_expired"}]


# ── authorization_code ──────────────────────────────────────────────────────────────────────────


def test_a_code_gives_a_pair_that_lives_fourteen_days(hh_sandbox: HhSandbox) -> None:
    pair = hh_sandbox.log_in("anna")
    assert set(pair) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (pair["token_type"], pair["expires_in"]) == ("bearer", 1_209_600)
    assert pair["access_token"].startswith("USER")
    hh_sandbox.advance(TOKEN_LIFE_S - 60)
    assert why(hh_sandbox, pair["access_token"]) == []
    hh_sandbox.advance(60)
    answer = hh_sandbox.call("GET", "/me", pair["access_token"])
    assert (answer.status_code, answer.json()["errors"]) == (403, EXPIRED)
    assert answer.json()["oauth_error"] == "token-expired"


def test_a_code_is_used_once_and_its_second_use_harms_nothing(hh_sandbox: HhSandbox) -> None:
    code = hh_sandbox.consent("anna")["code"]
    pair = exchange(hh_sandbox, code).json()
    again = refusal(exchange(hh_sandbox, code))
    assert again == ("invalid_grant", "code has already been used")
    assert why(hh_sandbox, pair["access_token"]) == []


def test_a_code_expires(hh_sandbox: HhSandbox) -> None:
    code = hh_sandbox.consent("anna")["code"]
    hh_sandbox.advance(grants.CODE_LIFE_S)
    assert refusal(exchange(hh_sandbox, code)) == ("invalid_grant", "code expired")


def test_a_code_that_was_revoked_says_so(hh_sandbox: HhSandbox) -> None:
    code = hh_sandbox.consent("anna")["code"]
    hh_sandbox.control("POST", "/people/anna/revoke")
    assert refusal(exchange(hh_sandbox, code)) == ("invalid_grant", "code was revoke")


@pytest.mark.parametrize("code", ["", "unknown"])
def test_an_unknown_code_is_not_found(hh_sandbox: HhSandbox, code: str) -> None:
    assert refusal(exchange(hh_sandbox, code)) == ("invalid_request", "code not found")


@pytest.mark.parametrize("form", [{"client_id": "x"}, {"client_secret": "x"}, {"client_id": ""}])
def test_the_secret_is_wanted_and_a_wrong_one_spares_the_code(
    hh_sandbox: HhSandbox, form: dict[str, str]
) -> None:
    code = hh_sandbox.consent("anna", **PKCE)["code"]
    wrong = refusal(exchange(hh_sandbox, code, code_verifier=VERIFIER, **form))
    assert wrong == ("invalid_client", "client_id or client_secret not found")
    assert exchange(hh_sandbox, code, code_verifier=VERIFIER).status_code == 200


def test_the_address_that_was_sent_must_come_again(hh_sandbox: HhSandbox) -> None:
    deeper = f"{REDIRECT_URI}/deep"
    code = hh_sandbox.consent("anna", redirect_uri=deeper)["code"]
    bad = ("invalid_request", "bad redirect url")
    assert refusal(exchange(hh_sandbox, code)) == bad
    assert refusal(exchange(hh_sandbox, code, redirect_uri=REDIRECT_URI)) == bad
    assert exchange(hh_sandbox, code, redirect_uri=deeper).status_code == 200


def test_where_none_was_sent_the_registered_one_or_none_will_do(hh_sandbox: HhSandbox) -> None:
    code = hh_sandbox.consent("anna")["code"]
    other = refusal(exchange(hh_sandbox, code, redirect_uri="https://other.example.org"))
    assert other == ("invalid_request", "bad redirect url")
    assert exchange(hh_sandbox, code, redirect_uri=REDIRECT_URI).status_code == 200


@pytest.mark.parametrize("verifier", [{}, {"code_verifier": VERIFIER + "x"}])
def test_a_challenge_wants_its_verifier(hh_sandbox: HhSandbox, verifier: dict[str, str]) -> None:
    code = hh_sandbox.consent("anna", **PKCE)["code"]
    assert refusal(exchange(hh_sandbox, code, **verifier))[0] == "invalid_grant"
    assert exchange(hh_sandbox, code, code_verifier=VERIFIER).status_code == 200


def test_a_verifier_without_a_challenge_is_refused(hh_sandbox: HhSandbox) -> None:
    code = hh_sandbox.consent("anna")["code"]
    assert refusal(exchange(hh_sandbox, code, code_verifier=VERIFIER))[0] == "invalid_grant"


# ── refresh_token ───────────────────────────────────────────────────────────────────────────────


def test_refreshing_before_the_end_is_refused(hh_sandbox: HhSandbox) -> None:
    pair = hh_sandbox.log_in("anna")
    early = ("invalid_grant", "token not expired")
    assert refusal(refresh(hh_sandbox, pair["refresh_token"])) == early
    hh_sandbox.advance(TOKEN_LIFE_S - 60)
    assert refusal(refresh(hh_sandbox, pair["refresh_token"])) == early


def test_after_the_end_a_refresh_token_gives_a_new_pair_once(hh_sandbox: HhSandbox) -> None:
    pair = hh_sandbox.log_in("anna")
    hh_sandbox.advance(TOKEN_LIFE_S)
    new = refresh(hh_sandbox, pair["refresh_token"]).json()
    assert set(new) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert not set(pair.values()) & {new["access_token"], new["refresh_token"]}
    assert why(hh_sandbox, new["access_token"]) == []
    assert why(hh_sandbox, pair["access_token"]) == EXPIRED
    used = ("invalid_grant", "token has already been refreshed")
    assert refusal(refresh(hh_sandbox, pair["refresh_token"])) == used
    hh_sandbox.advance(TOKEN_LIFE_S)
    assert refusal(refresh(hh_sandbox, pair["refresh_token"])) == used
    assert refresh(hh_sandbox, new["refresh_token"]).status_code == 200


def test_a_refresh_token_waits_a_year(hh_sandbox: HhSandbox) -> None:
    pair = hh_sandbox.log_in("anna")
    hh_sandbox.advance(365 * 86_400)
    assert refresh(hh_sandbox, pair["refresh_token"]).status_code == 200


def test_fields_that_refreshing_does_not_know_change_nothing(hh_sandbox: HhSandbox) -> None:
    pair = hh_sandbox.log_in("anna")
    hh_sandbox.advance(TOKEN_LIFE_S)
    assert refresh(hh_sandbox, pair["refresh_token"], client_id="x").status_code == 200


@pytest.mark.parametrize("token", ["", "  "])
def test_an_empty_token(hh_sandbox: HhSandbox, token: str) -> None:
    assert refusal(refresh(hh_sandbox, token)) == ("invalid_request", "token is empty")


def test_an_unknown_token(hh_sandbox: HhSandbox) -> None:
    assert refusal(refresh(hh_sandbox, "USERX")) == ("invalid_request", "token not found")


def test_a_token_of_another_kind_is_bad(hh_sandbox: HhSandbox) -> None:
    for token in (hh_sandbox.log_in("anna")["access_token"], hh_sandbox.token()):
        assert refusal(refresh(hh_sandbox, token)) == ("invalid_grant", "bad token")


def test_a_new_password_deactivates_all_of_a_persons_tokens(hh_sandbox: HhSandbox) -> None:
    first, second, other = (hh_sandbox.log_in(who) for who in ("anna", "anna", "olga"))
    ended = hh_sandbox.control("POST", "/people/anna/password")
    assert ended == {"person": "anna", "ended_token_pairs": 2}
    for pair in (first, second):
        assert why(hh_sandbox, pair["access_token"]) == REVOKED
        assert refusal(refresh(hh_sandbox, pair["refresh_token"])) == (
            "invalid_grant",
            "token deactivated",
        )
    assert why(hh_sandbox, other["access_token"]) == []
    assert why(hh_sandbox, hh_sandbox.log_in("anna")["access_token"]) == []


def test_revoked_tokens_say_so(hh_sandbox: HhSandbox) -> None:
    pair = hh_sandbox.log_in("anna")
    hh_sandbox.control("POST", "/people/170000001/revoke")
    assert why(hh_sandbox, pair["access_token"]) == REVOKED
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
def test_an_account_that_is_not_in_order_gets_no_tokens(
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
def test_a_locked_accounts_tokens_open_nothing_until_it_is_unlocked(
    hh_sandbox: HhSandbox, state: str
) -> None:
    pair = hh_sandbox.log_in("anna")
    hh_sandbox.control("POST", "/people/anna/account", {"state": state})
    assert why(hh_sandbox, pair["access_token"]) == REVOKED
    hh_sandbox.control("POST", "/people/anna/account", {"state": "active"})
    assert why(hh_sandbox, pair["access_token"]) == []


# ── DELETE /token ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["/token", "/oauth/token"])
def test_a_person_gives_a_token_back_and_the_pair_is_dead(hh_sandbox: HhSandbox, path: str) -> None:
    pair, other = hh_sandbox.log_in("anna"), hh_sandbox.log_in("anna")
    answer = hh_sandbox.call("DELETE", path, pair["access_token"])
    assert (answer.status_code, answer.content) == (204, b"")
    assert why(hh_sandbox, pair["access_token"]) == REVOKED
    gone = ("invalid_grant", "token was revoked")
    assert refusal(refresh(hh_sandbox, pair["refresh_token"])) == gone
    again = hh_sandbox.call("DELETE", path, pair["access_token"])
    assert (again.status_code, again.json()["errors"]) == (403, REVOKED)
    assert why(hh_sandbox, other["access_token"]) == []


def test_an_expired_token_cannot_be_given_back_and_still_refreshes(hh_sandbox: HhSandbox) -> None:
    pair = hh_sandbox.log_in("anna")
    hh_sandbox.advance(TOKEN_LIFE_S)
    answer = hh_sandbox.call("DELETE", "/token", pair["access_token"])
    assert (answer.status_code, answer.json()["errors"]) == (403, EXPIRED)
    assert refresh(hh_sandbox, pair["refresh_token"]).status_code == 200


def test_nobody_cannot_give_anything_back(hh_sandbox: HhSandbox) -> None:
    answer = hh_sandbox.call("DELETE", "/token")
    assert (answer.status_code, answer.json()["errors"]) == (403, [{"type": "forbidden"}])


# ── what outlives what ──────────────────────────────────────────────────────────────────────────


def test_a_refresh_token_is_not_an_access_token(hh_sandbox: HhSandbox) -> None:
    pair = hh_sandbox.log_in("anna")
    assert why(hh_sandbox, pair["refresh_token"]) == [
        {"type": "oauth", "value": "bad_authorization"}
    ]


def test_faults_strike_the_token_endpoint(hh_sandbox: HhSandbox) -> None:
    code = hh_sandbox.consent("anna")["code"]
    hh_sandbox.fault("service_unavailable", path="/token", times=1)
    assert [exchange(hh_sandbox, code).status_code for _ in range(2)] == [503, 200]


def test_an_answer_that_is_lost_has_spent_the_token_all_the_same(hh_sandbox: HhSandbox) -> None:
    pair = hh_sandbox.log_in("anna")
    hh_sandbox.advance(TOKEN_LIFE_S)
    hh_sandbox.fault("truncated", path="/token", times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        refresh(hh_sandbox, pair["refresh_token"])
    assert refusal(refresh(hh_sandbox, pair["refresh_token"]))[1] == (
        "token has already been refreshed"
    )


def test_codes_tokens_consents_and_locks_outlive_a_kill(tmp_path: Path) -> None:
    options = ("--vacancies", "20")
    with run_sandbox(tmp_path, *options) as sandbox:
        anna, olga = sandbox.log_in("anna"), sandbox.log_in("olga")
        code = sandbox.consent("timur")["code"]
        sandbox.control("POST", "/people/olga/account", {"state": "locked"})
        sandbox.call("DELETE", "/token", sandbox.log_in("marina")["access_token"])
        sandbox.kill()
    with run_sandbox(tmp_path, *options) as sandbox:
        assert why(sandbox, anna["access_token"]) == []
        assert exchange(sandbox, code).status_code == 200
        assert refusal(exchange(sandbox, code))[1] == "code has already been used"
        sandbox.advance(TOKEN_LIFE_S)
        assert refusal(refresh(sandbox, olga["refresh_token"]))[1] == "account is locked"
        assert refresh(sandbox, anna["refresh_token"]).status_code == 200
