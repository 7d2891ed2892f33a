"""The demo user's news, as a browser gets them: a ticket, a WebSocket, a line an event.

Their saved search is made once; the rules of the template fetch it as the local clock runs. The
last event seen is kept, so that the next start goes on behind it. Whatever fails is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import aiohttp

from local.dev_connect.core import CoreRefused
from local.settings import write_privately

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local.dev_connect.core import Core

SEARCH = {"text": "разработчик", "area": ["1", "2"]}
NAME = "Разработчик, Москва и Санкт-Петербург"
INTERVAL_S = 300  # the least that Core takes
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2, 60
HEARTBEAT_S = 300  # API Gateway closes what says nothing for ten minutes
SHOWN_JOBS = 3


class Follower:
    """Shows what *user_id* is told. *cursor* is the file of the last event seen; *tell* prints."""

    def __init__(self, core: Core, user_id: str, cursor: Path, tell: Callable[[str], None]) -> None:
        self._core = core
        self._user_id = user_id
        self._cursor = cursor
        self._tell = tell
        self._said = ""
        self._shown = 0  # the last one, if it could not be kept

    async def run(self) -> None:
        """Until cancelled."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                if not self._cursor.exists():  # whoever deletes it later does not want it
                    await self._core.save_search(self._user_id, SEARCH, NAME, INTERVAL_S)
                    self._keep(0)
                await self._follow()
                pause_s = FIRST_PAUSE_S
            except CoreRefused as refused:
                self._say_once(f"The demo user's news are not shown: {refused}.")
            except (aiohttp.ClientError, TimeoutError) as error:
                self._say_once(f"The demo user's socket broke: {type(error).__name__}.")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _follow(self) -> None:
        """Until the socket closes."""
        ticket = await self._core.ticket(self._user_id)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(ticket["url"]) as socket,
        ):
            await socket.send_json({"type": "replay", "cursor": self._seen()})
            beating = asyncio.create_task(_beat(socket))
            try:
                async for frame in socket:
                    if frame.type is aiohttp.WSMsgType.TEXT:
                        self._show(json.loads(frame.data))
            finally:
                beating.cancel()

    def _show(self, message: dict[str, Any]) -> None:
        if "seq" not in message or message["type"] == "ready" or message["seq"] <= self._seen():
            return
        at = datetime.fromisoformat(message["at"]).astimezone().strftime("%H:%M:%S")
        for line in describe(message["type"], message["data"]):
            one_line = line.replace("\n", " ")  # a title may hold anything
            self._tell(f"{at}  {one_line}")
        self._keep(message["seq"])

    def _seen(self) -> int:
        return max(self._shown, int(self._cursor.read_text() or 0) if self._cursor.exists() else 0)

    def _keep(self, seq: int) -> None:
        self._shown = seq
        with contextlib.suppress(OSError):  # a full disk: after a start some are shown again
            write_privately(self._cursor, str(seq))

    def _say_once(self, text: str) -> None:
        if text != self._said:
            self._tell(text)
            self._said = text


async def _beat(socket: aiohttp.ClientWebSocketResponse) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        await socket.send_json({"type": "ping"})


def describe(type: str, data: dict[str, Any]) -> list[str]:
    """An event in lines for a terminal."""
    match type:
        case "jobs.new":
            shown = [_job(job) for job in data["jobs"][:SHOWN_JOBS]]
            more = len(data["jobs"]) - len(shown)
            part = f" (part {data['part']} of {data['parts']})" if data["parts"] > 1 else ""
            lines = [f"jobs.new  {len(data['jobs'])} for {data['search_name']}{part}"]
            return [*lines, *shown, *([f"    and {more} more"] if more else [])]
        case "fetch.completed":
            told = f"found {data['found']}, new here {data['new']}, told {data['told']}"
            return [f"fetch.completed  {data['search_name']}: {data['state']}, {told}"]
        case "application.updated":
            why = f" ({data['reason']})" if data["reason"] else ""
            return [f"application.updated  vacancy {data['job_id']}: {data['state']}{why}"]
        case "rate_limit.updated":
            return [
                f"rate_limit.updated  {data['tokens']} of {data['capacity']} tokens, "
                f"{data['applications_today']} of 200 in 24 hours"
            ]
        case "account.updated":
            return [f"account.updated  {data['state']}: {data['message']}"]
        case _:
            return [type]


def _job(job: dict[str, Any]) -> str:
    facts = (job["title"], job["company"], job["area"], job["salary"])
    return "    " + " · ".join(fact for fact in facts if fact)
