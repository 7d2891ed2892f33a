"""Leases with parallel processes: one holder at a time."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.dynamodb_local.parallel import run_in_parallel
from tests.dynamodb_local.work import acquire_lease
from ullgetthejob.platform import leases

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)
PROCESSES = 40

pytestmark = pytest.mark.usefixtures("dynamodb_local")


def owners(at=NOW, count=PROCESSES):
    """Return the owners of the lease after *count* processes tried to acquire it at once."""
    results = run_in_parallel(count, acquire_lease, "account#1", at.isoformat())
    return [owner for owner in results if owner]


def test_one_of_many_workers_acquires_a_lease():
    assert len(owners()) == 1


def test_expired_lease_is_acquired_by_one_worker():
    held = leases.acquire("account#1", seconds=60, now=NOW - timedelta(seconds=60, milliseconds=-1))
    assert held is not None
    assert owners(at=NOW, count=10) == []
    (owner,) = owners(at=NOW + timedelta(milliseconds=1))
    assert owner != held.owner
    held.release()  # too late: another worker holds it
    assert leases.acquire("account#1", seconds=60, now=NOW + timedelta(seconds=1)) is None


def test_released_lease_is_acquired_by_one_worker():
    held = leases.acquire("account#1", seconds=60, now=NOW)
    assert held is not None
    held.release()
    assert len(owners()) == 1
