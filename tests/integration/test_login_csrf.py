"""Login CSRF: codes that Core refuses for a session, and those that the BFF's flow needs.

The attacker logs in at hh.ru as Timur and slips that code into the victim's session.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from tests.fixtures.core import Core

STATE_REQUIRED = (400, "state_required")
OTHER_ACCOUNT = (400, "session_of_another_account")
DAY_S = 86_400


def person_of(core: Core, session_id: str) -> str | None:
    """Return the key of the sandbox's person to whom the session is connected, if any."""
    rows = core.rows(
        "SELECT a.hh_user_id FROM users u JOIN accounts a ON a.id = u.account_id WHERE u.id = %s",
        session_id,
    )
    people = core.sandbox.control("GET", "/people")["people"]
    keys = {person["id"]: person["key"] for person in people}
    return keys[rows[0]["hh_user_id"]] if rows else None


def bound(core: Core, session_id: str, person: str) -> dict[str, Any]:
    """Return code, session and state of a login that the session itself started."""
    url, state = core.redirect(session_id=session_id)
    return {"code": core.consent(url, person), "session_id": session_id, "state": state}


# ── a session that asked for a state of its own ──────────────────────────────────────────────────


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("person", ["anna", "timur"])
def test_bound_session_without_its_state_sends_no_code(
    core: Core, session_id: str, connected: bool, person: str
) -> None:
    if connected:
        core.log_in("anna", session_id, bound=True)
    else:
        core.redirect(session_id=session_id)
    code = core.code(person)
    core.reset_hits()
    for _ in range(2):
        assert core.callback(code, session_id).refusal == STATE_REQUIRED
    assert core.callback(None, session_id, error="access_denied").refusal == STATE_REQUIRED
    assert core.hits() == 0
    assert person_of(core, session_id) == ("anna" if connected else None)


def test_bound_session_with_a_state_of_no_session_is_refused(core: Core, session_id: str) -> None:
    core.redirect(session_id=session_id)
    url, state = core.redirect()  # as any visitor gets it from the BFF
    code = core.consent(url, "timur")
    core.reset_hits()
    assert core.callback(code, session_id, state=state).refusal == STATE_REQUIRED
    assert core.hits() == 0


def test_bound_session_with_the_state_of_another_is_refused(core: Core, session_id: str) -> None:
    core.redirect(session_id=session_id)
    attackers = bound(core, str(uuid4()), "timur")
    reply = core.callback(attackers["code"], session_id, state=attackers["state"])
    assert reply.refusal == (400, "invalid_state")
    assert person_of(core, session_id) is None


def test_code_of_another_login_with_an_own_state_is_refused(core: Core, session_id: str) -> None:
    """The state implies PKCE: hh.ru itself detects that the code is of another login."""
    _, state = core.redirect(session_id=session_id)
    foreign = core.code("timur")
    assert core.callback(foreign, session_id, state=state).refusal == (400, "invalid_code")
    of_another = bound(core, str(uuid4()), "timur")["code"]
    _, state = core.redirect(session_id=session_id)
    assert core.callback(of_another, session_id, state=state).refusal == (400, "invalid_code")
    assert person_of(core, session_id) is None


def test_bound_session_with_any_own_state_is_connected(core: Core, session_id: str) -> None:
    first, second = bound(core, session_id, "anna"), bound(core, session_id, "anna")
    assert core.callback(**second).status == core.callback(**first).status == 200
    assert core.callback(**second).status == 200  # the BFF repeats a call after a 5xx
    assert core.callback(second["code"], session_id).refusal == STATE_REQUIRED


def test_session_stays_bound_for_a_month(core: Core, session_id: str) -> None:
    core.redirect(session_id=session_id)
    core.sandbox.advance(29 * DAY_S)
    assert core.callback(core.code(), session_id).refusal == STATE_REQUIRED
    core.sandbox.advance(2 * DAY_S)
    assert core.callback(core.code(), session_id).status == 200
    assert core.rows("SELECT FROM state_bound_sessions") == []


# ── the BFF's own flow: a redirect of no session, the state dropped ──────────────────────────────


@pytest.mark.parametrize("with_state", [False, True])
def test_plain_login_connects_a_new_or_the_same_person(
    core: Core, session_id: str, with_state: bool
) -> None:
    for _ in range(2):  # the second: the cookie was still valid (bff-contract §0.12)
        url, state = core.redirect()
        options = {"state": state} if with_state else {}
        code = core.consent(url, "anna")
        first = core.callback(code, session_id, **options)
        assert first.status == 200
        assert core.callback(code, session_id, **options).text == first.text
    assert person_of(core, session_id) == "anna"


@pytest.mark.parametrize("with_state", [False, True])
def test_plain_login_moves_no_session_to_another_account(
    core: Core, session_id: str, with_state: bool
) -> None:
    _, jwt = core.log_in("anna", session_id)
    url, state = core.redirect()
    options = {"state": state} if with_state else {}
    code = core.consent(url, "timur")
    for _ in range(3):  # also when it is repeated
        assert core.callback(code, session_id, **options).refusal == OTHER_ACCOUNT
    assert core.hits() == 1
    assert person_of(core, session_id) == "anna"
    assert core.call("GET /api/hh/resumes", jwt=jwt, secret=None).status == 200
    assert core.live_pairs("timur") == 0, "the pair was revoked"
    assert ("service", "login", "session_of_another_account") in core.audited()


def test_session_jwt_does_not_allow_a_change_of_account(core: Core, session_id: str) -> None:
    """The BFF sends the JWT automatically, from the victim's cookie."""
    _, jwt = core.log_in("anna", session_id)
    reply = core.callback(core.code("timur"), session_id, jwt=jwt)
    assert reply.refusal == OTHER_ACCOUNT


def test_bound_login_moves_a_connected_session(core: Core, session_id: str) -> None:
    core.log_in("anna", session_id)
    login = bound(core, session_id, "timur")
    first = core.callback(**login)
    assert first.status == 200
    assert core.callback(**login).text == first.text
    assert person_of(core, session_id) == "timur"


def test_bound_login_expires_after_ten_minutes(core: Core, session_id: str) -> None:
    core.log_in("anna", session_id)
    login = bound(core, session_id, "timur")
    core.sandbox.advance(601)
    assert core.callback(**login).refusal == (400, "invalid_state")
    assert person_of(core, session_id) == "anna"


@pytest.mark.parametrize("gone", ["disconnected", "account_not_found"])
def test_plain_login_moves_a_session_of_an_ended_account(
    core: Core, session_id: str, gone: str
) -> None:
    _, jwt = core.log_in("anna", session_id)
    if gone == "disconnected":
        assert core.call("DELETE /api/hh/connection", jwt=jwt, secret=None).status == 200
    else:
        core.rows("UPDATE accounts SET access_state = 'reauth_required', access_reason = %s", gone)
    core.log_in("timur", session_id)
    assert person_of(core, session_id) == "timur"


def test_concurrent_plain_logins_connect_the_session_once(core: Core, session_id: str) -> None:
    codes = {person: core.code(person) for person in ("anna", "timur")}
    workers = {person: core.worker() for person in codes}
    threads = []
    for person, worker in workers.items():
        query = {"code": codes[person], "session_id": session_id}
        event = core.event("GET /auth/hh/callback", query=query)
        threads.append(threading.Thread(target=worker.send, args=(event,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    replies = {person: worker.reply() for person, worker in workers.items()}
    assert sorted(reply.status for reply in replies.values()) == [200, 400]
    [winner] = [person for person, reply in replies.items() if reply.status == 200]
    [loser] = [reply for reply in replies.values() if reply.status == 400]
    assert loser.refusal == OTHER_ACCOUNT
    assert person_of(core, session_id) == winner
