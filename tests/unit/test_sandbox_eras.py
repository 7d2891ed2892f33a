"""The eras of hh.ru: which methods are open in each."""

from __future__ import annotations

import pytest

from local.sandbox.eras import Access, Era, Method, eras, methods, version

APPLY = "POST /negotiations"
WRITES_OF_RESUMES = {
    "POST /resumes",
    "PUT /resumes/{resume_id}",
    "DELETE /resumes/{resume_id}",
}
PUBLISH = "POST /resumes/{resume_id}/publish"
READS = {"GET /resumes/mine", "GET /resumes/{resume_id}", "GET /negotiations"}
ALWAYS_OPEN = {"POST /token", "DELETE /token", "GET /me", "GET /vacancies", "GET /dictionaries"}


def refusals(era: str) -> dict[str, int | None]:
    return {name: eras()[era].refusal_of(method) for name, method in methods().items()}


def test_everything_is_open_in_2025() -> None:
    assert set(refusals("2025").values()) == {None}


@pytest.mark.parametrize("era", eras())
def test_login_me_and_search_are_open_in_every_era(era: str) -> None:
    assert {refusals(era)[name] for name in ALWAYS_OPEN} == {None}


def test_closed_forbids_exactly_the_methods_of_applicants() -> None:
    applicants = {n for n, method in methods().items() if method.caller is Access.APPLICANT}
    answers = refusals("closed")
    assert {name for name, status in answers.items() if status is not None} == applicants
    assert {answers[name] for name in applicants} == {403}


@pytest.mark.parametrize("status", [404, 405, 410])
def test_removed_methods_answer_the_status_of_the_era(status: int) -> None:
    answers = refusals(f"removed-{status}")
    closed = {name for name, answer in answers.items() if answer is not None}
    assert closed == {APPLY, PUBLISH, *WRITES_OF_RESUMES}
    assert {answers[name] for name in closed} == {status}
    assert {answers[name] for name in READS} == {None}


def test_2026_leaves_applicants_login_me_and_search() -> None:
    answers = refusals("2026")
    for name, method in methods().items():
        assert (answers[name] is None) == (method.caller is not Access.APPLICANT), name
    assert {answers[name] for name in (APPLY, *WRITES_OF_RESUMES)} == {405}
    assert {answers[name] for name in READS} == {403}
    assert answers[PUBLISH] == 404


def test_method_is_absent_before_its_first_version() -> None:
    new = Method("GET", "/new", Access.APPLICANT, since=version("1.60.0"))
    assert eras()["2026"].refusal_of(new) == 404
    assert Era("later", "", version("1.60.0")).refusal_of(new) is None


def test_employer_method_stays_open_to_approved_applications() -> None:
    reading = Method("GET", "/read", Access.APPLICANT, employers=version("1.29.0"))
    assert eras()["2025"].refusal_of(reading) is None
    assert Era("new", "", version("1.29.0")).refusal_of(reading) == 403
    assert Era("old", "", version("1.29.0"), approved=True).refusal_of(reading) is None


def test_versions_are_compared_as_numbers() -> None:
    assert version("1.9.1") < version("1.30.0") < version("1.30.1")


def test_era_follows_its_own_and_older_versions() -> None:
    assert eras()["2026"].follows("1.54.0")
    assert eras()["removed-404"].follows("1.30.0")
    assert not eras()["removed-404"].follows("1.30.1")
