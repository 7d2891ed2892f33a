"""Finding a person's words in what an employer wrote: whole words, in any case and Russian ending.

A phrase is one word or several that must follow each other. ``продажи`` finds *продаж* and
*продажам*, not *продакт*; ``java`` does not find *JavaScript*; ``продаж*`` finds whatever begins
so. Two Russian words are the same when both are one beginning and an ending of a noun or adjective;
words of other scripts have no endings. ``ё`` is ``е``; ``C++`` and ``C#`` are words.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from functools import lru_cache

WORD = re.compile(r"\w+(?:\+\+|#)?")
PHRASE_WORD = re.compile(r"(\w+(?:\+\+|#)?)(\*(?!\w))?")
RUSSIAN = re.compile("[а-я]+")
SHORTEST_PREFIX = 3
MOST_WORDS = 10
LAST_CHARACTER = "\U0010ffff"

ENDINGS = frozenset(
    {
        "а", "е", "и", "й", "о", "у", "ы", "ь", "ю", "я",
        "ам", "ах", "ая", "ев", "ее", "ей", "ем", "ие", "ии", "ий", "им", "их", "ию", "ия",
        "ов", "ое", "ой", "ом", "ою", "ую", "ые", "ый", "ым", "ых", "ью", "юю", "ям", "ях", "яя",
        "ами", "его", "ему", "ием", "ией", "ими", "иям", "иях", "ого", "ому", "ыми", "ями",
    }
)  # fmt: skip
# A beginning by the length of its ending: shorter ones would make "при" of "прием".
SHORTEST_BEGINNING = {1: 3, 2: 4, 3: 4}


class Text:
    """A text that is searched for many phrases."""

    def __init__(self, text: str) -> None:
        self._words = WORD.findall(_plain(text))
        self._places: dict[str, set[int]] = defaultdict(set)
        for place, word in enumerate(self._words):
            for stem in _stems(word):
                self._places[stem].add(place)
        self._sorted = sorted(set(self._words))

    def has(self, phrase: str) -> bool:
        """Whether *phrase* is in it."""
        words = _words_of(phrase)
        starts = [
            {place - nth for place in self._find(word, is_prefix)}
            for nth, (word, is_prefix) in enumerate(words)
        ]
        return bool(starts) and bool(set.intersection(*starts))

    def _find(self, word: str, is_prefix: bool) -> set[int]:
        if not is_prefix:
            return set().union(*(self._places.get(stem, ()) for stem in _stems(word)))
        first = bisect_left(self._sorted, word)
        last = bisect_left(self._sorted, word + LAST_CHARACTER)
        return set().union(*(self._places[one] for one in self._sorted[first:last]))


def check_phrase(phrase: str) -> str:
    """*phrase*, if it can be looked for. Raises :class:`ValueError`."""
    words = _words_of(phrase)
    if not words:
        raise ValueError("must have a word in it")
    if len(words) > MOST_WORDS:
        raise ValueError(f"must not have more than {MOST_WORDS} words")
    if phrase.count("*") != sum(is_prefix for _, is_prefix in words):
        raise ValueError("* must stand at the end of a word")
    if any(is_prefix and len(word) < SHORTEST_PREFIX for word, is_prefix in words):
        raise ValueError(f"* must stand after at least {SHORTEST_PREFIX} letters")
    if not all(letter.isprintable() for letter in phrase):
        raise ValueError("must not contain control characters")
    return phrase


@lru_cache(maxsize=4096)
def _words_of(phrase: str) -> tuple[tuple[str, bool], ...]:
    """The words of a phrase, and whether each is the beginning of one."""
    return tuple((word, bool(star)) for word, star in PHRASE_WORD.findall(_plain(phrase)))


def _stems(word: str) -> list[str]:
    """The word, and what may be its beginning without an ending."""
    stems = [word]
    if RUSSIAN.fullmatch(word):
        for length, shortest in SHORTEST_BEGINNING.items():
            if len(word) - length >= shortest and word[-length:] in ENDINGS:
                stems.append(word[:-length])
    return stems


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().replace("ё", "е")
