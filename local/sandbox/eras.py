"""hh.ru's methods and its eras: which methods exist, who may call them, what the others answer.

Both are read from ``data/methods.toml``. An era follows one version of hh.ru's documents.
"""

from __future__ import annotations

import enum
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("data") / "methods.toml"
DEFAULT_ERA = "2025"

Version = tuple[int, ...]


class Access(enum.Enum):
    """Who may call a method."""

    ANYONE = "anyone"
    APPLICATION = "application"  # or any person
    PERSON = "person"  # applicant or employer
    APPLICANT = "applicant"


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the API. *since* and *removed*: the first versions of the documents that have it,
    and have it no longer; *answers*: the status that it answers once removed; *employers*: the
    version since when it is for employers alone."""

    verb: str
    path: str
    caller: Access
    since: Version | None = None
    removed: Version | None = None
    answers: int | None = None
    employers: Version | None = None

    @property
    def name(self) -> str:
        """Return verb and path, such as ``GET /me``."""
        return f"{self.verb} {self.path}"


@dataclass(frozen=True, slots=True)
class Era:
    """A state of hh.ru. *documents*: the version that it follows; *removed*: the status of removed
    methods in place of their own; *applicants*: the status of every method of applicants;
    *approved*: methods that are left to employers stay open."""

    name: str
    summary: str
    documents: Version
    removed: int | None = None
    applicants: int | None = None
    approved: bool = False

    def refusal_of(self, method: Method) -> int | None:
        """Return the status that *method* answers in place of its own, ``None`` if it is open."""
        if method.since is not None and self.documents < method.since:
            return 404
        if method.removed is not None and self.documents >= method.removed:
            return self.removed or method.answers
        if method.employers is not None and self.documents >= method.employers:
            return None if self.approved else 403
        return self.applicants if method.caller is Access.APPLICANT else None

    def follows(self, text: str) -> bool:
        """Return whether the era's documents are of version *text* or newer."""
        return self.documents >= version(text)


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


@cache
def methods() -> dict[str, Method]:
    """Return the methods by name."""
    return {name: _method(name, row) for name, row in _tables()["methods"].items()}


@cache
def eras() -> dict[str, Era]:
    """Return the eras by name, in the order of the file."""
    return {name: _era(name, row) for name, row in _tables()["eras"].items()}


def _era(name: str, row: dict[str, Any]) -> Era:
    return Era(
        name,
        row["summary"],
        version(row["documents"]),
        removed=row.get("removed"),
        applicants=row.get("applicants"),
        approved=row.get("approved", False),
    )


def _method(name: str, row: dict[str, Any]) -> Method:
    verb, path = name.split(" ")
    versions = {key: version(row[key]) for key in ("since", "removed", "employers") if key in row}
    return Method(verb, path, Access(row["caller"]), answers=row.get("answers"), **versions)


def version(text: str) -> Version:
    """Return a version such as ``1.54.0`` as comparable numbers."""
    return tuple(map(int, text.split(".")))
