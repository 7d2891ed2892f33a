"""Look-alike letters and invisible characters at the rates of hh.ru's texts."""

from __future__ import annotations

import dataclasses
import re

import pytest

from local.sandbox.vacancies import (
    letters,
    search,
    search_params,
    text_query,
    vacancy_maker,
    vacancy_text,
)
from local.sandbox.vacancies.vacancy import Vacancy
from local.sandbox.vacancies.world import World

NOW = 1_795_000_000.0
CYRILLIC_CPP, LATIN_CPP = "\N{CYRILLIC CAPITAL LETTER ES}++", "C++"
CYRILLIC_1C, LATIN_1C = "1\N{CYRILLIC CAPITAL LETTER ES}", "1C"
MIXED = re.compile(r"\b(?=\w*[A-Za-z])(?=\w*[А-Яа-яё])[A-Za-zА-Яа-яё]+\b")


@pytest.fixture(scope="module")
def vacancies() -> list[Vacancy]:
    """Return the vacancies of two worlds, for rare cases."""
    return [vacancy for seed in (1, 2) for vacancy in World(seed, size=4_000).at(NOW).values()]


@pytest.fixture(scope="module")
def titles(vacancies: list[Vacancy]) -> list[str]:
    return [vacancy.name for vacancy in vacancies]


@pytest.fixture(scope="module")
def texts(vacancies: list[Vacancy]) -> list[str]:
    """Return requirements and duties, a text for each vacancy."""
    return [" ".join((*vacancy.requirements, *vacancy.duties)) for vacancy in vacancies]


def share(word: str, alternative: str, texts: list[str]) -> float:
    """Return the share of *word* among the texts with *word* or its *alternative*."""
    count = sum(word in text for text in texts)
    return count / (count + sum(alternative in text for text in texts))


def test_cpp_is_typed_in_either_alphabet(titles: list[str], texts: list[str]) -> None:
    # 13 of 25 real titles and 17 of 60 real snippets.
    assert share(CYRILLIC_CPP, LATIN_CPP, titles) == pytest.approx(0.5, abs=0.12)
    assert share(CYRILLIC_CPP, LATIN_CPP, texts) == pytest.approx(0.28, abs=0.1)


def test_1c_is_sometimes_typed_in_latin(titles: list[str], texts: list[str]) -> None:
    # 2 of 24 real titles and 3 of 51 real snippets.
    assert share(LATIN_1C, CYRILLIC_1C, titles) == pytest.approx(0.08, abs=0.05)
    assert share(LATIN_1C, CYRILLIC_1C, texts) == pytest.approx(0.06, abs=0.05)


def test_some_words_have_a_letter_of_the_other_alphabet(
    titles: list[str], texts: list[str]
) -> None:
    # 9 of 150 real descriptions, a third of them by running two words together.
    assert sum(bool(MIXED.search(text)) for text in texts) / len(texts) == pytest.approx(
        0.04, abs=0.015
    )
    assert 0 < sum(bool(MIXED.search(title)) for title in titles) / len(titles) < 0.005


@pytest.mark.parametrize(
    ("character", "least", "most"),
    [
        # 1 of 550 real titles each; no soft hyphen.
        (letters.NO_BREAK_SPACE, 0.0005, 0.004),
        (letters.ZERO_WIDTH_SPACE, 0.0005, 0.004),
        (letters.SOFT_HYPHEN, 0.0001, 0.002),
    ],
)
def test_titles_rarely_have_an_invisible_character(
    titles: list[str], character: str, least: float, most: float
) -> None:
    assert least <= sum(character in title for title in titles) / len(titles) <= most


def test_descriptions_have_invisible_characters_at_real_rates(
    vacancies: list[Vacancy], texts: list[str]
) -> None:
    # 50 of 1,150 real descriptions, 2 of 400 real snippets; NBSP in none.
    whole = [vacancy_text.description(vacancy) for vacancy in vacancies]
    assert sum(letters.ZERO_WIDTH_SPACE in text for text in whole) / len(whole) == pytest.approx(
        0.045, abs=0.015
    )
    assert 0.003 < sum(letters.ZERO_WIDTH_SPACE in text for text in texts) / len(texts) < 0.015
    assert 0 < sum(letters.SOFT_HYPHEN in text for text in texts) / len(texts) < 0.003
    assert not any(letters.NO_BREAK_SPACE in text for text in whole if "«" not in text)


def test_title_length_stays_within_hh_limit(titles: list[str]) -> None:
    assert max(map(len, titles)) <= letters.LONGEST_TITLE
    long = dataclasses.replace(vacancy_maker.make(1, 7, "1", 0.0, 1.0, "both"), name="б" * 100)
    typed = {letters.type_vacancy(long, number).name for number in range(3_000)}
    assert len(typed) > 1
    assert max(map(len, typed)) == letters.LONGEST_TITLE


def test_typing_errors_change_only_texts(vacancies: list[Vacancy]) -> None:
    plain = vacancy_maker.make(1, 7, "130000001", 0.0, 1.0, "both")
    for number in range(200):
        typed = letters.type_vacancy(plain, number)
        changed = {
            field.name
            for field in dataclasses.fields(Vacancy)
            if getattr(typed, field.name) != getattr(plain, field.name)
        }
        assert changed <= {"name", "intro", "requirements", "duties", "plus"}
        assert letters.type_vacancy(plain, number) == typed


@pytest.mark.parametrize(
    ("query", "title"),
    [
        (LATIN_CPP, f"Программист {CYRILLIC_CPP}"),
        (CYRILLIC_CPP, f"Программист {LATIN_CPP}"),
        (LATIN_1C, f"Программист {CYRILLIC_1C}"),
        (CYRILLIC_1C, f"Программист {LATIN_1C}"),
    ],
)
def test_search_finds_a_word_in_either_alphabet(query: str, title: str) -> None:
    vacancy = dataclasses.replace(vacancy_maker.make(1, 7, "1", 0.0, 1.0, "both"), name=title)
    assert text_query.parse(query, ("name",)).matches(vacancy)
    parameters = search_params.Search(text=f"NAME:{query}")
    assert search.find(parameters, [vacancy]) == [vacancy]
