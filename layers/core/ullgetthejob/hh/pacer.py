"""The pacer: when the next call to hh.ru may start, for all functions behind one egress address.

hh.ru counts calls by address (about 10 per second, then 429); the tools known to work keep 0.345 s
between calls. One DynamoDB item holds ``tat``, the moment (ms) from which the next slot is free. A
call reserves its slot with one conditional UpdateItem, which moves ``tat`` by one interval, and
then sleeps until the slot begins (GCRA with a burst of one). A slot further ahead than the caller's
*patience* is not reserved: the caller gets :class:`HHBusy` with the wait. Background work has
little patience, so that interactive calls come first under load.

The same item stores a pause: after 429, a blocked region or repeated failures every caller is
refused at once, with the reason, until ``paused_until``; no call is made until then.

There is an item for each egress: an outgoing address, by the name that the functions behind it have
in ``HH_EGRESS``. Pace and pause are the address's, as hh.ru's limit is. A call belongs to the
egress of its function, and is never repeated through another because hh.ru refused it.

This is real time on purpose, not domain time, since it spaces network packets.

    timeline      now ........ tat ........ now + patience
    IDLE          tat <= now: the slot is now           SET tat = now + interval
    BUSY          now < tat <= now + patience           SET tat = tat + interval; slot: old tat
    refused       tat > now + patience, or paused_until > now
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from ullgetthejob.hh.errors import HHBusy, HHExchangesLimited, HHRegionBlocked, HHUnavailable
from ullgetthejob.platform import dynamodb

if TYPE_CHECKING:
    from collections.abc import Callable

INTERACTIVE_PATIENCE_MS = 4_000
BACKGROUND_PATIENCE_MS = 400

NOT_PAUSED = "(attribute_not_exists(paused_until) OR paused_until <= :now)"
SLOT_IS_FREE_NOW = f"(attribute_not_exists(tat) OR tat <= :now) AND {NOT_PAUSED}"
SLOT_COMES_IN_TIME = f"tat > :now AND tat <= :latest AND {NOT_PAUSED}"
LONGER_THAN_ANY_PAUSE = "attribute_not_exists(paused_until) OR paused_until < :until"

BUSY = "too many calls to hh.ru at the moment"
_PAUSES: dict[str, tuple[type[HHBusy | HHRegionBlocked | HHUnavailable], str]] = {
    "busy": (HHBusy, "hh.ru is called too often at the moment"),
    "exchanges_limited": (HHExchangesLimited, "hh.ru exchanges no more tokens for now"),
    "region_blocked": (HHRegionBlocked, "hh.ru refuses the network that Core calls from"),
    "unavailable": (HHUnavailable, "hh.ru does not answer properly at the moment"),
}


class Pacer:
    """Slots for calls to hh.ru, shared through one item of *table*.

    *calls_per_second*: slots per second. *patience_ms*: how far ahead a slot may lie. *egress*:
    whose slots. *now_ms* and *sleep* are seams for tests.
    """

    def __init__(
        self,
        table: str,
        *,
        calls_per_second: float = 3,
        patience_ms: int = INTERACTIVE_PATIENCE_MS,
        egress: str = "default",
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.interval_ms = max(1, round(1000 / calls_per_second))
        self.patience_ms = patience_ms
        self._table = table
        self._key = {"pk": f"pacer#{egress}"}
        self._now_ms = now_ms
        self._sleep = sleep
        self._last_tat = 0

    def wait(self, *, at_most_s: float = math.inf) -> None:
        """Reserve the next slot and sleep until it begins. *at_most_s* shortens the patience.

        Raises :class:`HHBusy` when no slot lies within the patience, the pause's error while calls
        are paused, :class:`HHUnavailable` when DynamoDB does not answer (deny, never overrun).
        """
        now = self._now_ms()
        patience_ms = round(min(self.patience_ms, max(0.0, at_most_s * 1000)))
        is_busy = self._last_tat > now
        for _ in range(4):
            slot, item = self._reserve(now, now + patience_ms, is_busy=is_busy)
            if slot is not None:
                if slot > now:
                    self._sleep((slot - now) / 1000)
                return
            self._refuse_while_paused(item, now)
            tat = item.get("tat", 0)
            if tat > now + patience_ms:
                raise slot_missing(BUSY, wait_ms=tat - now - patience_ms)
            is_busy = tat > now
        raise slot_missing(BUSY, wait_ms=self.interval_ms)

    def pause(self, reason: str, seconds: float) -> None:
        """Refuse every call for *seconds* because of *reason*, one of :data:`_PAUSES`. A longer
        pause that is already set stays."""
        until = self._now_ms() + round(seconds * 1000)
        self._update(
            "SET paused_until = :until, pause_reason = :reason, expires_at = :expires",
            LONGER_THAN_ANY_PAUSE,
            {":until": until, ":reason": reason, ":expires": until // 1000 + 86_400},
        )

    def _reserve(
        self, now: int, latest: int, *, is_busy: bool
    ) -> tuple[int | None, dict[str, Any]]:
        """Return the start of the slot (ms) and the item; ``None`` and the item
        if no slot could be reserved."""
        values = {":now": now, ":expires": now // 1000 + 86_400}
        if is_busy:
            update = "SET tat = tat + :interval, expires_at = :expires"
            condition = SLOT_COMES_IN_TIME
            values[":interval"] = self.interval_ms
            values[":latest"] = latest
        else:
            update = "SET tat = :next, expires_at = :expires"
            condition = SLOT_IS_FREE_NOW
            values[":next"] = now + self.interval_ms
        granted, item = self._update(update, condition, values)
        if not granted:
            return None, item
        self._last_tat = item["tat"]
        return self._last_tat - self.interval_ms, item

    def _refuse_while_paused(self, item: dict[str, Any], now: int) -> None:
        until = item.get("paused_until", 0)
        if until > now:
            error_class, message = _PAUSES[item["pause_reason"]]
            paused = error_class(message, retry_after_s=_seconds(until - now))
            paused.may_have_acted = False
            paused.is_pause = True
            raise paused

    def _update(
        self, update: str, condition: str, values: dict[str, Any]
    ) -> tuple[bool, dict[str, Any]]:
        """Return whether the condition held, and the item as it is afterwards."""
        return dynamodb.update_item(
            self._table, self._key, update, values, _unpaced, condition=condition
        )


def _unpaced() -> HHUnavailable:
    unpaced = HHUnavailable(
        "calls to hh.ru cannot be paced at the moment", code="pacer_unavailable"
    )
    unpaced.may_have_acted = False
    unpaced.is_pause = True
    return unpaced


def slot_missing(message: str, *, wait_ms: int = 0) -> HHBusy:
    """Return the error of a call that was not made for want of a slot; one comes in *wait_ms*."""
    busy = HHBusy(message, retry_after_s=_seconds(wait_ms))
    busy.is_pause = True
    return busy


def _seconds(ms: int) -> int:
    return max(1, -(-ms // 1000))
