"""The time that the BFF's page waits when fifty users search at once.

``make bench-search-burst``. It uses its own local cloud, with the template's throttles and
concurrency, and hh.ru's default pace. Every search is sent as the BFF sends it: signed, and retried
after 1, 2 and 4 seconds if the response is a 5xx. The baseline is a single search in a system that
has just served a burst; each of these calls hh.ru. The first burst of each kind is a cold one: it
starts the function's processes, on the cores of one machine.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from benchmarks import services

CALLERS = 50
ALONE = 15
WAITS_S = (1, 2, 4)  # the BFF's, before it retries after a 5xx
PATIENCE_S = 30  # the browser's
PAUSE_S = 6  # until the gateway's throttle is full, and no shared answer is fresh
CALLS_PER_SECOND = 3  # the template's HhCallsPerSecond


@dataclass(frozen=True)
class Searched:
    """The result of one user's search: each status that the BFF received, and the duration."""

    statuses: list[int]
    seconds: float


@dataclass(frozen=True)
class Bff:
    """A client that sends searches to *core* as the BFF does; *sandbox* counts hh.ru's calls."""

    core: str
    sandbox: str
    secret: str

    def search(self, text: str) -> Searched:
        """Search for *text*, with retries if Core responds with 5xx."""
        content = json.dumps({"text": text}).encode()
        headers = {
            "Content-Type": "application/json",
            "X-Core-Secret": self.secret,
            "X-Signature": hmac.new(self.secret.encode(), content, hashlib.sha256).hexdigest(),
        }
        began, statuses = time.perf_counter(), []
        for wait in (*WAITS_S, None):
            answer = httpx.post(
                f"{self.core}/api/jobs/search", content=content, headers=headers, timeout=60
            )
            statuses.append(answer.status_code)
            if answer.status_code < 500 or wait is None:
                break
            time.sleep(wait)
        return Searched(statuses, time.perf_counter() - began)

    def search_at_once(
        self, texts: list[str], pause_s: float = PAUSE_S
    ) -> tuple[list[Searched], int]:
        """Search for all *texts* at the same moment; return the results, and the number of calls to
        hh.ru's search."""
        time.sleep(pause_s)
        before, begin = self.hh_searches(), threading.Barrier(len(texts))

        def search(text: str) -> Searched:
            begin.wait()
            return self.search(text)

        with ThreadPoolExecutor(len(texts)) as pool:
            searched = list(pool.map(search, texts))
        return searched, self.hh_searches() - before

    def hh_searches(self) -> int:
        """Return the number of calls to hh.ru's search so far."""
        calls = httpx.get(f"{self.sandbox}/_sandbox/state").json()["calls"]["by_route"]
        return int(calls.get("GET /vacancies", 0))


def main() -> None:
    """Run the benchmark and print the results."""
    services.end_on_signals()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--callers", type=int, default=CALLERS)
    callers = parser.parse_args().callers
    equal, different = ["python"] * callers, [f"python {number}" for number in range(callers)]
    with services.running_cloud("Ctrl-C stops everything", DEMO_PERSON="off") as cloud:
        bff = Bff(*cloud)
        measured = {
            "equal, cold": bff.search_at_once(equal),
            "equal": bff.search_at_once(equal),
            "different, cold": bff.search_at_once(different),
            "different": bff.search_at_once([f"java {text}" for text in different]),
        }
        before = bff.hh_searches()
        alone = [bff.search_at_once([f"go {number}"], pause_s=1)[0][0] for number in range(ALONE)]
        calls = bff.hh_searches() - before
    baseline = statistics.median(searched.seconds for searched in alone)
    print(f"{callers} searches at once, as the BFF sends them; seconds until it has the answer:")
    print(f"  {'':16}   p50    p95    max  max/alone  hh.ru calls  answers (all that Core sent)")
    for name, (results, hh_calls) in {"one alone": (alone, calls), **measured}.items():
        print(f"  {name:16} {_row(results, hh_calls, baseline)}")
    paced = (callers - 1) / CALLS_PER_SECOND
    print(
        f"hh.ru's pace alone takes {paced:.1f} s for {callers}; the browser waits {PATIENCE_S} s."
    )


def _row(results: list[Searched], hh_calls: int, baseline: float) -> str:
    seconds = [result.seconds for result in results]
    p50, p95 = (_percentile(seconds, percent) for percent in (50, 95))
    last = Counter(result.statuses[-1] for result in results)
    every = Counter(status for result in results for status in result.statuses)
    ratio = max(seconds) / baseline
    times = f"{p50:5.2f}  {p95:5.2f}  {max(seconds):5.2f}  {ratio:9.1f}  {hh_calls:11d}"
    return f"{times}  {_listed(last)} ({_listed(every)})"


def _listed(statuses: Counter[int]) -> str:
    return ", ".join(f"{number} x {status}" for status, number in sorted(statuses.items()))


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


if __name__ == "__main__":
    main()
