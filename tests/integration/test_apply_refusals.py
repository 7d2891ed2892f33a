"""Each of hh.ru's refusals of an application, on the real sandbox: the state that it leads to."""

from __future__ import annotations

import pytest

from local.sandbox.negotiations.refusals import REFUSALS
from tests.harness.applying import harness, publish
from ullgetthejob.hh.error_rules import APPLY_RULES
from ullgetthejob.hh.errors import Action

__all__ = ["harness"]

STATES = {
    Action.TREAT_AS_DONE: "submitted",
    Action.DROP: "refused",
    Action.WAIT_FOR_LIMIT: "waiting_quota",
    Action.WAIT_FOR_RESUME: "needs_person",
    Action.FIX_LETTER: "needs_person",
    Action.HAND_OFF: "handoff",
}
ACTIONS = {rule.value: rule.action for rule in APPLY_RULES} | {
    "letter_required": Action.FIX_LETTER,
    "country_visibility": Action.HAND_OFF,
    "applicant_visibility": Action.HAND_OFF,
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_state_follows_its_action(harness, name):
    accepted = harness.submit(publish(harness, refusal=name))
    for _ in range(8):
        harness.run()
        if harness.row(accepted).due_at is None:
            break
        harness.world.sandbox.advance(11)  # a resume may become visible yet
    action = ACTIONS[name.removesuffix("_403").removesuffix("_429")]
    row = harness.row(accepted)
    assert row.state == STATES[action], (row.reason, action)
    assert row.state != "handoff" or row.link
    assert row.negotiation_id is None
