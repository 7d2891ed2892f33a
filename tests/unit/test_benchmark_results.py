"""The rows of the benchmarks: ratios by round, goals, and the table."""

import argparse

import pytest

from benchmarks import results
from benchmarks.results import Goal, compare, figure


def test_ratio_is_the_median_of_the_rounds_ratios():
    row = compare("a; b", [10, 30, 10], [10, 10, 100], Goal(">=", 1.0))
    assert (row.ours, row.baseline, row.ratio, row.spread) == (10, 10, 1.0, (0.1, 3.0))
    assert row.is_met


@pytest.mark.parametrize(
    ("bound", "value", "is_met"),
    [("<=", 0.5, True), ("<=", 0.49, False), (">=", 0.5, True), (">=", 0.51, False)],
)
def test_goal_bounds_the_ratio(bound, value, is_met):
    assert compare("a; b", [1.0], [2.0], Goal(bound, value)).is_met is is_met


def test_goal_bounds_the_figure_without_a_baseline():
    assert figure("growth, MB", [1, 2, 9], Goal("<=", 5.0)).is_met
    assert not figure("growth, MB", [1, 6, 9], Goal("<=", 5.0)).is_met


def test_rows_survive_the_file_and_exit_tells_a_miss(tmp_path, capsys):
    rows = [compare("a; b", [1.0], [2.0], Goal("<=", 0.4)), figure("c", [1_234.5])]
    options = argparse.Namespace(json=tmp_path / "rows.json")
    with pytest.raises(SystemExit) as exited:
        results.finish(rows, options)
    assert exited.value.code == 1
    assert results.read(options.json) == rows
    shown = capsys.readouterr().out.splitlines()
    assert shown == results.table(rows)
    assert [cell.strip() for cell in shown[2].split("|")[1:-1]] == [
        *("a; b", "1.00", "2.00", "0.50", "0.50 to 0.50", "<= 0.40", "MISSED")
    ]
    assert "1,234" in shown[3]
    assert len({len(text) for text in shown}) == 1


def test_rows_without_a_miss_exit_with_success():
    with pytest.raises(SystemExit) as exited:
        results.finish([figure("c", [1.0])], argparse.Namespace(json=None))
    assert exited.value.code == 0
