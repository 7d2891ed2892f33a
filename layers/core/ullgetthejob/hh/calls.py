"""How calls to hh.ru's API are made: paced, bounded in time, every response classified."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from ullgetthejob.hh import responses
from ullgetthejob.hh.error_parsing import Received, parse, parse_token, values_of
from ullgetthejob.hh.errors import (
    HHAppTokenMissing,
    HHError,
    HHForbidden,
    HHTokenRefused,
    HHUnavailable,
)
from ullgetthejob.hh.methods import path_without_ids
from ullgetthejob.hh.pacer import slot_missing
from ullgetthejob.hh.pause_policy import PausePolicy
from ullgetthejob.platform import time_limit, tls, tracing
from ullgetthejob.platform.telemetry import count, logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ullgetthejob.hh.app_token import TokenSource
    from ullgetthejob.hh.pacer import Pacer

_Model = TypeVar("_Model")
_Content = TypeVar("_Content")

TIMEOUT_S = 5.0  # of a read
CONNECT_TIMEOUT_S = 2.0
# Of a call as a whole: a body that trickles in would pass any timeout between two reads.
CALL_LIMIT_S = 8.0
MIN_CALL_S = 2.0  # a request with less time left makes no call
MAX_RESPONSE_BYTES = 16 * 1024 * 1024  # /areas is 2.8 MB
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Calls:
    """Calls to the API at *base_url*, each in its slot of the pacer.

    Raises the errors of :mod:`ullgetthejob.hh.errors`, never those of httpx, JSON or the pacer;
    errors of a token source pass through.
    """

    _token: TokenSource  # the application's

    def __init__(
        self,
        base_url: str,
        *,
        user_agent: str,
        pacer: Pacer,
        exchange_pacer: Pacer | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            headers={"User-Agent": user_agent, "Accept": "application/json"},
            follow_redirects=False,
            verify=tls.context(),
            trust_env=False,
            transport=transport,
        )
        self._pacer = pacer
        self._exchange_pacer = exchange_pacer
        self._pause_policy = PausePolicy(pacer, exchange_pacer)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _write(
        self,
        token: TokenSource,
        method: str,
        path: str,
        reader: Callable[[Received], _Content],
        **request: Any,
    ) -> _Content:
        """Return the content of a write, repeated once with a renewed token if the token is
        refused: such a call has had no effect."""

        def write(access_token: str) -> _Content:
            received = self._call(method, path, headers=authorization(access_token), **request)
            content: _Content = self._parse(received, reader)
            return content

        sent = token.current()
        try:
            return write(sent)
        except HHTokenRefused as error:
            sent = token.renewed(sent, error.reason)
        return write(sent)

    def _grant(self, form: dict[str, str]) -> Any:
        """Return the content of ``POST /token``. Raises :class:`HHExchangesLimited` without a call
        while exchanges are paused."""
        if self._exchange_pacer is not None:
            self._exchange_pacer.wait(at_most_s=max(0.0, time_limit.remaining_s() - MIN_CALL_S))
        received = self._call("POST", "/token", data=form)
        return self._parse(received, partial(parse_token, grant=form["grant_type"]))

    def _get_with_token(
        self, path: str, query: Iterable[tuple[str, str]] = (), *, token: TokenSource | None = None
    ) -> Any:
        """Return the content of a GET; a refused token is renewed once and the call repeated."""
        source = token or self._token
        sent = source.current()
        try:
            return self._get(path, query, sent)
        except HHTokenRefused as error:
            sent = source.renewed(sent, error.reason)
        try:
            return self._get(path, query, sent)
        except HHTokenRefused as error:
            if source is not self._token:
                raise
            count("HhAppTokenMissing")
            raise HHAppTokenMissing(
                "hh.ru refuses Core's access token, the new one too", retry_after_s=300
            ) from error

    def _get(self, path: str, query: Iterable[tuple[str, str]], token: str) -> Any:
        received = self._call("GET", path, params=list(query), headers=authorization(token))
        return self._parse(received)

    def _call(self, method: str, path: str, **request: Any) -> Received:
        """Return hh.ru's response, good or bad. Raises :class:`HHUnavailable` without one,
        :class:`HHBusy` without a slot in time."""
        left_s = time_limit.remaining_s()
        if left_s < MIN_CALL_S:
            raise slot_missing("there is no time left for another call to hh.ru")
        with tracing.span("pace", "hh.ru"):
            self._pacer.wait(at_most_s=left_s - MIN_CALL_S)
        count("HhCalls")
        self._pause_policy.begin_call(method, path, request)
        try:
            with tracing.span("hh", f"{method} {path_without_ids(path)}") as span:
                received = self._send(method, path, **request)
                span.note(status=received.status, bytes=len(received.body))
                return received
        except (httpx.HTTPError, TimeoutError) as error:
            is_sent = not isinstance(error, NEVER_SENT)
            self._pause_policy.record_failure(is_connected=is_sent)
            logger.warning("hh.ru unreachable", error_type=type(error).__name__)
            unavailable = HHUnavailable("hh.ru does not answer at the moment")
            unavailable.may_have_acted = is_sent
            raise unavailable from error

    def _send(self, method: str, path: str, **request: Any) -> Received:
        limit_s = min(CALL_LIMIT_S, max(MIN_CALL_S, time_limit.remaining_s()))
        deadline = time.monotonic() + limit_s
        timeout = httpx.Timeout(min(TIMEOUT_S, limit_s), connect=CONNECT_TIMEOUT_S)
        body = bytearray()
        with self._http.stream(method, path, timeout=timeout, **request) as response:
            for chunk in response.iter_bytes():
                body += chunk
                if time.monotonic() > deadline:
                    raise TimeoutError
                if len(body) > MAX_RESPONSE_BYTES:
                    raise httpx.DecodingError("the response is too large")
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Received(response.status_code, headers, bytes(body), method, path)

    def _parse(self, received: Received, reader: Callable[[Received], Any] = parse) -> Any:
        """Return the content of a good response. Raises :class:`HHError` for a bad one, and pauses
        all callers through the pacer if it concerns hh.ru as a whole."""
        try:
            content = reader(received)
        except HHError as error:
            logger.warning(
                "hh.ru refused",
                status=received.status,
                hh_request_id=received.request_id,
                error_type=type(error).__name__,
                values=values_of(received),
            )
            if isinstance(error, HHForbidden):
                error.method, error.path = received.method, received.path
                error.is_missing = received.is_withdrawn
            self._pause_policy.record_error(error, received.method)
            raise
        self._pause_policy.record_success()
        return content


def read(reader: Callable[[Any], _Model], content: Any) -> _Model:
    """Return what *reader* finds in the content of a response. Raises :class:`HHUnavailable` for an
    unknown shape."""
    try:
        return reader(content)
    except responses.UNREADABLE as error:
        logger.error("hh.ru's response has an unknown shape", error_type=type(error).__name__)
        count("HhUnreadable")
        raise HHUnavailable("hh.ru's response cannot be read") from error


def authorization(token: str) -> dict[str, str]:
    """Return the header of a call with an access token."""
    return {"Authorization": f"Bearer {token}"}
