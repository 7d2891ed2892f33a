"""A client of Core's HTTP API that authenticates as the BFF."""

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

TIMEOUT_S = 35  # longer than Core's slowest response


class CoreRefused(Exception):
    """Core returned an error. *status*: the HTTP status, 503 when it did not respond at all."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.status = status


class Core:
    """A client of Core at *origin*, with the service's secret, or with a person's JWT alone.

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
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._session is not None  # noqa: S101  the context was entered
        await self._session.close()

    async def login_url(self, session_id: str) -> str:
        """Return the address at which the person logs in at hh.ru."""
        reply = await self._call("GET", "/auth/hh/redirect", query={"session_id": session_id})
        return str(reply["url"])

    async def finish_login(self, session_id: str, returned: Mapping[str, str]) -> str:
        """Finish the login and return the JWT. *returned*: the query of hh.ru's redirect."""
        query = {**returned, "session_id": session_id}
        return str((await self._call("GET", "/auth/hh/callback", query=query))["jwt"])

    async def account(self, user_id: str, jwt: str | None = None) -> dict[str, Any]:
        """Return the account and connection of a user; as the service without a *jwt*."""
        return await self._call("GET", f"/api/accounts/{user_id}", jwt=jwt)

    async def resumes(self, jwt: str) -> list[dict[str, Any]]:
        """Return the person's resumes, in short form."""
        return list((await self._call("GET", "/api/hh/resumes", jwt=jwt))["items"])

    async def save_search(
        self, user_id: str, search: dict[str, Any], name: str, interval_s: int
    ) -> dict[str, Any]:
        """Create the user's saved search for these filters unless it exists, and return it."""
        body = {"user_id": user_id, "search": search, "name": name, "interval_seconds": interval_s}
        return await self._call("POST", "/api/schedules", body=body)

    async def search(self, text: str, per_page: int) -> dict[str, Any]:
        """Return a page of jobs at hh.ru: ``jobs`` and ``found``."""
        return await self._call(
            "POST", "/api/jobs/search", body={"text": text, "per_page": per_page}
        )

    async def submit(self, user_id: str, vacancy_id: str, letter: str) -> dict[str, Any]:
        """Hand in the user's application to a vacancy; returns ``application_id`` and ``state``."""
        body = {"user_id": user_id, "job_external_id": vacancy_id, "cover_letter": letter}
        return await self._call("POST", "/api/applications/submit", body=body)

    async def reply(
        self, user_id: str, application_id: str, text: str, key: str | None
    ) -> dict[str, Any]:
        """Reply to the employer of the user's application; returns ``message`` and ``findings``.
        *key*: of the press of the button."""
        body = {"user_id": user_id, "text": text, "idempotency_key": key}
        return await self._call("POST", f"/api/applications/{application_id}/messages", body=body)

    async def stats(self, user_id: str, by: str) -> dict[str, Any]:
        """Return the funnel of the user's last 90 days, as a whole and by group."""
        return await self._call("GET", "/api/stats", query={"user_id": user_id, "by": by})

    async def silent(self, user_id: str) -> dict[str, Any]:
        """Return the user's latest applications without an answer."""
        return await self._call("GET", "/api/stats/silent", query={"user_id": user_id})

    async def ticket(self, user_id: str) -> dict[str, Any]:
        """Return a ticket for the user's WebSocket: ``ticket``, ``url``, ``expires_at``."""
        return await self._call("POST", "/api/realtime/ticket", body={"user_id": user_id})

    async def handoff_link(self, user_id: str) -> str:
        """Return a link to the page on which the user does what is left to them."""
        return str((await self._call("POST", f"/api/accounts/{user_id}/handoff-link"))["url"])

    async def go_on_after_captcha(self, user_id: str, jwt: str) -> None:
        """Report that the person has solved hh.ru's captcha."""
        await self._call("POST", f"/api/accounts/{user_id}/resume", jwt=jwt)

    async def disconnect(self, jwt: str) -> None:
        """Disconnect the person, which invalidates their JWTs."""
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
        headers = self._service_headers(raw) if jwt is None else {"Authorization": f"Bearer {jwt}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with self._session.request(
                method, self._origin + path, params=query, data=raw or None, headers=headers
            ) as response:
                reply: dict[str, Any] = await response.json(content_type=None)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            error_type = type(error).__name__
            raise CoreRefused(503, error_type, "Core gave no answer that can be read") from None
        if status not in (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED):
            # Errors of API Gateway itself hold a message alone.
            code = str(reply.get("error", f"status {status}"))
            raise CoreRefused(status, code, str(reply.get("message", "Core refused")))
        return reply

    def _service_headers(self, body: bytes) -> dict[str, str]:
        signature = hmac.new(self._secret.encode(), body, hashlib.sha256).hexdigest()
        return {"X-Core-Secret": self._secret, "X-Signature": signature}
