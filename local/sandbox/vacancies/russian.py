"""Stems of Russian and English words, so that a search finds other forms of a word.

No dictionary: reflexives and the longest known ending are removed, and at least three letters stay.
That suffices to find «разработчика» by «разработчик».
"""

from __future__ import annotations

import re
from functools import lru_cache

WORD = re.compile(r"[0-9a-zа-яё]+(?:\+\+|#)?", re.IGNORECASE)

_ENDINGS = (  # the longest first
    "остью", "остям", "иями", "ость", "ости", "ами", "ями", "ого", "его", "ому", "ему", "ыми",
    "ими", "ьев", "ией", "иях", "иям", "ать", "ять", "еть", "ить", "ает", "яет", "ала", "ила",
    "али", "или", "ало", "ило", "ешь", "ишь", "ете", "ите", "ых", "их", "ым", "им", "ом", "ем",
    "ам", "ям", "ах", "ях", "ой", "ей", "ою", "ею", "ую", "юю", "ая", "яя", "ое", "ее", "ые",
    "ие", "ый", "ий", "ов", "ев", "ия", "ии", "ию", "ют", "ут", "ит", "ят", "ть", "а", "я", "о",
    "е", "ы", "и", "у", "ю", "ь", "й",
)  # fmt: skip


# hh.ru: some words are found by their equivalents in the other language.
_EQUIVALENTS = {
    "developer": "разработчик",
    "programmer": "программист",
    "engineer": "инженер",
    "manager": "менеджер",
    "analyst": "аналитик",
    "designer": "дизайнер",
    "tester": "тестировщик",
    "фронтенд": "frontend",
    "бэкенд": "backend",
    "девопс": "devops",
    "джава": "java",
    "питон": "python",
    "js": "javascript",
    # The same word with a letter of the other alphabet.
    "с++": "c++",
    "1c": "1с",
}


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """Return the stem of a word in any letter case; equivalents have the same stem."""
    base = _without_ending(word.lower().replace("ё", "е"))
    equivalent = _EQUIVALENTS.get(base)
    return base if equivalent is None else _without_ending(equivalent)


def _without_ending(word: str) -> str:
    if not ("а" <= word[-1] <= "я"):
        return word[:-1] if len(word) > 4 and word.endswith("s") and word.isalpha() else word
    if len(word) > 5 and word.endswith(("ся", "сь")):
        word = word[:-2]
    for ending in _ENDINGS:
        if len(word) - len(ending) >= 3 and word.endswith(ending):
            return word[: -len(ending)]
    return word


@lru_cache(maxsize=50_000)
def stems(text: str) -> tuple[str, ...]:
    """Return the stems of a text's words, in order."""
    return tuple(stem(word) for word in WORD.findall(text))


@lru_cache(maxsize=50_000)
def words(text: str) -> tuple[str, ...]:
    """Return the words of a text, in order and in lower case."""
    return tuple(word.lower().replace("ё", "е") for word in WORD.findall(text))
