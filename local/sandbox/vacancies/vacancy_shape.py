"""hh.ru's JSON of a vacancy: an item of ``/vacancies`` and the body of ``/vacancies/{id}``.

Keys and their order are those of real answers of 2025 and 2026.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from local.sandbox.dictionaries import catalogue, geography
from local.sandbox.seeded_random import SeededRandom
from local.sandbox.vacancies import employers, vacancy_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from local.sandbox.vacancies.vacancy import Address, Salary, Vacancy

MOSCOW = timezone(timedelta(hours=3))
COUNTRY_NUMBERS = {"113": 1, "16": 4, "40": 2, "97": 94}
NO_CONTACTS: dict[str, Any] = {"name": None, "phones": []}


def moment(seconds: float) -> str:
    """Return ``2026-08-20T10:15:30+0300``: Moscow time, without a colon in the offset."""
    return datetime.fromtimestamp(seconds, UTC).astimezone(MOSCOW).strftime("%Y-%m-%dT%H:%M:%S%z")


def _named(dictionary: str, entry: str) -> dict[str, str]:
    return catalogue.names(dictionary)[entry]


def _all_named(dictionary: str, entries: Iterable[str]) -> list[dict[str, str]]:
    return [catalogue.names(dictionary)[entry] for entry in entries]


def _salary(salary: Salary | None) -> dict[str, Any] | None:
    if salary is None:
        return None
    return {
        "from": salary.low,
        "to": salary.high,
        "currency": salary.currency,
        "gross": salary.gross,
    }


def _salary_range(salary: Salary | None) -> dict[str, Any] | None:
    if salary is None:
        return None
    return {
        **(_salary(salary) or {}),
        "mode": _named("salary_range_mode", salary.mode),
        "frequency": (
            _named("salary_range_frequency", salary.frequency) if salary.frequency else None
        ),
    }


def _station(station: geography.Station, colour: bool) -> dict[str, Any]:
    shaped = {
        "station_name": station.name,
        "line_name": station.line_name,
        "station_id": station.id,
        "line_id": station.line_id,
        "lat": station.lat,
        "lng": station.lng,
    }
    return {**shaped, "hex_color": station.hex_color} if colour else shaped


def _address(address: Address | None, in_search: bool) -> dict[str, Any] | None:
    if address is None:
        return None
    stations = [_station(station, colour=in_search) for station in address.stations]
    shaped = {
        "city": address.city,
        "street": address.street,
        "building": address.building,
        "lat": address.lat,
        "lng": address.lng,
        "description": None,
        "raw": address.raw,
        "metro": stations[0] if stations else None,
        "metro_stations": stations,
    }
    return {**shaped, "id": address.id} if in_search else shaped


def _employer(vacancy: Vacancy) -> dict[str, Any]:
    employer = vacancy.employer
    if vacancy.kind == "anonymous":
        names = employers.vocabulary()["texts"]["anonymous"]
        name = SeededRandom(vacancy.id, "anonymous").pick(names)
        return {
            "name": name,
            "trusted": employer.trusted,
            "employer_on_additional_check": False,
        }
    pictures = "https://img.hhcdn.ru/employer-logo"
    return {
        "id": employer.id,
        "name": employer.name,
        "url": f"https://api.hh.ru/employers/{employer.id}",
        "alternate_url": f"https://hh.ru/employer/{employer.id}",
        "logo_urls": (
            {
                "original": f"{pictures}-original/{employer.logo}.png",
                "90": f"{pictures}/{employer.logo + 1}.png",
                "240": f"{pictures}/{employer.logo + 2}.png",
            }
            if employer.logo is not None
            else None
        ),
        "vacancies_url": f"https://api.hh.ru/vacancies?employer_id={employer.id}",
        "country_id": COUNTRY_NUMBERS.get(geography.country(vacancy.area_id), 1),
        "accredited_it_employer": employer.accredited_it,
        "trusted": employer.trusted,
        "employer_on_additional_check": False,
    }


def _department(vacancy: Vacancy) -> dict[str, str] | None:
    employer = vacancy.employer
    if not vacancy.with_department or vacancy.kind == "anonymous":
        return None
    return {
        "id": f"{employer.id}-{employer.id}-dep",
        "name": f"{employer.name}. {employer.department}",
    }


def _interview(vacancy: Vacancy) -> dict[str, str] | None:
    employer = vacancy.employer
    if employer.interview is None or vacancy.kind == "anonymous":
        return None
    return {
        "id": employer.interview,
        "url": f"https://hh.ru/interview/{employer.interview}?employerId={employer.id}",
    }


def _older_keys(vacancy: Vacancy, in_search: bool) -> dict[str, Any]:
    """Return the keys of the old shape, which answers of 2026 may carry beside the new ones."""
    # hh.ru: for half a year of 2023, search items had the key with null.
    lost = (
        in_search and vacancy.shape == "old" and SeededRandom(vacancy.id, "schedule").happens(0.2)
    )
    return {
        "schedule": None if lost else _named("schedule", vacancy.schedule),
        "working_days": _all_named(
            "working_days", ["only_saturday_and_sunday"] if vacancy.weekends_only else []
        ),
        "working_time_intervals": _all_named(
            "working_time_intervals",
            ["from_four_to_six_hours_in_a_day"] if vacancy.short_shifts else [],
        ),
        "working_time_modes": _all_named(
            "working_time_modes", ["start_after_sixteen"] if vacancy.after_sixteen else []
        ),
        "employment": _named("employment", vacancy.employment),
    }


def _newer_keys(vacancy: Vacancy) -> dict[str, Any]:
    return {
        "fly_in_fly_out_duration": _all_named(
            "fly_in_fly_out_duration", vacancy.fly_in_fly_out_duration
        ),
        "work_format": _all_named("work_format", vacancy.work_format),
        "working_hours": _all_named("working_hours", vacancy.working_hours),
        "work_schedule_by_days": _all_named("work_schedule_by_days", vacancy.work_schedule_by_days),
        "night_shifts": vacancy.night_shifts,
        "employment_form": _named("employment_form", vacancy.employment_form),
        "internship": vacancy.internship,
        "salary_range": _salary_range(vacancy.salary),
        "show_contacts": vacancy.show_contacts,
        "closed_for_applicants": False,
    }


def _common(vacancy: Vacancy, archived: bool, in_search: bool) -> dict[str, Any]:
    area = geography.areas()[vacancy.area_id]
    employer = _employer(vacancy)
    if vacancy.shape == "old":
        employer.pop("country_id", None)
        employer.pop("employer_on_additional_check")
    shaped: dict[str, Any] = {
        "id": vacancy.id,
        "premium": vacancy.premium,
        "name": vacancy.name,
        "department": _department(vacancy),
        "has_test": vacancy.has_test,
        "response_letter_required": vacancy.response_letter_required,
        "area": {
            "id": area.id,
            "name": area.name,
            "url": f"https://api.hh.ru/areas/{area.id}",
        },
        "salary": _salary(vacancy.salary),
        "type": _named("vacancy_type", vacancy.kind),
        "address": _address(vacancy.address, in_search),
        "response_url": vacancy.response_url,
        "published_at": moment(vacancy.published),
        "created_at": moment(vacancy.published),
        "archived": archived,
        "apply_alternate_url": (f"https://hh.ru/applicant/vacancy_response?vacancyId={vacancy.id}"),
        "insider_interview": _interview(vacancy),
        "alternate_url": f"https://hh.ru/vacancy/{vacancy.id}",
        "relations": [],
        "employer": employer,
        "contacts": None,
        "accept_temporary": vacancy.accept_temporary,
        "professional_roles": [catalogue.roles()[vacancy.role]],
        "accept_incomplete_resumes": vacancy.accept_incomplete_resumes,
        "experience": _named("experience", vacancy.experience),
    }
    if vacancy.shape != "new":
        shaped |= _older_keys(vacancy, in_search)
    if vacancy.shape != "old":
        shaped |= _newer_keys(vacancy)
    return shaped


def item(
    vacancy: Vacancy,
    *,
    wanted: Callable[[str], bool] | None = None,
    distance_m: float | None = None,
    responses_count: bool = False,
) -> dict[str, Any]:
    """Return an element of ``items[]``. *wanted* says which words of the snippet to highlight."""
    shaped = _common(vacancy, archived=False, in_search=True)
    shaped |= {
        "sort_point_distance": distance_m,
        "url": f"https://api.hh.ru/vacancies/{vacancy.id}?host=hh.ru",
        "snippet": vacancy_text.snippet(vacancy, wanted),
        "show_logo_in_search": True if vacancy.premium or vacancy.branded else None,
        "adv_response_url": None,
        "is_adv_vacancy": False,
        "adv_context": None,
    }
    if vacancy.shape != "old":
        shaped["accept_labor_contract"] = vacancy.accept_labor_contract
        shaped["civil_law_contracts"] = _all_named(
            "civil_law_contracts", vacancy.civil_law_contracts
        )
        if vacancy.show_contacts:
            shaped["contacts"] = dict(NO_CONTACTS)
    if vacancy.kind == "direct":
        shaped["immediate_redirect_url"] = vacancy.response_url
    if vacancy.branded:
        shaped["branding"] = {"type": "MAKEUP", "tariff": None}
    if responses_count:
        shaped["counters"] = {
            "responses": vacancy.responses,
            "total_responses": vacancy.responses,
        }
    return shaped


def detail(vacancy: Vacancy, *, archived: bool) -> dict[str, Any]:
    """Return the body of ``/vacancies/{id}`` for an application token."""
    shaped = _common(vacancy, archived=archived, in_search=False)
    shaped |= {
        "billing_type": _named("vacancy_billing_type", vacancy.billing),
        "allow_messages": vacancy.allow_messages,
        "site": {"id": "hh", "name": "hh.ru"},
        "description": vacancy_text.description(vacancy),
        "branded_description": vacancy_text.branded(vacancy),
        "vacancy_constructor_template": None,
        "key_skills": [{"name": skill} for skill in vacancy.skills],
        "accept_handicapped": vacancy.accept_handicapped,
        "accept_kids": vacancy.accept_kids,
        "specializations": [],
        "code": vacancy.code,
        "hidden": False,
        "quick_responses_allowed": False,
        "driver_license_types": [{"id": licence} for licence in vacancy.driver_license_types],
        "initial_created_at": moment(vacancy.first_created),
        "negotiations_url": None,
        "suitable_resumes_url": None,
        "test": {"required": vacancy.test_required} if vacancy.has_test else None,
        "languages": [_language(code, level) for code, level in vacancy.languages],
    }
    if vacancy.shape == "old":
        return shaped
    shaped["employer"].pop("employer_on_additional_check")
    del shaped["site"]  # hh.ru removed it before it added the new keys
    return shaped | {
        "age_restriction": (
            _named("age_restriction", vacancy.age_restriction) if vacancy.age_restriction else None
        ),
        "approved": True,
        "auto_response": {"accept_auto_response": not vacancy.has_test},
        "show_logo_in_search": True if vacancy.premium or vacancy.branded else None,
        "video_vacancy": None,
    }


def _language(code: str, level: str) -> dict[str, Any]:
    names = {row["id"]: row["name"] for row in catalogue.languages()}
    return {"id": code, "name": names[code], "level": _named("language_level", level)}
