"""The planned actions of employers: repeatable, within hours to days, and not always any."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from local.sandbox.negotiations import employer_behaviour

if TYPE_CHECKING:
    from local.sandbox.negotiations.employer_behaviour import EmployerAction

NOW = 1_795_000_000.0
HOUR_S = 3_600
KINDS = {"viewed", "message", "invitation", "discard"}


def plans(count: int = 2_000) -> list[list[EmployerAction]]:
    return [employer_behaviour.plan(1, "170000001", str(number), NOW) for number in range(count)]


def test_same_application_has_the_same_outcome() -> None:
    assert plans(100) == plans(100)
    others = [employer_behaviour.plan(1, "170000002", str(number), NOW) for number in range(100)]
    assert others != plans(100)
    later = employer_behaviour.plan(1, "170000001", "1", NOW + 60)
    assert [(action.at - 60, action.kind) for action in later] == [
        (action.at, action.kind) for action in employer_behaviour.plan(1, "170000001", "1", NOW)
    ]


def test_employer_views_first_and_acts_in_order() -> None:
    for actions in plans():
        assert [action.kind for action in actions[:1]] == ["viewed"][: len(actions)]
        assert [action.at for action in actions] == sorted(action.at for action in actions)
        assert {action.kind for action in actions} <= KINDS
        assert all((action.text is None) == (action.kind == "viewed") for action in actions)
        assert len([action for action in actions if action.kind in ("invitation", "discard")]) <= 1


def test_actions_take_hours_to_days_or_never_happen() -> None:
    looks = sorted(actions[0].at - NOW for actions in plans() if actions)
    assert 0.5 * HOUR_S <= looks[0] < 1.5 * HOUR_S
    assert 72 * HOUR_S < looks[-1] <= 96 * HOUR_S
    assert 4 * HOUR_S < looks[len(looks) // 2] < 14 * HOUR_S
    counts = Counter(actions[-1].kind if actions else "silence" for actions in plans())
    assert 400 < counts["silence"] < 600
    assert 150 < counts["invitation"] < 350
    assert 400 < counts["discard"] < 700


def test_message_gets_a_reply_at_its_rate() -> None:
    answers = [employer_behaviour.reply_to(1, str(number), NOW) for number in range(1_000)]
    given = [action for action in answers if action is not None]
    assert 500 < len(given) < 700
    assert all(NOW + HOUR_S <= action.at <= NOW + 24 * HOUR_S for action in given)
    assert answers == [employer_behaviour.reply_to(1, str(number), NOW) for number in range(1_000)]
