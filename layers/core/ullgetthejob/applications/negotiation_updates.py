"""Updates of the ledger by hh.ru's negotiations, each in a transaction of its own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from ullgetthejob.accounts import audit
from ullgetthejob.applications import attempts, ledger, outcome_stages, projection
from ullgetthejob.applications.application import COLUMNS, FIELDS, Application
from ullgetthejob.applications.conversations import rules
from ullgetthejob.platform import tracing
from ullgetthejob.platform.telemetry import count, logger

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.hh.models import Negotiation
    from ullgetthejob.platform.context import Context

# How far hh.ru's clock and Core's may differ, where it matters who applied first.
SLACK = timedelta(seconds=30)
FIRST_STATE = "response"  # hh.ru: the state of a negotiation in which no employer acted
# The outcomes of an attempt that may have made the application.
POSSIBLE_OUTCOMES = {None, "accepted", "found_at_hh", "never_arrived"}

# By the negotiation's own id: where the vacancy was deleted, hh.ru no longer names it.
SELECT_APPLICATION_OF_NEGOTIATION = f"""
    SELECT {COLUMNS} FROM application_ledger
    WHERE account_id = %(account_id)s
      AND (negotiation_id = %(negotiation_id)s OR vacancy_id = %(vacancy_id)s)
    ORDER BY coalesce(negotiation_id = %(negotiation_id)s, false) DESC LIMIT 1 FOR UPDATE
"""  # noqa: S608
INSERT_APPLICATION_BY_HAND = f"""
    WITH changed AS (
        INSERT INTO application_ledger (account_id, user_id, vacancy_id, application_id, state,
                                        reason, resume_id, negotiation_id, by_hand, submitted_at,
                                        created_at, updated_at)
        VALUES (%(account_id)s, %(user_id)s, %(vacancy_id)s, %(application_id)s, 'submitted',
                'by_hand', %(resume_id)s, %(negotiation_id)s, true, %(created_at)s, %(created_at)s,
                %(now)s)
        ON CONFLICT (account_id, vacancy_id) DO NOTHING
        RETURNING {COLUMNS}
    ), {projection.INSERTED}
    SELECT {FIELDS} FROM changed
"""  # noqa: S608
UPDATE_NEGOTIATION_STATE = f"""
    UPDATE application_ledger
    SET negotiation_id = %(negotiation_id)s, hh_state = %(hh_state)s, hh_viewed = %(hh_viewed)s,
        hh_updated_at = %(hh_updated_at)s, resume_id = coalesce(%(resume_id)s, resume_id),
        by_hand = %(by_hand)s, updated_at = %(now)s,
        conversation_due_at =
            CASE WHEN %(has_messages)s THEN %(now)s ELSE conversation_due_at END,
        first_seen_at = coalesce(first_seen_at, %(seen_at)s),
        first_answered_at = coalesce(first_answered_at, %(answered_at)s),
        first_invited_at = coalesce(first_invited_at, %(invited_at)s),
        first_offered_at = coalesce(first_offered_at, %(offered_at)s)
    WHERE id = %(id)s
    RETURNING {COLUMNS}
"""  # noqa: S608
SELECT_ATTEMPTS = """
    SELECT a.at, o.outcome, o.counts FROM application_attempts a
    LEFT JOIN application_outcomes o ON o.attempt_id = a.id WHERE a.ledger_id = %(id)s
"""


@dataclass(frozen=True)
class NegotiationUpdates:
    """The updates of an account's applications. *user_id*: the owner of those made by hand."""

    account_id: UUID
    user_id: UUID
    context: Context

    def update(self, negotiation: Negotiation) -> int:
        """Update the ledger by a negotiation; return how many changes there were."""
        context = self.context.with_fixed_time()
        now = context.now()
        with self.context.connection.transaction():
            row = self._find(negotiation)
            if row is None and negotiation.vacancy_id is None:
                logger.info("an unknown negotiation about a deleted vacancy")
                return 0
            inserted = self._insert_by_hand(negotiation, now) if row is None else None
            row = row or inserted or self._find(negotiation)
            assert row is not None  # noqa: S101 - or a submit was faster, and has inserted it
            with tracing.continued(row.trace_id):
                changes = self._update(row, negotiation, context)
        return changes + (inserted is not None)

    def _update(self, row: Application, negotiation: Negotiation, context: Context) -> int:
        """Update a row by its negotiation; return how many changes there were."""
        now = context.now()
        again = row.negotiation_id not in (None, negotiation.id)
        is_ours = self._count_once(row, negotiation, context, again=again)
        if again and int(row.negotiation_id or 0) > int(negotiation.id):
            return 0  # the row has a later negotiation of the same vacancy
        settled = row.state != "submitted"
        if settled:
            row = self._settle(row, negotiation, is_ours=is_ours, now=now)
        before = (FIRST_STATE, False) if again else (row.hh_state or FIRST_STATE, row.hh_viewed)
        seen = self._save_state(row, negotiation, by_hand=not is_ours, again=again, now=now)
        projection.project(seen.id, connection=self.context.connection, now=now)
        news = ["applied_again"] if again else []
        if seen.hh_viewed and not before[1]:
            news.append("viewed")
        if seen.hh_state is not None and seen.hh_state != before[0]:
            news.append(seen.hh_state)
        for reason in news:
            ledger.record_change(seen, reason=reason, connection=self.context.connection, now=now)
        count("ApplicationOutcomes", len(news))
        return len(news) + settled

    def _find(self, negotiation: Negotiation) -> Application | None:
        values = {
            "account_id": self.account_id,
            "negotiation_id": negotiation.id,
            "vacancy_id": negotiation.vacancy_id,
        }
        row = self.context.connection.execute(SELECT_APPLICATION_OF_NEGOTIATION, values).fetchone()
        return Application(**row) if row else None

    def _insert_by_hand(self, negotiation: Negotiation, now: datetime) -> Application | None:
        """Insert a row for what the person did on hh.ru and return it; ``None`` where one was
        inserted concurrently."""
        values = {
            "account_id": self.account_id,
            "user_id": self.user_id,
            "vacancy_id": negotiation.vacancy_id,
            "application_id": uuid4(),
            "resume_id": negotiation.resume_id,
            "negotiation_id": negotiation.id,
            "created_at": negotiation.created_at,
            "now": now,
        }
        row = self.context.connection.execute(INSERT_APPLICATION_BY_HAND, values).fetchone()
        if row is None:
            return None
        inserted = Application(**row)
        ledger.record_change(inserted, connection=self.context.connection, now=now)
        count("ApplicationsByHand")
        return inserted

    def _count_once(
        self, row: Application, negotiation: Negotiation, context: Context, *, again: bool
    ) -> bool:
        """Count the negotiation once in the daily limit; return whether an attempt of Core made it.

        *again*: the row has another negotiation of the same vacancy.
        """
        now = context.now()
        recorded = self.context.connection.execute(SELECT_ATTEMPTS, {"id": row.id}).fetchall()
        counted = [attempt["at"] for attempt in recorded if attempt["counts"]]
        if again:
            if not any(abs(at - negotiation.created_at) <= SLACK for at in counted):
                attempts.record_by_hand(
                    row, negotiation.created_at, connection=self.context.connection, now=now
                )
            return False
        is_ours = not row.by_hand and (
            row.negotiation_id == negotiation.id
            or any(
                attempt["outcome"] in POSSIBLE_OUTCOMES
                and attempt["at"] <= negotiation.created_at + SLACK
                for attempt in recorded
            )
        )
        if any(attempt["outcome"] is None for attempt in recorded):
            outcome = "found_at_hh" if is_ours else "already_applied"
            attempts.close_attempts(
                row.id, outcome, counts=is_ours, connection=self.context.connection, now=now
            )
            audit.write("apply", outcome, context, user_id=row.user_id, account_id=row.account_id)
            counted += [now] if is_ours else []
        if not counted:
            attempts.record_by_hand(
                row,
                negotiation.created_at,
                connection=self.context.connection,
                now=now,
                outcome="found_at_hh" if is_ours else "by_hand",
            )
        return is_ours

    def _settle(
        self, row: Application, negotiation: Negotiation, *, is_ours: bool, now: datetime
    ) -> Application:
        """Move the application to ``submitted`` from any state, since hh.ru has it."""
        count("ApplicationsSubmitted" if is_ours else "ApplicationsByHand")
        return ledger.transition(
            row.id,
            "submitted",
            source=[row.state],
            reason="found_at_hh" if is_ours else "by_hand",
            negotiation_id=negotiation.id,
            resume_id=negotiation.resume_id,
            submitted_at=negotiation.created_at,
            by_hand=not is_ours,
            connection=self.context.connection,
            now=now,
        )

    def _save_state(
        self,
        row: Application,
        negotiation: Negotiation,
        *,
        by_hand: bool,
        again: bool,
        now: datetime,
    ) -> Application:
        values = {
            "id": row.id,
            "negotiation_id": negotiation.id,
            "hh_state": negotiation.state,
            "hh_viewed": negotiation.viewed or (row.hh_viewed and not again),
            "hh_updated_at": negotiation.updated_at,
            "resume_id": negotiation.resume_id,
            "by_hand": by_hand,
            "has_messages": rules.has_news(
                negotiation, None if again else row.hh_updated_at, now=now
            ),
            "now": now,
            **asdict(outcome_stages.find_stages(negotiation, now=now)),
        }
        seen = self.context.connection.execute(UPDATE_NEGOTIATION_STATE, values).fetchone()
        assert seen is not None  # noqa: S101 - the row is locked
        return Application(**seen)
