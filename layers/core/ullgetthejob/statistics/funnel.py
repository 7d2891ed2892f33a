"""The funnel of a period: from the counts of the database to rates, intervals and comparisons."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ullgetthejob.hh import method_access
from ullgetthejob.statistics import durations, intervals, models, store
from ullgetthejob.statistics.intervals import MIN_SAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.context import Context
    from ullgetthejob.statistics.models import By, Stage

WINDOW = timedelta(days=14)  # after which an application is compared
MAX_GROUPS = 100
COUNTED = ("applied", "by_hand", *models.OUTCOMES, "settled")
COMPARED = tuple(f"settled_{stage}" for stage in models.COMPARED)
# Groups that have an order of their own; the others are listed from the largest.
ORDERED: tuple[By, ...] = ("fit", "hour", "weekday", "employer_size")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
BANDS = {"0": "0–19", "20": "20–39", "40": "40–59", "60": "60–79", "80": "80–100"}
SIZES = {"1": "1 vacancy", "2": "2–9 vacancies", "10": "10–49 vacancies", "50": "50 and more"}
WITHOUT: dict[By, str] = {
    "search": "found by no search",
    "template": "without a template",
    "resume": "resume unknown",
    "fit": "fit unknown",
    "employer_size": "employer unknown",
}


@dataclass
class Tally:
    """The counts of a group. *answered* and *waiting*: by hours."""

    counts: Counter[str] = field(default_factory=Counter)
    answered: Counter[int] = field(default_factory=Counter)
    waiting: Counter[int] = field(default_factory=Counter)
    jobs: Counter[str] = field(default_factory=Counter)

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row of :func:`store.read_outcomes`."""
        for name in (*COUNTED, *COMPARED):
            self.counts[name] += row[name]
        hours = self.answered if row["is_answered"] else self.waiting
        hours[row["hours"]] += row["applied"]

    def add_group(self, group: Tally) -> None:
        """Add the applications of *group*."""
        self.counts += group.counts
        self.answered += group.answered
        self.waiting += group.waiting

    def add_jobs(self, row: Mapping[str, Any]) -> None:
        """Add a row of :func:`store.read_jobs_found`."""
        for name in ("found", "told", "applied"):
            self.jobs[name] += row[name]


def read_stats(query: models.StatsQuery, person: Person, context: Context) -> models.Stats:
    """Return the funnel of the person's account in a period, as a whole and by group."""
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    first, last = resolve_days(query, now)
    values = {
        "account_id": person.account_id,
        **period_values(first, last, query.time_zone),
        "time_zone": query.time_zone,
        "now": now,
        "window": WINDOW,
    }
    total, groups = Tally(), defaultdict[str | None, Tally](Tally)
    for row in store.read_outcomes(query.by, values, connection=connection):
        groups[row["key"]].add(row)
    for group in groups.values():
        total.add_group(group)
    for row in store.read_jobs_found(query.by, values, connection=connection):
        total.add_jobs(row)
        if query.by == "search":
            groups[row["key"]].add_jobs(row)
    is_closed = method_access.is_closed(
        "negotiations", person.account_id, connection=connection, now=now
    )
    unknowable: list[Stage] = [*models.OUTCOMES] if is_closed else []
    labels = store.read_labels(query.by, person.account_id, connection=connection)
    shown = [] if query.by == "none" else compose_groups(query.by, groups, total, labels, is_closed)
    return models.Stats(
        first=first,
        last=last,
        time_zone=query.time_zone,
        by=query.by,
        min_sample=MIN_SAMPLE,
        confidence=intervals.CONFIDENCE,
        unknowable=unknowable,
        all=models.Funnel(**_funnel(total, has_jobs=True, is_closed=is_closed)),
        groups=shown[:MAX_GROUPS],
        more_groups=max(0, len(shown) - MAX_GROUPS),
    )


def resolve_days(query: models.Period, now: datetime) -> tuple[date, date]:
    """Return the first and the last day of a period; a missing one follows from the other."""
    today = now.astimezone(ZoneInfo(query.time_zone)).date()
    length = timedelta(days=models.DEFAULT_DAYS - 1)
    last = query.last or (max(today, query.first) if query.first else today)
    return query.first or last - length, last


def period_values(first: date, last: date, time_zone: str) -> dict[str, datetime]:
    """Return the moments *since* (included) and *until* (excluded) of a period of days."""
    zone = ZoneInfo(time_zone)
    end = last + timedelta(days=1)
    return {
        "since": datetime.combine(first, time(), zone),
        "until": datetime.combine(end, time(), zone),
    }


def make_rate(stage: Stage, reached: int, sample: int) -> models.Rate:
    """Return the rate of what reached a stage, of *sample* that reached *stage*; without a claim
    where these are too few."""
    if sample < MIN_SAMPLE:
        return models.Rate(of=stage, n=sample, reached=reached, rate=None, low=None, high=None)
    low, high = intervals.wilson(reached, sample)
    return models.Rate(
        of=stage, n=sample, reached=reached, rate=reached / sample, low=low, high=high
    )


def compose_groups(
    by: By,
    groups: Mapping[str | None, Tally],
    total: Tally,
    labels: Mapping[str, str],
    is_closed: bool,
) -> list[models.Group]:
    """Return the groups, each compared with all others together."""
    comparable = [tally for tally in groups.values() if tally.counts["settled"] >= MIN_SAMPLE]
    # Two groups are one comparison, seen from both sides.
    number = len(comparable) if len(groups) > 2 else 1
    z = intervals.z_of_comparisons(number * len(models.COMPARED))
    found = [
        models.Group(
            **_funnel(tally, has_jobs=by == "search", is_closed=is_closed),
            key=key,
            label=label_of(by, key, labels),
            comparisons=[] if is_closed else _compare(tally, total, z),
        )
        for key, tally in groups.items()
    ]
    if by in ORDERED:
        return sorted(found, key=lambda group: (group.key is None, int(group.key or 0)))
    return sorted(found, key=lambda group: (-(group.by_core + group.by_hand), group.label))


def label_of(by: By, key: str | None, labels: Mapping[str, str]) -> str:
    """Return what a group is called."""
    if key is None:
        return WITHOUT.get(by, "all")
    match by:
        case "hour":
            return f"{int(key):02}:00–{int(key):02}:59"
        case "weekday":
            return WEEKDAYS[int(key) - 1]
        case "fit":
            return BANDS[key]
        case "employer_size":
            return SIZES[key]
    return labels.get(key) or f"{key[:8]}…"


def _funnel(tally: Tally, *, has_jobs: bool, is_closed: bool) -> dict[str, Any]:
    counts, jobs = tally.counts, tally.jobs
    applied = counts["applied"]
    told = make_rate("found", jobs["told"], jobs["found"])
    chosen = make_rate("told", jobs["applied"], jobs["told"])
    stages = [
        _stage("found", jobs["found"] if has_jobs else None, None),
        _stage("told", jobs["told"] if has_jobs else None, told if has_jobs else None),
        _stage("applied", applied, chosen if has_jobs else None),
    ]
    for stage in models.OUTCOMES:
        reached = counts[stage]
        rate = None if is_closed else make_rate("applied", reached, applied)
        # What was read before hh.ru closed the method stays true; none is no fact then.
        stages.append(_stage(stage, None if is_closed and not reached else reached, rate))
    return {
        "stages": stages,
        "by_core": applied - counts["by_hand"],
        "by_hand": counts["by_hand"],
        "time_to_answer": _time_to_answer(tally, is_closed=is_closed),
    }


def _stage(stage: Stage, count: int | None, rate: models.Rate | None) -> models.StageCount:
    return models.StageCount(stage=stage, count=count, rate=rate)


def _time_to_answer(tally: Tally, *, is_closed: bool) -> models.TimeToAnswer:
    answered, waiting = tally.answered.total(), tally.waiting.total()
    of_answered = of_all = durations.NONE
    if answered >= MIN_SAMPLE:
        of_answered = durations.quartiles(tally.answered)
    if answered + waiting >= MIN_SAMPLE and not is_closed:
        of_all = durations.kaplan_meier(tally.answered, tally.waiting)
    return models.TimeToAnswer(
        answered=answered,
        waiting=waiting,
        of_answered=_quartiles(of_answered),
        of_all=_quartiles(of_all),
    )


def _quartiles(found: durations.Quartiles) -> models.Quartiles:
    return models.Quartiles(q1=found.q1, median=found.median, q3=found.q3)


def _compare(tally: Tally, total: Tally, z: float) -> list[models.Comparison]:
    sample = tally.counts["settled"]
    others = total.counts["settled"] - sample
    return [
        _compare_stage(
            stage,
            (tally.counts[f"settled_{stage}"], sample),
            (total.counts[f"settled_{stage}"] - tally.counts[f"settled_{stage}"], others),
            z,
        )
        for stage in models.COMPARED
    ]


def _compare_stage(
    stage: Stage, own: tuple[int, int], others: tuple[int, int], z: float
) -> models.Comparison:
    """Return the comparison of ``(reached, n)`` of a group with those of the others."""
    comparison = models.Comparison(
        stage=stage,
        n=own[1],
        reached=own[0],
        n_others=others[1],
        reached_others=others[0],
        low=None,
        high=None,
        verdict="too_few",
    )
    if min(own[1], others[1]) < MIN_SAMPLE:
        return comparison
    low, high = intervals.difference(*own, *others, z=z)
    verdict = "higher" if low > 0 else "lower" if high < 0 else "not_different"
    return comparison.model_copy(update={"low": low, "high": high, "verdict": verdict})


def list_rates(stats: models.Stats) -> Iterable[tuple[str, models.StageCount]]:
    """Yield the stages of the whole and of each group, with its label."""
    for stage in stats.all.stages:
        yield "all", stage
    for group in stats.groups:
        for stage in group.stages:
            yield group.label, stage
