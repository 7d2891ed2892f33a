"""What Core makes of the vacancies of the sandbox that repeat another: one job, or two."""

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

# The world is the same at the same moment, and what must come of it is, too.
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
    """By the id of each stored vacancy, that of the job that it is a posting of."""
    rows = harness.connection.execute(
        "SELECT external_id AS id, coalesce(repost_of, external_id) AS root FROM jobs"
    ).fetchall()
    return {row["id"]: row["root"] for row in rows}


def test_a_generated_repost_is_told_once_and_another_grade_is_told_too(
    harness: FetchHarness, world: HhSandbox
) -> None:
    query_id = harness.query(text="")
    account_id = harness.account_of(harness.save(query_id))
    variants: dict[str, dict[str, str]] = {}
    # The second run finds reposts of what the first has told.
    for _ in range(2):
        harness.tick()
        harness.work(query_id)
        variants |= {one["id"]: one for one in world.control("GET", "/variants")["variants"]}
        world.advance(3 * DAY_S)
    jobs = [job for row in harness.events(account_id, "jobs.new") for job in row["data"]["jobs"]]
    root_of = roots(harness)
    pairs = [
        (one["variant"], one["id"], one["original_id"])
        for one in variants.values()
        if one["original_id"] in root_of
    ]
    same = {
        kind: [root_of[id] == root_of[original] for which, id, original in pairs if which == kind]
        for kind in ("repost", "other_city", "other_grade")
    }
    assert min(map(len, same.values())) > 10, "the world has enough of each kind"
    assert all(same["other_city"])
    assert not any(same["other_grade"])
    # A text that is reworded for more than a fifth is not known again.
    assert sum(same["repost"]) >= 0.9 * len(same["repost"])
    # Each job is told once, whatever the number of its postings.
    told = [job["id"] for job in jobs]
    assert len(set(told)) == len(told)
    assert len({root_of[id] for id in told}) == len(told)
    assert {root_of[id] for id in told} == set(root_of.values())
    # The postings of both grades are jobs of their own.
    told_roots = {root_of[id] for id in told}
    for kind, id, original in pairs:
        if kind == "other_grade":
            assert {root_of[id], root_of[original]} <= told_roots
