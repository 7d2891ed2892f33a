"""What ``make bench-growth`` finds to grow, and that it forgets no endpoint."""

from __future__ import annotations

import json

import pytest

from benchmarks import growth_endpoints
from benchmarks.growth_figures import (
    FLOOR_BUFFERS,
    FLOOR_MS,
    Figure,
    Measured,
    UnexpectedAnswer,
    scans_read_whole,
)
from tests.fixtures.local_cloud import ROOT


def measured(*figures: Figure) -> Measured:
    """Return a statement that was measured once at each size."""
    given = iter(figures)
    subject = Measured("statement", lambda: (next(given), set()))
    for _ in figures:
        subject.begin_size()
        subject.measure()
    return subject


def test_time_that_grows_fails() -> None:
    assert measured(Figure(2, 10), Figure(2.9, 10)).fails is False
    assert measured(Figure(2, 10), Figure(3.1, 10)).fails is True


def test_buffers_that_grow_fail_at_the_same_time() -> None:
    assert measured(Figure(2, 300), Figure(2, 590)).fails is False
    assert measured(Figure(2, 300), Figure(2, 610)).fails is True


def test_small_figures_do_not_grow() -> None:
    assert measured(Figure(0.01, 1), Figure(FLOOR_MS, FLOOR_BUFFERS)).fails is False


def test_lesser_of_two_measurements_counts() -> None:
    figures = iter([Figure(9, 200), Figure(4, 300)])
    subject = Measured("statement", lambda: (next(figures), set()))
    subject.begin_size()
    subject.measure()
    subject.measure()
    assert subject.figures == [Figure(4, 200)]


def test_scan_that_read_a_table_whole_fails() -> None:
    subject = Measured("statement", lambda: (Figure(1, 1), {"Seq Scan of jobs: 20,000 rows"}))
    subject.begin_size()
    subject.measure()
    assert subject.fails is True


def test_unexpected_answer_fails() -> None:
    def refuse() -> tuple[Figure, set[str]]:
        raise UnexpectedAnswer("submit: 500")

    subject = Measured("endpoint submit", refuse)
    subject.begin_size()
    subject.measure()
    assert (subject.fails, subject.failures) == (True, {"submit: 500"})


def scan(table: str, rows: float, loops: int = 1, removed: int = 0) -> dict[str, object]:
    return {
        "Node Type": "Index Scan",
        "Relation Name": table,
        "Actual Rows": rows,
        "Actual Loops": loops,
        "Rows Removed by Filter": removed,
    }


@pytest.mark.parametrize(
    ("plan", "found"),
    [
        (scan("jobs", 10_000), set()),
        (scan("jobs", 1, removed=10_000), {"Index Scan of jobs: 10,001 rows"}),
        (scan("jobs", 2, loops=6_000), {"Index Scan of jobs: 12,000 rows"}),
        (scan("users", 2, loops=6_000), set()),
        (
            {"Node Type": "Limit", "Plans": [scan("jobs", 20_000)]},
            {"Index Scan of jobs: 20,000 rows"},
        ),
    ],
)
def test_rows_read_of_large_tables_are_counted(plan: dict[str, object], found: set[str]) -> None:
    assert scans_read_whole(plan, {"jobs"}) == found


# ── endpoints ────────────────────────────────────────────────────────────────────────────────────


def test_every_sample_event_is_measured_or_exempt_with_a_reason() -> None:
    samples = {path.stem for path in (ROOT / "events").glob("*.json")}
    assert set(growth_endpoints.samples()) | set(growth_endpoints.EXEMPT) == samples
    assert not set(growth_endpoints.samples()) & set(growth_endpoints.EXEMPT)
    assert all(growth_endpoints.EXEMPT.values())


def test_every_route_has_a_sample_event() -> None:
    """So that a new route is measured: the samples name all routes of the API."""
    described = json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"]
    routes = {
        f"{method.upper()} {path}"
        for path, methods in described.items()
        for method in methods
        if method in ("get", "post", "put", "patch", "delete")
    }
    samples = (json.loads(path.read_text()) for path in (ROOT / "events").glob("*.json"))
    assert routes <= {sample.get("routeKey") for sample in samples if isinstance(sample, dict)}
