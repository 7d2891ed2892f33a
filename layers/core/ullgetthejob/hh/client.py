"""The client of hh.ru's API: paced, bounded in time, every answer classified.

One client an environment (:mod:`ullgetthejob.hh.environment`); ``transport=`` is the seam for
tests, as in httpx. Every call waits for its slot at the pacer. Ids are checked before they enter a
path.
"""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from ullgetthejob.hh import wire
from ullgetthejob.hh.app_token import AppToken
from ullgetthejob.hh.errors import (
    HHAppTokenMissing,
    HHBusy,
    HHError,
    HHMisconfigured,
    HHNotFound,
    HHRegionBlocked,
    HHTokenRefused,
    HHUnavailable,
    Received,
    parse,
)
from ullgetthejob.platform import tls
from ullgetthejob.platform.telemetry import count, logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ullgetthejob.hh.app_token import TokenSource
    from ullgetthejob.hh.models import SearchPage, VacancyDetail
    from ullgetthejob.hh.pacer import Pacer
    from ullgetthejob.hh.search_parameters import SearchParameters

_Model = TypeVar("_Model")

TIMEOUT = httpx.Timeout(5, connect=2)
# A call as a whole: a body that trickles would outlive any timeout between two reads.
CALL_LIMIT_S = 8.0
MAX_ANSWER_BYTES = 16 * 1024 * 1024  # /areas is 2.8 MB
VACANCY_ID = re.compile(r"[0-9]{1,19}")
DICTIONARY = re.compile(r"/[a-z_]{1,40}")
FAILURES_BEFORE_PAUSE = 3
PAUSE_AFTER_FAILURES_S = 5
PAUSE_AFTER_429_S = 1


class HHClient:
    """Calls to the API at *base_url* (``https://api.hh.ru``).

    *user_agent*: ``Name/1.0 (mail)``, which hh.ru demands. All methods raise the errors of
    :mod:`ullgetthejob.hh.errors` and no others of httpx's or JSON's.
    """

    def __init__(
        self,
        base_url: str,
        *,
        user_agent: str,
        pacer: Pacer,
        token: TokenSource | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            headers={"User-Agent": user_agent, "Accept": "application/json"},
            timeout=TIMEOUT,
            follow_redirects=False,
            verify=tls.context(),
            trust_env=False,
            transport=transport,
        )
        self._pacer = pacer
        self._token = token or AppToken(self.exchange_application)
        self._failures = 0

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def search(self, parameters: SearchParameters) -> SearchPage:
        """One page of ``GET /vacancies``."""
        answer = self._get_with_token("/vacancies", parameters.query())
        page = _read(wire.search_page, answer)
        if page.unreadable:
            logger.error("vacancies of another shape left out", number=page.unreadable)
            count("HhVacanciesUnreadable", page.unreadable)
        return page

    def vacancy(self, vacancy_id: str) -> VacancyDetail:
        """``GET /vacancies/{id}``. Raises :class:`HHNotFound` also for what is no vacancy id."""
        if not VACANCY_ID.fullmatch(vacancy_id):
            raise HHNotFound("there is no such job")
        return _read(wire.vacancy_detail, self._get_with_token(f"/vacancies/{vacancy_id}", ()))

    def dictionary(self, path: str, etag: str | None = None) -> tuple[str | None, Any]:
        """A dictionary with its ETag; content ``None`` when *etag* is still the newest."""
        if not DICTIONARY.fullmatch(path):
            raise ValueError(f"not a dictionary: {path!r}")
        received = self._call("GET", path, headers={"If-None-Match": etag} if etag else {})
        return received.headers.get("etag", etag), self._understand(received)

    def exchange_application(self, client_id: str, client_secret: str) -> str:
        """A new application token by ``POST /token``; the previous one dies (hh.ru: docs).

        Raises :class:`HHAppTokenMissing` when the last one is younger than five minutes,
        :class:`HHMisconfigured` when hh.ru does not know the application.
        """
        grant = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
        }
        received = self._call("POST", "/token", data=grant)
        answer = _token_answer(received)
        if received.status == 200 and isinstance(answer.get("access_token"), str):
            return str(answer["access_token"])
        if " ".join(str(answer.get("error_description")).split()) == "app token refresh too early":
            raise HHAppTokenMissing(
                "hh.ru gives a new access token every five minutes", retry_after_s=300
            )
        if answer.get("error") == "invalid_client":
            raise HHMisconfigured(
                "hh.ru does not know Core's application: HH_CLIENT_ID or HH_CLIENT_SECRET is wrong",
                retry_after_s=300,
            )
        self._understand(received)
        raise HHUnavailable("hh.ru gave no access token")

    def _get_with_token(self, path: str, query: Iterable[tuple[str, str]]) -> Any:
        """A refused token is renewed once and the call made once more."""
        token = self._token.current()
        try:
            return self._get(path, query, token)
        except HHTokenRefused:
            token = self._token.renewed(token)
        try:
            return self._get(path, query, token)
        except HHTokenRefused as error:
            count("HhAppTokenMissing")
            raise HHAppTokenMissing(
                "hh.ru refuses Core's access token, the new one too", retry_after_s=300
            ) from error

    def _get(self, path: str, query: Iterable[tuple[str, str]], token: str) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        return self._understand(self._call("GET", path, params=list(query), headers=headers))

    def _call(self, method: str, path: str, **request: Any) -> Received:
        """What hh.ru answered, whatever it is. Raises :class:`HHUnavailable` when nothing came."""
        self._pacer.wait()
        count("HhCalls")
        try:
            return self._send(method, path, **request)
        except (httpx.HTTPError, TimeoutError) as error:
            self._failed()
            logger.warning("hh.ru unreachable", error_type=type(error).__name__)
            unavailable = HHUnavailable("hh.ru does not answer at the moment")
            never_sent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))
            unavailable.may_have_acted = not never_sent
            raise unavailable from error

    def _send(self, method: str, path: str, **request: Any) -> Received:
        ends = time.monotonic() + CALL_LIMIT_S
        body = bytearray()
        with self._http.stream(method, path, **request) as response:
            for chunk in response.iter_bytes():
                body += chunk
                if time.monotonic() > ends:
                    raise TimeoutError
                if len(body) > MAX_ANSWER_BYTES:
                    raise httpx.DecodingError("the answer is too large")
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Received(response.status_code, headers, bytes(body))

    def _understand(self, received: Received) -> Any:
        """The content of a good answer. What a bad one says about hh.ru's state is told to every
        caller through the pacer."""
        try:
            content = parse(received)
        except HHError as error:
            logger.warning(
                "hh.ru refused",
                status=received.status,
                hh_request_id=received.request_id,
                error_type=type(error).__name__,
            )
            self._spread(error)
            raise
        self._failures = 0
        return content

    def _spread(self, error: HHError) -> None:
        count(type(error).__name__)
        if isinstance(error, HHUnavailable):
            self._failed()
            return
        self._failures = 0
        if isinstance(error, HHRegionBlocked):
            self._pacer.pause("region_blocked", error.retry_after_s)
        elif isinstance(error, HHBusy):
            self._pacer.pause("busy", PAUSE_AFTER_429_S)

    def _failed(self) -> None:
        """Several failures in a row: hh.ru is known to be down, for everybody, for a while."""
        self._failures += 1
        if self._failures >= FAILURES_BEFORE_PAUSE:
            self._pacer.pause("unavailable", PAUSE_AFTER_FAILURES_S)


def _read(reader: Callable[[Any], _Model], answer: Any) -> _Model:
    try:
        return reader(answer)
    except wire.UNREADABLE as error:
        logger.error("hh.ru's answer has another shape", error_type=type(error).__name__)
        count("HhUnreadable")
        raise HHUnavailable("hh.ru's answer cannot be read") from error


def _token_answer(received: Received) -> dict[str, Any]:
    """The token endpoint speaks RFC 6749, without ``errors[]``; anything else is an empty dict."""
    try:
        answer = json.loads(received.body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
