"""Core's JWTs: claims and lifetime, key rotation, and every kind of invalid token."""

import base64
import hashlib
import hmac
import json
import string
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ullgetthejob.accounts import session_tokens
from ullgetthejob.accounts.signing_keys import Key
from ullgetthejob.platform.errors import Unauthorized

USER = UUID("5b0f6f0e-7f3b-4df0-9d1f-2f9a4b6f3c11")
SECRET = "the current secret of this test, long enough"
PREVIOUS = "the previous secret of this test, long enough"
NOW = datetime(2026, 8, 1, 12, 30, 15, 123_457, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
BASE64 = string.ascii_letters + string.digits + "-_"


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    rotate(monkeypatch, SECRET, None)


def rotate(monkeypatch, current, previous):
    for name, value in {"SECRET_KEY_BASE": current, "SECRET_KEY_BASE_PREVIOUS": previous}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)


@pytest.fixture
def token():
    return session_tokens.issue(USER, now=NOW)


def refused(token, now=NOW):
    with pytest.raises(Unauthorized) as raised:
        session_tokens.verify(token, now=now)
    assert raised.value.code == "invalid_token"
    # The same answer for all: it contains neither the reason nor anything of the token.
    assert raised.value.message == "the bearer token is not valid"
    assert raised.value.details is None
    return True


def encoded(part):
    content = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def header_of(token):
    return jwt.get_unverified_header(token)


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False, "verify_exp": False})


def key_of(secret):
    """Return the signing key, derived independently: changing it would log out all users."""
    return hmac.digest(secret.encode(), b"ullgetthejob jwt key", "sha256")


def signed(header, claims, secret=SECRET, digest="sha256"):
    """Return a token that is signed as Core signs."""
    message = f"{encoded(header)}.{encoded(claims)}"
    return f"{message}.{encoded(hmac.digest(key_of(secret), message.encode(), digest))}"


# ── issued tokens ────────────────────────────────────────────────────────────────────────────────


def test_token_identifies_its_user_and_time_of_issue(token):
    assert session_tokens.verify(token, now=NOW) == session_tokens.Identity(USER, NOW)


@given(st.datetimes(datetime(2024, 1, 1), datetime(2100, 1, 1)))
def test_time_of_issue_keeps_its_microseconds(moment):
    moment = moment.replace(tzinfo=UTC)
    assert (
        session_tokens.verify(session_tokens.issue(USER, now=moment), now=moment).issued_at
        == moment
    )


def test_token_is_short_and_has_a_kid_and_four_claims(token):
    assert len(token) < 3072
    assert header_of(token) == {"alg": "HS256", "typ": "JWT", "kid": header_of(token)["kid"]}
    assert len(header_of(token)["kid"]) == 16
    assert set(claims_of(token)) == {"iss", "sub", "iat", "exp"}


def test_kid_reveals_nothing_of_the_secret(token):
    kid = header_of(token)["kid"]
    for secret in (SECRET, key_of(SECRET).hex(), hashlib.sha256(SECRET.encode()).hexdigest()):
        assert kid not in secret


def test_token_expires_by_domain_time_after_seven_days_or_more(token):
    assert timedelta(days=7) <= session_tokens.LIFETIME
    ends = datetime.fromtimestamp(claims_of(token)["exp"], UTC)
    assert NOW + timedelta(days=7) < ends <= NOW + session_tokens.LIFETIME
    assert session_tokens.verify(token, now=ends - MICROSECOND)
    assert refused(token, ends)
    assert refused(token, ends + timedelta(days=1))


def test_system_clock_is_not_used():
    for domain_time in (datetime(2020, 1, 1, tzinfo=UTC), datetime(2090, 1, 1, tzinfo=UTC)):
        token = session_tokens.issue(USER, now=domain_time)
        assert session_tokens.verify(token, now=domain_time + timedelta(days=6)).user_id == USER


def test_token_from_the_future_is_refused_beyond_clock_skew(token):
    assert session_tokens.verify(token, now=NOW - timedelta(seconds=5))
    assert refused(token, NOW - timedelta(minutes=2))
    assert refused(token, NOW - timedelta(days=1))


# ── rotation ─────────────────────────────────────────────────────────────────────────────────────


def test_secret_rotation_accepts_old_tokens_and_issues_new_ones(monkeypatch):
    rotate(monkeypatch, PREVIOUS, None)
    old = session_tokens.issue(USER, now=NOW)
    rotate(monkeypatch, SECRET, PREVIOUS)
    assert session_tokens.verify(old, now=NOW).user_id == USER
    new = session_tokens.issue(USER, now=NOW)
    assert header_of(new)["kid"] != header_of(old)["kid"]
    rotate(monkeypatch, SECRET, None)
    assert session_tokens.verify(new, now=NOW).user_id == USER
    assert refused(old)
    rotate(
        monkeypatch,
        "a third secret, also long enough to be one",
        "and a fourth one, which is as long",
    )
    assert refused(old)
    assert refused(new)


def test_empty_previous_secret_verifies_nothing(monkeypatch):
    rotate(monkeypatch, SECRET, "")
    claims = {"iss": session_tokens.ISSUER, "sub": str(USER), **moments()}
    for kid in ("", Key.of(SECRET, "jwt").kid):
        assert refused(signed({"alg": "HS256", "kid": kid}, claims, secret=""))


@pytest.mark.parametrize("secret", [None, "", "too short"])
def test_missing_or_short_secret_raises_value_error(monkeypatch, token, secret):
    rotate(monkeypatch, secret, None)
    with pytest.raises(ValueError, match="SECRET_KEY_BASE") as raised:
        session_tokens.issue(USER, now=NOW)
    assert "too short" not in str(raised.value)
    with pytest.raises(ValueError, match="SECRET_KEY_BASE"):
        session_tokens.verify(token, now=NOW)


def test_kid_and_signature_of_different_keys_are_refused(monkeypatch):
    rotate(monkeypatch, SECRET, PREVIOUS)
    kids = {secret: Key.of(secret, "jwt").kid for secret in (SECRET, PREVIOUS)}
    claims = {"iss": session_tokens.ISSUER, "sub": str(USER), **moments()}
    for named, signing in ((SECRET, PREVIOUS), (PREVIOUS, SECRET)):
        assert refused(signed({"alg": "HS256", "kid": kids[named]}, claims, secret=signing))
        assert session_tokens.verify(
            signed({"alg": "HS256", "kid": kids[named]}, claims, secret=named), now=NOW
        )


# ── forged, altered, malformed ───────────────────────────────────────────────────────────────────


def moments(issued_at=NOW, life=timedelta(days=7)):
    return {"iat": issued_at.timestamp(), "exp": int((issued_at + life).timestamp())}


def test_changed_character_at_any_position_is_refused(token):
    for position, original in enumerate(token):
        for character in BASE64 + ".":
            if character != original:
                altered = token[:position] + character + token[position + 1 :]
                assert refused(altered), (position, character)


IGNORABLE = "= \n\t\r.\0,;+/\"'%\u200b\u00a0\ufeff"


def test_inserted_or_removed_characters_are_refused(token):
    for position in range(len(token) + 1):
        for extra in (*IGNORABLE, "==", "A", "\r\n"):
            assert refused(token[:position] + extra + token[position:]), (position, extra)
    for position in range(len(token)):
        assert refused(token[:position] + token[position + 1 :]), position
    for end in range(len(token)):
        assert refused(token[:end])


def test_signature_spelled_differently_is_refused(token):
    """Two of the last character's bits belong to no byte, so four characters decode equally."""
    message, _, signature = token.rpartition(".")
    content = base64.urlsafe_b64decode(signature + "=")
    spellings = [
        f"{signature[:-1]}{last}"
        for last in BASE64
        if base64.urlsafe_b64decode(f"{signature[:-1]}{last}=") == content
    ]
    assert len(spellings) == 4
    accepted = []
    for spelling in spellings:
        try:
            session_tokens.verify(f"{message}.{spelling}", now=NOW)
            accepted.append(spelling)
        except Unauthorized:
            continue
    assert accepted == [signature]


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "nOnE", "", None, "HS256 ", "hs256", "none\0", ["none"], 0]
)
def test_token_without_an_algorithm_is_refused(token, alg):
    header = {**header_of(token), "alg": alg}
    message = f"{encoded(header)}.{encoded(claims_of(token))}"
    signature = token.rpartition(".")[2]
    for end in ("", ".", f".{signature}", ".AA", f".{encoded(b'')}"):
        assert refused(message + end)
    assert refused(signed(header, claims_of(token)))


@pytest.mark.parametrize(
    "alg", ["HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA", "HS1", "dir", "A256KW", "x"]
)
def test_other_algorithm_is_refused_even_with_the_right_key(token, alg):
    digest = {"HS384": "sha384", "HS512": "sha512"}.get(alg, "sha256")
    assert refused(signed({**header_of(token), "alg": alg}, claims_of(token), digest=digest))


def test_keys_in_the_token_header_are_not_used(token):
    header, claims = header_of(token), claims_of(token)
    attackers = "a key of the attacker's own choice, long enough"
    jwk = {"kty": "oct", "k": encoded(key_of(attackers)), "kid": header["kid"]}
    for extra in ({"jwk": jwk}, {"jku": "https://attacker.example/keys"}, {"x5u": "file:///k"}):
        assert refused(signed({**header, **extra}, claims, secret=attackers))


@pytest.mark.parametrize(
    "kid",
    [
        *("", "0000000000000000", "../../../dev/null", "/dev/null", "' OR '1'='1", "0", "SHA256"),
        *("file:///etc/hostname", "https://attacker.example/k", "x" * 1000, "\0", "\ud800"),
        *(None, 0, 1, True, [], {}, ["x"]),
    ],
)
def test_unknown_kid_is_refused(token, kid):
    for secret in (SECRET, ""):
        assert refused(signed({**header_of(token), "kid": kid}, claims_of(token), secret=secret))


def test_token_without_a_kid_is_refused(token):
    assert refused(signed({"alg": "HS256", "typ": "JWT"}, claims_of(token)))


def test_token_signed_with_another_key_is_refused(token):
    header, claims = header_of(token), claims_of(token)
    for key in ("another secret that is as long as ours is", "", PREVIOUS):
        assert refused(signed(header, claims, secret=key))
    # neither the secret itself nor anything visible in a token is the signing key
    message = f"{encoded(header)}.{encoded(claims)}"
    for key in (SECRET.encode(), header["kid"].encode(), b"", b"\0" * 32):
        assert refused(f"{message}.{encoded(hmac.digest(key, message.encode(), 'sha256'))}")


NOT_A_TIME: list[Any] = [
    *(None, "", str(NOW.timestamp()), True, False, [], {}, float("nan")),
    *(float("inf"), float("-inf"), 0, -1, -1e30, 1e300, 10**30, 10**400),
]
WRONG: dict[str, list[Any]] = {
    "iss": [None, "", "ullgetthejob", "ULLGETTHEJOB-CORE", [session_tokens.ISSUER], 1, {}],
    "sub": [None, "", "undefined", "me", 7, str(USER)[:-1], f" {USER}", [str(USER)], {}, "../x"],
    "iat": [*NOT_A_TIME, NOW.timestamp() + 1e5],
    "exp": [*NOT_A_TIME, NOW.timestamp(), 253_402_300_799],
}


@pytest.mark.parametrize(
    ("claim", "value"), [(claim, value) for claim, values in WRONG.items() for value in values]
)
def test_signed_token_with_a_wrong_claim_is_refused(token, claim, value):
    header, claims = header_of(token), claims_of(token)
    assert session_tokens.verify(signed(header, claims), now=NOW).user_id == USER
    assert refused(signed(header, {**claims, claim: value}))


@pytest.mark.parametrize("claim", sorted(WRONG))
def test_signed_token_without_a_claim_is_refused(token, claim):
    claims = claims_of(token)
    del claims[claim]
    assert refused(signed(header_of(token), claims))


@pytest.mark.parametrize("depth", [10, 500, 1_100])
def test_nested_json_is_refused(token, depth):
    nested = b"[" * depth + b"]" * depth
    for part in (nested, b'{"a":' + nested + b"}", b'{"kid":' * depth, b"[" * depth):
        if len(part) < 2_000:
            assert refused(signed(part, claims_of(token)))
            assert refused(signed(header_of(token), part))
        assert refused(f"{encoded(part)}.{encoded(part)}.{encoded(b'x' * 32)}")


@pytest.mark.parametrize("part", [b"", b"{}", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"{"])
def test_parts_of_other_json_types_are_refused(token, part):
    assert refused(signed(part, claims_of(token)))
    assert refused(signed(header_of(token), part))


def test_signed_token_that_is_too_long_is_refused(token):
    claims = claims_of(token)
    largest = signed(header_of(token), {**claims, "more": "x" * 1_900})
    assert len(largest) < session_tokens.MAX_BYTES
    assert session_tokens.verify(largest, now=NOW)
    assert refused(signed(header_of(token), {**claims, "more": "x" * 3_000}))
    assert refused("x" * 1_000_000)


@given(st.text(max_size=200))
def test_arbitrary_text_is_refused(text):
    assert refused(text)
    assert refused(f"{text}.{text}.{text}")


def test_nested_and_joined_tokens_are_refused(token):
    header = header_of(token)
    for joined in (
        *(f"{token},{token}", f"{token} {token}", f"{token}.{token}", f"Bearer {token}"),
        signed({**header, "cty": "JWT"}, token.encode()),
        json.dumps({"payload": token.split(".")[1], "signature": token.split(".")[2]}),
    ):
        assert refused(joined)
