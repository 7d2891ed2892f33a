"""Findings of the tools, and the exceptions of ``exceptions.yaml`` that allow some of them.

An exception names the rule, the places, and why the finding is no fault there; ``line`` limits it
to findings whose text matches. A finding without an exception fails its gate, and so does an
exception without a finding: what was mended needs none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[1]
FILE = Path(__file__).with_name("exceptions.yaml")
LEAST_REASON = 20  # characters: fewer justify nothing


@dataclass(frozen=True)
class Finding:
    """What a tool found: *rule* is its name for the kind, *place* a file (``file:resource`` in a
    template) or a package, *text* the lines there."""

    rule: str
    place: str
    message: str
    line_number: int = 0
    text: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Return a line for people. It never quotes the text, which may be a secret."""
        place = f"{self.place}:{self.line_number}" if self.line_number else self.place
        return f"{place}: {self.rule} {self.message}"


@dataclass(frozen=True)
class Exemption:
    """An entry of ``exceptions.yaml``. *at*: patterns of places, as of :mod:`fnmatch`."""

    rule: str
    at: tuple[str, ...]
    reason: str
    line: str = ""

    def __post_init__(self) -> None:
        if len(self.reason.strip()) < LEAST_REASON:
            raise ValueError(f"the exception for {self.rule} has no justification")
        if not self.at:
            raise ValueError(f"the exception for {self.rule} names no place")

    def allows(self, finding: Finding) -> bool:
        """Return whether this exception is about *finding*."""
        return (
            self.rule == finding.rule
            and any(fnmatchcase(finding.place, pattern) for pattern in self.at)
            and re.search(self.line, finding.text) is not None
        )


def parse(content: dict[str, list[dict[str, Any]]]) -> dict[str, list[Exemption]]:
    """Return exceptions by gate. Raises :class:`ValueError` for one without a justification or a
    place, :class:`TypeError` for an unknown field."""
    return {
        gate: [
            Exemption(**{"reason": "", **entry, "at": tuple(entry.get("at", ()))})
            for entry in entries
        ]
        for gate, entries in content.items()
    }


@cache
def by_gate() -> dict[str, list[Exemption]]:
    """Return the exceptions of ``exceptions.yaml``."""
    return parse(yaml.safe_load(FILE.read_text()))


def judge(findings: Iterable[Finding], exemptions: list[Exemption]) -> list[str]:
    """Return what fails the gate, a line each: findings that no exception allows, exceptions that
    allow nothing."""
    used: set[Exemption] = set()
    problems = []
    for finding in findings:
        allowing = [exemption for exemption in exemptions if exemption.allows(finding)]
        used.update(allowing)
        if not allowing:
            problems.append(str(finding))
    problems += [
        f"gates/exceptions.yaml: {exemption.rule} at {', '.join(exemption.at)}: nothing is found "
        "there any more, so delete the exception"
        for exemption in exemptions
        if exemption not in used
    ]
    return problems
