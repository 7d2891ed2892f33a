"""``ugtj listen``: a person's events over a live socket."""

from __future__ import annotations

import asyncio
import json as json_library
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import UNREACHABLE, AsJson, CommandError, User, console, when
from local.live.follow import describe
from local.terminal import printable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cli.state import State

HEARTBEAT_S = 300  # API Gateway closes a connection that is idle for ten minutes


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: ugtj listen --cursor 0 --count 10")(listen)


def listen(
    context: typer.Context,
    cursor: Annotated[
        int | None, typer.Option(min=0, help="Replay after this event; else only new ones.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many events.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="End after so long.")] = None,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Show events as they come: new vacancies, applications, limits, runs. Ctrl-C ends it."""
    state: State = context.obj
    body = {"user_id": user or state.profile.user}
    ticket = state.core.post("/api/realtime/ticket", body)
    first = {"type": "subscribe"} if cursor is None else {"type": "replay", "cursor": cursor}

    async def follow() -> None:
        shown = 0
        async for message in _messages(ticket["url"], first):
            if "seq" not in message or message["type"] in ("ready", "replay.truncated"):
                continue
            _show(message, json)
            shown += 1
            if count is not None and shown >= count:
                return

    async def limited() -> None:
        try:
            async with asyncio.timeout(seconds):
                await follow()
        except TimeoutError:
            return

    asyncio.run(limited())


async def _messages(url: str, first: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    import aiohttp

    try:
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
            await socket.send_json(first)
            heartbeat = asyncio.create_task(_send_heartbeats(socket))
            try:
                async for frame in socket:
                    if frame.type is aiohttp.WSMsgType.TEXT:
                        yield json_library.loads(frame.data)
            finally:
                heartbeat.cancel()
    except aiohttp.ClientError as error:
        raise CommandError(
            f"the socket broke ({type(error).__name__})", "ugtj listen", code=UNREACHABLE
        ) from None


async def _send_heartbeats(socket: Any) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        await socket.send_json({"type": "ping"})


def _show(message: dict[str, Any], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json_library.dumps(message, ensure_ascii=False) + "\n")
        sys.stdout.flush()
        return
    for line in describe(message["type"], message["data"]):
        text = printable(f"{message['seq']:>6}  {when(message['at'])}  {line}".replace("\n", " "))
        console().print(text, markup=False)
