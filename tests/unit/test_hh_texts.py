"""No text of hh.ru's responses, above all of its refusals, is logged or passed on."""

import json
from itertools import product
from types import SimpleNamespace

import httpx
import pytest

from tests.fixtures.leaks import Markers
from ullgetthejob.hh.client import HHClient
from ullgetthejob.hh.errors import HHError
from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.platform.telemetry import logger, trace

EMAIL, NAME, PHONE = "anna.vesnina@example.org", "Веснина Анна", "+7 900 555-01-01"
TOKEN = "USER" + "0123456789ABCDEF" * 3 + "0123456789AB"
TEXT = f"{NAME} <{EMAIL}> {PHONE} {TOKEN}"
ENTRIES = [
    {"type": TEXT, "value": TEXT},
    {"type": TEXT, "value": "token_revoked"},
    {"type": "oauth", "value": TEXT},
    {"type": "oauth", "value": TOKEN},
    {"type": "bad_argument", "value": TEXT},
    {"type": "bad_argument", "value": EMAIL},
    {"type": "bad_argument", "value": TOKEN},
    {"type": "bad_argument", "value": ["text", {"email": EMAIL}]},
    {"type": "forbidden", "value": TEXT, "reason": TEXT},
    {"type": "captcha_required", "captcha_url": TEXT, "fallback_url": TEXT},
    {"type": "not_found", "value": TEXT},
    {"type": "bad_user_agent", "value": TEXT},
]
BODIES = [
    *({"errors": [entry], "description": TEXT, "bad_argument": TEXT} for entry in ENTRIES),
    {"error": TEXT, "error_description": TEXT},
    {"error": "invalid_grant", "error_description": TEXT},
    {"error": "invalid_request", "error_description": TEXT},
    {"errors": TEXT},
    {"items": TEXT, TEXT: TEXT},
    {"items": [{"id": {"email": EMAIL}, "title": TEXT}], "found": TEXT, "pages": TEXT},
    {"id": None, "email": EMAIL, "first_name": NAME, "phone": PHONE},
    {"access_token": f"{TOKEN} {TOKEN}", "refresh_token": TOKEN, "expires_in": TEXT},
    {"access_token": TOKEN, "refresh_token": {"token": TOKEN}},
    [TEXT],
    TEXT,
]
SOURCE = SimpleNamespace(current=lambda: TOKEN, renewed=lambda *_: TOKEN)
PACER = SimpleNamespace(wait=lambda **_: None, pause=lambda *_: None)
CALLS = {
    "search": lambda hh: hh.search(SearchParameters()),
    "vacancy": lambda hh: hh.vacancy("1"),
    "exchange_application": lambda hh: hh.exchange_application("id", TOKEN),
    "exchange_code": lambda hh: hh.exchange_code(
        TOKEN, client_id="id", client_secret=TOKEN, redirect_uri="https://x", verifier=TOKEN
    ),
    "refresh": lambda hh: hh.refresh(TOKEN),
    "revoke": lambda hh: hh.revoke(TOKEN),
    "me": lambda hh: hh.me(TOKEN),
    "resumes": lambda hh: hh.resumes(SOURCE),
    "resume": lambda hh: hh.resume(SOURCE, "abc"),
}


@pytest.fixture
def markers():
    known = Markers()
    known.add("hh.ru's text", EMAIL, NAME, PHONE, TOKEN)
    return known


def responses_with(status, body):
    yield httpx.Response(status, json=body, headers={"Location": f"https://x/?{EMAIL}"})
    html = json.dumps(body, ensure_ascii=False)
    yield httpx.Response(status, html=f"<html>{html}</html>")
    yield httpx.Response(status, text=html[:-1])


def refusal_of(call, hh):
    """Return the error that *call* raises, if any: an HHError, since others pass through."""
    try:
        call(hh)
    except HHError as error:
        return error
    return None


@pytest.mark.parametrize("call", CALLS)
def test_hh_ru_text_is_neither_logged_nor_passed_on(call, markers, log):
    raised = 0
    for status, body in product((200, 302, 400, 401, 403, 404, 409, 429, 500, 503), BODIES):
        for answer in responses_with(status, body):
            hh = HHClient(
                "https://api.hh.example",
                user_agent="UllGetTheJob/1.0 (test@example.org)",
                pacer=PACER,
                token=SOURCE,
                transport=httpx.MockTransport(lambda _, answer=answer: answer),
            )
            error = refusal_of(CALLS[call], hh)
            hh.close()
            if error is not None:
                raised += 1
                shown = [error.code, error.message, error.details, str(error), repr(error)]
                shown.append(getattr(error, "captcha_url", None))  # an address, or nothing
                assert markers.found_in(json.dumps(shown, ensure_ascii=False)) == {}, (status, body)
                logger.error("a test", **trace(error))
    assert raised > 100
    assert markers.found_in(log.getvalue()) == {}


def test_text_of_transport_errors_is_not_passed_on(markers, log):
    for error in (httpx.ReadError(TEXT), httpx.ConnectError(TEXT), httpx.DecodingError(TEXT)):

        def broken(_request, error=error):
            raise error

        hh = HHClient(
            "https://api.hh.example",
            user_agent="UllGetTheJob/1.0 (test@example.org)",
            pacer=PACER,
            transport=httpx.MockTransport(broken),
        )
        with pytest.raises(HHError) as raised:
            hh.refresh(TOKEN)
        hh.close()
        logger.error("a test", **trace(raised.value))
        assert markers.found_in(f"{raised.value!r} {raised.value.details}") == {}
    assert "ReadError" in log.getvalue()
    assert markers.found_in(log.getvalue()) == {}
