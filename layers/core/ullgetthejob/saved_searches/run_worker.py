"""The worker that fetches a search: asks hh.ru what the run's plan says, and keeps each page.

One worker at a time has a search, by lease. Each page is one transaction under the lock of the
search's row: vacancies, matches, the feed for everybody, counts and the next plan; who finds the
run at another step than it read undoes all of it. So a worker may die at any line: the run comes
due again, and goes on at the page that was not kept.

What hh.ru refuses decides what becomes of the run. Too many calls: it waits. Out of order: it waits
longer each time, and ends after five. A captcha, a blocked region, an application that hh.ru does
not know: it ends at once, as ``partial`` if something was fetched, and says why. A search that had
vacancies and suddenly has none has *collapsed*: that is an alarm and no news, until it is still so
after a day.

After its end those who wanted the run are told (:mod:`.news`), then details are read, while no run
waits.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.hh.errors import (
    HHAppTokenMissing,
    HHBadArgument,
    HHBusy,
    HHCaptcha,
    HHError,
    HHUnavailable,
)
from ullgetthejob.platform import leases, queues
from ullgetthejob.platform.errors import AppError
from ullgetthejob.platform.telemetry import count, logger
from ullgetthejob.public_feed import outbox
from ullgetthejob.saved_searches import canonical_searches, notifications, pagination, run_store
from ullgetthejob.vacancies import detail_backfill, store

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ullgetthejob.hh.client import HHClient
    from ullgetthejob.hh.models import SearchPage
    from ullgetthejob.saved_searches.pagination import Plan
    from ullgetthejob.saved_searches.run_store import Run, RunAnswer

    Connection = psycopg.Connection[dict[str, Any]]

LEASE_S = 120
RUN_BUDGET_S = 60.0  # what may be begun within an invocation; the function's timeout is longer
REQUEST_BUDGET_S = 20.0  # of a person who waits; API Gateway does for 30
RECHECK_INTERVAL_S = 0.2
SHORT_WAIT_S = 2
PAUSES = [timedelta(seconds=s) for s in (10, 30, 120, 300)]
SWEEP_INTERVAL = timedelta(minutes=1)  # a shorter pause rings for itself
MAX_RUN_DURATION = timedelta(hours=6)
COLLAPSE_MIN_FOUND = 5  # vacancies; fewer may well be gone
COLLAPSES_ACCEPTED_AFTER = timedelta(hours=24)

REASONS = {HHCaptcha: "captcha", HHBadArgument: "bad_argument"}  # else the error's code


class _RunSuperseded(Exception):
    """Another worker has gone on with the run."""


def run_query(
    query_id: UUID,
    *,
    hh: HHClient,
    connection: Connection,
    clock: Callable[[], datetime],
    request_id: str,  # noqa: ARG001 - as all work that a bell begins; the log has it
) -> bool:
    """Go on with the search's run, tell its news, read details; whether something is left for
    another bell.

    A bell that rings while another worker has the lease may be forgotten: that worker looks again
    after it has let go.
    """
    ends = time.monotonic() + RUN_BUDGET_S
    if not canonical_searches.exists(query_id, connection=connection):
        return False
    is_due = _is_due(query_id, connection=connection, now=clock())
    while True:
        lease = leases.acquire(f"fetch#{query_id}", seconds=LEASE_S, now=clock())
        if lease is None:
            return False
        try:
            worker = _RunWorker(query_id, hh=hh, connection=connection, clock=clock, ends=ends)
            if is_due:
                worker.fetch()
                worker.notify()
            worker.read_details()
        finally:
            lease.release()
        is_due = _is_due(query_id, connection=connection, now=clock())
        if not is_due or time.monotonic() >= ends:
            return is_due


def run_now(
    query_id: UUID,
    search_id: UUID,
    *,
    hh: HHClient,
    connection: Connection,
    clock: Callable[[], datetime],
    request_id: str,  # noqa: ARG001 - as work
    budget_s: float = REQUEST_BUDGET_S,
) -> RunAnswer:
    """Begin a run for a saved search, or join the one that is going on, and wait for its end; the
    run, which goes on by itself if it takes longer. Raises :class:`NotFound`."""
    ends = time.monotonic() + budget_s
    run = canonical_searches.request_run(query_id, search_id, connection=connection, now=clock())
    while run.state == "running" and time.monotonic() < ends:
        if run.is_due(clock()):
            lease = leases.acquire(f"fetch#{query_id}", seconds=LEASE_S, now=clock())
        elif run.reason is None:
            lease = None  # another worker has it
        else:
            break  # it waits for hh.ru
        if lease is None:
            time.sleep(RECHECK_INTERVAL_S)
        else:
            try:
                worker = _RunWorker(query_id, hh=hh, connection=connection, clock=clock, ends=ends)
                worker.fetch()
                worker.notify()
            finally:
                lease.release()
        run = run_store.read(run.id, connection=connection)
    if run.state == "running":
        queues.notify(run_store.QUEUE, {"query_id": str(query_id)})
    return run.answer()


def _is_due(query_id: UUID, *, connection: Connection, now: datetime) -> bool:
    run = run_store.running(query_id, connection=connection)
    if run is not None and run.is_due(now):
        return True
    return bool(run_store.unnotified_runs(query_id, connection=connection))


class _RunWorker:
    """Who holds the search's lease. Nothing is begun after *ends* (monotonic)."""

    def __init__(
        self,
        query_id: UUID,
        *,
        hh: HHClient,
        connection: Connection,
        clock: Callable[[], datetime],
        ends: float,
    ) -> None:
        self._query_id = query_id
        self._hh = hh
        self._connection = connection
        self._clock = clock
        self._ends = ends
        self._failed = False
        query = canonical_searches.read(query_id, connection=connection)
        self._parameters = canonical_searches.parameters_of(query)

    def fetch(self) -> None:
        """Go on with the run, if it is due."""
        run = run_store.running(self._query_id, connection=self._connection)
        if run is None or not run.is_due(self._clock()):
            return
        # Nobody rings for it while this worker can be alive.
        due_at = self._clock() + timedelta(seconds=LEASE_S)
        following = run_store.postpone(run, due_at, reason=None, connection=self._connection)
        try:
            while following is not None and following.state == "running":
                following = self._step(following)
        except _RunSuperseded:
            logger.info("a run was overtaken")
            return
        self._failed = following is None or following.state == "failed"

    def notify(self) -> None:
        """Tell the news of the run that has ended, and of those that nobody told of."""
        for run_id in run_store.unnotified_runs(self._query_id, connection=self._connection):
            notifications.notify_accounts(run_id, connection=self._connection, now=self._clock())

    def read_details(self) -> None:
        """Read vacancies in full, and what has closed, while no run waits for calls."""
        if self._failed:  # hh.ru refuses, or is waited for
            return
        detail_backfill.backfill(
            self._query_id,
            hh=self._hh,
            connection=self._connection,
            clock=self._clock,
            most=detail_backfill.details_per_run(),
            goes_on=self._is_quiet,
        )

    def _is_quiet(self) -> bool:
        """Whether there is time for what nobody waits for."""
        if self._left():
            return False
        return not run_store.has_waiting_runs(connection=self._connection, now=self._clock())

    def _left(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._ends

    # ── one call ─────────────────────────────────────────────────────────────────────────────────

    def _step(self, run: Run) -> Run | None:
        """The run after one call; ``None``: it goes on later."""
        if self._left():
            self._defer(run, timedelta(0), run.reason)
            return None
        if self._clock() - run.started_at > MAX_RUN_DURATION:
            return self._stop(run, "too_long", calls=0)
        try:
            page = self._hh.search(pagination.next_request(run.plan, self._parameters))
        except HHBusy as error:
            return self._wait(run, error)
        except HHAppTokenMissing as error:
            if error.retry_after_s <= SHORT_WAIT_S:  # another worker is renewing it
                return self._wait(run, error)
            return self._stop(run, error.code, calls=0)
        except HHUnavailable as error:
            return self._postpone(run, error)
        except HHError as error:
            code = error.code if isinstance(error, AppError) else type(error).__name__
            return self._stop(run, REASONS.get(type(error), code), calls=1)
        return self._store_page(run, page)

    def _wait(self, run: Run, error: HHBusy | HHAppTokenMissing) -> Run | None:
        """Our own pacer lets the next call in soon; after hh.ru's own refusal it takes longer."""
        if error.retry_after_s <= SHORT_WAIT_S:
            time.sleep(error.retry_after_s)
            return run
        self._defer(run, timedelta(seconds=error.retry_after_s), error.code)
        return None

    def _postpone(self, run: Run, error: HHUnavailable) -> Run | None:
        """hh.ru does not answer, or its pacer knows that it does not."""
        calls = int(error.may_have_acted)
        if run.attempts >= len(PAUSES):
            return self._stop(run, error.code, calls=calls)
        self._defer(run, PAUSES[run.attempts], error.code, attempts=1, calls=calls)
        return None

    def _defer(
        self, run: Run, pause: timedelta, reason: str | None, *, attempts: int = 0, calls: int = 0
    ) -> None:
        run_store.postpone(
            run,
            self._clock() + pause,
            reason=reason,
            attempts=attempts,
            calls=calls,
            connection=self._connection,
        )
        if timedelta(0) < pause < SWEEP_INTERVAL:
            queues.notify(
                run_store.QUEUE,
                {"query_id": str(self._query_id)},
                after_s=int(pause.total_seconds()),
            )

    def _stop(self, run: Run, reason: str, *, calls: int) -> Run:
        """End the run with what it has."""
        with self._connection.transaction():
            canonical_searches.lock(self._query_id, connection=self._connection)
            ended = run_store.end(
                run,
                "partial" if run.fetched else "failed",
                reason=reason,
                calls=calls,
                connection=self._connection,
                now=self._clock(),
            )
            if ended is None:
                raise _RunSuperseded
        _count_end(ended)
        return ended

    def _store_page(self, run: Run, page: SearchPage) -> Run:
        """Keep what a page brought; the run after it, which may be its end."""
        now = self._clock()
        plan = pagination.advance(run.plan, page)
        ids = list(dict.fromkeys(vacancy.id for vacancy in page.items))
        with self._connection.transaction():
            query = canonical_searches.lock(self._query_id, connection=self._connection)
            stored = store.store_vacancies(
                page.items,
                search_query=self._parameters.text,
                connection=self._connection,
                now=now,
            )
            seen_before = canonical_searches.count_seen(
                self._query_id, ids, since=run.started_at, connection=self._connection
            )
            canonical_searches.record_matches(
                self._query_id,
                ids,
                again=run.is_full or not plan.over,  # to be counted once by a run that goes on
                connection=self._connection,
                now=now,
            )
            outbox.add(stored.originals, connection=self._connection, now=now)
            kept = run_store.save_step(
                run,
                plan,
                found=page.found,
                fetched=len(ids) - seen_before,
                failed=0 if run.plan.is_again else page.unreadable,
                new=len(stored.new),
                changed=len(stored.changed),
                connection=self._connection,
            )
            if kept is None:
                raise _RunSuperseded
            ended = self._end(kept, plan, query, now)
        count("VacanciesSeen", len(page.items))
        count("VacanciesNew", len(stored.new))
        count("VacanciesChanged", len(stored.changed))
        if ended is not None:
            _count_end(ended)
        return ended or kept

    def _end(self, run: Run, plan: Plan, query: dict[str, Any], now: datetime) -> Run | None:
        """What the run is after its last page; ``None`` before that."""
        if run.found == 0 and self._has_collapsed(query, now):
            return run_store.end(
                run, "partial", reason="collapsed", connection=self._connection, now=now
            )
        if not plan.over:
            return None
        # What is old is missed by nobody, and what hh.ru shows twice as many as it likes: the next
        # run looks at the newest once more, and tomorrow's at all.
        if plan.missing in (None, "too_deep", "fewer_than_found"):
            canonical_searches.mark_complete(run, connection=self._connection)
        return run_store.end(
            run,
            "completed" if plan.missing is None else "partial",
            reason=plan.missing,
            connection=self._connection,
            now=now,
        )

    def _has_collapsed(self, query: dict[str, Any], now: datetime) -> bool:
        """Whether the search has nothing that had something; after a day of it, it is true."""
        if (query["full_found"] or 0) < COLLAPSE_MIN_FOUND:
            return False
        since = run_store.collapsed_since(self._query_id, connection=self._connection)
        return since is None or now - since < COLLAPSES_ACCEPTED_AFTER


def _count_end(run: Run) -> None:
    values: dict[str, Any] = {
        "run_id": str(run.id),
        "query_id": str(run.query_id),
        "state": run.state,
        "reason": run.reason,
        "found": run.found,
        "fetched": run.fetched,
        "new": run.new,
        "changed": run.changed,
        "failed": run.failed,
        "calls": run.calls,
    }
    count(f"FetchRuns{run.state.capitalize()}")
    if run.reason == "collapsed":
        count("FetchCollapsed")
        logger.error("a search has collapsed", **values)
    elif run.reason == "captcha":
        count("FetchCaptcha")
        logger.error("hh.ru wants a captcha solved", **values)
    else:
        logger.info("a run has ended", **values)
