"""The sandbox's ``/oauth/authorize``: the page, its validation, and its redirects."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from local.sandbox.people import people
from tests.fixtures.hh_sandbox import NO_TLS, REDIRECT_URI, run_sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.hh_sandbox import HhSandbox

BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/140"}
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def authorize(sandbox: HhSandbox, /, **query: str) -> httpx.Response:
    parameters = {"response_type": "code", "client_id": sandbox.client_id, **query}
    return httpx.get(
        f"{sandbox.url}/oauth/authorize", params=parameters, headers=BROWSER, trust_env=False
    )


def redirect_of(answer: httpx.Response) -> tuple[str, dict[str, str]]:
    assert answer.status_code == 302, answer.text
    address, _, query = answer.headers["Location"].partition("?")
    return address, dict(parse_qsl(query))


def test_page_is_russian_and_lists_all_people(hh_sandbox: HhSandbox) -> None:
    page = authorize(hh_sandbox)
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert '<html lang="ru">' in page.text
    for person in people.all_people().values():
        assert f'value="{person.key}"' in page.text
        assert person.name in page.text
    assert "Войти и разрешить" in page.text
    assert "Отказать" in page.text


def test_page_needs_no_user_agent_and_has_no_limit(hh_sandbox: HhSandbox) -> None:
    hh_sandbox.limit(1)
    pages = [
        httpx.get(
            f"{hh_sandbox.url}/oauth/authorize",
            params={"response_type": "code", "client_id": hh_sandbox.client_id},
            headers={"User-Agent": "curl/8"},
            trust_env=False,
        )
        for _ in range(3)
    ]
    assert [page.status_code for page in pages] == [200, 200, 200]


def test_consent_redirects_with_code_and_state(hh_sandbox: HhSandbox) -> None:
    back = hh_sandbox.consent("anna", state="s p&ace=ж")
    assert back["state"] == "s p&ace=ж"
    assert set(back) == {"code", "state"}


def test_redirect_without_state_has_none(hh_sandbox: HhSandbox) -> None:
    assert set(hh_sandbox.consent("anna")) == {"code"}


def test_denial_redirects_with_access_denied(hh_sandbox: HhSandbox) -> None:
    assert hh_sandbox.consent("anna", decision="deny", state="s") == {
        "error": "access_denied",
        "state": "s",
    }


def test_form_without_a_person_shows_the_page_again(hh_sandbox: HhSandbox) -> None:
    answer = hh_sandbox.call(
        "POST",
        "/oauth/authorize",
        params={"response_type": "code", "client_id": hh_sandbox.client_id},
        data={"decision": "allow", "person": "unknown"},
    )
    assert (answer.status_code, "Войти" in answer.text) == (200, True)


def test_redirect_uri_defaults_to_the_registered_address(
    hh_sandbox: HhSandbox,
) -> None:
    hh_sandbox.control("POST", "/auto-login", {"person": "anna"})
    assert redirect_of(authorize(hh_sandbox))[0] == REDIRECT_URI
    deeper = f"{REDIRECT_URI}/deep"
    assert redirect_of(authorize(hh_sandbox, redirect_uri=deeper))[0] == deeper
    address, query = redirect_of(authorize(hh_sandbox, redirect_uri=f"{REDIRECT_URI}?more=1"))
    assert (address, query["more"]) == (REDIRECT_URI, "1")


@pytest.mark.parametrize(
    "query",
    [
        {"client_id": "another"},
        {"redirect_uri": "https://evil.example.net/"},
        {"redirect_uri": REDIRECT_URI + "s"},
        {"redirect_uri": ""},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_wrong_client_or_address_shows_an_error_page(
    hh_sandbox: HhSandbox, query: dict[str, str], method: str
) -> None:
    hh_sandbox.control("POST", "/auto-login", {"person": "anna"})
    parameters = {"response_type": "code", "client_id": hh_sandbox.client_id, **query}
    answer = hh_sandbox.call(method, "/oauth/authorize", params=parameters)
    assert answer.status_code == 400
    assert "Ошибка авторизации" in answer.text
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": CHALLENGE}, "invalid_request"),
        ({"code_challenge": CHALLENGE, "code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short", "code_challenge_method": "S256"}, "invalid_request"),
        ({"code_challenge_method": "S256"}, "invalid_request"),
    ],
)
def test_other_errors_redirect_to_the_application(
    hh_sandbox: HhSandbox, query: dict[str, str], error: str
) -> None:
    assert redirect_of(authorize(hh_sandbox, state="s", **query)) == (
        REDIRECT_URI,
        {"error": error, "state": "s"},
    )


def test_skip_choose_account_reuses_an_earlier_consent(
    hh_sandbox: HhSandbox,
) -> None:
    parameters = {"response_type": "code", "client_id": hh_sandbox.client_id}
    with httpx.Client(
        base_url=hh_sandbox.url, headers=BROWSER, trust_env=False, verify=NO_TLS
    ) as browser:
        first = browser.get("/oauth/authorize", params=parameters | {"skip_choose_account": "true"})
        assert first.status_code == 200
        browser.post(
            "/oauth/authorize", params=parameters, data={"person": "olga", "decision": "allow"}
        )
        chooser = browser.get("/oauth/authorize", params=parameters)
        assert (chooser.status_code, 'value="olga" required checked' in chooser.text) == (200, True)
        skipped = browser.get(
            "/oauth/authorize", params=parameters | {"skip_choose_account": "true"}
        )
        assert "code" in redirect_of(skipped)[1]
        both = {"skip_choose_account": "true", "force_login": "true"}
        forced = browser.get("/oauth/authorize", params=parameters | both)
        assert (forced.status_code, " checked" in forced.text) == (200, False)
        hh_sandbox.control("POST", "/people/olga/revoke")
        again = browser.get("/oauth/authorize", params=parameters | {"skip_choose_account": "true"})
        assert again.status_code == 200  # revoking the tokens revoked the consent


@pytest.mark.parametrize("state", ["locked", "deleted"])
def test_locked_account_cannot_log_in(hh_sandbox: HhSandbox, state: str) -> None:
    hh_sandbox.control("POST", "/people/anna/account", {"state": state})
    hh_sandbox.control("POST", "/auto-login", {"person": "anna"})
    page = authorize(hh_sandbox)
    assert (page.status_code, "заблокирована" in page.text) == (403, True)


def test_faults_apply_to_the_authorize_page(hh_sandbox: HhSandbox) -> None:
    hh_sandbox.fault("bad_gateway", path="/oauth/authorize", times=1)
    assert [authorize(hh_sandbox).status_code for _ in range(2)] == [502, 200]


def test_environment_sets_auto_login_and_redirect_uri(tmp_path: Path) -> None:
    environment = {"SANDBOX_AUTO_LOGIN": "timur", "HH_REDIRECT_URI": "http://localhost:9/back"}
    with run_sandbox(tmp_path, "--vacancies", "20", environment=environment) as sandbox:
        address, query = redirect_of(authorize(sandbox, state="s"))
        assert (address, query["state"]) == ("http://localhost:9/back", "s")
        tokens = sandbox.grant(grant_type="authorization_code", code=query["code"]).json()
        assert sandbox.call("GET", "/me", tokens["access_token"]).json()["first_name"] == "Тимур"


def test_command_line_option_sets_the_redirect_uri(tmp_path: Path) -> None:
    registered = "https://other.example.org/x"
    options = ("--vacancies", "20", "--redirect-uri", registered)
    with run_sandbox(tmp_path, *options) as sandbox:
        assert authorize(sandbox, redirect_uri=registered).status_code == 200
        assert authorize(sandbox, redirect_uri=REDIRECT_URI).status_code == 400
        back = sandbox.call(
            "POST",
            "/oauth/authorize",
            params={"response_type": "code", "client_id": sandbox.client_id},
            data={"person": "anna", "decision": "allow"},
        )
        assert urlsplit(back.headers["Location"]).netloc == "other.example.org"
