"""Work under a lease: one worker at a time, again while more is due, within a budget."""

from datetime import UTC, datetime

import pytest

from ullgetthejob.platform import leased_work, leases

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
NAME = "work#1"

pytestmark = pytest.mark.usefixtures("dynamodb_tables")


def run(work, is_due=lambda: False, budget_s=60.0):
    return leased_work.run(NAME, work, is_due, lambda: NOW, lease_s=60, budget_s=budget_s)


def is_free():
    lease = leases.acquire(NAME, seconds=60, now=NOW)
    if lease is not None:
        lease.release()
    return lease is not None


def test_work_is_done_under_the_lease_until_nothing_is_due():
    was_free, due = [], [True, True, False]
    assert run(lambda _deadline: was_free.append(is_free()), lambda: due.pop(0)) is False
    assert was_free == [False, False, False]
    assert due == []
    assert is_free()


def test_due_work_is_looked_for_after_the_release():
    """A wake-up that came during the work was dropped: nothing else looks for what it announced."""
    was_free = []

    def is_due():
        was_free.append(is_free())
        return False

    run(lambda _deadline: None, is_due)
    assert was_free == [True]


def test_worker_without_the_lease_does_nothing():
    held = leases.acquire(NAME, seconds=60, now=NOW)
    assert held is not None
    assert run(lambda _deadline: pytest.fail("two workers"), lambda: True) is False
    assert not is_free()


@pytest.mark.parametrize("is_due", [True, False])
def test_used_up_budget_leaves_due_work_to_another_wake_up(is_due):
    done = []
    assert run(done.append, lambda: is_due, budget_s=0.0) is is_due
    assert len(done) == 1


def test_failed_work_releases_the_lease():
    def fail(_deadline):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run(fail)
    assert is_free()
