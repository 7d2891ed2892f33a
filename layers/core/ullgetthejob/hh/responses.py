"""hh.ru's answers read into models: salaries, nulls, names and markup put straight.

An answer that does not fit raises one of :data:`UNREADABLE`; nothing is guessed.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from ullgetthejob.hh import markup
from ullgetthejob.hh.models import (
    Me,
    Negotiation,
    NegotiationPage,
    SearchPage,
    Vacancy,
    VacancyDetail,
)

SEVERAL = 3
UNREADABLE = (ValidationError, KeyError, TypeError, AttributeError)


def search_page(answer: dict[str, Any]) -> SearchPage:
    """The answer of ``GET /vacancies``.

    One vacancy of an unknown shape does not hide the others: it is left out and counted, also where
    it is alone on the last page. A page of several on which nothing is readable is unreadable
    itself: hh.ru has changed its shape, and the run must not end as if there were nothing.
    """
    items: list[Vacancy] = []
    unreadable = 0
    for item in answer["items"]:
        try:
            items.append(vacancy(item))
        except UNREADABLE:
            unreadable += 1
            if unreadable == len(answer["items"]) >= SEVERAL:
                raise
    return SearchPage.model_validate({**answer, "items": items, "unreadable": unreadable})


def vacancy(item: dict[str, Any]) -> Vacancy:
    """One of the ``items`` of a search."""
    return Vacancy.model_validate(_normalise(item))


def vacancy_detail(answer: dict[str, Any]) -> VacancyDetail:
    """The answer of ``GET /vacancies/{id}``. A branded description replaces an empty plain one."""
    plain = _normalise(answer)
    html = answer.get("description") or answer.get("branded_description") or ""
    plain["description"] = markup.to_text(html)
    plain["key_skills"] = [skill["name"] for skill in answer.get("key_skills") or ()]
    plain["driver_license_types"] = [
        license["id"] for license in answer.get("driver_license_types") or ()
    ]
    return VacancyDetail.model_validate(plain)


def me(answer: dict[str, Any]) -> Me:
    """The answer of ``GET /me`` to a person's token; name, e-mail and phone are not kept."""
    plain = {key: value for key, value in answer.items() if value is not None}
    plain["id"] = str(plain["id"])
    plain.setdefault("is_applicant", plain.get("auth_type") == "applicant")
    plain.setdefault("is_employer", plain.get("auth_type") == "employer")
    return Me.model_validate(plain)


def resume_page(answer: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """One page of ``GET /resumes/mine``, as hh.ru gives it, and how many pages there are."""
    pages = answer.get("pages")
    return [resume(item) for item in answer["items"]], pages if isinstance(pages, int) else 0


def resume(answer: dict[str, Any]) -> dict[str, Any]:
    """A resume as hh.ru gives it; it has at least an ``id``."""
    if not isinstance(answer["id"], str):
        raise TypeError("a resume without an id")
    return answer


def creation_is_available(answer: dict[str, Any]) -> bool:
    """What ``GET /resumes/creation_availability`` says."""
    return bool(answer["is_creation_available"])


def negotiation_page(answer: dict[str, Any]) -> NegotiationPage:
    """One page of ``GET /negotiations``."""
    items = [negotiation(item) for item in answer["items"]]
    return NegotiationPage.model_validate({"items": items, "pages": answer["pages"]})


def negotiation(item: dict[str, Any]) -> Negotiation:
    """One of its items; ``vacancy`` and ``resume`` may be null or missing."""
    return Negotiation.model_validate(
        {
            **item,
            "state": item["state"]["id"],
            "vacancy_id": (item.get("vacancy") or {}).get("id"),
            "resume_id": (item.get("resume") or {}).get("id"),
            "viewed": bool(item.get("viewed_by_opponent")),
        }
    )


def _normalise(item: dict[str, Any]) -> dict[str, Any]:
    # A flag or a list that is null means what its absence means.
    plain = {key: value for key, value in item.items() if value is not None}
    plain["salary"] = _salary(item.get("salary_range") or item.get("salary"))
    snippet = item.get("snippet") or {}
    plain["snippet"] = {key: markup.snippet_to_text(text or "") for key, text in snippet.items()}
    return plain


def _salary(salary: dict[str, Any] | None) -> dict[str, Any] | None:
    """``salary_range`` (with mode and frequency), or the deprecated ``salary`` (a month's)."""
    if salary is None:
        return None
    return {
        "lower": salary.get("from"),
        "upper": salary.get("to"),
        "currency": salary["currency"],
        "gross": salary.get("gross"),
        "mode": (salary.get("mode") or {}).get("id", "MONTH"),
        "frequency": (salary.get("frequency") or {}).get("id"),
    }
