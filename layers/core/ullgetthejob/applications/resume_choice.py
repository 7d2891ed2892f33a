"""The choice of the resume to send, of the kept list of the account's resumes, else of hh.ru's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import kept_resumes, method_status
from ullgetthejob.accounts.kept_resumes import KeptResumes
from ullgetthejob.applications.resume_selection import (
    ASKED_FOR,
    ResumeChoice,
    ResumeNotFound,
    select_resume,
)
from ullgetthejob.hh.errors import HHResumeNotFound
from ullgetthejob.platform.errors import NeedsPerson

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from ullgetthejob.hh.methods import Method
    from ullgetthejob.hh.models import VacancyDetail
    from ullgetthejob.platform.context import Context

    Call = Callable[[Method, Callable[[Any], Any]], Any]


def choose_resume(
    account_id: UUID, vacancy: VacancyDetail, *, wanted: str | None, call: Call, context: Context
) -> ResumeChoice:
    """Return the resume to send: *wanted*, or the one that fits best.

    *call* makes a request to hh.ru with the person's token. Raises as :func:`select_resume`, and
    what *call* raises.
    """
    connection, now = context.connection, context.now()
    kept = kept_resumes.read(account_id, connection=connection, now=now)
    if kept is not None:
        try:
            return _select(account_id, kept, vacancy, wanted, call, context)
        except (ResumeNotFound, HHResumeNotFound):
            pass  # hh.ru may have others by now
    try:
        resumes = call("resumes_read", context.hh.resumes)
    except NeedsPerson as error:
        if wanted is None or method_status.closed_method(error) != "resumes_read":
            raise
        return ResumeChoice(wanted, ASKED_FOR)  # hh.ru itself decides whether it can be sent
    kept_resumes.keep(account_id, resumes, read_at=now, connection=connection)
    return _select(account_id, KeptResumes(resumes, now), vacancy, wanted, call, context)


def _select(
    account_id: UUID,
    listed: KeptResumes,
    vacancy: VacancyDetail,
    wanted: str | None,
    call: Call,
    context: Context,
) -> ResumeChoice:
    """Return the resume to send, of those *listed*; the skills that are read for that are kept with
    the list. Raises as :func:`select_resume`, and what *call* raises."""
    by_id = {str(resume["id"]): resume for resume in listed.resumes}
    found: dict[str, Any] = {}

    def read(resume_id: str) -> dict[str, Any]:
        if by_id[resume_id].get("skill_set") is None:
            resume = call("resumes_read", lambda token: context.hh.resume(token, resume_id))
            found[resume_id] = by_id[resume_id]["skill_set"] = resume.get("skill_set") or []
        return by_id[resume_id]

    choice = select_resume(listed.resumes, vacancy, wanted=wanted, read=read)
    if found:
        kept_resumes.keep(
            account_id, listed.resumes, read_at=listed.read_at, connection=context.connection
        )
    return choice
