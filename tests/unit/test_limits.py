"""How much is asked of a provider at once. Time is virtual."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import VIRTUAL, now

from indexer.provider.limits import Concurrency

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL


class Crowd:
    """Calls that each hold a place for a while, and how many did at once."""

    def __init__(self, slots: Concurrency) -> None:
        self._slots = slots
        self.most = self.done = 0

    async def call(self, takes_s: float = 1.0) -> None:
        async with self._slots.slot():
            self.most = max(self.most, self._slots.busy)
            await asyncio.sleep(takes_s)
        self.done += 1

    def calls(self, count: int, takes_s: float = 1.0) -> list[asyncio.Task[None]]:
        return [asyncio.ensure_future(self.call(takes_s)) for _ in range(count)]


async def test_no_more_are_under_way_than_the_limit():
    crowd = Crowd(Concurrency(3, now))
    start = now()
    await asyncio.gather(*crowd.calls(10))
    assert (crowd.most, crowd.done) == (3, 10)
    assert now() - start == pytest.approx(4.0)


async def test_places_are_given_in_the_order_they_were_asked_for():
    slots, order = Concurrency(1, now), []

    async def call(name: int) -> None:
        async with slots.slot():
            order.append(name)
            await asyncio.sleep(1)

    await asyncio.gather(*map(call, range(6)))
    assert order == list(range(6))


async def test_a_place_is_given_back_when_a_call_fails():
    slots = Concurrency(1, now)
    for _ in range(3):
        with pytest.raises(KeyError):
            async with slots.slot():
                raise KeyError
    assert slots.busy == 0


async def test_too_many_halves_the_limit_at_most_once_a_second():
    slots = Concurrency(16, now)
    for _ in range(10):
        slots.slow_down()
    assert slots.limit == 8
    await asyncio.sleep(0.9)
    slots.slow_down()
    assert slots.limit == 8
    await asyncio.sleep(0.2)
    slots.slow_down()
    assert slots.limit == 4


async def test_one_place_always_remains():
    slots = Concurrency(3, now)
    for _ in range(10):
        slots.slow_down()
        await asyncio.sleep(1)
    assert slots.limit == 1
    crowd = Crowd(slots)
    await asyncio.gather(*crowd.calls(3))
    assert (crowd.most, crowd.done) == (1, 3)


async def test_a_halved_limit_holds_for_those_that_wait_already():
    slots = Concurrency(4, now)
    early = Crowd(slots)
    running = early.calls(4)
    await asyncio.sleep(0.5)
    late = Crowd(slots)
    waiting = late.calls(6)
    slots.slow_down()
    await asyncio.gather(*running, *waiting)
    assert (late.most, late.done) == (2, 6)


async def test_a_round_of_successes_gives_one_place_back_and_never_more_than_there_were():
    slots = Concurrency(10, now)
    slots.slow_down()
    for _ in range(6):
        slots.speed_up()
    assert int(slots.limit) == 6
    for _ in range(100):
        slots.speed_up()
    assert slots.limit == 10


async def test_a_place_that_comes_back_is_taken_at_once():
    slots = Concurrency(2, now)
    slots.slow_down()
    crowd = Crowd(slots)
    tasks = crowd.calls(2, 10.0)
    await asyncio.sleep(1)
    assert slots.busy == 1
    slots.speed_up()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert slots.busy == 2
    await asyncio.gather(*tasks)


async def test_who_stops_waiting_takes_no_place_along():
    slots = Concurrency(1, now)
    crowd = Crowd(slots)
    (holder,) = crowd.calls(1)
    await asyncio.sleep(0)
    quitters, patient = crowd.calls(3), crowd.calls(1)
    await asyncio.sleep(0)
    for quitter in quitters:
        quitter.cancel()
    await asyncio.gather(holder, *quitters, *patient, return_exceptions=True)
    assert (crowd.done, slots.busy) == (2, 0)


async def test_who_is_cancelled_on_being_called_lets_the_next_one_in():
    slots = Concurrency(1, now)
    place = slots.slot()
    await place.__aenter__()
    crowd = Crowd(slots)
    chosen, following = crowd.calls(2)
    await asyncio.sleep(0)
    await place.__aexit__(None, None, None)  # wakes the chosen one, which has not run yet
    chosen.cancel()
    await asyncio.gather(chosen, following, return_exceptions=True)
    assert chosen.cancelled()
    assert (crowd.done, slots.busy) == (1, 0)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(1, 6))
def test_whatever_happens_no_place_is_lost_and_none_is_there_twice(acts: list[int], most: int):
    async def play() -> None:
        slots = Concurrency(most, lambda: float(next(ticks)))
        crowd = Crowd(slots)
        tasks: list[asyncio.Task[None]] = []
        for number, act in enumerate(acts):
            if act == 0:
                tasks += crowd.calls(1, 0.0)
            elif act == 1 and tasks:
                tasks[number % len(tasks)].cancel()
            elif act == 2:
                slots.slow_down()
            else:
                slots.speed_up()
            if number % 3 == 0:
                await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks, return_exceptions=True)
        assert crowd.most <= most
        assert slots.busy == 0
        assert crowd.done == sum(not task.cancelled() for task in tasks)

    ticks = iter(range(1_000))
    asyncio.run(play())
