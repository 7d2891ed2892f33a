"""The time that the BFF waits for ``POST /api/applications/submit`` with twenty parallel callers.

``make bench-submit``. It uses its own local cloud (functions as processes, Postgres, moto, the
sandbox). Bursts of twenty alternate with bursts of the same call without the secret, which the
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

from benchmarks import services
from migrations.seed import DEMO_USER_ID

if TYPE_CHECKING:
    from collections.abc import Callable

CALLERS = 20
BURSTS = 25
WARM_UP = 3
PAUSE_S = 0.5  # the gateway's throttle is 50 per second
TARGET_MS = 300  # p99 of 20 at once


def main() -> None:
    """Run the benchmark and print the results."""
    services.end_on_signals()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bursts", type=int, default=BURSTS)
    bursts = parser.parse_args().bursts
    refused: list[float] = []
    accepted: list[float] = []
    with (
        services.running_cloud("The demo user is connected", THROTTLES="off") as (
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
                refused += floor
                accepted += taken
    print(f"{CALLERS} callers at once, {len(accepted)} calls of each kind, in ms:")
    for name, values in (("refused (401)", refused), ("submitted", accepted)):
        p50, p99 = _percentile(values, 50), _percentile(values, 99)
        print(f"  {name:13} p50 {p50:5.0f}  p99 {p99:5.0f}  most {max(values):5.0f}")
    ratio = _percentile(accepted, 50) / _percentile(refused, 50)
    print(f"A submission takes {ratio:.1f} of a refusal; its p99 is to be under {TARGET_MS} ms.")


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
