"""The grade of an opening: what distinguishes two openings of one title while both are open.

An employer that looks for a junior and a senior may post both under one title, with one text. They
are two jobs if they differ in experience, employment or work format, or in salary by a fifth or
more. A property that one of them does not state is not a difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ullgetthejob.hh.models import Vacancy

FIFTH = 0.2  # of the larger salary: a difference of this or more is another grade
# hh.ru: dictionaries "employment" (older) and "employment_form"; entries that only one of them has
# cannot be compared.
EMPLOYMENT_FORMS = {"full": "FULL", "part": "PART", "project": "PROJECT"}
REMOTE = "REMOTE"  # in "work_format"; the older "schedule" has remote work among its entries


@dataclass(frozen=True)
class Grade:
    """Ids of hh.ru's dictionaries (``None`` or empty: not stated), and the salary in *currency* for
    a *mode* (month, shift, hour, …): amounts of two modes are not compared."""

    experience: str | None = None
    employment: str | None = None
    formats: frozenset[str] = frozenset()
    lower: int | None = None
    upper: int | None = None
    currency: str | None = None
    mode: str = "MONTH"

    def differs_from(self, other: Grade) -> bool:
        """Return whether two openings of these grades are two jobs."""
        return (
            _differ(self.experience, other.experience)
            or _differ(self.employment, other.employment)
            or _differ(self.formats, other.formats)
            or self._differs_in_salary(other)
        )

    def _differs_in_salary(self, other: Grade) -> bool:
        if self.currency is None or (self.currency, self.mode) != (other.currency, other.mode):
            return False
        pairs = ((self.lower, other.lower), (self.upper, other.upper))
        return any(
            own is not None and theirs is not None and own != theirs
            and abs(own - theirs) >= FIFTH * max(own, theirs)
            for own, theirs in pairs
        )  # fmt: skip


UNKNOWN = Grade()


def grade_of(vacancy: Vacancy) -> Grade:
    """Return the grade of a vacancy as hh.ru answers it."""
    employment = vacancy.employment_form or vacancy.employment
    salary = vacancy.salary
    return Grade(
        vacancy.experience.id if vacancy.experience else None,
        _employment(employment.id if employment else None),
        _formats(
            (entry.id for entry in vacancy.work_format),
            vacancy.schedule.id if vacancy.schedule else None,
        ),
        salary.lower if salary else None,
        salary.upper if salary else None,
        salary.currency if salary else None,
        salary.mode if salary else "MONTH",
    )


def stored_grade(row: dict[str, Any]) -> Grade:
    """Return the grade of a stored vacancy: *row* has ``experience``, ``employment``, ``schedule``,
    ``formats`` (a list of dictionary entries) and ``salary``, as the model's JSON has them."""
    salary = row["salary"] or {}
    return Grade(
        row["experience"],
        _employment(row["employment"]),
        _formats((entry.get("id") for entry in row["formats"] or ()), row["schedule"]),
        salary.get("lower"),
        salary.get("upper"),
        salary.get("currency"),
        salary.get("mode", "MONTH"),
    )


def _employment(entry_id: str | None) -> str | None:
    """Return the newer dictionary's id for an id of either; ``None`` where it has none."""
    if entry_id is None or entry_id.isupper():
        return entry_id
    return EMPLOYMENT_FORMS.get(entry_id)


def _formats(ids: Iterable[str | None], schedule: str | None) -> frozenset[str]:
    formats = frozenset(format_id for format_id in ids if format_id)
    return formats or frozenset([REMOTE] if schedule == "remote" else [])


def _differ(first: Any, second: Any) -> bool:
    return bool(first and second and first != second)
