"""The worker that fetches a search: make the requests of the run's plan, and store each page.

One worker at a time has a search, by lease. Each page is one transaction under the lock of the
search's row: vacancies, matches, the public feed, counts and the next plan; a worker that finds the
run at another step than it read rolls all of it back. So the process may end at any point: the run
becomes due again, and continues at the page that was not stored.

A refusal by hh.ru decides what happens to the run. Too many calls: it waits. hh.ru unavailable: it
waits longer each time, and ends after five attempts. A captcha, a blocked region, an application
that hh.ru does not know: it ends at once, as ``partial`` if something was fetched, with a reason. A
search that had vacancies and suddenly has none has *collapsed*: that raises an alarm, and is
accepted as true only if it persists for a day.

After a run ends, the accounts that wanted it are notified (:mod:`.notifications`), then details are
read, while no run waits.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.hh import method_access
from ullgetthejob.hh.errors import (
    HHAppTokenMissing,
    HHBadArgument,
    HHBusy,
    HHCaptcha,
    HHError,
    HHUnavailable,
)
from ullgetthejob.platform import leased_work, leases, queues, tracing
from ullgetthejob.platform.errors import AppError
from ullgetthejob.platform.telemetry import count, logger
from ullgetthejob.public_feed import outbox
from ullgetthejob.saved_searches import canonical_searches, notifications, pagination, run_store
from ullgetthejob.vacancies import detail_backfill, store

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.hh.models import SearchPage
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection
    from ullgetthejob.saved_searches.pagination import Plan
    from ullgetthejob.saved_searches.run_store import Run, RunAnswer

LEASE_S = 120
RUN_BUDGET_S = 60.0  # for beginning work in an invocation; the function's timeout is longer
REQUEST_BUDGET_S = 20.0  # while a person waits; API Gateway waits for 30
RECHECK_INTERVAL_S = 0.2
SHORT_WAIT_S = 2
PAUSES = [timedelta(seconds=s) for s in (10, 30, 120, 300)]
SWEEP_INTERVAL = timedelta(minutes=1)  # a shorter pause sends its own wake-up
MAX_RUN_DURATION = timedelta(hours=6)
COLLAPSE_MIN_FOUND = 5  # vacancies; fewer may well be gone
COLLAPSES_ACCEPTED_AFTER = timedelta(hours=24)

REASONS = {HHCaptcha: "captcha", HHBadArgument: "bad_argument"}  # others: the error's code


class _RunSuperseded(Exception):
    """Raised when another worker has continued the run."""


def run_query(query_id: UUID, context: Context) -> bool:
    """Continue the search's run, notify accounts, read details, as :func:`leased_work.run` does;
    return whether work is left for another wake-up."""
    query = canonical_searches.find(query_id, connection=context.connection)
    if query is None:
        return False

    def work(deadline: float) -> None:
        worker = _RunWorker(query_id, context, deadline=deadline, query=query)
        worker.fetch()
        worker.notify()
        worker.read_details()

    return leased_work.run(
        _lease_name(query_id),
        work,
        lambda: _is_due(query_id, connection=context.connection, now=context.now()),
        context.clock,
        lease_s=LEASE_S,
        budget_s=RUN_BUDGET_S,
    )


def run_now(
    query_id: UUID, search_id: UUID, context: Context, *, budget_s: float = REQUEST_BUDGET_S
) -> RunAnswer:
    """Begin a run for a saved search, or join the current one, and wait for its end; return the
    run, which continues in the background if it takes longer. Raises :class:`NotFound`."""
    deadline = time.monotonic() + budget_s
    connection, clock = context.connection, context.clock
    run = canonical_searches.request_run(query_id, search_id, connection=connection, now=clock())
    while run.state == "running" and time.monotonic() < deadline:
        if run.is_due(clock()):
            lease = leases.acquire(_lease_name(query_id), seconds=LEASE_S, now=clock())
        elif run.reason is None:
            lease = None  # another worker has it
        else:
            break  # it waits for hh.ru
        if lease is None:
            time.sleep(RECHECK_INTERVAL_S)
        else:
            try:
                worker = _RunWorker(query_id, context, deadline=deadline)
                worker.fetch()
                worker.notify()
            finally:
                lease.release()
        run = run_store.read(run.id, connection=connection)
    if run.state == "running":
        queues.notify(run_store.QUEUE, {"query_id": str(query_id)})
    return run.answer()


def _lease_name(query_id: UUID) -> str:
    return f"fetch#{query_id}"


def _is_due(query_id: UUID, *, connection: Connection, now: datetime) -> bool:
    return run_store.has_work(query_id, connection=connection, now=now)


class _RunWorker:
    """A worker that holds the search's lease. It begins nothing after *deadline* (monotonic).
    *query*: the row of the search, if it was read already."""

    def __init__(
        self,
        query_id: UUID,
        context: Context,
        *,
        deadline: float,
        query: dict[str, Any] | None = None,
    ) -> None:
        self._query_id = query_id
        self._context = context
        self._connection = context.connection
        self._deadline = deadline
        self._failed = False
        query = query or canonical_searches.read(query_id, connection=context.connection)
        self._parameters = canonical_searches.parameters_of(query)

    def fetch(self) -> None:
        """Continue the run, if it is due."""
        run = run_store.running(self._query_id, connection=self._connection)
        if run is None or not run.is_due(self._context.now()):
            return
        with tracing.continued(run.plan.trace_id):
            self._fetch(run)

    def _fetch(self, run: Run) -> None:
        # No wake-up is sent for the run while this worker can hold the lease.
        due_at = self._context.now() + timedelta(seconds=LEASE_S)
        following = run_store.defer(run, due_at, reason=None, connection=self._connection)
        try:
            while following is not None and following.state == "running":
                following = self._step(following)
        except _RunSuperseded:
            logger.info("another worker has continued the run")
            return
        self._failed = following is None or following.state == "failed"

    def notify(self) -> None:
        """Notify the accounts of the run that has ended, and of earlier runs left over."""
        unnotified = run_store.unnotified_runs(self._query_id, connection=self._connection)
        for run_id, trace_id in unnotified:
            with tracing.continued(trace_id):
                notifications.notify_accounts(
                    run_id, connection=self._connection, now=self._context.now()
                )

    def read_details(self) -> None:
        """Read vacancies in full, and check closed ones, while no run waits for calls."""
        if self._failed:  # hh.ru refuses calls, or the run waits for it
            return
        detail_backfill.backfill(
            self._query_id,
            self._context,
            most=detail_backfill.details_per_run(),
            may_continue=self._has_spare_time,
        )

    def _has_spare_time(self) -> bool:
        """Return whether there is time left, and no run waits."""
        if self._is_time_up():
            return False
        return not run_store.has_waiting_runs(connection=self._connection, now=self._context.now())

    def _is_time_up(self) -> bool:
        return time.monotonic() >= self._deadline

    # ── one call ─────────────────────────────────────────────────────────────────────────────────

    def _step(self, run: Run) -> Run | None:
        """Make one call and return the run after it; ``None`` if the run is deferred."""
        if self._is_time_up():
            self._defer(run, timedelta(0), run.reason)
            return None
        if self._context.now() - run.started_at > MAX_RUN_DURATION:
            return self._stop(run, "too_long", calls=0)
        try:
            request = pagination.next_request(run.plan, self._parameters)
            page = method_access.call_as_service(
                "search", lambda: self._context.hh.search(request), self._context
            )
        except HHBusy as error:
            return self._wait(run, error)
        except HHAppTokenMissing as error:
            if error.retry_after_s <= SHORT_WAIT_S:  # another worker is renewing the token
                return self._wait(run, error)
            return self._stop(run, error.code, calls=0)
        except HHUnavailable as error:
            return self._back_off(run, error)
        except HHError as error:
            code = error.code if isinstance(error, AppError) else type(error).__name__
            return self._stop(run, REASONS.get(type(error), code), calls=1)
        return self._store_page(run, page)

    def _wait(self, run: Run, error: HHBusy | HHAppTokenMissing) -> Run | None:
        """Sleep for a short wait and return the run; defer it for a longer one and return ``None``.

        The own pacer has a slot soon; a refusal by hh.ru itself takes longer.
        """
        if error.retry_after_s <= SHORT_WAIT_S:
            time.sleep(error.retry_after_s)
            return run
        self._defer(run, timedelta(seconds=error.retry_after_s), error.code)
        return None

    def _back_off(self, run: Run, error: HHUnavailable) -> Run | None:
        """Defer the run, longer after each failed attempt, or end it after the last: hh.ru does not
        answer, or the pacer knows that it does not."""
        calls = int(error.may_have_acted)
        if run.attempts >= len(PAUSES):
            return self._stop(run, error.code, calls=calls)
        self._defer(run, PAUSES[run.attempts], error.code, attempts=1, calls=calls)
        return None

    def _defer(
        self, run: Run, pause: timedelta, reason: str | None, *, attempts: int = 0, calls: int = 0
    ) -> None:
        run_store.defer(
            run,
            self._context.now() + pause,
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
        """End the run with what it has fetched. Raises :class:`_RunSuperseded`."""
        with self._connection.transaction():
            canonical_searches.lock(self._query_id, connection=self._connection)
            ended = run_store.end(
                run,
                "partial" if run.fetched else "failed",
                reason=reason,
                calls=calls,
                connection=self._connection,
                now=self._context.now(),
            )
            if ended is None:
                raise _RunSuperseded
        _count_end(ended)
        return ended

    def _store_page(self, run: Run, page: SearchPage) -> Run:
        """Store a page and return the run after it, which may have ended. Raises
        :class:`_RunSuperseded`."""
        now = self._context.now()
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
            excluded = {
                vacancy.id
                for vacancy in page.items
                if self._parameters.excludes(vacancy.employer.id)
            }
            canonical_searches.record_matches(
                self._query_id,
                [vacancy_id for vacancy_id in ids if vacancy_id not in excluded],
                mark_seen=run.is_full or not plan.over,  # for the counts of a run that goes on
                connection=self._connection,
                now=now,
            )
            outbox.add(stored.originals, connection=self._connection, now=now)
            saved = run_store.save_step(
                run,
                plan,
                found=page.found,
                fetched=len(ids) - seen_before,
                failed=0 if run.plan.is_again else page.unreadable,
                new=len(stored.new),
                changed=len(stored.changed),
                connection=self._connection,
            )
            if saved is None:
                raise _RunSuperseded
            ended = self._end(saved, plan, query, now)
        count("VacanciesSeen", len(page.items))
        count("VacanciesNew", len(stored.new))
        count("VacanciesChanged", len(stored.changed))
        if ended is not None:
            _count_end(ended)
        return ended or saved

    def _end(self, run: Run, plan: Plan, query: dict[str, Any], now: datetime) -> Run | None:
        """End the run after its last page and return it; return ``None`` before that."""
        if run.found == 0 and self._has_collapsed(query, now):
            return run_store.end(
                run, "partial", reason="collapsed", connection=self._connection, now=now
            )
        if not plan.over:
            return None
        # Old vacancies need not be found, and those that hh.ru's pages omit can still be: the next
        # run reads the newest again, and the next full run reads all.
        if plan.missing in (None, "too_deep", "fewer_than_found"):
            canonical_searches.mark_complete(
                run, is_whole=plan.missing is None, connection=self._connection
            )
        return run_store.end(
            run,
            "completed" if plan.missing is None else "partial",
            reason=plan.missing,
            connection=self._connection,
            now=now,
        )

    def _has_collapsed(self, query: dict[str, Any], now: datetime) -> bool:
        """Return whether a search that had vacancies has had none for less than a day."""
        if (query["full_found"] or 0) < COLLAPSE_MIN_FOUND:
            return False
        since = run_store.collapsed_since(self._query_id, connection=self._connection)
        return since is None or now - since < COLLAPSES_ACCEPTED_AFTER


def _count_end(run: Run) -> None:
    values: dict[str, Any] = {"run_id": str(run.id), "query_id": str(run.query_id)}
    count(f"FetchRuns{run.state.capitalize()}")
    if run.reason == "collapsed":
        count("FetchCollapsed")
        logger.error("a search has collapsed", **values)
    elif run.reason == "captcha":
        count("FetchCaptcha")
        logger.error("hh.ru wants a captcha solved", **values)
