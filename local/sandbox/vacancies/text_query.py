"""hh.ru's query language, as far as people use it.

All words must be found; the words of ``"a phrase"`` must be adjacent; ``OR``, ``AND``, ``NOT`` and
parentheses combine; ``NAME:``, ``COMPANY_NAME:`` and ``DESCRIPTION:`` limit the next operand to a
field; ``word*`` is a prefix; ``!word`` is that exact form. Like hh.ru, it refuses nothing: a stray
bracket or operator is ignored.
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
_DEPTH = 50  # of nested brackets; deeper ones are ignored


class Node(Protocol):
    """A part of a query."""

    def matches(self, vacancy: Vacancy) -> bool:
        """Return whether the vacancy matches."""

    def terms(self) -> Iterator[Term]:
        """Yield the terms (not those after NOT), which score and are highlighted."""


@dataclass(frozen=True)
class Term:
    """A word (or a hyphenated group, or a phrase) that is searched in *fields*."""

    text: str
    fields: tuple[str, ...]
    phrase: bool = False
    exact: bool = False
    prefix: bool = False

    @cached_property
    def stems(self) -> frozenset[str]:
        """Return the stems of its words."""
        return frozenset(russian.stems(self.text))

    def matches(self, vacancy: Vacancy) -> bool:
        """Return whether a field has the words (of a phrase: adjacent ones)."""
        for field in self.fields:  # noqa: SIM110 - called for every vacancy; any() is twice as slow
            if self.found_in(vacancy, field):
                return True
        return False

    def found_in(self, vacancy: Vacancy, field: str) -> bool:
        """Return the same for one field."""
        if self.prefix:
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
        """Yield the term itself."""
        yield self

    def wants(self, word: str) -> bool:
        """Return whether to highlight a word of a snippet for this term."""
        if self.prefix:
            return word.lower().startswith(self.text)
        return russian.stem(word) in self.stems


@dataclass(frozen=True, slots=True)
class All:
    """A conjunction; without parts it matches everything."""

    parts: tuple[Node, ...]

    def matches(self, vacancy: Vacancy) -> bool:
        """Return whether every part matches."""
        return all(part.matches(vacancy) for part in self.parts)

    def terms(self) -> Iterator[Term]:
        """Yield the terms of the parts."""
        for part in self.parts:
            yield from part.terms()


@dataclass(frozen=True, slots=True)
class Any:
    """A disjunction."""

    parts: tuple[Node, ...]

    def matches(self, vacancy: Vacancy) -> bool:
        """Return whether any part matches."""
        return any(part.matches(vacancy) for part in self.parts)

    def terms(self) -> Iterator[Term]:
        """Yield the terms of the parts."""
        for part in self.parts:
            yield from part.terms()


@dataclass(frozen=True, slots=True)
class Not:
    """A negation."""

    part: Node

    def matches(self, vacancy: Vacancy) -> bool:
        """Return whether the part does not match."""
        return not self.part.matches(vacancy)

    def terms(self) -> Iterator[Term]:
        """Yield nothing: excluded words are not highlighted."""
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
        alternatives = tuple(
            part for part in parts if not (isinstance(part, All) and not part.parts)
        )
        if len(alternatives) == 1:
            return alternatives[0]
        return Any(alternatives) if alternatives else All(())

    def all_of(self, fields: tuple[str, ...], depth: int) -> Node:
        parts: list[Node] = []
        while self.position < len(self.tokens) and self._word() not in {"OR", "ИЛИ"}:
            if self.tokens[self.position]["bracket"] == ")" and depth:
                break
            part = self.operand(fields, depth)
            if part is not None:
                parts.append(part)
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def operand(self, fields: tuple[str, ...], depth: int) -> Node | None:
        """Return an operand with the NOTs and the field before it, ``None`` at the end."""
        excluded = False
        while self.position < len(self.tokens):
            token = self.tokens[self.position]
            self.position += 1
            if token["field"]:
                fields = (token["field"].lower(),)
            elif token["word"] in {"NOT", "НЕ"}:
                excluded = not excluded
            else:
                part = self._term_or_group(token, fields, depth)
                return Not(part) if part is not None and excluded else part
        return None

    def _term_or_group(
        self, token: re.Match[str], fields: tuple[str, ...], depth: int
    ) -> Node | None:
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
    prefix = word.endswith("*")
    words = russian.words(word)
    if not words:
        return None
    if prefix and len(words) == 1:
        return Term(words[0], fields, prefix=True)
    return Term(" ".join(words), fields, exact=exact)


def parse(text: str, fields: tuple[str, ...] = FIELDS) -> Node:
    """Return the query that *text* means; *fields* are hh.ru's ``search_field``."""
    return _Parser(text).any_of(fields)
