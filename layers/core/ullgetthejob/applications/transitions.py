"""The transitions that a submitter makes for its account, and the calls that it makes to hh.ru.

Shared by what precedes the call that applies (:mod:`.preparation`), that call (:mod:`.submitter`)
and what follows it (:mod:`.settlement`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import audit, hh_calls, people
from ullgetthejob.accounts.token_renewal import AccountToken
from ullgetthejob.applications import (
    application_states,
    applying,
    attempts,
    deferral,
    ledger,
    pacing,
    resume_creation,
)
from ullgetthejob.applications.application import vacancy_url
from ullgetthejob.filters import decisions
from ullgetthejob.hh import method_access
from ullgetthejob.hh.errors import HHError, HHRegionBlocked, HHUnavailable
from ullgetthejob.platform import postgres
from ullgetthejob.platform.errors import NeedsPerson
from ullgetthejob.rate_limits import availability
from ullgetthejob.vacancies import store

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.application import Application
    from ullgetthejob.applications.attempts import AttemptsMade
    from ullgetthejob.applications.resume_selection import ResumeChoice
    from ullgetthejob.filters.models import Held
    from ullgetthejob.hh.methods import Method, MethodAccess
    from ullgetthejob.hh.models import VacancyDetail
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.errors import AppError

# Failed calls in a row for one application, while hh.ru answers others, before it is handed off.
MAX_FAILED_CALLS = 20
FAILED_CALL_PAUSE = timedelta(seconds=5)  # longer by as much each time
MAX_FAILED_CALL_PAUSE = timedelta(minutes=10)
NEW_RESUME_RECHECK = timedelta(seconds=10)
MAX_RESUME_RECHECKS = 6

# The code of an access error → the reason of the applications that wait for the access.
REASON_BY_ACCESS_CODE = {"reauth_required": "reauth_required", "hh_captcha": "captcha"}


@dataclass(frozen=True)
class AccountTransitions:
    """The transitions of the applications of one account, for the holder of its lease."""

    account_id: UUID
    context: Context
    # What was read for the application in hand: see start().
    _methods: dict[Method, MethodAccess] = field(default_factory=dict)
    _made: dict[UUID, AttemptsMade] = field(default_factory=dict)

    @cached_property
    def token(self) -> AccountToken:
        """Return the account's token for all calls of this worker."""
        return AccountToken(self.account_id, hh=self.context.hh, now=self.context.now())

    def start(self) -> None:
        """Begin with another application: what was read for the last one is read again."""
        self._methods.clear()
        self._made.clear()

    def method(self, method: Method) -> MethodAccess:
        """Return the access to a method, which is read once for an application."""
        if not self._methods:
            found = method_access.read_all(self.account_id, connection=self.context.connection)
            self._methods.update((access.method, access) for access in found)
        return self._methods[method]

    def is_applying_closed(self, application: Application) -> bool:
        """Return whether hh.ru does not let Core apply: see :func:`applying.is_closed`."""
        needed = applying.list_needed(application.wanted_resume_id)
        return any(self.method(method).is_closed(self.context.now()) for method in needed)

    def attempts_made(self, application: Application) -> AttemptsMade:
        """Return the attempts before this one, which are read once for an application."""
        if application.id not in self._made:
            self._made[application.id] = attempts.read_made(
                application.id, connection=self.context.connection
            )
        return self._made[application.id]

    def record_unsent(self, application: Application) -> None:
        """Record an attempt that has its token: see :func:`attempts.record_unsent`."""
        attempts.record_unsent(
            application, connection=self.context.connection, now=self.context.now()
        )
        self._made.clear()

    def find_person(self, application: Application) -> Person:
        """Return the person whose session the application came from, with the account's access."""
        return people.find_by_account(application.account_id, user_id=application.user_id)

    def call_hh(self, person: Person, method: Method, request: Callable[[Any], Any]) -> Any:
        """Return hh.ru's answer to *request*, a call of *method* with *person*'s token. Raises as
        :func:`hh_calls.call_as_account`."""
        admission = hh_calls.admit(person, method, self.context, known=self.method(method))
        try:
            return hh_calls.call_as_account(
                person, method, request, self.context, admission=admission, token=self.token
            )
        except NeedsPerson:
            self._methods.clear()  # the method may be closed from now on
            raise

    def read_vacancy(self, vacancy_id: str) -> VacancyDetail:
        """Return a vacancy as hh.ru has it now, and store it. Raises hh.ru's errors."""
        context = self.context
        vacancy = method_access.call_as_service(
            "detail",
            lambda: context.hh.vacancy(vacancy_id),
            context,
            known=self.method("detail"),
        )
        store.store_detail(vacancy, connection=context.connection, now=context.now())
        return vacancy

    def apply_filters(self, application: Application, vacancy: VacancyDetail) -> Held | None:
        """Return why the person's filters hold the application back, or ``None``. The *vacancy* is
        stored."""
        return decisions.decide(
            self.account_id,
            vacancy,
            repost=application.repost,
            look_up=self.read_vacancy,
            connection=self.context.connection,
            now=self.context.now(),
        )

    def transition(
        self,
        application: Application,
        state: application_states.State,
        *,
        reason: str | None = None,
        due_at: datetime | None = None,
        **columns: Any,
    ) -> Application:
        """Move an application to *state* and return its row. Raises :class:`ConcurrentUpdate`.

        An application that its person has cancelled in the meantime stays cancelled: only the
        person retries it.
        """
        source = [
            allowed
            for allowed in application_states.ALLOWED_SOURCES[state]
            if allowed not in application_states.HELD
        ]
        return ledger.transition(
            application.id,
            state,
            source=source,
            connection=self.context.connection,
            now=self.context.now(),
            reason=reason,
            due_at=due_at,
            **columns,
        )

    def close_attempt(
        self, application: Application, outcome: str, *, counts: bool = False
    ) -> None:
        """Record the outcome of the open attempt, and the call in the account's audit log."""
        with postgres.atomic(self.context.connection):
            attempts.close_attempts(
                application.id,
                outcome,
                counts=counts,
                connection=self.context.connection,
                now=self.context.now(),
            )
            audit.write(
                "apply",
                outcome,
                self.context,
                user_id=application.user_id,
                account_id=application.account_id,
            )

    def hold(self, application: Application, error: NeedsPerson) -> None:
        """Move an application to where it waits for its person, since hh.ru denies Core access."""
        if error.code in REASON_BY_ACCESS_CODE:
            link = ((error.details or {}).get("access") or {}).get("captcha_url")
            self.transition(
                application, "needs_person", reason=REASON_BY_ACCESS_CODE[error.code], link=link
            )
            return
        self.hand_off(application, error)

    def hand_off(
        self,
        application: Application,
        error: AppError | HHError | None = None,
        *,
        reason: str | None = None,
        link: str | None = None,
        choice: ResumeChoice | None = None,
        letter: str | None = None,
    ) -> None:
        """Leave the last step to the person: hh.ru refuses, and would refuse again. *choice*: the
        resume that the person should send, if it is known. *letter*: one that was made for it."""
        self.transition(
            application,
            "handoff",
            reason=reason or error_code(error),
            link=link or vacancy_url(application.vacancy_id),
            resume_id=choice.resume_id if choice else None,
            resume_reason=choice.reason if choice else None,
            letter=letter,
        )

    def postpone(
        self,
        application: Application,
        error: AppError | HHError,
        *,
        max_failed_calls: int = MAX_FAILED_CALLS,
    ) -> None:
        """Queue an application for later, with a longer pause after each call that failed.

        One whose calls failed *max_failed_calls* times in a row, while hh.ru answers other calls,
        is handed off.
        """
        pause = timedelta(seconds=max(5, getattr(error, "retry_after_s", 5)))
        failed = self.count_failed_call(application, error)
        if failed >= max_failed_calls and self.context.hh.is_answering():
            self.hand_off(application, reason="hh_unreliable")
            return
        self.transition(
            application,
            "queued",
            reason=error_code(error),
            due_at=self.context.now() + max(pause, pause_after(failed)),
            keeps_failed_calls=True,
        )

    def count_failed_call(self, application: Application, error: BaseException) -> int:
        """Return how many calls hh.ru failed in a row; 0 where no call was made this time."""
        if not isinstance(error, HHUnavailable | HHRegionBlocked) or error.is_pause:
            return 0
        return ledger.count_failed_call(application.id, connection=self.context.connection)

    def defer_all(self, until: datetime, application: Application | None = None) -> None:
        """Defer what is due for the account, and *application* in preparation, from *until* on."""
        deferral.defer_queued(
            self.account_id,
            first=until,
            every=availability.token_interval(),
            preparing_id=application.id if application else None,
            connection=self.context.connection,
            now=self.context.now(),
        )

    def hold_to_pace(self, application: Application) -> bool:
        """Let an application wait for the ceilings of its autopilot, if it has any that it would
        exceed now; return whether it waits. Raises :class:`ConcurrentUpdate`."""
        connection, now = self.context.connection, self.context.now()
        slot = pacing.find_slot(application, connection=connection, now=now)
        if slot is not None:
            pacing.hold(application, slot, connection=connection, now=now)
        return slot is not None

    def recheck_resume(self, application: Application, reason: str) -> None:
        """Queue an application whose resume was not found, since a resume that was just created may
        not be visible yet; after :data:`MAX_RESUME_RECHECKS` leave it to the person."""
        requested_at = resume_creation.requested_at(
            application.id, connection=self.context.connection
        )
        waited = self.context.now() - (requested_at or application.created_at)
        if reason == "resume_not_available" and waited < MAX_RESUME_RECHECKS * NEW_RESUME_RECHECK:
            self.transition(
                application, "queued", reason=reason, due_at=self.context.now() + NEW_RESUME_RECHECK
            )
        else:
            self.transition(
                application, "needs_person", reason=reason, link=vacancy_url(application.vacancy_id)
            )


def error_code(error: AppError | HHError | None) -> str:
    """Return the error's code, which becomes the application's reason."""
    return str(getattr(error, "code", "hh_unavailable"))


def pause_after(failed_calls: int) -> timedelta:
    """Return how long to wait after so many failed calls in a row."""
    return min(FAILED_CALL_PAUSE * failed_calls, MAX_FAILED_CALL_PAUSE)
