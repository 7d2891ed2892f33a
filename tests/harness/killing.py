"""All functions in processes of their own (:mod:`.function_process`): killed after any of their
effects, or called by several processes at once."""

from __future__ import annotations

import itertools
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from local.clock import FILE_NAME
from tests.fixtures.hh_sandbox import USER_AGENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.harness.worker_pool import Workers

SECRET = "local-development-secret"
MOST_EFFECTS = 60


def sqs_message(function: str, **payload: str) -> str:
    """Return the wake-up of *function* by a message of SQS."""
    event = {"Records": [{"messageId": "1", "body": json.dumps(payload)}]}
    return f"{function} {json.dumps(event)}"


def http_request(
    function: str,
    key: str,
    body: Any = None,
    *,
    headers: dict[str, str] | None = None,
    **parameters: str,
) -> str:
    """Return the wake-up of *function* by a request of the BFF for the route *key*. *parameters*:
    those of the path."""
    event = {
        "version": "2.0",
        "routeKey": key,
        "headers": {"x-core-secret": SECRET, **(headers or {})},
        "queryStringParameters": {},
        "pathParameters": parameters,
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }
    return f"{function} {json.dumps(event)}"


class Functions:
    """The functions on the clock of the file *clock*."""

    def __init__(self, workers: Workers, clock: Path) -> None:
        self._workers, self._clock = workers, clock

    def kill_after(self, number: int, wake_up: str) -> str | None:
        """Kill the process that answers *wake_up* after its effect *number*; return what that was,
        ``None`` if it has answered after fewer."""
        return self._workers.kill_after(number, wake_up, self._clock)

    def kill_after_each(self, make: Callable[[], str]) -> Iterator[str]:
        """Kill a process that answers a wake-up, which *make* returns, after its first effect, the
        next after its second one and so on; yield what the effects were. The last is not killed.
        """
        for number in itertools.count(1):
            assert number < MOST_EFFECTS, "it has ever more effects"
            effect = self.kill_after(number, make())
            if effect is None:
                return
            yield effect

    def call(self, *wake_ups: str) -> None:
        """Let *wake_ups* be answered at once, each by a process of its own."""
        called = [self._workers.start(self._clock) for _ in wake_ups]
        for worker, wake_up in zip(called, wake_ups, strict=True):
            worker.notify(wake_up)
        assert [worker.answer() for worker in called] == ["done"] * len(called)
        for worker in called:
            self._workers.kill(worker)


@pytest.fixture(scope="session")
def _workers_of_functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    from tests.harness.worker_pool import Workers  # with functions, which few suites need

    log = tmp_path_factory.mktemp("functions") / "log"
    with Workers(log, "tests.harness.function_process") as started:
        yield started


@pytest.fixture
def functions(
    _workers_of_functions: Workers, connected: Any, monkeypatch: pytest.MonkeyPatch
) -> Functions:
    """Return the functions on the sandbox's clock, with its settings."""
    monkeypatch.setenv("ORCHESTRATOR_SECRET", SECRET)
    monkeypatch.setenv("SECRET_KEY_BASE", "a secret key base of tests, long enough")
    return Functions(_workers_of_functions, connected.sandbox.data_dir / FILE_NAME)


@pytest.fixture
def functions_on(
    _workers_of_functions: Workers, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Path], Functions]:
    """Return a function that returns the functions that do not call hh.ru, on the clock of a
    file."""
    monkeypatch.setenv("HH_API_URL", "https://api.hh.example")
    monkeypatch.setenv("HH_USER_AGENT", USER_AGENT)
    return partial(Functions, _workers_of_functions)
