"""What hh.ru's documents of 2026 changed in answers: texts of /token, 403s, /me, dictionaries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from local.sandbox.dictionaries import catalogue
from local.sandbox.oauth import pkce

if TYPE_CHECKING:
    from tests.fixtures.hh_sandbox import HhSandbox

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
PKCE = {"code_challenge": pkce.challenge(VERIFIER), "code_challenge_method": "S256"}


@pytest.mark.parametrize(
    ("era", "text"),
    [
        ("2025", "code_verifier does not match code_challenge"),
        ("2026", "code verifier mismatch"),
    ],
)
def test_wrong_verifier_has_the_text_of_the_era(hh_sandbox: HhSandbox, era: str, text: str) -> None:
    hh_sandbox.set_era(era)
    code = hh_sandbox.consent("anna", **PKCE)["code"]
    answer = hh_sandbox.grant(
        grant_type="authorization_code", code=code, code_verifier=VERIFIER + "x"
    )
    refusal = {"error": "invalid_grant", "error_description": text}
    assert (answer.status_code, answer.json()) == (400, refusal)


def test_token_endpoint_has_its_own_text_for_an_absent_agent(hh_sandbox: HhSandbox) -> None:
    def refused(path: str) -> dict[str, object]:
        url = hh_sandbox.url + path
        answer = httpx.post(url, headers={"User-Agent": ""}, data={}, trust_env=False)
        assert answer.status_code == 400
        body: dict[str, object] = answer.json()
        return body

    entry = [{"type": "bad_user_agent", "value": "unset"}]
    assert refused("/token")["errors"] == entry
    hh_sandbox.set_era("2026")
    expected = {"error": "invalid_request", "error_description": "user agent required"}
    assert refused("/token") == expected
    assert refused("/negotiations")["errors"] == entry


def test_exchange_limit_refuses_codes_and_refreshing_alone(hh_sandbox: HhSandbox) -> None:
    pair = hh_sandbox.log_in("anna")
    code = hh_sandbox.consent("anna")["code"]
    hh_sandbox.fault("exchange_limit", times=2)
    limit = {"error": "invalid_grant", "error_description": "force exchange limit exceeded"}
    refused = hh_sandbox.grant(grant_type="authorization_code", code=code)
    assert (refused.status_code, refused.json()) == (400, limit)
    token = pair["refresh_token"]
    refused = hh_sandbox.grant(grant_type="refresh_token", refresh_token=token)
    assert (refused.status_code, refused.json()) == (400, limit)
    assert hh_sandbox.call("GET", "/me", pair["access_token"]).status_code == 200
    assert hh_sandbox.grant(grant_type="authorization_code", code=code).status_code == 200


@pytest.mark.parametrize(("era", "has_null"), [("2025", True), ("2026", False)])
def test_captcha_has_no_null_in_2026(hh_sandbox: HhSandbox, era: str, has_null: bool) -> None:
    hh_sandbox.set_era(era)
    hh_sandbox.fault("captcha", times=1)
    answer = hh_sandbox.call("GET", "/vacancies", hh_sandbox.token())
    (entry,) = answer.json()["errors"]
    assert ("fallback_url" in entry) is has_null


def test_application_token_on_a_persons_method_is_named_in_2026(hh_sandbox: HhSandbox) -> None:
    def errors(verb: str, path: str) -> object:
        answer = hh_sandbox.call(verb, path, hh_sandbox.token())
        assert answer.status_code == 403
        return answer.json()["errors"]

    calls = [("GET", "/negotiations"), ("DELETE", "/token")]
    assert [errors(*call) for call in calls] == [[{"type": "forbidden"}]] * 2
    hh_sandbox.set_era("2026")
    named = [{"type": "oauth", "value": "user_auth_expected"}]
    assert [errors(*call) for call in calls] == [named] * 2


def test_person_keeps_counters_and_has_an_iso_time_in_2026(hh_sandbox: HhSandbox) -> None:
    token = hh_sandbox.log_in("anna")["access_token"]
    before = hh_sandbox.call("GET", "/me", token).json()
    hh_sandbox.set_era("2026")
    me = hh_sandbox.call("GET", "/me", token).json()
    changed = me["user_statuses"]["job_search_status"]["last_change_time"]
    assert changed == "2026-08-01T10:48:44.267Z"
    assert before["user_statuses"]["job_search_status"]["last_change_time"] != changed
    assert me["counters"] == before["counters"]
    assert me["counters"].keys() == {"new_resume_views", "unread_negotiations", "resumes_count"}


def test_new_dictionaries_appear_with_their_version(hh_sandbox: HhSandbox) -> None:
    old = hh_sandbox.call("GET", "/dictionaries")
    hh_sandbox.set_era("2026")
    new = hh_sandbox.call("GET", "/dictionaries")
    assert set(new.json()) - set(old.json()) == set(catalogue.DICTIONARIES_SINCE)
    assert old.headers["ETag"] != new.headers["ETag"]


def test_excluded_employer_widens_a_search_in_2026(hh_sandbox: HhSandbox) -> None:
    made = hh_sandbox.publish("Настройщик органов", employer="Филармония")
    employer = made["employer"]["id"]

    def found() -> int:
        query = {"text": "настройщик органов", "excluded_employer_id": employer}
        answer = hh_sandbox.call("GET", "/vacancies", hh_sandbox.token(), params=query)
        return int(answer.json()["found"])

    narrow = found()
    hh_sandbox.set_era("2026")
    assert found() > narrow
