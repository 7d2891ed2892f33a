"""The work of one process on the token store, and how it is stopped at a step of it.

A worker that is to be killed stops itself: it prints a line and then only sleeps. The steps differ
in where the new pair is known; the product has no hooks for them.
"""

from __future__ import annotations

import sys
import time
from typing import Any
from uuid import UUID

import httpx
import psycopg  # noqa: F401 - a warm environment has it

from local.clock import LocalClock
from local.settings import REPOSITORY
from ullgetthejob.accounts import token_renewal
from ullgetthejob.hh.client import HHClient
from ullgetthejob.hh.environment import client
from ullgetthejob.hh.errors import HHRefreshRefused
from ullgetthejob.hh.pacer import Pacer
from ullgetthejob.platform import encryption, leases, postgres, settings

STOPPED = "stopped\n"
STEPS = (
    "before the request to hh.ru",
    "after the response of hh.ru",
    "after the first encryption",
    "committed",
    "the lease is released",
)


def read_owner(account_id: str, clock: str) -> list[str]:
    """Return the account's token and the id of its owner at hh.ru, or the reason of a refusal."""
    token = token_renewal.AccountToken(UUID(account_id), hh=client(), now=_clock(clock).now())
    try:
        return [token.current(), client().me(token).id]
    except HHRefreshRefused as error:
        return [f"refused: {error.reason}"]


def stop_at(step: str, account_id: str, clock: str) -> None:
    """Read the account's token, and stop at *step* on the way."""
    hh = HHClient(
        settings.HH_API_URL(),
        user_agent=settings.HH_USER_AGENT(),
        pacer=Pacer(settings.PACER_TABLE()),
        transport=_StoppingTransport(step),
    )
    if step == "after the first encryption":
        _stop_after(encryption, "encrypt")
    if step == "committed":
        _stop_before(leases.Lease, "release")
    token_renewal.AccountToken(UUID(account_id), hh=hh, now=_clock(clock).now()).current()
    _stop()


class _StoppingTransport(httpx.BaseTransport):
    """A transport to hh.ru that stops the worker before the request or after the response."""

    def __init__(self, step: str) -> None:
        self._step = step
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._step == "before the request to hh.ru":
            _stop()
        response = self._inner.handle_request(request)
        response.read()
        if self._step == "after the response of hh.ru":
            _stop()
        return response


def _stop_after(owner: Any, name: str) -> None:
    inner = getattr(owner, name)

    def stopping(*arguments: Any) -> None:
        inner(*arguments)
        _stop()

    setattr(owner, name, stopping)


def _stop_before(owner: Any, name: str) -> None:
    setattr(owner, name, lambda *_: _stop())


def _stop() -> None:
    print(STOPPED, end="", flush=True)
    time.sleep(600)


def _clock(path: str) -> LocalClock:
    return LocalClock(REPOSITORY / path)


def main(step: str, account_id: str, clock: str) -> None:
    """Run a worker that its parent process kills."""
    try:
        stop_at(step, account_id, clock)
    finally:
        postgres.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
