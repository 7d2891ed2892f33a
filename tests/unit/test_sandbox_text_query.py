"""hh.ru's query language: queries that match a vacancy and queries that do not."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from local.sandbox.vacancies import russian, search, text_query, vacancy_maker, vacancy_text
from local.sandbox.vacancies.search_params import Search

if TYPE_CHECKING:
    from local.sandbox.vacancies.vacancy import Vacancy


@pytest.fixture(scope="module")
def vacancy() -> Vacancy:
    made = vacancy_maker.make(1, 7, "130000001", 0.0, 1.0, "both")
    return dataclasses.replace(
        made,
        name="Старший Python-разработчик (C++)",
        employer=dataclasses.replace(made.employer, name="Северный Банк"),
        kind="open",
        requirements=("Опыт коммерческой разработки от 3 лет", "Знание Node.js и PostgreSQL"),
        duties=("Поддержка платёжных сервисов",),
        intro=("Ищем <strong>коллегу</strong> &amp; друга",),
        conditions=(),
        plus=(),
        skills=("Docker",),
        closing="Ждём",
    )


@pytest.mark.parametrize(
    "text",
    [
        "python",
        "PYTHON разработчики",
        "разработчика python",
        '"python-разработчик"',
        '"опыт коммерческой разработки"',
        "java OR python",
        "NAME:python",
        "COMPANY_NAME:банк",
        "COMPANY_NAME:(северный банка)",
        "DESCRIPTION:postgresql docker",
        "python NOT java",
        "NOT java",
        "(java OR python) AND сервис",
        "!разработки",
        "раз* postgre*",
        "c++",
        "node.js",
        "платежный",
        "",
        ")) python ((",
        "OR python",
        "python AND",
        "NOT NOT python",
    ],
)
def test_query_matches(vacancy: Vacancy, text: str) -> None:
    assert text_query.parse(text).matches(vacancy)


@pytest.mark.parametrize(
    "text",
    [
        "java",
        "python java",
        '"разработчик python"',
        '"коммерческой опыт"',
        "NAME:docker",
        "COMPANY_NAME:python",
        "DESCRIPTION:банк",
        "NOT python",
        "python NOT (docker OR java)",
        "(java OR go) python",
        "!разработка",
        "постг*",
        "strong amp",
        "c#",
    ],
)
def test_query_does_not_match(vacancy: Vacancy, text: str) -> None:
    assert not text_query.parse(text).matches(vacancy)


def test_search_field_limits_the_searched_fields(vacancy: Vacancy) -> None:
    assert not text_query.parse("docker", ("name", "company_name")).matches(vacancy)
    assert text_query.parse("docker", ("description",)).matches(vacancy)


@pytest.mark.parametrize(
    "text", ["(" * 1_500, "NOT " * 700, '"' * 333, "NAME:" * 600, "( ) OR " * 400]
)
def test_any_text_is_parsed_without_an_error(vacancy: Vacancy, text: str) -> None:
    text_query.parse(text).matches(vacancy)


def test_match_in_title_precedes_match_in_description(vacancy: Vacancy) -> None:
    in_description = dataclasses.replace(vacancy, id="2", name="Инженер", skills=("Python",))
    found = search.find(Search(text="python"), [in_description, vacancy])
    assert [match.id for match in found] == [vacancy.id, "2"]


def test_snippet_highlights_all_forms_of_the_words(vacancy: Vacancy) -> None:
    terms = list(text_query.parse("разработка NOT опыт").terms())
    line = vacancy_text.snippet(vacancy, lambda word: any(term.wants(word) for term in terms))
    assert line["requirement"] is not None
    assert "<highlighttext>разработки</highlighttext>" in line["requirement"]
    assert "<highlighttext>Опыт" not in line["requirement"]


def test_snippet_begins_at_the_word(vacancy: Vacancy) -> None:
    line = vacancy_text.snippet(vacancy, lambda word: word == "PostgreSQL")
    assert line["requirement"] == ("...Знание Node.js и <highlighttext>PostgreSQL</highlighttext>.")


@pytest.mark.parametrize(
    "forms",
    [
        ["разработчик", "разработчика", "разработчики", "Разработчиком"],
        ["продажа", "продажи", "продажам"],
        ["аналитик", "аналитика", "аналитиков"],
        ["developer", "developers", "Developer", "разработчик"],
        ["JS", "JavaScript"],
        ["ещё", "еще"],
    ],
)
def test_forms_of_a_word_have_the_same_stem(forms: list[str]) -> None:
    assert len({russian.stem(form) for form in forms}) == 1
