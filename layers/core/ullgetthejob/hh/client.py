"""The client of hh.ru's API: paced, bounded in time, every response classified.

There is one client per environment (:mod:`ullgetthejob.hh.environment`); ``transport=`` is the seam
for tests, as in httpx. Every call waits for its slot of the pacer. Ids are checked before they are
put into a path.
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
    parse_message,
    parse_resume,
    parse_token,
    values_of,
)
from ullgetthejob.hh.error_rules import APPLICATION, CODE, REFRESH
from ullgetthejob.hh.errors import (
    HHAppTokenMissing,
    HHError,
    HHForbidden,
    HHNotFound,
    HHResumeNotFound,
    HHTokenRefused,
    HHUnavailable,
    HHVacancyNotFound,
)
from ullgetthejob.hh.methods import path_without_ids
from ullgetthejob.hh.pacer import slot_missing
from ullgetthejob.hh.pause_policy import PausePolicy
from ullgetthejob.platform import time_limit, tls, tracing
from ullgetthejob.platform.telemetry import count, logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ullgetthejob.hh.app_token import TokenSource
    from ullgetthejob.hh.models import (
        ConversationMessage,
        ConversationPage,
        Me,
        NegotiationPage,
        SearchPage,
        VacancyDetail,
    )
    from ullgetthejob.hh.oauth import TokenPair
    from ullgetthejob.hh.pacer import Pacer
    from ullgetthejob.hh.search_parameters import SearchParameters

_Model = TypeVar("_Model")
_Content = TypeVar("_Content")

TIMEOUT_S = 5.0  # of a read
CONNECT_TIMEOUT_S = 2.0
# Of a call as a whole: a body that trickles in would pass any timeout between two reads.
CALL_LIMIT_S = 8.0
MIN_CALL_S = 2.0  # a request with less time left makes no call
MAX_RESPONSE_BYTES = 16 * 1024 * 1024  # /areas is 2.8 MB
VACANCY_ID = re.compile(r"[0-9]{1,19}")
NEGOTIATION_ID = re.compile(r"[0-9]{1,19}")
RESUME_ID = re.compile(r"[0-9a-fA-F]{1,64}")  # hh.ru: about 38
MAX_RESUME_PAGES = 5  # hh.ru: a person has at most 20 resumes, which fit on one
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
CONNECTION_LOST = {"token_revoked", "bad_authorization"}
DICTIONARY = re.compile(r"/[a-z_]{1,40}")


class HHClient:
    """Calls to the API at *base_url* (``https://api.hh.ru``).

    *user_agent*: ``Name/1.0 (mail)``, which hh.ru demands. Exchanges of tokens pass
    *exchange_pacer* too, if it is given: hh.ru limits them apart. *token* is the application's;
    calls on behalf of a person get that person's, and raise :class:`HHTokenRefused` when hh.ru
    refuses both it and the renewed one. All methods raise the errors of
    :mod:`ullgetthejob.hh.errors`, never those of httpx, JSON or the pacer; errors of a token source
    pass through.
    """

    def __init__(
        self,
        base_url: str,
        *,
        user_agent: str,
        pacer: Pacer,
        exchange_pacer: Pacer | None = None,
        token: TokenSource | None = None,
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
        self._token = token or AppToken(self.exchange_application)
        self._exchange_pacer = exchange_pacer
        self._pause_policy = PausePolicy(pacer, exchange_pacer)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def search(self, parameters: SearchParameters) -> SearchPage:
        """Return one page of ``GET /vacancies``."""
        content = self._get_with_token("/vacancies", parameters.query())
        page = _read(responses.search_page, content)
        if page.unreadable:
            logger.error("vacancies of an unknown shape were left out", number=page.unreadable)
            count("HhVacanciesUnreadable", page.unreadable)
        return page

    def vacancy(self, vacancy_id: str) -> VacancyDetail:
        """Return a vacancy (``GET /vacancies/{id}``).

        Raises :class:`HHVacancyNotFound`, also for a malformed id.
        """
        missing = HHVacancyNotFound("hh.ru has no such vacancy")
        if not VACANCY_ID.fullmatch(vacancy_id):
            raise missing
        try:
            content = self._get_with_token(f"/vacancies/{vacancy_id}")
        except HHNotFound as error:
            raise missing from error
        return _read(responses.vacancy_detail, content)

    def dictionary(self, path: str, etag: str | None = None) -> tuple[str | None, Any]:
        """Return the ETag and the content of a dictionary; no content if *etag* is the newest."""
        if not DICTIONARY.fullmatch(path):
            raise ValueError(f"not a dictionary: {path!r}")
        received = self._call("GET", path, headers={"If-None-Match": etag} if etag else {})
        return received.headers.get("etag", etag), self._parse(received)

    def is_answering(self) -> bool:
        """Return whether hh.ru responds to another call, after one subject failed repeatedly."""
        try:
            self.dictionary("/dictionaries")
        except HHError:
            return False
        return True

    def exchange_application(self, client_id: str, client_secret: str) -> str:
        """Return a new application token (``POST /token``); hh.ru: the previous one is revoked.

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
        """Return a person's first pair, for the *code* of the redirect, which works once.

        *redirect_uri* is the one of the login page; *verifier* belongs to the challenge that was
        sent there, if any. Raises :class:`HHLoginRefused`, :class:`HHMisconfigured`; after an
        :class:`HHUnavailable` that may have acted the code may be spent.
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
        """Return the next pair; *refresh_token* works once, after its access token has expired.

        Raises :class:`HHRefreshRefused`, :class:`HHTokenNotExpired`; after an
        :class:`HHUnavailable` that may have acted the token may be spent.
        """
        # hh.ru: these two fields and no others; it identifies the application by the token.
        form = {"grant_type": REFRESH, "refresh_token": refresh_token}
        return _read(oauth.token_pair, self._grant(form))

    def revoke(self, access_token: str) -> None:
        """Revoke a pair (``DELETE /token``); one that hh.ru no longer knows counts as revoked.

        Raises :class:`HHTokenRefused` for an expired token: its refresh token is still valid.
        """
        try:
            self._parse(self._call("DELETE", "/token", headers=_authorization(access_token)))
        except HHTokenRefused as error:
            if error.reason not in CONNECTION_LOST:
                raise

    def me(self, token: TokenSource | str) -> Me:
        """Return the owner of *token* (``GET /me``)."""
        if isinstance(token, str):
            return _read(responses.me, self._get("/me", (), token))
        return _read(responses.me, self._get_with_token("/me", token=token))

    def resumes(self, token: TokenSource) -> list[dict[str, Any]]:
        """Return all resumes of ``GET /resumes/mine``, in hh.ru's shape."""
        items, pages = _read(
            responses.resume_page, self._get_with_token("/resumes/mine", token=token)
        )
        for page in range(1, min(pages, MAX_RESUME_PAGES)):
            query = [("page", str(page))]
            content = self._get_with_token("/resumes/mine", query, token=token)
            items += _read(responses.resume_page, content)[0]
        return items

    def resume(self, token: TokenSource, resume_id: str) -> dict[str, Any]:
        """Return a resume (``GET /resumes/{id}``) as its owner sees it, in hh.ru's shape.

        Raises :class:`HHResumeNotFound`, also for a resume of another person and a malformed id.
        """
        with _resume_missing(resume_id):
            content = self._get_with_token(f"/resumes/{resume_id}", token=token)
        return _read(responses.resume, content)

    def apply(
        self, token: TokenSource, *, vacancy_id: str, resume_id: str, letter: str | None
    ) -> str | None:
        """Submit an application (``POST /negotiations``) and return the id of the negotiation,
        ``None`` if hh.ru does not give it.

        Not idempotent, and never repeated here: after an error that ``may_have_acted`` the
        application may exist. Raises :class:`HHApplyRefused` if hh.ru refuses it.
        """
        form = {"vacancy_id": vacancy_id, "resume_id": resume_id}
        if letter:
            form["message"] = letter
        return self._write(token, "POST", "/negotiations", parse_application, data=form)

    def may_create_resume(self, token: TokenSource) -> bool:
        """Return whether the person may create another resume (hh.ru: 20 at most)."""
        content = self._get_with_token("/resumes/creation_availability", token=token)
        return _read(responses.creation_is_available, content)

    def create_resume(
        self, token: TokenSource, body: dict[str, Any], *, source_resume_id: str
    ) -> str | None:
        """Create a copy of a resume with the changes in *body* (``POST /resumes``) and return its
        id, ``None`` if hh.ru does not give it. It is not published, and not visible for some
        seconds.

        Not idempotent, and never repeated here: after an error that ``may_have_acted`` the resume
        may exist. Raises :class:`HHResumeRefused`, :class:`HHResumeNotFound` for the source.
        """
        source = {"source_resume_id": source_resume_id}
        try:
            with _resume_missing(source_resume_id):
                return self._write(
                    token, "POST", "/resumes", parse_resume, json=body, params=source
                )
        except HHResumeNotFound as error:
            self.resume(token, source_resume_id)
            raise _method_missing("hh.ru no longer makes resumes", "/resumes") from error

    def update_resume(self, token: TokenSource, resume_id: str, body: dict[str, Any]) -> None:
        """Change the fields of a resume that *body* has (``PUT /resumes/{id}``). Raises as
        :meth:`create_resume` does."""
        with _resume_missing(resume_id):
            self._write(token, "PUT", f"/resumes/{resume_id}", parse_resume, json=body)

    def publish_resume(self, token: TokenSource, resume_id: str) -> None:
        """Publish a resume (``POST /resumes/{id}/publish``), the first time or again, which raises
        it. Raises as :meth:`create_resume` does."""
        path = f"/resumes/{resume_id}/publish"
        try:
            with _resume_missing(resume_id):
                self._write(token, "POST", path, parse_resume)
        except HHResumeNotFound as error:
            self.resume(token, resume_id)
            raise _method_missing("hh.ru no longer raises resumes", path) from error

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
            received = self._call(method, path, headers=_authorization(access_token), **request)
            content: _Content = self._parse(received, reader)
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
        """Return a page of ``GET /negotiations``, last updated first; of one vacancy if given."""
        query = [("page", str(page)), ("per_page", "100"), ("status", "all")]
        if vacancy_id is not None:
            query.append(("vacancy_id", vacancy_id))
        content = self._get_with_token("/negotiations", query, token=token)
        return _read(responses.negotiation_page, content)

    def messages(
        self, token: TokenSource, negotiation_id: str, *, page: int = 0
    ) -> ConversationPage:
        """Return a page of ``GET /negotiations/{id}/messages``, the oldest first. hh.ru: reading
        them marks them as read by the person.

        Raises :class:`HHNotFound`, also for a malformed id.
        """
        path = _conversation(negotiation_id)
        content = self._get_with_token(
            path, [("page", str(page)), ("per_page", "100")], token=token
        )
        found = _read(responses.conversation_page, content)
        if found.unreadable:
            logger.warning("messages of an unknown shape were left out", number=found.unreadable)
        return found

    def write_message(
        self, token: TokenSource, negotiation_id: str, text: str
    ) -> ConversationMessage | None:
        """Write to an employer (``POST /negotiations/{id}/messages``) and return the message,
        ``None`` if hh.ru accepted it and does not show it.

        Not idempotent, and never repeated here: after an error that ``may_have_acted`` the message
        may exist. Raises :class:`HHMessageRefused` if hh.ru refuses it.
        """
        path = _conversation(negotiation_id)
        content = self._write(token, "POST", path, parse_message, data={"message": text})
        try:
            return responses.conversation_message(content)
        except responses.UNREADABLE:
            return None

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
        received = self._call("GET", path, params=list(query), headers=_authorization(token))
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


def _conversation(negotiation_id: str) -> str:
    """Return the path of a negotiation's messages. Raises :class:`HHNotFound` for a malformed
    id."""
    if not NEGOTIATION_ID.fullmatch(negotiation_id):
        raise HHNotFound("hh.ru has no such conversation")
    return f"/negotiations/{negotiation_id}/messages"


@contextmanager
def _resume_missing(resume_id: str) -> Iterator[None]:
    """Raise :class:`HHResumeNotFound` for a malformed id, and if hh.ru does not find the resume."""
    missing = HHResumeNotFound("this person has no such resume at hh.ru")
    if not RESUME_ID.fullmatch(resume_id):
        raise missing
    try:
        yield
    except HHNotFound as error:
        raise missing from error


def _method_missing(message: str, path: str) -> HHForbidden:
    """Return the error of a POST that hh.ru does not find, for a resume that exists: what hh.ru
    does not have is the method."""
    missing = HHForbidden(message, retry_after_s=300)
    missing.method, missing.path, missing.is_missing = "POST", path, True
    return missing


def _read(reader: Callable[[Any], _Model], content: Any) -> _Model:
    try:
        return reader(content)
    except responses.UNREADABLE as error:
        logger.error("hh.ru's response has an unknown shape", error_type=type(error).__name__)
        count("HhUnreadable")
        raise HHUnavailable("hh.ru's response cannot be read") from error


def _authorization(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
