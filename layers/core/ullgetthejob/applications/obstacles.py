"""What a vacancy shows before the call that applies: that hh.ru would refuse, and where the person
applies instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ullgetthejob.applications.application import vacancy_url

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from ullgetthejob.applications.application_states import ReviewPolicy, State
    from ullgetthejob.filters.models import Held
    from ullgetthejob.hh.models import VacancyDetail

LETTER_REQUIRED = "letter_required"


class Requested(Protocol):
    """What is requested: an application, or the request of one that is only evaluated."""

    @property
    def vacancy_id(self) -> str:
        """Return hh.ru's id of the vacancy."""

    @property
    def letter(self) -> str | None:
        """Return the letter to the employer."""

    @property
    def letter_template_id(self) -> UUID | None:
        """Return the template that makes a letter, if there is none yet."""

    @property
    def review(self) -> ReviewPolicy:
        """Return whether the person looks before it is sent."""

    @property
    def min_fit(self) -> int | None:
        """Return the least fit with which it is sent, if there is one."""


@dataclass(frozen=True)
class Draft:
    """A request that is only evaluated."""

    vacancy_id: str
    letter: str | None
    letter_template_id: UUID | None = None
    review: ReviewPolicy = "never"
    min_fit: int | None = None


@dataclass(frozen=True)
class Obstacle:
    """Why hh.ru would refuse an application, as its vacancy shows before the call, and the state
    that the application gets."""

    state: State
    reason: str
    link: str | None = None


def find_obstacle(application: Requested, vacancy: VacancyDetail) -> Obstacle | None:
    """Return why hh.ru will refuse the application, if the vacancy shows it: no token is spent
    then."""
    link = page_of(vacancy, application)
    if vacancy.archived or vacancy.closed_for_applicants:
        return Obstacle("refused", "vacancy_archived")
    if vacancy.has_test and vacancy.test is not None and vacancy.test.required:
        return Obstacle("handoff", "test_required", link)
    if vacancy.response_url is not None or vacancy.type.id == "direct":
        return Obstacle("handoff", "external_site", vacancy.response_url or link)
    has_letter = application.letter or application.letter_template_id is not None
    if vacancy.response_letter_required and not has_letter:
        return Obstacle("needs_person", LETTER_REQUIRED, link)
    return None


def page_of(vacancy: VacancyDetail, application: Requested) -> str:
    """Return the address of the page on which the person applies."""
    return (
        vacancy.apply_alternate_url or vacancy.alternate_url or vacancy_url(application.vacancy_id)
    )


def find_hindrance(
    application: Requested,
    vacancy: VacancyDetail,
    *,
    apply_filters: Callable[[], Held | None],
    needs_letter: bool,
) -> Obstacle | None:
    """Return why the application is not sent, by its vacancy and by the person's filters; ``None``
    if neither holds it back. A closed vacancy is not filtered; what a person can do on hh.ru is
    left to the person only if the filters keep the vacancy.

    *apply_filters* returns why the filters hold it back. *needs_letter*: whether a letter that the
    employer requires has to be there; a person who applies on hh.ru can still write it.
    """
    obstacle = find_obstacle(application, vacancy)
    if obstacle is None or obstacle.state != "refused":
        held = apply_filters()
        if held is not None:
            return Obstacle(held.state, held.reason, page_of(vacancy, application))
    if obstacle is not None and obstacle.reason == LETTER_REQUIRED and not needs_letter:
        return None
    return obstacle
