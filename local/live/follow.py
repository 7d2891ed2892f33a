"""The demo user's events, received like a browser does: a ticket, a WebSocket, a line per event.

The demo user's saved search is created once; the rules of the template run it as the local clock
advances. The seq of the last event shown is stored, so that the next start continues after it.
Failures are retried.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import aiohttp

from local.dev_connect.core import CoreRefused
from local.live.display import money
from local.settings import write_privately

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local.dev_connect.core import Core

SEARCH = {"text": "разработчик", "area": ["1", "2"]}
NAME = "Разработчик, Москва и Санкт-Петербург"
INTERVAL_S = 300  # the minimum that Core accepts
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2, 60
HEARTBEAT_S = 300  # API Gateway closes a connection that is idle for ten minutes
SHOWN_JOBS = 3


class Follower:
    """Shows the events of *user_id*. *cursor*: the file of the last seq shown; *report* prints."""

    def __init__(
        self, core: Core, user_id: str, cursor: Path, report: Callable[[str], None]
    ) -> None:
        self._core = core
        self._user_id = user_id
        self._cursor = cursor
        self._report = report
        self._last_problem = ""
        self._last_seq = 0  # of this run, in case the file could not be written

    async def run(self) -> None:
        """Follow until cancelled."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                if not self._cursor.exists():  # once: a person may delete the search later
                    await self._core.save_search(self._user_id, SEARCH, NAME, INTERVAL_S)
                    self._store(0)
                await self._follow()
                pause_s = FIRST_PAUSE_S
            except CoreRefused as refused:
                self._report_once(f"The demo user's news are not shown: {refused}.")
            except (aiohttp.ClientError, TimeoutError) as error:
                self._report_once(f"The demo user's socket broke: {type(error).__name__}.")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _follow(self) -> None:
        """Show events until the socket closes."""
        ticket = await self._core.ticket(self._user_id)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(ticket["url"]) as socket,
        ):
            await socket.send_json({"type": "replay", "cursor": self._last_shown()})
            heartbeat = asyncio.create_task(_send_heartbeats(socket))
            try:
                async for frame in socket:
                    if frame.type is aiohttp.WSMsgType.TEXT:
                        self._show(json.loads(frame.data))
            finally:
                heartbeat.cancel()

    def _show(self, message: dict[str, Any]) -> None:
        if "seq" not in message or message["type"] == "ready":
            return
        if message["seq"] <= self._last_shown():
            return
        at = datetime.fromisoformat(message["at"]).astimezone().strftime("%H:%M:%S")
        for line in describe(message["type"], message["data"]):
            single_line = line.replace("\n", " ")  # a title may hold any text
            self._report(f"{at}  {single_line}")
        self._store(message["seq"])

    def _last_shown(self) -> int:
        stored = int(self._cursor.read_text() or 0) if self._cursor.exists() else 0
        return max(self._last_seq, stored)

    def _store(self, seq: int) -> None:
        self._last_seq = seq
        with contextlib.suppress(OSError):  # a full disk: after a restart some are shown again
            write_privately(self._cursor, str(seq))

    def _report_once(self, text: str) -> None:
        if text != self._last_problem:
            self._report(text)
            self._last_problem = text


async def _send_heartbeats(socket: aiohttp.ClientWebSocketResponse) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        await socket.send_json({"type": "ping"})


def describe(event_type: str, data: dict[str, Any]) -> list[str]:
    """Return an event as lines for a terminal."""
    match event_type:
        case "jobs.new":
            shown = [_job(job) for job in data["jobs"][:SHOWN_JOBS]]
            more = len(data["jobs"]) - len(shown)
            part = f" (part {data['part']} of {data['parts']})" if data["parts"] > 1 else ""
            lines = [f"jobs.new  {len(data['jobs'])} for {data['search_name']}{part}"]
            return [*lines, *shown, *([f"    and {more} more"] if more else [])]
        case "fetch.completed":
            counts = f"found {data['found']}, new here {data['new']}, told {data['told']}"
            return [f"fetch.completed  {data['search_name']}: {data['state']}, {counts}"]
        case "application.updated":
            reason = f" ({data['reason']})" if data["reason"] else ""
            return [f"application.updated  vacancy {data['job_id']}: {data['state']}{reason}"]
        case "rate_limit.updated":
            return [
                f"rate_limit.updated  {data['tokens']} of {data['capacity']} tokens, "
                f"{data['applications_today']} of 200 in 24 hours"
            ]
        case "account.updated":
            return [f"account.updated  {data['state']}: {data['message']}"]
        case _:
            return [event_type]


def _job(job: dict[str, Any]) -> str:
    facts = (job["title"], job["company"], job["area"], money(job["salary"]))
    return "    " + " · ".join(fact for fact in facts if fact)
