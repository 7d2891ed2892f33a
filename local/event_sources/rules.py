"""EventBridge on a laptop: rules that fire as the local clock passes their scheduled times.

The clock may jump by days and run a thousand times faster than real time. AWS would fire a rule
once for every scheduled time; here

* the times of one jump are one event, which carries the last of them: the functions of our rules do
  all work that is due, however often they are invoked;
* a rule fires at most once in :data:`SHORTEST_INTERVAL_S` of real time, however fast the clock;
* a rule with :data:`UNFINISHED_LIMIT` events still running, or waiting for a retry, fires when one
  of them is done.

The last firing of each rule is stored in a file: a rule that fell due while nothing ran fires once
at the next start, and ``rate(1 day)`` works although no run lasts a day. A rate counts from the
first start (in the cloud, from the deployment).
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local.disk import is_full_error
from local.template.cloudformation import ACCOUNT_ID, REGION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from local.template.resources import Rule

POLL_INTERVAL_S = 0.2  # the clock is a file that other processes change
SHORTEST_INTERVAL_S = 0.5
UNFINISHED_LIMIT = 3


class NoSuchRule(Exception):
    """There is no rule of this name."""


class RuleBusy(Exception):
    """Too many events of the rule are unfinished."""


@dataclass
class _State:
    rule: Rule
    last: datetime  # the time up to which the rule has fired
    next: datetime
    fired: int = 0
    fired_at: float = float("-inf")  # time.monotonic()
    unfinished: set[asyncio.Future[Any]] = field(default_factory=set)

    def fire(self, moment: datetime, deliver: Callable[[Rule, bytes], Awaitable[object]]) -> None:
        delivery = asyncio.ensure_future(deliver(self.rule, event(self.rule, moment)))
        self.unfinished.add(delivery)
        delivery.add_done_callback(self.unfinished.discard)
        self.fired += 1
        self.fired_at = time.monotonic()


class Rules:
    """Fires *rules* by *clock*: awaits ``deliver(rule, event)`` for each event.

    *path*: the file of the last firings.
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        clock: Callable[[], datetime],
        deliver: Callable[[Rule, bytes], Awaitable[object]],
        path: Path,
    ) -> None:
        self._clock = clock
        self._deliver = deliver
        self._path = path
        now = clock()
        stored: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        self._states: dict[str, _State] = {}
        for rule in rules:
            last = min(datetime.fromisoformat(stored.get(rule.name, now.isoformat())), now)
            self._states[rule.name] = _State(rule, last, rule.schedule.next_after(last))
        self._save()

    async def run(self) -> None:
        """Fire due rules until cancelled."""
        while self._states:
            self.fire_due()
            await asyncio.sleep(POLL_INTERVAL_S)

    def fire_due(self) -> None:
        """Fire each due rule once."""
        now = self._clock()
        due = [state for state in self._states.values() if state.next <= now]
        fired = False
        for state in due:
            moment = state.rule.schedule.latest(state.last, now)
            if moment is None or (state.rule.enabled and not _may_fire(state)):
                continue
            if state.rule.enabled:
                state.fire(moment, self._deliver)
            state.last, state.next = moment, state.rule.schedule.next_after(moment)
            fired = True
        if fired:
            self._save()

    def fire(self, name: str) -> None:
        """Fire the rule *name* now, even if it is disabled; its schedule stays as it is.

        Raises :class:`NoSuchRule` and :class:`RuleBusy`.
        """
        state = self._states.get(name)
        if state is None:
            raise NoSuchRule
        if len(state.unfinished) >= UNFINISHED_LIMIT:
            raise RuleBusy
        state.fire(self._clock(), self._deliver)

    async def stop(self) -> None:
        """Abandon unfinished events."""
        unfinished = [future for state in self._states.values() for future in state.unfinished]
        for delivery in unfinished:
            delivery.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

    def status(self) -> dict[str, dict[str, object]]:
        """Return the state of each rule, by its name. Times are the local clock's."""
        return {
            name: {
                "expression": state.rule.expression,
                "enabled": state.rule.enabled,
                "next": _text(state.next) if state.rule.enabled else None,
                "fired": state.fired,
                "unfinished": len(state.unfinished),
            }
            for name, state in self._states.items()
        }

    def _save(self) -> None:
        if self._states:
            last = {name: state.last.isoformat() for name, state in self._states.items()}
            new = self._path.with_suffix(".new")
            try:
                new.write_text(json.dumps(last, indent=2) + "\n")
                new.replace(self._path)
            except OSError as error:
                # Written with the next event; after a start before that, a rule may fire again.
                if not is_full_error(error):
                    raise


def _may_fire(state: _State) -> bool:
    return (
        len(state.unfinished) < UNFINISHED_LIMIT
        and time.monotonic() - state.fired_at >= SHORTEST_INTERVAL_S
    )


def event(rule: Rule, moment: datetime) -> bytes:
    """Return the event of *rule* at *moment*.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-run-lambda-schedule.html
    """
    if rule.input is not None:
        return rule.input.encode()
    content = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT_ID,
        "time": _text(moment),
        "region": REGION,
        "resources": [rule.arn],
        "detail": {},
    }
    return json.dumps(content).encode()


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
