"""The client of hh.ru on a scripted transport."""

import httpx

from ullgetthejob.hh.client import HHClient

EMPTY = {"items": [], "found": 0, "page": 0, "pages": 0, "per_page": 100}
AGENT = "UllGetTheJob/1.0 (test@example.org)"


class Slots:
    """A pacer that grants every slot at once, and records slots, the longest waits, and pauses."""

    def __init__(self):
        self.taken = 0
        self.limits = []
        self.pauses = []

    def wait(self, *, at_most_s):
        self.taken += 1
        self.limits.append(at_most_s)

    def pause(self, reason, seconds):
        self.pauses.append((reason, seconds))


class Unpaced:
    """A pacer that never waits, and ignores pauses: the real one has tests of its own."""

    def wait(self, *, at_most_s):
        """Return at once."""

    def pause(self, reason, seconds):
        """Do nothing."""


class Tokens:
    """A token source that gives t1, then t2 after t1 was refused, and so on; records reasons."""

    def __init__(self, letter="t"):
        self.letter = letter
        self.number = 1
        self.reasons = []

    def current(self):
        return f"{self.letter}{self.number}"

    def renewed(self, refused, reason):
        assert refused == self.current()
        self.reasons.append(reason)
        self.number += 1
        return self.current()


class Hh:
    """hh.ru simulated by *respond*, a function from request to response."""

    def __init__(self, respond):
        self.requests = []
        self.pacer = Slots()
        self.exchange_pacer = Slots()
        self._respond = respond
        self.client = HHClient(
            "https://api.hh.example",
            user_agent=AGENT,
            pacer=self.pacer,
            exchange_pacer=self.exchange_pacer,
            token=Tokens(),
            transport=httpx.MockTransport(self._handle),
        )

    def _handle(self, request):
        self.requests.append(request)
        return self._respond(request)
