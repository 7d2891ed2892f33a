"""What a run asks hh.ru next, what follows from an answer, and when it is over. Pure.

A search is read newest first, page after page. hh.ru shows 2,000 vacancies of a search and no more;
what lies deeper is read through a *window*: the same search with a ``date_to`` just above the last
vacancy that was read, again from page 0. A window ends on hh.ru's five minutes, to which it rounds
dates, so a few vacancies are read twice and none is left out. More than 2,000 within five minutes
cannot be reached: they are left out, and the run is partial (``too_many``).

While a run reads, vacancies come and go. New ones push the others to later pages, where they are
seen twice; what closes pulls the others to earlier pages, where one could be skipped unseen. A
vacancy can be skipped only between two answers of which the second finds fewer: then, too, the
reading goes on in a window below the last vacancy down to which nothing is missing, which nothing
that closes above can shift. Within five minutes of its top, where a window cannot be cut, the pages
are asked again instead, a few times at most; then the run is partial (``moving``).

One vacancy may come twice in the pages, in the place of another that is then seen nowhere. So a
whole reading in one window that brought fewer vacancies than hh.ru found is made once more; where
that brings no more, the run is partial (``fewer_than_found``).

An incremental run stops at the page that reaches what was published before ``low``. No run makes
more than :data:`MOST_CALLS`: a search for everything must not take the pace from all others. What
lies deeper is old, and left out (``too_deep``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from ullgetthejob.hh.search_parameters import MAX_DEPTH, MAX_PER_PAGE

if TYPE_CHECKING:
    from ullgetthejob.hh.models import SearchPage
    from ullgetthejob.hh.search_parameters import SearchParameters

STEP = timedelta(minutes=5)  # hh.ru rounds date_from and date_to to it
MOST_TURNS = 3
MOST_CALLS = 300  # 30,000 vacancies, a hundred seconds at three calls a second
# hh.ru: date_to needs a date_from. A vacancy is open for 30 days, unless it is prolonged.
LONG_AGO = timedelta(days=400)
FORMAT = "%Y-%m-%dT%H:%M:%S%z"


Missing = Literal["too_many", "moving", "too_deep", "fewer_than_found"]


class Plan(BaseModel):
    """How far a run is.

    *upper*: the end of the window that is read, ``None``: the plain search. *found*: what the last
    answer said; *least_found*: the fewest that any said (what comes while a run reads is for the
    next one). *edge*: when the last vacancy was published down to which nothing is missing.
    *unreadable*: how many vacancies of this reading could not be read. *is_again*: the search is
    read a second time. *missing*: why something is. Goes to JSON and back without loss.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    is_again: bool = False
    missing: Missing | None = None
    over: bool = False


def is_always_full(parameters: SearchParameters) -> bool:
    """Whether the search has dates of its own, so that no run can go on from the last one."""
    return any((parameters.period, parameters.date_from, parameters.date_to))


def begin(started_at: datetime, *, low: datetime | None) -> Plan:
    """The plan of a new run: of all, or of what was published since *low*."""
    return Plan(started_at=started_at, low=low)


def question(plan: Plan, parameters: SearchParameters) -> SearchParameters:
    """What hh.ru is asked next."""
    asked: dict[str, Any] = {
        "order_by": "publication_time",
        "page": plan.page,
        "per_page": MAX_PER_PAGE,
    }
    if plan.upper is not None:
        asked["period"] = None
        asked["date_from"] = _date_from(plan, parameters)
        asked["date_to"] = _text(plan.upper)
    return parameters.model_copy(update=asked)


def after(plan: Plan, page: SearchPage) -> Plan:
    """The plan after the answer *page* to its question."""
    least = page.found if plan.least_found is None else min(plan.least_found, page.found)
    unreadable = plan.unreadable + page.unreadable
    counted = _with(plan, calls=plan.calls + 1, least_found=least, unreadable=unreadable)
    following = _following(counted, page)
    if following.calls >= MOST_CALLS and not following.over:
        return _with(following, missing=following.missing or "too_deep", over=True)
    return following


def after_count(plan: Plan, distinct: int) -> Plan:
    """Return the plan after a whole reading that brought *distinct* vacancies besides those that
    cannot be read: over, or to read once more."""
    is_whole = plan.over and plan.low is None and plan.upper is None and plan.missing is None
    if (
        not is_whole
        or plan.least_found is None
        or (distinct + plan.unreadable >= min(plan.least_found, MAX_DEPTH))
    ):
        return plan
    if plan.is_again or plan.calls >= MOST_CALLS:
        return _with(plan, missing="fewer_than_found")
    return _with(
        plan, page=0, found=None, edge=None, turns=0, unreadable=0, over=False, is_again=True
    )


def _following(plan: Plan, page: SearchPage) -> Plan:
    fewer = (plan.found or 0) - page.found
    if plan.page > 0 and fewer > 0:
        if lower := _below(plan):
            return lower
        if plan.turns < MOST_TURNS:
            back = max(0, plan.page - -(-fewer // MAX_PER_PAGE))
            return _with(plan, page=back, found=page.found, turns=plan.turns + 1)
        plan = _with(plan, missing="moving")
    edge = page.items[-1].published_at if page.items else plan.edge
    plan = _with(plan, found=page.found, edge=edge)
    if plan.low is not None and edge is not None and edge < plan.low:
        return _with(plan, over=True)
    if plan.page + 1 < min(page.pages, MAX_DEPTH // MAX_PER_PAGE):
        return _with(plan, page=plan.page + 1)
    if page.found > MAX_DEPTH and page.found > (plan.page + 1) * MAX_PER_PAGE:
        return _deeper(plan)
    return _with(plan, over=True)


def _deeper(plan: Plan) -> Plan:
    """To what lies under the 2,000 that were read."""
    if lower := _below(plan):
        return lower
    if plan.upper is None:  # nothing could be read at all
        return _with(plan, missing="too_many", over=True)
    return _window(_with(plan, missing="too_many"), plan.upper - STEP)


def _below(plan: Plan) -> Plan | None:
    """On in a window below what was read; ``None`` where it would be the same window."""
    if plan.edge is None:
        return None
    upper = _rounded(plan.edge) + STEP
    if plan.upper is not None and upper >= plan.upper:
        return None
    return _window(plan, upper)


def _window(plan: Plan, upper: datetime) -> Plan:
    if plan.low is not None and upper <= _rounded(plan.low):
        return _with(plan, over=True)
    return _with(plan, upper=upper, page=0, found=None, turns=0)


def _date_from(plan: Plan, parameters: SearchParameters) -> str:
    if plan.low is not None:
        return _text(_rounded(plan.low))
    if parameters.date_from is not None:
        return parameters.date_from
    back = timedelta(days=parameters.period) if parameters.period else LONG_AGO
    return _text(_rounded(plan.started_at - back))


def _rounded(moment: datetime) -> datetime:
    """Down to hh.ru's five minutes, in UTC."""
    seconds = int(moment.timestamp())
    return datetime.fromtimestamp(seconds - seconds % int(STEP.total_seconds()), UTC)


def _text(moment: datetime) -> str:
    return moment.strftime(FORMAT)


def _with(plan: Plan, **changes: Any) -> Plan:
    return plan.model_copy(update=changes)
