"""The time that the BFF waits for ``POST /api/applications/submit`` with fifty parallel callers.

``make bench-submit``. It uses its own local cloud (functions as processes, Postgres, moto, the
sandbox). Bursts of fifty alternate with bursts of the same call without the secret, which the
function refuses at once (401). These are the floor: the same path through the gateway to the same
processes, without any work there. Each submission is a new application of the demo user, which the
submitters process at the same time. The first bursts of each kind are not counted, since they start
the functions.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx

from benchmarks import results, services
from benchmarks.results import Goal, compare
from migrations.seed import DEMO_USER_ID

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS = {"THROTTLES": "off", "CONCURRENCY": "50"}  # all of the callers are served at once
CALLERS = 50
BURSTS = 15
WARM_UP = 3
PAUSE_S = 0.5
GOAL = Goal("<=", 5.0)


def main() -> None:
    """Run the benchmark and print the results."""
    services.end_on_signals()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bursts", type=int, default=BURSTS)
    results.add_option(parser)
    options = parser.parse_args()
    bursts = options.bursts
    refused: list[list[float]] = []
    accepted: list[list[float]] = []
    with (
        services.running_cloud("The demo user is connected", **SETTINGS) as (
            core,
            sandbox,
            secret,
        ),
        httpx.Client(base_url=core, timeout=35) as client,
    ):
        for number in range(WARM_UP + bursts):
            vacancies = _publish(sandbox, CALLERS)
            floor = _burst(lambda vacancy: _submit(client, vacancy, "none"), vacancies, 401)
            taken = _burst(lambda vacancy: _submit(client, vacancy, secret), vacancies, 202)
            if number >= WARM_UP:
                refused.append(floor)
                accepted.append(taken)
    p99, p50, floor = (
        [_percentile(burst, percent) for burst in bursts]
        for percent, bursts in ((99, accepted), (50, accepted), (50, refused))
    )
    results.finish(
        [
            compare(f"submit, {CALLERS} at once: p99, ms; p50", p99, p50, GOAL),
            compare(f"submit, {CALLERS} at once: p50, ms; a refusal (401)", p50, floor),
        ],
        options,
    )


def _publish(sandbox: str, count: int) -> list[str]:
    """Publish vacancies in the sandbox; return their ids."""
    with httpx.Client(base_url=sandbox) as client:
        return [
            client.post("/_sandbox/vacancies", json={"title": "Бухгалтер"}).json()["id"]
            for _ in range(count)
        ]


def _submit(client: httpx.Client, vacancy_id: str, secret: str) -> httpx.Response:
    body = {
        "user_id": DEMO_USER_ID,
        "job_external_id": vacancy_id,
        "cover_letter": "Здравствуйте! Буду рада поговорить.",
    }
    headers = {"X-Core-Secret": secret}
    return client.post("/api/applications/submit", json=body, headers=headers)


def _burst(call: Callable[[str], httpx.Response], vacancies: list[str], status: int) -> list[float]:
    """Make the calls, which begin together; return the milliseconds of each."""
    time.sleep(PAUSE_S)
    begin = threading.Barrier(len(vacancies))

    def caller(vacancy: str) -> float:
        begin.wait()
        began = time.perf_counter()
        response = call(vacancy)
        took = (time.perf_counter() - began) * 1000
        if response.status_code != status:
            raise RuntimeError(f"{response.status_code}: {response.text[:500]}")
        return took

    with ThreadPoolExecutor(len(vacancies)) as pool:
        return list(pool.map(caller, vacancies))


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


if __name__ == "__main__":
    main()
