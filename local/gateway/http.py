"""API Gateway on a laptop: the HTTP API of the template in front of its functions.

Also ``GET /_local/``: what runs, for people, the page of :mod:`local.dev_connect`, and the
controls of :mod:`local.event_sources`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

from local.functions.service import PayloadTooLarge, Throttled
from local.gateway.events import MalformedResponse, Request, Response, to_event, to_response
from local.gateway.routing import Match, Routes

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from local.dev_connect.page import ConnectPage
    from local.event_sources.service import EventSources
    from local.functions.logs import Logs
    from local.functions.service import LambdaService
    from local.template.resources import HttpApi, Template

# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
BODY_LIMIT = 10 * 1024 * 1024
HEADER_LIMIT = 10_240
INTEGRATION_LIMIT_S = 30

_ACCESS_LOG = "access"


class _Unquoted(logging.Filter):
    """A request that is no HTTP is named by its error: aiohttp would quote whatever it holds."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.msg, record.args = "not HTTP: %s", (type(error).__name__,)
            record.exc_info = None
        return True


_LOGGER = logging.getLogger("local.gateway")
_LOGGER.addFilter(_Unquoted())


class TokenBucket:
    """A throttle: *rate* requests a second, *burst* at once."""

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._at = float(burst), clock()

    def take(self) -> bool:
        """Spend a token if there is one."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


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
        integration_limit_s: float = INTEGRATION_LIMIT_S,
    ) -> None:
        self._routes = Routes(template.routes)
        self._api: HttpApi = template.api
        self._service = service
        self._logs = logs
        self._status = status
        self._connect = connect
        self._event_sources = event_sources
        self._limit_s = integration_limit_s
        self._throttles: dict[str, TokenBucket] = {}
        self._runner: web.ServerRunner | None = None

    async def start(self, listeners: Iterable[socket.socket]) -> None:
        """Serve on *listeners*."""
        server = web.Server(
            self._serve,
            access_log=None,
            logger=_LOGGER,
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=2)
        await self._runner.setup()
        for listener in listeners:
            await web.SockSite(self._runner, listener).start()

    async def stop(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if self._connect is not None and self._connect.serves(path):
            return await self._connect.answer(request)
        if self._event_sources is not None and self._event_sources.serves(path):
            return await self._event_sources.answer(request)
        if path == "/_local/docs":
            return web.Response(text=_api_docs(), content_type="text/html")
        if path in ("/_local", "/_local/"):
            sources = await self._event_sources.status() if self._event_sources else {}
            return web.json_response(
                {**self._status(), "functions": self._service.status(), **sources},
                dumps=lambda value: json.dumps(value, indent=2) + "\n",
            )
        received = Request(
            method=request.method,
            target=request.raw_path,
            headers=list(request.headers.items()),
            body=b"",
            source_ip=(request.remote or "127.0.0.1"),
            protocol=f"HTTP/{request.version.major}.{request.version.minor}",
        )
        match = self._routes.match(received.method, received.path)
        response, problem = await self._answer(request, received, match)
        self._log_access(received, match, response, problem)
        answer = web.Response(status=response.status, body=response.body)
        for name, value in response.headers:
            answer.headers.add(name, value)
        answer.headers["apigw-requestid"] = received.id
        if response.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            answer.force_close()  # the rest of the body is not worth reading
        return answer

    async def _answer(
        self, request: web.BaseRequest, received: Request, match: Match | None
    ) -> tuple[Response, str]:
        """The response, and what went wrong with the integration if something did."""
        if match is None:
            return Response.of_gateway(404, "Not Found"), ""
        if not self._throttle(match.route.key).take():
            return Response.of_gateway(429, "Too Many Requests"), ""
        body = await _body(request)
        if body is None:
            return Response.of_gateway(413, "Request Too Long"), ""
        complete = dataclasses.replace(received, body=body)
        event = to_event(complete, match.route.key, match.parameters)
        invocation = self._service.invoke(match.route.function, event, received.trace_id)
        try:
            result = await asyncio.wait_for(invocation, self._limit_s)
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

    def _throttle(self, route_key: str) -> TokenBucket:
        if route_key not in self._throttles:
            rate, burst = self._api.throttle_rate, self._api.throttle_burst
            self._throttles[route_key] = TokenBucket(
                10_000 if rate is None else rate, 5_000 if burst is None else burst
            )
        return self._throttles[route_key]

    def _log_access(
        self, request: Request, match: Match | None, response: Response, problem: str
    ) -> None:
        latency_ms = round((time.time() - request.received) * 1000)
        route_key = match.route.key if match else "-"
        self._logs.write("gateway", f"{response.status} {route_key} {latency_ms} ms {problem}")
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
            line = re.sub(
                r"\$context\.([A-Za-z.]+[A-Za-z])",
                lambda variable: values.get(variable[1], "-"),
                self._api.access_log_format,
            )
            self._logs.write(_ACCESS_LOG, line, echo=False)


async def _body(request: web.BaseRequest) -> bytes | None:
    """The whole body; ``None`` when it is over the limit."""
    length = request.content_length
    if length is not None and length > BODY_LIMIT:
        return None
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > BODY_LIMIT:
            return None
    return bytes(body)


def _api_docs() -> str:
    from local.gateway import api_docs  # brings Powertools' resolver along: not at every start

    return api_docs.page()
