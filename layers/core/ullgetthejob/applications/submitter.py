"""The submitter: the worker that makes the applications that are due, one account at a time.

One worker holds the account's lease and takes its applications one after another. For each: is the
account's access in order, is there a token and a slot in hh.ru's 24 hours, does the vacancy take
applications, which resume (:mod:`.preparation`); then the token is spent, the attempt recorded, and
hh.ru called, once; then its answer is recorded (:mod:`.settlement`). A worker's process may end at
any line: its application comes due again, and an attempt without an outcome is settled by reading
hh.ru's negotiations, never by another call.

The same worker reads the account's negotiations when they are due (:mod:`.negotiation_sync`),
before it applies: what the person did by hand is counted first.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import hh_calls, method_status
from ullgetthejob.applications import applying, attempts, deferral, ledger, negotiation_sync
from ullgetthejob.applications.ledger import ConcurrentUpdate
from ullgetthejob.applications.preparation import Preparation, spend_id
from ullgetthejob.applications.settlement import Settlement
from ullgetthejob.applications.transitions import AccountTransitions
from ullgetthejob.hh.errors import HHApplyRefused, HHError
from ullgetthejob.platform import leased_work, tracing
from ullgetthejob.platform.errors import NeedsPerson, Unavailable
from ullgetthejob.platform.telemetry import logger
from ullgetthejob.rate_limits import availability, status, token_bucket

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.application import Application
    from ullgetthejob.applications.resume_selection import ResumeChoice
    from ullgetthejob.hh.method_access import Admission
    from ullgetthejob.platform.context import Context

    Connection = psycopg.Connection[dict[str, Any]]

LEASE_S = 120
RUN_BUDGET_S = 60.0  # what may be begun within an invocation; the function's timeout is longer


def run(account_id: UUID, context: Context) -> bool:
    """Do what is due for the account, as :func:`leased_work.run` does; return whether something is
    left for another wake-up."""

    def work(deadline: float) -> None:
        worker = _Submitter(AccountTransitions(account_id, context))
        worker.sync_negotiations()
        while time.monotonic() < deadline and worker.step():
            pass

    def is_due() -> bool:
        return _is_due(account_id, connection=context.connection, now=context.now())

    return is_due() and leased_work.run(
        lease_name(account_id),
        work,
        is_due,
        context.clock,
        lease_s=LEASE_S,
        budget_s=RUN_BUDGET_S,
    )


def lease_name(account_id: UUID) -> str:
    """Return the name of the lease under which the account's applications are made."""
    return f"apply#{account_id}"


def _is_due(account_id: UUID, *, connection: Connection, now: datetime) -> bool:
    if ledger.next_due(account_id, connection=connection, now=now) is not None:
        return True
    waiting = deferral.next_deferred(account_id, connection=connection)
    if waiting is not None and applying.is_closed(
        account_id, wanted_resume_id=waiting.wanted_resume_id, connection=connection, now=now
    ):
        return True
    return negotiation_sync.is_due(account_id, connection=connection, now=now)


class _Submitter:
    """The worker that holds the account's lease."""

    def __init__(self, account: AccountTransitions) -> None:
        self._account = account
        self._preparation = Preparation(account)
        self._settlement = Settlement(account)

    def sync_negotiations(self) -> None:
        """Read the account's negotiations, if that is due."""
        account = self._account
        if negotiation_sync.is_due(
            account.account_id, connection=account.context.connection, now=account.context.now()
        ):
            self._settlement.read_negotiations()

    def step(self) -> bool:
        """Process the application that has waited longest; return whether there was one."""
        account = self._account
        now = account.context.now()
        application = ledger.next_due(
            account.account_id, connection=account.context.connection, now=now
        )
        application = application or self._next_deferred_if_allowed()
        if application is None:
            return False
        try:
            with tracing.continued(application.trace_id):
                self._process(application, now)
        except ConcurrentUpdate:
            logger.info("an application was changed concurrently")
        return True

    def _process(self, application: Application, now: datetime) -> None:
        if application.state == "handoff":
            self._preparation.complete_hand_off(application)
        elif application.state == "submitting":
            self._settlement.on_interrupted(application)
        elif application.state == "uncertain":
            self._settlement.settle(application)
        elif application.expires_at is not None and application.expires_at <= now:
            self._account.transition(application, "expired", reason="waited_too_long")
        else:
            self._apply(application)

    def _next_deferred_if_allowed(self) -> Application | None:
        """Return the first application that waits for quota, if there is some: tokens that
        gathered, or that were given back."""
        account = self._account
        application = deferral.next_deferred(
            account.account_id, connection=account.context.connection
        )
        if application is None:
            return None
        held = account.find_person(application).access
        if applying.is_closed(
            account.account_id,
            wanted_resume_id=application.wanted_resume_id,
            connection=account.context.connection,
            now=account.context.now(),
        ):
            return application  # it is handed off
        try:
            wait = availability.next_allowed_at(
                account.account_id,
                held,
                connection=account.context.connection,
                now=account.context.now(),
            )
        except Unavailable:
            return None
        return application if wait is None else None

    def _apply(self, application: Application) -> None:
        account = self._account
        person = account.find_person(application)
        choice = self._preparation.prepare(application, person)
        if choice is None:
            return
        try:
            admission = hh_calls.admit(person, "apply", account.context)
        except NeedsPerson as error:  # closed since, or another caller probes it
            account.hold(application, error)
            return
        spent = spend_id(application, connection=account.context.connection)
        # The token of an earlier call that was never sent was spent at some other time.
        has_token = attempts.has_unused_token(application.id, connection=account.context.connection)
        spent_at = None if has_token else account.context.now()
        sent = self._begin_attempt(application, choice, spent)
        if sent is None:
            return
        status.publish_status(
            person, connection=account.context.connection, now=account.context.now()
        )
        try:
            self._call(sent, person, choice, admission)
        except NeedsPerson as error:
            # Before the outcome is recorded: after that, nothing would give the token back.
            if method_status.closed_method(error) == "apply":
                self._give_back_token(person, spent, spent_at)
            self._settlement.on_access_denied(sent, error)

    def _begin_attempt(
        self, application: Application, choice: ResumeChoice, spent: str
    ) -> Application | None:
        """Spend a token and record the attempt; return the row as it is sent, ``None`` where it
        waits. Raises :class:`ConcurrentUpdate`."""
        account = self._account
        if not attempts.has_unused_token(application.id, connection=account.context.connection):
            try:
                token = token_bucket.acquire(
                    "submit",
                    account.account_id,
                    spend_id=spent,
                    now=account.context.now(),
                )
            except Unavailable as error:
                account.postpone(application, error)
                return None
            if isinstance(token, token_bucket.Denied):
                account.defer_all(token.next_at, application)
                return None
        begun = attempts.begin_attempt(
            application,
            choice.resume_id,
            choice.reason,
            connection=account.context.connection,
            now=account.context.now(),
        )
        if isinstance(begun, datetime):
            account.defer_all(begun, application)
            return None
        return begun

    def _call(
        self,
        sent: Application,
        person: Person,
        choice: ResumeChoice,
        admission: Admission,
    ) -> None:
        """Make the call that applies, once, and record its answer. Raises :class:`NeedsPerson`."""
        context = self._account.context
        try:
            negotiation_id = hh_calls.call_as_account(
                person,
                "apply",
                lambda token: context.hh.apply(
                    token,
                    vacancy_id=sent.vacancy_id,
                    resume_id=choice.resume_id,
                    letter=sent.letter,
                ),
                context,
                admission=admission,
            )
        except HHApplyRefused as error:
            self._settlement.on_refused(sent, error)
        except (HHError, Unavailable) as error:
            self._settlement.on_failed(sent, error)
        else:
            self._settlement.on_submitted(sent, negotiation_id, "accepted")

    def _give_back_token(self, person: Person, spent: str, spent_at: datetime | None) -> None:
        """Give back the token of a call that was not possible; without DynamoDB it is lost,
        and comes back with time."""
        if spent_at is None:
            return
        account = self._account
        now = account.context.now()
        try:
            given = token_bucket.give_back(
                "submit", account.account_id, spend_id=spent, spent_at=spent_at, now=now
            )
        except Unavailable:
            logger.warning("a token could not be given back")
            return
        if given:
            status.publish_status(person, connection=account.context.connection, now=now)
