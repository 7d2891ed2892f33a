"""The requests of the benchmark, and the answers that each edge is given to send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ullgetthejob.vacancies.search import JobAnswer, SearchAnswer

EVENTS = Path(__file__).resolve().parents[2] / "events"
SECRET = "local-development-secret"
FOUND = [
    {
        "id": str(100_000_000 + number),
        "hh_vacancy_id": str(100_000_000 + number),
        "title": f"Инженер-программист {number}",
        "company": "Общество с ограниченной ответственностью",
        "salary": "150000-250000 RUR gross",
        "area": "Москва",
        "url": f"https://hh.ru/vacancy/{100_000_000 + number}",
        "description": "Разрабатывать и сопровождать сервисы. " * 8,
        "skills": [],
        "has_test": False,
        "full_description_loaded": False,
        "employer_id": "1234567",
        "published_at": "2026-11-28T12:00:00+03:00",
        "archived": False,
        "test_required": False,
        "response_letter_required": False,
        "experience": "От 1 года до 3 лет",
        "employment": "Полная занятость",
        "schedule": "Удалённая работа",
        "work_format": ["Удалённо"],
        "professional_roles": ["Программист, разработчик"],
        "apply_url": f"https://hh.ru/applicant/vacancy_response?vacancyId={100_000_000 + number}",
    }
    for number in range(20)
]


def search_answer() -> SearchAnswer:
    """Return the answer to a search: 20 jobs, which the model validates."""
    return SearchAnswer.model_validate(
        {"jobs": FOUND, "found": 20, "page": 0, "pages": 1, "per_page": 20}
    )


def job_answer() -> JobAnswer:
    """Return the answer to a request for one job, which the model validates."""
    return JobAnswer.model_validate({"job": FOUND[0]})


def events() -> dict[str, dict[str, Any]]:
    """Return the events, by what is measured: a body with a large answer, and neither."""
    search: dict[str, Any] = json.loads((EVENTS / "search.json").read_text())
    path = "/api/jobs/100000000"
    one_job = {
        **{name: value for name, value in search.items() if name != "body"},
        "routeKey": "GET /api/jobs/{id}",
        "rawPath": path,
        "pathParameters": {"id": "100000000"},
    }
    request = search["requestContext"]
    one_job["requestContext"] = {
        **request,
        "routeKey": one_job["routeKey"],
        "http": {**request["http"], "method": "GET", "path": path},
    }
    return {"a search, 20 jobs": search, "one job": one_job}
