"""How many people one egress serves: a day of their calls to hh.ru, simulated.

``make simulate-egress``. People are added until the calls of a day no longer fit: a call would wait
for longer than :data:`MAX_WAIT_S` for its slot, or the day's calls would not end with the day. Each
person has two saved searches that no other person has (equal ones cost nothing more, so this is the
worst case), and applies. The pace, the intervals and the ages for which answers are kept are those
of the package; what is assumed about people and hh.ru stands in :class:`Assumptions`. The same seed
gives the same numbers.

*before*: every application reads the vacancy and the person's resumes. *after*: the list of resumes
is kept. *stream*: all new vacancies are read once, page by page and in full, and the searches are
matched by Core, which calls hh.ru for none of them. Core has no such stream: the row says what it
would bring.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from ullgetthejob.accounts import kept_resumes
from ullgetthejob.applications import negotiation_sync
from ullgetthejob.hh.search_parameters import MAX_PER_PAGE
from ullgetthejob.platform import settings
from ullgetthejob.rate_limits import daily_limit
from ullgetthejob.saved_searches import models, run_store

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY_S = 86_400
BIN_S = 60  # calls are counted by the minute
MAX_WAIT_S = 300.0
STEP = 10  # people that are added together
SEED = 1
APPLICATIONS = (0, 10, 200)  # a day
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "egress.md"

Way = Literal["before", "after", "stream"]
WAYS: tuple[Way, ...] = get_args(Way)


@dataclass(frozen=True)
class Assumptions:
    """What is assumed about a person and about hh.ru. *found*: vacancies of a search, all read once
    a day. *new*: vacancies a day that a search finds first. *awake_s*: when a person applies, from
    and to, in seconds of the day. *all_new*: vacancies a day of hh.ru as a whole."""

    searches: int = 2
    found: int = 300
    new: int = 25
    awake_s: tuple[int, int] = (9 * 3600, 21 * 3600)
    all_new: int = 50_000


@dataclass(frozen=True)
class Result:
    """How many *people* are served, and how many *calls* one of them costs in a day, on average."""

    people: int
    calls: float


def simulate(
    applications: int,
    way: Way,
    *,
    calls_per_second: float | None = None,
    assumed: Assumptions | None = None,
    seed: int = SEED,
) -> Result:
    """Return how many people who send *applications* a day one egress serves."""
    assumed = assumed or Assumptions()
    pace = calls_per_second or settings.HH_CALLS_PER_SECOND()
    chance = random.Random(seed)  # noqa: S311 - no secret
    common = [0] * (DAY_S // BIN_S)
    if way == "stream":
        for moment in _stream_calls(assumed):
            common[int(moment) // BIN_S] += 1
    bins, people = list(common), 0
    while True:
        added = list(bins)
        for _ in range(STEP):
            for moment in person_calls(applications, way, assumed, chance):
                added[int(moment) // BIN_S] += 1
        if not is_served(added, pace):
            break
        bins, people = added, people + STEP
    own = sum(bins) - sum(common)
    return Result(people, own / people if people else 0.0)


def is_served(bins: list[int], calls_per_second: float) -> bool:
    """Return whether all calls of *bins* (calls in each minute of the day) get a slot in time."""
    waiting = 0.0
    for arriving in bins:
        waiting = max(0.0, waiting + arriving - BIN_S * calls_per_second)
        if waiting > MAX_WAIT_S * calls_per_second:
            return False
    return waiting == 0.0


def person_calls(
    applications: int, way: Way, assumed: Assumptions, chance: random.Random
) -> Iterator[float]:
    """Yield the moments (seconds of the day) at which a person costs a call."""
    if way != "stream":
        for _ in range(assumed.searches):
            yield from _search_calls(assumed, chance)
    moments = _application_moments(applications, assumed, chance)
    kept_until = float("-inf")
    for moment in moments:
        yield moment  # GET /vacancies/{id}
        yield moment  # POST /negotiations
        if way == "before" or moment >= kept_until:
            yield moment  # GET /resumes/mine
            kept_until = moment + kept_resumes.MAX_AGE.total_seconds()
    yield from _sync_moments(moments, chance)


def _search_calls(assumed: Assumptions, chance: random.Random) -> Iterator[float]:
    """Yield the runs of a saved search, the pages of the daily full one, and its new vacancies."""
    start = chance.random() * models.INTERVAL_S
    runs = [start + models.INTERVAL_S * number for number in range(DAY_S // models.INTERVAL_S)]
    yield from runs
    full_runs = round(DAY_S / run_store.FULL_RUN_INTERVAL.total_seconds())
    for run in chance.sample(runs, full_runs):
        yield from [run] * (-(-assumed.found // MAX_PER_PAGE) - 1)
    yield from (chance.choice(runs) for _ in range(assumed.new))


def _application_moments(
    applications: int, assumed: Assumptions, chance: random.Random
) -> list[float]:
    """Return when a person's applications go out: at any time of their day; a campaign's at the
    pace of the token bucket, from the morning on, after those that a full bucket allows at once."""
    since, until = assumed.awake_s
    capacity = settings.RATE_LIMIT_SUBMIT_CAPACITY()
    if applications <= capacity:
        return sorted(chance.uniform(since, until) for _ in range(applications))
    wanted = min(applications, daily_limit.DAY_LIMIT)
    interval = 3600 / settings.RATE_LIMIT_SUBMIT_PER_HOUR()
    start = chance.random() * DAY_S
    at_once = [start] * min(capacity, wanted)
    later = [start + interval * number for number in range(1, wanted - len(at_once) + 1)]
    return sorted(moment % DAY_S for moment in at_once + later if moment < start + DAY_S)


def _sync_moments(applied: list[float], chance: random.Random) -> Iterator[float]:
    """Yield when a person's negotiations are read: some minutes after an application, then after
    twice as long each time."""
    least = negotiation_sync.MIN_INTERVAL.total_seconds()
    most = negotiation_sync.MAX_INTERVAL.total_seconds()
    waiting, interval = list(applied), most
    moment = chance.random() * most
    while moment < DAY_S:
        yield moment
        news = bool(waiting) and waiting[0] <= moment
        waiting = [later for later in waiting if later > moment]
        interval = least if news else min(2 * interval, most)
        moment += interval
        if waiting and waiting[0] + least < moment:
            moment, interval = waiting[0] + least, least


def _stream_calls(assumed: Assumptions) -> Iterator[float]:
    """Yield the calls of a shared stream: a page each minute or each hundred vacancies, whichever
    is more, and each vacancy in full."""
    pages = max(DAY_S // BIN_S, assumed.all_new // MAX_PER_PAGE)
    yield from (DAY_S * number / pages for number in range(pages))
    yield from (DAY_S * number / assumed.all_new for number in range(assumed.all_new))


def table() -> list[str]:
    """Return the lines of the table in docs/egress.md."""
    lines = [
        "| a person sends in a day | before | after | with a shared stream |",
        "|---|---|---|---|",
    ]
    for applications in APPLICATIONS:
        results = [simulate(applications, way) for way in WAYS]
        cells = [cell(result) for result in results]
        lines.append(f"| {applications or 'no'} applications | {' | '.join(cells)} |")
    return lines


def cell(result: Result) -> str:
    """Return a result as the table shows it."""
    return f"{result.people:,} ({result.calls:,.0f} calls each)"


def write(lines: list[str], file: Path = DOCUMENT) -> None:
    """Replace the table in *file* by *lines*."""
    text = file.read_text()
    before, rest = text.split(lines[0], 1)
    _, _, after = rest.partition("\n\n")
    file.write_text("\n".join((before + lines[0], *lines[1:])) + "\n\n" + after)


def main() -> None:
    """Print how many people one egress serves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the table to docs/egress.md")
    arguments = parser.parse_args()
    assumed = Assumptions()
    print(
        f"People that one egress serves, at {settings.HH_CALLS_PER_SECOND():g} calls a second: "
        f"{assumed.searches} searches each, every {models.INTERVAL_S // 60} minutes."
    )
    lines = table()
    print("\n".join(lines))
    if arguments.write:
        write(lines)


if __name__ == "__main__":
    main()
