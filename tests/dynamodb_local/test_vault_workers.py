"""The vault among real processes: one renews, all get the token, and any may be killed."""

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from local.settings import REPOSITORY
from tests.dynamodb_local import vault_work
from tests.dynamodb_local.parallel import at_once
from ullgetthejob.accounts import token_store
from ullgetthejob.hh.errors import HHRefreshRefused
from ullgetthejob.platform.errors import Unavailable

CROWD = 50
CALLS_PER_SECOND = 20
KNOWS_NOTHING = ("before hh.ru is asked",)
LOST = ("hh.ru has answered", "one token is encrypted")

pytestmark = pytest.mark.usefixtures("dynamodb_local")


def crowd(connected, monkeypatch, account_id):
    """What each of many gets who ask hh.ru at once on the account's behalf."""
    monkeypatch.setenv("HH_CALLS_PER_SECOND", str(CALLS_PER_SECOND))
    connected.sandbox.limit(2 * CALLS_PER_SECOND)  # a process that sleeps may wake late
    connected.sandbox.control("DELETE", "/hits")
    return at_once(CROWD, vault_work.who_am_i, str(account_id), str(connected.clock.path))


@contextmanager
def killed(step, connected, account_id):
    """A worker that is killed at *step*: the block runs when it has got there, and is stopped."""
    worker = subprocess.Popen(
        [
            *(sys.executable, "-m", vault_work.__name__),
            *(step, str(account_id), str(connected.clock.path)),
        ],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "layers" / "core")},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert vault_work.STOPPED in iter(worker.stdout.readline, "")
        yield
    finally:
        worker.kill()
        worker.communicate()


def test_expired_token_is_renewed_by_one_of_many_workers(connected, monkeypatch):
    account_id, old = connected.connect("anna")
    connected.expire()
    answers = crowd(connected, monkeypatch, account_id)
    assert {tuple(answer) for answer in answers} == {(answers[0][0], "170000001")}
    assert answers[0][0] != old.access_token
    assert connected.asked() == 1
    state = connected.sandbox.control("GET", "/state")
    assert state["calls"]["by_route"] == {"POST /token": 1, "GET /me": CROWD}
    assert state["calls"]["by_status"] == {"200": CROWD + 1}
    assert state["refused_over_limit"] == 0
    assert connected.token(account_id).current() == answers[0][0]


def test_refused_refresh_token_is_sent_by_one_of_many_workers(connected, monkeypatch):
    account_id, _ = connected.connect("anna")
    connected.sandbox.control("POST", "/people/anna/password")
    connected.expire()
    answers = crowd(connected, monkeypatch, account_id)
    assert answers == [["refused: token_deactivated"]] * CROWD
    assert connected.asked() == 1


@pytest.mark.parametrize("step", vault_work.STEPS)
def test_worker_killed_at_any_step_loses_no_saved_tokens(connected, monkeypatch, step):
    account_id, old = connected.connect("anna")
    connected.expire()
    with killed(step, connected, account_id):
        pass
    assert connected.asked() == (step not in KNOWS_NOTHING)
    if step in (*KNOWS_NOTHING, *LOST):  # its lease is still there
        monkeypatch.setattr(token_store, "RENEWAL_WAIT_S", 0.5)
        with pytest.raises(Unavailable) as raised:
            connected.token(account_id).current()
        assert raised.value.code == "token_refresh_in_progress"
        connected.sandbox.advance(token_store.LEASE_S)
    if step in LOST:
        with pytest.raises(HHRefreshRefused) as raised:
            connected.token(account_id).current()
        assert raised.value.reason == "already_refreshed"
        assert connected.access(account_id) == ("reauth_required", "already_refreshed")
    else:
        token = connected.token(account_id).current()
        assert token != old.access_token
        assert connected.is_good(token)
        assert connected.asked() == 1
    _, new = connected.connect("anna", account_id)
    assert connected.token(account_id).current() == new.access_token


def test_delayed_worker_does_not_overwrite_a_login(connected):
    account_id, _ = connected.connect("anna")
    connected.expire()
    with killed("one token is encrypted", connected, account_id):
        _, new = connected.connect("anna", account_id)
        assert connected.token(account_id).current() == new.access_token
    assert connected.token(account_id).current() == new.access_token
