"""Handing off: an application whose last step only its person can do, with all that is ready.

hh.ru does not let Core send it: the resume to send, the letter and the page to open are found as
far as hh.ru lets Core read them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import method_status
from ullgetthejob.applications import ledger
from ullgetthejob.applications.obstacles import page_of
from ullgetthejob.applications.resume_creation import CREATED_REASON
from ullgetthejob.applications.resume_selection import (
    ASKED_FOR,
    ResumeChoice,
    ResumeNotFound,
    select_resume,
)
from ullgetthejob.hh.errors import HHError, HHForbidden, HHVacancyNotFound
from ullgetthejob.platform.errors import NeedsPerson, Unavailable

if TYPE_CHECKING:
    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.application import Application
    from ullgetthejob.applications.application_states import State
    from ullgetthejob.applications.reviews.reviewer import Reviewer
    from ullgetthejob.applications.transitions import AccountTransitions
    from ullgetthejob.hh.models import VacancyDetail

MAX_COMPLETION = timedelta(minutes=10)  # how long hh.ru is waited for to complete a handoff


@dataclass(frozen=True)
class HandingOff:
    """The handing off of the applications of one account."""

    account: AccountTransitions
    # Read once for all that are handed off; what is sent is chosen by what hh.ru has now.
    _resumes: dict[str, Any] = field(default_factory=dict)

    def hand_off(self, application: Application, person: Person, vacancy: VacancyDetail) -> None:
        """Hand off an application that hh.ru does not let Core send, with its letter; refuse it
        where the fit is too low."""
        choice, letter = self._suggest_resume(application, person, vacancy), None
        if application.is_examined:
            letter, refusal = self.reviewer.write_hand_off(application, person, vacancy, choice)
            if refusal is not None:
                self.account.transition(application, "refused", reason=refusal)
                return
        self.account.hand_off(
            application,
            reason=method_status.CLOSED_CODE,
            link=page_of(vacancy, application),
            choice=choice,
            letter=letter,
        )

    def _suggest_resume(
        self, application: Application, person: Person, vacancy: VacancyDetail
    ) -> ResumeChoice | None:
        """Return the resume that the person should send: the one that Core would have sent, as far
        as hh.ru lets it read them."""
        if application.resume_id is not None and application.resume_reason == CREATED_REASON:
            return ResumeChoice(application.resume_id, CREATED_REASON)
        account, hh = self.account, self.account.context.hh

        def read(resume_id: str) -> dict[str, Any]:
            return self._read_in_full(person, resume_id)

        wanted = application.wanted_resume_id
        try:
            if not any(name.startswith("listed ") for name in self._resumes):
                for resume in account.call_hh(person, "resumes_read", hh.resumes):
                    self._resumes[f"listed {resume['id']}"] = resume
            listed = [item for name, item in self._resumes.items() if name.startswith("listed ")]
            return select_resume(listed, vacancy, wanted=wanted, read=read)
        except (NeedsPerson, ResumeNotFound, HHError, Unavailable):
            return ResumeChoice(wanted, ASKED_FOR) if wanted else None

    def complete(self, application: Application) -> None:
        """Complete an application that was handed off when it was accepted: with the resume to send
        and the page to open, or refused, since the vacancy is closed or the filters drop it.

        Raises :class:`ConcurrentUpdate` where its person was faster.
        """
        account = self.account
        now = account.context.now()
        state: State = "handoff"
        reason, link, choice, letter = application.reason, application.link, None, None
        try:
            vacancy = account.read_vacancy(application.vacancy_id)
            held = account.apply_filters(application, vacancy)
        except HHVacancyNotFound:
            state, reason = "refused", "vacancy_not_found"
        except (HHError, Unavailable) as error:
            if not isinstance(error, HHForbidden) and now < application.created_at + MAX_COMPLETION:
                pause = timedelta(seconds=max(5, getattr(error, "retry_after_s", 5)))
                connection = account.context.connection
                ledger.postpone_completion(application.id, now + pause, connection=connection)
                return
        else:
            link = vacancy.response_url or page_of(vacancy, application)
            if vacancy.archived or vacancy.closed_for_applicants:
                state, reason = "refused", "vacancy_archived"
            elif held is not None:
                state, reason = held.state, held.reason
            else:
                person = account.find_person(application)
                choice = self._suggest_resume(application, person, vacancy)
                if application.is_examined:
                    letter, refusal = self.reviewer.write_hand_off(
                        application, person, vacancy, choice
                    )
                    if refusal is not None:
                        state, reason = "refused", refusal
        ledger.transition(
            application.id,
            state,
            source=["handoff"],
            connection=account.context.connection,
            now=now,
            reason=reason,
            link=link,
            resume_id=choice.resume_id if choice else None,
            resume_reason=choice.reason if choice else None,
            letter=letter,
        )

    @cached_property
    def reviewer(self) -> Reviewer:
        """Return what examines applications; most need neither that nor its imports."""
        from ullgetthejob.applications.reviews.reviewer import Reviewer

        return Reviewer(self.account, self._read_in_full)

    def _read_in_full(self, person: Person, resume_id: str) -> dict[str, Any]:
        """Return a resume in full, read once for all applications of this worker."""
        if resume_id not in self._resumes:
            hh = self.account.context.hh
            self._resumes[resume_id] = self.account.call_hh(
                person, "resumes_read", lambda token: hh.resume(token, resume_id)
            )
        return dict(self._resumes[resume_id])
