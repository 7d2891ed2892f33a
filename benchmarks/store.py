"""Storing the vacancies of a search: comparison of hashes first, against ``executemany``.

``make bench-store``. A search found 2,000 vacancies of the sandbox's world: 90 % are unchanged, 5 %
have changed, 5 % are new (and once more with all of them new); the table has 20,000 others. Core
stores them as a run does, in pages of 100 with one transaction each, and again all in one call. The
baseline writes the same rows into an equal table with psycopg's ``executemany(...,
returning=True)`` in a pipeline: ``INSERT ... ON CONFLICT (external_id) DO UPDATE ... WHERE`` the
hash differs, ``RETURNING xmax = 0`` for the new ones, whose reposts it links as Core does; with the
same transactions as Core, by pages and in one call.

All methods begin with the same models and end with the commit, on one embedded Postgres that syncs
to disk. They alternate, and each table is restored in between. The time includes the conversion of
the models to columns and hashes, and the links of new vacancies that are reposts. Each time the
numbers of new and changed vacancies are checked, and that both store the same rows and links. Core
is compared with the baseline of the same transactions.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

from benchmarks import progress, results, services
from benchmarks.results import Goal, Row, compare
from local.postgres.server import EmbeddedPostgres
from local.sandbox.vacancies import vacancy_shape
from local.sandbox.vacancies.world import World
from migrations.upgrade import upgrade
from ullgetthejob.hh import responses
from ullgetthejob.platform import postgres
from ullgetthejob.vacancies import job, reposts, store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ullgetthejob.hh.models import Vacancy

    Connection = psycopg.Connection[dict[str, Any]]
    Method = Callable[[Connection, Sequence[Vacancy]], tuple[int, int]]

FOUND, NEW, CHANGED = 2_000, 100, 100
PAGE = 100
OTHERS = 20_000  # vacancies in the table that this search does not find
ROUNDS = 21
GOAL = Goal(">=", 2.0)  # by pages, as a run stores them
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
WRITTEN = (
    "title", "company", "salary", "area", "url", "description", "search_query", "fetched_at",
    "has_test", "employer_id", "published_at", "archived", "vacancy", "vacancy_hash", "repost_key",
    "updated_at",
)  # fmt: skip
UPSERT_JOB = f"""
    INSERT INTO jobs
        (external_id, hh_vacancy_id, source, inserted_at, {", ".join(WRITTEN)})
    VALUES (%(id)s, %(id)s, 'hh.ru', %(updated_at)s, {", ".join(f"%({name})s" for name in WRITTEN)})
    ON CONFLICT (external_id) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in WRITTEN)}
    WHERE jobs.vacancy_hash IS DISTINCT FROM excluded.vacancy_hash
    RETURNING external_id, xmax = 0 AS new
"""  # noqa: S608


def main() -> None:
    """Run the benchmark and print the results."""
    services.end_on_signals()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    results.add_option(parser)
    options = parser.parse_args()
    rounds = options.rounds
    before, found = vacancies()
    with tempfile.TemporaryDirectory(prefix="bench-store-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # Postgres's own user must be able to enter it
        with EmbeddedPostgres(folder / "postgres", ends_with_us=True) as server:
            upgrade(server.url)
            figures = measure(server.url, before, found, rounds)
    results.finish(rows(figures), options)


def vacancies() -> tuple[list[Vacancy], list[Vacancy]]:
    """Return the vacancies of the previous search and of this one."""
    opened = World(seed=1, size=int(FOUND * 1.2)).at(NOW.timestamp())
    items = map(vacancy_shape.item, opened.values())
    world = sorted(
        map(responses.vacancy, items), key=lambda vacancy: vacancy.published_at, reverse=True
    )
    found, generator = world[:FOUND], random.Random(1)  # noqa: S311 - not a secret
    before = found[NEW:]
    for place in generator.sample(range(NEW, FOUND), CHANGED):
        found[place] = found[place].model_copy(update={"name": f"{found[place].name}, срочно"})
    generator.shuffle(found)  # new and changed vacancies are on all pages
    return before, found


# ── the methods ──────────────────────────────────────────────────────────────────────────────────


def core(connection: Connection, found: Sequence[Vacancy]) -> tuple[int, int]:
    """Store with Core, in one call; return the numbers of new and of changed vacancies."""
    stored = store.store_vacancies(found, search_query="python", connection=connection, now=NOW)
    return len(stored.new), len(stored.changed)


def executemany(connection: Connection, found: Sequence[Vacancy]) -> tuple[int, int]:
    """Store with the baseline, in one call; return the numbers of new and of changed vacancies."""
    rows = [columns(vacancy) for vacancy in found]
    fresh, written = set[str](), 0
    with connection.pipeline(), connection.cursor() as cursor:
        cursor.executemany(UPSERT_JOB, rows, returning=True)
        for result in cursor.results():
            for row in result.fetchall():
                written += 1
                if row["new"]:
                    fresh.add(row["external_id"])
    keys = {row["repost_key"] for row in rows if row["id"] in fresh}
    new = [vacancy for vacancy in found if vacancy.id in fresh]
    reposts.link(new, known_keys=keys, connection=connection)
    return len(fresh), written - len(fresh)


def columns(vacancy: Vacancy) -> dict[str, Any]:
    """Return a row of the baseline, which equals Core's."""
    return {
        **store._columns(job.from_vacancy(vacancy)),
        "search_query": "python",
        "fetched_at": store._utc(NOW),
        "vacancy": store._dump(vacancy),
        "vacancy_hash": bytes.fromhex(store._hash(vacancy)),
        "repost_key": reposts.key_of(vacancy),
        "updated_at": store._utc(NOW),
    }


def by_pages(method: Method) -> Method:
    """Return *method* applied to each page, in its own transaction."""

    def paged(connection: Connection, found: Sequence[Vacancy]) -> tuple[int, int]:
        fresh = changed = 0
        for start in range(0, len(found), PAGE):
            with connection.transaction():
                counts = method(connection, found[start : start + PAGE])
            fresh, changed = fresh + counts[0], changed + counts[1]
        return fresh, changed

    return paged


def in_one_call(method: Method) -> Method:
    """Return *method* applied to all vacancies, in one transaction."""

    def whole(connection: Connection, found: Sequence[Vacancy]) -> tuple[int, int]:
        with connection.transaction():
            return method(connection, found)

    return whole


METHODS = {
    ("core", "by pages"): by_pages(core),
    ("core", "in one call"): in_one_call(core),
    ("executemany", "by pages"): by_pages(executemany),
    ("executemany", "in one call"): in_one_call(executemany),
}
SCENARIOS = ("nine in ten known", "all new")
Figures = dict[tuple[str, str, str], list[float]]


# ── measuring ────────────────────────────────────────────────────────────────────────────────────


def measure(url: str, before: Sequence[Vacancy], found: Sequence[Vacancy], rounds: int) -> Figures:
    """Return the seconds of each method in each round; the first round warms up and is dropped."""
    figures: Figures = {(scenario, *method): [] for scenario in SCENARIOS for method in METHODS}
    contents: dict[tuple[str, str], set[str]] = defaultdict(set)
    # Core does not prepare statements (RDS Proxy); the baseline may.
    with (
        psycopg.connect(
            url, autocommit=True, row_factory=dict_row, options="-c search_path=baseline,public"
        ) as baselines,
        postgres.connection_class().connect(
            url, autocommit=True, prepare_threshold=None, row_factory=dict_row
        ) as cores,
    ):
        prepare(cores, before)
        cases = [(scenario, *method) for scenario in SCENARIOS for method in METHODS]
        for number in range(rounds + 1):
            for scenario, name, batching in reversed(cases) if number % 2 else cases:
                connection = cores if name == "core" else baselines
                table = "jobs" if name == "core" else "baseline.jobs"
                restore(cores, table, found, with_known=scenario != "all new")
                reposts._words.cache_clear()
                began = time.perf_counter()
                counted = METHODS[name, batching](connection, found)
                took = time.perf_counter() - began
                expected = (FOUND, 0) if scenario == "all new" else (NEW, CHANGED)
                if counted != expected:
                    raise RuntimeError(f"{name}, {batching}: {counted} instead of {expected}")
                contents[scenario, batching].add(content(cores, table))
                if number:
                    figures[scenario, name, batching].append(took)
            progress.show(f"round {number}/{rounds}")
    progress.clear()
    if any(len(different) != 1 for different in contents.values()):
        raise RuntimeError("the methods do not store the same rows and links")
    return figures


def prepare(connection: Connection, before: Sequence[Vacancy]) -> None:
    """Create two equal tables with the vacancies of the previous search and many others."""
    store.store_vacancies(before, search_query="python", connection=connection, now=NOW)
    connection.execute("CREATE TABLE jobs_before AS TABLE jobs")
    columns = ", ".join(("source", "inserted_at", *WRITTEN))
    for copy in range(1, OTHERS // len(before) + 1):
        ids = f"external_id::bigint - 10000000 * {copy}"
        connection.execute(
            f"INSERT INTO jobs (external_id, hh_vacancy_id, {columns})"  # noqa: S608
            f" SELECT {ids}, {ids}, {columns} FROM jobs_before"
        )
    connection.execute("CREATE SCHEMA baseline")
    connection.execute("CREATE TABLE baseline.jobs (LIKE jobs INCLUDING ALL)")
    connection.execute("INSERT INTO baseline.jobs SELECT * FROM jobs")


def restore(
    connection: Connection, table: str, found: Sequence[Vacancy], *, with_known: bool
) -> None:
    """Restore the table as it was before the search, or *with_known* false as if none of these
    vacancies had been seen."""
    ids = [vacancy.id for vacancy in found]
    connection.execute(f"DELETE FROM {table} WHERE external_id = ANY(%s)", (ids,))  # noqa: S608
    if with_known:
        connection.execute(f"INSERT INTO {table} SELECT * FROM jobs_before")  # noqa: S608
    connection.execute(f"VACUUM ANALYZE {table}")


def content(connection: Connection, table: str) -> str:
    """Return a digest of the rows of *table*."""
    columns = ", ".join(("external_id", "hh_vacancy_id", "inserted_at", "repost_of", *WRITTEN))
    row = connection.execute(
        f"SELECT md5(string_agg(md5(row({columns})::text), '' ORDER BY external_id)) AS digest"  # noqa: S608
        f" FROM {table}"
    ).fetchone()
    assert row is not None
    return str(row["digest"])


def rows(figures: Figures) -> list[Row]:
    """Return the rows of the table, in vacancies a second."""
    table = []
    for scenario in SCENARIOS:
        for batching in ("by pages", "in one call"):
            core, baseline = (
                [FOUND / seconds for seconds in figures[scenario, name, batching]]
                for name in ("core", "executemany")
            )
            goal = GOAL if (scenario, batching) == ("nine in ten known", "by pages") else None
            what = f"store, {scenario}, {batching}: vacancies a second; executemany"
            table.append(compare(what, core, baseline, goal))
    return table


if __name__ == "__main__":
    main()
