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

One vacancy may come twice in the pages, in the place of another that is then seen nowhere. So each
reading of a window is counted when it is left. Where its last page was read, it must have brought
as many vacancies as hh.ru found. Where it was left before (at what is known, at hh.ru's depth, for
a window below), it must have brought no vacancy more often than new ones can have pushed one to the
next page, which *found* says. What did not is read once more from its first page; where that brings
no more, the run goes on and is partial (``fewer_than_found``).

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
MAX_REREADS = 3
MAX_CALLS = 300  # 30,000 vacancies, a hundred seconds at three calls a second
# hh.ru: date_to needs a date_from. A vacancy is open for 30 days, unless it is prolonged.
EARLIEST_DATE = timedelta(days=400)
FORMAT = "%Y-%m-%dT%H:%M:%S%z"


Missing = Literal["too_many", "moving", "too_deep", "fewer_than_found"]


class Plan(BaseModel):
    """How far a run is.

    *upper*: the end of the window that is read, ``None``: the plain search. *seen*: the ids on each
    page that was read of it. *found*: what the last answer said; *least_found*: the fewest that any
    said of this window (what comes while a run reads is for the next one). *edge*: when the last
    vacancy was published down to which nothing is missing. *unreadable*: how many vacancies of this
    reading could not be read. *is_again*: the window is read a second time. *missing*: why
    something is. Goes to JSON and back without loss.
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
    seen: tuple[tuple[str, ...], ...] = ()
    is_again: bool = False
    missing: Missing | None = None
    over: bool = False


def is_always_full(parameters: SearchParameters) -> bool:
    """Whether the search has dates of its own, so that no run can go on from the last one."""
    return any((parameters.period, parameters.date_from, parameters.date_to))


def first_plan(started_at: datetime, *, low: datetime | None) -> Plan:
    """The plan of a new run: of all, or of what was published since *low*."""
    return Plan(started_at=started_at, low=low)


def next_request(plan: Plan, parameters: SearchParameters) -> SearchParameters:
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


def advance(plan: Plan, page: SearchPage) -> Plan:
    """The plan after the answer *page* to its question."""
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
            back = max(0, plan.page - -(-fewer // MAX_PER_PAGE))
            return _replace(
                plan, page=back, seen=plan.seen[:back], found=page.found, turns=plan.turns + 1
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
    """Return what comes after the reading *plan* of a window: *following*, unless it brought fewer
    vacancies than it should have."""
    if not _is_short(plan):
        return following
    # A run with another reason is made again from its beginning.
    is_of_use = not plan.is_again and plan.missing in (None, "fewer_than_found")
    if is_of_use and plan.calls < MAX_CALLS:
        return _restart(plan, upper=plan.upper, is_again=True)
    return _replace(following, missing=following.missing or "fewer_than_found")


def _is_short(plan: Plan) -> bool:
    """Return whether a reading brought a vacancy in the place of another, as far as that shows."""
    found, least = plan.found or 0, plan.least_found or 0
    shown = [id for page in plan.seen for id in page]
    distinct = len(set(shown))
    if len(plan.seen) * MAX_PER_PAGE >= found:
        return distinct + plan.unreadable < least
    return len(shown) - distinct > found - least


def _deepen(plan: Plan) -> Plan:
    """To what lies under the 2,000 that were read."""
    if lower := _older_window(plan):
        return lower
    if plan.upper is None:  # nothing could be read at all
        return _replace(plan, missing="too_many", over=True)
    return _window(_replace(plan, missing="too_many"), plan.upper - STEP)


def _older_window(plan: Plan) -> Plan | None:
    """On in a window below what was read; ``None`` where it would be the same window."""
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
    """To the first page of a window, of which nothing is known yet."""
    return Plan(
        started_at=plan.started_at,
        low=plan.low,
        calls=plan.calls,
        missing=plan.missing,
        upper=upper,
        edge=None if is_again else plan.edge,
        is_again=is_again,
    )


def _date_from(plan: Plan, parameters: SearchParameters) -> str:
    if plan.low is not None:
        return _text(_rounded(plan.low))
    if parameters.date_from is not None:
        return parameters.date_from
    back = timedelta(days=parameters.period) if parameters.period else EARLIEST_DATE
    return _text(_rounded(plan.started_at - back))


def _rounded(moment: datetime) -> datetime:
    """Down to hh.ru's five minutes, in UTC."""
    seconds = int(moment.timestamp())
    return datetime.fromtimestamp(seconds - seconds % int(STEP.total_seconds()), UTC)


def _text(moment: datetime) -> str:
    return moment.strftime(FORMAT)


def _replace(plan: Plan, **changes: Any) -> Plan:
    return plan.model_copy(update=changes)
