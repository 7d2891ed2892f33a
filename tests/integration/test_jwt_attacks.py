"""Invalid JWTs on every route of the template: always 401, also beside the service's secret."""

import base64
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import jwt as pyjwt
import pytest

from tests.fixtures.wire import every_route, send
from ullgetthejob.accounts import session_tokens
from ullgetthejob.platform import clock
from ullgetthejob.platform.http import ADMIN, SERVICE, TELEGRAM

STATUS = ("GET", "/api/hh/status")
MICROSECOND = timedelta(microseconds=1)
OTHER_SECRET = "another secret key base of tests, long enough"
SERVICE_SECRET = "local-development-secret"


@pytest.fixture
def anna(core):
    """Anna's connected session and its JWT."""
    return core.log_in("anna")


@pytest.fixture
def stopped(core):
    """Stop the clock, and return its time."""
    moment = core.now().replace(microsecond=123_457)
    clock.install(lambda: moment)
    return moment


def status(jwt, *, secret=None):
    headers = [("Authorization", f"Bearer {jwt}")]
    if secret:
        headers.append(("X-Core-Secret", secret))
    reply = send(*STATUS, headers=headers)
    return reply.status, reply.error


GOOD = (200, None)
BAD = (401, "invalid_token")


def with_header(token, **changes):
    header, _, rest = token.partition(".")
    changed = {**json.loads(base64.urlsafe_b64decode(header + "==")), **changes}
    return f"{base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip('=')}.{rest}"


def altered(token):
    middle = len(token) // 2
    return token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]


def bad_tokens(core, user_id, good):
    """Return every kind of invalid token, by its defect."""
    now = core.now()

    def issued(at=now, user=user_id):
        return session_tokens.issue(UUID(str(user)), now=at)

    claims = pyjwt.decode(good, options={"verify_signature": False, "verify_exp": False})
    kid = pyjwt.get_unverified_header(good)["kid"]
    unsigned = pyjwt.encode(claims, None, algorithm="none", headers={"kid": kid})
    content = good.rpartition(".")[0]
    return {
        "expired": issued(at=now - session_tokens.LIFETIME - timedelta(seconds=1)),
        "of the future": issued(at=now + timedelta(hours=1)),
        "of a user that never was": issued(user=uuid4()),
        "of another key": pyjwt.encode(claims, OTHER_SECRET, headers={"kid": kid}),
        "without a signature": unsigned,
        "alg none with a signature": with_header(good, alg="none"),
        "alg NoNe": with_header(good, alg="NoNe"),
        "alg RS256": with_header(good, alg="RS256"),
        "a foreign kid": with_header(good, kid="../../dev/null"),
        "no kid": with_header(good, kid=None),
        "altered": altered(good),
        "an altered last character": good[:-1] + chr(ord(good[-1]) + 1),
        "cut off": content,
        "padded": good + "=",
        "oversized": f"{content}.{'x' * 4_000}",
        "nested": f"{base64.urlsafe_b64encode(b'[' * 1_500).decode()}.e30.e30",
        "undefined": "undefined",
        "null": "null",
        "dots": "..",
        "twice": f"{good}.{good}",
        "not ASCII": "жжж.жжж.жжж",
        "a lone surrogate": "\udcff.\udcff.\udcff",
    }


def test_invalid_token_is_401_on_every_route_despite_the_secret(core, anna):
    user_id, good = anna
    revoked_user, revoked = core.log_in("timur")
    core.rows("UPDATE users SET tokens_valid_from = '9999-01-01' WHERE id = %s", revoked_user)
    deleted_user, deleted = core.log_in("timur")
    core.rows("DELETE FROM account_tokens WHERE user_id = %s", deleted_user)
    core.rows("DELETE FROM users WHERE id = %s", deleted_user)
    bad = bad_tokens(core, user_id, good) | {"revoked": revoked, "of a deleted user": deleted}
    for key, route in every_route().items():
        if route.auth is TELEGRAM:  # knows no JWT
            continue
        for defect, token in bad.items():
            for secret in ([], [("X-Core-Secret", SERVICE_SECRET)]):
                reply = send(
                    route.method,
                    route.path,
                    headers=[*secret, ("Authorization", f"Bearer {token}")],
                    parameters={"user_id": user_id, "id": "1"},
                    body={},
                )
                without = route.auth is ADMIN or (route.auth is SERVICE and not secret)
                expected = "unauthorized" if without else "invalid_token"
                assert (reply.status, reply.error) == (401, expected), (key, defect)
                assert set(json.loads(reply.text)) == {
                    *("success", "error", "message", "advice", "request_id")
                }
    assert status(good) == GOOD


OTHER_FORMS = [
    *(
        "Bearer",
        "Bearer ",
        "bearer  ",
        "Basic YW5uYTpwYXNz",
        "Digest x",
        "Token {jwt}",
        "JWT {jwt}",
    ),
    *("{jwt}", "Bearer{jwt}", "Bearer\t{jwt}", "Bearer: {jwt}", "Bearer {jwt} x", "Bearer {jwt}="),
    *("Bearer {jwt},Bearer {jwt}", ",Bearer {jwt}", "Bearer {jwt},", "Bearer ,{jwt}"),
]


@pytest.mark.parametrize("secret", [None, SERVICE_SECRET], ids=["alone", "beside the secret"])
def test_credentials_in_any_other_form_are_refused(anna, secret):
    for form in OTHER_FORMS:
        headers = [("Authorization", form.format(jwt=anna[1]))]
        if secret:
            headers.append(("X-Core-Secret", secret))
        for method, path in (STATUS, ("GET", "/api/accounts/{user_id}")):
            reply = send(method, path, headers=headers, parameters={"user_id": anna[0]})
            assert (reply.status, reply.error) == BAD, form


def test_case_and_spaces_of_the_scheme_are_ignored(anna):
    for form in ("Bearer {jwt}", "bearer {jwt}", "BEARER {jwt}", "bEaReR   {jwt} "):
        for name in ("Authorization", "authorization", "AUTHORIZATION"):
            assert send(*STATUS, headers=[(name, form.format(jwt=anna[1]))]).status == 200, form


def test_several_authorization_headers_are_refused(core, anna):
    """API Gateway joins them by a comma."""
    _, good = anna
    _, timurs = core.log_in("timur")
    pairs = ((good, good), (good, timurs), (timurs, good), (good, "x.y.z"), ("x.y.z", good))
    for first, second in pairs:
        headers = [("Authorization", f"Bearer {first}"), ("Authorization", f"Bearer {second}")]
        for secret in ([], [("X-Core-Secret", SERVICE_SECRET)]):
            reply = send(*STATUS, headers=[*headers, *secret])
            assert (reply.status, reply.error) == BAD
    for scheme in ("Basic YTpi", "", "Bearer"):
        headers = [("Authorization", f"Bearer {good}"), ("Authorization", scheme)]
        assert send(*STATUS, headers=headers).status == 401
        assert send(*STATUS, headers=headers[::-1]).status == 401


@pytest.mark.usefixtures("core")
def test_secret_that_is_not_text_is_refused():
    for sent in ("\udcff", "\ud800x", "ключ", "", " "):
        for name in ("X-Core-Secret", "X-Orchestrator-Secret"):
            reply = send("GET", "/auth/hh/redirect", headers=[(name, sent)])
            assert (reply.status, reply.error) == (401, "unauthorized")
    headers = [("X-Core-Secret", SERVICE_SECRET), ("X-Signature", "\udcff")]
    reply = send("GET", "/auth/hh/redirect", headers=headers)
    assert (reply.status, reply.error) == (401, "invalid_signature")


def test_token_outside_its_header_is_ignored(anna):
    user_id, good = anna
    for place in (
        {"query": {"authorization": f"Bearer {good}", "token": good, "access_token": good}},
        {"headers": [("Cookie", f"jwt={good}; authorization=Bearer {good}")]},
        {"headers": [("X-Authorization", f"Bearer {good}"), ("Proxy-Authorization", good)]},
        {"headers": [("X-Core-Secret", good), ("X-Session-Id", user_id)]},
    ):
        reply = send(*STATUS, **place)
        assert (reply.status, reply.error) == (401, "unauthorized")


# ── rotation and revocation, over HTTP ───────────────────────────────────────────────────────────


def test_secret_rotation_keeps_sessions_valid(core, anna, monkeypatch):
    before, old = "a secret key base of tests, long enough", anna[1]
    monkeypatch.setenv("SECRET_KEY_BASE", OTHER_SECRET)
    assert status(old) == BAD
    monkeypatch.setenv("SECRET_KEY_BASE_PREVIOUS", before)
    assert status(old) == GOOD
    _, new = core.log_in("anna")
    monkeypatch.delenv("SECRET_KEY_BASE_PREVIOUS")
    assert (status(old), status(new)) == (BAD, GOOD)
    monkeypatch.setenv("SECRET_KEY_BASE", "a third secret key base of tests, long enough")
    assert (status(old), status(new)) == (BAD, BAD)


def test_missing_signing_secret_refuses_all_tokens(anna, monkeypatch):
    monkeypatch.setenv("SECRET_KEY_BASE", "")
    assert status(anna[1])[0] == 500
    assert status("x.y.z") == BAD


def test_token_is_valid_from_the_microsecond_in_the_user_row(core, anna):
    user_id, good = anna
    issued_at = session_tokens.verify(good, now=core.now()).issued_at
    for valid_from, expected in (
        (None, GOOD),
        (issued_at - MICROSECOND, GOOD),
        (issued_at, GOOD),
        (issued_at + MICROSECOND, BAD),
        (datetime.max.replace(tzinfo=UTC), BAD),
    ):
        core.rows("UPDATE users SET tokens_valid_from = %s WHERE id = %s", valid_from, user_id)
        assert status(good) == expected
        assert status(good, secret=SERVICE_SECRET) == expected


@pytest.mark.usefixtures("stopped")
def test_disconnect_ends_tokens_of_the_same_microsecond(core):
    session, first = core.log_in("anna")
    _, second = core.log_in("anna")
    assert (status(first), status(second)) == (GOOD, GOOD)
    assert core.call("DELETE /api/hh/connection", jwt=first, secret=None).status == 200
    assert (status(first), status(second)) == (BAD, BAD)
    _, third = core.log_in("anna", session)
    assert (status(first), status(second), status(third)) == (BAD, BAD, GOOD)


@pytest.mark.usefixtures("stopped")
def test_change_of_account_ends_tokens_of_the_same_microsecond(core):
    session, annas = core.log_in("anna")
    _, timurs = core.log_in("timur", session, bound=True)
    assert (status(annas), status(timurs)) == (BAD, GOOD)


def test_recreated_user_does_not_revive_old_tokens(core):
    session, old = core.log_in("anna")
    core.rows("DELETE FROM account_tokens WHERE user_id = %s", session)
    core.rows("DELETE FROM users WHERE id = %s", session)
    assert status(old) == BAD
    _, new = core.log_in("timur", session)
    assert (status(old), status(new)) == (BAD, GOOD)


def test_tokens_of_a_deleted_account_stay_invalid(core):
    session, old = core.log_in("anna")
    core.rows(
        "DELETE FROM accounts WHERE id = (SELECT account_id FROM users WHERE id = %s)", session
    )
    _, new = core.log_in("timur", session)
    assert (status(old), status(new)) == (BAD, GOOD)


def test_second_login_of_the_same_person_keeps_earlier_tokens(core, anna):
    session, first = anna
    _, second = core.log_in("anna", session)
    assert (status(first), status(second)) == (GOOD, GOOD)
