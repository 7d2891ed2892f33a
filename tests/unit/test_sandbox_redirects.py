"""hh.ru's rule for redirect addresses, and PKCE's S256."""

from __future__ import annotations

import pytest

from local.sandbox.oauth import pkce
from local.sandbox.oauth.redirects import admits, with_query

REGISTERED = "http://example.com/oauth"


@pytest.mark.parametrize(
    "address",
    [
        "http://example.com/oauth",
        "http://example.com/oauth/",
        "http://example.com/oauth/deep/er",
        "http://example.com/oauth?a=1",
        "http://www.example.com/oauth",
        "http://a.b.example.com/oauth/x?y=z",
        "http://EXAMPLE.com/oauth",
    ],
)
def test_subdomain_deeper_path_and_extra_query_are_admitted(address: str) -> None:
    assert admits(REGISTERED, address)


@pytest.mark.parametrize(
    "address",
    [
        "https://example.com/oauth",
        "http://example.org/oauth",
        "http://evilexample.com/oauth",
        "http://example.com.evil.org/oauth",
        "http://example.com/oauths",
        "http://example.com/",
        "http://example.com",
        "http://example.com:80/oauth",
        "http://example.com:8080/oauth",
        "http://example.com:no/oauth",
        "http://me@example.com/oauth",
        "http://evil.org@example.com/oauth",
        "http://example.com/oauth/../other",
        "http://example.com/oauth/%2e%2e/other",
        "http://example.com/oauth#fragment",
        "http://evil.org\\.example.com/oauth",
        "http://example.com/oauth\r\nX: y",
        "http://[example.com/oauth",
        "//example.com/oauth",
        "javascript:alert(1)",
        "",
    ],
)
def test_other_address_is_refused(address: str) -> None:
    assert not admits(REGISTERED, address)


def test_registered_port_and_query_are_required() -> None:
    registered = "http://localhost:4000/dev/connect?app=1"
    assert admits(registered, "http://localhost:4000/dev/connect?app=1&more=2")
    assert not admits(registered, "http://localhost:4000/dev/connect")
    assert not admits(registered, "http://localhost/dev/connect?app=1")


def test_address_without_a_path_admits_all_paths() -> None:
    assert admits("http://example.com", "http://example.com/anything")


def test_parameters_are_appended_to_the_address() -> None:
    assert with_query("http://a/b?c=d", code="X", state=None) == "http://a/b?c=d&code=X"
    assert with_query("http://a/b", state="ж&=") == "http://a/b?state=%D0%B6%26%3D"


def test_s256_challenge_equals_the_example_of_rfc_7636() -> None:
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert pkce.challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.parametrize(("text", "expected"), [("a" * 43, True), ("a" * 42, False), ("=" * 43, 0)])
def test_challenge_is_43_characters_of_base64url(text: str, expected: bool) -> None:
    assert pkce.is_challenge(text) == expected
