"""The *job*: a vacancy in the shape of the BFF and its frontend (bff-contract:
``lib/utils/job.ts``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import AwareDatetime, Field

from ullgetthejob.platform.models import Model

if TYPE_CHECKING:
    from ullgetthejob.hh.models import Salary, Vacancy, VacancyDetail

# The unit that a salary is paid for, unless it is a month. hh.ru: dictionary salary_range_mode.
_MODES = {
    "SHIFT": " per shift",
    "HOUR": " per hour",
    "FLY_IN_FLY_OUT": " per rotation",
    "SERVICE": " per service",
}


class Job(Model):
    """A vacancy with the BFF's field names. ``id`` is hh.ru's vacancy id, a string of digits."""

    id: str
    hh_vacancy_id: str
    title: str
    company: str | None
    salary: str | None = Field(
        description='"100-200 RUR", "from 100 RUR gross", "to 200 RUR net per shift" or null'
    )
    area: str | None
    url: str | None
    description: str = Field(description="plain text; an excerpt until full_description_loaded")
    skills: list[str]
    has_test: bool
    full_description_loaded: bool
    source: str = "hh.ru"
    employer_id: str | None
    published_at: AwareDatetime
    archived: bool
    test_required: bool
    response_letter_required: bool
    experience: str | None
    employment: str | None
    schedule: str | None
    work_format: list[str]
    professional_roles: list[str]
    apply_url: str | None


def from_vacancy(vacancy: Vacancy) -> Job:
    """Return an item of a search as a job; its description is the excerpt that hh.ru shows."""
    snippet = vacancy.snippet
    excerpt = "\n".join(part for part in (snippet.requirement, snippet.responsibility) if part)
    return _job(vacancy, description=excerpt)


def from_detail(detail: VacancyDetail) -> Job:
    """Return a vacancy that was read in full as a job."""
    return _job(detail, description=detail.description).model_copy(
        update={
            "skills": list(detail.key_skills),
            "test_required": bool(detail.test and detail.test.required),
            "full_description_loaded": True,
        }
    )


def salary_text(salary: Salary | None) -> str | None:
    """Return the salary in the format of the original backend, then ``gross`` or ``net`` where
    hh.ru says which, then the unit unless it is a month; ``None`` without an amount."""
    if salary is None or (salary.lower is None and salary.upper is None):
        return None
    if salary.lower is None:
        amount = f"to {salary.upper}"
    elif salary.upper is None:
        amount = f"from {salary.lower}"
    else:
        amount = f"{salary.lower}-{salary.upper}"
    tax = {True: " gross", False: " net", None: ""}[salary.gross]
    return f"{amount} {salary.currency}{tax}{_MODES.get(salary.mode, '')}"


def _job(vacancy: Vacancy, *, description: str) -> Job:
    employment = vacancy.employment_form or vacancy.employment
    return Job(
        id=vacancy.id,
        hh_vacancy_id=vacancy.id,
        title=vacancy.name,
        company=vacancy.employer.name,
        salary=salary_text(vacancy.salary),
        area=vacancy.area.name,
        url=vacancy.alternate_url,
        description=description,
        skills=[],
        has_test=vacancy.has_test,
        full_description_loaded=False,
        employer_id=vacancy.employer.id,
        published_at=vacancy.published_at,
        archived=vacancy.archived,
        test_required=False,
        response_letter_required=vacancy.response_letter_required,
        experience=vacancy.experience.name if vacancy.experience else None,
        employment=employment.name if employment else None,
        schedule=vacancy.schedule.name if vacancy.schedule else None,
        work_format=[entry.name or entry.id for entry in vacancy.work_format],
        professional_roles=[entry.name or entry.id for entry in vacancy.professional_roles],
        apply_url=vacancy.apply_alternate_url,
    )
