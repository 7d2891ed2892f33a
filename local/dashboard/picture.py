"""The picture of the system: nodes of the template in four columns, and the lines between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.template.resources import Function, Template

COLUMNS = {"entry": 8, "function": 258, "queue": 558, "store": 838}
WIDTH, NODE_WIDTH, NODE_HEIGHT, ROW, TOP = 1080, 212, 34, 44, 34


@dataclass(frozen=True)
class Node:
    """A part of the system. *facts*: what it does now, in a few words; *tone*: of its colour."""

    id: str
    column: str
    title: str
    facts: str
    tone: str = "plain"
    href: str = ""


@dataclass(frozen=True)
class Placed:
    """A node at its place."""

    node: Node
    x: int
    y: int
    width: int = NODE_WIDTH
    height: int = NODE_HEIGHT


@dataclass(frozen=True)
class Picture:
    """Placed nodes and the paths of the lines between them."""

    nodes: list[Placed]
    paths: list[str]
    height: int
    width: int = WIDTH


def edges(template: Template, hh: str, postgres: str) -> set[tuple[str, str]]:
    """Return which node leads to which, as the template says: events lead to functions, and a
    variable of a function names a queue or a table, or Postgres (*postgres*) and hh.ru (*hh*)."""
    return {
        edge
        for function in template.functions.values()
        for edge in _edges_of(function, template, hh, postgres)
    }


def _edges_of(
    function: Function, template: Template, hh: str, postgres: str
) -> Iterable[tuple[str, str]]:
    if function.routes:
        yield "http", function.logical_id
    if template.websocket is not None and function.logical_id in template.websocket.routes.values():
        yield "websocket", function.logical_id
    if function.rules:
        yield "rules", function.logical_id
    for source in function.queue_sources:
        yield source.queue, function.logical_id
    queues = {queue.url: name for name, queue in template.queues.items()}
    for name, value in function.environment.items():
        if value in queues:
            yield function.logical_id, queues[value]
        if value in template.tables:
            yield function.logical_id, value
        if name == "DATABASE_URL":
            yield function.logical_id, postgres
        if name == "HH_API_URL":
            yield function.logical_id, hh


def place(nodes: Iterable[Node], lines: Iterable[tuple[str, str]]) -> Picture:
    """Return the picture of *nodes*, each column centred, with *lines* between ids."""
    columns: dict[str, list[Node]] = {name: [] for name in COLUMNS}
    for node in nodes:
        columns[node.column].append(node)
    height = TOP + max(len(column) for column in columns.values()) * ROW
    placed: dict[str, Placed] = {}
    for name, column in columns.items():
        step = (height - TOP) / max(1, len(column))
        for number, node in enumerate(column):
            y = TOP + round(step * number + (step - NODE_HEIGHT) / 2)
            placed[node.id] = Placed(node, COLUMNS[name], y)
    paths = [
        _path(placed[start], placed[end])
        for start, end in sorted(lines)
        if start in placed and end in placed
    ]
    return Picture(list(placed.values()), paths, height + 6)


def _path(start: Placed, end: Placed) -> str:
    """Return a curve between the sides that face each other."""
    left, right = (start, end) if start.x < end.x else (end, start)
    x1, y1 = left.x + left.width, left.y + left.height // 2
    x2, y2 = right.x, right.y + right.height // 2
    bend = (x2 - x1) // 2
    return f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"
