"""hh.ru's query language, at the level that people use.

Words next to each other must all be there; ``"a phrase"`` stands as written; ``OR``, ``AND``,
``NOT`` and parentheses combine; ``NAME:``, ``COMPANY_NAME:`` and ``DESCRIPTION:`` limit what
follows to a field; ``word*`` is a beginning; ``!word`` is that very form. Like the real thing it
refuses nothing: a stray bracket or operator is passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from local.sandbox.vacancies import russian

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.sandbox.vacancies.vacancy import Vacancy

FIELDS = ("name", "company_name", "description")

_TOKEN = re.compile(
    r'(?P<field>NAME|COMPANY_NAME|DESCRIPTION):|"(?P<phrase>[^"]*)"|(?P<bracket>[()])|(?P<word>[^\s()"]+)'
)
_DEPTH = 50  # brackets inside brackets; whatever is deeper is passed over


class Node(Protocol):
    """A part of a query: holds for a vacancy or not."""

    def holds(self, vacancy: Vacancy) -> bool:
        """Whether the vacancy has what this part asks for."""

    def terms(self) -> Iterator[Term]:
        """The terms that are asked for (not those after NOT): they score and are highlighted."""


@dataclass(frozen=True)
class Term:
    """One word (or a hyphenated group, or a phrase) looked for in *fields*."""

    text: str
    fields: tuple[str, ...]
    phrase: bool = False
    exact: bool = False
    beginning: bool = False

    @cached_property
    def stems(self) -> frozenset[str]:
        """The stems of its words."""
        return frozenset(russian.stems(self.text))

    def holds(self, vacancy: Vacancy) -> bool:
        """Whether any of the fields has the words (a phrase: side by side)."""
        for field in self.fields:  # noqa: SIM110 - asked of every vacancy; any() takes twice as long
            if self.found_in(vacancy, field):
                return True
        return False

    def found_in(self, vacancy: Vacancy, field: str) -> bool:
        """The same for one field."""
        if self.beginning:
            return any(word.startswith(self.text) for word in vacancy.words[field])
        if not self.stems <= vacancy.stems[field]:
            return False
        if self.exact:
            return self._beside(vacancy, field, as_written=True)
        return not self.phrase or self._beside(vacancy, field, as_written=False)

    def _beside(self, vacancy: Vacancy, field: str, *, as_written: bool) -> bool:
        read = russian.words if as_written else russian.stems
        wanted = read(self.text)
        for line in vacancy.texts[field]:
            words = read(line)
            for start in range(len(words) - len(wanted) + 1):
                if words[start : start + len(wanted)] == wanted:
                    return True
        return False

    def terms(self) -> Iterator[Term]:
        """Itself."""
        yield self

    def wants(self, word: str) -> bool:
        """Whether a word of a snippet is to be highlighted for this term."""
        if self.beginning:
            return word.lower().startswith(self.text)
        return russian.stem(word) in self.stems


@dataclass(frozen=True, slots=True)
class All:
    """Every part must hold; none: everything does."""

    parts: tuple[Node, ...]

    def holds(self, vacancy: Vacancy) -> bool:
        """Whether every part holds."""
        return all(part.holds(vacancy) for part in self.parts)

    def terms(self) -> Iterator[Term]:
        """Those of the parts."""
        for part in self.parts:
            yield from part.terms()


@dataclass(frozen=True, slots=True)
class Any:
    """One part is enough."""

    parts: tuple[Node, ...]

    def holds(self, vacancy: Vacancy) -> bool:
        """Whether any part holds."""
        return any(part.holds(vacancy) for part in self.parts)

    def terms(self) -> Iterator[Term]:
        """Those of the parts."""
        for part in self.parts:
            yield from part.terms()


@dataclass(frozen=True, slots=True)
class Not:
    """The part must not hold."""

    part: Node

    def holds(self, vacancy: Vacancy) -> bool:
        """Whether the part does not hold."""
        return not self.part.holds(vacancy)

    def terms(self) -> Iterator[Term]:
        """None: what is excluded is not highlighted."""
        return iter(())


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = list(_TOKEN.finditer(text))
        self.position = 0

    def _word(self) -> str | None:
        if self.position < len(self.tokens):
            return self.tokens[self.position]["word"]
        return None

    def any_of(self, fields: tuple[str, ...], depth: int = 0) -> Node:
        parts = [self.all_of(fields, depth)]
        while self._word() in {"OR", "ИЛИ"}:
            self.position += 1
            parts.append(self.all_of(fields, depth))
        meant = tuple(part for part in parts if not (isinstance(part, All) and not part.parts))
        return meant[0] if len(meant) == 1 else Any(meant) if meant else All(())

    def all_of(self, fields: tuple[str, ...], depth: int) -> Node:
        parts: list[Node] = []
        while self.position < len(self.tokens) and self._word() not in {"OR", "ИЛИ"}:
            if self.tokens[self.position]["bracket"] == ")" and depth:
                break
            part = self.one(fields, depth)
            if part is not None:
                parts.append(part)
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def one(self, fields: tuple[str, ...], depth: int) -> Node | None:
        """One operand with the NOTs and the field before it; ``None`` where there is none."""
        excluded = False
        while self.position < len(self.tokens):
            token = self.tokens[self.position]
            self.position += 1
            if token["field"]:
                fields = (token["field"].lower(),)
            elif token["word"] in {"NOT", "НЕ"}:
                excluded = not excluded
            else:
                part = self._operand(token, fields, depth)
                return Not(part) if part is not None and excluded else part
        return None

    def _operand(self, token: re.Match[str], fields: tuple[str, ...], depth: int) -> Node | None:
        if token["phrase"] is not None:
            return Term(token["phrase"], fields, phrase=True) if token["phrase"].strip() else None
        if token["bracket"]:
            return self._group(fields, depth) if token["bracket"] == "(" else None
        return None if token["word"] in {"AND", "И"} else _term(token["word"], fields)

    def _group(self, fields: tuple[str, ...], depth: int) -> Node | None:
        if depth >= _DEPTH:
            return None
        inside = self.any_of(fields, depth + 1)
        if self.position < len(self.tokens) and self.tokens[self.position]["bracket"] == ")":
            self.position += 1
        return inside


def _term(word: str, fields: tuple[str, ...]) -> Node | None:
    exact = word.startswith("!")
    beginning = word.endswith("*")
    words = russian.words(word)
    if not words:
        return None
    if beginning and len(words) == 1:
        return Term(words[0], fields, beginning=True)
    return Term(" ".join(words), fields, exact=exact)


def parse(text: str, fields: tuple[str, ...] = FIELDS) -> Node:
    """The query that *text* means; *fields* are hh.ru's ``search_field``."""
    return _Parser(text).any_of(fields)
