"""The duration of a full run over 2,000 vacancies, compared with the pacer alone.

``make bench-fetch``. It uses the services of a local run (Postgres, moto, hh.ru's sandbox, which
responds after 50 ms). The baseline waits for the same number of slots of the same pacer, three per
second, without any call. It alternates with runs of the worker as its function does them: one in
which all vacancies are new, one in which all are known. The results are medians of all rounds.
A run before them is not counted: it imports the worker, and obtains the token of the application,
which takes a slot of its own. Nor is the time in which the tables are prepared for a run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from benchmarks import results, services
from benchmarks.results import Goal, compare
from local.template.cloudformation import REGION

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from ullgetthejob.saved_searches.run_store import RunAnswer

VACANCIES = 2_000
CALLS = 20
LATENCY_S = 0.05
CALLS_PER_SECOND = 3
GOAL = Goal("<=", 1.03)
EMPLOYER = {"id": "7654321", "name": "Большой работодатель"}
ROUNDS = 5
LAMBDA = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": REGION,
    "POWERTOOLS_LOG_LEVEL": "ERROR",
}
TRUNCATE_RESULTS = "TRUNCATE jobs, search_queries, public_feed CASCADE"
UPDATE_QUERIES_INCOMPLETE = "UPDATE search_queries SET complete_from = NULL"


def main() -> None:
    """Run the benchmark and print the results."""
    services.end_on_signals()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    results.add_option(parser)
    options = parser.parse_args()
    rounds = options.rounds
    took: dict[str, list[float]] = {"the pacer alone": [], "all new": [], "all known": []}
    with tempfile.TemporaryDirectory(prefix="bench-fetch-") as folder_name:
        folder = Path(folder_name)
        folder.chmod(0o755)  # Postgres's own user must be able to enter it
        with services.running(folder) as variables:
            os.environ.update(variables["FetchWorkerFunction"])
            os.environ.update(LAMBDA)
            os.environ.update(HH_CALLS_PER_SECOND=str(CALLS_PER_SECOND), FETCH_DETAILS_PER_RUN="0")
            _publish(os.environ["HH_API_URL"])
            _time_run(TRUNCATE_RESULTS, new=VACANCIES)
            for _ in range(rounds):
                took["the pacer alone"].append(_timed(_wait_for_slots))
                took["all new"].append(_time_run(TRUNCATE_RESULTS, new=VACANCIES))
                took["all known"].append(_time_run(UPDATE_QUERIES_INCOMPLETE, new=0))
    pace = took.pop("the pacer alone")
    rows = [
        compare(f"fetch of {VACANCIES}, {name}, s; the pace", values, pace, GOAL)
        for name, values in took.items()
    ]
    results.finish(rows, options)


def _publish(sandbox: str) -> None:
    with httpx.Client(base_url=f"{sandbox}/_sandbox", timeout=30) as control:
        for number in range(VACANCIES):
            body = {"title": f"Мастер участка {number}", "employer": EMPLOYER}
            control.post("/vacancies", json=body).raise_for_status()
        slow = {"kind": "slow", "path": "/vacancies", "seconds": LATENCY_S}
        control.post("/faults", json=slow).raise_for_status()


def _timed(work: Callable[[], None]) -> float:
    time.sleep(1)  # until the last slot of the previous work is over
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _wait_for_slots() -> None:
    from ullgetthejob.hh.pacer import Pacer

    pacer = Pacer(os.environ["PACER_TABLE"], calls_per_second=CALLS_PER_SECOND)
    for _ in range(CALLS):
        pacer.wait()


def _time_run(preparation: str, *, new: int) -> float:
    """Execute *preparation* (SQL), then a full run; return the seconds of the run."""
    from ullgetthejob.platform import postgres

    postgres.connection().execute(preparation)
    return _timed(lambda: _run(new))


def _run(new: int) -> None:
    from functions.fetch_worker import app
    from ullgetthejob.hh.search_parameters import SearchParameters
    from ullgetthejob.platform import clock, postgres
    from ullgetthejob.saved_searches import canonical_searches, run_store

    connection = postgres.connection()
    search = SearchParameters(employer_id=(EMPLOYER["id"],))
    query_id: UUID = canonical_searches.get_or_create(
        search, connection=connection, now=clock.now()
    )
    with connection.transaction():
        query = canonical_searches.lock(query_id, connection=connection)
        run_store.begin(query, search, trigger="schedule", connection=connection, now=clock.now())
    app.work({"query_id": str(query_id)}, "benchmark")
    run: RunAnswer | None = run_store.latest(query_id, connection=connection)
    assert run is not None
    assert (run.state, run.fetched, run.new, run.calls) == ("completed", VACANCIES, new, CALLS), run


if __name__ == "__main__":
    main()
