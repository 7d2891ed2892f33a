"""The token store with parallel processes: one renews, all get the token, any may be killed."""

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from local.settings import REPOSITORY
from tests.dynamodb_local import vault_work
from tests.dynamodb_local.parallel import run_in_parallel
from ullgetthejob.accounts import token_renewal
from ullgetthejob.hh.errors import HHRefreshRefused
from ullgetthejob.platform.errors import Unavailable

PROCESSES = 50
CALLS_PER_SECOND = 20
NOT_SENT = ("before the request to hh.ru",)
LOST = ("after the response of hh.ru", "after the first encryption")

pytestmark = pytest.mark.usefixtures("dynamodb_local")


def read_owner_in_parallel(connected, monkeypatch, account_id):
    """Return the results of parallel processes that call hh.ru on behalf of the account."""
    monkeypatch.setenv("HH_CALLS_PER_SECOND", str(CALLS_PER_SECOND))
    connected.sandbox.limit(2 * CALLS_PER_SECOND)  # a sleeping process may wake late
    connected.sandbox.control("DELETE", "/hits")
    arguments = (str(account_id), str(connected.clock.path))
    return run_in_parallel(PROCESSES, vault_work.read_owner, *arguments)


@contextmanager
def killed(step, connected, account_id):
    """Run the block while a worker is stopped at *step*, then kill the worker."""
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
    answers = read_owner_in_parallel(connected, monkeypatch, account_id)
    assert {tuple(answer) for answer in answers} == {(answers[0][0], "170000001")}
    assert answers[0][0] != old.access_token
    assert connected.token_requests() == 1
    state = connected.sandbox.control("GET", "/state")
    assert state["calls"]["by_route"] == {"POST /token": 1, "GET /me": PROCESSES}
    assert state["calls"]["by_status"] == {"200": PROCESSES + 1}
    assert state["refused_over_limit"] == 0
    assert connected.token(account_id).current() == answers[0][0]


def test_refused_refresh_token_is_sent_by_one_of_many_workers(connected, monkeypatch):
    account_id, _ = connected.connect("anna")
    connected.sandbox.control("POST", "/people/anna/password")
    connected.expire()
    answers = read_owner_in_parallel(connected, monkeypatch, account_id)
    assert answers == [["refused: token_deactivated"]] * PROCESSES
    assert connected.token_requests() == 1


@pytest.mark.parametrize("step", vault_work.STEPS)
def test_worker_killed_at_any_step_loses_no_saved_tokens(connected, monkeypatch, step):
    account_id, old = connected.connect("anna")
    connected.expire()
    with killed(step, connected, account_id):
        pass
    assert connected.token_requests() == (step not in NOT_SENT)
    if step in (*NOT_SENT, *LOST):  # the lease is still held
        monkeypatch.setattr(token_renewal, "RENEWAL_WAIT_S", 0.5)
        with pytest.raises(Unavailable) as raised:
            connected.token(account_id).current()
        assert raised.value.code == "token_refresh_in_progress"
        connected.sandbox.advance(token_renewal.LEASE_S)
    if step in LOST:
        with pytest.raises(HHRefreshRefused) as raised:
            connected.token(account_id).current()
        assert raised.value.reason == "already_refreshed"
        assert connected.access(account_id) == ("reauth_required", "already_refreshed")
    else:
        token = connected.token(account_id).current()
        assert token != old.access_token
        assert connected.hh_accepts(token)
        assert connected.token_requests() == 1
    _, new = connected.connect("anna", account_id)
    assert connected.token(account_id).current() == new.access_token


def test_delayed_worker_does_not_overwrite_a_login(connected):
    account_id, _ = connected.connect("anna")
    connected.expire()
    with killed("after the first encryption", connected, account_id):
        _, new = connected.connect("anna", account_id)
        assert connected.token(account_id).current() == new.access_token
    assert connected.token(account_id).current() == new.access_token
