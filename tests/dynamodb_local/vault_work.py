"""What one worker does with the vault, and how it is stopped at a step of it.

A worker that is to be killed stops itself: it says so and does nothing more. The steps are those at
which it matters who knows of the new pair; the product has no hooks for it.
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
    "before hh.ru is asked",
    "hh.ru has answered",
    "one token is encrypted",
    "committed",
    "the lease is let go",
)


def who_am_i(account_id: str, clock: str) -> list[str]:
    """Ask hh.ru for the account's person. The token and the person's id, or why not."""
    token = token_renewal.AccountToken(UUID(account_id), hh=client(), now=_clock(clock).now())
    try:
        return [token.current(), client().me(token).id]
    except HHRefreshRefused as error:
        return [f"refused: {error.reason}"]


def stop_at(step: str, account_id: str, clock: str) -> None:
    """Get the account's token, but for what comes after *step*."""
    hh = HHClient(
        settings.text("HH_API_URL"),
        user_agent=settings.text("HH_USER_AGENT"),
        pacer=Pacer(settings.text("PACER_TABLE")),
        transport=_Way(step),
    )
    if step == "one token is encrypted":
        _stop_after(encryption, "encrypt")
    if step == "committed":
        _stop_before(leases.Lease, "release")
    token_renewal.AccountToken(UUID(account_id), hh=hh, now=_clock(clock).now()).current()
    _stop()


class _Way(httpx.BaseTransport):
    """The way to hh.ru, on which a worker may stop before or after."""

    def __init__(self, step: str) -> None:
        self._step = step
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._step == "before hh.ru is asked":
            _stop()
        response = self._inner.handle_request(request)
        response.read()
        if self._step == "hh.ru has answered":
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
    """A worker on its own, which its starter kills."""
    try:
        stop_at(step, account_id, clock)
    finally:
        postgres.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
