"""Core's HTTP API as a BFF calls it."""

from __future__ import annotations

import hashlib
import hmac
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

TIMEOUT_S = 35  # more than Core takes for its slowest answer


class CoreRefused(Exception):
    """Core answered with an error. *status* is HTTP's (503 when it did not answer at all)."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.status = status


class Core:
    """Core at *origin*, called with the service's secret, or with a person's JWT alone.

    An asynchronous context manager. Every method raises :class:`CoreRefused`.
    """

    def __init__(self, origin: str, secret: str) -> None:
        self._origin = origin
        self._secret = secret
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Core:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._session is not None  # noqa: S101  the context was entered
        await self._session.close()

    async def login_url(self, session_id: str) -> str:
        """Where the person logs in at hh.ru."""
        answer = await self._call("GET", "/auth/hh/redirect", query={"session_id": session_id})
        return str(answer["url"])

    async def finish_login(self, session_id: str, returned: Mapping[str, str]) -> str:
        """The person's JWT. *returned* is what hh.ru sent the browser back with."""
        query = {**returned, "session_id": session_id}
        return str((await self._call("GET", "/auth/hh/callback", query=query))["jwt"])

    async def account(self, user_id: str, jwt: str | None = None) -> dict[str, Any]:
        """Whether the user is connected, and to what; asked by the service without a *jwt*."""
        return await self._call("GET", f"/api/accounts/{user_id}", jwt=jwt)

    async def resumes(self, jwt: str) -> list[dict[str, Any]]:
        """The person's resumes, short."""
        return list((await self._call("GET", "/api/hh/resumes", jwt=jwt))["items"])

    async def save_search(
        self, user_id: str, search: dict[str, Any], name: str, interval_s: int
    ) -> dict[str, Any]:
        """The user's saved search for these filters; made unless there is one."""
        body = {"user_id": user_id, "search": search, "name": name, "interval_seconds": interval_s}
        return await self._call("POST", "/api/schedules", body=body)

    async def ticket(self, user_id: str) -> dict[str, Any]:
        """What leads to the user's WebSocket: ``ticket``, ``url``, ``expires_at``."""
        return await self._call("POST", "/api/realtime/ticket", body={"user_id": user_id})

    async def go_on_after_captcha(self, user_id: str, jwt: str) -> None:
        """The person says that hh.ru's captcha is solved."""
        await self._call("POST", f"/api/accounts/{user_id}/resume", jwt=jwt)

    async def disconnect(self, jwt: str) -> None:
        """Give up the person's connection; their JWTs end with it."""
        await self._call("DELETE", "/api/hh/connection", jwt=jwt)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        jwt: str | None = None,
    ) -> dict[str, Any]:
        assert self._session is not None  # noqa: S101  the context was entered
        raw = b"" if body is None else json.dumps(body).encode()
        headers = self._proof(raw) if jwt is None else {"Authorization": f"Bearer {jwt}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with self._session.request(
                method, self._origin + path, params=query, data=raw or None, headers=headers
            ) as response:
                answer: dict[str, Any] = await response.json(content_type=None)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            what = type(error).__name__
            raise CoreRefused(503, what, "Core gave no answer that can be read") from None
        if status not in (HTTPStatus.OK, HTTPStatus.CREATED):
            # API Gateway's own refusals carry a message alone.
            code = str(answer.get("error", f"status {status}"))
            raise CoreRefused(status, code, str(answer.get("message", "Core refused")))
        return answer

    def _proof(self, body: bytes) -> dict[str, str]:
        signature = hmac.new(self._secret.encode(), body, hashlib.sha256).hexdigest()
        return {"X-Core-Secret": self._secret, "X-Signature": signature}
