"""The people who can log in to the sandbox: applicants of several professions and an employer."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from local.sandbox.dictionaries.geography import DATA

Kind = Literal["applicant", "employer"]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account. *key* is how scripts name them, *id* what hh.ru calls them.

    *phone* is ten digits without the country's 7. *education* has ``level``, ``name``, ``year``,
    maybe ``organization`` and ``result``; ``None`` when nothing is said of it. *language* maps
    languages to levels. *company* ``{id, name}`` is an employer's. *resume* holds the resumes of
    the beginning, short (``data/people.toml``).
    """

    key: str
    id: str
    kind: Kind
    first_name: str
    last_name: str
    gender: str
    birth_date: str
    email: str
    phone: str
    area: str
    language: dict[str, str]
    middle_name: str | None = None
    education: dict[str, Any] | None = None
    company: dict[str, str] | None = None
    resume: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}"

    @property
    def profession(self) -> str:
        """What the login page says about them."""
        if self.company is not None:
            return f"работодатель, {self.company['name']}"
        return self.resume[0]["title"] if self.resume else "без резюме"


@cache
def everybody() -> dict[str, Person]:
    """All people by id."""
    with (DATA / "people.toml").open("rb") as file:
        return {one["id"]: Person(**one) for one in tomllib.load(file)["person"]}


def find(key_or_id: str) -> Person | None:
    """The person of that key or id."""
    people = everybody()
    return people.get(key_or_id) or next(
        (person for person in people.values() if person.key == key_or_id), None
    )
