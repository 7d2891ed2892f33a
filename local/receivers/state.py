"""The running receivers: their settings, clock, store, and the faults that are switched on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from local.clock import FILE_NAME, LocalClock
from local.receivers.store import Store

if TYPE_CHECKING:
    from pathlib import Path

BOT_NAME = "ullgetthejob_local_bot"
# kind: what happens to the next calls
FAULTS = {
    "telegram_429": "429 with retry_after of 5 seconds; nothing is sent",
    "telegram_500": "500; nothing is sent",
    "telegram_lost": "sent, and the answer comes after 'seconds' (default 60)",
    "smtp_busy": "451: to be repeated later",
    "smtp_refused": "550: the mailbox does not exist",
    "webhook_500": "500: the delivery is recorded and refused",
    "webhook_410": "410: the receiver has gone",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the receivers. *bot_token*: the token that opens the Bot API."""

    data_dir: Path
    bot_token: str
    bot_name: str = BOT_NAME


@dataclass(slots=True)
class Fault:
    """A fault: *times* is the number of calls that it still applies to."""

    kind: str
    times: int
    seconds: float = 60.0


class Receivers:
    """The state that all routes share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = LocalClock(settings.data_dir / FILE_NAME)
        self.store = Store(settings.data_dir / "receivers")
        self.faults: list[Fault] = []
        self.new_update = asyncio.Event()
        self.stopping = asyncio.Event()

    def now(self) -> int:
        """Return the local system's time in whole seconds since the epoch."""
        return int(self.clock.now().timestamp())

    def take_fault(self, *kinds: str) -> Fault | None:
        """Return the first fault of *kinds* that is on, and count it as used."""
        for fault in self.faults:
            if fault.kind in kinds:
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None


RECEIVERS = web.AppKey("receivers", Receivers)
