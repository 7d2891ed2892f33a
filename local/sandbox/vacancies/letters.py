"""Typing errors: look-alike letters of the other alphabet, and invisible characters.

The rates are those of 550 real titles, 400 real snippets and 1,150 real descriptions. None of them
had a soft hyphen; its rate is as low as that allows.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from local.sandbox.seeded_random import SeededRandom

if TYPE_CHECKING:
    from local.sandbox.vacancies.vacancy import Vacancy

LATIN_C, CYRILLIC_ES = "C", "\N{CYRILLIC CAPITAL LETTER ES}"
SOFT_HYPHEN, ZERO_WIDTH_SPACE, NO_BREAK_SPACE = "\xad", "\u200b", "\xa0"
LONGEST_TITLE = 100

# Rates among the titles and lines with the word.
CYRILLIC_CPP_IN_TITLE, CYRILLIC_CPP_IN_LINE = 0.5, 0.28
LATIN_1C_IN_TITLE, LATIN_1C_IN_LINE = 0.08, 0.06
# Rates among all titles and texts.
MIXED_WORD_IN_TITLE, MIXED_WORD_IN_TEXT = 0.002, 0.05
ZERO_WIDTH_IN_TITLE, ZERO_WIDTH_IN_TEXT = 0.002, 0.008
NO_BREAK_IN_TITLE = 0.002
SOFT_HYPHEN_IN_TITLE, SOFT_HYPHEN_IN_TEXT = 0.001, 0.001

# Typed without changing the keyboard layout: «cоздать», «Сode», «c опытом».
_LOOK_ALIKE = dict(zip("СсОоАаЕеРрХх", "CcOoAaEePpXx", strict=True))
_CYRILLIC_START = re.compile(r"\b[СсОоАаЕеРрХх](?=[а-яё]|\s)")
_LATIN_START = re.compile(r"\b[CcOoAaEePpXx](?=[A-Za-z]{2})")
_TO_CYRILLIC = {latin: cyrillic for cyrillic, latin in _LOOK_ALIKE.items()}
_LONG_WORD = re.compile(r"[а-яё]{8,}")
_WORD_END = re.compile(r"(?<=\w)(?=\s|$)")
_C_PLUS_PLUS = re.compile(r"\bC\+\+")
_ONE_C = re.compile(rf"\b1{CYRILLIC_ES}\b")


def type_vacancy(vacancy: Vacancy, *about: object) -> Vacancy:
    """Return *vacancy* with typing errors in its title and texts, which depend on *about* alone."""
    rng = SeededRandom(*about, "letters")
    name = _type_title(vacancy.name, rng)
    parts: dict[str, Any] = {
        part: tuple(_type_line(line, rng) for line in getattr(vacancy, part))
        for part in ("requirements", "duties", "plus")
    }
    # The text quotes the title with its errors.
    intro = tuple(line.replace(vacancy.name, name) for line in vacancy.intro)
    typed = replace(vacancy, name=name, intro=intro, **parts)
    for rate, change in (
        (MIXED_WORD_IN_TEXT, _mix_word),
        (ZERO_WIDTH_IN_TEXT, _add_zero_width),
        (SOFT_HYPHEN_IN_TEXT, _add_soft_hyphen),
    ):
        if rng.happens(rate):
            part = rng.pick(("requirements", "duties"))
            lines = list(getattr(typed, part))
            place = rng.integer(0, len(lines) - 1)
            lines[place] = change(lines[place], rng)
            changed: dict[str, Any] = {part: tuple(lines)}
            typed = replace(typed, **changed)
    return typed


def _type_title(title: str, rng: SeededRandom) -> str:
    if rng.happens(CYRILLIC_CPP_IN_TITLE):
        title = _C_PLUS_PLUS.sub(f"{CYRILLIC_ES}++", title)
    if rng.happens(LATIN_1C_IN_TITLE):
        title = _ONE_C.sub(f"1{LATIN_C}", title)
    for rate, change in (
        (MIXED_WORD_IN_TITLE, _mix_word),
        (ZERO_WIDTH_IN_TITLE, _add_zero_width),
        (NO_BREAK_IN_TITLE, _join_words),
        (SOFT_HYPHEN_IN_TITLE, _add_soft_hyphen),
    ):
        if rng.happens(rate):
            title = change(title, rng)
    return title[:LONGEST_TITLE]


def _type_line(line: str, rng: SeededRandom) -> str:
    if rng.happens(CYRILLIC_CPP_IN_LINE):
        line = _C_PLUS_PLUS.sub(f"{CYRILLIC_ES}++", line)
    if rng.happens(LATIN_1C_IN_LINE):
        line = _ONE_C.sub(f"1{LATIN_C}", line)
    return line


def _mix_word(text: str, rng: SeededRandom) -> str:
    """Return *text* with the first letter of a word in the other alphabet, if a word allows it."""
    table = _LOOK_ALIKE | _TO_CYRILLIC
    places = [match.start() for match in _CYRILLIC_START.finditer(text)]
    places += [match.start() for match in _LATIN_START.finditer(text)]
    if not places:
        return text
    place = rng.pick(places)
    return text[:place] + table[text[place]] + text[place + 1 :]


def _add_zero_width(text: str, rng: SeededRandom) -> str:
    """Return *text* with zero-width spaces before it or after one of its words."""
    places = [0, *(match.start() for match in _WORD_END.finditer(text))]
    place = rng.pick(places)
    return text[:place] + ZERO_WIDTH_SPACE * rng.integer(1, 7) + text[place:]


def _add_soft_hyphen(text: str, rng: SeededRandom) -> str:
    """Return *text* with a soft hyphen in one of its long words, if it has one."""
    words = list(_LONG_WORD.finditer(text))
    if not words:
        return text
    place = rng.pick(words).start() + 4
    return text[:place] + SOFT_HYPHEN + text[place:]


def _join_words(text: str, rng: SeededRandom) -> str:
    """Return *text* with a no-break space between two of its words."""
    spaces = [place for place, character in enumerate(text) if character == " "]
    if not spaces:
        return text
    place = rng.pick(spaces)
    return text[:place] + NO_BREAK_SPACE + text[place + 1 :]
