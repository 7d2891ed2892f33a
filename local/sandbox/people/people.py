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
    """A person with an account. *key* is the name for scripts, *id* is hh.ru's.

    *phone* is ten digits without the country's 7. *education* has ``level``, ``name``, ``year``,
    optionally ``organization`` and ``result``; ``None`` if not stated. *language* maps languages
    to levels. *company* ``{id, name}`` is set for an employer. *resume* holds the initial resumes
    in short form (``data/people.toml``).
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
        """Return first and last name."""
        return f"{self.first_name} {self.last_name}"

    @property
    def profession(self) -> str:
        """Return the description that the login page shows."""
        if self.company is not None:
            return f"работодатель, {self.company['name']}"
        return self.resume[0]["title"] if self.resume else "без резюме"


@cache
def all_people() -> dict[str, Person]:
    """Return all people by id."""
    with (DATA / "people.toml").open("rb") as file:
        return {row["id"]: Person(**row) for row in tomllib.load(file)["person"]}


def find(key_or_id: str) -> Person | None:
    """Return the person with that key or id, ``None`` if there is no such person."""
    people = all_people()
    return people.get(key_or_id) or next(
        (person for person in people.values() if person.key == key_or_id), None
    )
