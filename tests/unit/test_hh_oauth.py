"""hh.ru's OAuth: the URL of the login page, PKCE, requests for tokens, and their responses."""

import string
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest

from ullgetthejob.hh import errors, oauth
from ullgetthejob.hh.client import HHClient
from ullgetthejob.hh.oauth import TokenPair

ROOT = Path(__file__).parents[2]
PAIR = {
    "access_token": "USERaccess", "refresh_token": "USERrefresh", "token_type": "bearer",
    "expires_in": 1_209_599,
}  # fmt: skip


class Slots:
    """A pacer that grants every slot at once, or raises *refusal*."""

    def __init__(self, refusal=None):
        self.refusal = refusal
        self.pauses = []

    def wait(self, *, at_most_s):
        if self.refusal:
            raise self.refusal

    def pause(self, reason, seconds):
        self.pauses.append(reason)


class TokenEndpoint:
    """hh.ru's ``POST /token``, which responds with *status* and *body* or fails with *error*."""

    def __init__(self, status=200, body=None, *, error=None, refusal=None):
        self.requests = []
        self.pacer = Slots(refusal)
        self._answer = (status, PAIR if body is None else body)
        self._error = error
        self.client = HHClient(
            "https://api.hh.example",
            user_agent="UllGetTheJob/1.0 (test@example.org)",
            pacer=self.pacer,
            transport=httpx.MockTransport(self._handle),
        )

    def _handle(self, request):
        self.requests.append(request)
        if self._error:
            raise self._error
        status, body = self._answer
        return httpx.Response(status, json=body)

    def exchange(self, **more):
        return self.client.exchange_code(
            "c&de", client_id="id", client_secret="se&cret", redirect_uri="https://a/b", **more
        )

    def form(self):
        [request] = self.requests
        assert (request.method, request.url.path) == ("POST", "/token")
        assert request.url.query == b""
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert request.headers["user-agent"].startswith("UllGetTheJob/")
        assert "authorization" not in request.headers
        return dict(parse_qsl(request.content.decode(), strict_parsing=True))


# ── the login page ──────────────────────────────────────────────────────────────────────────────


def query_of(url):
    return {name: value for name, [value] in parse_qs(urlsplit(url).query).items()}


@pytest.mark.parametrize("base", ["https://hh.ru/oauth", "https://hh.ru/oauth/"])
def test_login_page_url_requests_a_code(base):
    url = oauth.authorize_url(
        base, client_id="id", redirect_uri="https://core.example/cb?x=1&y=2", state="s/+ t"
    )
    assert url.startswith("https://hh.ru/oauth/authorize?")
    assert query_of(url) == {
        "response_type": "code",
        "client_id": "id",
        "redirect_uri": "https://core.example/cb?x=1&y=2",
        "state": "s/+ t",
    }


def test_challenge_is_sent_with_its_method():
    url = oauth.authorize_url(
        "https://hh.ru/oauth", client_id="id", redirect_uri="u", state="s", challenge="c"
    )
    query = query_of(url)
    assert (query["code_challenge"], query["code_challenge_method"]) == ("c", "S256")


def test_challenge_matches_the_example_of_rfc_7636():
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert oauth.challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_verifiers_are_long_unreserved_and_unique():
    verifiers = {oauth.new_verifier() for _ in range(50)}
    assert len(verifiers) == 50
    for verifier in verifiers:
        assert 43 <= len(verifier) <= 128
        assert set(verifier) <= set(string.ascii_letters + string.digits + "-._~")


# ── requests ────────────────────────────────────────────────────────────────────────────────────


def test_code_is_sent_with_application_and_redirect_uri():
    hh = TokenEndpoint()
    assert hh.exchange() == TokenPair("USERaccess", "USERrefresh", 1_209_599)
    assert hh.form() == {
        "grant_type": "authorization_code",
        "client_id": "id",
        "client_secret": "se&cret",
        "code": "c&de",
        "redirect_uri": "https://a/b",
    }


def test_verifier_is_sent_if_given():
    hh = TokenEndpoint()
    hh.exchange(verifier="v")
    assert hh.form()["code_verifier"] == "v"


def test_refresh_token_is_sent_without_credentials():
    hh = TokenEndpoint()
    assert hh.client.refresh("r&1") == TokenPair("USERaccess", "USERrefresh", 1_209_599)
    assert hh.form() == {"grant_type": "refresh_token", "refresh_token": "r&1"}


# ── responses ───────────────────────────────────────────────────────────────────────────────────


def test_repr_of_a_pair_shows_no_token():
    pair = TokenPair("USERaccess", "USERrefresh", 5)
    assert "USER" not in repr(pair) + str(pair) + f"{pair}"
    with pytest.raises(AttributeError):
        pair.access_token = "another"


@pytest.mark.parametrize("life", [None, 0, -1, "1209600", 1.5, True, 10**12])
def test_absurd_lifetime_becomes_fourteen_days(life):
    assert TokenEndpoint(body=PAIR | {"expires_in": life}).exchange().expires_in == 1_209_600


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "USERaccess",
        {"access_token": "USERaccess"},
        PAIR | {"refresh_token": None},
        PAIR | {"refresh_token": ""},
        PAIR | {"access_token": 5},
        PAIR | {"access_token": "two\nlines"},
        PAIR | {"access_token": "жетон"},
    ],
)
def test_response_without_two_tokens_may_have_acted(body, log):
    with pytest.raises(errors.HHUnavailable) as raised:
        TokenEndpoint(body=body).client.refresh("r1")
    assert raised.value.may_have_acted
    assert "USER" not in log.getvalue()


def refusal(description, error="invalid_grant"):
    return TokenEndpoint(400, {"error": error, "error_description": description})


def test_refused_code_has_a_reason():
    with pytest.raises(errors.HHLoginRefused) as raised:
        refusal("code expired").exchange()
    assert (raised.value.code, raised.value.reason) == ("invalid_code", "code_expired")
    assert raised.value.details == {"reason": "code_expired"}


def test_refused_refresh_token_has_a_reason():
    with pytest.raises(errors.HHRefreshRefused) as raised:
        refusal("token has already been refreshed").client.refresh("r1")
    assert raised.value.reason == "already_refreshed"


def test_early_refresh_is_no_refusal():
    with pytest.raises(errors.HHTokenNotExpired) as raised:
        refusal("token not expired").client.refresh("r1")
    assert not isinstance(raised.value, errors.HHRefreshRefused)


def test_refused_refresh_tokens_pause_no_calls():
    hh = refusal("token was revoked")
    for _ in range(5):
        with pytest.raises(errors.HHRefreshRefused):
            hh.client.refresh("r1")
    assert hh.pacer.pauses == []


# ── whether hh.ru may have acted ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("endpoint", "kind", "may_have_acted"),
    [
        (TokenEndpoint(error=httpx.ConnectError("x")), errors.HHUnavailable, False),
        (TokenEndpoint(error=httpx.ConnectTimeout("x")), errors.HHUnavailable, False),
        (TokenEndpoint(error=httpx.PoolTimeout("x")), errors.HHUnavailable, False),
        (TokenEndpoint(error=httpx.WriteError("x")), errors.HHUnavailable, True),
        (TokenEndpoint(error=httpx.ReadTimeout("x")), errors.HHUnavailable, True),
        (TokenEndpoint(error=httpx.RemoteProtocolError("x")), errors.HHUnavailable, True),
        (TokenEndpoint(500, {}), errors.HHUnavailable, True),
        (TokenEndpoint(503, {"error": "invalid_grant"}), errors.HHUnavailable, True),
        (TokenEndpoint(429, {"errors": [{"type": "x"}]}), errors.HHBusy, False),
        (TokenEndpoint(refusal=errors.HHBusy("no slot")), errors.HHBusy, False),
    ],
    ids=[
        *("connect-error", "connect-timeout", "pool-timeout", "write-error", "read-timeout"),
        *("protocol-error", "500", "503", "429", "no-slot"),
    ],
)
def test_failure_reports_whether_the_token_may_be_spent(endpoint, kind, may_have_acted):
    for call in (endpoint.exchange, lambda: endpoint.client.refresh("r1")):
        with pytest.raises(kind) as raised:
            call()
        assert raised.value.may_have_acted is may_have_acted


# ── secrets ─────────────────────────────────────────────────────────────────────────────────────


def errors_of_all_calls(hh):
    """Make every call that carries a secret; yield the text of each error."""
    calls = (
        lambda: hh.client.exchange_code(
            "needle-code",
            client_id="id",
            client_secret="needle-secret",
            redirect_uri="https://a",
            verifier="needle-verifier",
        ),
        lambda: hh.client.refresh("needle-refresh"),
        lambda: hh.client.exchange_application("id", "needle-secret"),
        lambda: hh.client.revoke("needle-access"),
    )
    for call in calls:
        with pytest.raises(errors.HHError) as raised:
            call()
        yield f"{raised.value} {vars(raised.value)}"


@pytest.mark.parametrize(
    "endpoint",
    [
        TokenEndpoint(500, {"error_description": "needle-text"}),
        TokenEndpoint(400, {"error": "invalid_grant", "error_description": "needle-text"}),
        TokenEndpoint(400, {"error": "needle-text"}),
        TokenEndpoint(403, {"errors": [{"type": "x", "value": "needle-text"}]}),
        TokenEndpoint(401, {"access_token": "needle-text"}),
        TokenEndpoint(error=httpx.ReadError("needle-text")),
    ],
)
def test_failure_exposes_no_token_secret_or_hh_ru_text(endpoint, log):
    assert "needle" not in "".join(errors_of_all_calls(endpoint)) + log.getvalue()
    assert log.getvalue()


def test_issued_tokens_are_not_logged(log):
    hh = TokenEndpoint()
    hh.exchange()
    hh.client.refresh("r1")
    assert "USER" not in log.getvalue()


def test_oauth_module_loads_without_an_http_client():
    program = "import sys; import ullgetthejob.hh.oauth; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT / "layers" / "core",
    )
    assert not set(ran.stdout.split()) & {"httpx", "pydantic", "ssl"}
