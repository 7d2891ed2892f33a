"""Periodic steps without a database: their order, and the time that tidying may take."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import clock, periodic

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

TIDY = ("a", "b", "c")


def run(
    begun: list[str], act: Callable[[], int] = lambda: 1, tidy: tuple[str, ...] = TIDY
) -> dict[str, int]:
    """Run steps that note that they have begun."""

    def step(name: str) -> Callable[[Any], int]:
        def run_step(_: Any) -> int:
            begun.append(name)
            return act()

        return run_step

    wake = {name: step(name) for name in ("first", "second")}
    context: Any = None
    return periodic.run(
        wake, lambda: nullcontext(context), tidy={name: step(name) for name in tidy}
    )


def test_tidying_begins_with_another_step_each_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = []
    for minute in range(len(TIDY)):
        monkeypatch.setattr(clock, "real_seconds", lambda minute=minute: 60.0 * minute)
        begun: list[str] = []
        run(begun)
        assert begun[:2] == ["first", "second"]
        orders.append("".join(begun[2:]))
    assert orders == ["abc", "bca", "cab"]


def test_tidying_does_not_begin_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periodic, "TIDY_BUDGET_S", 0)
    begun: list[str] = []
    assert run(begun) == {"first": 1, "second": 1}
    assert begun == ["first", "second"]


def test_rows_of_a_step_end_when_their_time_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert periodic.for_each(range(5), lambda _: 1) == 5
    monkeypatch.setattr(periodic, "ROWS_BUDGET_S", 0)
    assert periodic.for_each(range(5), lambda _: 1) == 0
