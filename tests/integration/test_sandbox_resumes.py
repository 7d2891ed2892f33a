"""Reading resumes in the sandbox: shapes, access, and the closed mode."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.fixtures.hh_sandbox import run_sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.hh_sandbox import HhSandbox

# Keys of hh.ru's own specification (the snapshot of 2025).
COMMON = {
    "id", "title", "url", "alternate_url", "first_name", "last_name", "middle_name", "age", "area",
    "gender", "photo", "salary", "total_experience", "certificate", "hidden_fields", "education",
    "experience", "marked", "platform", "real_id", "created_at", "updated_at", "actions",
    "download", "access", "blocked", "can_publish_or_update", "finished", "status",
    "can_view_full_info", "next_publish_at", "new_views", "total_views", "views_url",
    "paid_services", "contact", "tags", "employment_form", "work_format",
}  # fmt: skip
ITEM = COMMON | {"created", "updated", "auto_hide_time", "similar_vacancies", "visible"}
WHOLE = COMMON | {
    "birth_date", "business_trip_readiness", "citizenship", "work_ticket", "driver_license_types",
    "has_vehicle", "employment", "employments", "schedule", "schedules", "language", "metro",
    "portfolio", "professional_roles", "recommendation", "relocation", "resume_locale", "site",
    "skill_set", "skills", "travel_time", "moderation_note", "progress", "_progress", "publish_url",
}  # fmt: skip
READING = ("/resumes/mine", "/resumes/{id}", "/resumes/creation_availability")
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0300")


def read(sandbox: HhSandbox, token: str, path: str) -> Any:
    return sandbox.call("GET", path, token).raise_for_status().json()


def resumes_of(sandbox: HhSandbox, person: str) -> dict[str, str]:
    """Return ids of a person's resumes by title."""
    listed = {row["key"]: row for row in sandbox.control("GET", "/people")["people"]}
    return {resume["title"]: resume["id"] for resume in listed[person]["resumes"]}


def test_mine_is_a_page_of_items(hh_sandbox: HhSandbox) -> None:
    body = read(hh_sandbox, hh_sandbox.log_in("anna")["access_token"], "/resumes/mine")
    assert set(body) == {"items", "found", "pages", "page", "per_page"}
    assert (body["found"], body["pages"], body["page"], body["per_page"]) == (2, 1, 0, 20)
    assert [set(item) for item in body["items"]] == [ITEM, ITEM]
    assert {item["title"] for item in body["items"]} == {"Python-разработчик", "Backend-инженер"}
    for item in body["items"]:
        assert item["status"] == {"id": "published", "name": "опубликовано"}
        assert (item["finished"], item["can_publish_or_update"], item["visible"]) == (True,) * 3
        assert all(
            DATE.fullmatch(item[key]) for key in ("created_at", "updated_at", "next_publish_at")
        )
        assert re.fullmatch(r"[0-9a-f]{38}", item["id"])
        assert item["similar_vacancies"]["counters"]["total"] > 0
        assert all("description" not in job for job in item["experience"])


def test_person_without_resumes_has_an_empty_list(hh_sandbox: HhSandbox) -> None:
    body = read(hh_sandbox, hh_sandbox.log_in("vera")["access_token"], "/resumes/mine")
    assert body == {"items": [], "found": 0, "pages": 0, "page": 0, "per_page": 20}


def test_owner_sees_the_whole_resume(hh_sandbox: HhSandbox) -> None:
    token = hh_sandbox.log_in("anna")["access_token"]
    id_ = resumes_of(hh_sandbox, "anna")["Python-разработчик"]
    body = read(hh_sandbox, token, f"/resumes/{id_}")
    assert set(body) == WHOLE
    assert body["experience"][0]["description"].startswith("Проектирую")
    assert body["total_experience"]["months"] > 100
    assert body["skill_set"][:2] == ["Python", "FastAPI"]
    assert body["professional_roles"] == [{"id": "96", "name": "Программист, разработчик"}]
    assert body["salary"] == {"amount": 260_000, "currency": "RUR"}
    assert body["area"]["name"] == "Санкт-Петербург"
    assert body["education"]["level"]["id"] == "higher"
    assert body["education"]["primary"][0]["year"] == 2016
    assert body["language"][0] == {
        "id": "rus",
        "name": "Русский",
        "level": {"id": "l1", "name": "Родной"},
    }
    phone, mail = body["contact"]
    assert phone["value"]["formatted"] == "+7 (900) 555-01-01"
    assert phone["contact_value"] == phone["value"]["formatted"]
    assert mail["value"] == "anna.vesnina@example.org"
    assert body["progress"]["mandatory"] == []
    assert body["age"] >= 30


def test_items_and_whole_resumes_agree(hh_sandbox: HhSandbox) -> None:
    for person in ("anna", "timur", "olga", "marina", "egor"):
        token = hh_sandbox.log_in(person)["access_token"]
        for item in read(hh_sandbox, token, "/resumes/mine")["items"]:
            body = read(hh_sandbox, token, f"/resumes/{item['id']}")
            same = COMMON - {"experience"}
            assert {key: item[key] for key in same} == {key: body[key] for key in same}


def test_unfinished_resume_lists_missing_fields(hh_sandbox: HhSandbox) -> None:
    token = hh_sandbox.log_in("egor")["access_token"]
    id_ = resumes_of(hh_sandbox, "egor")["Тестировщик"]
    body = read(hh_sandbox, token, f"/resumes/{id_}")
    assert body["status"]["id"] == "not_published"
    assert (body["finished"], body["can_publish_or_update"]) == (False, False)
    assert [field["id"] for field in body["progress"]["mandatory"]] == ["skill_set", "education"]
    assert 0 < body["progress"]["percentage"] < 100
    assert body["publish_url"].endswith(f"/resumes/{id_}/publish")


def test_creation_availability_counts_resumes(hh_sandbox: HhSandbox) -> None:
    token = hh_sandbox.log_in("anna")["access_token"]
    assert read(hh_sandbox, token, "/resumes/creation_availability") == {
        "created": 2,
        "is_creation_available": True,
        "max": 20,
        "remaining": 18,
    }


def test_unknown_and_foreign_resumes_are_not_found(hh_sandbox: HhSandbox) -> None:
    token = hh_sandbox.log_in("olga")["access_token"]
    for id_ in (*resumes_of(hh_sandbox, "anna").values(), "0" * 38, "x"):
        answer = hh_sandbox.call("GET", f"/resumes/{id_}", token)
        assert (answer.status_code, answer.json()["errors"]) == (404, [{"type": "not_found"}])


@pytest.mark.parametrize("path", READING)
def test_reading_needs_an_applicant_and_open_mode(hh_sandbox: HhSandbox, path: str) -> None:
    token = hh_sandbox.log_in("anna")["access_token"]
    id_ = resumes_of(hh_sandbox, "anna")["Backend-инженер"]
    path = path.replace("{id}", id_)
    assert hh_sandbox.call("GET", path, token).status_code == 200
    employer = hh_sandbox.log_in("employer")["access_token"]
    refused = [
        hh_sandbox.call("GET", path, caller) for caller in (employer, hh_sandbox.token(), None)
    ]
    hh_sandbox.control("POST", "/mode", {"mode": "closed"})
    refused.append(hh_sandbox.call("GET", path, token))
    for answer in refused:
        assert (answer.status_code, answer.json()["errors"]) == (403, [{"type": "forbidden"}])


def test_faults_apply_to_resumes(hh_sandbox: HhSandbox) -> None:
    token = hh_sandbox.log_in("anna")["access_token"]
    hh_sandbox.fault("captcha", path="/resumes", times=1)
    hh_sandbox.fault("too_many_requests", path="/resumes", times=1)
    statuses = [hh_sandbox.call("GET", "/resumes/mine", token).status_code for _ in range(3)]
    assert statuses == [403, 429, 200]


def test_initial_resume_ids_are_the_same_in_every_sandbox(
    hh_sandbox: HhSandbox, tmp_path: Path
) -> None:
    with run_sandbox(tmp_path, "--vacancies", "20") as another:
        assert resumes_of(another, "anna") == resumes_of(hh_sandbox, "anna")
