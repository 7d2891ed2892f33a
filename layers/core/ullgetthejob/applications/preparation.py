"""Preparation: what is decided about an application before the call to hh.ru that applies.

May it be sent now, does the vacancy take applications, do the person's own filters keep it, which
resume is sent. Everything here may be repeated after a worker's process has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import access
from ullgetthejob.applications import attempts, ledger, resume_creation
from ullgetthejob.applications.resume_selection import ResumeNotFound, select_resume
from ullgetthejob.applications.transitions import vacancy_url
from ullgetthejob.filters import evaluation
from ullgetthejob.hh.errors import HHError, HHUnavailable, HHVacancyNotFound
from ullgetthejob.platform import queues
from ullgetthejob.platform.errors import NeedsPerson, Unavailable
from ullgetthejob.rate_limits import availability, token_bucket
from ullgetthejob.vacancies import store

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.application import Application
    from ullgetthejob.applications.resume_selection import ResumeChoice
    from ullgetthejob.applications.transitions import AccountTransitions
    from ullgetthejob.filters import models
    from ullgetthejob.hh.models import VacancyDetail

    Connection = psycopg.Connection[dict[str, Any]]

MAX_FAILED_VACANCY_CALLS = 5


class _Settled(Exception):
    """The application has made its transition: there is nothing left to prepare."""


def spend_id(application: Application, *, connection: Connection) -> str:
    """Return the id under which the next call's token is charged: one for each call that is made,
    the same for the worker that goes on after another's process has ended."""
    number = attempts.count_sent_attempts(application.id, connection=connection) + 1
    return f"{application.id}#{number}"


@dataclass(frozen=True)
class Preparation:
    """The preparation of the applications of one account."""

    account: AccountTransitions

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
        if not access.is_applying_closed(person.access, now=account.context.now()):
            self._require_quota(application, person)
        account.transition(
            application, "preparing", due_at=account.context.now() + attempts.CALL_TIMEOUT
        )
        vacancy = self._read_vacancy(application)
        self._require_open(application, vacancy)
        access.require(person.access, now=account.context.now(), applying=True)
        return self._choose_resume(application, person, vacancy)

    def _require_quota(self, application: Application, person: Person) -> None:
        """Raise :class:`_Settled`, with all applications deferred, where the limits allow none."""
        account = self.account
        wait = availability.next_allowed_at(
            account.account_id,
            person.access,
            connection=account.context.connection,
            now=account.context.now(),
            has_token=self._has_token(application),
        )
        if wait is not None:
            account.defer_all(wait, application)
            raise _Settled

    def _has_token(self, application: Application) -> bool:
        """Return whether a token was charged already: its call never left, or the worker's process
        ended before the call. However long the application waits, nothing is charged twice."""
        account = self.account
        if attempts.has_unused_token(application.id, connection=account.context.connection):
            return True
        if application.state != "preparing":
            return False
        charged = token_bucket.was_granted(
            "submit",
            account.account_id,
            spend_id=spend_id(application, connection=account.context.connection),
        )
        if charged:
            # The bucket forgets a grant after twenty others; the ledger does not.
            attempts.record_unsent(
                application, connection=account.context.connection, now=account.context.now()
            )
        return charged

    def _read_vacancy(self, application: Application) -> VacancyDetail:
        """Return the vacancy as hh.ru has it now. Raises :class:`_Settled` where the call failed,
        and the other errors of :mod:`ullgetthejob.hh.errors`."""
        try:
            return self.account.context.hh.vacancy(application.vacancy_id)
        except HHUnavailable as error:
            self.account.postpone(application, error, max_failed_calls=MAX_FAILED_VACANCY_CALLS)
            raise _Settled from error

    def _require_open(self, application: Application, vacancy: VacancyDetail) -> None:
        """Raise :class:`_Settled` where it is known before the call that hh.ru will refuse, or that
        the person's filters do: no token is spent then."""
        account = self.account
        link = vacancy.apply_alternate_url or vacancy.alternate_url or vacancy_url(application)
        if vacancy.archived or vacancy.closed_for_applicants:
            account.transition(application, "refused", reason="vacancy_archived")
        elif held := self._apply_filters(application, vacancy):
            account.transition(application, held.state, reason=held.reason, link=link)
        elif vacancy.has_test and vacancy.test is not None and vacancy.test.required:
            account.transition(application, "handoff", reason="test_required", link=link)
        elif vacancy.response_url is not None or vacancy.type.id == "direct":
            site = vacancy.response_url or link
            account.transition(application, "handoff", reason="external_site", link=site)
        elif vacancy.response_letter_required and not application.letter:
            account.transition(application, "needs_person", reason="letter_required", link=link)
        else:
            return
        raise _Settled

    def _apply_filters(
        self, application: Application, vacancy: VacancyDetail
    ) -> models.Held | None:
        """Return why the person's filters hold the application back, or ``None``. The vacancy is
        stored: a week's applications are counted by its employer, and its full text says of which
        job it is a posting."""
        account = self.account

        def stored(vacancy: VacancyDetail) -> VacancyDetail:
            store.store_detail(
                vacancy, connection=account.context.connection, now=account.context.now()
            )
            return vacancy

        return evaluation.decide(
            account.account_id,
            stored(vacancy),
            repost=application.repost,
            look_up=lambda vacancy_id: stored(account.context.hh.vacancy(vacancy_id)),
            connection=account.context.connection,
            now=account.context.now(),
        )

    def _choose_resume(
        self, application: Application, person: Person, vacancy: VacancyDetail
    ) -> ResumeChoice:
        """Return the resume that was created for the application, else one of the person's own.
        Raises as :func:`resume_creation.prepare` and :func:`select_resume` do."""
        account = self.account

        def call(request: Callable[[Any], Any]) -> Any:
            return account.call_hh(person, request)

        created = resume_creation.prepare(application, vacancy, call, account.context)
        return created or select_resume(
            call(account.context.hh.resumes),
            vacancy,
            wanted=application.wanted_resume_id,
            read=lambda resume_id: dict(
                call(lambda token: account.context.hh.resume(token, resume_id))
            ),
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
