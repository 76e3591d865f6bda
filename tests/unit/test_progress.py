"""Waiting for what is folded."""

from __future__ import annotations

import asyncio

import pytest

from indexer.domain.position import Position
from indexer.progress import Outcome, Outcomes, Progress

pytestmark = pytest.mark.anyio

KEY = ("t", "u", "e1")


def at(position: Position) -> Progress:
    progress = Progress()
    progress.advance(position)
    return progress


async def test_what_is_applied_already_is_not_waited_for():
    assert await at({0: 5}).wait({0: 5}, timeout_s=0.0)
    assert await Progress().wait({}, timeout_s=0.0)


async def test_what_does_not_come_in_time_is_false():
    assert not await at({0: 5}).wait({0: 6}, timeout_s=0.0)
    assert not await at({0: 5}).wait({0: 5, 3: 1}, timeout_s=0.0)


async def test_a_position_is_reached_once_each_of_its_partitions_is():
    progress = at({0: 5, 1: 2})
    assert progress.reaches({0: 5, 1: 1})
    assert not progress.reaches({0: 5, 1: 3})
    assert not progress.reaches({2: 1})
    waiting = asyncio.ensure_future(progress.wait({0: 6, 1: 3}, timeout_s=60.0))
    await asyncio.sleep(0)
    progress.advance({1: 3})
    await asyncio.sleep(0)
    assert not waiting.done()
    progress.advance({0: 6})
    assert await waiting


async def test_the_partitions_that_are_waited_for_are_told():
    progress = at({0: 5})
    waiting = asyncio.ensure_future(progress.wait({3: 1}, timeout_s=60.0))
    await asyncio.sleep(0)
    assert progress.awaited == [3]
    progress.advance({3: 1})
    assert await waiting
    assert progress.awaited == []


async def test_a_wait_that_ended_unanswered_is_no_longer_told():
    progress = Progress()
    assert not await progress.wait({2: 1}, timeout_s=0.001)
    assert progress.awaited == []


async def test_an_offset_is_waited_for_until_it_or_a_later_one_is_applied():
    progress = Progress()
    waits = [
        asyncio.ensure_future(progress.wait({0: offset}, timeout_s=60.0)) for offset in (3, 1, 2)
    ]
    await asyncio.sleep(0)
    progress.advance({0: 2})
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [wait.done() for wait in waits] == [False, True, True]
    progress.advance({0: 9})
    assert await asyncio.gather(*waits) == [True, True, True]


async def test_progress_never_goes_back():
    progress = at({0: 7})
    progress.advance({0: 3})
    assert progress.position == {0: 7}


async def test_a_wait_that_was_given_up_harms_no_other():
    progress = Progress()
    given_up = asyncio.ensure_future(progress.wait({0: 1}, timeout_s=60.0))
    patient = asyncio.ensure_future(progress.wait({0: 1}, timeout_s=60.0))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0)
    progress.advance({0: 1})
    assert await patient


async def test_an_outcome_reaches_all_who_expect_it():
    outcomes = Outcomes()
    first, second = outcomes.expect(KEY), outcomes.expect(KEY)
    outcomes.settle(KEY, Outcome(user_version=3, embedded=True))
    assert await first == await second == Outcome(3, embedded=True)
    assert not outcomes


async def test_an_outcome_that_nobody_expects_is_dropped():
    outcomes = Outcomes()
    outcomes.settle(KEY, Outcome(1))
    assert not outcomes
    assert not outcomes.expect(KEY).done()


async def test_forgetting_one_wait_keeps_the_others():
    outcomes = Outcomes()
    first, second = outcomes.expect(KEY), outcomes.expect(KEY)
    outcomes.forget({KEY: first})
    outcomes.settle(KEY, Outcome(1))
    assert await second == Outcome(1)
    assert not first.done()


async def test_forgetting_all_waits_leaves_nothing_behind():
    outcomes = Outcomes()
    outcomes.forget({KEY: outcomes.expect(KEY)})
    assert not outcomes


async def test_an_outcome_for_a_wait_that_was_cancelled_is_no_error():
    outcomes = Outcomes()
    future = outcomes.expect(KEY)
    future.cancel()
    outcomes.settle(KEY, Outcome(1))
    assert future.cancelled()
