"""hh.ru's responses to an application, for each row of the table."""

import json

import pytest

from ullgetthejob.hh.error_parsing import Received, parse_application
from ullgetthejob.hh.error_rules import APPLY_RULES, CONSENT_MISSING, EXTERNAL_SITE, LETTER_MISSING
from ullgetthejob.hh.errors import (
    Action,
    HHApplyRefused,
    HHBadArgument,
    HHForbidden,
    HHTokenRefused,
    HHUnavailable,
)

VALUES = [rule for rule in APPLY_RULES if rule.value is not None]


def response(status, body=None, **headers):
    raw = b"" if body is None else json.dumps(body).encode()
    return Received(status, {"content-type": "application/json", **headers}, raw)


def refused(status, *entries, **more):
    return response(status, {"errors": list(entries), "request_id": "x", **more})


def refusal_of(received):
    with pytest.raises(HHApplyRefused) as caught:
        parse_application(received)
    return caught.value


@pytest.mark.parametrize("status", [400, 403, 429])
@pytest.mark.parametrize("rule", VALUES, ids=lambda rule: rule.value)
def test_refusal_by_value_follows_its_row_at_any_status(rule, status):
    error = refusal_of(refused(status, {"type": "negotiations", "value": rule.value}))
    assert (error.reason, error.action, error.message) == (rule.value, rule.action, rule.message)
    assert not error.may_have_acted


def test_values_of_the_table_are_unique():
    assert len({rule.value for rule in APPLY_RULES}) == len(APPLY_RULES)


def test_unknown_value_is_handed_off():
    error = refusal_of(refused(403, {"type": "negotiations", "value": "something_new"}))
    assert (error.action, error.reason) == (Action.HAND_OFF, "something_new")


def test_value_of_another_form_is_not_passed_on():
    error = refusal_of(refused(403, {"type": "negotiations", "value": "Ivan: +7 900"}))
    assert error.reason == "unknown"


def test_most_specific_of_two_entries_wins():
    entries = ({"type": "negotiations"}, {"type": "negotiations", "value": "already_applied"})
    assert refusal_of(refused(403, *entries)).action is Action.TREAT_AS_DONE


def test_missing_letter_is_recognised_by_the_argument():
    error = refusal_of(refused(400, {"type": "bad_argument", "value": "message"}))
    assert (error.reason, error.action) == (LETTER_MISSING.value, Action.FIX_LETTER)


@pytest.mark.parametrize(
    "parameter", ["enable_applicant_visibility_in_country", "required_applicant_visibility_id"]
)
def test_missing_consent_is_recognised_by_its_text(parameter):
    text = f'"{parameter}" param required'
    error = refusal_of(refused(400, {"type": "bad_argument"}, description=text))
    assert (error.reason, error.action) == (CONSENT_MISSING.value, Action.HAND_OFF)


def test_direct_vacancy_links_to_the_employers_site():
    error = refusal_of(response(303, location="https://jobs.example.org/42"))
    assert (error.reason, error.link) == (EXTERNAL_SITE.value, "https://jobs.example.org/42")
    assert refusal_of(response(303, location="javascript:alert(1)")).link is None


@pytest.mark.parametrize(
    ("location", "negotiation"),
    [
        ("/negotiations/4200000001", "4200000001"),
        ("https://api.hh.ru/negotiations/7?host=hh.ru", "7"),
        ("", None),
        ("/somewhere/else", None),
    ],
)
def test_201_is_accepted_with_or_without_an_id(location, negotiation):
    assert parse_application(response(201, location=location)) == negotiation


@pytest.mark.parametrize(
    ("received", "error"),
    [
        (refused(403, {"type": "forbidden"}), HHForbidden),
        (refused(403, {"type": "oauth", "value": "token_expired"}), HHTokenRefused),
        (refused(400, {"type": "bad_argument", "value": "vacancy_id"}), HHBadArgument),
        (response(500), HHUnavailable),
        (response(200, {"id": "1"}), HHUnavailable),
        (response(204), HHUnavailable),
    ],
)
def test_other_refusals_follow_the_general_table(received, error):
    with pytest.raises(error):
        parse_application(received)


def test_unreadable_response_may_have_acted():
    with pytest.raises(HHUnavailable) as caught:
        parse_application(Received(200, {"content-type": "application/json"}, b"{"))
    assert caught.value.may_have_acted
