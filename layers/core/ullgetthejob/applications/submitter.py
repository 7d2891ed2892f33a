"""The submitter: the worker that makes the applications that are due, one account at a time.

One worker holds the account's lease and takes its applications one after another. For each: is the
account's access in order, is there a token and a slot in hh.ru's 24 hours, does the vacancy take
applications, which resume (:mod:`.preparation`); then the token is spent, the attempt recorded, and
hh.ru called, once; then its answer is recorded (:mod:`.settlement`). A worker's process may end at
any line: its application comes due again, and an attempt without an outcome is settled by reading
hh.ru's negotiations, never by another call.

The same worker reads the account's negotiations when they are due (:mod:`.negotiation_sync`),
before it applies: what the person did by hand is counted first. It sends the person's replies to
employers, and reads their conversations (:mod:`.conversations`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import access, hh_calls, method_status
from ullgetthejob.applications import applying, attempts, deferral, ledger, pacing
from ullgetthejob.applications.application import Application
from ullgetthejob.applications.campaigns import send_schedule
from ullgetthejob.applications.conversations import store as conversations
from ullgetthejob.applications.conversations.reading import ConversationReader
from ullgetthejob.applications.conversations.replies import ReplySender
from ullgetthejob.applications.handing_off import HandingOff
from ullgetthejob.applications.ledger import ConcurrentUpdate
from ullgetthejob.applications.preparation import Preparation, spend_id
from ullgetthejob.applications.settlement import Settlement
from ullgetthejob.applications.transitions import AccountTransitions
from ullgetthejob.autopilot.pace import Slot
from ullgetthejob.hh.errors import HHApplyRefused, HHError
from ullgetthejob.platform import leased_work, tracing
from ullgetthejob.platform.errors import NeedsPerson, Unavailable
from ullgetthejob.platform.telemetry import logger
from ullgetthejob.rate_limits import availability, status, token_bucket

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.attempts import AttemptsMade
    from ullgetthejob.applications.resume_selection import ResumeChoice
    from ullgetthejob.hh.method_access import Admission
    from ullgetthejob.platform.context import Context

    Connection = psycopg.Connection[dict[str, Any]]

LEASE_S = 120
RUN_BUDGET_S = 60.0  # what may be begun within an invocation; the function's timeout is longer

# All that an account may have for its worker, in one statement: two rows at most, or one without an
# application.
SELECT_WORK = f"""
    SELECT account.is_sync_due, account.is_reply_due, account.is_conversation_due, work.* FROM (
        SELECT coalesce(negotiations_due_at <= %(now)s AND {access.READABLE}, false) AS is_sync_due,
            EXISTS (
                SELECT FROM application_messages m WHERE {conversations.IS_REPLY_DUE}
            ) AS is_reply_due,
            EXISTS (
                SELECT FROM application_ledger l WHERE {conversations.IS_CONVERSATION_DUE}
            ) AS is_conversation_due
        FROM accounts WHERE id = %(account_id)s
    ) AS account LEFT JOIN (
        SELECT 'due' AS kind, due.* FROM ({ledger.SELECT_NEXT_DUE}) AS due
        UNION ALL
        SELECT 'deferred', deferred.* FROM ({deferral.SELECT_NEXT_DEFERRED}) AS deferred
    ) AS work ON true
"""  # noqa: S608


def run(account_id: UUID, context: Context) -> bool:
    """Do what is due for the account, as :func:`leased_work.run` does; return whether something is
    left for another wake-up."""

    def work(deadline: float) -> None:
        _Submitter(AccountTransitions(account_id, context)).run(deadline)

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


@dataclass(frozen=True)
class _Work:
    """What an account has for its worker: the application that has been *due* longest, the first
    that is *deferred* until there is quota, and whether its negotiations are to be read, a reply is
    to be sent, and a conversation to be read."""

    due: Application | None
    deferred: Application | None
    is_sync_due: bool
    is_reply_due: bool
    is_conversation_due: bool


def _find_work(account_id: UUID, *, connection: Connection, now: datetime) -> _Work:
    values = {"account_id": account_id, "now": now, "states": ledger.STATES}
    found: dict[str, Application] = {}
    flags = dict.fromkeys(("is_sync_due", "is_reply_due", "is_conversation_due"), False)
    for row in connection.execute(SELECT_WORK, values).fetchall():
        kind, flags = row.pop("kind"), {name: bool(row.pop(name)) for name in flags}
        if kind is not None:
            found[kind] = Application(**row)
    return _Work(found.get("due"), found.get("deferred"), **flags)


def _is_due(account_id: UUID, *, connection: Connection, now: datetime) -> bool:
    work = _find_work(account_id, connection=connection, now=now)
    if work.due is not None or work.is_sync_due or work.is_reply_due or work.is_conversation_due:
        return True
    return work.deferred is not None and applying.is_closed(
        account_id, wanted_resume_id=work.deferred.wanted_resume_id, connection=connection, now=now
    )


class _Submitter:
    """The worker that holds the account's lease."""

    def __init__(self, account: AccountTransitions) -> None:
        self._account = account
        self._handing_off = HandingOff(account)
        self._preparation = Preparation(account, self._handing_off)
        self._settlement = Settlement(account)
        self._reader = ConversationReader(account)
        self._replies = ReplySender(account, self._reader)
        self._has_campaigns = False  # whether an application of one was processed
        self._has_freed = False  # whether one of a campaign left its time to those after it

    def run(self, deadline: float) -> None:
        """Read the account's negotiations, if that is due, and process its applications, the one
        that has waited longest first. Begins nothing after *deadline* (monotonic)."""
        work = self._find_work()
        if work.is_sync_due:
            self._settlement.read_negotiations()
            work = self._find_work()
        while time.monotonic() < deadline and self._step(work):
            work = self._find_work()
        if self._has_freed:
            context = self._account.context
            send_schedule.compact_schedule(
                self._account.account_id, connection=context.connection, now=context.now()
            )

    def _find_work(self) -> _Work:
        self._account.start()
        context = self._account.context
        return _find_work(
            self._account.account_id, connection=context.connection, now=context.now()
        )

    def _step(self, work: _Work) -> bool:
        """Send a reply, process an application, or read a conversation; return whether there was
        one. A person waits for their reply."""
        if work.is_reply_due and self._replies.send_next():
            return True
        application = (
            work.due or self._deferred_if_allowed(work.deferred) or self._paced_if_allowed()
        )
        if application is None:
            return work.is_conversation_due and self._reader.read_next()
        self._has_campaigns |= application.workflow_id is not None
        try:
            with tracing.continued(application.trace_id):
                self._process(application, self._account.context.now())
        except ConcurrentUpdate:
            logger.info("an application was changed concurrently")
        return True

    def _process(self, application: Application, now: datetime) -> None:
        if application.state == "handoff":
            self._handing_off.complete(application)
        elif application.state == "submitting":
            self._settlement.on_interrupted(application)
        elif application.state == "uncertain":
            self._settlement.settle(application)
        elif application.expires_at is not None and application.expires_at <= now:
            self._account.transition(application, "expired", reason="waited_too_long")
        else:
            self._apply(application)

    def _deferred_if_allowed(self, application: Application | None) -> Application | None:
        """Return the *application* that waits for quota, if there is some: tokens that gathered, or
        that were given back."""
        account = self._account
        if application is None or account.is_applying_closed(application):
            return application  # it is handed off
        held = account.find_person(application).access
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

    def _paced_if_allowed(self) -> Application | None:
        """Return an application that waits for its autopilot's ceilings, if they and the limits
        allow it: those before it were refused, or left to the person."""
        if not self._has_campaigns:
            return None
        context = self._account.context
        return self._deferred_if_allowed(
            pacing.find_next(
                self._account.account_id, connection=context.connection, now=context.now()
            )
        )

    def _apply(self, application: Application) -> None:
        account = self._account
        person = account.find_person(application)
        choice = self._preparation.prepare(application, person)
        if choice is None:
            self._has_freed |= application.workflow_id is not None
            return
        if self._account.hold_to_pace(application):
            return
        try:
            admission = hh_calls.admit(
                person, "apply", account.context, known=account.method("apply")
            )
        except NeedsPerson as error:  # closed since, or another caller probes it
            account.hold(application, error)
            return
        made = account.attempts_made(application)
        spent = spend_id(application, made)
        # The token of an earlier call that was never sent was spent at some other time.
        spent_at = None if made.has_unused_token else account.context.now()
        sent = self._begin_attempt(application, person, choice, made)
        if sent is None:
            return
        try:
            self._call(sent, person, choice, admission)
        except NeedsPerson as error:
            # Before the outcome is recorded: after that, nothing would give the token back.
            if method_status.closed_method(error) == "apply":
                self._give_back_token(person, spent, spent_at)
            self._settlement.on_access_denied(sent, error)

    def _begin_attempt(
        self, application: Application, person: Person, choice: ResumeChoice, made: AttemptsMade
    ) -> Application | None:
        """Spend a token, record the attempt, and publish the account's limits; return the row as it
        is sent, ``None`` where it waits. Raises :class:`ConcurrentUpdate`."""
        account = self._account
        level = None
        if not made.has_unused_token:
            try:
                token = token_bucket.acquire(
                    "submit",
                    account.account_id,
                    spend_id=spend_id(application, made),
                    now=account.context.now(),
                )
            except Unavailable as error:
                account.postpone(application, error)
                return None
            if isinstance(token, token_bucket.Denied):
                account.defer_all(token.next_at, application)
                return None
            level = token.level
        begun = attempts.begin_attempt(
            application,
            choice.resume_id,
            choice.reason,
            connection=account.context.connection,
            now=account.context.now(),
        )
        if isinstance(begun, Slot):  # another worker of the account was faster
            if not made.has_unused_token:
                account.record_unsent(application)
            pacing.hold(
                application,
                begun,
                connection=account.context.connection,
                now=account.context.now(),
            )
            return None
        if not isinstance(begun, attempts.Begun):
            account.defer_all(begun, application)
            return None
        self._publish_limits(person, level, begun.in_24h)
        return begun.application

    def _publish_limits(
        self, person: Person, level: token_bucket.BucketLevel | None, in_24h: int
    ) -> None:
        """Publish the account's limits, after a token was spent that left *level*."""
        account = self._account
        now = account.context.now()
        limits = None
        if level is not None:
            methods = map(account.method, status.METHODS_SHOWN)
            limits = status.compute_status(person, level, in_24h, methods, now=now)
        status.publish_status(person, connection=account.context.connection, now=now, status=limits)

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
                token=self._account.token,
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
