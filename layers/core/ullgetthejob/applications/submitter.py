"""The applier: all that is due for one account, one by one, by one worker at a time.

For each application: is the account's access in order, is there a token and room in hh.ru's 24
hours, does the vacancy take applications, which resume; then the token is taken, the attempt put on
record, and hh.ru called, once. A worker may die at any line: what it was at comes due again, and an
attempt without an outcome is settled by reading hh.ru's negotiations, never by another call.

The same worker reads the account's negotiations when they are due (:mod:`.outcomes`), before it
applies: what the person did by hand is counted first.
"""

from __future__ import annotations

import contextlib
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import access, access_changes, audit, hh_calls, people
from ullgetthejob.applications import (
    application_states,
    attempts,
    deferral,
    ledger,
    negotiation_sync,
    resume_creation,
)
from ullgetthejob.applications.filters import evaluation, models
from ullgetthejob.applications.ledger import ConcurrentUpdate
from ullgetthejob.applications.resume_selection import ResumeChoice, ResumeNotFound, select_resume
from ullgetthejob.hh.errors import (
    Action,
    HHApplyRefused,
    HHError,
    HHRegionBlocked,
    HHUnavailable,
    HHVacancyNotFound,
)
from ullgetthejob.platform import leases, queues
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.errors import AppError, NeedsPerson, Unavailable
from ullgetthejob.platform.telemetry import count, logger
from ullgetthejob.rate_limits import availability, daily_limit, status, token_bucket
from ullgetthejob.vacancies import store

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.ledger import Application
    from ullgetthejob.hh.client import HHClient
    from ullgetthejob.hh.models import VacancyDetail

    Connection = psycopg.Connection[dict[str, Any]]

LEASE_S = 120
RUN_BUDGET_S = 60.0  # what may be begun within an invocation; the function's timeout is longer
MAX_ATTEMPTS = 3
# Calls for one application that hh.ru fails, one after another, while it answers others.
MAX_FAILED_CALLS = 20
MAX_FAILED_VACANCY_CALLS = 5
FAILED_CALL_PAUSE = timedelta(seconds=5)  # longer by as much each time
MAX_FAILED_CALL_PAUSE = timedelta(minutes=10)
NEGOTIATION_RECHECK = timedelta(seconds=30)
NEGOTIATION_LAST_RECHECK = timedelta(minutes=1)
NEW_RESUME_RECHECK = timedelta(seconds=10)
MAX_RESUME_RECHECKS = 6
LIMIT_WAIT = timedelta(minutes=30)

# Of the account's access, as the applications that it holds up see it.
REASON_BY_ACCESS_CODE = {"reauth_required": "reauth_required", "hh_captcha": "captcha"}


def run(
    account_id: UUID,
    *,
    hh: HHClient,
    connection: Connection,
    clock: Callable[[], datetime],
    request_id: str,
) -> bool:
    """Do what is due; whether something is left for another bell.

    A bell that rings while another worker has the lease may be forgotten: that worker looks again
    after it has let go.
    """
    ends = time.monotonic() + RUN_BUDGET_S
    while _is_due(account_id, connection=connection, now=clock()):
        lease = leases.acquire(f"apply#{account_id}", seconds=LEASE_S, now=clock())
        if lease is None:
            return False
        try:
            worker = _Submitter(
                account_id, hh=hh, connection=connection, clock=clock, request_id=request_id
            )
            worker.sync_negotiations()
            while time.monotonic() < ends and worker.step():
                pass
        finally:
            lease.release()
        if time.monotonic() >= ends:
            return True
    return False


def _is_due(account_id: UUID, *, connection: Connection, now: datetime) -> bool:
    if ledger.next_due(account_id, connection=connection, now=now) is not None:
        return True
    return negotiation_sync.is_due(account_id, connection=connection, now=now)


class _Submitter:
    """Who holds the account's lease."""

    def __init__(
        self,
        account_id: UUID,
        *,
        hh: HHClient,
        connection: Connection,
        clock: Callable[[], datetime],
        request_id: str,
    ) -> None:
        self._account_id = account_id
        self._hh = hh
        self._connection = connection
        self._clock = clock
        self._caller = Caller("core", request_id)

    def sync_negotiations(self) -> None:
        """Read the account's negotiations, if that is due."""
        if negotiation_sync.is_due(
            self._account_id, connection=self._connection, now=self._clock()
        ):
            self._read_negotiations()

    def _read_negotiations(self) -> None:
        negotiation_sync.sync(
            self._account_id,
            hh=self._hh,
            connection=self._connection,
            clock=self._clock,
            caller=self._caller,
        )

    def step(self) -> bool:
        """Do what has waited longest; whether there was anything."""
        now = self._clock()
        application = ledger.next_due(self._account_id, connection=self._connection, now=now)
        application = application or self._next_deferred_if_allowed()
        if application is None:
            return False
        try:
            if application.state == "submitting":
                self._check_lost_call(application)
            elif application.state == "uncertain":
                self._settle(application)
            elif application.expires_at is not None and application.expires_at <= now:
                self._transition(application, "expired", reason="waited_too_long")
            else:
                self._apply(application)
        except ConcurrentUpdate:
            logger.info("an application moved meanwhile")
        return True

    def _next_deferred_if_allowed(self) -> Application | None:
        """Who waits for quota, if there is some: tokens that gathered, or that were given back."""
        application = deferral.next_deferred(self._account_id, connection=self._connection)
        if application is None:
            return None
        held = self._person(application).access
        try:
            wait = availability.next_allowed_at(
                self._account_id, held, connection=self._connection, now=self._clock()
            )
        except Unavailable:
            return None
        return application if wait is None else None

    # ── before the call ──────────────────────────────────────────────────────────────────────────

    def _apply(self, application: Application) -> None:
        person = self._person(application)
        try:
            wait = availability.next_allowed_at(
                self._account_id,
                person.access,
                connection=self._connection,
                now=self._clock(),
                has_token=self._has_token(application),
            )
            if wait is not None:
                self._defer_all(wait, application)
                return
            self._transition(application, "preparing", due_at=self._clock() + attempts.CALL_TIMEOUT)
            vacancy = self._read_vacancy(application)
            self._refuse_unless_open(application, vacancy)
            access.require(person.access, now=self._clock(), applying=True)
            choice = self._choose_resume(application, person, vacancy)
        except _Settled:
            return
        except HHVacancyNotFound:
            self._transition(application, "refused", reason="vacancy_not_found")
            return
        except NeedsPerson as error:
            self._hold(application, error)
            return
        except ResumeNotFound as error:
            self._without_resume(application, error.reason)
            return
        except resume_creation.ResumeNotVisible:
            self._wait_for_resume(application)
            return
        except resume_creation.ResumeUnavailable as error:
            self._transition(application, "needs_person", reason=error.reason, link=error.link)
            return
        except Unavailable as error:
            self._postpone(application, error)
            return
        except HHError as error:
            self._hand_off(application, error)
            return
        self._call(application, person, choice)

    def _read_vacancy(self, application: Application) -> VacancyDetail:
        """Return the vacancy as hh.ru has it now. Raises :class:`_Stop` where the call failed."""
        try:
            return self._hh.vacancy(application.vacancy_id)
        except HHUnavailable as error:
            self._postpone(application, error, most=MAX_FAILED_VACANCY_CALLS)
            raise _Settled from error

    def _has_token(self, application: Application) -> bool:
        """Whether it was charged already: its call never left, or its worker died over it. However
        long its turn took to come, nothing is charged twice."""
        if attempts.has_unused_token(application.id, connection=self._connection):
            return True
        if application.state != "preparing":
            return False
        spend_id = self._spend_id(application)
        charged = token_bucket.was_granted("submit", self._account_id, spend_id=spend_id)
        if charged:
            # The bucket forgets it after twenty others; from now on it stands on record.
            attempts.record_unsent(application, connection=self._connection, now=self._clock())
        return charged

    def _spend_id(self, application: Application) -> str:
        """One for each call that is made, the same for whoever goes on after a worker died."""
        number = attempts.count_sent_attempts(application.id, connection=self._connection) + 1
        return f"{application.id}#{number}"

    def _person(self, application: Application) -> Person:
        return people.find_by_account(application.account_id, user_id=application.user_id)

    def _refuse_unless_open(self, application: Application, vacancy: VacancyDetail) -> None:
        """No token is spent where it is known before that hh.ru will say no."""
        link = vacancy.apply_alternate_url or vacancy.alternate_url or _vacancy_url(application)
        if vacancy.archived or vacancy.closed_for_applicants:
            self._transition(application, "refused", reason="vacancy_archived")
        elif held := self._apply_filters(vacancy):
            self._transition(application, held.state, reason=held.reason, link=link)
        elif vacancy.has_test and vacancy.test is not None and vacancy.test.required:
            self._transition(application, "handoff", reason="test_required", link=link)
        elif vacancy.response_url is not None or vacancy.type.id == "direct":
            site = vacancy.response_url or link
            self._transition(application, "handoff", reason="external_site", link=site)
        elif vacancy.response_letter_required and not application.letter:
            self._transition(application, "needs_person", reason="letter_required", link=link)
        else:
            return
        raise _Settled

    def _apply_filters(self, vacancy: VacancyDetail) -> models.Held | None:
        """What the person's own rules say. The vacancy is kept: a week's applications are counted
        by its employer."""

        def keep(vacancy: VacancyDetail) -> VacancyDetail:
            store.store_detail(vacancy, connection=self._connection, now=self._clock())
            return vacancy

        return evaluation.decide(
            self._account_id,
            keep(vacancy),
            look_up=lambda id: keep(self._hh.vacancy(id)),
            connection=self._connection,
            now=self._clock(),
        )

    def _choose_resume(
        self, application: Application, person: Person, vacancy: VacancyDetail
    ) -> ResumeChoice:
        def ask(question: Callable[[Any], Any]) -> Any:
            return hh_calls.call_as_account(
                person, question, hh=self._hh, connection=self._connection, now=self._clock()
            )

        made = resume_creation.prepare(
            application,
            vacancy,
            ask=ask,
            hh=self._hh,
            connection=self._connection,
            clock=self._clock,
            caller=self._caller,
        )
        return made or select_resume(
            ask(self._hh.resumes),
            vacancy,
            wanted=application.wanted_resume_id,
            read=lambda id: dict(ask(lambda token: self._hh.resume(token, id))),
        )

    def _without_resume(self, application: Application, reason: str) -> None:
        """A resume that was just made may not be visible yet."""
        made_at = resume_creation.requested_at(application.id, connection=self._connection)
        waited = self._clock() - (made_at or application.created_at)
        if reason == "resume_not_available" and waited < MAX_RESUME_RECHECKS * NEW_RESUME_RECHECK:
            self._transition(
                application, "queued", reason=reason, due_at=self._clock() + NEW_RESUME_RECHECK
            )
        else:
            self._transition(
                application, "needs_person", reason=reason, link=_vacancy_url(application)
            )

    def _wait_for_resume(self, application: Application) -> None:
        """Until hh.ru shows the one that was made. A bell rings then, for the sweeper's is late."""
        due_at = self._clock() + resume_creation.VISIBILITY_POLL_INTERVAL
        self._transition(application, "queued", reason="resume_not_visible", due_at=due_at)
        queues.notify(
            ledger.QUEUE,
            {"account_id": str(self._account_id)},
            after_s=int(resume_creation.VISIBILITY_POLL_INTERVAL.total_seconds()),
        )

    # ── the call ─────────────────────────────────────────────────────────────────────────────────

    def _call(self, application: Application, person: Person, choice: ResumeChoice) -> None:
        if not attempts.has_unused_token(application.id, connection=self._connection):
            try:
                token = token_bucket.acquire(
                    "submit",
                    self._account_id,
                    spend_id=self._spend_id(application),
                    now=self._clock(),
                )
            except Unavailable as error:
                self._postpone(application, error)
                return
            if isinstance(token, token_bucket.Denied):
                self._defer_all(token.next_at, application)
                return
        attempt = attempts.begin_attempt(
            application,
            choice.resume_id,
            choice.reason,
            connection=self._connection,
            now=self._clock(),
        )
        if isinstance(attempt, datetime):
            self._defer_all(attempt, application)
            return
        status.publish_status(person, connection=self._connection, now=self._clock())
        try:
            negotiation_id = hh_calls.call_as_account(
                person,
                lambda source: self._hh.apply(
                    source,
                    vacancy_id=application.vacancy_id,
                    resume_id=choice.resume_id,
                    letter=attempt.letter,
                ),
                hh=self._hh,
                connection=self._connection,
                now=self._clock(),
                applying=True,
            )
        except HHApplyRefused as error:
            self._refused(application, error)
        except NeedsPerson as error:
            with self._connection.transaction():
                self._close_attempt(application, error.code)
                self._hold(application, error)
        except (HHError, Unavailable) as error:
            self._failed(application, error)
        else:
            self._submitted(application, negotiation_id, "accepted")

    def _submitted(
        self, application: Application, negotiation_id: str | None, outcome: str
    ) -> None:
        with self._connection.transaction():
            self._close_attempt(application, outcome, counts=outcome != "already_applied")
            self._transition(
                application,
                "submitted",
                reason=None if outcome == "accepted" else outcome,
                negotiation_id=negotiation_id,
                submitted_at=self._clock(),
            )
            # One that was there before is not counted yet: hh.ru says since when.
            soon = timedelta(0) if outcome == "already_applied" else negotiation_sync.MIN_INTERVAL
            negotiation_sync.schedule_sync(
                self._account_id, at=self._clock() + soon, connection=self._connection
            )
        count("ApplicationsSubmitted")

    def _refused(self, application: Application, error: HHApplyRefused) -> None:
        """What hh.ru said no to, by its table."""
        if error.action is Action.TREAT_AS_DONE:
            self._submitted(application, None, "already_applied")
            return
        if error.action is Action.WAIT_FOR_LIMIT:
            self._close_attempt(application, error.reason)
            self._limited(application)
        else:
            with self._connection.transaction():
                self._close_attempt(application, error.reason)
                self._follow_negotiation(application, error)
        count("ApplicationsRefused")

    def _follow_negotiation(self, application: Application, error: HHApplyRefused) -> None:
        if error.action is Action.WAIT_FOR_RESUME:
            self._without_resume(application, "resume_not_available")
        elif error.action is Action.DROP:
            self._transition(application, "refused", reason=error.reason)
        elif error.action is Action.FIX_LETTER:
            self._transition(
                application, "needs_person", reason=error.reason, link=_vacancy_url(application)
            )
        else:
            link = error.link or _vacancy_url(application)
            self._transition(application, "handoff", reason=error.reason, link=link)

    def _limited(self, application: Application) -> None:
        """hh.ru counts more than we know of: the person applies by hand, too. Once that is read,
        it is known when there is room; else it is tried again a while later."""
        seen = self._person(application).access
        self._read_negotiations()
        now = self._clock()
        room = daily_limit.next_slot_in_24h(self._account_id, connection=self._connection, now=now)
        until = room if room > now else now + LIMIT_WAIT
        with self._connection.transaction():  # holds also where the person applied to this one
            access_changes.change_access(
                self._account_id,
                "limited_until",
                reason="limit_exceeded",
                until=until,
                connection=self._connection,
                now=now,
                seen=seen,
            )
            negotiation_sync.schedule_sync(self._account_id, at=until, connection=self._connection)
        self._transition(application, "waiting_quota", reason="quota", due_at=until)

    def _failed(self, application: Application, error: AppError | HHError) -> None:
        """No answer: if hh.ru may have acted, its negotiations will tell."""
        if getattr(error, "may_have_acted", False):
            due_at = self._clock() + NEGOTIATION_RECHECK
            reason = "no_answer" if getattr(error, "is_lost", True) else "unclear_answer"
            self._transition(application, "uncertain", reason=reason, due_at=due_at)
            count("ApplicationsUncertain")
            return
        with self._connection.transaction():
            if isinstance(error, Unavailable):
                self._close_attempt(application, "not_sent")
                self._postpone(application, error)
            else:
                self._close_attempt(application, _error_code(error))
                self._hand_off(application, error)

    # ── after it ─────────────────────────────────────────────────────────────────────────────────

    def _check_lost_call(self, application: Application) -> None:
        """Whoever made the call is gone, and what came of it is not on record."""
        self._transition(application, "uncertain", reason="interrupted", due_at=self._clock())
        count("ApplicationsUncertain")

    def _settle(self, application: Application) -> None:
        """Look among hh.ru's negotiations. Absent twice, a minute apart: it was never there, and is
        made again if its answer was lost. What hh.ru answered unclearly is not made again."""
        try:
            page = hh_calls.call_as_account(
                self._person(application),
                lambda token: self._hh.negotiations(token, vacancy_id=application.vacancy_id),
                hh=self._hh,
                connection=self._connection,
                now=self._clock(),
            )
        except (HHError, NeedsPerson, Unavailable) as error:
            if getattr(error, "code", None) == access.CODES["closed"]:
                self._hand_off(application, error)  # nobody but the person can look
                return
            if application.expires_at is not None and application.expires_at <= self._clock():
                # Nobody could look for so long; the person can, and a retry is answered by hh.ru.
                self._transition(
                    application, "handoff", reason="hh_unreliable", link=_vacancy_url(application)
                )
                return
            failed = self._count_failed_call(application, error)
            if failed >= MAX_FAILED_CALLS and self._hh.is_answering():
                self._hand_off(application, reason="hh_unreliable")
                return
            self._transition(
                application,
                "uncertain",
                reason=application.reason,
                due_at=self._clock() + max(NEGOTIATION_LAST_RECHECK, _pause_after(failed)),
                keeps_failed_calls=True,
            )
            return
        found = [one for one in page.items if one.vacancy_id == application.vacancy_id]
        if found:
            self._submitted(application, found[0].id, "found_at_hh")
        elif application.reason == "unclear_answer":
            with self._connection.transaction():
                self._close_attempt(application, "unclear_answer")
                self._hand_off(application, reason="unclear_answer")
        elif application.reason != "not_seen":
            due_at = self._clock() + NEGOTIATION_LAST_RECHECK
            self._transition(application, "uncertain", reason="not_seen", due_at=due_at)
        else:
            with self._connection.transaction():
                self._close_attempt(application, "never_arrived")
                self._try_again(application)

    def _try_again(self, application: Application) -> None:
        if attempts.count_sent_attempts(application.id, connection=self._connection) < MAX_ATTEMPTS:
            self._transition(application, "queued", reason="never_arrived", due_at=self._clock())
        else:
            self._transition(
                application, "handoff", reason="hh_unreliable", link=_vacancy_url(application)
            )

    # ── what they share ──────────────────────────────────────────────────────────────────────────

    def _transition(
        self,
        application: Application,
        state: application_states.State,
        *,
        reason: str | None = None,
        due_at: datetime | None = None,
        **found: Any,
    ) -> Application:
        # What its person has cancelled meanwhile stays so: to begin anew is for them alone.
        source = [
            one
            for one in application_states.ALLOWED_SOURCES[state]
            if one not in application_states.RETRYABLE
        ]
        return ledger.transition(
            application.id,
            state,
            source=source,
            connection=self._connection,
            now=self._clock(),
            reason=reason,
            due_at=due_at,
            **found,
        )

    def _close_attempt(
        self, application: Application, outcome: str, *, counts: bool = False
    ) -> None:
        """Put on record what came of the attempt, and the act on the person's account."""
        with self._connection.transaction():
            attempts.close_attempts(
                application.id,
                outcome,
                counts=counts,
                connection=self._connection,
                now=self._clock(),
            )
            audit.write(
                "apply",
                outcome,
                caller=self._caller,
                user_id=application.user_id,
                account_id=application.account_id,
                connection=self._connection,
                now=self._clock(),
            )

    def _hold(self, application: Application, error: NeedsPerson) -> None:
        """hh.ru does not let Core act for the account. Where it keeps applying closed, the person
        can go on with all that waits, and need not learn it one by one."""
        if error.code in REASON_BY_ACCESS_CODE:
            link = ((error.details or {}).get("access") or {}).get("captcha_url")
            self._transition(
                application, "needs_person", reason=REASON_BY_ACCESS_CODE[error.code], link=link
            )
            return
        self._hand_off(application, error)
        for waiting in ledger.list_waiting(self._account_id, connection=self._connection):
            with contextlib.suppress(ConcurrentUpdate):
                self._hand_off(waiting, error)

    def _hand_off(
        self,
        application: Application,
        error: AppError | HHError | None = None,
        *,
        reason: str | None = None,
    ) -> None:
        """hh.ru says no, and would say it again: the last step is the person's."""
        reason = reason or _error_code(error)
        self._transition(application, "handoff", reason=reason, link=_vacancy_url(application))

    def _postpone(
        self, application: Application, error: AppError | HHError, *, most: int = MAX_FAILED_CALLS
    ) -> None:
        """Try again later, and later still after each call that failed. What alone has failed
        *most* times in a row, while hh.ru answers other calls, is left to the person."""
        pause = timedelta(seconds=max(5, getattr(error, "retry_after_s", 5)))
        failed = self._count_failed_call(application, error)
        if failed >= most and self._hh.is_answering():
            self._hand_off(application, reason="hh_unreliable")
            return
        self._transition(
            application,
            "queued",
            reason=_error_code(error),
            due_at=self._clock() + max(pause, _pause_after(failed)),
            keeps_failed_calls=True,
        )

    def _count_failed_call(self, application: Application, error: BaseException) -> int:
        """Return how many calls hh.ru failed in a row; 0 where none was made this time."""
        if not isinstance(error, HHUnavailable | HHRegionBlocked) or error.is_pause:
            return 0
        return ledger.count_failed_call(application.id, connection=self._connection)

    def _defer_all(self, until: datetime, application: Application | None = None) -> None:
        """The account has to wait: what is due, and *application*, which is being made."""
        deferral.defer_queued(
            self._account_id,
            first=until,
            every=availability.token_interval(),
            id=application.id if application else None,
            connection=self._connection,
            now=self._clock(),
        )


class _Settled(Exception):
    """The application was moved where nothing more is to be done now."""


def _error_code(error: AppError | HHError | None) -> str:
    return str(getattr(error, "code", "hh_unavailable"))


def _pause_after(failed_calls: int) -> timedelta:
    """Return how long to wait after so many calls that failed in a row."""
    return min(FAILED_CALL_PAUSE * failed_calls, MAX_FAILED_CALL_PAUSE)


def _vacancy_url(application: Application) -> str:
    """The vacancy's page at hh.ru."""
    return f"https://hh.ru/vacancy/{application.vacancy_id}"
