"""Requests are admitted in order, a few in each pass of the event loop."""

import asyncio
import itertools

from local.gateway.admission import Admission


def test_callers_are_admitted_in_order_and_a_few_at_once():
    admission, admitted, between = Admission(3), [], []

    async def ask(number):
        await admission.wait()
        admitted.append(number)

    async def run():
        asking = [asyncio.create_task(ask(number)) for number in range(20)]
        while len(admitted) < 20:
            await asyncio.sleep(0)  # another task goes on after each pass
            between.append(len(admitted))
        await asyncio.gather(*asking)

    asyncio.run(run())
    assert admitted == list(range(20))
    steps = [after - before for before, after in itertools.pairwise(between)]
    assert max(steps) <= 3
    assert len([step for step in steps if step]) >= 5


def test_caller_that_left_takes_no_place():
    admission, admitted = Admission(1), []

    async def ask(number):
        await admission.wait()
        admitted.append(number)

    async def run():
        asking = [asyncio.create_task(ask(number)) for number in range(4)]
        await asyncio.sleep(0)
        asking[2].cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    asyncio.run(run())
    assert admitted == [0, 1, 3]
