"""Settlement: what follows the call to hh.ru that applies, and how a lost call is settled.

An attempt without an outcome is settled by reading hh.ru's negotiations, never by another call.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ullgetthejob.accounts import access_changes, kept_resumes, method_status
from ullgetthejob.applications import attempts, negotiation_sync
from ullgetthejob.applications.application import vacancy_url
from ullgetthejob.applications.transitions import MAX_FAILED_CALLS, error_code, pause_after
from ullgetthejob.hh.errors import Action, HHError
from ullgetthejob.platform.errors import NeedsPerson, Unavailable
from ullgetthejob.platform.telemetry import count
from ullgetthejob.rate_limits import daily_limit

if TYPE_CHECKING:
    from ullgetthejob.applications.application import Application
    from ullgetthejob.applications.transitions import AccountTransitions
    from ullgetthejob.hh.errors import HHApplyRefused
    from ullgetthejob.platform.errors import AppError

MAX_ATTEMPTS = 3
NEGOTIATION_RECHECK = timedelta(seconds=30)
NEGOTIATION_LAST_RECHECK = timedelta(minutes=1)
LIMIT_WAIT = timedelta(minutes=30)


@dataclass(frozen=True)
class Settlement:
    """The settlement of the attempts of one account."""

    account: AccountTransitions

    # ── after the call ───────────────────────────────────────────────────────────────────────────

    def on_submitted(
        self, application: Application, negotiation_id: str | None, outcome: str
    ) -> None:
        """Record that hh.ru has the application. *outcome*: ``accepted``, ``already_applied`` or
        ``found_at_hh``."""
        account = self.account
        with account.context.connection.transaction():
            account.close_attempt(application, outcome, counts=outcome != "already_applied")
            account.transition(
                application,
                "submitted",
                reason=None if outcome == "accepted" else outcome,
                negotiation_id=negotiation_id,
                submitted_at=account.context.now(),
            )
            # An earlier application is not counted yet: hh.ru's negotiations say since when it is.
            wait = timedelta(0) if outcome == "already_applied" else negotiation_sync.MIN_INTERVAL
            negotiation_sync.schedule_sync(
                account.account_id,
                at=account.context.now() + wait,
                connection=account.context.connection,
            )
        count("ApplicationsSubmitted")

    def on_refused(self, application: Application, error: HHApplyRefused) -> None:
        """Record hh.ru's refusal, and act as its table of errors says."""
        account = self.account
        if error.action is Action.TREAT_AS_DONE:
            self.on_submitted(application, None, "already_applied")
            return
        if error.action is Action.WAIT_FOR_LIMIT:
            account.close_attempt(application, error.reason)
            self._wait_for_limit(application)
        else:
            with account.context.connection.transaction():
                account.close_attempt(application, error.reason)
                self._transition_refused(application, error)
        count("ApplicationsRefused")

    def on_access_denied(self, application: Application, error: NeedsPerson) -> None:
        """Record that hh.ru denied access, and hold the application."""
        with self.account.context.connection.transaction():
            self.account.close_attempt(application, error.code)
            self.account.hold(application, error)

    def on_failed(self, application: Application, error: AppError | HHError) -> None:
        """Record a call that failed; where hh.ru may have acted, its negotiations are read
        after :data:`NEGOTIATION_RECHECK`."""
        account = self.account
        if getattr(error, "may_have_acted", False):
            due_at = account.context.now() + NEGOTIATION_RECHECK
            reason = "no_answer" if getattr(error, "is_lost", True) else "unclear_answer"
            account.transition(application, "uncertain", reason=reason, due_at=due_at)
            count("ApplicationsUncertain")
            return
        with account.context.connection.transaction():
            if isinstance(error, Unavailable):
                account.close_attempt(application, "not_sent")
                account.postpone(application, error)
            else:
                account.close_attempt(application, error_code(error))
                account.hand_off(application, error)

    def _transition_refused(self, application: Application, error: HHApplyRefused) -> None:
        account = self.account
        if error.action is Action.WAIT_FOR_RESUME:
            kept_resumes.forget(account.account_id, connection=account.context.connection)
            account.recheck_resume(application, "resume_not_available")
        elif error.action is Action.DROP:
            account.transition(application, "refused", reason=error.reason)
        elif error.action is Action.FIX_LETTER:
            account.transition(
                application,
                "needs_person",
                reason=error.reason,
                link=vacancy_url(application.vacancy_id),
            )
        else:
            link = error.link or vacancy_url(application.vacancy_id)
            account.transition(application, "handoff", reason=error.reason, link=link)

    def _wait_for_limit(self, application: Application) -> None:
        """Defer an application that hh.ru refused by its daily limit.

        hh.ru counts more applications than the ledger has: the person applies by hand, too. Once
        the negotiations are read, the next slot is known; else it is tried again a while later.
        """
        account = self.account
        seen = account.find_person(application).access
        self.read_negotiations()
        now = account.context.now()
        slot = daily_limit.next_slot_in_24h(
            account.account_id, connection=account.context.connection, now=now
        )
        until = slot if slot > now else now + LIMIT_WAIT
        # The access changes also where the person has applied to this vacancy by hand.
        with account.context.connection.transaction():
            access_changes.change_access(
                account.account_id,
                "limited_until",
                reason="limit_exceeded",
                until=until,
                connection=account.context.connection,
                now=now,
                seen=seen,
            )
            negotiation_sync.schedule_sync(
                account.account_id, at=until, connection=account.context.connection
            )
        account.transition(application, "waiting_quota", reason="quota", due_at=until)

    # ── lost calls ───────────────────────────────────────────────────────────────────────────────

    def read_negotiations(self) -> None:
        """Read the account's negotiations into the ledger."""
        account = self.account
        negotiation_sync.sync(account.account_id, account.context)

    def on_interrupted(self, application: Application) -> None:
        """Mark an application as uncertain whose worker's process ended during the call."""
        self.account.transition(
            application, "uncertain", reason="interrupted", due_at=self.account.context.now()
        )
        count("ApplicationsUncertain")

    def settle(self, application: Application) -> None:
        """Look for an uncertain application among hh.ru's negotiations.

        Absent twice, a minute apart, it never arrived, and the call is made again if its answer was
        lost. A call that hh.ru answered unclearly is not made again.
        """
        account = self.account
        try:
            page = account.call_hh(
                account.find_person(application),
                "negotiations",
                lambda token: account.context.hh.negotiations(
                    token, vacancy_id=application.vacancy_id
                ),
            )
        except (HHError, NeedsPerson, Unavailable) as error:
            self._on_unreadable(application, error)
            return
        found = [item for item in page.items if item.vacancy_id == application.vacancy_id]
        if found:
            self.on_submitted(application, found[0].id, "found_at_hh")
        elif application.reason == "unclear_answer":
            with account.context.connection.transaction():
                account.close_attempt(application, "unclear_answer")
                account.hand_off(application, reason="unclear_answer")
        elif application.reason != "not_seen":
            due_at = account.context.now() + NEGOTIATION_LAST_RECHECK
            account.transition(application, "uncertain", reason="not_seen", due_at=due_at)
        else:
            with account.context.connection.transaction():
                account.close_attempt(application, "never_arrived")
                self._try_again(application)

    def _on_unreadable(
        self, application: Application, error: HHError | NeedsPerson | Unavailable
    ) -> None:
        """Look again later where the negotiations could not be read, or leave it to the person."""
        account = self.account
        if method_status.closed_method(error) is not None:
            account.hand_off(application, error)  # only the person can look
            return
        if application.expires_at is not None and application.expires_at <= account.context.now():
            # Core could not look for so long; the person can, and hh.ru answers a retry.
            account.transition(
                application,
                "handoff",
                reason="hh_unreliable",
                link=vacancy_url(application.vacancy_id),
            )
            return
        failed = account.count_failed_call(application, error)
        if failed >= MAX_FAILED_CALLS and account.context.hh.is_answering():
            account.hand_off(application, reason="hh_unreliable")
            return
        account.transition(
            application,
            "uncertain",
            reason=application.reason,
            due_at=account.context.now() + max(NEGOTIATION_LAST_RECHECK, pause_after(failed)),
            keeps_failed_calls=True,
        )

    def _try_again(self, application: Application) -> None:
        """Queue the application once more, up to :data:`MAX_ATTEMPTS` attempts."""
        account = self.account
        made = attempts.read_made(application.id, connection=account.context.connection)
        if made.sent < MAX_ATTEMPTS:
            account.transition(
                application, "queued", reason="never_arrived", due_at=account.context.now()
            )
        else:
            account.transition(
                application,
                "handoff",
                reason="hh_unreliable",
                link=vacancy_url(application.vacancy_id),
            )
