"""POST /auth/hh/refresh: pairs for a trusted server, stored ones renewed in their place."""

from uuid import uuid4

import pytest

from tests.fixtures.core import LIFE_S

MINUTE = 60


def refresh(core, refresh_token, **options):
    return core.call("POST /auth/hh/refresh", body={"refresh_token": refresh_token}, **options)


def pair_of(reply):
    """Check a successful answer, and return its access and refresh token."""
    assert reply.status == 200, reply
    assert set(reply.body) == {"success", "tokens"}
    tokens = reply.body["tokens"]
    assert set(tokens) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert tokens["token_type"] == "bearer"
    return tokens["access_token"], tokens["refresh_token"]


@pytest.fixture
def tokens(core):
    """The tokens of a login without a session, which the token store keeps."""
    tokens = core.callback(core.code()).body["tokens"]
    core.reset_hits()
    return tokens


def expire(core):
    core.sandbox.advance(LIFE_S + 1)


def hh_accepts(core, access_token):
    return core.sandbox.call("GET", "/me", access_token).status_code == 200


def test_pair_that_has_not_expired_is_answered_unchanged(core, tokens):
    core.sandbox.advance(3600)
    reply = refresh(core, tokens["refresh_token"])
    assert pair_of(reply) == (tokens["access_token"], tokens["refresh_token"])
    assert LIFE_S - 3700 < reply.body["tokens"]["expires_in"] <= LIFE_S - 3600
    assert core.hits() == 0
    assert core.audited()[-1] == ("service", "refresh", "ok")


def test_expired_pair_is_renewed_once_and_stored(core):
    _, jwt = core.log_in("anna")
    tokens = core.callback(core.code()).body["tokens"]
    [stored] = core.rows("SELECT refresh_token FROM account_tokens")
    core.reset_hits()
    expire(core)
    reply = refresh(core, tokens["refresh_token"])
    access_token, refresh_token = pair_of(reply)
    assert access_token != tokens["access_token"]
    assert hh_accepts(core, access_token)
    assert LIFE_S - 60 < reply.body["tokens"]["expires_in"] <= LIFE_S
    assert core.hits() == 1
    [row] = core.rows("SELECT refresh_token FROM account_tokens")
    assert row != stored
    # the account's sessions use the same pair
    assert core.call("GET /api/hh/resumes", jwt=jwt, secret=None).status == 200
    assert core.hits() == 1
    assert pair_of(refresh(core, refresh_token)) == (access_token, refresh_token)


def test_previous_token_gets_the_same_pair_for_ten_minutes(core, tokens):
    old = tokens["refresh_token"]
    expire(core)
    new = pair_of(refresh(core, old))
    assert pair_of(refresh(core, old)) == new
    core.sandbox.advance(9 * MINUTE)
    assert pair_of(refresh(core, old)) == new
    core.sandbox.advance(MINUTE + 1)
    for _ in range(2):
        assert refresh(core, old).refusal == (400, "invalid_refresh_token")
    assert core.hits() == 1
    assert core.audited()[-1] == ("service", "refresh", "invalid_refresh_token")
    assert pair_of(refresh(core, new[1])) == new


def test_unknown_token_is_exchanged_and_not_stored(core):
    pair = core.sandbox.log_in("timur")
    expire(core)
    access_token, refresh_token = pair_of(refresh(core, pair["refresh_token"]))
    assert hh_accepts(core, access_token)
    assert refresh_token != pair["refresh_token"]
    assert core.rows("SELECT FROM account_tokens") == []
    assert core.rows("SELECT FROM accounts") == []
    assert refresh(core, pair["refresh_token"]).refusal == (400, "invalid_refresh_token")


def test_unknown_token_that_has_not_expired_is_refused(core):
    pair = core.sandbox.log_in("timur")
    assert refresh(core, pair["refresh_token"]).refusal == (400, "token_not_expired")
    assert hh_accepts(core, pair["access_token"])


@pytest.mark.parametrize("body", [None, [], {"refresh_token": "R"}, {"refresh_token": 5}, {}])
def test_malformed_request_or_token_is_4xx(core, body):
    status, code = core.call("POST /auth/hh/refresh", body=body).refusal
    assert status in (400, 422)
    assert code in ("invalid_json", "invalid_request", "invalid_refresh_token")


def test_access_token_or_too_long_text_is_refused(core, tokens):
    assert refresh(core, tokens["access_token"]).refusal == (400, "invalid_refresh_token")
    assert refresh(core, "x" * 513).refusal == (422, "invalid_request")


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (("POST", "/people/anna/password"), "token_deactivated"),
        (("POST", "/people/anna/revoke"), "token_revoked"),
        (("POST", "/people/anna/account", {"state": "locked"}), "account_locked"),
    ],
)
def test_refused_renewal_requires_a_login(core, tokens, event, reason):
    session_id, _ = core.log_in("anna")
    tokens = core.callback(core.code()).body["tokens"]
    core.sandbox.control(*event)
    expire(core)
    for _ in range(2):
        reply = refresh(core, tokens["refresh_token"])
        assert reply.refusal == (400, "invalid_refresh_token")
        assert "logs in again" in reply.body["message"]
    access = core.access(session_id)
    assert (access["state"], access["reason"]) == ("reauth_required", reason)


@pytest.mark.parametrize(
    ("fault", "code"),
    [("server_error", "hh_unavailable"), ("edge_block", "hh_region_blocked")],
)
def test_failure_of_hh_ru_is_503_and_a_repeat_succeeds(core, tokens, fault, code):
    expire(core)
    core.sandbox.fault(fault, path="/token", times=1)
    reply = refresh(core, tokens["refresh_token"])
    assert reply.refusal == (503, code)
    assert "retry-after" in reply.headers
    core.end_pause()
    assert hh_accepts(core, pair_of(refresh(core, tokens["refresh_token"]))[0])


def test_refresh_requires_the_service_secret(core, tokens):
    _, jwt = core.log_in("timur")
    for options in ({"secret": None}, {"secret": None, "jwt": jwt}, {"secret": "wrong"}):
        assert refresh(core, tokens["refresh_token"], **options).refusal == (401, "unauthorized")
    assert core.hits() == 0


def test_token_replaced_by_a_login_is_unknown(core, tokens):
    core.log_in("anna", str(uuid4()))
    assert refresh(core, tokens["refresh_token"]).refusal == (400, "token_not_expired")
    expire(core)
    before = core.rows("SELECT * FROM account_tokens")
    assert hh_accepts(core, pair_of(refresh(core, tokens["refresh_token"]))[0])
    assert core.rows("SELECT * FROM account_tokens") == before
