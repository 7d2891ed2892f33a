"""What employers do of themselves: always the same, in hours to days, and not all of them."""

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


def test_the_same_application_always_fares_the_same() -> None:
    assert plans(100) == plans(100)
    others = [employer_behaviour.plan(1, "170000002", str(number), NOW) for number in range(100)]
    assert others != plans(100)
    later = employer_behaviour.plan(1, "170000001", "1", NOW + 60)
    assert [(one.at - 60, one.kind) for one in later] == [
        (one.at, one.kind) for one in employer_behaviour.plan(1, "170000001", "1", NOW)
    ]


def test_employers_look_first_and_in_order() -> None:
    for actions in plans():
        assert [one.kind for one in actions[:1]] == ["viewed"][: len(actions)]
        assert [one.at for one in actions] == sorted(one.at for one in actions)
        assert {one.kind for one in actions} <= KINDS
        assert all((one.text is None) == (one.kind == "viewed") for one in actions)
        assert len([one for one in actions if one.kind in ("invitation", "discard")]) <= 1


def test_it_takes_hours_to_days_and_many_are_never_heard_of() -> None:
    looks = sorted(actions[0].at - NOW for actions in plans() if actions)
    assert 0.5 * HOUR_S <= looks[0] < 1.5 * HOUR_S
    assert 72 * HOUR_S < looks[-1] <= 96 * HOUR_S
    assert 4 * HOUR_S < looks[len(looks) // 2] < 14 * HOUR_S
    counts = Counter(actions[-1].kind if actions else "silence" for actions in plans())
    assert 400 < counts["silence"] < 600
    assert 150 < counts["invitation"] < 350
    assert 400 < counts["discard"] < 700


def test_a_message_is_answered_now_and_then() -> None:
    answers = [employer_behaviour.reply_to(1, str(number), NOW) for number in range(1_000)]
    given = [one for one in answers if one is not None]
    assert 500 < len(given) < 700
    assert all(NOW + HOUR_S <= one.at <= NOW + 24 * HOUR_S for one in given)
    assert answers == [employer_behaviour.reply_to(1, str(number), NOW) for number in range(1_000)]
