"""The rows of every benchmark: ours beside the baseline, the ratio, its spread, and the goal.

A ratio is taken within each round and its median is quoted: what else runs on the machine disturbs
both sides of a round alike. ``--json FILE`` keeps the rows for the table of ``make bench``.
"""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence
    from typing import NoReturn

Bound = Literal["<=", ">="]
HEADINGS = ("measured", "ours", "baseline", "ratio", "spread", "goal", "")


@dataclass(frozen=True)
class Goal:
    """A bound of a row's ratio, or of our own figure where the row has no baseline."""

    bound: Bound
    value: float

    def is_met_by(self, figure: float) -> bool:
        """Return whether *figure* keeps the bound."""
        return figure <= self.value if self.bound == "<=" else figure >= self.value


@dataclass(frozen=True)
class Row:
    """A line of the table. *spread*: the least and the most of what the goal bounds, by round."""

    measured: str
    ours: float
    baseline: float | None
    ratio: float | None
    spread: tuple[float, float]
    goal: Goal | None

    @property
    def is_met(self) -> bool:
        """Return whether the goal holds; a row without one only informs."""
        figure = self.ours if self.ratio is None else self.ratio
        return self.goal is None or self.goal.is_met_by(figure)

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the texts of the columns."""
        goal = f"{self.goal.bound} {_number(self.goal.value)}" if self.goal else ""
        return (
            self.measured,
            _number(self.ours),
            "" if self.baseline is None else _number(self.baseline),
            "" if self.ratio is None else f"{self.ratio:.2f}",
            " to ".join(map(_number, self.spread)),
            goal,
            "" if self.goal is None else "met" if self.is_met else "MISSED",
        )


def compare(
    measured: str, ours: Sequence[float], baseline: Sequence[float], goal: Goal | None = None
) -> Row:
    """Return the row of two series of rounds, whose ratio is ours to the baseline's."""
    ratios = [own / other for own, other in zip(ours, baseline, strict=True)]
    return Row(
        measured,
        statistics.median(ours),
        statistics.median(baseline),
        statistics.median(ratios),
        (min(ratios), max(ratios)),
        goal,
    )


def figure(measured: str, ours: Sequence[float], goal: Goal | None = None) -> Row:
    """Return the row of a figure without a baseline."""
    return Row(measured, statistics.median(ours), None, None, (min(ours), max(ours)), goal)


def table(rows: Iterable[Row]) -> list[str]:
    """Return the lines of the table, as Markdown that is aligned in a terminal."""
    lines = [HEADINGS, *(row.cells for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = ["| " + " | ".join(map(_padded, line, widths, range(7))) + " |" for line in lines]
    rule = ["-" * (width - (place > 0)) + ":" * (place > 0) for place, width in enumerate(widths)]
    rule[-1] = "-" * widths[-1]
    return [texts[0], "| " + " | ".join(rule) + " |", *texts[1:]]


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--json`` to the options of a benchmark."""
    parser.add_argument("--json", type=Path, help="a file for the rows")


def finish(rows: Sequence[Row], options: argparse.Namespace) -> NoReturn:
    """Print the table, keep the rows if wanted, and exit: with 1 if a goal is missed."""
    print("\n".join(table(rows)))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows]))
    sys.exit(0 if all(row.is_met for row in rows) else 1)


def read(path: Path) -> list[Row]:
    """Return the rows that a benchmark has kept in *path*."""
    return [
        Row(
            **{
                **kept,
                "spread": tuple(kept["spread"]),
                "goal": Goal(**kept["goal"]) if kept["goal"] else None,
            }
        )
        for kept in json.loads(path.read_text())
    ]


def _padded(text: str, width: int, place: int) -> str:
    return text.rjust(width) if 0 < place < len(HEADINGS) - 1 else text.ljust(width)


def _number(value: float) -> str:
    """Return *value* with two decimals, with one from 10 on, or as an integer from 100 on."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
