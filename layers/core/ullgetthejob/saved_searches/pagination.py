"""Pagination of a run: the next request to hh.ru, the plan after its answer, and the run's end.
Pure functions.

A search is read newest first, page after page. hh.ru shows 2,000 vacancies of a search and no more;
deeper ones are read through a *window*: the same search with a ``date_to`` just above the last
vacancy that was read, again from page 0. A window ends on a multiple of five minutes, to which
hh.ru rounds dates, so a few vacancies are read twice and none is left out. More than 2,000 within
five minutes cannot be reached: they are left out, and the run is partial (``too_many``).

While a run reads, vacancies are posted and closed. New ones push the others to later pages, where
they are seen twice; closed ones pull the others to earlier pages, where one could be skipped
unseen. A vacancy can be skipped only between two answers of which the second finds fewer: then,
too, the run goes on in a window below the last vacancy down to which nothing is missing, which no
vacancy that closes above can shift. Within five minutes of its top, where a window cannot be cut,
the pages are requested again instead, a few times at most; then the run is partial (``moving``).

One vacancy may come twice in the pages, in the place of another that is then seen nowhere. So each
reading of a window is counted when it is left. Where its last page was read, it must have brought
as many vacancies as hh.ru found. Where it was left before (at known vacancies, at hh.ru's depth,
for a window below), it must have brought no vacancy more often than new ones can have pushed one to
the next page, which *found* shows. A reading that fails this is repeated once from its first page;
where that brings no more, the run goes on and is partial (``fewer_than_found``).

An incremental run stops at the page that reaches vacancies published before ``low``. No run makes
more than :data:`MAX_CALLS` calls: a search for everything must not use up the rate of all others.
Deeper vacancies are old, and left out (``too_deep``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from pydantic import ConfigDict

from ullgetthejob.hh.search_parameters import MAX_DEPTH, MAX_PER_PAGE
from ullgetthejob.platform.models import Model

if TYPE_CHECKING:
    from ullgetthejob.hh.models import SearchPage
    from ullgetthejob.hh.search_parameters import SearchParameters

STEP = timedelta(minutes=5)  # hh.ru rounds date_from and date_to to this
MAX_REREADS = 3
MAX_CALLS = 300  # 30,000 vacancies, a hundred seconds at three calls a second
# hh.ru: date_to needs a date_from. A vacancy is open for 30 days, unless it is prolonged.
EARLIEST_DATE = timedelta(days=400)
FORMAT = "%Y-%m-%dT%H:%M:%S%z"


Missing = Literal["too_many", "moving", "too_deep", "fewer_than_found"]


class Plan(Model):
    """The progress of a run, stored as JSON without loss.

    *low*: the publication time down to which an incremental run reads. *upper*: the end of the
    current window, ``None`` for the plain search. *seen*: the ids on each page read of it. *found*:
    the count in the last answer; *least_found*: the lowest count in any answer of this window
    (vacancies posted during a run are left to the next one). *edge*: the publication time of the
    last vacancy down to which nothing is missing. *turns*: how often pages were requested again.
    *unreadable*: how many vacancies of this reading could not be read. *is_again*: the window is
    read a second time. *missing*: why vacancies are missing, if any are. *over*: the run has ended.
    *trace_id*: the trace in which the run began.

    Fields of a later release are ignored: after a rollback, runs that it began continue.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    started_at: datetime
    low: datetime | None = None
    upper: datetime | None = None
    page: int = 0
    found: int | None = None
    edge: datetime | None = None
    turns: int = 0
    calls: int = 0
    least_found: int | None = None
    unreadable: int = 0
    seen: tuple[tuple[str, ...], ...] = ()
    is_again: bool = False
    missing: Missing | None = None
    over: bool = False
    trace_id: UUID | None = None


def is_always_full(parameters: SearchParameters) -> bool:
    """Return whether the search has dates of its own, so that no run can be incremental."""
    return any((parameters.period, parameters.date_from, parameters.date_to))


def first_plan(started_at: datetime, *, low: datetime | None, trace_id: UUID | None = None) -> Plan:
    """Return the plan of a new run: of all vacancies, or of those published since *low*."""
    return Plan(started_at=started_at, low=low, trace_id=trace_id)


def next_request(plan: Plan, parameters: SearchParameters) -> SearchParameters:
    """Return the parameters of the next request to hh.ru."""
    changes: dict[str, Any] = {
        "order_by": "publication_time",
        "page": plan.page,
        "per_page": MAX_PER_PAGE,
    }
    if plan.upper is not None:
        changes["period"] = None
        changes["date_from"] = _date_from(plan, parameters)
        changes["date_to"] = _text(plan.upper)
    return parameters.model_copy(update=changes)


def advance(plan: Plan, page: SearchPage) -> Plan:
    """Return the plan after *page*, the answer to its next request."""
    following = _next_plan(_replace(plan, calls=plan.calls + 1), page)
    if following.calls >= MAX_CALLS and not following.over:
        return _replace(following, missing=following.missing or "too_deep", over=True)
    return following


def _next_plan(plan: Plan, page: SearchPage) -> Plan:
    fewer = (plan.found or 0) - page.found
    if plan.page > 0 and fewer > 0:
        if lower := _older_window(plan):
            return _close_window(plan, lower)
        if plan.turns < MAX_REREADS:
            first = max(0, plan.page - -(-fewer // MAX_PER_PAGE))
            return _replace(
                plan, page=first, seen=plan.seen[:first], found=page.found, turns=plan.turns + 1
            )
        plan = _replace(plan, missing="moving")
    plan = _with_page(plan, page)
    if plan.low is not None and plan.edge is not None and plan.edge < plan.low:
        return _close_window(plan, _replace(plan, over=True))
    if plan.page + 1 < min(page.pages, MAX_DEPTH // MAX_PER_PAGE):
        return _replace(plan, page=plan.page + 1)
    if page.found > MAX_DEPTH and page.found > (plan.page + 1) * MAX_PER_PAGE:
        return _close_window(plan, _deepen(plan))
    return _close_window(plan, _replace(plan, over=True))


def _with_page(plan: Plan, page: SearchPage) -> Plan:
    return _replace(
        plan,
        found=page.found,
        least_found=min(page.found, page.found if plan.least_found is None else plan.least_found),
        edge=page.items[-1].published_at if page.items else plan.edge,
        unreadable=plan.unreadable + page.unreadable,
        seen=(*plan.seen, tuple(vacancy.id for vacancy in page.items)),
    )


def _close_window(plan: Plan, following: Plan) -> Plan:
    """Return the plan after the reading *plan* of a window: *following*, or a second reading if it
    brought fewer vacancies than it should have."""
    if not _is_short(plan):
        return following
    # A run that is partial for another reason is repeated from its beginning anyway.
    is_worth_rereading = not plan.is_again and plan.missing in (None, "fewer_than_found")
    if is_worth_rereading and plan.calls < MAX_CALLS:
        return _restart(plan, upper=plan.upper, is_again=True)
    return _replace(following, missing=following.missing or "fewer_than_found")


def _is_short(plan: Plan) -> bool:
    """Return whether a reading brought a vacancy in the place of another, as far as counts show."""
    found, least = plan.found or 0, plan.least_found or 0
    seen_ids = [vacancy_id for page in plan.seen for vacancy_id in page]
    distinct = len(set(seen_ids))
    if len(plan.seen) * MAX_PER_PAGE >= found:
        return distinct + plan.unreadable < least
    return len(seen_ids) - distinct > found - least


def _deepen(plan: Plan) -> Plan:
    """Return the plan for the vacancies below the 2,000 that were read."""
    if lower := _older_window(plan):
        return lower
    if plan.upper is None:  # no vacancy could be read
        return _replace(plan, missing="too_many", over=True)
    return _window(_replace(plan, missing="too_many"), plan.upper - STEP)


def _older_window(plan: Plan) -> Plan | None:
    """Return the plan of a window below what was read; ``None`` if it would be the same window."""
    if plan.edge is None:
        return None
    upper = _rounded(plan.edge) + STEP
    if plan.upper is not None and upper >= plan.upper:
        return None
    return _window(plan, upper)


def _window(plan: Plan, upper: datetime) -> Plan:
    if plan.low is not None and upper <= _rounded(plan.low):
        return _replace(plan, over=True)
    return _restart(plan, upper=upper, is_again=False)


def _restart(plan: Plan, *, upper: datetime | None, is_again: bool) -> Plan:
    """Return the plan of the first page of a window of which nothing is known yet."""
    return Plan(
        started_at=plan.started_at,
        low=plan.low,
        calls=plan.calls,
        missing=plan.missing,
        upper=upper,
        edge=None if is_again else plan.edge,
        is_again=is_again,
        trace_id=plan.trace_id,
    )


def _date_from(plan: Plan, parameters: SearchParameters) -> str:
    if plan.low is not None:
        return _text(_rounded(plan.low))
    if parameters.date_from is not None:
        return parameters.date_from
    back = timedelta(days=parameters.period) if parameters.period else EARLIEST_DATE
    return _text(_rounded(plan.started_at - back))


def _rounded(moment: datetime) -> datetime:
    """Return *moment* rounded down to hh.ru's five minutes, in UTC."""
    seconds = int(moment.timestamp())
    return datetime.fromtimestamp(seconds - seconds % int(STEP.total_seconds()), UTC)


def _text(moment: datetime) -> str:
    return moment.strftime(FORMAT)


def _replace(plan: Plan, **changes: Any) -> Plan:
    return plan.model_copy(update=changes)
