"""What each part costs, and where its ceiling is, at 10⁴, 10⁶ and 10⁷ people: docs/scale.md.

``make scale``. The arithmetic takes the pace, the limits and the batches from the product's code
and template, the work of an operation from measurements.json (``make bench-cost``), the prices from
prices.toml, and AWS's quotas from below. A person does what :class:`cli.cost.model.Usage` says. A
test compares the document with what this module writes; what stands between the two marks of the
section "One egress" is written by hand and kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cli.cost.model import HOURS, Model, Usage, measurements, memory_mb
from cli.cost.report import dollars, wrapped
from local.template.cloudformation import read
from local.template.reader import TEMPLATE
from ullgetthejob.applications import sweep
from ullgetthejob.hh.search_parameters import MAX_DEPTH, MAX_PER_PAGE
from ullgetthejob.platform import settings
from ullgetthejob.realtime import connections
from ullgetthejob.saved_searches import models, scheduler

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "scale.md"
PEOPLE = (10_000, 1_000_000, 10_000_000)
DAY_S = 86_400
MINUTES_A_DAY = 1440

# Assumed, beside cli.cost.model.Usage.
PEAK = 3.0  # the busiest hour against the average one, for what people wait for
PAGES_OF_A_FULL_RUN = 5  # once a day and search; hh.ru shows 20 at most
SMALLEST = 0.001
PEOPLE_PER_SEARCH = 10  # where equal searches are shared

# A second and address: hh.ru answers 429 above about that (template.yaml, HhCallsPerSecond).
HH_LIMIT = 10.0
# AWS's quotas, where it has a fixed one, or one that has to be asked for.
LAMBDA_CONCURRENCY = 1000  # of an account; raised on request
DYNAMODB_WRITES_PER_KEY = 1000  # a second, of one partition key
DYNAMODB_WRITES_PER_TABLE = 40_000  # a second, on demand; raised on request
SQS_IN_FLIGHT = 120_000  # messages of a standard queue
SOCKETS_PER_SECOND = 500  # new connections of an account and region; raised on request
AURORA_TIB = 128
MEGABYTES_A_YEAR = 22.0  # a person's: docs/retention.md

BEGIN = "<!-- simulation: written by hand, kept by make scale -->"
END = "<!-- end of the simulation -->"


@dataclass(frozen=True)
class Part:
    """A part with its ceiling and what a person takes of it, both in *unit*."""

    name: str
    unit: str
    ceiling: float
    per_person: float
    source: str
    raised_by: str

    @property
    def people(self) -> float:
        """Return how many people reach the ceiling."""
        return self.ceiling / self.per_person if self.per_person else math.inf

    def times(self, people: float) -> float:
        """Return the demand of *people* in ceilings."""
        return people / self.people


@cache
def _template() -> dict[str, Any]:
    return read(TEMPLATE)


def operation(name: str) -> dict[str, Any]:
    """Return the measured work of one operation."""
    found: dict[str, Any] = measurements()["operations"][name]
    return found


def per_day(usage: Usage, shared: float = 1.0) -> dict[str, float]:
    """Return how often each operation happens a day, for one person; *shared*: people a search."""
    return {
        "search": usage.searches_a_day,
        "run": usage.saved_searches * usage.runs_a_day / shared,
        "application": usage.applications_a_day,
        "connection": usage.hours_a_day,
    }


def hh_calls_a_day(usage: Usage, shared: float = 1.0) -> float:
    """Return the calls to hh.ru a day, for one person."""
    calls = sum(
        count * operation(name)["hh_calls"] for name, count in per_day(usage, shared).items()
    )
    return float(calls + usage.saved_searches / shared * (PAGES_OF_A_FULL_RUN - 1))


def _per_second(usage: Usage, key: str, *, peak: float = PEAK) -> float:
    """Return what a person's operations take of *key* a second, in the busiest hour."""
    total = sum(count * operation(name)[key] for name, count in per_day(usage).items())
    return float(total * peak / DAY_S)


def _busy_seconds(usage: Usage, only: str | None = None) -> float:
    """Return how many environments a person keeps busy, in the busiest hour."""
    seconds = sum(
        count * of["invocations"] * of["ms"] / 1000
        for name, count in per_day(usage).items()
        for function, of in operation(name)["functions"].items()
        if only in (None, function)
    )
    return float(seconds * PEAK / DAY_S)


def _messages(usage: Usage) -> float:
    """Return messages of SQS a second, in the busiest hour."""
    sent = sum(
        count * calls
        for name, count in per_day(usage).items()
        for call, calls in operation(name)["calls"].items()
        if call.startswith("sqs.Send")
    )
    return float(sent * PEAK / DAY_S)


def _writes(usage: Usage) -> float:
    """Return writes to DynamoDB a second, in the busiest hour."""
    written = sum(
        count * calls
        for name, count in per_day(usage).items()
        for call, calls in operation(name)["calls"].items()
        if call in ("dynamodb.UpdateItem", "dynamodb.PutItem", "dynamodb.DeleteItem")
    )
    return float(written * PEAK / DAY_S)


def reserved(function: str) -> int:
    """Return the concurrency that a function reserves with ``Concurrency=full``."""
    return int(_template()["Mappings"]["ReservedConcurrency"][function]["full"])


def _throttle(route: dict[str, Any]) -> float:
    """Return the requests a second of a route's settings; of a parameter, the default."""
    rate = route["ThrottlingRateLimit"]
    if isinstance(rate, dict):
        rate = _template()["Parameters"][rate["Ref"]]["Default"]
    return float(rate)


def parts(usage: Usage) -> list[Part]:
    """Return all parts, hh.ru's pace first."""
    api = _template()["Resources"]["HttpApi"]["Properties"]
    sockets = _template()["Resources"]["WebSocketApi"]["Properties"]["DefaultRouteSettings"]
    searches = _throttle(api["RouteSettings"]["POST /api/jobs/search"])
    daily = per_day(usage)
    requests = daily["search"] + daily["application"] + daily["connection"]
    pace = settings.HH_CALLS_PER_SECOND.default or 0
    calls = hh_calls_a_day(usage) / DAY_S
    return [
        Part("hh.ru's pace", "calls a second", float(pace), calls,
             "HhCallsPerSecond", "an agreement with hh.ru; sharing; longer intervals"),
        Part("fetcher", "runs a minute", scheduler.MAX_NOTIFICATIONS, daily["run"] / MINUTES_A_DAY,
             "scheduler.MAX_NOTIFICATIONS", "wake-ups in batches of ten; several fetchers"),
        Part("fetch worker", "environments", reserved("FetchWorkerFunction"),
             _busy_seconds(usage, "FetchWorkerFunction") / PEAK,
             "template.yaml", "more of them, once hh.ru's pace is higher"),
        Part("sweeper", "accounts a minute", sweep.BATCH, daily["application"] / MINUTES_A_DAY,
             "sweep.BATCH", "several sweepers, each with a part of the accounts"),
        Part("applier", "environments", reserved("ApplierFunction"),
             _busy_seconds(usage, "ApplierFunction"), "template.yaml", "its concurrency"),
        Part("searches", "requests a second", searches, daily["search"] * PEAK / DAY_S,
             "template.yaml", "the throttle, with the search function's concurrency"),
        Part("HTTP API", "requests a second",
             _throttle(api["DefaultRouteSettings"]), requests * PEAK / DAY_S,
             "template.yaml", "the throttle; API Gateway's default is 10,000"),
        Part("an account's Lambda", "environments", LAMBDA_CONCURRENCY, _busy_seconds(usage),
             "AWS's default", "a quota increase"),
        Part("SQS's fetch queue", "messages in flight", SQS_IN_FLIGHT,
             _busy_seconds(usage, "FetchWorkerFunction") / PEAK,
             "AWS, fixed", "nothing: one in flight is an environment at work"),
        Part("DynamoDB", "writes a second", DYNAMODB_WRITES_PER_TABLE,
             _writes(usage), "AWS's default", "a quota increase; keys are spread by account"),
        Part("new WebSockets", "connections a second", _throttle(sockets),
             daily["connection"] * PEAK / DAY_S, "template.yaml",
             f"the throttle; API Gateway's default is {SOCKETS_PER_SECOND}"),
        Part("Postgres' room", "TiB in a year", AURORA_TIB,
             MEGABYTES_A_YEAR * 1_000_000 / 2**40, "Aurora", "a database for a part of the people"),
    ]  # fmt: skip


def markdown(simulation: str = "") -> str:
    """Return docs/scale.md with the hand-written *simulation*."""
    usage = Usage()
    listed = parts(usage)
    return (
        wrapped(_head(usage))
        + _ceilings(listed)
        + wrapped(_egress(usage))
        + f"{BEGIN}\n{simulation}{END}\n"
        + _load(usage)
        + _costs(usage)
        + wrapped(_steps(usage, {part.name: part for part in listed}))
    )


def _head(usage: Usage) -> str:
    return f"""\
# Scale

Generated by `make scale` (`benchmarks/scale.py`) from constants of the code and the template, from
what operations were measured to do on {measurements()["date"]} ([cost.md](cost.md)), and from AWS's
quotas. A person is taken to make {usage.searches_a_day:g} searches and
{usage.applications_a_day:g} applications a day, to be connected for {usage.hours_a_day:g} hour, and
to have {usage.saved_searches:g} saved searches that no other person has, each run every
{models.INTERVAL_S / 60:g} minutes. What people wait for is counted in the busiest hour, {PEAK:g}
times the average; what runs in the background, over the day. Durations are those of the machine
that measured, with the sandbox for hh.ru: those of a stage (`ugtj cloud cost`) move the rows in
environments.

"""


def _number(value: float) -> str:
    """Return a number with three significant digits."""
    if value >= 1000:
        return f"{round(value, 3 - len(str(int(value)))):,.0f}"
    return f"{value:.3g}" if value >= SMALLEST else f"below {SMALLEST}"


def _ceilings(listed: list[Part]) -> str:
    heads = " | ".join(f"{people:,} people" for people in PEOPLE)
    lines = [
        "## Ceilings\n\nThe first column of people is where the part is full; then how often the "
        "demand of that many\npeople fills it: above 1 it has to be raised.\n\n",
        f"| part | ceiling | from | full at | {heads} | raised by |\n",
        f"|---|---|---|---|{'---|' * len(PEOPLE)}---|\n",
    ]
    for part in listed:
        times = " | ".join(_number(part.times(people)) for people in PEOPLE)
        lines.append(
            f"| {part.name} | {_number(part.ceiling)} {part.unit} | {part.source} "
            f"| {_number(part.people)} | {times} | {part.raised_by} |\n"
        )
    return "".join(lines) + wrapped(_hot_keys())


def _hot_keys() -> str:
    writes = HH_LIMIT * operation("search")["calls"]["dynamodb.UpdateItem"]
    return f"""
Hot keys: DynamoDB takes {DYNAMODB_WRITES_PER_KEY:,} writes a second of one key. All calls to hh.ru
share the pacer's key, which at hh.ru's {HH_LIMIT:g} calls a second and address takes about
{writes:g}, and never more, however many people there are; each address has a key of its own. All
other keys are an account's, a search's or a connection's.

"""


def _egress(usage: Usage) -> str:
    pace = settings.HH_CALLS_PER_SECOND.default or 0
    longer = Usage(runs_a_day=usage.runs_a_day / 8)
    cases = {
        "as above": hh_calls_a_day(usage),
        f"each search shared by {PEOPLE_PER_SEARCH} people": hh_calls_a_day(
            usage, PEOPLE_PER_SEARCH
        ),
        f"searches every {models.INTERVAL_S * 8 / 3600:g} hours": hh_calls_a_day(longer),
        "both": hh_calls_a_day(longer, PEOPLE_PER_SEARCH),
    }
    rows = "".join(
        f"| {name} | {_number(calls)} | {_number(pace * DAY_S / calls)} "
        f"| {_number(HH_LIMIT * DAY_S / calls)} |\n"
        for name, calls in cases.items()
    )
    pages = MAX_DEPTH // MAX_PER_PAGE
    return f"""\
## One egress

hh.ru counts calls by address. Core makes {pace:g} a second of each, {_number(pace * DAY_S)} a day;
hh.ru answers 429 above about {HH_LIMIT:g}. A run that finds one new vacancy was measured to make
{operation("run")["hh_calls"]:.3g} calls, an application
{operation("application")["hh_calls"]:.3g}, a search {operation("search")["hh_calls"]:.3g}; once
a day a search is read whole, here {PAGES_OF_A_FULL_RUN} pages (at most {pages}).

| searches | calls a person and day | people at {pace:g} a second | at {HH_LIMIT:g} |
|---|---|---|---|
{rows}
More addresses are no way around this: hh.ru's limit is its own to raise, and Core neither spreads
an application over addresses nor hides that it is one. A second address is for a second agreement.

"""


def _load(usage: Usage) -> str:
    demand = {
        "HTTP requests a second": (
            sum(per_day(usage)[name] for name in ("search", "application", "connection"))
            * PEAK
            / DAY_S
        ),
        "Lambda's environments": _busy_seconds(usage),
        "messages of SQS a second": _messages(usage),
        "writes to DynamoDB a second": _writes(usage),
        "statements of Postgres a second": _per_second(usage, "statements"),
        "open WebSockets": usage.hours_a_day / 24 * PEAK,
        "TB in Postgres after a year": MEGABYTES_A_YEAR / 1_000_000,
    }
    heads = " | ".join(f"{people:,}" for people in PEOPLE)
    rows = "".join(
        f"| {name} | {' | '.join(_number(one * people) for people in PEOPLE)} |\n"
        for name, one in demand.items()
    )
    return f"""
## Load

In the busiest hour, if hh.ru's pace allowed it.

| | {heads} |
|---|{"---|" * len(PEOPLE)}
{rows}"""


def _costs(usage: Usage) -> str:
    model = Model()
    person, idle = model.person_month(usage), model.idle_month()
    names = sorted(person.parts, key=lambda name: -person.parts[name])
    lines = [
        "\n## Cost\n\nUS dollars a month; the database's hours and data transfer come on top.\n\n",
        f"| | {' | '.join(f'{people:,}' for people in PEOPLE)} |\n",
        f"|---|{'---|' * len(PEOPLE)}\n",
    ]
    for name in names:
        amounts = " | ".join(dollars(person.parts[name] * people) for people in PEOPLE)
        lines.append(f"| {name} | {amounts} |\n")
    total = " | ".join(dollars(person.total * people + idle.total) for people in PEOPLE)
    lines.append(f"| all, with the stage's own {dollars(idle.total)} | {total} |\n")
    return "".join(lines)


def _steps(usage: Usage, named: dict[str, Part]) -> str:
    hh, fetcher = named["hh.ru's pace"], named["fetcher"]
    statements = _per_second(usage, "statements")
    shared = hh_calls_a_day(usage, PEOPLE_PER_SEARCH) / DAY_S
    small, middle, large = PEOPLE
    order = sorted(named.values(), key=lambda part: part.people)
    full = {people: [part.name for part in order if part.times(people) > 1] for people in PEOPLE}
    memory = memory_mb("FetchWorkerFunction")
    return f"""
## What changes at each step

**{small:,} people.** Full: {_listed(full[small])}. They make {_number(hh.per_person * small)} calls
a second, {_number(hh.times(small))} times the pace of one address; with searches shared by
{PEOPLE_PER_SEARCH}, {_number(shared * small)}. So first comes hh.ru: a higher limit for the
application, longer intervals, suggested searches that many share. The fetcher sends
{scheduler.MAX_NOTIFICATIONS} wake-ups a minute, for {_number(fetcher.people)} people.
{_number(statements * small)} statements a second are for one Postgres; how many ACUs they take has
to be measured. A stage as it is, with `Concurrency=full`, is enough for the rest.

**{middle:,} people.** Full: {_listed(full[middle])}. {_number(hh.per_person * middle)} calls a
second are not to be had from a site that answers {HH_LIMIT:g}: what people save has to be answered
from vacancies that are read once for all (hh.ru's new vacancies of a day, about 50,000, are
{_number(50_000 / DAY_S)} a second), and matched in Postgres. Fetcher and sweeper work on parts of
the accounts, several at once, and send wake-ups in batches; quotas of Lambda and API Gateway are
raised, RDS Proxy holds the connections, and reads go to replicas. A year takes
{_number(MEGABYTES_A_YEAR * middle / 1e6)} TB: history and matches are partitioned by month and
kept for less time.

**{large:,} people.** Full: {_listed(full[large])}. {_number(statements * large)} statements a
second and {_number(MEGABYTES_A_YEAR * large / 1e6)} TB a year are more than one database: accounts
are divided among several stages by their id, each with a database and an account of AWS of its own,
behind one router; vacancies and canonical searches are shared. That is possible because no row of
an account refers to another account. A worker with {memory} MB that waits for hh.ru is paid for
waiting, so that the reading of vacancies moves to a process that always runs. An account has at
most {connections.MAX_PER_ACCOUNT} sockets; up to
{_number(usage.hours_a_day / 24 * PEAK * large)} are open at once, and their hours cost
{dollars(Model().socket_hour().total * HOURS * usage.hours_a_day / 24 * large)} a month.
"""


def _listed(names: list[str]) -> str:
    return ", ".join(names) if names else "nothing"


def kept_simulation(text: str) -> str:
    """Return what stands between the marks of a written document."""
    before, mark, rest = text.partition(BEGIN + "\n")
    return rest.partition(END)[0] if before and mark else ""


def main() -> None:
    """Write the document."""
    written = DOCUMENT.read_text("utf-8") if DOCUMENT.exists() else ""
    DOCUMENT.write_text(markdown(kept_simulation(written)), "utf-8")
    print(f"wrote {DOCUMENT.name}")


if __name__ == "__main__":
    main()
