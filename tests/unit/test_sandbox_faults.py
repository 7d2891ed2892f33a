"""Which faults apply to which calls, how often, and which are invalid."""

from __future__ import annotations

from typing import Any

import pytest

from local.sandbox import faults
from local.sandbox.faults import Faults, InvalidFault


def kinds(set_: Faults, path: str = "/vacancies", *, with_token: bool = True) -> list[str]:
    return [fault.kind for fault in set_.match_faults(path, with_token=with_token)]


def test_fault_applies_for_its_times_and_is_removed() -> None:
    set_ = Faults(seed=1)
    set_.set.append(faults.read({"kind": "server_error", "times": 2}))
    assert [kinds(set_) for _ in range(3)] == [["server_error"], ["server_error"], []]


def test_fault_applies_only_under_its_path() -> None:
    set_ = Faults(seed=1)
    set_.set.append(faults.read({"kind": "server_error", "path": "/token"}))
    assert kinds(set_, "/vacancies") == []
    assert kinds(set_, "/token") == ["server_error"]


def test_search_fault_does_not_apply_to_dictionaries() -> None:
    set_ = Faults(seed=1)
    set_.set.append(faults.read({"kind": "vpn_check"}))
    assert kinds(set_, "/dictionaries") == []
    assert kinds(set_, "/vacancies") == ["vpn_check"]


def test_fault_probability_is_repeatable_for_a_seed() -> None:
    def row(seed: int) -> list[bool]:
        set_ = Faults(seed)
        set_.set.append(faults.read({"kind": "drop", "probability": 0.3}))
        return [bool(kinds(set_)) for _ in range(1_000)]

    assert row(1) == row(1)
    assert 200 < sum(row(1)) < 400


def test_slow_fault_comes_first_beside_another() -> None:
    set_ = Faults(seed=1)
    set_.set.append(faults.read({"kind": "bad_gateway"}))
    set_.set.append(faults.read({"kind": "slow", "seconds": 1}))
    assert kinds(set_) == ["slow", "bad_gateway"]


def test_first_of_two_faults_applies() -> None:
    set_ = Faults(seed=1)
    set_.set.append(faults.read({"kind": "captcha", "times": 1}))
    set_.set.append(faults.read({"kind": "drop"}))
    assert [kinds(set_) for _ in range(2)] == [["captcha"], ["drop"]]


def test_token_fault_needs_a_call_with_a_token() -> None:
    set_ = Faults(seed=1)
    set_.set.append(faults.read({"kind": "token_revoked"}))
    assert kinds(set_, with_token=False) == []


def test_overlapping_pages_apply_only_after_the_first_page() -> None:
    set_ = Faults(seed=1)
    set_.set.append(faults.read({"kind": "overlapping_pages", "times": 2}))

    def is_matched(page: str, path: str = "/vacancies") -> bool:
        return bool(set_.match_faults(path, with_token=True, page=page))

    matched = [is_matched(page) for page in ("", "0", "1")]
    assert matched == [False, False, True]
    assert not is_matched("1", "/dictionaries")
    assert [is_matched(page) for page in ("0", "7", "1")] == [False, True, False], "twice, as asked"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "unknown kind"),
        ([], "unknown kind"),
        ({"kind": "flood"}, "too_many_requests"),
        ({"kind": "drop", "path": "vacancies"}, "path"),
        ({"kind": "drop", "times": 0}, "times"),
        ({"kind": "drop", "times": True}, "times"),
        ({"kind": "drop", "probability": 2}, "probability"),
        ({"kind": "slow", "seconds": -1}, "seconds"),
        ({"kind": "slow", "time": 1}, "unknown field 'time'"),
    ],
)
def test_invalid_fault_is_refused(body: Any, message: str) -> None:
    with pytest.raises(InvalidFault, match=message):
        faults.read(body)
