"""The reviewer: what examines an application while it is prepared, and has its person look.

The letter is made and checked and the fit scored once: what was allowed then, by the check or by
the person, is sent later without another look, as long as letter and vacancy are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.applications.obstacles import page_of
from ullgetthejob.applications.reviews import examination, store
from ullgetthejob.applications.reviews.models import show_review
from ullgetthejob.fit import store as fit_weights
from ullgetthejob.hh.errors import HHError
from ullgetthejob.letters import store as letter_templates
from ullgetthejob.platform.errors import NeedsPerson, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.application import Application
    from ullgetthejob.applications.resume_selection import ResumeChoice
    from ullgetthejob.applications.reviews.examination import Examination
    from ullgetthejob.applications.transitions import AccountTransitions
    from ullgetthejob.hh.models import VacancyDetail

REVIEW_TTL = timedelta(days=7)  # how long a person may answer


@dataclass(frozen=True)
class Reviewer:
    """The examinations of one account's applications. *read_resume* returns one of the person's
    resumes in full."""

    account: AccountTransitions
    read_resume: Callable[[Person, str], dict[str, Any]]

    def is_for_person(self, application: Application) -> bool:
        """Return whether the person certainly looks before the application is sent: no limit delays
        that."""
        if application.review != "always":
            return False
        review = store.read(application.id, connection=self.account.context.connection)
        return review is None or not review.allows_letter(application.letter)

    def settle(
        self, application: Application, person: Person, vacancy: VacancyDetail, choice: ResumeChoice
    ) -> bool:
        """Return whether the application is not sent now: the fit is too low, or its person looks
        first; it has made its transition then. Raises what hh.ru raises."""
        connection, now = self.account.context.connection, self.account.context.now()
        digest = examination.digest_offer(vacancy, choice.resume_id)
        review = store.read(application.id, connection=connection)
        if review is not None and review.allows(application.letter, digest):
            return False
        resume = self.read_resume(person, choice.resume_id)
        was_shown = review is not None and review.was_approved
        # A letter that its person has not seen is made of the vacancy as it is now.
        remakes = (
            review is not None
            and not was_shown
            and application.letter_template_id is not None
            and review.allows_letter(application.letter)
        )
        examined = self._examine(application, resume, vacancy, remakes=remakes)
        state, reason = examination.decide(application, examined, vacancy, was_shown=was_shown)
        with connection.transaction():
            store.record(
                application,
                examined,
                show_review(vacancy, resume, examined),
                vacancy_digest=digest,
                is_allowed=state is None,
                expires_at=now + REVIEW_TTL if state == "review" else None,
                connection=connection,
                now=now,
            )
            if state is None:
                return False
            self.account.transition(
                application,
                state,
                reason=reason,
                link=page_of(vacancy, application),
                resume_id=choice.resume_id,
                resume_reason=choice.reason,
            )
        return True

    def write_hand_off(
        self,
        application: Application,
        person: Person,
        vacancy: VacancyDetail,
        choice: ResumeChoice | None,
    ) -> tuple[str | None, str | None]:
        """Return the letter that a template makes for the person to send, if any, and why they
        should not apply (the fit is too low). Where hh.ru does not show the resume, the letter has
        what the vacancy says, and the fit is not known."""
        try:
            resume = self.read_resume(person, choice.resume_id) if choice else None
        except (NeedsPerson, HHError, Unavailable):
            resume = None
        examined = self._examine(application, resume or {}, vacancy)
        if resume is not None and examination.is_below(application, examined.fit):
            return None, examination.FILTERED_FIT
        return examined.letter if application.letter is None else None, None

    def _examine(
        self,
        application: Application,
        resume: dict[str, Any],
        vacancy: VacancyDetail,
        *,
        remakes: bool = False,
    ) -> Examination:
        account_id, connection = self.account.account_id, self.account.context.connection
        template = None
        makes = application.letter is None or remakes
        if makes and application.letter_template_id is not None:
            template = letter_templates.read_text(
                account_id, application.letter_template_id, connection=connection
            )
        weights = fit_weights.read_weights(account_id, connection=connection).weights
        now = self.account.context.now()
        return examination.examine(
            application, template, resume, vacancy, weights, now=now, remakes=remakes
        )
