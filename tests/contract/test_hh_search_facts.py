"""The client's and the sandbox's search parameters are those of hh.ru's documents."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from multidict import MultiDict
from pydantic import ValidationError

from local.sandbox.dictionaries import catalogue
from local.sandbox.eras import eras, version
from local.sandbox.vacancies import search_params
from ullgetthejob.hh import dictionaries
from ullgetthejob.hh.search_parameters import SearchParameters

FACTS = tomllib.loads(
    (Path(__file__).parents[1] / "data" / "hh" / "search_parameters.toml").read_text()
)
ACCEPTED: dict[str, str] = FACTS["current"] | FACTS["deprecated"]
DOCUMENTED = ACCEPTED | FACTS["unused"]
TRANSLATED = {"employment": "full", "schedule": "remote", "only_with_salary": True}


class RecordingQuery(MultiDict[str]):
    """A query that records the names that are looked up in it."""

    def __init__(self) -> None:
        super().__init__()
        self.read: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)

    def getall(self, key: str, default: Any = ()) -> Any:
        self.read.add(key)
        return super().getall(key, default)


def test_client_accepts_exactly_the_documented_parameters() -> None:
    assert set(SearchParameters.model_fields) == set(ACCEPTED)


@pytest.mark.parametrize("name", sorted(ACCEPTED))
def test_client_repeats_only_repeatable_parameters(name: str) -> None:
    refused: list[tuple[int | str, ...]] = []
    try:
        SearchParameters.model_validate({name: ["1", "2"]})
    except ValidationError as error:
        refused = [problem["loc"] for problem in error.errors()]
    assert ((name,) in refused) == (ACCEPTED[name] == "one")


def test_sandbox_reads_exactly_the_documented_parameters() -> None:
    query = RecordingQuery()
    search_params.parse(query, 0.0)
    assert query.read == set(DOCUMENTED)


@pytest.mark.parametrize("name", sorted(TRANSLATED))
def test_translated_parameter_is_sent_by_a_current_name(name: str) -> None:
    assert name in FACTS["deprecated"]
    sent = SearchParameters.model_validate({name: TRANSLATED[name]}).query()
    assert {key for key, _ in sent} <= set(FACTS["current"])


def test_sandbox_ignores_the_names_without_effect() -> None:
    assert FACTS["ignored"].keys() <= FACTS["deprecated"].keys()
    assert FACTS["ignored"] == search_params.IGNORED_SINCE


def test_sandbox_has_exactly_the_documented_dictionaries() -> None:
    assert set(catalogue.dictionaries()) == set(FACTS["dictionaries"]["names"])
    assert catalogue.DICTIONARIES_SINCE.keys() <= set(FACTS["dictionaries"]["names"])


def test_facts_are_those_of_the_newest_era() -> None:
    assert version(FACTS["version"]) == max(era.documents for era in eras().values())


@pytest.mark.parametrize("name", sorted(FACTS["codes"]))
def test_codes_are_checked_with_the_dictionary_of_searches(name: str) -> None:
    assert catalogue.ids(dictionaries.CODES[name]) == set(FACTS["codes"][name])
