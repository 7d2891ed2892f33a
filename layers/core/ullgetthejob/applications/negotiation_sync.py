"""Synchronisation of an account's applications with hh.ru's negotiations.

They are read on a schedule (``accounts.negotiations_due_at``), under the submitter's lease: minutes
apart while something happens, up to hours apart while nothing does, and not at all while the
account's access does not allow it. What is found there:

- an application that the person made on hh.ru is inserted into the ledger, and counts among the 200
  in 24 hours from the time that hh.ru gives;
- one that the ledger has in another state is settled as submitted, since hh.ru has it;
- that an employer viewed, invited or refused is a step of the history and an event, once.

hh.ru lists the last updated first, but a view by the employer is no update there: reading goes back
as far as there are applications that no employer has viewed. What was read is processed from the
oldest update to the newest, each negotiation in a transaction of its own, so that a reader whose
process ends leaves nothing that the next one would take as read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import access, audit, hh_calls, people
from ullgetthejob.applications import attempts, ledger, projection
from ullgetthejob.applications.ledger import Application
from ullgetthejob.hh.errors import HHError
from ullgetthejob.platform.errors import NeedsPerson, Unavailable
from ullgetthejob.platform.telemetry import count, logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.hh.client import HHClient
    from ullgetthejob.hh.models import Negotiation, NegotiationPage
    from ullgetthejob.platform.authentication import Caller

    Connection = psycopg.Connection[dict[str, Any]]

MIN_INTERVAL = timedelta(minutes=10)
MAX_INTERVAL = timedelta(hours=6)
RETRY_INTERVAL = timedelta(minutes=5)
MAX_PAGES = 10  # of a hundred
MAX_LOOKUPS = 5
BUDGET_S = 30.0
DAY = timedelta(days=1)
# How long a view by the employer is waited for.
AWAITED_FOR = timedelta(days=30)
# How far hh.ru's clock and Core's may differ, where it matters who applied first.
SLACK = timedelta(seconds=30)
FIRST = "response"  # hh.ru: the state of a negotiation in which no employer has done anything
# The outcomes of an attempt that may have made the application.
POSSIBLE_OUTCOMES = {None, "accepted", "found_at_hh", "never_arrived"}

SELECT_SYNC_DUE = f"""
    SELECT FROM accounts
    WHERE id = %(account_id)s AND negotiations_due_at <= %(now)s AND {access.READABLE}
"""
UPDATE_SYNC_DUE_AT = """
    UPDATE accounts
    SET negotiations_due_at = %(now)s + make_interval(secs => %(seconds)s),
        negotiations_interval_s = %(interval_s)s
    WHERE id = %(account_id)s
"""
UPDATE_SYNC_SOONER = """
    UPDATE accounts
    SET negotiations_due_at = least(negotiations_due_at, %(at)s),
        negotiations_interval_s = least(negotiations_interval_s, %(interval_s)s)
    WHERE id = %(account_id)s
"""
SELECT_SYNC_INTERVAL = (
    "SELECT negotiations_interval_s AS seconds FROM accounts WHERE id = %(account_id)s"
)
# The session that logged in last owns what the person did on hh.ru.
SELECT_LAST_USER = """
    SELECT id FROM users WHERE account_id = %(account_id)s ORDER BY updated_at DESC, id LIMIT 1
"""
# How far everything was read, and the oldest application that an employer may yet view.
SELECT_OLDEST_RELEVANT = """
    SELECT max(hh_updated_at) AS read_to,
           min(coalesce(hh_updated_at, submitted_at)) FILTER (
               WHERE state = 'submitted' AND NOT hh_viewed AND submitted_at > %(awaited_since)s
                 AND coalesce(hh_state, %(first)s) = %(first)s) AS oldest_unseen
    FROM application_ledger WHERE account_id = %(account_id)s
"""
SELECT_WITHOUT_NEGOTIATION = """
    SELECT vacancy_id FROM application_ledger
    WHERE account_id = %(account_id)s AND state = 'submitted' AND negotiation_id IS NULL
      AND submitted_at > %(since)s
    ORDER BY submitted_at DESC LIMIT %(most)s
"""
SELECT_WITH_NEGOTIATION = """
    SELECT negotiation_id, hh_state, hh_viewed, hh_updated_at FROM application_ledger
    WHERE account_id = %(account_id)s AND state = 'submitted' AND negotiation_id = ANY(%(ids)s)
"""
# By the negotiation's own id: where the vacancy was deleted, hh.ru no longer names it.
SELECT_APPLICATION_OF_NEGOTIATION = f"""
    SELECT {ledger.COLUMNS} FROM application_ledger
    WHERE account_id = %(account_id)s
      AND (negotiation_id = %(negotiation_id)s OR vacancy_id = %(vacancy_id)s)
    ORDER BY coalesce(negotiation_id = %(negotiation_id)s, false) DESC LIMIT 1 FOR UPDATE
"""  # noqa: S608
INSERT_APPLICATION_BY_HAND = f"""
    INSERT INTO application_ledger (account_id, user_id, vacancy_id, state, reason, resume_id,
                                    negotiation_id, by_hand, submitted_at, created_at, updated_at)
    VALUES (%(account_id)s, %(user_id)s, %(vacancy_id)s, 'submitted', 'by_hand', %(resume_id)s,
            %(negotiation_id)s, true, %(created_at)s, %(created_at)s, %(now)s)
    ON CONFLICT (account_id, vacancy_id) DO NOTHING
    RETURNING {ledger.COLUMNS}
"""  # noqa: S608
UPDATE_NEGOTIATION_STATE = f"""
    UPDATE application_ledger
    SET negotiation_id = %(negotiation_id)s, hh_state = %(hh_state)s, hh_viewed = %(hh_viewed)s,
        hh_updated_at = %(hh_updated_at)s, resume_id = coalesce(%(resume_id)s, resume_id),
        by_hand = %(by_hand)s, updated_at = %(now)s
    WHERE id = %(id)s
    RETURNING {ledger.COLUMNS}
"""  # noqa: S608
SELECT_ATTEMPTS = """
    SELECT a.at, o.outcome, o.counts FROM application_attempts a
    LEFT JOIN application_outcomes o ON o.attempt_id = a.id WHERE a.ledger_id = %(id)s
"""


def is_due(account_id: UUID, *, connection: Connection, now: datetime) -> bool:
    """Return whether the account's negotiations are due, and can be read."""
    values = {"account_id": account_id, "now": now}
    return connection.execute(SELECT_SYNC_DUE, values).fetchone() is not None


def schedule_sync(account_id: UUID, *, at: datetime, connection: Connection) -> None:
    """Schedule the next reading by *at* at the latest, and later ones minutes apart again, since
    something may happen from now on."""
    values = {"account_id": account_id, "at": at, "interval_s": MIN_INTERVAL.total_seconds()}
    connection.execute(UPDATE_SYNC_SOONER, values)


def sync(
    account_id: UUID,
    *,
    hh: HHClient,
    connection: Connection,
    clock: Callable[[], datetime],
    caller: Caller,
) -> bool:
    """Read the account's negotiations and update the ledger by them; return whether hh.ru answered.

    For the holder of the account's lease. However it ends, the next reading is scheduled; while the
    access does not allow it, the schedule stays as it is.
    """
    user = connection.execute(SELECT_LAST_USER, {"account_id": account_id}).fetchone()
    if user is None:  # the account has no session left
        _schedule(account_id, MAX_INTERVAL, MAX_INTERVAL, connection=connection, now=clock())
        return False
    reader = _Reader(
        people.find_by_account(account_id, user_id=user["id"]),
        account_id,
        hh=hh,
        connection=connection,
        clock=clock,
        caller=caller,
    )
    found = connection.execute(SELECT_SYNC_INTERVAL, {"account_id": account_id}).fetchone()
    last = timedelta(seconds=(found and found["seconds"]) or 0)
    try:
        news = reader.read()
    except NeedsPerson:
        return False
    except (HHError, Unavailable) as error:
        logger.info("negotiations not read", error_type=type(error).__name__)
        _schedule(
            account_id, RETRY_INTERVAL, last or MIN_INTERVAL, connection=connection, now=clock()
        )
        return False
    interval = MIN_INTERVAL if news else min(max(2 * last, MIN_INTERVAL), MAX_INTERVAL)
    _schedule(account_id, interval, interval, connection=connection, now=clock())
    return True


def _schedule(
    account_id: UUID,
    wait: timedelta,
    interval: timedelta,
    *,
    connection: Connection,
    now: datetime,
) -> None:
    values = {
        "account_id": account_id,
        "now": now,
        "seconds": wait.total_seconds(),
        "interval_s": interval.total_seconds(),
    }
    connection.execute(UPDATE_SYNC_DUE_AT, values)


@dataclass(frozen=True)
class _Reader:
    """A reading of *person*'s negotiations."""

    person: Person
    account_id: UUID
    hh: HHClient
    connection: Connection
    clock: Callable[[], datetime]
    caller: Caller

    def read(self) -> int:
        """Read the negotiations and process them; return how many changes there were. Raises as
        :func:`hh_calls.call_as_account`."""
        return self._process_all(self._read_pages()) + self._process_all(self._look_up_vacancies())

    def _process_all(self, negotiations: list[Negotiation]) -> int:
        by_id = {negotiation.id: negotiation for negotiation in negotiations}
        values = {"account_id": self.account_id, "ids": list(by_id)}
        rows = self.connection.execute(SELECT_WITH_NEGOTIATION, values).fetchall()
        known = {row["negotiation_id"]: row for row in rows}
        changed = [
            negotiation
            for negotiation in by_id.values()
            if not _is_known(negotiation, known.get(negotiation.id))
        ]
        changed.sort(key=lambda negotiation: (negotiation.updated_at, int(negotiation.id)))
        return sum(self._process(negotiation) for negotiation in changed)

    # ── calls to hh.ru ───────────────────────────────────────────────────────────────────────────

    def _read_pages(self) -> list[Negotiation]:
        ends = time.monotonic() + BUDGET_S
        floor = self._oldest_relevant()
        found: list[Negotiation] = []
        for number in range(MAX_PAGES):
            page = self._read_page(page=number)
            found += page.items
            last = number + 1 >= page.pages or not page.items
            if last or (floor is not None and page.items[-1].updated_at < floor):
                return found
            if time.monotonic() >= ends:
                break
        logger.info("more negotiations than are read at once", read=len(found))
        return found

    def _oldest_relevant(self) -> datetime | None:
        """Return the time before which no update can be news; ``None`` if any may be."""
        now = self.clock()
        values = {
            "account_id": self.account_id,
            "awaited_since": now - AWAITED_FOR,
            "first": FIRST,
        }
        row = self.connection.execute(SELECT_OLDEST_RELEVANT, values).fetchone()
        if row is None or row["read_to"] is None:
            return None
        floor: datetime = min(row["read_to"], row["oldest_unseen"] or now, now - DAY)
        return floor

    def _look_up_vacancies(self) -> list[Negotiation]:
        """Return the negotiations of applications for which hh.ru did not name one: they may be
        older than what the pages have."""
        values = {
            "account_id": self.account_id,
            "since": self.clock() - DAY,
            "most": MAX_LOOKUPS,
        }
        found: list[Negotiation] = []
        for row in self.connection.execute(SELECT_WITHOUT_NEGOTIATION, values).fetchall():
            found += self._read_page(vacancy_id=row["vacancy_id"]).items
        return found

    def _read_page(self, **query: Any) -> NegotiationPage:
        return hh_calls.call_as_account(
            self.person,
            lambda token: self.hh.negotiations(token, **query),
            hh=self.hh,
            connection=self.connection,
            now=self.clock(),
        )

    # ── updates of the ledger ────────────────────────────────────────────────────────────────────

    def _process(self, negotiation: Negotiation) -> int:
        """Update the ledger by a negotiation; return how many changes there were."""
        now = self.clock()
        with self.connection.transaction():
            row = self._find(negotiation)
            if row is None and negotiation.vacancy_id is None:
                logger.info("an unknown negotiation about a deleted vacancy")
                return 0
            inserted = self._insert_by_hand(negotiation, now) if row is None else None
            row = row or inserted or self._find(negotiation)
            assert row is not None  # noqa: S101 - or a submit was faster, and has inserted it
            again = row.negotiation_id not in (None, negotiation.id)
            is_ours = self._count_once(row, negotiation, again=again, now=now)
            if again and int(row.negotiation_id or 0) > int(negotiation.id):
                return 0  # the row has a later negotiation of the same vacancy
            settled = row.state != "submitted"
            if settled:
                row = self._settle(row, negotiation, is_ours=is_ours, now=now)
            before = (FIRST, False) if again else (row.hh_state or FIRST, row.hh_viewed)
            seen = self._save_state(row, negotiation, by_hand=not is_ours, again=again, now=now)
            projection.project(seen, connection=self.connection, now=now)
            news = ["applied_again"] if again else []
            if seen.hh_viewed and not before[1]:
                news.append("viewed")
            if seen.hh_state is not None and seen.hh_state != before[0]:
                news.append(seen.hh_state)
            for reason in news:
                ledger.record_change(seen, reason=reason, connection=self.connection, now=now)
        count("ApplicationOutcomes", len(news))
        return len(news) + settled + (inserted is not None)

    def _find(self, negotiation: Negotiation) -> Application | None:
        values = {
            "account_id": self.account_id,
            "negotiation_id": negotiation.id,
            "vacancy_id": negotiation.vacancy_id,
        }
        row = self.connection.execute(SELECT_APPLICATION_OF_NEGOTIATION, values).fetchone()
        return Application(**row) if row else None

    def _insert_by_hand(self, negotiation: Negotiation, now: datetime) -> Application | None:
        """Insert a row for what the person did on hh.ru and return it; ``None`` where one was
        inserted concurrently."""
        values = {
            "account_id": self.account_id,
            "user_id": self.person.user_id,
            "vacancy_id": negotiation.vacancy_id,
            "resume_id": negotiation.resume_id,
            "negotiation_id": negotiation.id,
            "created_at": negotiation.created_at,
            "now": now,
        }
        row = self.connection.execute(INSERT_APPLICATION_BY_HAND, values).fetchone()
        if row is None:
            return None
        inserted = Application(**row)
        projected = {
            "id": inserted.id,
            "user_id": inserted.user_id,
            "vacancy_id": inserted.vacancy_id,
            "letter": None,
            "status": projection.PROJECTED_STATUS["submitted"],
            "utc": now.replace(tzinfo=None),
        }
        self.connection.execute(projection.INSERT_PROJECTION, projected)
        ledger.record_change(inserted, connection=self.connection, now=now)
        count("ApplicationsByHand")
        return inserted

    def _count_once(
        self, row: Application, negotiation: Negotiation, *, again: bool, now: datetime
    ) -> bool:
        """Count the negotiation once in the daily limit; return whether an attempt of Core made it.

        *again*: the row has another negotiation of the same vacancy.
        """
        recorded = self.connection.execute(SELECT_ATTEMPTS, {"id": row.id}).fetchall()
        counted = [attempt["at"] for attempt in recorded if attempt["counts"]]
        if again:
            if not any(abs(at - negotiation.created_at) <= SLACK for at in counted):
                attempts.record_by_hand(
                    row, negotiation.created_at, connection=self.connection, now=now
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
                row.id, outcome, counts=is_ours, connection=self.connection, now=now
            )
            self._audit(row, outcome, now)
            counted += [now] if is_ours else []
        if not counted:
            attempts.record_by_hand(
                row,
                negotiation.created_at,
                connection=self.connection,
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
            connection=self.connection,
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
            "now": now,
        }
        seen = self.connection.execute(UPDATE_NEGOTIATION_STATE, values).fetchone()
        assert seen is not None  # noqa: S101 - the row is locked
        return Application(**seen)

    def _audit(self, row: Application, outcome: str, now: datetime) -> None:
        audit.write(
            "apply",
            outcome,
            caller=self.caller,
            user_id=row.user_id,
            account_id=row.account_id,
            connection=self.connection,
            now=now,
        )


def _is_known(negotiation: Negotiation, known: dict[str, Any] | None) -> bool:
    """Return whether the ledger already has the negotiation as it is."""
    return known is not None and (
        known["hh_state"] == negotiation.state
        and known["hh_updated_at"] == negotiation.updated_at
        and known["hh_viewed"] >= negotiation.viewed
    )
