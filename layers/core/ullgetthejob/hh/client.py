"""The client of hh.ru's API: a method for each call that Core makes (:mod:`.calls` makes it).

There is one client per environment (:mod:`ullgetthejob.hh.environment`); ``transport=`` is the seam
for tests, as in httpx. Ids are checked before they are put into a path.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ullgetthejob.hh import oauth, responses
from ullgetthejob.hh.app_token import AppToken
from ullgetthejob.hh.calls import Calls, authorization, read
from ullgetthejob.hh.error_parsing import (
    parse_application,
    parse_message,
    parse_resume,
)
from ullgetthejob.hh.error_rules import APPLICATION, CODE, REFRESH
from ullgetthejob.hh.errors import (
    HHError,
    HHForbidden,
    HHNotFound,
    HHResumeNotFound,
    HHTokenRefused,
    HHVacancyNotFound,
)
from ullgetthejob.platform.telemetry import count, logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

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

VACANCY_ID = re.compile(r"[0-9]{1,19}")
NEGOTIATION_ID = re.compile(r"[0-9]{1,19}")
RESUME_ID = re.compile(r"[0-9a-fA-F]{1,64}")  # hh.ru: about 38
MAX_RESUME_PAGES = 5  # hh.ru: a person has at most 20 resumes, which fit on one
CONNECTION_LOST = {"token_revoked", "bad_authorization"}
DICTIONARY = re.compile(r"/[a-z_]{1,40}")


class HHClient(Calls):
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
        super().__init__(
            base_url,
            user_agent=user_agent,
            pacer=pacer,
            exchange_pacer=exchange_pacer,
            transport=transport,
        )
        self._token = token or AppToken(self.exchange_application)

    def search(self, parameters: SearchParameters) -> SearchPage:
        """Return one page of ``GET /vacancies``."""
        content = self._get_with_token("/vacancies", parameters.query())
        page = read(responses.search_page, content)
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
        return read(responses.vacancy_detail, content)

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
        return read(oauth.application_token, self._grant(form))

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
        return read(oauth.token_pair, self._grant(form))

    def refresh(self, refresh_token: str) -> TokenPair:
        """Return the next pair; *refresh_token* works once, after its access token has expired.

        Raises :class:`HHRefreshRefused`, :class:`HHTokenNotExpired`; after an
        :class:`HHUnavailable` that may have acted the token may be spent.
        """
        # hh.ru: these two fields and no others; it identifies the application by the token.
        form = {"grant_type": REFRESH, "refresh_token": refresh_token}
        return read(oauth.token_pair, self._grant(form))

    def revoke(self, access_token: str) -> None:
        """Revoke a pair (``DELETE /token``); one that hh.ru no longer knows counts as revoked.

        Raises :class:`HHTokenRefused` for an expired token: its refresh token is still valid.
        """
        try:
            self._parse(self._call("DELETE", "/token", headers=authorization(access_token)))
        except HHTokenRefused as error:
            if error.reason not in CONNECTION_LOST:
                raise

    def me(self, token: TokenSource | str) -> Me:
        """Return the owner of *token* (``GET /me``)."""
        if isinstance(token, str):
            return read(responses.me, self._get("/me", (), token))
        return read(responses.me, self._get_with_token("/me", token=token))

    def resumes(self, token: TokenSource) -> list[dict[str, Any]]:
        """Return all resumes of ``GET /resumes/mine``, in hh.ru's shape."""
        items, pages = read(
            responses.resume_page, self._get_with_token("/resumes/mine", token=token)
        )
        for page in range(1, min(pages, MAX_RESUME_PAGES)):
            query = [("page", str(page))]
            content = self._get_with_token("/resumes/mine", query, token=token)
            items += read(responses.resume_page, content)[0]
        return items

    def resume(self, token: TokenSource, resume_id: str) -> dict[str, Any]:
        """Return a resume (``GET /resumes/{id}``) as its owner sees it, in hh.ru's shape.

        Raises :class:`HHResumeNotFound`, also for a resume of another person and a malformed id.
        """
        with _resume_missing(resume_id):
            content = self._get_with_token(f"/resumes/{resume_id}", token=token)
        return read(responses.resume, content)

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
        return read(responses.creation_is_available, content)

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

    def negotiations(
        self, token: TokenSource, *, page: int = 0, vacancy_id: str | None = None
    ) -> NegotiationPage:
        """Return a page of ``GET /negotiations``, last updated first; of one vacancy if given."""
        query = [("page", str(page)), ("per_page", "100"), ("status", "all")]
        if vacancy_id is not None:
            query.append(("vacancy_id", vacancy_id))
        content = self._get_with_token("/negotiations", query, token=token)
        return read(responses.negotiation_page, content)

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
        found = read(responses.conversation_page, content)
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
