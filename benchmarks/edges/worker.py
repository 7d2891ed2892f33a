"""A process that serves events with one edge, controlled by its standard input.

Each command ``{"event": …, "count": n}`` is a line of JSON, and so is its result. What the handler
prints, its log and its metrics, is written to /dev/null.
"""

from __future__ import annotations

import json
import os
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CONTEXT = SimpleNamespace(
    function_name="SearchFunction",
    function_version="$LATEST",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:eu-central-1:123456789012:function:SearchFunction",
    aws_request_id="6f1c1c9e-6f0f-4a3e-9f53-0d5a4a2d9a10",
    get_remaining_time_in_millis=lambda: 28_000,
)


def serve(load: Callable[[], Callable[[dict[str, Any], Any], dict[str, Any]]]) -> None:
    """Load the handler and execute the commands until the end of the input."""
    results = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    handler = load()
    print("{}", file=results, flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(handler, **json.loads(line))), file=results, flush=True)


def measure(
    handler: Callable[[dict[str, Any], Any], dict[str, Any]], event: dict[str, Any], count: int
) -> dict[str, Any]:
    """Return the microseconds of CPU and of time for each of *count* events, and an answer."""
    answer = handler(event, CONTEXT)
    spent, began = time.process_time(), time.perf_counter()
    for _ in range(count):
        handler(event, CONTEXT)
    return {
        "cpu": (time.process_time() - spent) / count * 1e6,
        "time": (time.perf_counter() - began) / count * 1e6,
        "status": answer["statusCode"],
        "body": answer["body"],
    }
