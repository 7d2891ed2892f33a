"""The resume that is made for one application, where its person asked for one.

A copy of one that they have, with what the CV changes. Its title is on record before hh.ru is asked
for it: a person's resumes differ by their titles, so that one whose answer was lost is found by it,
and hh.ru itself refuses a second. hh.ru shows a new resume only after some seconds; until then the
application waits. An application has at most one made for it, whoever dies in between.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import audit
from ullgetthejob.applications import attempts, ledger
from ullgetthejob.applications.resume_selection import ResumeChoice, is_published, select_source
from ullgetthejob.hh import resume_fields
from ullgetthejob.hh.errors import Action, HHError, HHResumeNotFound, HHResumeRefused
from ullgetthejob.platform.errors import AppError
from ullgetthejob.platform.telemetry import count, logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ullgetthejob.applications.ledger import Application
    from ullgetthejob.hh.client import HHClient
    from ullgetthejob.hh.models import VacancyDetail
    from ullgetthejob.platform.authentication import Caller

    Connection = psycopg.Connection[dict[str, Any]]
    Ask = Callable[[Callable[[Any], Any]], Any]

CREATED_REASON = "made"
VISIBILITY_POLL_INTERVAL = timedelta(seconds=10)
VISIBILITY_TIMEOUT = timedelta(minutes=10)
MAX_CALLS = 3
MAX_TITLES = 5  # tried in one go, of those that hh.ru has already
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
# By one of two workers only, and only while it is still wanted.
UPDATE_APPLICATION_RESUME = """
    UPDATE application_ledger
    SET new_resume_title = %(title)s, new_resume_asked_at = %(asked_at)s,
        new_resume_asked = %(asked)s
    WHERE id = %(id)s AND state = 'preparing' AND new_resume IS NOT NULL
      AND resume_reason IS DISTINCT FROM 'made'
      AND new_resume_title IS NOT DISTINCT FROM %(seen_title)s
      AND new_resume_asked_at IS NOT DISTINCT FROM %(seen_asked_at)s
    RETURNING id
"""
# Wherever the application stands by now: it is there, and no second one is to be made.
UPDATE_RESUME_REQUEST = """
    UPDATE application_ledger SET resume_id = %(resume_id)s, resume_reason = 'made'
    WHERE id = %(id)s AND resume_reason IS DISTINCT FROM 'made'
"""


class ResumeNotVisible(Exception):
    """hh.ru does not show the new resume yet."""


class ResumeUnavailable(Exception):
    """There is none to be sent before somebody does something at *link*; *reason* says what."""

    def __init__(self, reason: str, link: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.link = link


@dataclass(frozen=True)
class ResumeDraft:
    """What the ledger says of it.

    *contents*: what it says by the CV, ``None`` if none is to be made (any more). *title*,
    *asked_at*, *asked*: as what, when last and how often hh.ru was asked for it. *resume_id*: of
    the one that was made. *is_completed*: its person was told to complete it.
    """

    contents: dict[str, Any] | None
    title: str | None
    asked_at: datetime | None
    asked: int
    resume_id: str | None
    is_completed: bool = False


def requested_at(id: UUID, *, connection: Connection) -> datetime | None:
    """When hh.ru was asked for a new resume for the application; ``None``: never."""
    return _read(id, connection).asked_at


def prepare(
    application: Application,
    vacancy: VacancyDetail,
    *,
    ask: Ask,
    hh: HHClient,
    connection: Connection,
    clock: Callable[[], datetime],
    caller: Caller,
) -> ResumeChoice | None:
    """The resume that was made for the application, published; ``None`` where none is wanted.

    *ask* puts a question to hh.ru on the person's behalf. To be called again after
    :class:`NotVisible`; raises :class:`NotMade`, :class:`NoResume` without one to copy,
    :class:`ledger.Moved`, and what *ask* raises.
    """
    order = _read(application.id, connection)
    if order.contents is None and order.resume_id is None:
        return None
    return _Work(application, vacancy, ask, hh, connection, clock, caller).finish(order)


def _read(id: UUID, connection: Connection) -> ResumeDraft:
    row = connection.execute(SELECT_RESUME_DRAFT, {"id": id}).fetchone()
    assert row is not None  # noqa: S101 - rows of the ledger stay
    return ResumeDraft(**row)


@dataclass(frozen=True)
class _Work:
    """One look at the resume of an application."""

    application: Application
    vacancy: VacancyDetail
    ask: Ask
    hh: HHClient
    connection: Connection
    clock: Callable[[], datetime]
    caller: Caller

    def finish(self, order: ResumeDraft) -> ResumeChoice:
        """Make it, find it again or publish it, whatever is next."""
        mine = self.ask(self.hh.resumes)
        made = order.resume_id or self._found(order, mine)
        if made is None:
            self._create(order, mine)
            raise ResumeNotVisible
        resume = next((one for one in mine if one["id"] == made), None)
        if resume is not None and resume.get("blocked"):
            raise ResumeUnavailable("resume_not_available", _page(made))
        if resume is not None and not is_published(resume):
            self._publish(made, order)
            mine = self.ask(self.hh.resumes)
            resume = next((one for one in mine if one["id"] == made), None)
        if resume is not None and is_published(resume):
            return ResumeChoice(made, CREATED_REASON)
        if order.asked_at is None or order.asked_at + VISIBILITY_TIMEOUT <= self.clock():
            raise ResumeUnavailable("resume_not_available", _page(made))
        raise ResumeNotVisible

    def _found(self, order: ResumeDraft, mine: list[dict[str, Any]]) -> str | None:
        """What was made although its answer was lost. No second call as long as the first one's
        resume may still appear."""
        if order.title is None or order.asked_at is None:
            return None
        for one in mine:
            if resume_fields.same_title(str(one.get("title") or ""), order.title):
                self._save_draft(str(one["id"]), "found_at_hh")
                return str(one["id"])
        if self.clock() < order.asked_at + attempts.CALL_TIMEOUT:
            raise ResumeNotVisible
        return None

    def _create(self, order: ResumeDraft, mine: list[dict[str, Any]]) -> None:
        source = select_source(
            mine,
            self.vacancy,
            wanted=self.application.wanted_resume_id,
            read=lambda id: dict(self.ask(lambda token: self.hh.resume(token, id))),
        )
        if not self.ask(self.hh.may_create_resume):
            raise ResumeUnavailable("resume_limit", RESUMES_PAGE)
        contents = order.contents or {}
        wish = contents.get("title") or str(source.get("title") or self.vacancy.name)
        taken = {str(one.get("title") or "") for one in mine} | self._titles_of_others()
        for _ in range(MAX_TITLES):
            title = order.title or resume_fields.free_title(wish, taken)
            try:
                self._call(order, {**contents, "title": title}, str(source["id"]))
            except HHResumeRefused as error:
                if error.action is not Action.OTHER_TITLE:
                    self._publish_event(error)
                    raise ResumeUnavailable(error.reason, RESUMES_PAGE) from error
                if order.title is not None:  # the one that was asked for before is there
                    return
                taken.add(title)
            else:
                return
        raise ResumeUnavailable("resume_incomplete", RESUMES_PAGE)

    def _call(self, order: ResumeDraft, body: dict[str, Any], source_id: str) -> None:
        """Ask for it once. What certainly did nothing is taken off the record again."""
        if order.asked >= MAX_CALLS:
            self._record(order, order, asked=0)
            raise ResumeUnavailable("resume_not_available", RESUMES_PAGE)
        begun = ResumeDraft(order.contents, body["title"], self.clock(), order.asked + 1, None)
        self._record(order, begun)
        try:
            made = self.ask(
                lambda token: self.hh.create_resume(token, body, source_resume_id=source_id)
            )
        except (HHError, AppError) as error:
            if getattr(error, "may_have_acted", False):
                self._audit("resume.create", "no_answer")
                raise ResumeNotVisible from error
            is_there = getattr(error, "action", None) is Action.OTHER_TITLE
            if order.title is None or not is_there:
                self._record(begun, order)
            raise
        if made is not None:
            self._save_draft(made, CREATED_REASON)

    def _publish(self, id: str, order: ResumeDraft) -> None:
        try:
            self._sync_fields(id, order)
            self.ask(lambda token: self.hh.publish_resume(token, id))
        except HHResumeNotFound as error:
            raise ResumeNotVisible from error
        except HHResumeRefused as error:
            if error.action is not Action.GO_ON:
                self._publish_event(error)
                self._audit("resume.publish", error.reason)
                raise ResumeUnavailable(error.reason, _page(id)) from error
        self._audit("resume.publish", "ok")

    def _sync_fields(self, id: str, order: ResumeDraft) -> None:
        """Write what the copy has not taken over from the CV, until its person was told to complete
        it: what they have written stays."""
        if order.is_completed:
            return
        wanted = {**(order.contents or {}), **({"title": order.title} if order.title else {})}
        shown = self.ask(lambda token: self.hh.resume(token, id))
        other = {name: value for name, value in wanted.items() if shown.get(name) != value}
        if other:
            self.ask(lambda token: self.hh.update_resume(token, id, other))

    # ── on record ────────────────────────────────────────────────────────────────────────────────

    def _record(self, seen: ResumeDraft, order: ResumeDraft, *, asked: int | None = None) -> None:
        """Raises :class:`ledger.Moved` where somebody else was faster."""
        row = self.connection.execute(
            UPDATE_APPLICATION_RESUME,
            {
                "id": self.application.id,
                "title": order.title,
                "asked_at": order.asked_at,
                "asked": order.asked if asked is None else asked,
                "seen_title": seen.title,
                "seen_asked_at": seen.asked_at,
            },
        ).fetchone()
        if row is None:
            raise ledger.ConcurrentUpdate

    def _save_draft(self, resume_id: str, outcome: str) -> None:
        with self.connection.transaction():
            values = {"id": self.application.id, "resume_id": resume_id}
            self.connection.execute(UPDATE_RESUME_REQUEST, values)
            self._audit("resume.create", outcome)
        count("ResumesCreated")

    def _titles_of_others(self) -> set[str]:
        values = {"id": self.application.id, "account_id": self.application.account_id}
        return {
            row["title"] for row in self.connection.execute(SELECT_TITLES_IN_USE, values).fetchall()
        }

    def _audit(self, action: audit.Action, outcome: str) -> None:
        audit.write(
            action,
            outcome,
            caller=self.caller,
            user_id=self.application.user_id,
            account_id=self.application.account_id,
            connection=self.connection,
            now=self.clock(),
        )

    def _publish_event(self, error: HHResumeRefused) -> None:
        logger.warning("hh.ru refused a resume", reason=error.reason, fields=list(error.fields))
        count("ResumesRefused")


def to_stored(contents: dict[str, Any] | None) -> str | None:
    """*contents* of an :class:`Order` as the ledger keeps them."""
    return None if contents is None else json.dumps(contents, ensure_ascii=False)


def _page(resume_id: str) -> str:
    """The resume's page at hh.ru."""
    return f"https://hh.ru/resume/{resume_id}"
