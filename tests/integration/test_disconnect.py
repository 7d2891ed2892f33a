"""DELETE /api/hh/connection: which tokens and sessions end, in Core and at hh.ru."""

import json
from uuid import uuid4

import pytest

from tests.fixtures.core import LIFE_S, reset_environment
from tests.fixtures.ports import free_port
from ullgetthejob.hh.client import HHClient


def disconnect(core, jwt):
    return core.call("DELETE /api/hh/connection", jwt=jwt, secret=None)


def assert_disconnected(reply, *, revoked=True):
    assert (reply.status, reply.body["success"], reply.body["revoked"]) == (200, True, revoked)
    assert (reply.body["not_revoked"] == []) is revoked


def status(core, jwt):
    return core.call("GET /api/hh/status", jwt=jwt, secret=None)


@pytest.fixture
def pair(core):
    """Anna's pair, which two sessions share: its tokens, and the sessions' JWTs."""
    _, first = core.log_in("anna")
    _, second = core.log_in("anna")
    tokens = core.callback(core.code()).body["tokens"]  # the account's pair now
    core.reset_hits()
    return tokens, [first, second]


def test_disconnect_revokes_both_tokens_at_hh_ru(core, pair):
    tokens, (jwt, _) = pair
    before = core.live_pairs()
    assert_disconnected(disconnect(core, jwt))
    refused = core.sandbox.call("GET", "/me", tokens["access_token"])
    assert (refused.status_code, refused.json()["errors"][0]["value"]) == (403, "token_revoked")
    core.sandbox.advance(LIFE_S + 1)
    refused = core.sandbox.grant(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert refused.json()["error_description"] == "token was revoked"
    assert before > core.live_pairs()


def test_disconnect_ends_tokens_and_jwts_of_every_session(core, pair):
    _, jwts = pair
    _, timurs = core.log_in("timur")
    assert_disconnected(disconnect(core, jwts[0]))
    assert len(core.rows("SELECT FROM account_tokens")) == 1
    for jwt in jwts:
        assert status(core, jwt).refusal == (401, "invalid_token")
        assert disconnect(core, jwt).refusal == (401, "invalid_token")
    assert core.hits("DELETE /token") == 3
    assert status(core, timurs).body["connected"] is True
    assert core.call("GET /api/hh/resumes", jwt=timurs, secret=None).status == 200


def test_disconnect_killed_after_any_effect_is_completed(core, functions):
    """By the person, who repeats it; or it is complete, and the session has ended."""
    jwts = []

    def disconnect_another():
        jwts.append(core.log_in("anna")[1])
        event = core.event("DELETE /api/hh/connection", jwt=jwts[-1], secret=None)
        return f"oauth {json.dumps(event)}"

    effects = []
    for effect in functions.kill_after_each(disconnect_another):
        effects.append(effect)
        repeated = disconnect(core, jwts[-1])
        if repeated.status == 200:
            assert_disconnected(repeated)
        else:
            assert repeated.refusal == (401, "invalid_token")
        assert core.live_pairs() == 0
        assert core.rows("SELECT FROM account_tokens") == []
    assert effects[0] == "DELETE /token"
    assert [each.split()[0] for each in effects[-2:]] == ["UPDATE", "SendMessage"]


def test_disconnected_account_says_what_to_do(core):
    session_id, jwt = core.log_in("anna")
    disconnect(core, jwt)
    account = core.account(session_id)
    assert account["connected"] is False
    access = account["access"]
    assert (access["state"], access["reason"]) == ("reauth_required", "disconnected")
    assert (access["action"], access["message"]) == (
        "log_in",
        "hh.ru was disconnected; connect it again to go on",
    )


def test_disconnect_is_recorded_without_the_service_secret(core):
    session_id, jwt = core.log_in("anna")
    core.call("DELETE /api/hh/connection", jwt=jwt, secret=None, request_id="request-of-bff")
    row = core.rows("SELECT * FROM audit_log ORDER BY id DESC")[0]
    assert (row["actor"], row["action"], row["outcome"]) == ("user", "disconnect", "ok")
    assert (str(row["user_id"]), row["request_id"]) == (session_id, "request-of-bff")
    assert row["account_id"] is not None


def test_expired_pair_is_refreshed_to_be_revoked(core):
    _, jwt = core.log_in("anna")
    core.sandbox.advance(LIFE_S + 1)
    assert_disconnected(disconnect(core, jwt))
    assert (core.hits(), core.hits("DELETE /token")) == (1, 1)
    assert core.rows("SELECT FROM account_tokens") == []
    assert core.live_pairs() == 0


def test_pair_expired_only_at_hh_ru_is_refreshed_to_be_revoked(core):
    _, jwt = core.log_in("anna")
    core.sandbox.advance(LIFE_S + 1)
    core.rows("UPDATE account_tokens SET expires_at = expires_at + interval '1 hour'")
    assert_disconnected(disconnect(core, jwt))
    assert (core.hits(), core.hits("DELETE /token")) == (1, 2)
    assert core.live_pairs() == 0


@pytest.mark.parametrize("event", ["password", "revoke"])
@pytest.mark.parametrize("expired", [False, True])
def test_pair_already_ended_by_hh_ru_counts_as_revoked(core, event, expired):
    _, jwt = core.log_in("anna")
    core.sandbox.control("POST", f"/people/anna/{event}")
    if expired:
        core.sandbox.advance(LIFE_S + 1)
    assert_disconnected(disconnect(core, jwt))


def test_pair_of_a_locked_account_does_not_count_as_revoked(core):
    """The pair of a locked account cannot be refreshed, hence not revoked: unlocked, it would be
    valid again."""
    _, jwt = core.log_in("anna")
    core.sandbox.advance(LIFE_S + 1)
    core.sandbox.control("POST", "/people/anna/account", {"state": "locked"})
    assert_disconnected(disconnect(core, jwt), revoked=False)
    assert core.rows("SELECT FROM account_tokens") == []


def test_unreadable_pair_does_not_count_as_revoked(core):
    _, jwt = core.log_in("anna")
    core.rows("UPDATE account_tokens SET access_token = 'AAAA', refresh_token = 'AAAA'")
    assert_disconnected(disconnect(core, jwt), revoked=False)
    assert core.live_pairs() == 1


def connection_refused(core, monkeypatch):
    reset_environment()
    monkeypatch.setenv("HH_API_URL", f"http://127.0.0.1:{free_port()}")


def server_error(core, monkeypatch):
    core.sandbox.fault("server_error", path="/token")


def region_blocked(core, monkeypatch):
    core.sandbox.fault("edge_block", path="/token")


@pytest.mark.parametrize("trouble", [connection_refused, server_error, region_blocked])
@pytest.mark.parametrize("expired", [False, True])
def test_disconnect_completes_in_core_while_hh_ru_is_down(core, monkeypatch, trouble, expired):
    session_id, jwt = core.log_in("anna")
    if expired:
        core.sandbox.advance(LIFE_S + 1)
    trouble(core, monkeypatch)
    assert_disconnected(disconnect(core, jwt), revoked=False)
    assert core.rows("SELECT FROM account_tokens") == []
    assert core.access(session_id)["reason"] == "disconnected"
    assert core.audited()[-1] == ("user", "disconnect", "not_revoked_at_hh")
    assert disconnect(core, jwt).refusal == (401, "invalid_token")


def test_login_after_a_disconnect_works(core):
    session_id, old = core.log_in("anna")
    account_id = core.account(session_id)["account_id"]
    disconnect(core, old)
    core.sandbox.advance(1)
    _, jwt = core.log_in("anna", session_id)
    assert core.account(session_id)["account_id"] == account_id
    assert status(core, jwt).body["connected"] is True
    assert core.call("GET /api/hh/resumes", jwt=jwt, secret=None).status == 200
    assert status(core, old).refusal == (401, "invalid_token")
    assert_disconnected(disconnect(core, jwt))


def test_login_at_the_moment_of_a_disconnect_works(core):
    core.sandbox.control("POST", "/clock", {"rate": 0})
    session_id, old = core.log_in("anna")
    disconnect(core, old)
    code = core.code()
    reply = core.callback(code, session_id)
    jwt = reply.body["jwt"]
    assert status(core, jwt).body["connected"] is True
    assert status(core, old).refusal == (401, "invalid_token")
    assert core.callback(code, session_id).text == reply.text


def test_session_of_a_deleted_account_can_disconnect(core):
    _, jwt = core.log_in("anna")
    core.rows("DELETE FROM accounts")
    assert status(core, jwt).body["connected"] is False
    assert_disconnected(disconnect(core, jwt))
    assert core.hits("DELETE /token") == 0
    assert status(core, jwt).refusal == (401, "invalid_token")


def test_disconnect_requires_the_user_token(core):
    session_id, _ = core.log_in("anna")
    for options in ({}, {"query": {"user_id": session_id}}, {"query": {"user_id": str(uuid4())}}):
        reply = core.call("DELETE /api/hh/connection", **options)
        assert reply.refusal == (401, "unauthorized")
    assert core.account(session_id)["connected"] is True


# ── every pair that Core has ─────────────────────────────────────────────────────────────────────

REPLACED_PAIRS = "SELECT FROM replaced_tokens"


def test_pairs_of_every_session_are_revoked(core):
    for _ in range(3):
        _, jwt = core.log_in("anna")
    core.callback(core.code())  # a login without a session
    core.log_in("timur")
    assert (core.live_pairs(), core.live_pairs("timur")) == (4, 1)
    assert_disconnected(disconnect(core, jwt))
    assert (core.live_pairs(), core.live_pairs("timur")) == (0, 1)
    assert core.rows(REPLACED_PAIRS) == []
    assert core.audited()[-1] == ("user", "disconnect", "ok")


def test_expired_replaced_pairs_are_refreshed_to_be_revoked(core):
    core.log_in("anna")
    core.sandbox.advance(LIFE_S + 1)
    core.log_in("anna")
    core.sandbox.advance(LIFE_S + 1)
    _, jwt = core.log_in("anna")
    assert_disconnected(disconnect(core, jwt))
    assert core.live_pairs() == 0
    assert core.hits("POST /token") == 2


def test_renewed_pair_leaves_only_the_next_one_to_revoke(core):
    _, jwt = core.log_in("anna")
    core.sandbox.advance(LIFE_S + 1)
    assert core.call("GET /api/hh/resumes", jwt=jwt, secret=None).status == 200
    assert core.rows(REPLACED_PAIRS) == []
    assert_disconnected(disconnect(core, jwt))
    assert core.live_pairs() == 0


def test_replaced_pair_is_stored_as_the_same_ciphertext(core):
    core.log_in("anna")
    [first] = core.rows("SELECT access_token, refresh_token FROM account_tokens")
    core.log_in("anna")
    [replaced] = core.rows("SELECT access_token, refresh_token FROM replaced_tokens")
    assert replaced == first


def test_pair_of_an_interrupted_login_is_revoked(core):
    session_id, jwt = core.log_in("anna")
    code = core.code()
    core.sandbox.fault("server_error", path="/me")
    assert core.callback(code, session_id).status == 503
    assert core.rows("SELECT state FROM hh_logins WHERE pair IS NOT NULL") == [
        {"state": "exchanged"}
    ]
    core.sandbox.control("DELETE", "/faults")
    core.sandbox.advance(31)
    assert_disconnected(disconnect(core, jwt))
    assert core.live_pairs() == 0
    assert core.rows("SELECT FROM hh_logins WHERE pair IS NOT NULL") == []
    assert core.callback(code, session_id).refusal == (400, "login_interrupted")


def test_pairs_that_could_not_be_revoked_are_listed(core):
    core.log_in("anna")
    core.sandbox.advance(60)
    _, jwt = core.log_in("anna")
    core.rows("UPDATE replaced_tokens SET access_token = 'AAAA', refresh_token = 'AAAA'")
    reply = disconnect(core, jwt)
    assert (reply.status, reply.body["revoked"]) == (200, False)
    [not_revoked] = reply.body["not_revoked"]
    assert not_revoked["reason"] == "tokens_unreadable"
    assert not_revoked["received_at"] is not None
    assert core.live_pairs() == 1
    assert core.rows(REPLACED_PAIRS) == []
    assert core.audited()[-2:] == [
        ("user", "disconnect", "pair_tokens_unreadable"),
        ("user", "disconnect", "not_revoked_at_hh"),
    ]


def test_pair_of_a_concurrent_login_is_listed_or_revoked(core, monkeypatch):
    session_id, jwt = core.log_in("anna")
    revoke = HHClient.revoke

    def revoke_and_log_in(self, token):
        revoke(self, token)
        monkeypatch.setattr(HHClient, "revoke", revoke)
        core.log_in("anna", session_id)

    monkeypatch.setattr(HHClient, "revoke", revoke_and_log_in)
    reply = disconnect(core, jwt)
    assert reply.body["revoked"] is (core.live_pairs() == 0)
    assert core.rows("SELECT FROM account_tokens") == core.rows(REPLACED_PAIRS) == []


def test_renewed_pair_that_a_login_replaced_is_revoked(core, monkeypatch):
    """During a renewal the person logs in: the pair of the login stays, the renewed one ends."""
    session_id, jwt = core.log_in("anna")
    core.sandbox.advance(LIFE_S + 1)
    refresh = HHClient.refresh

    def refresh_and_log_in(self, token):
        pair = refresh(self, token)
        monkeypatch.setattr(HHClient, "refresh", refresh)
        core.log_in("anna", session_id)
        return pair

    monkeypatch.setattr(HHClient, "refresh", refresh_and_log_in)
    assert core.call("GET /api/hh/resumes", jwt=jwt, secret=None).status == 200
    assert core.live_pairs() == 1


@pytest.mark.parametrize("readable", [True, False])
def test_pairs_of_the_previous_key_are_revoked_while_it_is_set(
    core, local_aws, monkeypatch, dynamodb_tables, readable
):
    core.log_in("anna")
    kms = local_aws.client("kms")
    monkeypatch.setenv("TOKEN_KEY_ID", kms.create_key()["KeyMetadata"]["KeyId"])
    kms.close()
    if readable:
        monkeypatch.setenv("TOKEN_KEY_ID_PREVIOUS", dynamodb_tables["TOKEN_KEY_ID"])
    _, jwt = core.log_in("anna")
    assert_disconnected(disconnect(core, jwt), revoked=readable)
    assert core.live_pairs() == (0 if readable else 1)
