"""Replies: what a person wrote to an employer is sent to hh.ru, once.

    sending   waits for the worker, or its call is under way
    sent      hh.ru has it
    unknown   the call's answer was lost: the conversation is read for it, or nobody can know
    failed    hh.ru has refused it, or never got it; ``reason`` says why
    handoff   hh.ru does not let Core write: the person does, with the text and the link

The call is recorded before it is made (``called_at``). One whose answer was lost is settled by
reading the conversation and finding the text there, never by another call made blindly: absent
twice, a minute apart, it never arrived, and is made again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from ullgetthejob.accounts import audit, hh_calls, method_status, people
from ullgetthejob.applications.conversations import rules, store
from ullgetthejob.applications.conversations.rules import Decision
from ullgetthejob.applications.transitions import error_code
from ullgetthejob.hh.errors import Action, HHError, HHMessageRefused, HHNotFound
from ullgetthejob.platform import tracing
from ullgetthejob.platform.errors import NeedsPerson, Unavailable
from ullgetthejob.platform.telemetry import count

if TYPE_CHECKING:
    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.conversations.reading import ConversationReader
    from ullgetthejob.applications.conversations.store import Reply
    from ullgetthejob.applications.transitions import AccountTransitions
    from ullgetthejob.hh.method_access import Admission
    from ullgetthejob.hh.models import ConversationMessage
    from ullgetthejob.platform.errors import AppError

CLOSED = "hh_closed"


@dataclass(frozen=True)
class ReplySender:
    """The sender of one account's replies, for the holder of its lease."""

    account: AccountTransitions
    reader: ConversationReader

    def send_next(self) -> bool:
        """Send the reply that is due, or look for one whose answer was lost; return whether there
        was one. However it ends, it is not due any more, or later."""
        context = self.account.context
        reply = store.next_reply(
            self.account.account_id, connection=context.connection, now=context.now()
        )
        if reply is None:
            return False
        with tracing.continued(reply.trace_id):
            if reply.called_at is not None:
                self._settle(reply)
            elif reply.created_at + rules.REPLY_TTL <= context.now():
                self._finish(reply, Decision("failed", "waited_too_long"))
            else:
                self._send(reply)
        return True

    # ── the call ─────────────────────────────────────────────────────────────────────────────────

    def _send(self, reply: Reply) -> None:
        account = self.account
        person = people.find_by_account(account.account_id, user_id=reply.user_id)
        try:
            admission = hh_calls.admit(
                person, "messages", account.context, known=account.method("messages")
            )
        except NeedsPerson as error:
            self._hold(reply, error)
            return
        now = account.context.now()
        if store.begin_call(reply, connection=account.context.connection, now=now):
            self._call(replace(reply, called_at=now, calls=reply.calls + 1), person, admission)

    def _call(self, reply: Reply, person: Person, admission: Admission) -> None:
        """Make the call, once, and record its answer."""
        account = self.account
        try:
            message = hh_calls.call_as_account(
                person,
                "messages",
                lambda token: account.context.hh.write_message(
                    token, reply.negotiation_id, reply.text
                ),
                account.context,
                admission=admission,
                token=account.token,
            )
        except NeedsPerson as error:
            self._hold(reply, error, was_made=False)
        except HHMessageRefused as error:
            if error.action is Action.RETRY:
                self._postpone(reply, error)
            else:
                self._refuse(reply, error.reason)
        except (HHError, Unavailable) as error:
            self._on_failed(reply, error)
        else:
            self._finish(reply, Decision("sent", None), message=message)

    def _on_failed(self, reply: Reply, error: AppError | HHError) -> None:
        """Record a call that failed; where hh.ru may have acted, the conversation is read after
        :data:`rules.RECHECK`."""
        if getattr(error, "may_have_acted", False):
            reason = "no_answer" if getattr(error, "is_lost", True) else "unclear_answer"
            self._change(reply, Decision("unknown", reason, rules.RECHECK))
        elif isinstance(error, Unavailable):
            self._postpone(reply, error)
        else:
            self._refuse(reply, error_code(error))

    def _postpone(self, reply: Reply, error: AppError | HHError) -> None:
        """Send a reply later, on which hh.ru has not acted."""
        now = self.account.context.now()
        pause = timedelta(seconds=getattr(error, "retry_after_s", 0))
        wait = max(pause, rules.pause_after(reply.created_at, now=now))
        decision = Decision("sending", error_code(error), wait, is_called=False)
        self._change(reply, decision, was_made=False)

    def _refuse(self, reply: Reply, reason: str) -> None:
        self._finish(reply, Decision("failed", reason, is_called=False))

    def _hold(self, reply: Reply, error: NeedsPerson, *, was_made: bool = True) -> None:
        """Leave a reply to its person where hh.ru has closed the method; while it wants a login or
        a captcha, the reply waits for that."""
        if method_status.closed_method(error) is not None:
            self._finish(reply, Decision("handoff", CLOSED, is_called=False), was_made=was_made)
            return
        wait = Decision("sending", error.code, rules.LAST_RECHECK, is_called=False)
        self._change(reply, wait, was_made=was_made)

    # ── lost answers ─────────────────────────────────────────────────────────────────────────────

    def _settle(self, reply: Reply) -> None:
        """Look for a reply in its conversation."""
        connection = self.account.context.connection
        try:
            self.reader.read(store.Conversation.of(reply))
        except (HHError, NeedsPerson, Unavailable) as error:
            self._on_unreadable(reply, error)
            return
        current = store.read_reply(reply.id, connection=connection)
        if current is None:
            return
        if current.state == "sent":
            self._record(reply, Decision("sent", None))
            return
        decision = rules.decide_absent(
            current.reason if current.state == "unknown" else "interrupted",
            current.calls,
            is_another_there=store.has_written_since(current, connection=connection),
        )
        if decision.wait is None:
            self._finish(current, decision)
        else:
            self._change(current, decision)

    def _on_unreadable(self, reply: Reply, error: HHError | NeedsPerson | Unavailable) -> None:
        """Look again later where the conversation could not be read, or leave it to the person."""
        now = self.account.context.now()
        if method_status.closed_method(error) is not None:
            self._finish(reply, Decision("unknown", CLOSED))
        elif isinstance(error, HHNotFound):
            self._finish(reply, Decision("unknown", "topic_not_found"))
        elif reply.created_at + rules.REPLY_TTL <= now:
            self._finish(reply, Decision("unknown", "hh_unreliable"))
        else:
            reason = reply.reason if reply.state == "unknown" else "interrupted"
            self._change(reply, Decision("unknown", reason, rules.LAST_RECHECK))

    # ── outcomes ─────────────────────────────────────────────────────────────────────────────────

    def _finish(
        self,
        reply: Reply,
        decision: Decision,
        *,
        message: ConversationMessage | None = None,
        was_made: bool = True,
    ) -> None:
        """Record the outcome of a reply, in the account's audit log too."""
        with self.account.context.connection.transaction():
            self._change(reply, decision, message=message, was_made=was_made)
            self._record(reply, decision)

    def _change(
        self,
        reply: Reply,
        decision: Decision,
        *,
        message: ConversationMessage | None = None,
        was_made: bool = True,
    ) -> None:
        context = self.account.context
        store.change(
            reply,
            decision,
            message=message,
            was_made=was_made,
            connection=context.connection,
            now=context.now(),
        )

    def _record(self, reply: Reply, decision: Decision) -> None:
        """Write the outcome of a reply to the account's audit log, and count it."""
        audit.write(
            "message.send",
            decision.reason or decision.state,
            self.account.context,
            user_id=reply.user_id,
            account_id=reply.account_id,
        )
        count("RepliesSent" if decision.state == "sent" else "RepliesNotSent")
