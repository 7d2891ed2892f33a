"""What gates say about facts, and which of them decides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import get_args

import pytest

from ullgetthejob.accounts.access import Access
from ullgetthejob.applications.application_states import State
from ullgetthejob.applications.gate_decisions import (
    ASKED_FOR,
    FINDINGS,
    PRECEDENCE,
    TEXTS,
    Facts,
    Name,
    judge,
)
from ullgetthejob.applications.obstacles import Draft, Obstacle, find_hindrance
from ullgetthejob.applications.resume_selection import ResumeChoice
from ullgetthejob.applications.reviews import examination
from ullgetthejob.filters.models import Held
from ullgetthejob.hh.models import VacancyDetail
from ullgetthejob.letters.errors import TemplateInvalid, ValueMissing

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
OK = Access("ok", None)
CHOICE = ResumeChoice("ab", "only_one")
LATER = NOW + timedelta(hours=1)
DROPPED = Held("refused", "filtered_title")
VACANCY = {
    "id": "1", "name": "Python", "area": {"id": "1", "name": "Москва"}, "type": {"id": "open"},
    "employer": {"id": "1", "name": "Ромашка"}, "published_at": NOW,
}  # fmt: skip
# What makes each gate decide, with what would come of the application.
BLOCKS = {
    "duplicate": ({"duplicate": "already_applied"}, "refuse"),
    "filters": (
        {"held": DROPPED, "hindrance": Obstacle(DROPPED.state, DROPPED.reason)}, "refuse"
    ),
    "vacancy": (
        {"obstacle": (test := Obstacle("handoff", "test_required")), "hindrance": test}, "handoff"
    ),
    "fit": ({"min_fit": 50, "fit": 49}, "refuse"),
    "method": ({"is_closed": True}, "handoff"),
    "access": ({"access": Access("reauth_required", "disconnected")}, "needs_person"),
    "resume": ({"choice": None, "resume_problem": "missing_resume_id"}, "needs_person"),
    "letter": ({"letter_reason": "letter_findings"}, "review"),
    "limits": ({"send_at": LATER}, "wait"),
}  # fmt: skip


def judged(**facts):
    return judge(Facts(**{"access": OK, "now": NOW, "choice": CHOICE, **facts}))


def gate(found, name):
    return next(own for own in found.gates if own.name == name)


def test_every_gate_passes_without_anything_in_the_way():
    found = judged()
    assert tuple(own.name for own in found.gates) == get_args(Name)
    assert {own.result for own in found.gates} == {"pass"}
    assert (found.would, found.decisive) == ("apply_now", None)
    assert all(own.reason is None and own.text for own in found.gates)


def test_every_gate_has_its_place_and_a_case():
    assert set(PRECEDENCE) == set(BLOCKS) == set(get_args(Name))


@pytest.mark.parametrize("name", BLOCKS)
def test_gate_that_does_not_pass_decides(name):
    facts, would = BLOCKS[name]
    found = judged(**facts)
    assert (found.would, found.decisive) == (would, gate(found, name))
    assert gate(found, name).result in ("stop", "person", "wait")
    assert gate(found, name).text
    others = {own.result for own in found.gates if own.name != name}
    assert others == {"pass"}


@pytest.mark.parametrize(("first", "second"), list(pairwise(PRECEDENCE)))
def test_earlier_gate_decides_where_two_do_not_pass(first, second):
    facts = {**BLOCKS[second][0], **BLOCKS[first][0]}
    found = judged(**facts)
    assert (found.would, found.decisive) == (BLOCKS[first][1], gate(found, first))


def test_limit_says_until_when():
    limits = gate(judged(send_at=LATER), "limits")
    assert (limits.result, limits.reason, limits.until) == ("wait", "quota", LATER)


def test_limits_do_not_delay_what_the_person_sends():
    assert gate(judged(is_closed=True, send_at=LATER), "limits").result == "pass"


def test_limit_of_hh_is_no_lost_access():
    found = judged(access=Access("limited_until", "limit", NOW, LATER), send_at=LATER)
    assert (found.would, gate(found, "access").result) == ("wait", "pass")


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"earlier_unknown": True}, "duplicate"),
        ({"filters_unknown": True}, "filters"),
        ({"vacancy_unknown": True}, "vacancy"),
        ({"min_fit": 1}, "fit"),
        ({"letter_unknown": True}, "letter"),
        ({"choice": None}, "resume"),
        ({"limits_unknown": True}, "limits"),
    ],
)
def test_unknown_fact_decides_nothing(facts, name):
    found = judged(**facts)
    assert gate(found, name).result == "unknown"
    assert found.would == "apply_now"


@pytest.mark.parametrize(
    ("held", "vacancy", "needs_letter", "expected"),
    [
        (None, {}, True, None),
        (DROPPED, {}, True, ("refused", "filtered_title")),
        (DROPPED, {"archived": True}, True, ("refused", "vacancy_archived")),
        (DROPPED, {"response_url": "https://e.org"}, True, ("refused", "filtered_title")),
        (None, {"response_url": "https://e.org"}, True, ("handoff", "external_site")),
        (None, {"response_letter_required": True}, True, ("needs_person", "letter_required")),
        (None, {"response_letter_required": True}, False, None),
    ],
)
def test_filters_follow_closed_vacancy_and_precede_the_person(
    held, vacancy, needs_letter, expected
):
    shown = VacancyDetail.model_validate({**VACANCY, **vacancy})
    asked = []

    def apply_filters():
        asked.append(True)
        return held

    found = find_hindrance(
        Draft("1", None), shown, apply_filters=apply_filters, needs_letter=needs_letter
    )
    assert (found and (found.state, found.reason)) == expected
    assert bool(asked) is not vacancy.get("archived", False)
    assert found is None or found.state in get_args(State)


def test_reasons_of_reviews_have_texts():
    reasons = {
        examination.ASKED_FOR,
        examination.FINDINGS,
        examination.FILTERED_FIT,
        examination.TEMPLATE_NOT_FOUND,
        examination.LETTER_EMPTY,
        TemplateInvalid("").code,
        ValueMissing("").code,
    }
    assert reasons <= set(TEXTS)
    assert {ASKED_FOR, FINDINGS} == {examination.ASKED_FOR, examination.FINDINGS}
