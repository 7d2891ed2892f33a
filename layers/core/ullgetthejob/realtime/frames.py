"""The WebSocket's route ``$default``: the frames of clients.

The first frame says where delivery begins:

    {"type": "replay", "cursor": n}          after the event n (also later: again from there)
    {"type": "subscribe", "topics": […]}     with the events from now on
    {"type": "unsubscribe", "topics": […]}
    {"type": "ping"}                         "pong"

The broadcaster answers both kinds of first frame with ``ready``, as the first message that it
posts, so that no event can overtake it. A connection that sends more than :mod:`.frame_budget`
allows gets an error and is closed. *topics* are the parts of event types before the dot; a replay
may have them too, and without any all are meant.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from ullgetthejob.platform import postgres
from ullgetthejob.platform.advice import for_person
from ullgetthejob.platform.errors import AppError, BadRequest, Unauthorized
from ullgetthejob.platform.models import Model
from ullgetthejob.platform.telemetry import count, logger, trace
from ullgetthejob.realtime import connections, event_log
from ullgetthejob.realtime.connections import Topic
from ullgetthejob.realtime.frame_budget import FrameBudget
from ullgetthejob.realtime.websocket_invocations import endpoint_of, read_end_of_log, respond

MAX_BYTES = 4096
BUDGET = FrameBudget()  # the environment's
TOPICS: tuple[Topic, ...] = ("account", "application", "fetch", "jobs", "rate_limit")

# Until the connection has its missing events, or at least "ready", the account counts as unserved:
# if the wake-up is lost, the sweeper sends another.
UPDATE_ACCOUNT_UNSERVED = """
    UPDATE accounts SET broadcast_seq = %(cursor)s - 1
    WHERE id = %(account_id)s AND broadcast_seq >= %(cursor)s
"""


class SessionEnded(Unauthorized):
    """The connection's session has ended, or the connection is unknown."""

    code = "reconnect"


class TooManyFrames(AppError):
    """The connection sends more frames than any client needs."""

    code = "too_many_frames"


class Replay(Model):
    """Begin after the event *cursor*."""

    type: Literal["replay"]
    cursor: Annotated[int, Field(ge=0, strict=True)]
    topics: list[Topic] | None = None


class Subscribe(Model):
    """Events of these topics too; as the first frame, of these alone."""

    type: Literal["subscribe"]
    topics: list[Topic] | None = None


class Unsubscribe(Model):
    """No events of these topics from now on."""

    type: Literal["unsubscribe"]
    topics: list[Topic]


class Ping(Model):
    """Check that the connection is alive; answered with ``pong``."""

    type: Literal["ping"]


Frame = Replay | Subscribe | Unsubscribe | Ping
FRAME: TypeAdapter[Frame] = TypeAdapter(Annotated[Frame, Field(discriminator="type")])


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Handle an invocation of Lambda."""
    return respond(event, context, _handle)


def _handle(event: dict[str, Any], request: dict[str, Any]) -> int:
    connection_id = request["connectionId"]
    verdict = BUDGET.spend(connection_id)
    if verdict == "ignored":
        return 200
    text = event.get("body") or ""
    reply, is_last = _handle_frame(connection_id, text, within_budget=verdict == "within")
    _post_reply(endpoint_of(request), connection_id, reply, is_last=is_last)
    return 200


def _handle_frame(
    connection_id: str, text: str, *, within_budget: bool
) -> tuple[dict[str, Any] | None, bool]:
    """Return the reply to post at once, if any, and whether the connection is closed after it."""
    try:
        if not within_budget:
            raise TooManyFrames(
                "this connection sends too many frames; connect again, and send less"
            )
        return on_message(connection_id, text), False
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


def _post_reply(
    endpoint: str, connection_id: str, reply: dict[str, Any] | None, *, is_last: bool
) -> None:
    """Post the reply to the client, which may be gone by now, and close after the last one."""
    if reply is None:
        return
    from ullgetthejob.realtime import sockets  # with threads, which few frames need

    client = sockets.client_for(endpoint)
    try:
        client.post(connection_id, json.dumps({"v": 1, **reply}).encode())
        if is_last:
            client.close(connection_id)
    except sockets.PostFailed as error:
        logger.warning("a frame was not answered", error_type=type(error).__name__)
        count("RepliesLost")


def on_message(connection_id: str, text: str) -> dict[str, Any] | None:
    """Handle a frame of the connection and return the reply to post at once, if any.

    Raises :class:`BadRequest` for an invalid frame (the connection stays as it is),
    :class:`SessionEnded` and :class:`Unavailable`.
    """
    frame = _parse_frame(text)
    if isinstance(frame, Ping):
        return {"type": "pong"}
    connection = connections.find(connection_id)
    if connection is None:
        raise _unknown_connection()
    is_connecting = connection.state == "connecting"
    if isinstance(frame, Replay) or (isinstance(frame, Subscribe) and is_connecting):
        _start_replay(connection, frame)
        return None
    if is_connecting:
        raise BadRequest("the first frame is a replay or subscribes", code="not_open")
    return _update_topics(connection, frame)


def _start_replay(connection: connections.Connection, frame: Replay | Subscribe) -> None:
    account_id = connection.account_id
    end = read_end_of_log(connection.user_id, account_id, connection.proven_at)
    if end is None:
        raise SessionEnded("the session has ended; connect again with a new ticket")
    cursor = frame.cursor if isinstance(frame, Replay) else end
    if cursor > end:
        raise BadRequest("the cursor is above the last event", code="bad_cursor")
    topics = connection.topics if frame.topics is None else frame.topics
    unserved = {"account_id": account_id, "cursor": cursor}
    with postgres.session() as database:
        database.execute(UPDATE_ACCOUNT_UNSERVED, unserved)  # should this process end after it
        if not connections.request_replay(connection, cursor, topics):
            raise _unknown_connection()
        # A broadcaster that read the connections before may have counted the account as served.
        database.execute(UPDATE_ACCOUNT_UNSERVED, unserved)
    event_log.notify(account_id)
    count("SocketsOpened")


def _update_topics(
    connection: connections.Connection, frame: Subscribe | Unsubscribe
) -> dict[str, Any]:
    current = set(TOPICS if connection.topics is None else connection.topics)
    named = set(TOPICS if frame.topics is None else frame.topics)
    topics = current | named if isinstance(frame, Subscribe) else current - named
    if not connections.set_topics(connection, topics):
        raise _unknown_connection()
    return {"type": "subscribed", "topics": sorted(topics)}


def _unknown_connection() -> SessionEnded:
    return SessionEnded("this connection is unknown or has ended; connect again with a new ticket")


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
