"""Conversion of hh.ru's responses to models: salaries, nulls, names and markup are normalised.

A response that does not fit raises one of :data:`UNREADABLE`; nothing is guessed.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from ullgetthejob.hh import markup
from ullgetthejob.hh.models import (
    ConversationMessage,
    ConversationPage,
    Me,
    Negotiation,
    NegotiationPage,
    SearchPage,
    Vacancy,
    VacancyDetail,
)

MIN_ITEMS_TO_JUDGE_PAGE = 3
UNREADABLE = (ValidationError, KeyError, TypeError, AttributeError)


def search_page(content: dict[str, Any]) -> SearchPage:
    """Return the page of a ``GET /vacancies`` response.

    A vacancy of an unknown shape does not hide the others: it is left out and counted, also if it
    is the only one of the last page. A page with several items, none of them readable, raises one
    of :data:`UNREADABLE`: hh.ru has changed its shape, and the run must not end as if it had none.
    """
    items: list[Vacancy] = []
    unreadable = 0
    for item in content["items"]:
        try:
            items.append(vacancy(item))
        except UNREADABLE:
            unreadable += 1
            if unreadable == len(content["items"]) >= MIN_ITEMS_TO_JUDGE_PAGE:
                raise
    return SearchPage.model_validate({**content, "items": items, "unreadable": unreadable})


def vacancy(item: dict[str, Any]) -> Vacancy:
    """Return the vacancy of one of the ``items`` of a search."""
    return Vacancy.model_validate(_normalise(item))


def vacancy_detail(content: dict[str, Any]) -> VacancyDetail:
    """Return the vacancy of a ``GET /vacancies/{id}`` response; a branded description replaces an
    empty plain one."""
    plain = _normalise(content)
    html = content.get("description") or content.get("branded_description") or ""
    plain["description"] = markup.to_text(html)
    plain["key_skills"] = [skill["name"] for skill in content.get("key_skills") or ()]
    plain["driver_license_types"] = [
        licence["id"] for licence in content.get("driver_license_types") or ()
    ]
    return VacancyDetail.model_validate(plain)


def me(content: dict[str, Any]) -> Me:
    """Return the owner of a person's token from a ``GET /me`` response, without name, e-mail and
    phone."""
    plain = {key: value for key, value in content.items() if value is not None}
    plain["id"] = str(plain["id"])
    plain.setdefault("is_applicant", plain.get("auth_type") == "applicant")
    plain.setdefault("is_employer", plain.get("auth_type") == "employer")
    return Me.model_validate(plain)


def resume_page(content: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """Return the resumes of a page of ``GET /resumes/mine``, in hh.ru's shape, and the number of
    pages."""
    pages = content.get("pages")
    return [resume(item) for item in content["items"]], pages if isinstance(pages, int) else 0


def resume(content: dict[str, Any]) -> dict[str, Any]:
    """Return a resume in hh.ru's shape; it has at least an ``id``."""
    if not isinstance(content["id"], str):
        raise TypeError("a resume without an id")
    return content


def creation_is_available(content: dict[str, Any]) -> bool:
    """Return whether ``GET /resumes/creation_availability`` allows another resume."""
    return bool(content["is_creation_available"])


def negotiation_page(content: dict[str, Any]) -> NegotiationPage:
    """Return the page of a ``GET /negotiations`` response."""
    items = [negotiation(item) for item in content["items"]]
    return NegotiationPage.model_validate({"items": items, "pages": content["pages"]})


def negotiation(item: dict[str, Any]) -> Negotiation:
    """Return the negotiation of an item; its ``vacancy`` and ``resume`` may be null or missing."""
    counters = item.get("counters") or {}
    messages = counters.get("messages")
    return Negotiation.model_validate(
        {
            **item,
            "state": item["state"]["id"],
            "vacancy_id": (item.get("vacancy") or {}).get("id"),
            "resume_id": (item.get("resume") or {}).get("id"),
            "viewed": bool(item.get("viewed_by_opponent")),
            "has_unread_message": bool(counters.get("unread_messages")),
            "message_count": messages if isinstance(messages, int) else None,
        }
    )


def conversation_page(content: dict[str, Any]) -> ConversationPage:
    """Return the page of a ``GET /negotiations/{id}/messages`` response. A message of an unknown
    shape, such as one of hh.ru itself, does not hide the others: it is left out and counted."""
    items: list[ConversationMessage] = []
    unreadable = 0
    for item in content["items"]:
        try:
            items.append(conversation_message(item))
        except UNREADABLE:
            unreadable += 1
    return ConversationPage.model_validate(
        {"items": items, "pages": content["pages"], "unreadable": unreadable}
    )


def conversation_message(item: dict[str, Any]) -> ConversationMessage:
    """Return a message of a conversation. Its text is plain; it may be null beside an address."""
    return ConversationMessage.model_validate(
        {
            "id": str(item["id"]),
            "author": item["author"]["participant_type"],
            "text": item.get("text") or "",
            "state": item["state"]["id"],
            "created_at": item["created_at"],
        }
    )


def _normalise(item: dict[str, Any]) -> dict[str, Any]:
    # A flag or a list that is null means the same as a missing one.
    plain = {key: value for key, value in item.items() if value is not None}
    plain["salary"] = _salary(item.get("salary_range") or item.get("salary"))
    plain["employer"] = _with_rating(plain["employer"])
    snippet = item.get("snippet") or {}
    plain["snippet"] = {key: markup.snippet_to_text(text or "") for key, text in snippet.items()}
    return plain


def _with_rating(employer: dict[str, Any]) -> dict[str, Any]:
    """Return the employer with its ``rating``. hh.ru: ``total_rating``, a number as a text; an
    employer whose rating cannot be read has none."""
    rating = employer.get("employer_rating")
    total = rating.get("total_rating") if isinstance(rating, dict) else None
    try:
        value = float(str(total))
    except ValueError:
        return employer
    return {**employer, "rating": value} if 1 <= value <= 5 else employer


def _salary(salary: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the fields of :class:`Salary`, from ``salary_range`` (with mode and frequency) or the
    deprecated ``salary`` (per month)."""
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
