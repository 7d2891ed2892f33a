"""Phrase matching: whole words of an employer's text, in any case and Russian form.

A phrase is one word, or several that must follow each other. ``продажи`` finds *продаж* and
*продажам*, not *продакт*; ``закупки`` finds *закупок*; ``java`` does not find *JavaScript*;
``продаж*`` finds every word with this beginning. Which words are the same:
:mod:`platform.russian_text`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from functools import lru_cache

from ullgetthejob.platform import russian_text

PHRASE_WORD = re.compile(rf"({russian_text.WORD.pattern})(\*(?!\w))?")
SHORTEST_PREFIX = 3
MAX_WORDS = 10
LAST_CHARACTER = "\U0010ffff"


class PhraseIndex:
    """An index of a text, for searching it for many phrases."""

    def __init__(self, text: str) -> None:
        self._text = russian_text.composed(text)
        self._words = list(russian_text.words_of(text))
        self._places: dict[str, set[int]] = defaultdict(set)
        for place, word in enumerate(self._words):
            for key in russian_text.keys_of(word.text):
                self._places[key].add(place)
            if word.start and self._text[word.start - 1] == ".":  # ASP.NET contains .NET
                self._places[f".{word.text}"].add(place)
        self._sorted = sorted(
            {reading for word in self._words for reading in russian_text.readings(word.text)}
        )

    def find(self, phrase: str) -> str | None:
        """Return the first words that *phrase* matches, as the text has them; ``None`` if none."""
        words = _parse_phrase(phrase)
        if not words:
            return None
        starts = [
            {place - offset for place in self._find_places(word, is_prefix)}
            for offset, (word, is_prefix) in enumerate(words)
        ]
        found = set.intersection(*starts)
        if not found:
            return None
        first = min(found)
        last = first + len(words) - 1
        return self._text[self._words[first].start : self._words[last].end]

    def _find_places(self, word: str, is_prefix: bool) -> set[int]:
        """Return the positions of the words of the text that *word* matches."""
        if not is_prefix:
            keys = russian_text.keys_of(word)
            return set().union(*(self._places.get(key, ()) for key in keys))
        found: set[int] = set()
        for reading in russian_text.readings(word):
            first = bisect_left(self._sorted, reading)
            last = bisect_left(self._sorted, reading + LAST_CHARACTER)
            for spelling in self._sorted[first:last]:
                found |= self._places[spelling]
        return found


def check_phrase(phrase: str) -> str:
    """Return *phrase* if it can be searched for. Raises :class:`ValueError`."""
    words = _parse_phrase(phrase)
    if not words:
        raise ValueError("must contain a word")
    if len(words) > MAX_WORDS:
        raise ValueError(f"must not have more than {MAX_WORDS} words")
    if phrase.count("*") != sum(is_prefix for _, is_prefix in words):
        raise ValueError("* must stand at the end of a word")
    if any(is_prefix and len(word) < SHORTEST_PREFIX for word, is_prefix in words):
        raise ValueError(f"* must stand after at least {SHORTEST_PREFIX} letters")
    if any(not letter.isprintable() and russian_text.fold(letter) for letter in phrase):
        raise ValueError("must not contain control characters")
    return phrase


@lru_cache(maxsize=4096)
def _parse_phrase(phrase: str) -> tuple[tuple[str, bool], ...]:
    """Return the words of a phrase, each with whether it is a prefix."""
    return tuple(
        (word, bool(star)) for word, star in PHRASE_WORD.findall(russian_text.fold(phrase))
    )
