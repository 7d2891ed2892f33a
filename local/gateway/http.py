"""API Gateway on a laptop: the HTTP API of the template in front of its functions.

The same port serves the WebSocket API (:mod:`local.gateway.websocket`), the status page ``GET
/_local/``, the pages of :mod:`local.dev_connect` and :mod:`local.dashboard`, and the controls of
:mod:`local.event_sources`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

from local import browsers
from local.functions.service import PayloadTooLarge, Throttled
from local.gateway import access_log, body
from local.gateway.admission import Admission
from local.gateway.events import MalformedResponse, Request, Response, to_event, to_response
from local.gateway.routing import Match, Routes
from local.gateway.throttles import Throttles
from local.gateway.websocket import WebSocketGateway
from local.gateway.websocket_connection import Limits
from local.request_deadlines import ServerRunner
from ullgetthejob.platform import tracing

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from local.dashboard.server import Dashboard
    from local.dev_connect.page import ConnectPage
    from local.event_sources.service import EventSources
    from local.functions.logs import Logs
    from local.functions.service import LambdaService
    from local.template.resources import HttpApi, Template

# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
BODY_LIMIT = 10 * 1024 * 1024
HEADER_LIMIT = 10_240  # of the request line and the values of all headers together
_LOCAL_PATHS = ("/_local", "/dev/")  # absent in the cloud, and guarded by no secret
_LONGEST_LINE = 8 * HEADER_LIMIT  # longer lines are not read
INTEGRATION_LIMIT_S = 30
REQUESTS_PER_PASS = 10  # of the event loop: about 10 ms of work


class _Unquoted(logging.Filter):
    """Names an invalid request by its error alone: aiohttp would quote its content."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.msg, record.args = "not HTTP: %s", (type(error).__name__,)
            record.exc_info = None
        return True


_LOGGER = logging.getLogger("local.gateway")
_LOGGER.addFilter(_Unquoted())


class Gateway:
    """Serves the routes of *template* by invoking functions of *service*."""

    def __init__(
        self,
        template: Template,
        service: LambdaService,
        logs: Logs,
        status: Callable[[], dict[str, Any]] = dict,
        connect: ConnectPage | None = None,
        event_sources: EventSources | None = None,
        dashboard: Dashboard | None = None,
        integration_limit_s: float = INTEGRATION_LIMIT_S,
        websocket_limits: Limits = Limits(),  # noqa: B008  frozen
    ) -> None:
        self._routes = Routes(template.routes)
        self._api: HttpApi = template.api
        self._service = service
        self._logs = logs
        self._status = status
        self._connect = connect
        self._event_sources = event_sources
        self._dashboard = dashboard
        self._limit_s = integration_limit_s
        self._throttles = Throttles(
            self._api.throttle_rate, self._api.throttle_burst, self._api.route_throttles
        )
        self._websocket: WebSocketGateway | None = None
        if template.websocket is not None:
            self._websocket = WebSocketGateway(template.websocket, service, logs, websocket_limits)
        self._admission = Admission(REQUESTS_PER_PASS)
        self._runner: ServerRunner | None = None

    async def start(self, listeners: Iterable[socket.socket]) -> None:
        """Start to serve on *listeners*."""
        if self._dashboard is not None:
            self._dashboard.start()
        server = web.Server(
            self._serve,
            access_log=None,
            logger=_LOGGER,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            auto_decompress=False,  # a function receives the body as sent
        )
        self._runner = ServerRunner(server, shutdown_timeout=2)
        await self._runner.setup()
        for listener in listeners:
            await web.SockSite(self._runner, listener).start()

    async def stop(self) -> None:
        """Stop serving."""
        if self._dashboard is not None:
            await self._dashboard.stop()
        if self._websocket is not None:
            await self._websocket.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._serve_whole(request)
        except ConnectionError:  # the client is gone, or sent an incomplete request
            return web.Response(status=HTTPStatus.BAD_REQUEST)  # not received by the client

    async def _serve_whole(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if self._websocket is not None and self._websocket.serves(request):
            return await self._websocket.answer(request)
        if path.startswith(_LOCAL_PATHS):
            refusal = browsers.refusal(request.method, request.headers)
            if refusal is not None:
                return web.json_response({"message": refusal}, status=403)
            found = await self._serve_local(path, request)
            if found is not None:
                return found
        await self._admission.wait()
        return await self._serve_route(request)

    async def _serve_local(self, path: str, request: web.BaseRequest) -> web.StreamResponse | None:
        """Return the response of a page that the cloud does not have, ``None`` for other paths."""
        for local in (self._connect, self._event_sources, self._dashboard):
            if local is not None and local.serves(path):
                return await local.answer(request)
        if path == "/_local/docs":
            return web.Response(text=_api_docs(), content_type="text/html")
        if path in ("/_local", "/_local/"):
            return await self._status_page()
        return None

    async def _status_page(self) -> web.Response:
        sources = await self._event_sources.status() if self._event_sources else {}
        websocket = {"websocket": self._websocket.status()} if self._websocket else {}
        return web.json_response(
            {**self._status(), "functions": self._service.status(), **websocket, **sources},
            dumps=lambda value: json.dumps(value, indent=2) + "\n",
        )

    async def _serve_route(self, request: web.BaseRequest) -> web.Response:
        received = Request(
            method=request.method,
            target=request.raw_path,
            headers=list(request.headers.items()),
            body=b"",
            source_ip=(request.remote or "127.0.0.1"),
            protocol=f"HTTP/{request.version.major}.{request.version.minor}",
        )
        match = self._routes.match(received.method, received.path)
        response, problem = await self._respond(request, received, match)
        self._log_access(received, match, response, problem)
        web_response = web.Response(status=response.status, body=response.body)
        for name, value in response.headers:
            web_response.headers.add(name, value)
        web_response.headers["apigw-requestid"] = received.id
        if response.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            web_response.force_close()  # the rest of the body need not be read
        return web_response

    async def _respond(
        self, request: web.BaseRequest, received: Request, match: Match | None
    ) -> tuple[Response, str]:
        """Return the response, and the problem of the integration or ``""``."""
        if _size_of_head(received) > HEADER_LIMIT:
            return Response.of_gateway(431, "Request Header Fields Too Large"), ""
        if match is None:
            return Response.of_gateway(404, "Not Found"), ""
        if not self._throttles.take(match.route.key):
            return Response.of_gateway(429, "Too Many Requests"), ""
        complete_body = await body.read(request, BODY_LIMIT)
        if complete_body is None:
            return Response.of_gateway(413, "Request Too Long"), ""
        complete = dataclasses.replace(received, body=complete_body)
        event = to_event(complete, match.route.key, match.parameters)
        try:
            async with asyncio.timeout(self._limit_s):
                result = await self._service.invoke(match.route.function, event, received.trace_id)
        except TimeoutError:
            return Response.of_gateway(503, "Service Unavailable"), "integration timed out"
        except Throttled:
            return Response.of_gateway(503, "Service Unavailable"), "the function is throttled"
        except PayloadTooLarge:
            return Response.of_gateway(413, "Request Too Long"), "the event is over 6 MB"
        if result.error is not None:
            return Response.of_gateway(500, "Internal Server Error"), result.error
        try:
            return to_response(result.payload), ""
        except MalformedResponse as error:
            return Response.of_gateway(500, "Internal Server Error"), f"malformed: {error}"

    def _log_access(
        self, request: Request, match: Match | None, response: Response, problem: str
    ) -> None:
        latency_ms = round((time.time() - request.received) * 1000)
        route_key = match.route.key if match else "-"
        line = f"{response.status} {route_key} {latency_ms} ms {problem}"
        self._logs.write("gateway", line, echo=True)
        self._logs.write("gateway", _trace_line(request, route_key, response), echo=False)
        if self._api.access_log_format is not None:
            values = {
                "requestId": request.id,
                "routeKey": route_key,
                "status": str(response.status),
                "responseLatency": str(latency_ms),
                "responseLength": str(len(response.body)),
                "integrationErrorMessage": problem or "-",
                "requestTimeEpoch": str(int(request.received)),
                "httpMethod": request.method,
                "identity.sourceIp": request.source_ip,
                "protocol": request.protocol,
                "stage": "$default",
            }
            access_log.write(self._logs, self._api.access_log_format, values)


def _trace_line(request: Request, route_key: str, response: Response) -> str:
    """Return the line of the request that begins a trace, with the id that the function took."""
    headers = dict(response.headers)
    position = tracing.Position.parse(headers.get("traceparent"))
    content = {
        "message": "request",
        "trace_id": position.trace_id if position else tracing.xray_root(request.trace_id),
        "request_id": headers.get("x-request-id"),
        "route": route_key,
        "status": response.status,
        "started_at": tracing.iso(request.received),
        "ms": round((time.time() - request.received) * 1000, 3),
        "bytes": len(response.body),
    }
    return json.dumps(content, separators=(",", ":"))


def _size_of_head(request: Request) -> int:
    values = sum(len(value.encode()) for _, value in request.headers)
    return len(f"{request.method} {request.target} {request.protocol}".encode()) + values


def _api_docs() -> str:
    from local.gateway import api_docs  # imports Powertools' resolver: not at every start

    return api_docs.page()
