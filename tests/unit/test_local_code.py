"""Changes of a function's code: seen by a call after a pause, and under load within a second."""

import pytest

from local.functions import code as local_code
from local.functions.code import Code


@pytest.fixture
def clock(monkeypatch):
    seconds = [100.0]
    monkeypatch.setattr(local_code.time, "monotonic", lambda: seconds[0])
    return seconds


def test_change_is_seen_by_a_call_after_a_pause(tmp_path, clock):
    source = tmp_path / "app.py"
    source.write_text("1")
    code = Code([tmp_path])
    clock[0] += 0.06
    assert code.generation() == 0
    source.write_text("22")
    clock[0] += 0.06
    assert code.generation() == 1


def test_change_is_seen_within_a_second_under_load(tmp_path, clock):
    source = tmp_path / "app.py"
    source.write_text("1")
    code = Code([tmp_path])
    source.write_text("22")
    seen = []
    for _ in range(110):
        clock[0] += 0.01
        seen.append(code.generation())
    assert seen[:90] == [0] * 90
    assert seen[-1] == 1
