"""The hh.ru client of an execution environment, built from its settings.

Its imports (httpx, the models of hh.ru's responses: ~90 ms of a cold start) are done with the first
call: a request that is refused at the edge never pays for them.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

from ullgetthejob.platform import settings

if TYPE_CHECKING:
    from ullgetthejob.hh.client import HHClient
    from ullgetthejob.hh.pacer import Pacer

MAX_QUEUED = 51  # searches: each that waits takes one of the function's reserved environments


@cache
def client(*, background: bool = False) -> HHClient:
    """Return the environment's client; one for *background* work gives way to interactive calls.

    Raises :class:`SettingMissing`.
    """
    from ullgetthejob.hh.client import HHClient
    from ullgetthejob.hh.pacer import BACKGROUND_PATIENCE_MS, INTERACTIVE_PATIENCE_MS, Pacer

    paced = partial(
        Pacer,
        settings.PACER_TABLE(),
        calls_per_second=settings.HH_CALLS_PER_SECOND(),
        patience_ms=BACKGROUND_PATIENCE_MS if background else INTERACTIVE_PATIENCE_MS,
    )
    return HHClient(
        settings.HH_API_URL(),
        user_agent=settings.HH_USER_AGENT(),
        pacer=paced(egress=settings.HH_EGRESS()),
        # One for all egresses: hh.ru does not document what it limits exchanges of tokens by.
        exchange_pacer=paced(egress="default#exchanges"),
    )


@cache
def search_queue() -> Pacer:
    """Return a second pacer, of the same rate, in which users' searches queue before they reserve a
    slot of the common one: they can wait longer than other calls, which do not queue behind them.
    """
    from ullgetthejob.hh.pacer import Pacer

    calls_per_second = settings.HH_CALLS_PER_SECOND()
    return Pacer(
        settings.PACER_TABLE(),
        calls_per_second=calls_per_second,
        patience_ms=round(1000 * MAX_QUEUED / calls_per_second),
        egress=f"{settings.HH_EGRESS()}#searches",
    )
