"""The facts that a letter may state: all that resume and vacancy say, in comparable form."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ullgetthejob.fit import words
from ullgetthejob.hh.models import VacancyDetail
from ullgetthejob.platform import russian_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ullgetthejob.hh.models import Vacancy


class Facts:
    """A letter, and what it is compared with."""

    def __init__(self, letter: str, resume: Mapping[str, Any], vacancy: Vacancy) -> None:
        self.letter = letter
        self.resume = resume
        self.vacancy = vacancy

    @cached_property
    def written_text(self) -> str:
        """Return what the employer wrote of the vacancy: title and description, or its excerpt."""
        vacancy, texts = self.vacancy, [self.vacancy.name]
        if isinstance(vacancy, VacancyDetail):
            texts.append(vacancy.description)
        texts += [vacancy.snippet.requirement, vacancy.snippet.responsibility]
        return "\n".join(texts)

    @cached_property
    def vacancy_text(self) -> str:
        """Return all texts of the vacancy."""
        vacancy = self.vacancy
        texts = [self.written_text, vacancy.employer.name, vacancy.area.name or ""]
        if isinstance(vacancy, VacancyDetail):
            texts += vacancy.key_skills
        if vacancy.experience is not None:
            texts.append(vacancy.experience.name or "")
        if vacancy.address is not None:
            texts += [vacancy.address.raw or "", vacancy.address.city or ""]
        if vacancy.salary is not None:
            texts += [str(vacancy.salary.lower or ""), str(vacancy.salary.upper or "")]
        return "\n".join(texts)

    @cached_property
    def resume_text(self) -> str:
        """Return all texts and numbers of the resume, but for its ids and addresses at hh.ru."""
        own = {name: value for name, value in self.resume.items() if name in RESUME_FIELDS}
        return "\n".join(_texts(own))

    @cached_property
    def resume_words(self) -> words.Text:
        """Return the resume's text, in which skills are looked for."""
        return words.Text(self.resume_text)

    @cached_property
    def known_keys(self) -> frozenset[str]:
        """Return the keys of every word of both texts: see :func:`.russian_text.keys_of`."""
        keys: set[str] = set()
        for word in set(russian_text.plain_words(f"{self.resume_text}\n{self.vacancy_text}")):
            keys |= russian_text.keys_of(word)
        return frozenset(keys)

    @cached_property
    def months(self) -> int | None:
        """Return the months of experience in all."""
        months = (self.resume.get("total_experience") or {}).get("months")
        return months if isinstance(months, int) else None

    @cached_property
    def resume_digits(self) -> str:
        """Return the digits of each contact of the resume, separated by spaces."""
        contacts = "\n".join(_texts(self.resume.get("contact")))
        lines = (re.sub(r"\D", "", line) for line in contacts.splitlines())
        return " ".join(line for line in lines if line)

    def knows_words(self, name: str) -> bool:
        """Return whether resume or vacancy have every word of *name*, in any form."""
        return all(
            russian_text.keys_of(word) & self.known_keys for word in russian_text.plain_words(name)
        )


# hh.ru: fields of a resume with what a person says of itself.
RESUME_FIELDS = frozenset(
    {
        "title", "first_name", "last_name", "middle_name", "age", "area", "salary",
        "total_experience", "experience", "education", "skill_set", "skills", "language",
        "certificate", "recommendation", "portfolio", "site", "contact", "professional_roles",
        "driver_license_types", "citizenship", "work_ticket", "metro",
    }
)  # fmt: skip
NO_TEXT = frozenset({"url", "alternate_url", "id", "company_id", "name_id", "organization_id"})


def _texts(value: Any, name: str = "") -> Iterator[str]:
    """Yield every text and number below *value*; of a site also its address."""
    if isinstance(value, dict):
        is_site = name == "site"
        for key, part in value.items():
            if is_site or key not in NO_TEXT:
                yield from _texts(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part, name)
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        yield str(value)
