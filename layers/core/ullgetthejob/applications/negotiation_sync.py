"""Synchronisation of an account's applications with hh.ru's negotiations.

They are read on a schedule (``accounts.negotiations_due_at``), under the submitter's lease: minutes
apart while something happens, up to hours apart while nothing does, and not at all while the
account's access does not allow it. What is found there:

- an application that the person made on hh.ru is inserted into the ledger, and counts among the 200
  in 24 hours from the time that hh.ru gives;
- one that the ledger has in another state is settled as submitted, since hh.ru has it;
- that an employer viewed, invited or refused is a step of the history and an event, once.

Where hh.ru does not let Core read negotiations, it reads the person's counters in their place
(:mod:`ullgetthejob.accounts.hh_counters`).

hh.ru lists the last updated first, but a view by the employer is no update there: reading goes back
as far as there are applications that no employer has viewed. The ledger is updated
(:mod:`.negotiation_updates`) from the oldest update to the newest, each negotiation in a
transaction of its own, so that a reader whose process ends leaves nothing that the next one would
take as read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import hh_calls, hh_counters, method_status, people
from ullgetthejob.applications import ledger
from ullgetthejob.applications.negotiation_updates import FIRST_STATE, NegotiationUpdates
from ullgetthejob.hh import method_access
from ullgetthejob.hh.errors import HHError
from ullgetthejob.platform import queues
from ullgetthejob.platform.errors import NeedsPerson, Unavailable
from ullgetthejob.platform.telemetry import logger

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.hh.models import Negotiation, NegotiationPage
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

MIN_INTERVAL = timedelta(minutes=10)
MAX_INTERVAL = timedelta(hours=6)
RETRY_INTERVAL = timedelta(minutes=5)
REQUEST_PAUSE = timedelta(minutes=2)  # between readings because a person looks
MAX_PAGES = 10  # of a hundred
MAX_LOOKUPS = 5
BUDGET_S = 30.0
DAY = timedelta(days=1)
# How long a view by the employer is waited for.
AWAITED_FOR = timedelta(days=30)

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
# Unless they were just read, which is the interval before the next reading.
UPDATE_SYNC_REQUESTED = """
    UPDATE accounts SET negotiations_due_at = %(now)s
    WHERE id = %(account_id)s AND negotiations_due_at > %(now)s
      AND negotiations_due_at - make_interval(secs => negotiations_interval_s) <= %(before)s
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


def schedule_sync(account_id: UUID, *, at: datetime, connection: Connection) -> None:
    """Schedule the next reading by *at* at the latest, and later ones minutes apart again, since
    something may happen from now on."""
    values = {"account_id": account_id, "at": at, "interval_s": MIN_INTERVAL.total_seconds()}
    connection.execute(UPDATE_SYNC_SOONER, values)


def request_sync(account_id: UUID, *, connection: Connection, now: datetime) -> bool:
    """Have the account's negotiations read now, since their person looks; return whether that was
    scheduled.

    None is within :data:`REQUEST_PAUSE` of the last one. The interval of later ones stays.
    """
    values = {"account_id": account_id, "now": now, "before": now - REQUEST_PAUSE}
    is_due = connection.execute(UPDATE_SYNC_REQUESTED, values).rowcount > 0
    if is_due:
        queues.notify(ledger.QUEUE, {"account_id": str(account_id)})
    return is_due


def sync(account_id: UUID, context: Context) -> bool:
    """Read the account's negotiations and update the ledger by them; return whether hh.ru answered.

    For the holder of the account's lease. However it ends, the next reading is scheduled; while the
    access does not allow it, the schedule stays as it is.
    """
    connection, clock = context.connection, context.clock
    user = connection.execute(SELECT_LAST_USER, {"account_id": account_id}).fetchone()
    if user is None:  # the account has no session left
        _schedule(account_id, MAX_INTERVAL, MAX_INTERVAL, connection=connection, now=clock())
        return False
    person = people.find_by_account(account_id, user_id=user["id"])
    updates = NegotiationUpdates(account_id, person.user_id, context)
    reader = _Reader(person, account_id, context, updates)
    found = connection.execute(SELECT_SYNC_INTERVAL, {"account_id": account_id}).fetchone()
    last = timedelta(seconds=(found and found["seconds"]) or 0)
    try:
        if _is_closed(account_id, context):
            news = _read_counters(person, context)
        else:
            news = bool(reader.read())
    except NeedsPerson as error:
        if method_status.closed_method(error) is not None:
            # What is left to read is read at the next time, and a probe is made when it is due.
            wait = MIN_INTERVAL if not last else min(2 * last, MAX_INTERVAL)
            _schedule(account_id, wait, wait, connection=connection, now=clock())
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


def _read_counters(person: Person, context: Context) -> bool:
    """Read hh.ru's counters of the person; return whether they have changed. Raises as
    :func:`hh_calls.call_as_account`."""
    me = hh_calls.call_as_account(person, "me", context.hh.me, context)
    return hh_counters.store(
        person.account, me.counters, connection=context.connection, now=context.now()
    )


def _is_closed(account_id: UUID, context: Context) -> bool:
    return method_access.is_closed(
        "negotiations", account_id, connection=context.connection, now=context.now()
    )


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
    context: Context
    updates: NegotiationUpdates

    def read(self) -> int:
        """Read the negotiations and process them; return how many changes there were. Raises as
        :func:`hh_calls.call_as_account`."""
        return self._process_all(self._read_pages()) + self._process_all(self._look_up_vacancies())

    def _process_all(self, negotiations: list[Negotiation]) -> int:
        by_id = {negotiation.id: negotiation for negotiation in negotiations}
        values = {"account_id": self.account_id, "ids": list(by_id)}
        rows = self.context.connection.execute(SELECT_WITH_NEGOTIATION, values).fetchall()
        known = {row["negotiation_id"]: row for row in rows}
        changed = [
            negotiation
            for negotiation in by_id.values()
            if not _is_known(negotiation, known.get(negotiation.id))
        ]
        changed.sort(key=lambda negotiation: (negotiation.updated_at, int(negotiation.id)))
        return sum(self.updates.update(negotiation) for negotiation in changed)

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
        now = self.context.now()
        values = {
            "account_id": self.account_id,
            "awaited_since": now - AWAITED_FOR,
            "first": FIRST_STATE,
        }
        row = self.context.connection.execute(SELECT_OLDEST_RELEVANT, values).fetchone()
        if row is None or row["read_to"] is None:
            return None
        floor: datetime = min(row["read_to"], row["oldest_unseen"] or now, now - DAY)
        return floor

    def _look_up_vacancies(self) -> list[Negotiation]:
        """Return the negotiations of applications for which hh.ru did not name one: they may be
        older than what the pages have."""
        values = {
            "account_id": self.account_id,
            "since": self.context.now() - DAY,
            "most": MAX_LOOKUPS,
        }
        found: list[Negotiation] = []
        for row in self.context.connection.execute(SELECT_WITHOUT_NEGOTIATION, values).fetchall():
            found += self._read_page(vacancy_id=row["vacancy_id"]).items
        return found

    def _read_page(self, **query: Any) -> NegotiationPage:
        return hh_calls.call_as_account(
            self.person,
            "negotiations",
            lambda token: self.context.hh.negotiations(token, **query),
            self.context,
        )


def _is_known(negotiation: Negotiation, known: dict[str, Any] | None) -> bool:
    """Return whether the ledger already has the negotiation as it is."""
    return known is not None and (
        known["hh_state"] == negotiation.state
        and known["hh_updated_at"] == negotiation.updated_at
        and known["hh_viewed"] >= negotiation.viewed
    )
