"""Preparation: what is decided about an application before the call to hh.ru that applies.

May it be sent now, does the vacancy take applications, do the person's own filters keep it, which
resume is sent. Everything here may be repeated after a worker's process has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import access, method_status
from ullgetthejob.applications import attempts, ledger, resume_creation
from ullgetthejob.applications.obstacles import find_hindrance
from ullgetthejob.applications.recent_vacancy import find_recent_vacancy
from ullgetthejob.applications.resume_choice import choose_resume
from ullgetthejob.applications.resume_selection import (
    ASKED_FOR,
    ResumeChoice,
    ResumeNotFound,
)
from ullgetthejob.filters import decisions
from ullgetthejob.hh.errors import (
    HHError,
    HHForbidden,
    HHUnavailable,
    HHVacancyNotFound,
)
from ullgetthejob.platform import queues
from ullgetthejob.platform.errors import NeedsPerson, Unavailable
from ullgetthejob.rate_limits import availability, token_bucket

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.application import Application
    from ullgetthejob.applications.attempts import AttemptsMade
    from ullgetthejob.applications.handing_off import HandingOff
    from ullgetthejob.applications.transitions import AccountTransitions
    from ullgetthejob.hh.methods import Method
    from ullgetthejob.hh.models import VacancyDetail

MAX_FAILED_VACANCY_CALLS = 5


class _Settled(Exception):
    """The application has made its transition: there is nothing left to prepare."""


def spend_id(application: Application, made: AttemptsMade) -> str:
    """Return the id under which the next call's token is charged: one for each call that is made,
    the same for the worker that goes on after another's process has ended."""
    return f"{application.id}#{made.sent + 1}"


@dataclass(frozen=True)
class Preparation:
    """The preparation of the applications of one account."""

    account: AccountTransitions
    handing_off: HandingOff

    def prepare(self, application: Application, person: Person) -> ResumeChoice | None:
        """Return the resume to apply with; ``None`` where the application is deferred, or has made
        another transition, and is not to be sent now. Raises :class:`ConcurrentUpdate`."""
        account = self.account
        try:
            return self._choose(application, person)
        except _Settled:
            pass
        except HHVacancyNotFound:
            account.transition(application, "refused", reason="vacancy_not_found")
        except NeedsPerson as error:
            account.hold(application, error)
        except ResumeNotFound as error:
            account.recheck_resume(application, error.reason)
        except resume_creation.ResumeNotVisible:
            self._wait_for_resume(application)
        except resume_creation.ResumeUnavailable as error:
            account.transition(application, "needs_person", reason=error.reason, link=error.link)
        except Unavailable as error:
            account.postpone(application, error)
        except HHError as error:
            account.hand_off(application, error)
        return None

    def _choose(self, application: Application, person: Person) -> ResumeChoice:
        """Return the resume. Raises :class:`_Settled`, and what hh.ru and the resumes raise."""
        account = self.account
        is_possible = self._is_possible(application, person)
        prepared = account.transition(  # its letter stays from here on
            application, "preparing", due_at=account.context.now() + attempts.CALL_TIMEOUT
        )
        vacancy = self._find_recent(application) or self._read_vacancy(application)
        makes_letter = application.letter_template_id is not None
        self._require_open(application, vacancy, needs_letter=is_possible and not makes_letter)
        if not is_possible:
            self.handing_off.hand_off(prepared, person, vacancy)
            raise _Settled
        access.require(person.access, now=account.context.now())
        try:
            choice = self._choose_resume(application, person, vacancy)
            if prepared.is_examined and self.handing_off.reviewer.settle(
                prepared, person, vacancy, choice
            ):
                raise _Settled
        except NeedsPerson as error:
            if method_status.closed_method(error) != "resumes_read":
                raise
            # Whether hh.ru takes applications, Core cannot learn: the person has the letter, too.
            self.handing_off.hand_off(prepared, person, vacancy)
            raise _Settled from error
        return choice

    def _is_possible(self, application: Application, person: Person) -> bool:
        """Return whether hh.ru lets Core apply now. Raises :class:`_Settled`, with all applications
        deferred, where the limits allow none.

        An application that would probe whether applying is open again does not wait for a limit.
        """
        account = self.account
        if account.is_applying_closed(application):
            return False
        if application.is_examined and self.handing_off.reviewer.is_for_person(application):
            return True  # nothing is sent before the person's yes
        wait = self._wait_for_quota(application, person)
        if account.hold_to_pace(application):  # before the vacancy is read for nothing
            raise _Settled
        if wait is None:
            return True
        if account.method("apply").state == "closed":  # and its probe is due
            return False
        account.defer_all(wait, application)
        raise _Settled

    def _wait_for_quota(self, application: Application, person: Person) -> datetime | None:
        """Return when the limits allow the application, ``None``: now."""
        account = self.account
        return availability.next_allowed_at(
            account.account_id,
            person.access,
            connection=account.context.connection,
            now=account.context.now(),
            has_token=self._has_token(application),
        )

    def _has_token(self, application: Application) -> bool:
        """Return whether a token was charged already: its call never left, or the worker's process
        ended before the call. However long the application waits, nothing is charged twice."""
        account = self.account
        made = account.attempts_made(application)
        if made.has_unused_token:
            return True
        if application.state != "preparing":
            return False
        charged = token_bucket.was_granted(
            "submit", account.account_id, spend_id=spend_id(application, made)
        )
        if charged:
            # The bucket forgets a grant after twenty others; the ledger does not.
            account.record_unsent(application)
        return charged

    def _find_recent(self, application: Application) -> VacancyDetail | None:
        """Return the vacancy if it need not be read again: see :func:`find_recent_vacancy`."""
        context = self.account.context
        return find_recent_vacancy(
            application, self.account.account_id, connection=context.connection, now=context.now()
        )

    def _read_vacancy(self, application: Application) -> VacancyDetail:
        """Return the vacancy as hh.ru has it now, and store it: a week's applications are counted
        by its employer, and its full text says of which job it is a posting. Raises
        :class:`_Settled` where the call failed, or hh.ru keeps vacancies closed, and the other
        errors of :mod:`ullgetthejob.hh.errors`."""
        try:
            return self.account.read_vacancy(application.vacancy_id)
        except HHForbidden:
            self._settle_unread(application)
            raise _Settled from None
        except HHUnavailable as error:
            self.account.postpone(application, error, max_failed_calls=MAX_FAILED_VACANCY_CALLS)
            raise _Settled from error

    def _settle_unread(self, application: Application) -> None:
        """Settle an application whose vacancy hh.ru does not show: the filters drop what is stored
        of it, or the person looks at it and applies."""
        account = self.account
        connection = account.context.connection
        held = decisions.advise(
            account.account_id,
            application.vacancy_id,
            connection=connection,
            now=account.context.now(),
        ) or decisions.hold_repost(
            account.account_id,
            application.vacancy_id,
            repost=application.repost,
            connection=connection,
        )
        if held is None:
            wanted = application.wanted_resume_id
            choice = ResumeChoice(wanted, ASKED_FOR) if wanted else None
            account.hand_off(application, reason=method_status.CLOSED_CODE, choice=choice)
        else:
            account.transition(application, held.state, reason=held.reason)

    def _require_open(
        self, application: Application, vacancy: VacancyDetail, *, needs_letter: bool
    ) -> None:
        """Raise :class:`_Settled` where it is known before the call that hh.ru will refuse, or that
        the person's filters do: no token is spent then."""
        hindrance = find_hindrance(
            application,
            vacancy,
            apply_filters=lambda: self.account.apply_filters(application, vacancy),
            needs_letter=needs_letter,
        )
        if hindrance is not None:
            self.account.transition(
                application, hindrance.state, reason=hindrance.reason, link=hindrance.link
            )
            raise _Settled

    def _choose_resume(
        self, application: Application, person: Person, vacancy: VacancyDetail
    ) -> ResumeChoice:
        """Return the resume that was created for the application, else one of the person's own.
        Raises as :func:`resume_creation.prepare` and :func:`select_resume` do."""
        account = self.account

        def call(method: Method, request: Callable[[Any], Any]) -> Any:
            return account.call_hh(person, method, request)

        created = resume_creation.prepare(application, vacancy, call, account.context)
        return created or choose_resume(
            account.account_id,
            vacancy,
            wanted=application.wanted_resume_id,
            call=call,
            context=account.context,
        )

    def _wait_for_resume(self, application: Application) -> None:
        """Queue the application until hh.ru shows its new resume, and notify the account then: the
        sweeper would do so only a minute later."""
        poll_interval = resume_creation.VISIBILITY_POLL_INTERVAL
        self.account.transition(
            application,
            "queued",
            reason="resume_not_visible",
            due_at=self.account.context.now() + poll_interval,
        )
        queues.notify(
            ledger.QUEUE,
            {"account_id": str(self.account.account_id)},
            after_s=int(poll_interval.total_seconds()),
        )
