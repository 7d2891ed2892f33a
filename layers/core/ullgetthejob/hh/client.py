"""The client of hh.ru's API: paced, bounded in time, every answer classified.

One client an environment (:mod:`ullgetthejob.hh.environment`); ``transport=`` is the seam for
tests, as in httpx. Every call waits for its slot at the pacer. Ids are checked before they enter a
path.
"""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from ullgetthejob.hh import oauth, responses
from ullgetthejob.hh.app_token import AppToken
from ullgetthejob.hh.error_parsing import (
    Received,
    parse,
    parse_application,
    parse_resume,
    parse_token,
    values_of,
)
from ullgetthejob.hh.error_rules import APPLICATION, CODE, REFRESH
from ullgetthejob.hh.errors import (
    HHAppTokenMissing,
    HHBusy,
    HHError,
    HHForbidden,
    HHNotFound,
    HHRegionBlocked,
    HHResumeNotFound,
    HHTokenRefused,
    HHUnavailable,
    HHVacancyNotFound,
)
from ullgetthejob.platform import tls
from ullgetthejob.platform.telemetry import count, logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ullgetthejob.hh.app_token import TokenSource
    from ullgetthejob.hh.models import Me, NegotiationPage, SearchPage, VacancyDetail
    from ullgetthejob.hh.oauth import TokenPair
    from ullgetthejob.hh.pacer import Pacer
    from ullgetthejob.hh.search_parameters import SearchParameters

_Model = TypeVar("_Model")
_Content = TypeVar("_Content")

TIMEOUT = httpx.Timeout(5, connect=2)
# A call as a whole: a body that trickles would outlive any timeout between two reads.
CALL_LIMIT_S = 8.0
MAX_RESPONSE_BYTES = 16 * 1024 * 1024  # /areas is 2.8 MB
VACANCY_ID = re.compile(r"[0-9]{1,19}")
RESUME_ID = re.compile(r"[0-9a-fA-F]{1,64}")  # hh.ru: about 38
MAX_RESUME_PAGES = 5  # hh.ru: a person has at most 20 resumes, which fit on one
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
CONNECTION_LOST = {"token_revoked", "bad_authorization"}
DICTIONARY = re.compile(r"/[a-z_]{1,40}")
FAILURES_BEFORE_PAUSE = 3  # of different things: one that always fails says nothing of the others
PAUSE_AFTER_FAILURES_S = 5
PAUSE_AFTER_429_S = 1


class HHClient:
    """Calls to the API at *base_url* (``https://api.hh.ru``).

    *user_agent*: ``Name/1.0 (mail)``, which hh.ru demands. *token* is the application's; calls on
    a person's behalf are given that person's, and raise :class:`HHTokenRefused` when hh.ru refuses
    it, the renewed one too. All methods raise the errors of :mod:`ullgetthejob.hh.errors` and no
    others of httpx's, JSON's or the pacer's; what a source of tokens raises passes through.
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
        # What the last call was for, and what calls have failed for since the last good one.
        self._asked_for = ""
        self._failed_for: set[str] = set()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def search(self, parameters: SearchParameters) -> SearchPage:
        """One page of ``GET /vacancies``."""
        answer = self._get_with_token("/vacancies", parameters.query())
        page = _read(responses.search_page, answer)
        if page.unreadable:
            logger.error("vacancies of another shape left out", number=page.unreadable)
            count("HhVacanciesUnreadable", page.unreadable)
        return page

    def vacancy(self, vacancy_id: str) -> VacancyDetail:
        """``GET /vacancies/{id}``. Raises :class:`HHVacancyNotFound`, also for what is no id."""
        missing = HHVacancyNotFound("hh.ru has no such vacancy")
        if not VACANCY_ID.fullmatch(vacancy_id):
            raise missing
        try:
            answer = self._get_with_token(f"/vacancies/{vacancy_id}")
        except HHNotFound as error:
            raise missing from error
        return _read(responses.vacancy_detail, answer)

    def dictionary(self, path: str, etag: str | None = None) -> tuple[str | None, Any]:
        """A dictionary with its ETag; content ``None`` when *etag* is still the newest."""
        if not DICTIONARY.fullmatch(path):
            raise ValueError(f"not a dictionary: {path!r}")
        received = self._call("GET", path, headers={"If-None-Match": etag} if etag else {})
        return received.headers.get("etag", etag), self._understand(received)

    def is_answering(self) -> bool:
        """Return whether hh.ru answers another call, when one thing has failed again and again."""
        try:
            self.dictionary("/dictionaries")
        except HHError:
            return False
        return True

    def exchange_application(self, client_id: str, client_secret: str) -> str:
        """A new application token by ``POST /token``; the previous one dies (hh.ru: docs).

        Raises :class:`HHAppTokenMissing` when the last one is younger than five minutes,
        :class:`HHMisconfigured` when hh.ru does not know the application.
        """
        form = {
            "grant_type": APPLICATION,
            "client_id": client_id,
            "client_secret": client_secret,
        }
        return _read(oauth.application_token, self._grant(form))

    def exchange_code(
        self,
        code: str,
        *,
        client_id: str,
        client_secret: str,
        redirect_uri: str,
        verifier: str | None = None,
    ) -> TokenPair:
        """A person's first pair, for the *code* that the person came back with; it works once.

        *redirect_uri* is the one of the login page; *verifier*, where a challenge was sent there.
        Raises :class:`HHLoginRefused`, :class:`HHMisconfigured`; after an :class:`HHUnavailable`
        that may have acted the code is spent, or not.
        """
        form = {
            "grant_type": CODE,
            "client_id": client_id,
            "client_secret": client_secret,
            "code": code,
            "redirect_uri": redirect_uri,
        }
        if verifier is not None:
            form["code_verifier"] = verifier
        return _read(oauth.token_pair, self._grant(form))

    def refresh(self, refresh_token: str) -> TokenPair:
        """The next pair; *refresh_token* works once, after its access token has expired.

        Raises :class:`HHRefreshRefused`, :class:`HHTokenNotExpired`; after an
        :class:`HHUnavailable` that may have acted the token is spent, or not.
        """
        # hh.ru: these two fields and no others; it knows the application by the token.
        form = {"grant_type": REFRESH, "refresh_token": refresh_token}
        return _read(oauth.token_pair, self._grant(form))

    def revoke(self, access_token: str) -> None:
        """``DELETE /token``: the pair is dead, as is one that hh.ru does not know any more.

        Raises :class:`HHTokenRefused` for an expired token: its refresh token still lives.
        """
        try:
            self._understand(self._call("DELETE", "/token", headers=_bearing(access_token)))
        except HHTokenRefused as error:
            if error.reason not in CONNECTION_LOST:
                raise

    def me(self, token: TokenSource | str) -> Me:
        """``GET /me``: whose *token* it is."""
        if isinstance(token, str):
            return _read(responses.me, self._get("/me", (), token))
        return _read(responses.me, self._get_with_token("/me", token=token))

    def resumes(self, token: TokenSource) -> list[dict[str, Any]]:
        """All of ``GET /resumes/mine``, as hh.ru gives them."""
        items, pages = _read(
            responses.resume_page, self._get_with_token("/resumes/mine", token=token)
        )
        for page in range(1, min(pages, MAX_RESUME_PAGES)):
            query = [("page", str(page))]
            answer = self._get_with_token("/resumes/mine", query, token=token)
            items += _read(responses.resume_page, answer)[0]
        return items

    def resume(self, token: TokenSource, resume_id: str) -> dict[str, Any]:
        """``GET /resumes/{id}`` as its owner sees it, as hh.ru gives it.

        Raises :class:`HHResumeNotFound` also for another's, and for what is no resume's id.
        """
        with _resume_missing(resume_id):
            answer = self._get_with_token(f"/resumes/{resume_id}", token=token)
        return _read(responses.resume, answer)

    def apply(
        self, token: TokenSource, *, vacancy_id: str, resume_id: str, letter: str | None
    ) -> str | None:
        """``POST /negotiations``: the negotiation's id, ``None`` where hh.ru does not say it.

        Not repeatable, and never repeated here: after an error that ``may_have_acted`` the
        application may be there. Raises :class:`HHApplyRefused` where hh.ru says no.
        """
        form = {"vacancy_id": vacancy_id, "resume_id": resume_id}
        if letter:
            form["message"] = letter
        return self._write(token, "POST", "/negotiations", parse_application, data=form)

    def may_create_resume(self, token: TokenSource) -> bool:
        """Whether the person may have one resume more (hh.ru: 20 at most)."""
        answer = self._get_with_token("/resumes/creation_availability", token=token)
        return _read(responses.creation_is_available, answer)

    def create_resume(
        self, token: TokenSource, body: dict[str, Any], *, source_resume_id: str
    ) -> str | None:
        """``POST /resumes``: the id of a copy of a resume with *body* over it, ``None`` where
        hh.ru does not say it. Not published, and not to be seen for some seconds.

        Not repeatable, and never repeated here: after an error that ``may_have_acted`` the resume
        may be there. Raises :class:`HHResumeRefused`, :class:`HHResumeNotFound` for the source.
        """
        source = {"source_resume_id": source_resume_id}
        with _resume_missing(source_resume_id):
            return self._write(token, "POST", "/resumes", parse_resume, json=body, params=source)

    def update_resume(self, token: TokenSource, resume_id: str, body: dict[str, Any]) -> None:
        """``PUT /resumes/{id}``: what *body* does not bring stays. Raises as :meth:`create_resume`
        does."""
        with _resume_missing(resume_id):
            self._write(token, "PUT", f"/resumes/{resume_id}", parse_resume, json=body)

    def publish_resume(self, token: TokenSource, resume_id: str) -> None:
        """``POST /resumes/{id}/publish``, the first time or again. Raises as :meth:`create_resume`
        does."""
        with _resume_missing(resume_id):
            self._write(token, "POST", f"/resumes/{resume_id}/publish", parse_resume)

    def _write(
        self,
        token: TokenSource,
        method: str,
        path: str,
        reader: Callable[[Received], _Content],
        **request: Any,
    ) -> _Content:
        """Made once, and once more with a renewed token: a call without a good one does nothing."""

        def write(sent: str) -> _Content:
            received = self._call(method, path, headers=_bearing(sent), **request)
            content: _Content = self._understand(received, reader)
            return content

        sent = token.current()
        try:
            return write(sent)
        except HHTokenRefused as error:
            sent = token.renewed(sent, error.reason)
        return write(sent)

    def negotiations(
        self, token: TokenSource, *, page: int = 0, vacancy_id: str | None = None
    ) -> NegotiationPage:
        """A page of ``GET /negotiations``, last updated first; of one vacancy if it is named."""
        query = [("page", str(page)), ("per_page", "100"), ("status", "all")]
        if vacancy_id is not None:
            query.append(("vacancy_id", vacancy_id))
        answer = self._get_with_token("/negotiations", query, token=token)
        return _read(responses.negotiation_page, answer)

    def _grant(self, form: dict[str, str]) -> Any:
        received = self._call("POST", "/token", data=form)
        return self._understand(received, partial(parse_token, grant=form["grant_type"]))

    def _get_with_token(
        self, path: str, query: Iterable[tuple[str, str]] = (), *, token: TokenSource | None = None
    ) -> Any:
        """A refused token is renewed once and the call made once more."""
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
        received = self._call("GET", path, params=list(query), headers=_bearing(token))
        return self._understand(received)

    def _call(self, method: str, path: str, **request: Any) -> Received:
        """What hh.ru answered, whatever it is. Raises :class:`HHUnavailable` when nothing came."""
        self._pacer.wait()
        count("HhCalls")
        self._asked_for = _asked_for(method, path, request)
        try:
            return self._send(method, path, **request)
        except (httpx.HTTPError, TimeoutError) as error:
            if isinstance(error, NEVER_SENT):  # no matter what for
                self._asked_for = f"connection {time.monotonic_ns()}"
            self._note_failure()
            logger.warning("hh.ru unreachable", error_type=type(error).__name__)
            unavailable = HHUnavailable("hh.ru does not answer at the moment")
            unavailable.may_have_acted = not isinstance(error, NEVER_SENT)
            raise unavailable from error

    def _send(self, method: str, path: str, **request: Any) -> Received:
        ends = time.monotonic() + CALL_LIMIT_S
        body = bytearray()
        with self._http.stream(method, path, **request) as response:
            for chunk in response.iter_bytes():
                body += chunk
                if time.monotonic() > ends:
                    raise TimeoutError
                if len(body) > MAX_RESPONSE_BYTES:
                    raise httpx.DecodingError("the answer is too large")
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Received(response.status_code, headers, bytes(body), method, path)

    def _understand(self, received: Received, reader: Callable[[Received], Any] = parse) -> Any:
        """The content of a good answer. What a bad one says about hh.ru's state is told to every
        caller through the pacer."""
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
            self._spread(error, received.method)
            raise
        self._failed_for.clear()
        return content

    def _spread(self, error: HHError, method: str) -> None:
        count(type(error).__name__)
        if isinstance(error, HHForbidden) and error.path == "/vacancies":
            count("HhSearchClosed")
        if isinstance(error, HHUnavailable):
            self._note_failure()
            return
        self._failed_for.clear()
        # A write that the edge refuses may be the one that is closed; what is read shows the rest.
        if isinstance(error, HHRegionBlocked) and method == "GET":
            self._pause("region_blocked", error.retry_after_s)
        elif isinstance(error, HHBusy):
            self._pause("busy", PAUSE_AFTER_429_S)

    def _note_failure(self) -> None:
        """Calls for several things failed in a row: hh.ru is known to be down, for everybody, for a
        while. One vacancy that always fails says nothing of the others."""
        self._failed_for.add(self._asked_for)
        if len(self._failed_for) >= FAILURES_BEFORE_PAUSE:
            self._pause("unavailable", PAUSE_AFTER_FAILURES_S)

    def _pause(self, reason: str, seconds: float) -> None:
        """A pause that cannot be told must not hide what happened to the call itself."""
        try:
            self._pacer.pause(reason, seconds)
        except HHUnavailable:
            logger.warning("calls to hh.ru cannot be paused", reason=reason)


@contextmanager
def _resume_missing(resume_id: str) -> Iterator[None]:
    """:class:`HHResumeNotFound` for what is no resume's id, and where hh.ru finds none by it."""
    missing = HHResumeNotFound("this person has no such resume at hh.ru")
    if not RESUME_ID.fullmatch(resume_id):
        raise missing
    try:
        yield
    except HHNotFound as error:
        raise missing from error


def _read(reader: Callable[[Any], _Model], answer: Any) -> _Model:
    try:
        return reader(answer)
    except responses.UNREADABLE as error:
        logger.error("hh.ru's answer has another shape", error_type=type(error).__name__)
        count("HhUnreadable")
        raise HHUnavailable("hh.ru's answer cannot be read") from error


def _asked_for(method: str, path: str, request: dict[str, Any]) -> str:
    """What a call is for: one vacancy, whoever asks or applies; one search; one person's list."""
    vacancy_id = (request.get("data") or {}).get("vacancy_id")
    if vacancy_id is not None:
        return f"/vacancies/{vacancy_id}"
    if path.startswith("/vacancies/"):
        return path
    sent = [request.get(part) for part in ("params", "data", "json", "headers")]
    return f"{method} {path} {hash(str(sent))}"


def _bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
