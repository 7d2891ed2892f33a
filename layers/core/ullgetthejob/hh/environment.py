"""The client of hh.ru that an environment uses, made of its settings.

What it needs (httpx, the models of hh.ru's answers: ~90 ms of a cold start) is imported with the
first call: a request that is refused at the edge never pays for it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from ullgetthejob.platform import settings

if TYPE_CHECKING:
    from ullgetthejob.hh.client import HHClient
    from ullgetthejob.hh.pacer import Pacer


@cache
def client(*, background: bool = False) -> HHClient:
    """The one client of this environment; *background*: of work for which nobody waits, and which
    lets those pass for whom somebody does. Raises :class:`SettingMissing`."""
    from ullgetthejob.hh.client import HHClient
    from ullgetthejob.hh.pacer import BACKGROUND_PATIENCE_MS, INTERACTIVE_PATIENCE_MS, Pacer

    pacer = Pacer(
        settings.text("PACER_TABLE"),
        calls_per_second=settings.number("HH_CALLS_PER_SECOND", 3),
        patience_ms=BACKGROUND_PATIENCE_MS if background else INTERACTIVE_PATIENCE_MS,
    )
    return HHClient(
        settings.text("HH_API_URL"), user_agent=settings.text("HH_USER_AGENT"), pacer=pacer
    )


@cache
def search_queue() -> Pacer:
    """Return the line in which people's searches wait, at the pace of hh.ru, before they take a
    slot of the pacer: so they can wait longer than others do, and those not behind all of them."""
    from ullgetthejob.hh.pacer import Pacer

    return Pacer(
        settings.text("PACER_TABLE"),
        calls_per_second=settings.number("HH_CALLS_PER_SECOND", 3),
        egress="default#searches",
    )
