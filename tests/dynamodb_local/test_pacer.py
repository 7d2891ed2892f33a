"""The pacer with parallel processes: no two slots closer than the interval, and none lost."""

from itertools import chain, pairwise

import pytest

from tests.dynamodb_local.parallel import run_in_parallel
from tests.dynamodb_local.work import slots_at, slots_in_real_time

PROCESSES = 20

pytestmark = pytest.mark.usefixtures("dynamodb_local")


def test_concurrently_reserved_slots_have_no_gaps():
    start = 1_800_000_000_000
    slots = sorted(chain(*run_in_parallel(PROCESSES, slots_at, start, 5, 4)))
    assert slots == [start + 250 * place for place in range(PROCESSES * 5)]


def test_slots_in_real_time_keep_the_interval():
    slots = sorted(chain(*run_in_parallel(PROCESSES, slots_in_real_time, 5, 20)))
    assert len(slots) == PROCESSES * 5
    assert min(later - earlier for earlier, later in pairwise(slots)) >= 50
