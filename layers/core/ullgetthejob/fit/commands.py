"""The commands of the API about fit: of one vacancy, and the weights of an account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ullgetthejob.accounts import audit, resumes
from ullgetthejob.fit import store
from ullgetthejob.fit.models import FitAnswer, WeightsAnswer
from ullgetthejob.fit.profile import Profile, profile_of
from ullgetthejob.fit.scoring import score_best
from ullgetthejob.vacancies import reading

if TYPE_CHECKING:
    from ullgetthejob.accounts.people import Person
    from ullgetthejob.fit.models import FitQuery, WeightsBody
    from ullgetthejob.platform.context import Context


def show_fit(job_id: str, query: FitQuery, person: Person, context: Context) -> FitAnswer:
    """Return how well the person's resume fits a vacancy; by default the resume that fits best.

    Raises :class:`NotFound` (``job_not_found``, ``resume_not_found``), :class:`NeedsPerson`, and
    hh.ru's errors.
    """
    connection, now = context.connection, context.now()
    profiles = read_profiles(person, context, resume_id=query.resume_id)
    vacancy = reading.read_detail(job_id, context)
    weights = store.read_weights(person.account_id, connection=connection).weights
    resume_id, fit = score_best(profiles, vacancy, weights, now=now)
    return FitAnswer(
        **dict(fit),
        job_id=vacancy.id,
        resume_id=resume_id,
        resume_title=profiles[resume_id].title or None,
    )


def read_profiles(
    person: Person, context: Context, *, resume_id: str | None = None
) -> dict[str, Profile]:
    """Return the resume of *resume_id*, or those that can be sent, by id, for :func:`score_best`.
    Raises as :func:`.resumes.read_in_full` does."""
    found = resumes.read_in_full(person, context, resume_id=resume_id)
    return {resume["id"]: profile_of(resume) for resume in found}


def show_weights(person: Person, context: Context) -> WeightsAnswer:
    """Return the weights of the person's account."""
    return store.read_weights(person.account_id, connection=context.connection)


def replace_weights(body: WeightsBody, person: Person, context: Context) -> WeightsAnswer:
    """Replace the weights and return them. Raises :class:`NeedsPerson` for a user who never
    connected hh.ru."""
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    with connection.transaction():
        store.write_weights(person.account, body.weights, connection=connection, now=now)
        audit.record("fit_weights.replace", person, context)
    return WeightsAnswer(weights=body.weights, updated_at=now)
