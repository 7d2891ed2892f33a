"""The client's OAuth and resume calls against a running hh.ru sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.hh_client import Unpaced
from ullgetthejob.hh import errors, oauth
from ullgetthejob.hh.client import HHClient
from ullgetthejob.hh.models import Me
from ullgetthejob.hh.oauth import PAIR_LIFE_S, TokenPair
from ullgetthejob.hh.pacer import Pacer
from ullgetthejob.platform import aws

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.hh_sandbox import HhSandbox

CODE_LIFE_S = 300
USER_AGENT = "UllGetTheJobTests/1.0 (tests@example.org)"


class Login:
    """A person's tokens in memory: a :class:`TokenSource` that refreshes through the client."""

    def __init__(self, client: HHClient, pair: TokenPair) -> None:
        self.client, self.pair = client, pair
        self.reasons: list[str | None] = []

    def current(self) -> str:
        return self.pair.access_token

    def renewed(self, refused: str, reason: str | None) -> str:
        assert refused == self.pair.access_token
        self.reasons.append(reason)
        self.pair = self.client.refresh(self.pair.refresh_token)
        return self.pair.access_token


class People:
    """The sandbox's people, logged in through the client's own calls."""

    def __init__(self, sandbox: HhSandbox, client: HHClient) -> None:
        self.sandbox, self.client = sandbox, client

    def code_of(self, person: str, challenge: str | None = None) -> str:
        """Log *person* in at the login page, and return the code that it sends back."""
        url = oauth.authorize_url(
            f"{self.sandbox.url}/oauth",
            client_id=self.sandbox.client_id,
            redirect_uri=self.sandbox.redirect_uri,
            state="s&1",
            challenge=challenge,
        )
        form = {"person": person, "decision": "allow"}
        answer = self.sandbox.call("POST", url.removeprefix(self.sandbox.url), data=form)
        assert answer.status_code == 302, answer.text
        returned = answer.next_request.url if answer.next_request else None
        assert returned is not None
        assert returned.params["state"] == "s&1"
        return str(returned.params["code"])

    def exchange(self, code: str, **overrides: Any) -> TokenPair:
        application = {
            "client_id": self.sandbox.client_id,
            "client_secret": self.sandbox.client_secret,
            "redirect_uri": self.sandbox.redirect_uri,
        }
        return self.client.exchange_code(code, **(application | overrides))

    def log_in(self, person: str) -> Login:
        return Login(self.client, self.exchange(self.code_of(person)))


@pytest.fixture
def client(hh_sandbox: HhSandbox) -> Iterator[HHClient]:
    client = HHClient(hh_sandbox.url, user_agent=USER_AGENT, pacer=Unpaced())  # type: ignore[arg-type]
    yield client
    client.close()


@pytest.fixture
def people(hh_sandbox: HhSandbox, client: HHClient) -> People:
    return People(hh_sandbox, client)


# ── codes ───────────────────────────────────────────────────────────────────────────────────────


def test_code_returns_a_pair_of_the_person_who_logged_in(people: People) -> None:
    pair = people.exchange(people.code_of("anna"))
    assert pair.expires_in == PAIR_LIFE_S
    assert people.client.me(pair.access_token).id == "170000001"


def test_challenge_is_satisfied_only_by_its_verifier(people: People) -> None:
    verifier = oauth.new_verifier()
    code = people.code_of("anna", oauth.challenge_of(verifier))
    for wrong in (None, oauth.new_verifier()):
        with pytest.raises(errors.HHLoginRefused) as raised:
            people.exchange(code, verifier=wrong)
        assert raised.value.reason == "invalid_grant"
    assert people.client.me(people.exchange(code, verifier=verifier).access_token).is_applicant


def test_used_expired_or_invented_code_is_refused(people: People) -> None:
    used, late = people.code_of("anna"), people.code_of("anna")
    people.exchange(used)
    people.sandbox.advance(CODE_LIFE_S)
    for code, reason in (
        (used, "code_used"),
        (late, "code_expired"),
        ("invented", "code_not_found"),
    ):
        with pytest.raises(errors.HHLoginRefused) as raised:
            people.exchange(code)
        assert raised.value.reason == reason


def test_revoked_code_and_locked_account_have_own_reasons(people: People) -> None:
    code = people.code_of("anna")
    people.sandbox.control("POST", "/people/anna/account", {"state": "locked"})
    with pytest.raises(errors.HHLoginRefused) as raised:
        people.exchange(code)
    assert raised.value.reason == "account_locked"
    assert "unlock it at hh.ru" in raised.value.message
    people.sandbox.control("POST", "/people/anna/account", {"state": "active"})
    people.sandbox.control("POST", "/people/anna/revoke")
    with pytest.raises(errors.HHLoginRefused) as raised:
        people.exchange(code)
    assert raised.value.reason == "code_revoked"


@pytest.mark.parametrize(
    "wrong", [{"client_secret": "x"}, {"client_id": "x"}, {"redirect_uri": "https://x.example"}]
)
def test_wrong_configuration_is_misconfigured_and_spares_code(
    people: People, wrong: dict[str, str]
) -> None:
    code = people.code_of("anna")
    with pytest.raises(errors.HHMisconfigured):
        people.exchange(code, **wrong)
    assert people.exchange(code).expires_in == PAIR_LIFE_S


# ── pairs ───────────────────────────────────────────────────────────────────────────────────────


def test_pair_is_refreshed_once_and_only_after_it_expired(people: People) -> None:
    login = people.log_in("anna")
    old = login.pair
    with pytest.raises(errors.HHTokenNotExpired):
        people.client.refresh(old.refresh_token)
    assert people.client.me(old.access_token).is_applicant
    people.sandbox.advance(PAIR_LIFE_S)
    with pytest.raises(errors.HHTokenRefused) as refused:
        people.client.me(old.access_token)
    assert refused.value.reason == "token_expired"
    new = people.client.refresh(old.refresh_token)
    assert people.client.me(new.access_token).id == "170000001"
    with pytest.raises(errors.HHRefreshRefused) as raised:
        people.client.refresh(old.refresh_token)
    assert raised.value.reason == "already_refreshed"


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/people/anna/password", None, "token_deactivated"),
        ("/people/anna/revoke", None, "token_revoked"),
        ("/people/anna/account", {"state": "locked"}, "account_locked"),
        ("/people/anna/account", {"state": "deleted"}, "account_not_found"),
        ("/people/anna/account", {"state": "password_invalidated"}, "password_invalidated"),
        ("/people/anna/account", {"state": "login_not_verified"}, "login_not_verified"),
    ],
)
def test_change_of_the_account_ends_its_pair_with_a_reason(
    people: People, path: str, body: Any, reason: str
) -> None:
    pair = people.log_in("anna").pair
    people.sandbox.control("POST", path, body)
    people.sandbox.advance(PAIR_LIFE_S)
    with pytest.raises(errors.HHRefreshRefused) as raised:
        people.client.refresh(pair.refresh_token)
    assert raised.value.reason == reason


def test_malformed_refresh_token_is_refused(people: People) -> None:
    access = people.log_in("anna").pair.access_token
    for token, reason in (
        ("", "token_empty"),
        ("invented", "token_not_found"),
        (access, "bad_token"),
    ):
        with pytest.raises(errors.HHRefreshRefused) as raised:
            people.client.refresh(token)
        assert raised.value.reason == reason


def test_revoked_pair_is_refused_and_may_be_revoked_again(
    people: People,
) -> None:
    pair = people.log_in("anna").pair
    people.client.revoke(pair.access_token)
    people.client.revoke(pair.access_token)
    people.client.revoke("invented")
    with pytest.raises(errors.HHTokenRefused) as refused:
        people.client.me(pair.access_token)
    assert refused.value.reason == "token_revoked"
    with pytest.raises(errors.HHRefreshRefused) as raised:
        people.client.refresh(pair.refresh_token)
    assert raised.value.reason == "token_revoked"


def test_expired_token_is_revoked_only_after_a_refresh(people: People) -> None:
    login = people.log_in("anna")
    people.sandbox.advance(PAIR_LIFE_S)
    with pytest.raises(errors.HHTokenRefused) as raised:
        people.client.revoke(login.pair.access_token)
    assert raised.value.reason == "token_expired"
    people.client.revoke(people.client.refresh(login.pair.refresh_token).access_token)


# ── whether hh.ru has acted ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["truncated", "service_unavailable", "bad_gateway", "drop"])
def test_lost_answer_says_that_hh_ru_may_have_acted(people: People, kind: str) -> None:
    pair = people.log_in("anna").pair
    people.sandbox.advance(PAIR_LIFE_S)
    people.sandbox.fault(kind, path="/token", times=1)
    with pytest.raises(errors.HHUnavailable) as raised:
        people.client.refresh(pair.refresh_token)
    assert raised.value.may_have_acted
    if kind != "truncated":
        assert people.client.refresh(pair.refresh_token).expires_in == PAIR_LIFE_S
        return
    with pytest.raises(errors.HHRefreshRefused) as refused:
        people.client.refresh(pair.refresh_token)
    assert refused.value.reason == "already_refreshed"


def test_too_many_requests_spares_the_code(people: People) -> None:
    code = people.code_of("anna")
    people.sandbox.fault("too_many_requests", path="/token", times=1)
    with pytest.raises(errors.HHBusy) as raised:
        people.exchange(code)
    assert not raised.value.may_have_acted
    assert people.exchange(code).expires_in == PAIR_LIFE_S


@pytest.mark.parametrize("reason", ["busy", "region_blocked", "unavailable"])
def test_paused_calls_send_no_token(
    hh_sandbox: HhSandbox, dynamodb_tables: dict[str, str], reason: str
) -> None:
    pacer = Pacer(dynamodb_tables["PACER_TABLE"])
    pacer.pause(reason, 60)
    client = HHClient(hh_sandbox.url, user_agent=USER_AGENT, pacer=pacer)
    for call in (lambda: client.refresh("r1"), lambda: client.revoke("a1")):
        with pytest.raises(errors.HHError) as raised:
            call()
        assert not raised.value.may_have_acted
    client.close()
    assert hh_sandbox.control("GET", "/state")["calls"]["by_route"] == {}


def test_unavailable_pacer_sends_no_token(
    hh_sandbox: HhSandbox, dynamodb_tables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = HHClient(
        hh_sandbox.url, user_agent=USER_AGENT, pacer=Pacer(dynamodb_tables["PACER_TABLE"])
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    aws.reset_connections()
    with pytest.raises(errors.HHUnavailable) as raised:
        client.refresh("r1")
    assert raised.value.code == "pacer_unavailable"
    assert not raised.value.may_have_acted
    client.close()
    assert hh_sandbox.control("GET", "/state")["calls"]["by_route"] == {}


# ── /me and resumes ─────────────────────────────────────────────────────────────────────────────


def test_me_distinguishes_employer_and_applicant(people: People) -> None:
    anna, employer = (
        people.client.me(people.log_in(person).pair.access_token) for person in ("anna", "employer")
    )
    assert anna == Me(
        id="170000001", is_applicant=True, auth_type="applicant", counters=anna.counters
    )
    assert anna.counters.resumes_count == 2
    assert (employer.is_applicant, employer.is_employer) == (False, True)


def test_person_sees_all_resumes_and_each_in_full(people: People) -> None:
    anna = people.log_in("anna")
    items = people.client.resumes(anna)
    assert {item["title"] for item in items} == {"Python-разработчик", "Backend-инженер"}
    for item in items:
        assert people.client.resume(anna, item["id"])["title"] == item["title"]
    assert people.client.resumes(people.log_in("vera")) == []


def test_resume_of_another_person_is_not_found(people: People) -> None:
    annas = people.client.resumes(people.log_in("anna"))[0]["id"]
    for resume_id in (annas, "0" * 38, "../me"):
        with pytest.raises(errors.HHResumeNotFound) as raised:
            people.client.resume(people.log_in("olga"), resume_id)
        assert raised.value.code == "resume_not_found"


def test_expired_token_is_renewed_during_the_call(people: People) -> None:
    anna = people.log_in("anna")
    people.sandbox.advance(PAIR_LIFE_S)
    assert len(people.client.resumes(anna)) == 2
    assert anna.reasons == ["token_expired"]


def test_closed_resumes_do_not_renew_the_token(people: People) -> None:
    anna, employer = people.log_in("anna"), people.log_in("employer")
    people.sandbox.control("POST", "/mode", {"mode": "closed"})
    for login in (anna, employer):
        with pytest.raises(errors.HHForbidden):
            people.client.resumes(login)
        with pytest.raises(errors.HHForbidden):
            people.client.resume(login, "0" * 38)
        assert login.reasons == []
    assert people.client.me(anna).is_applicant


def test_captcha_link_leads_back(people: People) -> None:
    anna = people.log_in("anna")
    people.sandbox.fault("captcha", path="/resumes", times=1)
    with pytest.raises(errors.HHCaptcha) as raised:
        people.client.resumes(anna)
    link = raised.value.link("https://app.example/back")
    assert link == f"{raised.value.captcha_url}&backurl=https%3A%2F%2Fapp.example%2Fback"
    assert len(people.client.resumes(anna)) == 2
