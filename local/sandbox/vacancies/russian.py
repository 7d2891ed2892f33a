"""Words of Russian and English texts brought to a stem, so that forms of a word meet.

Not a dictionary: it takes off reflexives and the longest known ending, and leaves at least three
letters. Good enough for a search to find «разработчика» by «разработчик».
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


# hh.ru finds some words by their twins in the other language.
_TWINS = {
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
    """The stem of one word in any letter case; twins have one stem."""
    taken = _without_ending(word.lower().replace("ё", "е"))
    twin = _TWINS.get(taken)
    return taken if twin is None else _without_ending(twin)


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
    """The stems of a text's words, in order."""
    return tuple(stem(word) for word in WORD.findall(text))


@lru_cache(maxsize=50_000)
def words(text: str) -> tuple[str, ...]:
    """The words of a text as they stand, in small letters."""
    return tuple(word.lower().replace("ё", "е") for word in WORD.findall(text))
