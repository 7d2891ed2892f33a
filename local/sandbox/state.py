"""The running sandbox: its settings, clock, world, store, faults and counters."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from local.clock import FILE_NAME, LocalClock
from local.sandbox.eras import DEFAULT_ERA, eras
from local.sandbox.faults import Faults
from local.sandbox.store import Store
from local.sandbox.vacancies import handmade
from local.sandbox.vacancies.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from local.sandbox.vacancies.vacancy import Shape

MODES = {"open": DEFAULT_ERA, "closed": "closed"}  # the eras by their older names
APPLICATIONS_PER_DAY = 200  # hh.ru: in any 24 hours, counted back from the attempt
DEFAULT_REDIRECT_URI = "http://localhost:4000/dev/connect"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that a sandbox is started with.

    *redirect_uri* is the address that the application registered; *auto_login* names the person who
    consents without seeing the login page.
    """

    data_dir: Path
    client_id: str
    client_secret: str
    seed: int = 1
    vacancies: int = 4_000
    era: str = DEFAULT_ERA
    shape: Shape = "both"
    calls_per_second: int = 10
    redirect_uri: str = DEFAULT_REDIRECT_URI
    auto_login: str | None = None


@dataclass(slots=True)
class CallLimit:
    """hh.ru's limit of calls in any second, per address, in real time."""

    calls_per_second: int
    refused: int = 0
    _calls: dict[str, deque[float]] = field(default_factory=dict)

    def allows(self, address: str) -> bool:
        """Count a call; return ``False``, without counting it, if it exceeds the limit."""
        now = time.monotonic()
        calls = self._calls.setdefault(address, deque())
        while calls and calls[0] <= now - 1:
            calls.popleft()
        if len(calls) >= self.calls_per_second:
            self.refused += 1
            return False
        calls.append(now)
        return True


class Sandbox:
    """The state that all routes share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.era = eras()[settings.era]
        self.auto_login = settings.auto_login
        self.applications_per_day = APPLICATIONS_PER_DAY
        self.employers_act = True
        self.clock = LocalClock(settings.data_dir / FILE_NAME)
        self.store = Store(settings.data_dir / "sandbox")
        self.store.resumes.create_initial(self.now())
        self.faults = Faults(settings.seed)
        self.limit = CallLimit(settings.calls_per_second)
        self.calls: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.recent: deque[dict[str, Any]] = deque(maxlen=200)
        self.world = World(settings.seed, settings.vacancies, settings.shape)
        self.world.restore(
            (
                handmade.make(settings.seed, vacancy_id, at, body)
                for vacancy_id, at, body in self.store.published()
            ),
            self.store.closed(),
        )
        self.world.at(self.now())

    @property
    def mode(self) -> str:
        """Return whether all methods of applicants are ``open``, or some of them ``closed``."""
        return "open" if self.era.name == DEFAULT_ERA else "closed"

    def now(self) -> float:
        """Return the sandbox's time in seconds since the epoch."""
        return self.clock.now().timestamp()


SANDBOX = web.AppKey("sandbox", Sandbox)
