"""Comparison of words in Russian and English texts, regardless of spelling and inflection.

Before two words are compared, both are folded: case, ``ё`` (as ``е``), full-width letters and
combining marks, and format characters (soft hyphens, zero-width spaces) make no difference. Texts
also mix scripts: «С++» and «1С» are typed with a Cyrillic or a Latin letter. A word with letters of
both scripts, or only with letters that look alike in both, is read in either script. A single
letter is not: «с» is a preposition, and C a language.

A Russian word matches all its forms: those of the dictionary (pymorphy3, OpenCorpora) if it has the
word, which knows that «закупок» is a form of «закупка»; else a stem with any ending of a noun or an
adjective. The dictionary is loaded when the first Russian word is looked up (~110 ms, 30 MB).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# A word includes its signs: C++, C#, R&D, and the dot of .NET unless it ends another word or is one
# of several dots.
WORD = re.compile(r"(?:(?<![\w.])\.(?=[a-z]))?\w+(?:(?:&\w+)+|\+\+|#)?")
RUSSIAN = re.compile("[а-я]+")
LOOK_ALIKE = dict(zip("авекмнорстух", "abekmhopctyx", strict=True))
TO_LATIN = str.maketrans(LOOK_ALIKE)
TO_CYRILLIC = str.maketrans({latin: cyrillic for cyrillic, latin in LOOK_ALIKE.items()})
CYRILLIC_LETTER, LATIN_LETTER = re.compile("[а-я]"), re.compile("[a-z]")
# Soft hyphen, zero-width characters and the byte order mark: the format characters of real texts.
INVISIBLE = re.compile("[\u00ad\u200b-\u200d\u2060\ufeff]")
ENDINGS = frozenset(
    {
        "а", "е", "и", "й", "о", "у", "ы", "ь", "ю", "я",
        "ам", "ах", "ая", "ев", "ее", "ей", "ем", "ие", "ии", "ий", "им", "их", "ию", "ия",
        "ов", "ое", "ой", "ом", "ою", "ую", "ые", "ый", "ым", "ых", "ью", "юю", "ям", "ях", "яя",
        "ами", "его", "ему", "ием", "ией", "ими", "иям", "иях", "ого", "ому", "ыми", "ями",
    }
)  # fmt: skip
# The shortest stem, by the length of the ending: a shorter one would make "при" of "прием".
SHORTEST_STEM = {1: 3, 2: 4, 3: 4}
SHORTEST_IN_DICTIONARY = 3  # shorter words are forms of too many others
# A less probable parse is left out: "звонки" is hardly ever a form of "звонкий".
LIKELY = 0.2


@dataclass(frozen=True)
class Word:
    """A folded word, and its position in the original text."""

    text: str
    start: int
    end: int


def words_of(text: str) -> Iterator[Word]:
    """Yield the words of *text*, folded; their positions are those in :func:`composed` text."""
    folded, places = _fold(composed(text))
    for match in WORD.finditer(folded):
        yield Word(match[0], places[match.start()], places[match.end() - 1] + 1)


def composed(text: str) -> str:
    """Return *text* with each letter as one character (Unicode: NFC), as it is shown."""
    return unicodedata.normalize("NFC", text)


def fold(text: str) -> str:
    """Return *text* without differences of case, ё, width and format characters."""
    return _fold(composed(text))[0]


@lru_cache(maxsize=8192)
def readings(word: str) -> tuple[str, ...]:
    """Return the readings of the folded *word*: itself, and in the other script if its letters
    allow that. The first is the same for all words that look alike."""
    letters = [letter for letter in word if letter.isalpha()]
    if len(word) == 1 or not letters:
        return (word,)
    cyrillic = [letter for letter in letters if CYRILLIC_LETTER.match(letter)]
    latin = [letter for letter in letters if LATIN_LETTER.match(letter)]
    found = []
    if all(letter in LOOK_ALIKE for letter in cyrillic):
        found.append(word.translate(TO_LATIN))
    if (latin and all(ord(letter) in TO_CYRILLIC for letter in latin)) or (cyrillic and not latin):
        found.append(word.translate(TO_CYRILLIC))
    return tuple(dict.fromkeys([*found, word]))


@lru_cache(maxsize=32_768)
def keys_of(word: str) -> frozenset[str]:
    """Return the keys of a folded word, which share an element with those of every other form of
    the word: the word in each reading, its dictionary forms, and its stems."""
    keys: set[str] = set()
    for reading in readings(word):
        keys.add(reading)
        if RUSSIAN.fullmatch(reading):
            keys.update(_stems(reading))
            keys.update(_dictionary_forms(reading))
    return frozenset(keys)


def canonical_words(text: str) -> tuple[str, ...]:
    """Return the words of *text*, the same for texts that look alike."""
    return tuple(readings(word.text)[0] for word in words_of(text))


def plain_words(text: str) -> list[str]:
    """Return the words of *text*, folded, without their positions: for long texts, in a fraction of
    the time that :func:`words_of` takes."""
    normal = unicodedata.normalize("NFKC", INVISIBLE.sub("", text))
    return WORD.findall(normal.casefold().replace("ё", "е"))


@lru_cache(maxsize=65_536)
def lemma_of(word: str) -> str:
    """Return one word for all forms of the folded *word*: the most probable dictionary form of a
    Russian one; else the first of its readings, which is the same for all that look alike."""
    if len(word) >= SHORTEST_IN_DICTIONARY and RUSSIAN.fullmatch(word):
        is_known = _dictionary().word_is_known(word)
        if is_known or readings(word)[0] == word:
            return str(_dictionary().parse(word)[0].normal_form).replace("ё", "е")
    return readings(word)[0]


def _fold(text: str) -> tuple[str, list[int]]:
    """Return the folded text, and for each of its characters the position in *text*."""
    folded: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        plain = _folded_character(character)
        folded.append(plain)
        places += [place] * len(plain)
    return "".join(folded), places


@cache
def _folded_character(character: str) -> str:
    if unicodedata.category(character) == "Cf":
        return ""
    return unicodedata.normalize("NFKC", character).casefold().replace("ё", "е")


def _stems(word: str) -> Iterator[str]:
    for length, shortest in SHORTEST_STEM.items():
        if len(word) - length >= shortest and word[-length:] in ENDINGS:
            yield word[:-length]


def _dictionary_forms(word: str) -> Iterator[str]:
    """Yield the normal forms of *word*, marked with ``=`` so that none is taken for a stem."""
    if len(word) < SHORTEST_IN_DICTIONARY or not _dictionary().word_is_known(word):
        return
    for parse in _dictionary().parse(word):
        if parse.score >= LIKELY:
            yield f"={parse.normal_form.replace('ё', 'е')}"


@cache
def _dictionary() -> Any:
    import pymorphy3

    return pymorphy3.MorphAnalyzer(lang="ru")
