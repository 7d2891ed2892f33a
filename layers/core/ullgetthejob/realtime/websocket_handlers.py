"""What clients say: the WebSocket's ``$connect``, frames and ``$disconnect``.

``$connect`` burns the ticket and writes the connection down; nothing can be posted before it has
returned. The first frame says from where delivery is to begin:

    {"type": "replay", "cursor": n}          after the event n (also later: once more from there)
    {"type": "subscribe", "topics": […]}     with what happens from now on
    {"type": "unsubscribe", "topics": […]}
    {"type": "ping"}                         "pong"

Both kinds of beginning are answered by the broadcaster with ``ready``, as the first thing that it
posts, so that no event can overtake it. A connection that says more than :mod:`.frame_budget`
allows is told so and closed. *topics* are parts of event types before the dot; a replay
may have them too, and without any all are meant.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from ullgetthejob.platform import clock, postgres, settings
from ullgetthejob.platform.advice import for_person
from ullgetthejob.platform.errors import AppError, BadRequest, Unauthorized, Unavailable
from ullgetthejob.platform.telemetry import count, flush, logger, trace
from ullgetthejob.realtime import connections, event_log, tickets
from ullgetthejob.realtime.connections import TooManyConnections, Topic
from ullgetthejob.realtime.frame_budget import FrameBudget

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

MAX_BYTES = 4096
BUDGET = FrameBudget()  # the environment's
TOPICS: tuple[Topic, ...] = ("account", "application", "fetch", "jobs", "rate_limit")

STATUS: dict[type[AppError], int] = {  # of $connect
    Unauthorized: 401,
    TooManyConnections: 429,
    Unavailable: 503,
    AppError: 500,
}

# The end of the log of an account, while the session that proved itself then still holds.
SELECT_END_OF_LOG = """
    SELECT a.last_event_seq FROM users u JOIN accounts a ON a.id = u.account_id
    WHERE u.id = %(user_id)s AND a.id = %(account_id)s
      AND (u.tokens_valid_from IS NULL OR u.tokens_valid_from <= %(proven_at)s)
"""
# Until the connection has what it lacks, be it "ready" alone, the account counts as unserved: where
# the bell is lost, the sweeper rings again.
UPDATE_ACCOUNT_UNSERVED = """
    UPDATE accounts SET broadcast_seq = %(cursor)s - 1
    WHERE id = %(account_id)s AND broadcast_seq >= %(cursor)s
"""


class SessionEnded(Unauthorized):
    """The connection leads nowhere (any more): its session has ended, or it is not known."""

    code = "reconnect"


class TooManyFrames(AppError):
    """The connection says more than any client needs to."""

    code = "too_many_frames"


class Replay(BaseModel):
    """Begin after the event *cursor*."""

    type: Literal["replay"]
    cursor: Annotated[int, Field(ge=0, strict=True)]
    topics: list[Topic] | None = None


class Subscribe(BaseModel):
    """Events of these topics too; as the first frame, of these alone."""

    type: Literal["subscribe"]
    topics: list[Topic] | None = None


class Unsubscribe(BaseModel):
    """None of these any more."""

    type: Literal["unsubscribe"]
    topics: list[Topic]


class Ping(BaseModel):
    """Is anybody there?"""

    type: Literal["ping"]


Frame = Replay | Subscribe | Unsubscribe | Ping
FRAME: TypeAdapter[Frame] = TypeAdapter(Annotated[Frame, Field(discriminator="type")])


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """The Lambda entry point. Nothing of the answer but the status of ``$connect`` reaches the
    client."""
    request = event["requestContext"]
    request_id = str(getattr(context, "aws_request_id", ""))
    logger.append_keys(request_id=request_id, route=request["routeKey"])
    try:
        status = _answer(event, request)
    except Exception as error:
        logger.error("unexpected error", **trace(error))
        count("UnexpectedError")
        status = 500
    logger.info("answered", status=status)
    logger.remove_keys(["request_id", "route", "error"])
    flush()
    return {"statusCode": status}


def _answer(event: dict[str, Any], request: dict[str, Any]) -> int:
    id = request["connectionId"]
    if request["eventType"] == "CONNECT":
        ticket = (event.get("queryStringParameters") or {}).get("ticket", "")
        return _connected(id, ticket, request["connectedAt"], _endpoint(request))
    if request["eventType"] == "DISCONNECT":
        on_disconnect(id)
        return 200
    verdict = BUDGET.spend(id)
    if verdict == "ignored":
        return 200
    reply, ended = _handle_frame(id, event.get("body") or "", within_budget=verdict == "within")
    _post(_endpoint(request), id, reply, ended)
    return 200


def _connected(id: str, ticket: str, connected_at_ms: int, endpoint: str) -> int:
    try:
        on_connect(id, ticket, connected_at_ms=connected_at_ms, now=clock.now(), endpoint=endpoint)
    except AppError as error:
        logger.append_keys(error=error.code)
        count("SocketsRefused")
        return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    count("SocketsConnected")
    return 200


def _handle_frame(id: str, text: str, *, within_budget: bool) -> tuple[dict[str, Any] | None, bool]:
    """What is answered at once, if anything, and whether the connection is over with it."""
    try:
        if not within_budget:
            raise TooManyFrames(
                "this connection sends too many frames; connect again, and send less"
            )
        return on_message(id, text), False
    except AppError as error:
        logger.append_keys(error=error.code)
        count("FramesRefused")
        is_last = isinstance(error, (SessionEnded, TooManyFrames))
        return _error_frame(error.code, error.message), is_last
    except Exception as error:
        logger.error("unexpected error", **trace(error))
        count("UnexpectedError")
        return _error_frame(
            "internal_error", "something went wrong on our side; connect again"
        ), False


def _error_frame(code: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": code, "message": message, "advice": for_person(code)}


def _post(endpoint: str, id: str, reply: dict[str, Any] | None, ended: bool) -> None:
    """Answer the client, which may be gone by now."""
    if reply is None:
        return
    from ullgetthejob.realtime import sockets  # brings aiohttp, which few $connects need

    async def posted() -> None:
        await sockets.client_for(endpoint).post(id, json.dumps({"v": 1, **reply}).encode())
        if ended:
            await sockets.client_for(endpoint).close(id)

    try:
        sockets.run(posted())
    except sockets.PostFailed as error:
        logger.warning("a frame was not answered", error_type=type(error).__name__)
        count("RepliesLost")


def _endpoint(request: dict[str, Any]) -> str:
    """Where connections are managed: the variable, else where the frame came from."""
    domain = request["domainName"]
    scheme = "http" if ":" in domain else "https"  # a port: a laptop's
    return settings.text("WEBSOCKET_API_ENDPOINT", f"{scheme}://{domain}/{request['stage']}")


# ── what it comes to ─────────────────────────────────────────────────────────────────────────────


def on_connect(id: str, ticket: str, *, connected_at_ms: int, now: datetime, endpoint: str) -> None:
    """Open the connection *id* for whom the ticket was issued to. *endpoint*: where connections are
    managed, to look for those that are gone when the account has no place left.

    Raises :class:`Unauthorized`, :class:`TooManyConnections` and :class:`Unavailable`.
    """
    holder = tickets.consume(ticket, by=id, now=now)
    if _read_end_of_log(holder.user_id, holder.account_id, holder.proven_at) is None:
        raise tickets.invalid_ticket("revoked")

    def gone(ids: list[str]) -> list[str]:
        from ullgetthejob.realtime import sockets  # brings aiohttp, which other $connects need not

        async def asked() -> list[str]:
            return await sockets.client_for(endpoint).gone(ids)

        return sockets.run(asked())

    connections.add(id, holder, connected_at_ms=connected_at_ms, gone=gone)


def on_disconnect(id: str) -> None:
    """The connection is over."""
    one = connections.find(id)
    if one is not None:
        connections.delete(id, one.account_id)


def on_message(id: str, text: str) -> dict[str, Any] | None:
    """What is answered at once to a frame of the connection *id*.

    Raises :class:`BadRequest` for a frame that makes no sense (the connection stays as it is),
    :class:`Ended` and :class:`Unavailable`.
    """
    sent = _parse_frame(text)
    if isinstance(sent, Ping):
        return {"type": "pong"}
    one = connections.find(id)
    if one is None:
        raise SessionEnded("this connection is not known any more; connect again with a new ticket")
    if isinstance(sent, Replay) or (isinstance(sent, Subscribe) and one.state == "connecting"):
        _start_replay(one, sent)
        return None
    if one.state == "connecting":
        raise BadRequest("the first frame is a replay or subscribes", code="not_open")
    return _update_topics(one, sent)


def _start_replay(one: connections.Connection, sent: Replay | Subscribe) -> None:
    end = _read_end_of_log(one.user_id, one.account_id, one.proven_at)
    if end is None:
        raise SessionEnded("the session has ended; connect again with a new ticket")
    cursor = sent.cursor if isinstance(sent, Replay) else end
    if cursor > end:
        raise BadRequest("the cursor is above the last event", code="bad_cursor")
    topics = one.topics if sent.topics is None else sent.topics
    if not connections.request_replay(one, cursor, topics):
        raise SessionEnded("this connection is not known any more; connect again with a new ticket")
    with postgres.session() as connection:
        connection.execute(
            UPDATE_ACCOUNT_UNSERVED, {"account_id": one.account_id, "cursor": cursor}
        )
    event_log.notify(one.account_id)
    count("SocketsOpened")


def _update_topics(one: connections.Connection, sent: Subscribe | Unsubscribe) -> dict[str, Any]:
    had = set(TOPICS if one.topics is None else one.topics)
    named = set(TOPICS if sent.topics is None else sent.topics)
    topics = had | named if isinstance(sent, Subscribe) else had - named
    if not connections.set_topics(one, topics):
        raise SessionEnded("this connection is not known any more; connect again with a new ticket")
    return {"type": "subscribed", "topics": sorted(topics)}


def _parse_frame(text: str) -> Frame:
    if len(text.encode()) > MAX_BYTES:
        raise BadRequest(f"a frame has at most {MAX_BYTES} bytes", code="frame_too_long")
    try:
        return FRAME.validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if problem["type"] == "union_tag_invalid":
        raise BadRequest("there is no frame of that type", code="unknown_type")
    if problem["type"] == "json_invalid":
        raise BadRequest("a frame is a JSON object", code="invalid_frame")
    where = ".".join(map(str, problem["loc"][1:])) or "type"
    raise BadRequest(f"{where} is missing or wrong", code="invalid_frame")


def _read_end_of_log(user_id: UUID, account_id: UUID, proven_at: datetime) -> int | None:
    values = {"user_id": user_id, "account_id": account_id, "proven_at": proven_at}
    with postgres.session() as connection:
        row = connection.execute(SELECT_END_OF_LOG, values).fetchone()
    return None if row is None else int(row["last_event_seq"])
