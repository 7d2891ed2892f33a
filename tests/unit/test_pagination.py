"""Pagination of a run, against a model of hh.ru whose vacancies change between two calls."""

from __future__ import annotations

import bisect
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ullgetthejob.hh.models import SearchPage
from ullgetthejob.hh.search_parameters import MAX_DEPTH, SearchParameters
from ullgetthejob.saved_searches import pagination
from ullgetthejob.saved_searches.pagination import Plan

START = datetime(2026, 11, 24, 9, 32, 17, tzinfo=UTC)
SEARCH = SearchParameters(text="Python", area=("1",))
STEP_S = 300
MAX_CALLS = 400


def vacancy(number: int, published: float) -> Any:
    """Return a vacancy with the properties that a plan reads."""
    return SimpleNamespace(id=str(number), published_at=datetime.fromtimestamp(published, UTC))


@dataclass
class Model:
    """A model of hh.ru: open vacancies as (moment, number), and the requests it got."""

    open: list[tuple[int, int]]
    requests: list[SearchParameters] = field(default_factory=list)

    def __post_init__(self):
        self.open.sort()

    def search(self, request: SearchParameters) -> SearchPage:
        self.requests.append(request)
        assert (request.page + 1) * request.per_page <= MAX_DEPTH
        assert request.order_by == "publication_time"
        found = self.open
        if request.date_to:
            assert request.date_from
            assert request.period is None
            low, high = (self.moment(date) for date in (request.date_from, request.date_to))
            found = found[bisect.bisect_left(found, (low, -1)) :]
            found = found[: bisect.bisect_right(found, (high, 10**12))]
        newest_first = found[::-1]
        start = request.page * request.per_page
        items = newest_first[start : start + request.per_page]
        return SearchPage.model_construct(
            items=tuple(vacancy(number, at) for at, number in items),
            found=len(found),
            page=request.page,
            pages=-(-min(len(found), MAX_DEPTH) // request.per_page),
            per_page=request.per_page,
        )

    @staticmethod
    def moment(text: str) -> int:
        seconds = int(datetime.fromisoformat(text).timestamp())
        assert seconds % STEP_S == 0, "hh.ru would round the date"
        return seconds


def read(model, plan=None, between=lambda: None, parameters=SEARCH):
    """Run a plan to its end; return it and the numbers of the vacancies seen."""
    plan = plan or pagination.first_plan(START, low=None)
    seen = set()
    while not plan.over:
        page = model.search(pagination.next_request(plan, parameters))
        assert len(model.requests) <= MAX_CALLS
        seen |= {int(item.id) for item in page.items}
        plan = Plan.model_validate(json.loads(pagination.advance(plan, page).model_dump_json()))
        between()
    return plan, seen


def spread(count, seconds):
    """Return *count* vacancies over the *seconds* before the start."""
    start = int(START.timestamp())
    return [(start - index * seconds // max(count, 1), index) for index in range(count)]


def requested(model):
    return [(request.date_to, request.page) for request in model.requests]


@pytest.mark.parametrize(("count", "calls"), [(0, 1), (1, 1), (100, 1), (101, 2), (2000, 20)])
def test_search_within_depth_is_read_in_pages_without_dates(count, calls):
    model = Model(spread(count, 14 * 86_400))
    plan, seen = read(model)
    assert seen == set(range(count))
    assert plan.missing is None
    assert requested(model) == [(None, page) for page in range(calls)]


def test_search_below_depth_is_read_in_windows_newest_first():
    model = Model(spread(5_300, 14 * 86_400))
    plan, seen = read(model)
    assert seen == set(range(5_300))
    assert plan.missing is None
    windows = list(dict.fromkeys(request.date_to for request in model.requests))
    assert len(windows) == 3
    assert windows[0] is None
    assert windows[1:] == sorted(windows[1:], reverse=True)
    assert len(set(requested(model))) == len(model.requests)
    assert len(model.requests) <= 53 + 2


def test_too_many_in_five_minutes_are_missing_and_the_rest_read():
    model = Model([*spread(500, 3 * 86_400), *((at(86_400), 10_000 + n) for n in range(4_500))])
    plan, seen = read(model)
    assert plan.missing == "too_many"
    assert set(range(500)) <= seen


def at(seconds_before):
    return int(START.timestamp()) - seconds_before


def test_incremental_run_with_few_new_vacancies_calls_once():
    model = Model(spread(5_300, 14 * 86_400))
    low = START - timedelta(hours=1)
    plan, seen = read(model, pagination.first_plan(START, low=low))
    assert requested(model) == [(None, 0)]
    assert seen >= {number for moment, number in model.open if moment >= low.timestamp()}
    assert plan.found == 5_300


def test_incremental_run_below_depth_uses_windows_from_its_low():
    model = Model(spread(9_000, 14 * 86_400))
    low = START - timedelta(days=6)
    _, seen = read(model, pagination.first_plan(START, low=low))
    assert seen >= {number for moment, number in model.open if moment >= low.timestamp()}
    assert {request.date_from for request in model.requests} == {None, "2026-11-18T09:30:00+0000"}
    assert len(model.requests) <= 41


def test_dates_of_the_search_bound_its_windows():
    own = SEARCH.model_copy(update={"date_from": "2026-11-10", "date_to": "2026-11-20"})
    plan = pagination.first_plan(START, low=None)
    first = pagination.next_request(plan, own)
    assert (first.date_from, first.date_to) == ("2026-11-10", "2026-11-20")
    deeper = plan.model_copy(update={"upper": datetime(2026, 11, 14, 9, 35, tzinfo=UTC)})
    window = pagination.next_request(deeper, own)
    assert (window.date_from, window.date_to) == ("2026-11-10", "2026-11-14T09:35:00+0000")
    days = pagination.next_request(deeper, SEARCH.model_copy(update={"period": 7}))
    assert (days.period, days.date_from) == (None, "2026-11-17T09:30:00+0000")
    assert pagination.is_always_full(own)
    assert not pagination.is_always_full(SEARCH)


def test_vacancies_closed_during_a_run_hide_no_others():
    """After each page, one vacancy of it closes before the next request."""
    model = Model(spread(1_950, 14 * 86_400))
    closed = set()

    def close():
        number = len(closed) * 90
        if number < 1_900:
            model.open = [vacancy for vacancy in model.open if vacancy[1] != number]
            closed.add(number)

    plan, seen = read(model, between=close)
    assert set(range(1_950)) - closed <= seen
    assert plan.missing is None
    assert len(model.requests) <= 60


def test_page_is_requested_again_where_no_window_can_be_cut():
    model = Model([(at(3_600), number) for number in range(1_500)])
    closings = iter([[], [1_499, 1_498], [], [], [1_490], []])

    def close():
        gone = next(closings, [])
        model.open = [vacancy for vacancy in model.open if vacancy[1] not in gone]

    plan, seen = read(model, between=close)
    assert set(range(1_490)) <= seen
    assert plan.missing is None


def test_search_that_always_shrinks_ends_partial():
    model = Model([(at(3_600), number) for number in range(1_900)])

    def close():
        model.open.pop()

    plan, _ = read(model, between=close)
    assert plan.missing == "moving"


def test_run_ends_at_the_maximum_number_of_calls(monkeypatch):
    monkeypatch.setattr(pagination, "MAX_CALLS", 25)
    model = Model(spread(5_300, 14 * 86_400))
    plan, seen = read(model)
    assert plan.missing == "too_deep"
    assert len(model.requests) == 25
    assert set(range(2_400)) <= seen  # the newest


@st.composite
def worlds(draw):
    """Draw vacancies, spread or in heaps, and the odds of closing and appearing after a call."""
    count = draw(st.sampled_from([0, 3, 99, 250, 1_999, 2_001, 4_300]))
    seed = random.Random(draw(st.integers(0, 2**32)))  # noqa: S311 - must not shrink to one moment
    heaps = draw(st.lists(st.integers(0, 20 * 86_400), max_size=3))
    vacancies = []
    for number in range(count):
        if heaps and seed.random() < 0.2:
            # up to 260 at a moment: less than two pages of a window's five minutes
            moment = at(seed.choice(heaps) + seed.randrange(60_000))
        else:
            moment = at(seed.randrange(20 * 86_400))
        vacancies.append((moment, number))
    return vacancies, seed, draw(st.floats(0, 0.3)), draw(st.floats(0, 0.5))


@settings(max_examples=25, deadline=None)
@given(worlds(), st.booleans())
def test_vacancies_open_during_the_whole_run_are_seen(world, full):
    vacancies, seed, closing, appearing = world
    model = Model(list(vacancies))
    low = None if full else START - timedelta(days=3)
    closed = set()
    fresh = iter(range(1_000_000, 2_000_000))

    def change_vacancies():
        if model.open and seed.random() < closing:
            for gone in seed.sample(model.open, min(len(model.open), seed.choice([1, 2, 150]))):
                model.open.remove(gone)
                closed.add(gone[1])
        if seed.random() < appearing:
            for _ in range(seed.choice([1, 3, 120])):
                now = int(START.timestamp()) + len(model.requests)
                bisect.insort(model.open, (now, next(fresh)))

    plan, seen = read(model, pagination.first_plan(START, low=low), between=change_vacancies)
    wanted = {number for moment, number in vacancies if low is None or moment >= low.timestamp()}
    if plan.missing is None:
        assert wanted - closed <= seen
    assert plan.missing != "too_many"


@settings(max_examples=25, deadline=None)
@given(worlds(), st.booleans())
def test_unchanged_search_is_read_without_repeated_pages(world, full):
    model = Model(list(world[0]))
    low = None if full else START - timedelta(days=3)
    plan, seen = read(model, pagination.first_plan(START, low=low))
    wanted = [number for moment, number in world[0] if low is None or moment >= low.timestamp()]
    assert plan.missing is None
    assert set(wanted) <= seen
    assert len(set(requested(model))) == len(model.requests)
    windows = len({request.date_to for request in model.requests})
    # One more page for each window, and one for its first five minutes, which are read twice.
    assert len(model.requests) <= max(1, -(-len(wanted) // 100)) + 2 * windows


# ── one vacancy in the place of another ──────────────────────────────────────────────────────────


@dataclass
class Repeating(Model):
    """A model whose answers repeat their first vacancy as the last: those to *calls*, counted from
    0; without *calls*, all."""

    calls: tuple[int, ...] | None = None

    def search(self, request: SearchParameters) -> SearchPage:
        page = super().search(request)
        if self.calls is not None and len(self.requests) - 1 not in self.calls:
            return page
        return page.model_copy(update={"items": (*page.items[:-1], page.items[0])})


KINDS = {  # vacancies over fourteen days, the age of known ones, the call that repeats
    "whole search": (250, None, 1),
    "last page of the search": (250, None, 2),
    "stopped at known vacancies": (5_300, timedelta(days=1), 2),
    "stopped on its first page": (5_300, timedelta(hours=1), 0),
    "stopped on its only page": (60, timedelta(hours=1), 0),
    "down to the depth": (5_300, None, 7),
    "in a window": (5_300, None, 25),
    "in the last window": (5_300, None, 45),
    "in a window down to known vacancies": (5_300, timedelta(days=7), 22),
}


@pytest.mark.parametrize(("count", "back", "call"), KINDS.values(), ids=KINDS)
def test_vacancy_replacing_another_makes_its_window_reread(count, back, call):
    low = None if back is None else START - back
    model = Repeating(spread(count, 14 * 86_400), calls=(call,))
    plan, seen = read(model, pagination.first_plan(START, low=low))
    assert plan.missing is None
    assert seen >= {number for at, number in model.open if low is None or at >= low.timestamp()}
    times = Counter(requested(model))
    assert max(times.values()) == times[requested(model)[call]] == 2
    assert {window for (window, _), n in times.items() if n == 2} == {requested(model)[call][0]}


@pytest.mark.parametrize(("count", "back", "call"), KINDS.values(), ids=KINDS)
def test_lasting_repetition_makes_the_run_partial(count, back, call):
    low = None if back is None else START - back
    model = Repeating(spread(count, 14 * 86_400))
    plan, _ = read(model, pagination.first_plan(START, low=low))
    assert plan.missing == "fewer_than_found"
    assert set(Counter(requested(model)).values()) == {2}


def test_vacancy_that_moves_up_unread_is_found_by_rereading():
    """The number found stays the same: only one vacancy on two pages shows it."""
    model = Model(spread(5_300, 14 * 86_400))
    low = START - timedelta(days=1)

    def move_up():
        if len(model.requests) == 1:
            moved = next(vacancy for vacancy in model.open if vacancy[1] == 150)
            model.open.remove(moved)
            model.open.append((int(START.timestamp()), 150))

    plan, seen = read(model, pagination.first_plan(START, low=low), between=move_up)
    assert 150 in seen
    assert plan.missing is None
    assert [page for _, page in requested(model)] == [0, 1, 2, 3, 0, 1, 2, 3]


@pytest.mark.parametrize("back", [None, timedelta(days=1), timedelta(days=7)])
def test_vacancies_pushed_to_the_next_page_cause_no_rereading(back):
    model = Model(spread(5_300, 14 * 86_400))
    fresh = iter(range(1_000_000, 2_000_000))

    def publish():
        model.open += [(int(START.timestamp()) + len(model.requests), next(fresh))] * 3

    low = None if back is None else START - back
    plan, _ = read(model, pagination.first_plan(START, low=low), between=publish)
    assert plan.missing is None
    assert len(set(requested(model))) == len(model.requests)


def answer(ids, *, found, unreadable=0):
    """Return one page with vacancies of these numbers."""
    return SearchPage.model_construct(
        items=tuple(vacancy(number, at(0)) for number in ids),
        found=found,
        page=0,
        pages=1,
        per_page=100,
        unreadable=unreadable,
    )


def test_unreadable_vacancies_do_not_count_as_missing():
    plan = pagination.first_plan(START, low=None)
    assert pagination.advance(plan, answer(range(9), found=10, unreadable=1)).over
    again = pagination.advance(plan, answer(range(8), found=10, unreadable=1))
    assert (again.over, again.is_again, again.unreadable, again.seen) == (False, True, 0, ())
    ended = pagination.advance(again, answer(range(8), found=10, unreadable=1))
    assert (ended.over, ended.missing) == (True, "fewer_than_found")
    assert pagination.advance(again, answer(range(9), found=10, unreadable=1)).missing is None


def test_window_is_not_reread_beyond_the_maximum_of_calls(monkeypatch):
    monkeypatch.setattr(pagination, "MAX_CALLS", 3)
    model = Repeating(spread(250, 14 * 86_400))
    plan, _ = read(model)
    assert (plan.missing, len(model.requests)) == ("fewer_than_found", 3)


def test_plan_of_a_later_release_is_read_after_a_rollback():
    plan = Plan(started_at=START, page=3)
    later = {**json.loads(plan.model_dump_json()), "a_later_field": [1]}
    assert Plan.model_validate(later) == plan


def test_plan_of_a_long_reading_stays_small():
    model = Model(spread(2_000, 14 * 86_400))
    plan = pagination.first_plan(START, low=None)
    while not plan.over:
        plan = pagination.advance(plan, model.search(pagination.next_request(plan, SEARCH)))
        assert len(plan.model_dump_json()) < 2_000 * len('"12345",') + 1_000
