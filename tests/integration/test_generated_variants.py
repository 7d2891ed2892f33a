"""Core's decision on the sandbox's vacancies that repeat another: one job, or two."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from local.clock import FILE_NAME, LocalClock
from tests.fixtures.hh_sandbox import run_sandbox
from tests.harness.fetching import FetchHarness

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fixtures.connected import Connected
    from tests.fixtures.hh_sandbox import HhSandbox

# The sandbox is the same at the same moment, and so is the expected result.
MOMENT = datetime(2030, 3, 4, 9, 30, tzinfo=UTC)
DAY_S = 86_400


@pytest.fixture
def world(tmp_path: Path) -> Iterator[HhSandbox]:
    options = ("--vacancies", "1900", "--calls-per-second", "1000000")
    with run_sandbox(tmp_path / "sandbox", *options) as sandbox:
        now = sandbox.control("POST", "/clock", {"rate": 0})["now"]
        sandbox.advance((MOMENT - datetime.fromisoformat(now)).total_seconds())
        yield sandbox


@pytest.fixture
def harness(
    world: HhSandbox, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> FetchHarness:
    connected.sandbox, connected.clock = world, LocalClock(world.data_dir / FILE_NAME)
    monkeypatch.setenv("HH_ACCESS_TOKEN", world.token())
    monkeypatch.setenv("FETCH_DETAILS_PER_RUN", "0")
    return FetchHarness(connected)


def roots(harness: FetchHarness) -> dict[str, str]:
    """Return the id of the original by the id of each stored vacancy."""
    rows = harness.connection.execute(
        "SELECT external_id AS id, coalesce(repost_of, external_id) AS root FROM jobs"
    ).fetchall()
    return {row["id"]: row["root"] for row in rows}


def test_reposts_are_announced_once_and_other_grades_separately(
    harness: FetchHarness, world: HhSandbox
) -> None:
    query_id = harness.query(text="")
    account_id = harness.account_of(harness.save(query_id))
    variants: dict[str, dict[str, str]] = {}
    # The second run finds reposts of vacancies that the first has announced.
    for _ in range(2):
        harness.tick()
        harness.work(query_id)
        listed = world.control("GET", "/variants")["variants"]
        variants |= {variant["id"]: variant for variant in listed}
        world.advance(3 * DAY_S)
    jobs = [job for row in harness.events(account_id, "jobs.new") for job in row["data"]["jobs"]]
    root_of = roots(harness)
    pairs = [
        (variant["variant"], variant["id"], variant["original_id"])
        for variant in variants.values()
        if variant["original_id"] in root_of
    ]
    same = {
        kind: [
            root_of[repeated] == root_of[original]
            for pair_kind, repeated, original in pairs
            if pair_kind == kind
        ]
        for kind in ("repost", "other_city", "other_grade")
    }
    assert min(map(len, same.values())) > 10, "the world has enough of each kind"
    assert all(same["other_city"])
    assert not any(same["other_grade"])
    # A text of which more than a fifth is reworded is not recognised.
    assert sum(same["repost"]) >= 0.9 * len(same["repost"])
    # Each job is announced once, for any number of postings.
    announced = [job["id"] for job in jobs]
    assert len(set(announced)) == len(announced)
    announced_roots = {root_of[job_id] for job_id in announced}
    assert len(announced_roots) == len(announced)
    assert announced_roots == set(root_of.values())
    # The postings of both grades are jobs of their own.
    for kind, repeated, original in pairs:
        if kind == "other_grade":
            assert {root_of[repeated], root_of[original]} <= announced_roots
