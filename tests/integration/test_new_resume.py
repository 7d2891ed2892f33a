"""Creation of a resume for an application: once, under all faults, before any token is spent."""

import json

import httpx
import pytest

from tests.harness.applying import publish
from tests.harness.new_resumes import CV, TITLE, ResumeHarness, retry_and_run
from ullgetthejob.applications import resume_creation
from ullgetthejob.applications.commands import cancel
from ullgetthejob.hh.client import HHClient
from ullgetthejob.platform.errors import Conflict, Invalid


@pytest.fixture
def harness(quiet_world):
    return ResumeHarness(quiet_world)


# ── without faults ──────────────────────────────────────────────────────────────────────────────


def test_new_resume_is_published_and_sent_once_visible(harness):
    before = harness.resumes
    accepted = harness.submit_with_new_resume()
    harness.run()
    assert harness.state(accepted) == ("queued", "resume_not_visible")
    row = harness.row(accepted)
    assert 0 < (row.due_at - harness.world.now()).total_seconds() <= 10
    assert row.resume_id not in before.values()
    assert (harness.tokens(), harness.posted()) == (20, [])
    harness.world.sandbox.advance(10)
    harness.run()
    row = harness.row(accepted)
    assert (row.state, row.resume_reason) == ("submitted", "made")
    made = set(harness.resumes.values()) - set(before.values())
    assert made == {row.resume_id}
    [posted] = harness.posted()
    assert (posted["resume_id"], posted["outcome"]) == (row.resume_id, "accepted")
    assert harness.count_calls() == harness.count_calls("POST /resumes/{resume_id}/publish") == 1


def test_new_resume_merges_cv_into_best_resume(harness):
    source = harness.resume(harness.resumes["Python-разработчик"])
    accepted = harness.submit_with_new_resume()
    harness.run()
    harness.let_pass(rounds=1)
    made = harness.resume(harness.row(accepted).resume_id)
    assert made["title"] == TITLE
    assert made["skills"] == "Пишу сервисы на Python."
    assert made["skill_set"] == ["PostgreSQL", "Python", "Terraform"]
    assert made["status"]["id"] == "published"
    copied = ("first_name", "last_name", "gender", "area", "citizenship", "contact", "education",
              "experience", "language", "professional_roles", "access")  # fmt: skip
    assert {name: made[name] for name in copied} == {name: source[name] for name in copied}


def test_missing_fields_of_copy_are_written_once(harness):
    changed = []

    def only_the_title(request, send):
        if (request.method, request.url.path) == ("POST", "/resumes"):
            body = json.dumps({"title": json.loads(request.content)["title"]}).encode()
            headers = {**request.headers, "content-length": str(len(body))}
            request = httpx.Request("POST", request.url, headers=headers, content=body)
        if request.method == "PUT":
            changed.append(json.loads(request.content))
        return send(request)

    harness.intercept(only_the_title)
    accepted = harness.submit_with_new_resume()
    harness.run()
    harness.let_pass(rounds=1)
    assert changed == [
        {"skills": CV["summary"], "skill_set": ["PostgreSQL", "Python", "Terraform"]}
    ]
    made = harness.resume(harness.row(accepted).resume_id)
    assert (made["title"], made["skills"]) == (TITLE, CV["summary"])
    assert harness.row(accepted).state == "submitted"


def test_resume_is_not_created_without_request(harness):
    accepted = harness.submit(publish(harness), customized_cv=CV)
    harness.run()
    assert harness.row(accepted).state == "submitted"
    assert (harness.count_calls(), harness.stored(accepted)["new_resume"]) == (0, None)


def test_named_resume_is_copied(harness):
    accepted = harness.submit_with_new_resume(hh_resume_id=harness.resumes["Backend-инженер"])
    harness.run()
    harness.let_pass(rounds=1)
    made = harness.resume(harness.row(accepted).resume_id)
    source = harness.resume(harness.resumes["Backend-инженер"])
    assert (made["title"], made["experience"]) == (TITLE, source["experience"])


@pytest.mark.parametrize(
    ("title", "made"),
    [("Python-разработчик", "Python-разработчик (2)"), (None, "Python-разработчик (2)")],
)
def test_taken_title_gets_number(harness, title, made):
    accepted = harness.submit_with_new_resume(cv={"title": title})
    harness.run()
    harness.let_pass(rounds=1)
    assert harness.row(accepted).resume_id == harness.resumes[made]


def test_two_applications_get_distinct_titles(harness):
    both = [harness.submit_with_new_resume(), harness.submit_with_new_resume()]
    harness.run()
    assert harness.count_calls() == 2, "hh.ru need not refuse a title that the ledger knows"
    harness.let_pass(rounds=2)
    assert [harness.row(application).state for application in both] == ["submitted"] * 2
    assert {harness.row(application).resume_id for application in both} == {
        harness.resumes[TITLE],
        harness.resumes[f"{TITLE} (2)"],
    }


def test_title_taken_invisibly_gets_number(harness):
    token = harness.world.log_in(harness.name).access_token
    hidden = {"title": TITLE, "first_name": "Анна", "last_name": "Веснина", "area": {"id": "2"}}
    harness.world.sandbox.control("POST", "/clock", {"rate": 0})
    accepted = harness.submit_with_new_resume()
    assert harness.world.sandbox.call("POST", "/resumes", token, json=hidden).status_code == 201
    harness.run()
    assert harness.state(accepted) == ("queued", "resume_not_visible")
    harness.let_pass(rounds=1)
    assert harness.row(accepted).resume_id == harness.resumes[f"{TITLE} (2)"]


def test_cv_is_deleted_when_application_is_final(harness):
    accepted = harness.submit_with_new_resume()
    assert harness.stored(accepted)["new_resume"] == {
        "title": TITLE,
        "skills": CV["summary"],
        "skill_set": ["PostgreSQL", "Python", "Terraform"],
    }
    harness.run()
    harness.let_pass(rounds=1)
    row = harness.stored(accepted)
    assert (row["new_resume"], row["new_resume_title"]) == (None, None)
    cancelled = harness.submit_with_new_resume()
    cancel(str(cancelled.application_id), harness.person, harness.context)
    assert harness.stored(cancelled)["new_resume"] is None
    records = harness.connection.execute(
        "SELECT string_agg(events::text, '') || (SELECT string_agg(audit_log::text, '')"
        " FROM audit_log) || (SELECT string_agg(application_history::text, '')"
        " FROM application_history) AS records FROM events"
    ).fetchone()["records"]
    for text in (TITLE, CV["summary"], "Terraform", CV["email"]):
        assert text not in records


# ── what needs the person ───────────────────────────────────────────────────────────────────────


def test_person_without_resume_needs_person(harness):
    vera = ResumeHarness(harness.world, "vera")
    accepted = vera.submit_with_new_resume()
    vera.run()
    assert vera.state(accepted) == ("needs_person", "missing_resume_id")
    assert (vera.count_calls(), vera.tokens()) == (0, 20)


def fill(harness):
    """Create resumes up to hh.ru's limit of twenty; return the person's token."""
    token = harness.world.log_in(harness.name).access_token
    for number in range(20 - len(harness.resumes)):
        body = {"title": f"№ {number}", "first_name": "Анна", "last_name": "В", "area": {"id": "2"}}
        answer = harness.world.sandbox.call("POST", "/resumes", token, json=body)
        assert answer.status_code == 201, answer.text
    harness.world.sandbox.advance(10)
    return token


def test_resume_limit_needs_person_until_one_is_deleted(harness):
    token = fill(harness)
    calls = harness.count_calls()
    accepted = harness.submit_with_new_resume()
    harness.run()
    assert harness.state(accepted) == ("needs_person", "resume_limit")
    assert (harness.count_calls() - calls, harness.tokens()) == (0, 20)
    assert harness.row(accepted).link == resume_creation.RESUMES_PAGE
    unwanted = harness.resumes["№ 0"]
    harness.world.sandbox.call("DELETE", f"/resumes/{unwanted}", token)
    retry_and_run(harness, accepted)
    harness.let_pass(rounds=1)
    assert harness.row(accepted).state == "submitted"


def test_resume_limit_is_known_from_refusal(harness, monkeypatch):
    fill(harness)
    monkeypatch.setattr(HHClient, "may_create_resume", lambda self, token: True)
    accepted = harness.submit_with_new_resume()
    harness.run()
    assert harness.state(accepted) == ("needs_person", "resume_limit")
    assert harness.stored(accepted)["new_resume_asked"] == 0


def test_refused_resume_needs_person(harness):
    accepted = harness.submit_with_new_resume(cv={"title": "TEST_RESUME"})
    harness.run()
    assert harness.state(accepted) == ("needs_person", "resume_incomplete")
    assert harness.row(accepted).link == resume_creation.RESUMES_PAGE
    assert (harness.tokens(), harness.stored(accepted)["new_resume_title"]) == (20, None)


def test_incomplete_copy_is_sent_after_completion(harness):
    egor = ResumeHarness(harness.world, "egor")
    accepted = egor.submit_with_new_resume(cv={"title": "Стажёр-тестировщик"})
    egor.run()
    egor.let_pass(rounds=1)
    assert egor.state(accepted) == ("needs_person", "resume_incomplete")
    made = egor.resumes["Стажёр-тестировщик"]
    assert egor.row(accepted).link == f"https://hh.ru/resume/{made}"
    assert egor.tokens() == 20
    token = egor.world.log_in("egor").access_token
    education = {"level": {"id": "higher"}, "primary": [{"name": "Институт", "year": 2025}]}
    body = {"education": education, "skills": "Своими словами"}
    assert egor.world.sandbox.call("PUT", f"/resumes/{made}", token, json=body).status_code == 204
    retry_and_run(egor, accepted)
    assert (egor.row(accepted).state, egor.row(accepted).resume_id) == ("submitted", made)
    assert egor.count_calls() == 1
    assert egor.resume(made)["skills"] == "Своими словами"


def test_deleted_new_resume_is_not_created_again(harness):
    accepted = harness.submit_with_new_resume()
    harness.run()
    made = harness.row(accepted).resume_id
    harness.world.sandbox.advance(5)
    token = harness.world.log_in(harness.name).access_token
    harness.world.sandbox.call("DELETE", f"/resumes/{made}", token)
    harness.let_pass(seconds=61)
    assert harness.state(accepted) == ("needs_person", "resume_not_available")
    retry_and_run(harness, accepted)
    assert harness.state(accepted) == ("needs_person", "resume_not_available")
    assert (harness.count_calls(), harness.tokens()) == (1, 20)


def test_closed_hh_creates_nothing_and_hands_off(harness):
    accepted = harness.submit_with_new_resume()
    harness.world.sandbox.control("POST", "/mode", {"mode": "closed"})
    harness.run()
    assert harness.state(accepted) == ("handoff", "hh_closed")
    assert harness.stored(accepted)["new_resume_asked"] == 0


def test_archived_vacancy_creates_no_resume(harness):
    vacancy = publish(harness)
    harness.world.sandbox.control("POST", f"/vacancies/{vacancy}/close")
    accepted = harness.submit_with_new_resume(vacancy)
    harness.run()
    assert harness.state(accepted) == ("refused", "vacancy_archived")
    assert harness.count_calls() == 0
    assert harness.stored(accepted)["new_resume"] is None


# ── requests ────────────────────────────────────────────────────────────────────────────────────


def test_new_resume_without_cv_is_refused(harness):
    with pytest.raises(Invalid) as raised:
        harness.submit(publish(harness), create_resume=True)
    assert raised.value.code == "bad_arguments"


def test_reused_key_with_other_cv_is_conflict(harness):
    vacancy = publish(harness)
    first = harness.submit_with_new_resume(vacancy, idempotency_key="k")
    assert (
        harness.submit_with_new_resume(vacancy, idempotency_key="k").application_id
        == first.application_id
    )
    with pytest.raises(Conflict):
        harness.submit_with_new_resume(vacancy, cv={"title": "Другое"}, idempotency_key="k")
    with pytest.raises(Conflict):
        harness.submit(vacancy, customized_cv=CV, idempotency_key="k")
