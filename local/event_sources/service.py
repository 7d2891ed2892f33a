"""The event sources of all functions besides HTTP, started and stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web

from local.clock import LocalClock
from local.event_sources.event_invoke import RETRY_PAUSES_S, invoke_event
from local.event_sources.queue_poller import QueuePoller
from local.event_sources.rules import NoSuchRule, RuleBusy, Rules
from local.event_sources.sqs import Sqs, SqsUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from local.functions.logs import Logs
    from local.functions.service import LambdaService
    from local.template.resources import Rule, Template

LOG = "events"
PREFIX = "/_local/rules/"
RULES_FILE = "rules.json"


class EventSources:
    """The rules and queues of *template*, which invoke functions of *service*.

    *endpoint*: of SQS; *clock*: the file of the local clock, ``None`` for the system's time. Each
    event is a line of the log ``events``: names and numbers, never contents.
    """

    def __init__(
        self,
        template: Template,
        service: LambdaService,
        *,
        endpoint: str,
        clock: Path | None,
        data_dir: Path,
        logs: Logs,
        retry_pauses_s: Sequence[float] = RETRY_PAUSES_S,
    ) -> None:
        self._template = template
        self._service = service
        self._endpoint = endpoint
        self._logs = logs
        self._retry_pauses_s = retry_pauses_s
        rules = [rule for function in template.functions.values() for rule in function.rules]
        now = LocalClock(clock).now if clock is not None else lambda: datetime.now(UTC)
        self._rules = Rules(rules, now, self._deliver, data_dir / RULES_FILE)
        self._sqs: Sqs | None = None
        self._pollers: list[tuple[str, QueuePoller]] = []  # with the queue's logical id
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the rules and the pollers; needs a running loop."""
        self._sqs = Sqs(self._endpoint)
        for function in self._template.functions.values():
            for source in function.queue_sources:
                if source.enabled:
                    queue = self._template.queues[source.queue]
                    log = self._logger_of(f"queue {queue.name} -> {function.name}")
                    poller = QueuePoller(source, queue, self._service, self._sqs, log)
                    self._pollers.append((source.queue, poller))
        running = [self._rules.run(), *(poller.run() for _, poller in self._pollers)]
        self._tasks = [asyncio.create_task(source) for source in running]
        for task in self._tasks:
            task.add_done_callback(self._report)

    async def stop(self) -> None:
        """Stop; events and batches in flight are abandoned, messages stay in their queues."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._rules.stop()
        if self._sqs is not None:
            await self._sqs.close()

    async def status(self) -> dict[str, Any]:
        """Return rules and queues by name. Counts are ``None`` where SQS does not answer."""
        return {
            "rules": self.rules_status(),
            "queues": {
                queue.name: await self._queue_status(logical_id)
                for logical_id, queue in self._template.queues.items()
            },
        }

    def rules_status(self) -> dict[str, dict[str, object]]:
        """Return the rules by name: function, expression, enabled, next, fired, unfinished."""
        states = self._rules.status()
        return {
            rule.name: {"function": function.name, **states[rule.name]}
            for function in self._template.functions.values()
            for rule in function.rules
        }

    def fire_rule(self, name: str) -> None:
        """Fire the rule *name* now. Raises :class:`NoSuchRule` and :class:`RuleBusy`."""
        self._rules.fire(name)

    @property
    def sqs(self) -> Sqs | None:
        """Return the client of SQS, once started."""
        return self._sqs

    async def _queue_status(self, logical_id: str) -> dict[str, Any]:
        queue = self._template.queues[logical_id]
        counts: dict[str, int | None] = dict.fromkeys(("visible", "in_flight", "delayed"))
        if self._sqs is not None:
            with contextlib.suppress(SqsUnavailable):
                counts.update(await self._sqs.counts(queue.url))
        return {**counts, **self.queue_facts(logical_id)}

    def queue_facts(self, logical_id: str) -> dict[str, Any]:
        """Return what is known of a queue without asking SQS: done, failed, dead_letters (the name
        of its dead-letter queue) and functions."""
        queue = self._template.queues[logical_id]
        totals = Counter(done=0, failed=0)
        for name, poller in self._pollers:
            if name == logical_id:
                totals.update(done=poller.done, failed=poller.failed)
        by_arn = {queue.arn: queue.name for queue in self._template.queues.values()}
        return {
            **totals,
            "dead_letters": by_arn.get(queue.dead_letter_arn or ""),
            "functions": [
                function.name
                for function in self._template.functions.values()
                for source in function.queue_sources
                if source.queue == logical_id
            ],
        }

    # ── the control route ────────────────────────────────────────────────────────────────────

    def serves(self, path: str) -> bool:
        """Return whether *path* is a control of the rules."""
        return path.startswith(PREFIX)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Handle ``POST /_local/rules/{name}/fire``: fire the rule now, and return 202 at once.

        A browser's request from another site is refused.
        """
        name, _, action = request.path.removeprefix(PREFIX).partition("/")
        if action != "fire":
            return _refused(404, "there is only /_local/rules/{name}/fire")
        if request.method != "POST":
            return _refused(405, "only POST fires a rule")
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return _refused(403, "another site sent this")
        try:
            self.fire_rule(name)
        except NoSuchRule:
            return _refused(404, f"there is no rule {name}")
        except RuleBusy:
            return _refused(409, f"too many events of {name} are unfinished")
        return web.json_response({"fired": name}, status=202)

    # ── events ───────────────────────────────────────────────────────────────────────────────

    async def _deliver(self, rule: Rule, event: bytes) -> None:
        function = self._template.functions[rule.function]
        log = self._logger_of(f"rule {rule.name} -> {function.name}")
        await invoke_event(self._service, function, event, log, self._retry_pauses_s)

    def _report(self, task: asyncio.Task[None]) -> None:
        """Log the exception of a source that ended by itself."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._logs.write(LOG, "".join(traceback.format_exception(error)))

    def _logger_of(self, subject: str) -> Any:
        return lambda text: self._logs.write(LOG, f"{subject}: {text}", echo=False)


def _refused(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)
