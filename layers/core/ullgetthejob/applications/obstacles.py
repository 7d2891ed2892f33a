"""What a vacancy shows before the call that applies: that hh.ru would refuse, and where the person
applies instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ullgetthejob.applications.application import vacancy_url

if TYPE_CHECKING:
    from ullgetthejob.applications.application import Application
    from ullgetthejob.applications.application_states import State
    from ullgetthejob.hh.models import VacancyDetail

LETTER_REQUIRED = "letter_required"


@dataclass(frozen=True)
class Obstacle:
    """Why hh.ru would refuse an application, as its vacancy shows before the call, and the state
    that the application gets."""

    state: State
    reason: str
    link: str | None = None


def find_obstacle(application: Application, vacancy: VacancyDetail) -> Obstacle | None:
    """Return why hh.ru will refuse the application, if the vacancy shows it: no token is spent
    then."""
    link = page_of(vacancy, application)
    if vacancy.archived or vacancy.closed_for_applicants:
        return Obstacle("refused", "vacancy_archived")
    if vacancy.has_test and vacancy.test is not None and vacancy.test.required:
        return Obstacle("handoff", "test_required", link)
    if vacancy.response_url is not None or vacancy.type.id == "direct":
        return Obstacle("handoff", "external_site", vacancy.response_url or link)
    if vacancy.response_letter_required and not application.letter:
        return Obstacle("needs_person", LETTER_REQUIRED, link)
    return None


def page_of(vacancy: VacancyDetail, application: Application) -> str:
    """Return the address of the page on which the person applies."""
    return (
        vacancy.apply_alternate_url or vacancy.alternate_url or vacancy_url(application.vacancy_id)
    )
