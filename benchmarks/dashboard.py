"""What the dashboard costs, and how fast it answers while 1,000 requests are running.

``make bench-dashboard``. It uses its own local cloud, without the template's throttles. First it
measures the processor time of the process that serves the gateway, of a core: before the first
visit, with one page open, and after it was closed. Then 1,000 clients each send the same request
again and again, once without the dashboard and once with it; every page is opened in turn
meanwhile. After a 5xx (the function's concurrency is in use) a client waits for 1, 2 and 4 s, as
the BFF does. A request is dropped if it gets no answer at all.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import aiohttp
import httpx
import psutil

from benchmarks import services

CLIENTS = 1_000
ROUND_S = 20.0
IDLE_S = 15.0
PATH = "/dev/dashboard"
PAGES = ("", "/requests", "/functions", "/database", "/queues", "/people", "/hh")
REQUEST = "/api/v1/system/health"
WAITS_S = (1, 2, 4)  # the BFF's, after a 5xx


def gateway_process(port: int) -> psutil.Process:
    """Return the process that listens on *port*."""
    for child in psutil.Process().children(recursive=True):
        for connection in child.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                return child
    raise RuntimeError(f"no process listens on {port}")


async def cost_of_core(process: psutil.Process, seconds: float) -> float:
    """Return the share of a core, in percent, that *process* uses in the next *seconds*."""
    before = sum(process.cpu_times()[:2])
    await asyncio.sleep(seconds)
    return float((sum(process.cpu_times()[:2]) - before) / seconds * 100)


async def _follow(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(f"{url}{PATH}/stream", params={"of": PATH}) as stream:
        async for _ in stream.content.iter_any():
            pass


async def measure_cost(url: str, process: psutil.Process, seconds: float) -> dict[str, float]:
    """Return the cost before the first visit, with the page Now open, and after it was closed."""
    found = {"before the first visit": await cost_of_core(process, seconds)}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        following = asyncio.create_task(_follow(session, url))
        await asyncio.sleep(3)
        found["with Now open"] = await cost_of_core(process, seconds)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    await asyncio.sleep(3)
    found["after it was closed"] = await cost_of_core(process, seconds)
    return found


async def _send(session: aiohttp.ClientSession, url: str, end: float, seen: Counter[Any]) -> None:
    refused = 0
    while time.monotonic() < end:
        try:
            async with session.get(url + REQUEST) as response:
                await response.read()
                seen[response.status] += 1
            refused = refused + 1 if response.status >= 500 else 0
            if refused:
                await asyncio.sleep(WAITS_S[min(refused, len(WAITS_S)) - 1])
        except (aiohttp.ClientError, TimeoutError) as error:
            seen[type(error).__name__] += 1


async def run_load(url: str, clients: int, *, look: bool) -> tuple[Counter[Any], list[float]]:
    """Return the answers to the requests of *clients* at once, and how long (s) each page took."""
    seen: Counter[Any] = Counter()
    took: list[float] = []
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=0)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as browser:
        browser.submit(open_pages, url, 0).result()  # it has started
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            end = time.monotonic() + ROUND_S
            sending = [asyncio.create_task(_send(session, url, end, seen)) for _ in range(clients)]
            await asyncio.sleep(2)
            if look:
                loop = asyncio.get_running_loop()
                took = await loop.run_in_executor(browser, open_pages, url, ROUND_S - 3)
            await asyncio.gather(*sending)
    return seen, took


def open_pages(url: str, seconds: float) -> list[float]:
    """Open the pages in turn for *seconds*, and return how long each took (s). In a process of its
    own: the one with a thousand clients would be late to see the answers."""
    took = []
    end = time.monotonic() + seconds
    with httpx.Client(timeout=60) as client:
        while time.monotonic() < end:
            for page in PAGES:
                begun = time.perf_counter()
                client.get(f"{url}{PATH}{page}").raise_for_status()
                took.append(time.perf_counter() - begun)
    return took


async def measure(url: str, clients: int, idle_s: float) -> None:
    """Measure, and print the results."""
    process = gateway_process(int(url.rpartition(":")[2]))
    print("processor time of the process that serves gateway and dashboard, of one core:")
    for name, percent in (await measure_cost(url, process, idle_s)).items():
        print(f"  {name:24} {percent:5.2f} %")
    await run_load(url, 20, look=False)  # the function's processes start
    for look in (False, True):
        seen, took = await run_load(url, clients, look=look)
        total = sum(seen.values())
        name = "with the dashboard" if look else "without"
        answers = ", ".join(f"{number} x {answer}" for answer, number in seen.most_common())
        print(f"{clients} requests running, {name}: {total / ROUND_S:.0f} a second: {answers}")
        if took:
            worst, median = max(took), statistics.median(took)
            late = sum(seconds > 1 for seconds in took)
            times = f"median {median:.2f} s, slowest {worst:.2f} s, {late} over 1 s"
            print(f"  {len(took)} pages: {times}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--idle-seconds", type=float, default=IDLE_S)
    options = parser.parse_args()
    services.end_on_signals()
    with services.running_cloud("Ready in", THROTTLES="off", DEMO_PERSON="off") as (url, _, _):
        asyncio.run(measure(url, options.clients, options.idle_seconds))


if __name__ == "__main__":
    main()
