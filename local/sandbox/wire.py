"""The middleware of every call: headers, ids, the error envelope, the limit, and faults."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sqlite3
import time
from typing import TYPE_CHECKING

from aiohttp import web

from local import browsers
from local.disk import is_full_error
from local.sandbox import errors
from local.sandbox.errors import ApiError, TokenError
from local.sandbox.oauth import authorize, tokens
from local.sandbox.state import SANDBOX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from local.sandbox.faults import Fault
    from local.sandbox.state import Sandbox

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CONTROL_PREFIX = "/_sandbox"
AGENT_REQUIRED_TEXT = "1.53.0"  # of hh.ru's documents: the token endpoint's own text since then
GZIP_FROM_BYTES = 1_000
# User agents that hh.ru refuses: the defaults of common clients and the sample in its own manual.
BLACKLIST = (
    "curl/", "wget/", "python-requests/", "python-httpx/", "python-urllib", "python/", "aiohttp/",
    "go-http-client/", "java/", "okhttp/", "postmanruntime/", "axios/", "node-fetch", "libwww-perl",
    "myapp/1.0 (my-app-feedback@example.com)",
)  # fmt: skip
HEADERS = {
    "Server": "ddos-guard",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": (
        "Location, ETag, Date, Expires, Cache-Control, Content-Type, X-Request-ID"
    ),
}
EDGE_PAGE = (
    "<!DOCTYPE html><html><head><title>DDoS-Guard</title></head><body><h1>403 Forbidden</h1>"
    "<p>Checking your browser before accessing hh.ru</p><!--" + "." * 7_900 + "--></body></html>"
)
CLOSED_PAGE = "<html><head><title>Closed</title></head><body>Closed</body></html>"
LEGAL_PAGE = "<html><body><h1>451 Unavailable For Legal Reasons</h1></body></html>"
VPN_PAGE = (
    '<!DOCTYPE html><html lang="ru"><head><title>vpncheeck</title></head><body>'
    '<div data-page="/vpncheeck"><p>Отключите VPN, чтобы продолжить</p>'
    '<div class="vacancy-serp" data-total="0"></div></div></body></html>'
)
GATEWAY_PAGE = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


def check_user_agent(request: web.Request) -> None:
    """Raise 400 for an absent or blacklisted agent. ``HH-User-Agent`` wins over ``User-Agent``."""
    agent = request.headers.get("HH-User-Agent", request.headers.get("User-Agent", "")).strip()
    is_of_tokens = (request.method, request.path) == ("POST", "/token")
    if not agent and is_of_tokens and request.app[SANDBOX].era.follows(AGENT_REQUIRED_TEXT):
        raise TokenError(400, "invalid_request", "user agent required")
    if not agent:
        raise errors.bad_user_agent("unset")
    if agent.lower().startswith(BLACKLIST):
        raise errors.bad_user_agent("blacklisted")


def _page(status: int, html: str) -> web.Response:
    return web.Response(status=status, text=html, content_type="text/html")


def _empty_page(request: web.Request) -> web.Response:
    number = request.query.get("per_page", "20")
    return web.json_response(
        {
            "items": [],
            "found": 0,
            "pages": 0,
            "page": 0,
            "per_page": int(number) if number.isascii() and number.isdigit() else 20,
            "clusters": None,
            "arguments": None,
            "fixes": None,
            "suggests": None,
            "alternate_url": f"https://hh.ru/search/vacancy?{request.query_string}",
        }
    )


def _fault_response(fault: Fault, request: web.Request, request_id: str) -> web.Response | None:
    """Return the response in place of the right one, ``None`` for a fault that needs that one."""
    name = {
        "too_many_requests": (429, "too_many_requests", "Too Many Requests"),
        "server_error": (500, "server_error", "Internal Server Error"),
        "service_unavailable": (503, "service_unavailable", "Service Unavailable"),
    }.get(fault.kind)
    if name is not None:
        refusal = ApiError(name[0], name[1], description=name[2])
        return web.json_response(refusal.body(request_id), status=refusal.status)
    if fault.kind == "captcha":
        raise errors.captcha_required(
            has_null_fallback=not request.app[SANDBOX].era.follows(tokens.FORBIDDEN_WITH_VALUE)
        )
    if fault.kind == "exchange_limit":
        raise TokenError(400, "invalid_grant", "force exchange limit exceeded")
    if fault.kind == "token_revoked":
        raise errors.oauth("token_revoked")
    if fault.kind == "errors_with_200":
        body = errors.bad_argument("employment", description="bad argument").body(request_id)
        return web.json_response(body)
    if fault.kind == "withdrawn":
        return _withdrawn(fault, request_id)
    if fault.kind == "empty":
        return _empty_page(request)
    pages = {
        "bad_gateway": (502, GATEWAY_PAGE),
        "edge_block": (403, EDGE_PAGE),
        "legal_block": (451, LEGAL_PAGE),
        "vpn_check": (200, VPN_PAGE),
    }
    return _page(*pages[fault.kind]) if fault.kind in pages else None


def _withdrawn(fault: Fault, request_id: str) -> web.Response:
    """Return the response of a method that hh.ru closed."""
    if fault.body == "html":
        return _page(fault.status, CLOSED_PAGE)
    if fault.body == "empty":
        return web.Response(status=fault.status)
    refusal = ApiError(fault.status, {404: "not_found", 405: "method_not_allowed"}.get(
        fault.status, "closed_since_yesterday"), description="Closed")  # fmt: skip
    return web.json_response(refusal.body(request_id), status=fault.status)


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # is never sent


def _with_first_item_repeated(whole: web.StreamResponse) -> web.StreamResponse:
    """Return a page whose last vacancy repeats its first, as while vacancies move between pages."""
    body = whole.body if isinstance(whole, web.Response) else None
    content = json.loads(body) if isinstance(body, bytes) else {}
    if len(content.get("items", ())) < 2:
        return whole
    content["items"][-1] = content["items"][0]
    return web.json_response(content)


async def _truncated(request: web.Request, whole: web.StreamResponse) -> web.StreamResponse:
    """Send the first half of an answer and end the connection."""
    body = whole.body if isinstance(whole, web.Response) else None
    half = web.StreamResponse(status=whole.status, headers=whole.headers)
    half.headers.popall("Content-Length", None)
    half.enable_chunked_encoding()
    with contextlib.suppress(ConnectionResetError):  # the client may have disconnected
        await half.prepare(request)
        await half.write(body[: len(body) // 2] if isinstance(body, bytes) else b"{")
    # Let the half be sent before the connection ends.
    await asyncio.sleep(0.05)
    _hang_up(request)
    return half


async def _respond(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Return the response without faults, or raise hh.ru's refusal."""
    if request.path == authorize.PATH:  # the site, for browsers: not the API
        return await handler(request)
    sandbox = request.app[SANDBOX]
    check_user_agent(request)
    if not sandbox.limit.allows(request.remote or ""):
        raise errors.too_many_requests()
    return await handler(request)


async def _with_envelope(
    request: web.Request, handler: Handler, request_id: str
) -> web.StreamResponse:
    """Return the handler's response, with refusals in hh.ru's envelope."""
    try:
        try:
            return await handler(request)
        except web.HTTPNotFound:
            raise errors.not_found() from None
        except web.HTTPMethodNotAllowed:
            raise errors.method_not_allowed() from None
        except (web.HTTPRequestEntityTooLarge, UnicodeDecodeError):
            raise ApiError(400, "bad_request", description="Bad Request") from None
    except ApiError as refusal:
        return web.json_response(refusal.body(request_id), status=refusal.status)
    except TokenError as refusal:
        return web.json_response(refusal.body(), status=refusal.status)


async def _with_faults(
    request: web.Request, handler: Handler, request_id: str, matched: list[Fault]
) -> web.StreamResponse:
    slow = next((fault for fault in matched if fault.kind == "slow"), None)
    other = next((fault for fault in matched if fault.kind != "slow"), None)
    kind = other.kind if other else None
    response: web.StreamResponse | None = None
    try:
        if other is not None and kind != "drop":
            response = _fault_response(other, request, request_id)
        if response is None and kind != "drop":
            response = await _respond(request, handler)
    finally:
        if slow is not None:  # the call is executed: a client that times out cannot know
            await asyncio.sleep(slow.seconds)
    if response is None or kind == "lost":
        return _hang_up(request)
    if kind == "repeated_item":
        return _with_first_item_repeated(response)
    return await _truncated(request, response) if kind == "truncated" else response


def _count(
    sandbox: Sandbox, request: web.Request, status: int, request_id: str, matched: list[Fault]
) -> None:
    resource = request.match_info.route.resource
    sandbox.calls[f"{request.method} {resource.canonical if resource else '(none)'}"] += 1
    if any(fault.kind in ("drop", "lost") for fault in matched):
        status = 0  # no response was sent
    sandbox.statuses[status] += 1
    sandbox.recent.append(
        {
            "at": sandbox.clock.now().isoformat(),
            "method": request.method,
            "path": request.path,
            "query": request.query_string,
            "status": status,
            "request_id": request_id,
            "user_agent": request.headers.get("HH-User-Agent", request.headers.get("User-Agent")),
            "faults": [fault.kind for fault in matched],
        }
    )


def _finish(request: web.Request, response: web.StreamResponse) -> None:
    """Compress a long body and send every body in chunks, as hh.ru's edge does."""
    response.headers.update(HEADERS)
    body = response.body if isinstance(response, web.Response) else None
    if not isinstance(body, bytes) or not body or request.method == "HEAD":
        return
    if len(body) >= GZIP_FROM_BYTES and "gzip" in request.headers.get("Accept-Encoding", ""):
        response.enable_compression(web.ContentCoding.gzip)
    if request.version >= (1, 1):
        response.enable_chunked_encoding()


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Handle every call, with 507 where the disk is full."""
    try:
        return await _handle(request, handler)
    except (OSError, sqlite3.Error) as error:
        if not is_full_error(error):
            raise
        request.app[SANDBOX].store.roll_back()
        return web.json_response({"error": "the disk under DATA_DIR is full"}, status=507)


async def _handle(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Return hh.ru's response, or that of a control route.

    Pages of other sites may not call the control routes and the authorize page; the API itself may
    be called from any origin, as hh.ru's.
    """
    is_protected = request.path.startswith(CONTROL_PREFIX) or request.path == authorize.PATH
    if is_protected and (refused := browsers.refusal(request.method, request.headers)) is not None:
        return web.json_response({"error": refused}, status=403)
    if request.path == CONTROL_PREFIX or request.path.startswith(CONTROL_PREFIX + "/"):
        return await handler(request)
    sandbox = request.app[SANDBOX]
    request_id = f"{time.time_ns() // 1_000_000}{secrets.token_hex(10)}"
    if request.method == "OPTIONS":
        allowed = {
            "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, HEAD, OPTIONS",
            "Access-Control-Allow-Headers": "Authorization, Content-Type, HH-User-Agent",
        }
        return web.Response(headers={**HEADERS, **allowed, "X-Request-ID": request_id})
    form = {}
    if sandbox.faults.need_forms and request.method == "POST":
        form = dict(await request.post())
    matched = sandbox.faults.match_faults(
        request.path,
        method=request.method,
        with_token="Authorization" in request.headers,
        form=form,
        page=request.query.get("page", ""),
    )
    request["faults"] = matched

    async def inner(request: web.Request) -> web.StreamResponse:
        return await _with_faults(request, handler, request_id, matched)

    response = await _with_envelope(request, inner, request_id)
    _count(sandbox, request, response.status, request_id, matched)
    if not response.prepared:
        response.headers["X-Request-ID"] = request_id
        _finish(request, response)
    return response
