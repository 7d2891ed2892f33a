"""Answers of hh.ru that are kept with their age: a list of resumes, vacancies in full."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.harness import applying
from ullgetthejob.accounts import disconnect, kept_resumes, resumes
from ullgetthejob.vacancies import store

HOUR_S = 3600
RESUMES, VACANCY = "GET /resumes/mine", "GET /vacancies/"


@pytest.fixture
def calls(harness):
    """Count the sandbox's calls of a route since the test began."""
    harness.world.sandbox.control("DELETE", "/hits")

    def number(route):
        routes = harness.world.sandbox.control("GET", "/state")["calls"]["by_route"]
        return sum(times for name, times in routes.items() if name.startswith(route))

    return number


def send(harness, vacancy=None, **fields):
    accepted = harness.submit(vacancy or applying.publish(harness), **fields)
    harness.run()
    return harness.row(accepted)


def keep(harness, *listed):
    kept_resumes.keep(
        harness.account_id, listed, connection=harness.connection, read_at=harness.world.now()
    )


def kept(harness):
    found = kept_resumes.read(
        harness.account_id, connection=harness.connection, now=harness.world.now()
    )
    return found and found.resumes


def resume(resume_id, title="Повар"):
    return {"id": resume_id, "title": title, "status": {"id": "published"}}


def test_resumes_are_listed_once_an_hour(harness, calls):
    rows = [send(harness) for _ in range(3)]
    assert {row.state for row in rows} == {"submitted"}
    assert len({row.resume_id for row in rows}) == 1
    assert calls(RESUMES) == 1
    harness.world.sandbox.advance(HOUR_S + 1)
    assert send(harness).state == "submitted"
    assert calls(RESUMES) == 2


def test_resume_published_since_is_found(harness, calls):
    keep(harness)
    assert send(harness).state == "submitted"
    assert calls(RESUMES) == 1


def test_requested_resume_that_is_not_kept_is_read_at_hh_ru(harness, calls):
    keep(harness, resume("ab12"))
    wanted = next(iter(harness.world.sandbox.resumes(applying.ANNA).values()))
    row = send(harness, hh_resume_id=wanted)
    assert (row.state, row.resume_id) == ("submitted", wanted)
    assert calls(RESUMES) == 1


def test_resume_that_hh_ru_no_longer_has_is_forgotten(harness, calls):
    keep(harness, resume("ab12"))
    accepted = harness.submit(applying.publish(harness))
    harness.run()
    row = harness.row(accepted)
    assert (row.state, row.reason) == ("queued", "resume_not_available")
    assert kept(harness) is None
    harness.world.sandbox.advance(11)
    harness.run()
    row = harness.row(accepted)
    assert (row.state, row.resume_id != "ab12") == ("submitted", True)
    assert calls(RESUMES) == 1
    outcomes = [entry["outcome"] for entry in harness.posted(vacancy_id=row.vacancy_id)]
    assert outcomes.count("accepted") == 1


def test_equally_fitting_resume_that_was_deleted_is_no_handoff(harness, calls):
    keep(harness, resume("ab12"), resume("cd34"))
    assert send(harness).state == "submitted"
    assert calls(RESUMES) == 1


def test_skills_that_decided_are_read_once(harness, calls):
    own = next(iter(harness.world.sandbox.resumes(applying.ANNA).values()))
    keep(harness, resume(own), {**resume("ab12"), "skill_set": []})
    assert [send(harness).resume_id for _ in range(3)] == [own] * 3
    assert calls("GET /resumes/{") == 1
    assert calls(RESUMES) == 0


def test_older_list_does_not_replace_a_newer_one(harness):
    keep(harness, resume("ab12"))
    kept_resumes.keep(
        harness.account_id,
        [resume("cd34")],
        connection=harness.connection,
        read_at=harness.world.now() - timedelta(minutes=1),
    )
    assert [item["id"] for item in kept(harness)] == ["ab12"]


def test_list_read_by_a_person_is_kept_without_personal_fields(harness, calls):
    listed = resumes.list_resumes(harness.person, harness.context)
    assert {item["id"] for item in kept(harness)} == {item.id for item in listed.items}
    assert all(set(item) == set(kept_resumes.FIELDS) for item in kept(harness))
    row = harness.connection.execute("SELECT resumes FROM account_resumes").fetchone()
    assert "last_name" not in json.dumps(row["resumes"])
    assert send(harness).state == "submitted"
    assert calls(RESUMES) == 1


def test_disconnecting_forgets_the_resumes(harness):
    keep(harness, resume("ab12"))
    disconnect.disconnect(harness.person, harness.context)
    rows = harness.connection.execute("SELECT account_id FROM account_resumes").fetchall()
    assert rows == []


def read_in_full(harness, vacancy):
    detail = harness.hh.vacancy(vacancy)
    store.store_detail(detail, connection=harness.connection, now=harness.world.now())


@pytest.mark.parametrize(("age_s", "read_again"), [(0, 0), (590, 0), (601, 1)])
def test_vacancy_is_read_again_ten_minutes_later(harness, calls, age_s, read_again):
    vacancy = applying.publish(harness)
    read_in_full(harness, vacancy)
    harness.world.sandbox.advance(age_s)
    before = calls(VACANCY)
    assert send(harness, vacancy).state == "submitted"
    assert calls(VACANCY) - before == read_again


def test_vacancy_that_would_stop_the_application_is_read_again(harness, calls):
    vacancy = applying.publish(harness, has_test=True)
    read_in_full(harness, vacancy)
    before = calls(VACANCY)
    assert send(harness, vacancy).reason == "test_required"
    assert calls(VACANCY) - before == 1


def test_vacancy_closed_since_it_was_read_is_refused_by_hh_ru(harness):
    vacancy = applying.publish(harness)
    read_in_full(harness, vacancy)
    harness.world.sandbox.control("POST", f"/vacancies/{vacancy}/close", {})
    row = send(harness, vacancy)
    assert row.state == "refused"
    assert not [entry for entry in harness.posted() if entry["outcome"] == "accepted"]


def test_vacancy_is_read_again_for_a_person_with_filters(harness, calls):
    vacancy = applying.publish(harness)
    read_in_full(harness, vacancy)
    accepted = harness.submit(vacancy)
    harness.connection.execute(
        "INSERT INTO application_filters (account_id, rules, updated_at) VALUES (%s, %s, %s)",
        (
            harness.account_id,
            json.dumps({"title_words": ["python-разработчик"]}),
            harness.world.now(),
        ),
    )
    before = calls(VACANCY)
    harness.run()
    row = harness.row(accepted)
    assert (row.state, row.reason) == ("refused", "filtered_title")
    assert calls(VACANCY) == before + 1
