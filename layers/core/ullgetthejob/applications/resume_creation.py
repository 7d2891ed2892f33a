"""Creation of a resume for one application, where its person requested one.

The new resume is a copy of one of the person's, with the changes of the CV. Its title is recorded
before hh.ru is called: a person's resumes differ by their titles, so that a resume whose answer was
lost is found by its title, and hh.ru itself refuses a second. hh.ru shows a new resume only after
some seconds; until then the application waits. At most one resume is created for an application,
wherever a worker's process ends.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import audit, kept_resumes, method_status
from ullgetthejob.applications import attempts, ledger
from ullgetthejob.applications.resume_selection import ResumeChoice, is_published, select_source
from ullgetthejob.hh import resume_fields
from ullgetthejob.hh.errors import Action, HHError, HHResumeNotFound, HHResumeRefused
from ullgetthejob.platform.errors import AppError, NeedsPerson
from ullgetthejob.platform.telemetry import count, logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.applications.application import Application
    from ullgetthejob.hh.methods import Method
    from ullgetthejob.hh.models import VacancyDetail
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

    Call = Callable[[Method, Callable[[Any], Any]], Any]

CREATED_REASON = "made"
VISIBILITY_POLL_INTERVAL = timedelta(seconds=10)
VISIBILITY_TIMEOUT = timedelta(minutes=10)
MAX_CALLS = 3
MAX_TITLES = 5  # that are tried one after another, where hh.ru has a resume of that title
RESUMES_PAGE = "https://hh.ru/applicant/resumes"

SELECT_RESUME_DRAFT = """
    SELECT new_resume AS contents, new_resume_title AS title, new_resume_asked_at AS asked_at,
           new_resume_asked AS asked,
           CASE WHEN resume_reason = 'made' THEN resume_id END AS resume_id,
           EXISTS (SELECT FROM application_history h
                   WHERE h.ledger_id = l.id AND h.reason = 'resume_incomplete') AS is_completed
    FROM application_ledger l WHERE id = %(id)s
"""
# Titles that hh.ru may have and not show yet.
SELECT_TITLES_IN_USE = """
    SELECT new_resume_title AS title FROM application_ledger
    WHERE account_id = %(account_id)s AND id <> %(id)s AND new_resume_title IS NOT NULL
"""
# Only one of two workers succeeds, and only while the resume is still wanted.
UPDATE_RESUME_REQUEST = """
    UPDATE application_ledger
    SET new_resume_title = %(title)s, new_resume_asked_at = %(asked_at)s,
        new_resume_asked = %(asked)s
    WHERE id = %(id)s AND state = 'preparing' AND new_resume IS NOT NULL
      AND resume_reason IS DISTINCT FROM 'made'
      AND new_resume_title IS NOT DISTINCT FROM %(seen_title)s
      AND new_resume_asked_at IS NOT DISTINCT FROM %(seen_asked_at)s
    RETURNING id
"""
# In whatever state the application is: the resume exists, and no second one is to be created.
UPDATE_APPLICATION_RESUME = """
    UPDATE application_ledger SET resume_id = %(resume_id)s, resume_reason = 'made'
    WHERE id = %(id)s AND resume_reason IS DISTINCT FROM 'made'
"""


class ResumeNotVisible(Exception):
    """hh.ru does not show the new resume yet."""


class ResumeUnavailable(Exception):
    """No resume can be sent before the person does something at *link*; *reason* says what."""

    def __init__(self, reason: str, link: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.link = link


@dataclass(frozen=True)
class ResumeDraft:
    """The resume of an application as the ledger has it.

    *contents*: its fields by the CV, ``None`` if none is to be created, or no longer. *title*,
    *asked_at*, *asked*: the title that hh.ru was asked to create, the last time and the number of
    these calls. *resume_id*: of the resume that was created. *is_completed*: its person was asked
    to complete it.
    """

    contents: dict[str, Any] | None
    title: str | None
    asked_at: datetime | None
    asked: int
    resume_id: str | None
    is_completed: bool = False


def requested_at(ledger_id: UUID, *, connection: Connection) -> datetime | None:
    """Return when hh.ru was last asked for a new resume for the application; ``None``: never."""
    return _read_draft(ledger_id, connection).asked_at


def prepare(
    application: Application,
    vacancy: VacancyDetail,
    call: Call,
    context: Context,
) -> ResumeChoice | None:
    """Return the resume that was created for the application and published; ``None`` where none is
    wanted.

    *call* makes a request to hh.ru with the person's token. To be called again after
    :class:`ResumeNotVisible`. Raises :class:`ResumeUnavailable`, :class:`ResumeNotFound` without a
    resume to copy, :class:`ledger.ConcurrentUpdate`, and what *call* raises.
    """
    if not application.wants_new_resume and application.resume_reason != CREATED_REASON:
        return None
    draft = _read_draft(application.id, context.connection)
    if draft.contents is None and draft.resume_id is None:
        return None
    return _ResumeCreation(application, vacancy, call, context).finish(draft)


def _read_draft(ledger_id: UUID, connection: Connection) -> ResumeDraft:
    row = connection.execute(SELECT_RESUME_DRAFT, {"id": ledger_id}).fetchone()
    assert row is not None  # noqa: S101 - rows of the ledger are never deleted
    return ResumeDraft(**row)


@dataclass(frozen=True)
class _ResumeCreation:
    """The next step of the creation of an application's resume."""

    application: Application
    vacancy: VacancyDetail
    call: Call
    context: Context

    def finish(self, draft: ResumeDraft) -> ResumeChoice:
        """Create the resume, find it again or publish it, whichever is next; return it once it is
        published. Raises as :func:`prepare`."""
        resumes = self.call("resumes_read", self.context.hh.resumes)
        kept_resumes.forget(self.application.account_id, connection=self.context.connection)
        resume_id = draft.resume_id or self._find_created(draft, resumes)
        if resume_id is None:
            self._create(draft, resumes)
            raise ResumeNotVisible
        resume = _find_by_id(resumes, resume_id)
        if resume is not None and resume.get("blocked"):
            raise ResumeUnavailable("resume_not_available", _resume_url(resume_id))
        if resume is not None and not is_published(resume):
            self._publish(resume_id, draft)
            resume = _find_by_id(self.call("resumes_read", self.context.hh.resumes), resume_id)
        if resume is not None and is_published(resume):
            return ResumeChoice(resume_id, CREATED_REASON)
        if draft.asked_at is None or draft.asked_at + VISIBILITY_TIMEOUT <= self.context.now():
            raise ResumeUnavailable("resume_not_available", _resume_url(resume_id))
        raise ResumeNotVisible

    def _find_created(self, draft: ResumeDraft, resumes: list[dict[str, Any]]) -> str | None:
        """Return the id of the resume that was created although its answer was lost, or ``None``.
        Raises :class:`ResumeNotVisible` as long as that resume may still appear: no second call
        until then."""
        if draft.title is None or draft.asked_at is None:
            return None
        for resume in resumes:
            if resume_fields.same_title(str(resume.get("title") or ""), draft.title):
                self._record_created(str(resume["id"]), "found_at_hh")
                return str(resume["id"])
        if self.context.now() < draft.asked_at + attempts.CALL_TIMEOUT:
            raise ResumeNotVisible
        return None

    def _create(self, draft: ResumeDraft, resumes: list[dict[str, Any]]) -> None:
        """Create the resume under a title that hh.ru does not have yet."""
        source = select_source(
            resumes,
            self.vacancy,
            wanted=self.application.wanted_resume_id,
            read=lambda resume_id: dict(
                self.call("resumes_read", lambda token: self.context.hh.resume(token, resume_id))
            ),
        )
        if not self._write(self.context.hh.may_create_resume):
            raise ResumeUnavailable("resume_limit", RESUMES_PAGE)
        contents = draft.contents or {}
        preferred = contents.get("title") or str(source.get("title") or self.vacancy.name)
        taken = {str(resume.get("title") or "") for resume in resumes} | self._titles_in_use()
        for _ in range(MAX_TITLES):
            title = draft.title or resume_fields.free_title(preferred, taken)
            try:
                self._request_creation(draft, {**contents, "title": title}, str(source["id"]))
            except HHResumeRefused as error:
                if error.action is not Action.OTHER_TITLE:
                    self._record_refusal(error)
                    raise ResumeUnavailable(error.reason, RESUMES_PAGE) from error
                if draft.title is not None:  # an earlier call has created it
                    return
                taken.add(title)
            else:
                return
        raise ResumeUnavailable("resume_incomplete", RESUMES_PAGE)

    def _request_creation(self, draft: ResumeDraft, body: dict[str, Any], source_id: str) -> None:
        """Call hh.ru once to create the resume. The record of a call that certainly did nothing is
        reverted."""
        if draft.asked >= MAX_CALLS:
            self._record_request(draft, draft, asked=0)
            raise ResumeUnavailable("resume_not_available", RESUMES_PAGE)
        begun = ResumeDraft(
            draft.contents, body["title"], self.context.now(), draft.asked + 1, None
        )
        self._record_request(draft, begun)
        try:
            resume_id = self._write(
                lambda token: self.context.hh.create_resume(token, body, source_resume_id=source_id)
            )
        except (HHError, AppError, ResumeUnavailable) as error:
            if getattr(error, "may_have_acted", False):
                self._audit("resume.create", "no_answer")
                raise ResumeNotVisible from error
            exists = getattr(error, "action", None) is Action.OTHER_TITLE
            if draft.title is None or not exists:
                self._record_request(begun, draft)
            raise
        if resume_id is not None:
            self._record_created(resume_id, CREATED_REASON)

    def _write(self, request: Callable[[Any], Any]) -> Any:
        """Return hh.ru's answer to *request*, which writes a resume. Raises
        :class:`ResumeUnavailable` where hh.ru does not let Core write any; existing ones can still
        be sent."""
        try:
            return self.call("resumes_write", request)
        except NeedsPerson as error:
            if method_status.closed_method(error) != "resumes_write":
                raise
            count("ResumesRefused")
            raise ResumeUnavailable("resume_closed", RESUMES_PAGE) from error

    def _publish(self, resume_id: str, draft: ResumeDraft) -> None:
        try:
            self._sync_fields(resume_id, draft)
            self._write(lambda token: self.context.hh.publish_resume(token, resume_id))
        except HHResumeNotFound as error:
            raise ResumeNotVisible from error
        except HHResumeRefused as error:
            if error.action is not Action.GO_ON:
                self._record_refusal(error)
                self._audit("resume.publish", error.reason)
                raise ResumeUnavailable(error.reason, _resume_url(resume_id)) from error
        self._audit("resume.publish", "ok")

    def _sync_fields(self, resume_id: str, draft: ResumeDraft) -> None:
        """Write the fields in which the copy differs from the CV, until its person was asked to
        complete it: what they have written since stays."""
        if draft.is_completed:
            return
        wanted = {**(draft.contents or {}), **({"title": draft.title} if draft.title else {})}
        current = self.call("resumes_read", lambda token: self.context.hh.resume(token, resume_id))
        changes = {name: value for name, value in wanted.items() if current.get(name) != value}
        if changes:
            self._write(lambda token: self.context.hh.update_resume(token, resume_id, changes))

    # ── records ──────────────────────────────────────────────────────────────────────────────────

    def _record_request(
        self, seen: ResumeDraft, draft: ResumeDraft, *, asked: int | None = None
    ) -> None:
        """Record the call that *draft* describes, in the place of *seen*. Raises
        :class:`ledger.ConcurrentUpdate` where another worker was faster."""
        row = self.context.connection.execute(
            UPDATE_RESUME_REQUEST,
            {
                "id": self.application.id,
                "title": draft.title,
                "asked_at": draft.asked_at,
                "asked": draft.asked if asked is None else asked,
                "seen_title": seen.title,
                "seen_asked_at": seen.asked_at,
            },
        ).fetchone()
        if row is None:
            raise ledger.ConcurrentUpdate

    def _record_created(self, resume_id: str, outcome: str) -> None:
        """Record the resume that hh.ru has created. *outcome*: ``made`` or ``found_at_hh``."""
        with self.context.connection.transaction():
            values = {"id": self.application.id, "resume_id": resume_id}
            self.context.connection.execute(UPDATE_APPLICATION_RESUME, values)
            self._audit("resume.create", outcome)
        count("ResumesCreated")

    def _titles_in_use(self) -> set[str]:
        """Return the titles of resumes that hh.ru was asked for by other applications."""
        values = {"id": self.application.id, "account_id": self.application.account_id}
        return {
            row["title"]
            for row in self.context.connection.execute(SELECT_TITLES_IN_USE, values).fetchall()
        }

    def _audit(self, action: audit.Action, outcome: str) -> None:
        audit.write(
            action,
            outcome,
            self.context,
            user_id=self.application.user_id,
            account_id=self.application.account_id,
        )

    def _record_refusal(self, error: HHResumeRefused) -> None:
        logger.warning("hh.ru refused a resume", reason=error.reason, fields=list(error.fields))
        count("ResumesRefused")


def to_stored(contents: dict[str, Any] | None) -> str | None:
    """Return *contents* of a :class:`ResumeDraft` as the ledger stores them."""
    return None if contents is None else json.dumps(contents, ensure_ascii=False)


def _find_by_id(resumes: list[dict[str, Any]], resume_id: str) -> dict[str, Any] | None:
    return next((resume for resume in resumes if resume["id"] == resume_id), None)


def _resume_url(resume_id: str) -> str:
    """Return the address of the resume's page at hh.ru."""
    return f"https://hh.ru/resume/{resume_id}"
