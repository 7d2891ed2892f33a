"""``GET /me`` of the sandbox, the use of people's tokens, and the control routes about people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from local.sandbox.people import people
from local.sandbox.people.people_control import STATES

if TYPE_CHECKING:
    from tests.fixtures.hh_sandbox import HhSandbox

# Keys of the answer that hh.ru's own specification gives for an applicant.
APPLICANT = {
    "auth_type", "is_applicant", "is_employer", "is_admin", "is_application", "is_anonymous",
    "is_employer_integration", "id", "email", "first_name", "middle_name", "mid_name", "last_name",
    "phone", "is_in_search", "resumes_url", "negotiations_url", "employer", "manager",
    "personal_manager", "counters", "profile_videos", "user_statuses", "linked_socials",
}  # fmt: skip


def me(sandbox: HhSandbox, token: str) -> Any:
    return sandbox.call("GET", "/me", token).raise_for_status().json()


@pytest.mark.parametrize("mode", ["open", "closed"])
def test_me_of_an_applicant(hh_sandbox: HhSandbox, mode: str) -> None:
    token = hh_sandbox.log_in("anna")["access_token"]
    hh_sandbox.control("POST", "/mode", {"mode": mode})
    body = me(hh_sandbox, token)
    assert set(body) == APPLICANT
    assert (body["auth_type"], body["is_applicant"], body["is_employer"]) == (
        "applicant",
        True,
        False,
    )
    assert (body["id"], body["last_name"]) == ("170000001", "Веснина")
    assert (body["email"], body["phone"]) == ("anna.vesnina@example.org", "79005550101")
    assert body["counters"]["resumes_count"] == 2
    assert (body["employer"], body["manager"]) == (None, None)


def test_me_of_an_employer(hh_sandbox: HhSandbox) -> None:
    body = me(hh_sandbox, hh_sandbox.log_in("employer")["access_token"])
    assert (body["auth_type"], body["is_applicant"], body["is_employer"]) == (
        "employer",
        False,
        True,
    )
    assert body["employer"] == {
        "id": "900001",
        "name": "ООО «Ромашка»",
        "manager_id": body["id"],
    }
    assert body["resumes_url"] is None


def test_me_of_the_application_has_only_flags(hh_sandbox: HhSandbox) -> None:
    assert me(hh_sandbox, hh_sandbox.token()) == {
        "auth_type": "application",
        "is_applicant": False,
        "is_employer": False,
        "is_admin": False,
        "is_application": True,
        "is_employer_integration": False,
    }


def test_me_without_a_token_is_forbidden(hh_sandbox: HhSandbox) -> None:
    answer = hh_sandbox.call("GET", "/me")
    assert (answer.status_code, answer.json()["errors"]) == (403, [{"type": "forbidden"}])


def test_two_logins_give_the_same_person(hh_sandbox: HhSandbox) -> None:
    tokens = [hh_sandbox.log_in("olga")["access_token"] for _ in range(2)]
    assert tokens[0] != tokens[1]
    assert me(hh_sandbox, tokens[0]) == me(hh_sandbox, tokens[1])


@pytest.mark.parametrize("person", ["anna", "employer"])
@pytest.mark.parametrize("mode", ["open", "closed"])
def test_person_token_searches_and_reads_vacancies(
    hh_sandbox: HhSandbox, person: str, mode: str
) -> None:
    token = hh_sandbox.log_in(person)["access_token"]
    hh_sandbox.control("POST", "/mode", {"mode": mode})
    found = hh_sandbox.call("GET", "/vacancies", token, params={"per_page": 1}).json()
    detail = hh_sandbox.call("GET", f"/vacancies/{found['items'][0]['id']}", token)
    assert detail.status_code == 200


def test_token_fault_applies_to_people(hh_sandbox: HhSandbox) -> None:
    token = hh_sandbox.log_in("anna")["access_token"]
    hh_sandbox.fault("token_revoked", path="/me", times=1)
    answer = hh_sandbox.call("GET", "/me", token)
    assert answer.json()["errors"] == [{"type": "oauth", "value": "token_revoked"}]
    assert hh_sandbox.call("GET", "/me", token).status_code == 200


# ── control ─────────────────────────────────────────────────────────────────────────────────────


def test_people_are_listed_with_their_account_state(hh_sandbox: HhSandbox) -> None:
    hh_sandbox.log_in("timur")
    hh_sandbox.control("POST", "/people/timur/account", {"state": "locked"})
    listed = {row["key"]: row for row in hh_sandbox.control("GET", "/people")["people"]}
    assert set(listed) == {person.key for person in people.all_people().values()}
    timur = listed["timur"]
    assert (timur["id"], timur["account"], timur["live_token_pairs"]) == (
        "170000002",
        "locked",
        1,
    )
    assert [resume["title"] for resume in timur["resumes"]] == ["Водитель-экспедитор"]
    hh_sandbox.control("DELETE", "/people")
    again = {row["key"]: row for row in hh_sandbox.control("GET", "/people")["people"]}
    assert again["timur"]["account"] == "active"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/people/unknown/password", {}, 404),
        ("/people/unknown/revoke", {}, 404),
        ("/people/unknown/account", {"state": "active"}, 404),
        ("/people/anna/account", {"state": "on holiday"}, 400),
        ("/people/anna/account", [], 400),
        ("/auto-login", {"person": "unknown"}, 400),
        ("/auto-login", {}, 400),
    ],
)
def test_refused_control_call_has_an_explanation(
    hh_sandbox: HhSandbox, path: str, body: Any, status: int
) -> None:
    with pytest.raises(httpx.HTTPStatusError) as refused:
        hh_sandbox.control("POST", path, body)
    assert refused.value.response.status_code == status
    assert refused.value.response.json()["error"]


def test_manual_names_the_people_routes_and_states(hh_sandbox: HhSandbox) -> None:
    manual = httpx.get(f"{hh_sandbox.url}/_sandbox/", trust_env=False).text
    for route in ("/people", "/people/{person}/password", "/people/{person}/revoke", "/auto-login"):
        assert f"/_sandbox{route}" in manual
    assert all(state in manual for state in STATES)


def test_demo_people_are_invented_and_distinct() -> None:
    demo_people = list(people.all_people().values())
    assert [person.kind for person in demo_people].count("employer") == 1
    assert len({person.key for person in demo_people}) == len(demo_people) >= 5
    assert len({person.phone for person in demo_people}) == len(demo_people)
    assert all(person.email.endswith("example.org") for person in demo_people)
    assert all(person.phone.startswith("9") and len(person.phone) == 10 for person in demo_people)
    professions = {person.profession for person in demo_people}
    assert len(professions) == len(demo_people)
