"""functions/resumes: a person's resumes and hh.ru status, by JWT only."""

import pytest

from tests.fixtures.core import LIFE_S
from ullgetthejob.hh.client import HHClient

# Anna's contacts in the sandbox.
ANNA = {"email": "anna.vesnina@example.org", "phone": "+79005550101"}


@pytest.fixture
def anna(core):
    """Anna's JWT."""
    return core.log_in("anna")[1]


def get(core, path, jwt, **options):
    return core.call(f"GET /api/hh/{path}", jwt=jwt, secret=None, **options)


def listed(core, jwt):
    reply = get(core, "resumes", jwt)
    assert reply.status == 200, reply
    assert set(reply.body) == {"success", "items"}
    return reply.body["items"]


def detail(core, jwt, resume_id):
    return get(core, "resumes/{id}", jwt, parameters={"id": resume_id})


def test_status_shows_whether_the_person_is_connected(core, anna):
    assert get(core, "status", anna).body["connected"] is True
    core.rows("UPDATE accounts SET access_state = 'reauth_required'")
    assert get(core, "status", anna).body["connected"] is False
    core.rows("UPDATE users SET account_id = NULL")
    assert get(core, "status", anna).body["connected"] is False
    assert core.hits("GET /me") == 0


def test_list_has_every_resume_with_hh_ru_fields(core, anna):
    items = listed(core, anna)
    assert {item["title"] for item in items} == {"Python-разработчик", "Backend-инженер"}
    for item in items:
        assert item["status"]["id"] == "published"
        assert {"id", "alternate_url", "updated_at", "total_views", "experience"} <= set(item)


@pytest.mark.parametrize(("person", "titles"), [("egor", ["Тестировщик"]), ("vera", [])])
def test_list_has_unpublished_resumes_and_may_be_empty(core, person, titles):
    _, jwt = core.log_in(person)
    assert [item["title"] for item in listed(core, jwt)] == titles


def test_resume_has_the_fields_of_the_bff_import(core, anna):
    item = next(item for item in listed(core, anna) if item["title"] == "Python-разработчик")
    reply = detail(core, anna, item["id"])
    assert reply.status == 200
    assert set(reply.body) == {"success", "resume"}
    resume = reply.body["resume"]
    assert {name: resume[name] for name in ANNA} == ANNA
    assert resume["summary"].startswith("Пишу серверную часть на Python")
    assert (resume["first_name"], resume["last_name"]) == ("Анна", "Веснина")
    assert resume["title"] == "Python-разработчик"
    assert resume["skills"] == ["Python", "FastAPI", "PostgreSQL", "Docker", "AWS", "Git"]
    [school] = resume["education"]
    assert school["school"] == "Северный технологический университет"
    assert (school["result"], school["year"]) == ("Программная инженерия", 2016)
    job = resume["experience"][0]
    assert job["company"] == "ООО «Облачная пристань»"
    assert all(isinstance(job[name], str) for name in ("position", "description", "start"))
    # hh.ru's own fields stay unchanged, beside the others
    assert {contact["type"]["id"] for contact in resume["contact"]} == {"cell", "email"}
    assert resume["skill_set"] == resume["skills"]
    assert resume["hh_skills"] == resume["summary"]
    assert resume["hh_education"]["level"]["id"] == "higher"
    assert resume["hh_education"]["primary"][0]["name"] == school["school"]


def test_resume_without_a_text_has_no_summary(core):
    _, jwt = core.log_in("egor")
    [item] = listed(core, jwt)
    resume = detail(core, jwt, item["id"]).body["resume"]
    assert resume["summary"] is None
    assert resume["email"] == "egor.tikhonov@example.org"


EMAIL, CELL = {"type": {"id": "email"}}, {"type": {"id": "cell"}}
PHONE = {"country": "7", "city": "900", "number": "5550101", "formatted": "+7 (900) 555-01-01"}


@pytest.mark.parametrize(
    ("contact", "email", "phone"),
    [
        (None, None, None),
        ([], None, None),
        ([{**EMAIL, "value": None}, {**CELL, "value": None}, {"type": None}, {}], None, None),
        ([{**CELL, "value": {"formatted": PHONE["formatted"]}}], None, "+79005550101"),
        ([{**CELL, "value": {"country": "375", "city": "29", "number": "555-01-01"}}], None,
         "+375295550101"),
        ([{**CELL, "value": {}}, {**EMAIL, "value": "a@example.org"}], "a@example.org", None),
        ([{**CELL, "value": PHONE},
          {**CELL, "value": {**PHONE, "number": "5550199"}, "preferred": True}],
         None, "+79005550199"),
    ],
)  # fmt: skip
def test_contacts_of_every_hh_ru_shape_are_read(core, anna, monkeypatch, contact, email, phone):
    resume = {"id": "a1", "contact": contact, "skills": None}
    monkeypatch.setattr(HHClient, "resume", lambda *_: resume)
    reply = detail(core, anna, "a1")
    assert reply.status == 200
    assert reply.body["resume"] == {
        **resume, "title": None, "email": email, "phone": phone, "summary": None,
        "skills": [], "education": [], "experience": [], "hh_skills": None, "hh_education": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("education", "schools"),
    [
        (None, []),
        ({}, []),
        ({"level": {"id": "secondary", "name": "Среднее"}}, [("Среднее", "")]),
        ({"level": None, "primary": None, "elementary": [{"name": "Школа № 3", "year": 1999}]},
         [("Школа № 3", "")]),
        ({"primary": [{"name": "Институт", "result": None}],
          "additional": [{"name": "Курсы", "organization": "Центр", "result": "Сметы"}],
          "attestation": [{"name": "Экзамен", "organization": "Центр", "result": "Допуск"}]},
         [("Институт", ""), ("Курсы", "Сметы"), ("Экзамен", "Допуск")]),
    ],
)  # fmt: skip
def test_education_of_every_hh_ru_shape_is_read(core, anna, monkeypatch, education, schools):
    hh_resume = {"id": "a1", "education": education, "skill_set": None, "experience": None}
    monkeypatch.setattr(HHClient, "resume", lambda *_: hh_resume)
    resume = detail(core, anna, "a1").body["resume"]
    assert [(school["school"], school["result"]) for school in resume["education"]] == schools
    assert resume["hh_education"] == (education or None)
    assert (resume["skills"], resume["experience"]) == ([], [])


def test_job_without_a_company_or_text_has_empty_strings(core, anna, monkeypatch):
    jobs = [
        {"position": None, "company": None, "description": None, "start": "2020-02-01"},
        {"position": "Повар", "company": None, "employer": {"name": "Кафе"}, "description": "Суп"},
    ]
    monkeypatch.setattr(HHClient, "resume", lambda *_: {"id": "a1", "experience": jobs})
    experience = detail(core, anna, "a1").body["resume"]["experience"]
    fields = ("position", "company", "description")
    assert [tuple(job[name] for name in fields) for job in experience] == [
        ("", "", ""),
        ("Повар", "Кафе", "Суп"),
    ]
    assert experience[0]["start"] == "2020-02-01"


def test_foreign_or_missing_resume_is_not_found(core, anna):
    _, timurs = core.log_in("timur")
    [timurs_resume] = listed(core, timurs)
    for resume_id in (timurs_resume["id"], "0" * 38, "не-резюме", "../../me", ""):
        reply = detail(core, anna, resume_id)
        assert reply.refusal == (404, "resume_not_found")
    assert core.hits("GET /me") == 0
    assert detail(core, timurs, timurs_resume["id"]).status == 200


def test_wrong_secret_beside_a_token_is_ignored(core, anna):
    assert len(core.call("GET /api/hh/resumes", jwt=anna, secret="wrong").body["items"]) == 2


def test_expired_pair_is_renewed_during_the_request(core, anna):
    core.sandbox.advance(LIFE_S + 1)
    assert len(listed(core, anna)) == 2
    assert core.hits() == 1
    assert len(listed(core, anna)) == 2
    assert core.hits() == 1


def test_each_read_is_recorded(core, anna):
    [item, *_] = listed(core, anna)
    core.call(
        "GET /api/hh/resumes/{id}",
        jwt=anna,
        parameters={"id": item["id"]},
        request_id="request-of-a-read",
    )
    detail(core, anna, "0" * 38)
    core.sandbox.fault("server_error", path="/resumes", times=1)
    get(core, "resumes", anna)
    assert core.audited()[1:] == [
        ("user", "resumes.list", "ok"),
        ("user", "resumes.read", "ok"),
        ("user", "resumes.read", "resume_not_found"),
        ("user", "resumes.list", "hh_unavailable"),
    ]
    rows = core.rows("SELECT * FROM audit_log ORDER BY id")[1:]
    assert rows[1]["request_id"] == "request-of-a-read"
    [user] = core.rows("SELECT id, account_id FROM users")
    for row in rows:
        assert (row["user_id"], row["account_id"]) == (user["id"], user["account_id"])
        assert abs((row["at"] - core.now()).total_seconds()) < 60


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("server_error", "hh_unavailable"),
        ("bad_gateway", "hh_unavailable"),
        ("drop", "hh_unavailable"),
        ("truncated", "hh_unavailable"),
        ("too_many_requests", "hh_busy"),
        ("edge_block", "hh_region_blocked"),
        ("vpn_check", "hh_region_blocked"),
    ],
)
def test_failure_of_hh_ru_is_503_and_keeps_the_access_state(core, anna, fault, code):
    session_id = core.rows("SELECT id FROM users")[0]["id"]
    before = core.access(str(session_id))
    core.sandbox.fault(fault, path="/resumes", times=1)
    reply = get(core, "resumes", anna)
    assert reply.refusal == (503, code)
    assert int(reply.headers["retry-after"]) >= 1
    assert core.access(str(session_id)) == before


# ── visibility, and raising ──────────────────────────────────────────────────────────────────────

RAISE, SCHEDULE = "POST /api/hh/resumes/{id}/raise", "PUT /api/hh/resumes/{id}/raise-schedule"
SHOW = "GET /api/hh/resumes/{id}/raise"


def test_list_says_who_sees_each_resume_and_why(core, anna):
    python, backend = (core.sandbox.resumes("anna")[t] for t in ("Python-разработчик",
                                                                 "Backend-инженер"))  # fmt: skip
    note = "block_no_function"
    blocked = {"status": "blocked", "notes": [note]}
    core.sandbox.control("POST", f"/people/anna/resumes/{python}", blocked)
    core.sandbox.control("POST", f"/people/anna/resumes/{backend}", {"access": "no_one"})
    shown = {item["id"]: item["visibility"] for item in listed(core, anna)}
    [reason] = shown[python]["reasons"]
    assert (shown[python]["seen_by"], reason["code"]) == ("none", "blocked")
    assert reason["notes"] == ["Опишите подробнее свои обязанности и функции."]
    [reason] = shown[backend]["reasons"]
    assert (shown[backend]["seen_by"], reason["code"]) == ("none", "hidden_from_all")
    assert core.hits("GET /resumes/{resume_id}") == 1, "the blocked one alone is read in full"


def test_list_names_missing_fields_unless_they_cannot_be_read(core):
    _, jwt = core.log_in("egor")
    [item] = listed(core, jwt)
    codes = [reason["code"] for reason in item["visibility"]["reasons"]]
    assert codes == ["not_published", "resume_incomplete"]
    assert "Ключевые навыки" in item["visibility"]["reasons"][1]["notes"]
    core.sandbox.fault("server_error", path="/resumes/" + item["id"])
    [item] = listed(core, jwt)
    assert [reason["notes"] for reason in item["visibility"]["reasons"]] == [[], []]


def test_resume_is_raised_and_scheduled_by_its_routes(core, anna):
    resume_id = core.sandbox.resumes("anna")["Python-разработчик"]
    parameters = {"id": resume_id}
    body = {"schedule": {"mode": "at_times", "times": ["09:00"], "days": [1]}}
    options = {"parameters": parameters, "jwt": anna, "secret": None}
    scheduled = core.call(SCHEDULE, body=body, **options)
    assert scheduled.status == 200, scheduled
    assert scheduled.body["schedule"]["time_zone"] == "Europe/Moscow"
    assert scheduled.body["scheduled_at"]
    raised = core.call(RAISE, **options)
    assert (raised.status, raised.body["outcome"]) == (200, "raised")
    assert core.call(SHOW, **options).body == raised.body
    [row] = core.rows("SELECT user_id FROM audit_log WHERE action = 'resume.raise'")
    user = {"user_id": str(row["user_id"])}
    core.sandbox.advance(120)
    again = core.call(RAISE, query=user, parameters=parameters)
    assert again.refusal == (409, "raise_too_early")
    assert again.body["details"]["next_raise_at"]
    shown = {item["id"]: item["raising"] for item in listed(core, anna)}
    assert shown[resume_id]["raised_at"] == raised.body["raised_at"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"schedule": {"mode": "at_times"}}, "schedule"),
        ({"schedule": {"mode": "often"}}, "schedule.mode"),
        ({"schedule": {"mode": "at_times", "times": ["9"]}}, "schedule.times[0]"),
        ({"mode": "off"}, "mode"),
    ],
)
def test_wrong_schedule_names_its_field(core, anna, body, field):
    parameters = {"id": core.sandbox.resumes("anna")["Python-разработчик"]}
    reply = core.call(SCHEDULE, body=body, parameters=parameters, jwt=anna, secret=None)
    assert reply.refusal == (422, "invalid_request")
    assert reply.body["details"]["fields"][0]["field"] == field
    assert core.rows("SELECT FROM resume_raises") == []
