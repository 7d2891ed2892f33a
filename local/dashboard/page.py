"""What a page of the dashboard is: a name, a template, what it reads, and its buttons."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.dashboard.system import System

PATH = "/dev/dashboard"

Read = Callable[[System, Mapping[str, str], str], Awaitable[dict[str, Any]]]
Action = Callable[[System, Mapping[str, str]], Awaitable[str]]


class NotFound(Exception):
    """The page has nothing of this name; the message says what is missing."""


@dataclass(frozen=True)
class Page:
    """A page at ``/dev/dashboard/<name>``.

    *read* is called with the system, the query and the rest of the path, and returns the values of
    the template: *template*, or *detail* where the path has a rest. *actions*: the functions of its
    buttons by name; they return a sentence that says what was done, or raise
    :class:`~local.dashboard.system.Refused`. *is_live*: whether the stream reads it again; not
    where reading calls hh.ru.
    """

    name: str
    title: str
    template: str
    read: Read
    detail: str = "problem.html"
    is_live: bool = True
    actions: Mapping[str, Action] = field(default_factory=dict)

    @property
    def href(self) -> str:
        """Return its address."""
        return PATH if self.name == "now" else f"{PATH}/{self.name}"
