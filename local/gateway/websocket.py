"""API Gateway's WebSocket API on a laptop: connections in front of the functions of its routes.

As in the cloud: a connection exists once ``$connect`` has returned 2xx, and nothing can be posted
to it before; of a result, the client sees only the status of a refusal; messages are text, a binary
message closes the connection; ``$disconnect`` is invoked after the fact, and once only. Unlike in
the cloud: the messages of a connection are handled one after another, in the order of arrival (the
cloud guarantees none).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from local.functions.service import PayloadTooLarge, Throttled
from local.gateway import access_log, management, websocket_events
from local.gateway.events import MalformedResponse, Request
from local.gateway.frames import Socket
from local.gateway.throttles import Throttles
from local.gateway.websocket_connection import ABNORMALLY, Connection, Limits, OutboxFull
from local.gateway.websocket_events import Client, Event, parse_result, selected_route

if TYPE_CHECKING:
    from local.functions.logs import Logs
    from local.functions.service import LambdaService
    from local.template.resources import WebSocketApi

_INBOX = 100  # queued messages of a client; more are not read yet
_GOING_AWAY = 1001
_FAILED = "Internal server error"

# aiohttp quotes subprotocols in warnings, and some clients put their ticket there.
logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)


class _Outcome(NamedTuple):
    """The outcome of an event; *message* is for the client, *problem* for the log."""

    status: int
    message: str = ""
    problem: str = ""
    protocol: str | None = None

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300


class WebSocketGateway:
    """Serves *api* by invoking functions of *service*."""

    def __init__(
        self,
        api: WebSocketApi,
        service: LambdaService,
        logs: Logs,
        limits: Limits = Limits(),  # noqa: B008  frozen
    ) -> None:
        self._api = api
        self._service = service
        self._logs = logs
        self._limits = limits
        self._throttles = Throttles(api.throttle_rate, api.throttle_burst)
        self._connections: dict[str, Connection] = {}
        self._conversations: set[asyncio.Future[web.StreamResponse]] = set()
        self._stopping = False

    def serves(self, request: web.BaseRequest) -> bool:
        """Return whether the request is a handshake, or a management call."""
        if management.connection_id(request.raw_path, self._api.stage) is not None:
            return True
        path = request.raw_path.partition("?")[0].rstrip("/")
        upgrade = request.headers.get("Upgrade", "").strip().lower()
        return path == f"/{self._api.stage}" and upgrade == "websocket"

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return the response: to a handshake, once the connection has ended."""
        name = management.connection_id(request.raw_path, self._api.stage)
        if name is not None:
            return await management.answer(request, name, self._connections, self._logs)
        # $disconnect is invoked even if the server abandons the client before.
        conversation = asyncio.ensure_future(self._connect(request))
        self._conversations.add(conversation)
        conversation.add_done_callback(self._conversations.discard)
        return await asyncio.shield(conversation)

    async def stop(self) -> None:
        """Close every connection, and wait a little for $disconnect."""
        self._stopping = True
        for connection in self._connections.values():
            connection.close_soon(_GOING_AWAY, "Going away")
        if self._conversations:
            _, late = await asyncio.wait(self._conversations, timeout=self._limits.stop_s)
            for conversation in late:
                conversation.cancel()

    def status(self) -> dict[str, object]:
        """Return the number of connections and the API's routes."""
        return {"connections": len(self._connections), "routes": dict(self._api.routes)}

    # ── connections ──────────────────────────────────────────────────────────────────────────

    async def _connect(self, request: web.BaseRequest) -> web.StreamResponse:
        offered = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
        if not web.WebSocketResponse(protocols=[p.strip() for p in offered]).can_prepare(request):
            return _refusal(HTTPStatus.BAD_REQUEST)
        if self._stopping:
            return _refusal(HTTPStatus.SERVICE_UNAVAILABLE)
        handshake = _handshake(request)
        client = Client(
            stage=self._api.stage,
            domain_name=request.host,
            source_ip=handshake.source_ip,
            user_agent=request.headers.get("User-Agent", ""),
        )
        event = websocket_events.connect(client, handshake)
        outcome = await self._invoke_route(client, event, handshake.trace_id)
        if not outcome.accepted:
            return _refusal(outcome.status)
        socket = Socket(outcome.protocol, close_wait_s=self._limits.close_wait_s)
        transport = request.transport
        try:
            if transport is None:
                raise ConnectionResetError
            await socket.prepare(request)
        except ConnectionError:  # the client did not wait
            await self._disconnect(client, *ABNORMALLY)
            return _refusal(HTTPStatus.BAD_REQUEST)
        await self._converse(Connection(client, socket, transport, self._limits))
        return socket

    async def _converse(self, connection: Connection) -> None:
        """Serve a connection, from its first message to $disconnect."""
        name = connection.client.connection_id
        inbox: asyncio.Queue[str | None] = asyncio.Queue(_INBOX)
        handling = asyncio.ensure_future(self._handle(connection, inbox))
        self._connections[name] = connection
        try:
            if self._stopping:
                connection.close_soon(_GOING_AWAY, "Going away")
            async with contextlib.aclosing(connection.messages()) as messages:
                async for text in messages:
                    await inbox.put(text)
            del self._connections[name]
            await inbox.put(None)
            await handling
        finally:
            self._connections.pop(name, None)
            handling.cancel()
        await self._disconnect(connection.client, *connection.end)

    async def _handle(self, connection: Connection, inbox: asyncio.Queue[str | None]) -> None:
        """Invoke functions with the messages, one after another."""
        while (text := await inbox.get()) is not None:
            key = selected_route(self._api.route_selection_expression, self._api.routes, text)
            event = websocket_events.message(connection.client, key, text)
            outcome = await self._invoke_route(connection.client, event, size=len(text.encode()))
            if outcome.message and not connection.closing:
                error = {
                    "message": outcome.message,
                    "connectionId": connection.client.connection_id,
                    "requestId": event.request_id,
                }
                with contextlib.suppress(OutboxFull):
                    connection.post(json.dumps(error).encode())

    async def _disconnect(self, client: Client, code: int, reason: str) -> None:
        event = websocket_events.disconnect(client, code, reason)
        await self._invoke_route(client, event, note=f"closed with {code}")

    # ── events ───────────────────────────────────────────────────────────────────────────────

    async def _invoke_route(
        self, client: Client, event: Event, trace_id: str = "", *, size: int = 0, note: str = ""
    ) -> _Outcome:
        """Invoke the function of the event's route, and log the outcome."""
        function = self._api.routes.get(event.route_key)
        if function is not None and not self._throttles.take(event.route_key):
            outcome = _Outcome(429, "Too Many Requests", "the route is throttled")
        elif function is not None:
            outcome = await self._invoke(function, event, trace_id)
        elif event.type == "MESSAGE":
            outcome = _Outcome(403, "Forbidden", "no such route")
        else:
            outcome = _Outcome(200)  # an API without the route needs no such event
        self._log(client, event, outcome, size, note)
        return outcome

    async def _invoke(self, function: str, event: Event, trace_id: str) -> _Outcome:
        invocation = self._service.invoke(function, event.payload, trace_id)
        try:
            result = await asyncio.wait_for(invocation, self._limits.integration_s)
        except TimeoutError:
            return _Outcome(504, "Endpoint request timed out", "integration timed out")
        except Throttled:
            return _Outcome(500, _FAILED, "the function is throttled")
        except PayloadTooLarge:
            return _Outcome(500, _FAILED, "the event is over 6 MB")
        if result.error is not None:
            return _Outcome(502, _FAILED, result.error)
        try:
            status, protocol = parse_result(result.payload)
        except MalformedResponse as error:
            return _Outcome(502, _FAILED, f"malformed: {error}")
        return _Outcome(status, protocol=protocol)

    def _log(self, client: Client, event: Event, outcome: _Outcome, size: int, note: str) -> None:
        latency_ms = round((time.time() - event.received) * 1000)
        parts = [str(outcome.status), event.route_key, client.connection_id, f"{size} B"]
        parts += [f"{latency_ms} ms", note, outcome.problem]
        self._logs.write("gateway", " ".join(part for part in parts if part))
        if self._api.access_log_format is not None:
            values = {
                "requestId": event.request_id,
                "extendedRequestId": event.request_id,
                "routeKey": event.route_key,
                "eventType": event.type,
                "connectionId": client.connection_id,
                "connectedAt": str(int(client.connected_at * 1000)),
                "status": str(outcome.status),
                "integrationLatency": str(latency_ms),
                "error.message": outcome.problem or "-",
                "requestTimeEpoch": str(int(event.received * 1000)),
                "identity.sourceIp": client.source_ip,
                "messageDirection": "IN",
                "stage": client.stage,
            }
            access_log.write(self._logs, self._api.access_log_format, values)


def _handshake(request: web.BaseRequest) -> Request:
    return Request(
        method=request.method,
        target=request.raw_path,
        headers=list(request.headers.items()),
        body=b"",
        source_ip=(request.remote or "127.0.0.1"),
    )


def _refusal(status: int) -> web.Response:
    """Return the response to a refused handshake."""
    phrase = next((known.phrase for known in HTTPStatus if known == status), "Unknown")
    refusal = web.json_response({"message": phrase}, status=status)
    refusal.force_close()  # bytes after an upgrade request are not HTTP
    return refusal
