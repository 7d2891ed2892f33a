"""Outcomes: what hh.ru's negotiations tell of an account's applications.

They are read on a schedule (``accounts.negotiations_due_at``), under the applier's lease: minutes
apart while something happens, up to hours apart while nothing does, and not at all while the
account's access stands in the way. What is found there:

- an application that the person made on hh.ru enters the ledger, and counts among the 200 in 24
  hours from the moment that hh.ru says;
- one that the ledger has in another state is settled as submitted, since hh.ru has it;
- that an employer looked, invited or refused is a step of the history and an event, once.

hh.ru lists the last updated first, but that an employer looked is no update there: reading goes
back as far as there are applications that nobody has looked at. What was read is worked through
from the oldest update to the newest, each negotiation in a transaction of its own, so that a reader
that dies leaves nothing behind that the next one would take as read.
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
# An employer that has not looked by then is not waited for any more.
AWAITED_FOR = timedelta(days=30)
# What hh.ru's clock and ours may differ by, where it is told who applied first.
SLACK = timedelta(seconds=30)
FIRST = "response"  # hh.ru: the state of a negotiation in which no employer has done anything
# What an attempt may have come to that made the application.
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
# Who is shown what the person did on hh.ru: the session that logged in last.
SELECT_LAST_USER = """
    SELECT id FROM users WHERE account_id = %(account_id)s ORDER BY updated_at DESC, id LIMIT 1
"""
# How far everything was read, and the oldest application that an employer may yet look at.
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
# By its own id: where the vacancy was deleted, hh.ru no longer says which one it was.
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
    """Whether the account's negotiations should be read, and can be."""
    values = {"account_id": account_id, "now": now}
    return connection.execute(SELECT_SYNC_DUE, values).fetchone() is not None


def schedule_sync(account_id: UUID, *, at: datetime, connection: Connection) -> None:
    """Something may happen from now on: read by *at* at the latest, and minutes apart again."""
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
    """Read the account's negotiations and take in what they tell; whether hh.ru answered.

    For the holder of the account's lease. However it ends, it is known when they are read next;
    while the access stands in the way, the moment stays where it is.
    """
    user = connection.execute(SELECT_LAST_USER, {"account_id": account_id}).fetchone()
    if user is None:  # nobody is left to be told
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
    """One reading of *person*'s negotiations."""

    person: Person
    account_id: UUID
    hh: HHClient
    connection: Connection
    clock: Callable[[], datetime]
    caller: Caller

    def read(self) -> int:
        """Read, take in; how much news there was."""
        return self._process_all(self._pages()) + self._process_all(self._look_up_vacancies())

    def _process_all(self, read: list[Negotiation]) -> int:
        by_id = {one.id: one for one in read}
        values = {"account_id": self.account_id, "ids": list(by_id)}
        rows = self.connection.execute(SELECT_WITH_NEGOTIATION, values).fetchall()
        known = {row["negotiation_id"]: row for row in rows}
        in_order = sorted(by_id.values(), key=lambda one: (one.updated_at, int(one.id)))
        return sum(self._process(one) for one in in_order if not _is_old(one, known.get(one.id)))

    # ── what hh.ru has ───────────────────────────────────────────────────────────────────────────

    def _pages(self) -> list[Negotiation]:
        ends = time.monotonic() + BUDGET_S
        floor = self._oldest_relevant()
        found: list[Negotiation] = []
        for number in range(MAX_PAGES):
            page = self._ask(page=number)
            found += page.items
            last = number + 1 >= page.pages or not page.items
            if last or (floor is not None and page.items[-1].updated_at < floor):
                return found
            if time.monotonic() >= ends:
                break
        logger.info("more negotiations than are read at once", read=len(found))
        return found

    def _oldest_relevant(self) -> datetime | None:
        """Nothing that was last updated before it is news; ``None``: all of it is."""
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
        """Those of applications whose negotiation hh.ru did not name, and that are older news."""
        values = {
            "account_id": self.account_id,
            "since": self.clock() - DAY,
            "most": MAX_LOOKUPS,
        }
        found: list[Negotiation] = []
        for row in self.connection.execute(SELECT_WITHOUT_NEGOTIATION, values).fetchall():
            found += self._ask(vacancy_id=row["vacancy_id"]).items
        return found

    def _ask(self, **which: Any) -> NegotiationPage:
        return hh_calls.call_as_account(
            self.person,
            lambda token: self.hh.negotiations(token, **which),
            hh=self.hh,
            connection=self.connection,
            now=self.clock(),
        )

    # ── what the ledger makes of it ──────────────────────────────────────────────────────────────

    def _process(self, one: Negotiation) -> int:
        """Take in what a negotiation tells; how much of it is news."""
        now = self.clock()
        with self.connection.transaction():
            row = self._find(one)
            if row is None and one.vacancy_id is None:
                logger.info("an unknown negotiation about a deleted vacancy")
                return 0
            entered = self._insert_by_hand(one, now) if row is None else None
            row = row or entered or self._find(one)
            assert row is not None  # noqa: S101 - that of a submit which was faster
            again = row.negotiation_id not in (None, one.id)
            is_ours = self._count(row, one, again=again, now=now)
            if again and int(row.negotiation_id or 0) > int(one.id):
                return 0  # a later one of the same vacancy is what the row tells of
            settled = row.state != "submitted"
            if settled:
                row = self._settle(row, one, is_ours=is_ours, now=now)
            before = (FIRST, False) if again else (row.hh_state or FIRST, row.hh_viewed)
            seen = self._save_state(row, one, by_hand=not is_ours, again=again, now=now)
            projection.project(seen, connection=self.connection, now=now)
            news = ["applied_again"] if again else []
            if seen.hh_viewed and not before[1]:
                news.append("viewed")
            if seen.hh_state is not None and seen.hh_state != before[0]:
                news.append(seen.hh_state)
            for what in news:
                ledger.record_change(seen, reason=what, connection=self.connection, now=now)
        count("ApplicationOutcomes", len(news))
        return len(news) + settled + (entered is not None)

    def _find(self, one: Negotiation) -> Application | None:
        values = {
            "account_id": self.account_id,
            "negotiation_id": one.id,
            "vacancy_id": one.vacancy_id,
        }
        row = self.connection.execute(SELECT_APPLICATION_OF_NEGOTIATION, values).fetchone()
        return Application(**row) if row else None

    def _insert_by_hand(self, one: Negotiation, now: datetime) -> Application | None:
        """A row for what the person did on hh.ru; ``None`` where one came meanwhile."""
        values = {
            "account_id": self.account_id,
            "user_id": self.person.user_id,
            "vacancy_id": one.vacancy_id,
            "resume_id": one.resume_id,
            "negotiation_id": one.id,
            "created_at": one.created_at,
            "now": now,
        }
        row = self.connection.execute(INSERT_APPLICATION_BY_HAND, values).fetchone()
        if row is None:
            return None
        entered = Application(**row)
        shown = {
            "id": entered.id,
            "user_id": entered.user_id,
            "vacancy_id": entered.vacancy_id,
            "letter": None,
            "status": projection.PROJECTED_STATUS["submitted"],
            "utc": now.replace(tzinfo=None),
        }
        self.connection.execute(projection.INSERT_PROJECTION, shown)
        ledger.record_change(entered, connection=self.connection, now=now)
        count("ApplicationsByHand")
        return entered

    def _count(self, row: Application, one: Negotiation, *, again: bool, now: datetime) -> bool:
        """See to it that the negotiation counts once; whether an attempt of Core's made it.

        *again*: the row tells of another one of the same vacancy.
        """
        recorded = self.connection.execute(SELECT_ATTEMPTS, {"id": row.id}).fetchall()
        counted = [attempt["at"] for attempt in recorded if attempt["counts"]]
        if again:
            if not any(abs(at - one.created_at) <= SLACK for at in counted):
                attempts.record_by_hand(row, one.created_at, connection=self.connection, now=now)
            return False
        is_ours = not row.by_hand and (
            row.negotiation_id == one.id
            or any(
                attempt["outcome"] in POSSIBLE_OUTCOMES and attempt["at"] <= one.created_at + SLACK
                for attempt in recorded
            )
        )
        if any(attempt["outcome"] is None for attempt in recorded):
            outcome = "found_at_hh" if is_ours else "already_applied"
            attempts.close_attempts(
                row.id, outcome, counts=is_ours, connection=self.connection, now=now
            )
            self._record(row, outcome, now)
            counted += [now] if is_ours else []
        if not counted:
            attempts.record_by_hand(
                row,
                one.created_at,
                connection=self.connection,
                now=now,
                outcome="found_at_hh" if is_ours else "by_hand",
            )
        return is_ours

    def _settle(
        self, row: Application, one: Negotiation, *, is_ours: bool, now: datetime
    ) -> Application:
        """hh.ru has it, wherever the ledger thought that it stands."""
        count("ApplicationsSubmitted" if is_ours else "ApplicationsByHand")
        return ledger.transition(
            row.id,
            "submitted",
            source=[row.state],
            reason="found_at_hh" if is_ours else "by_hand",
            negotiation_id=one.id,
            resume_id=one.resume_id,
            submitted_at=one.created_at,
            by_hand=not is_ours,
            connection=self.connection,
            now=now,
        )

    def _save_state(
        self, row: Application, one: Negotiation, *, by_hand: bool, again: bool, now: datetime
    ) -> Application:
        values = {
            "id": row.id,
            "negotiation_id": one.id,
            "hh_state": one.state,
            "hh_viewed": one.viewed or (row.hh_viewed and not again),
            "hh_updated_at": one.updated_at,
            "resume_id": one.resume_id,
            "by_hand": by_hand,
            "now": now,
        }
        seen = self.connection.execute(UPDATE_NEGOTIATION_STATE, values).fetchone()
        assert seen is not None  # noqa: S101 - the row is locked
        return Application(**seen)

    def _record(self, row: Application, outcome: str, now: datetime) -> None:
        audit.write(
            "apply",
            outcome,
            caller=self.caller,
            user_id=row.user_id,
            account_id=row.account_id,
            connection=self.connection,
            now=now,
        )


def _is_old(one: Negotiation, known: dict[str, Any] | None) -> bool:
    """Whether the ledger has all that a negotiation tells."""
    return known is not None and (
        known["hh_state"] == one.state
        and known["hh_updated_at"] == one.updated_at
        and known["hh_viewed"] >= one.viewed
    )
