"""How much is asked of a provider in a minute. Time is virtual."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import VIRTUAL, VirtualLoop, now

from indexer.errors import ProviderUnavailable
from indexer.provider.limits import Rate

pytestmark = pytest.mark.anyio

FOREVER = float("inf")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL


async def started(rate: Rate, tokens: list[int]) -> list[float]:
    """When calls that come together may begin, in seconds from now."""
    start, times = now(), []

    async def call(amount: int) -> None:
        await rate.wait(amount, FOREVER)
        times.append(round(now() - start, 3))

    await asyncio.gather(*map(call, tokens))
    return times


def is_refused(error: pytest.ExceptionInfo[ProviderUnavailable]) -> bool:
    return error.value.fault == "rate_limit" and not error.value.again


async def test_without_limits_nothing_waits():
    assert await started(Rate(None, None, now), [10**9] * 100) == [0.0] * 100


async def test_ten_seconds_worth_may_come_at_once_and_the_rest_comes_in_step():
    times = await started(Rate(60, None, now), [1] * 15)
    assert times == pytest.approx([0.0] * 10 + [1.0, 2.0, 3.0, 4.0, 5.0])


async def test_what_was_not_used_is_not_saved_up_for_longer():
    rate = Rate(60, None, now)
    await asyncio.sleep(3_600)
    assert (await started(rate, [1] * 12))[-2:] == pytest.approx([1.0, 2.0])


async def test_tokens_are_limited_as_requests_are():
    times = await started(Rate(None, 6_000, now), [500] * 4)
    assert times == pytest.approx([0.0, 0.0, 5.0, 10.0])


async def test_the_tighter_of_both_limits_holds():
    by_tokens = await started(Rate(600, 6_000, now), [1_000, 1_000])
    by_requests = await started(Rate(6, 6_000_000, now), [1_000, 1_000])
    assert (by_tokens, by_requests) == ([0.0, 10.0], [0.0, 10.0])


@pytest.mark.parametrize(
    "rate",
    [lambda: Rate(1, None, now), lambda: Rate(None, 60, now)],
    ids=["few requests", "few tokens"],
)
async def test_a_call_larger_than_ten_seconds_worth_begins_and_the_next_pays_for_it(
    rate: Callable[[], Rate],
):
    limited = rate()
    await limited.wait(60, now() + 1)
    assert await started(limited, [60]) == [60.0]


@given(st.lists(st.integers(0, 3_000), min_size=1, max_size=30), st.sampled_from([6, 60, 600]))
def test_no_minute_holds_more_than_the_rate_and_a_burst_allow(tokens: list[int], per_minute: int):
    async def play() -> list[float]:
        return await started(Rate(per_minute, None, now), tokens)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        times = runner.run(play())
    allowed = per_minute * (70 / 60) + 1
    for at in times:
        assert sum(at <= other < at + 60 for other in times) <= allowed


async def test_what_would_come_after_the_deadline_is_refused_at_once():
    rate = Rate(60, None, now)
    await started(rate, [1] * 15)
    begun = now()
    with pytest.raises(ProviderUnavailable, match=r"no room for 1\.0 s") as caught:
        await rate.wait(1, until=begun + 0.5)
    assert is_refused(caught)
    assert now() == begun


async def test_what_is_refused_books_nothing():
    rate = Rate(60, 60_000, now)
    await started(rate, [1] * 10)
    for _ in range(50):
        with pytest.raises(ProviderUnavailable):
            await rate.wait(1_000, until=now())
    assert await started(rate, [1]) == [1.0]


async def test_what_comes_just_in_time_is_let_in():
    rate = Rate(60, None, now)
    await started(rate, [1] * 10)
    await rate.wait(1, until=now() + 1.001)


# After "too many"


async def test_too_many_halves_the_rate_once_a_second_down_to_a_tenth():
    rate = Rate(60, None, now)
    rate.slow_down(None)
    rate.slow_down(None)
    assert rate.factor == pytest.approx(0.5)
    for _ in range(20):
        await asyncio.sleep(1)
        rate.slow_down(None)
    assert rate.factor == pytest.approx(0.1)


async def test_the_rate_is_back_within_a_minute():
    rate = Rate(60, None, now)
    for _ in range(20):
        rate.slow_down(None)
        await asyncio.sleep(1)
    before = rate.factor
    await asyncio.sleep(20)
    assert before < rate.factor < 1
    await asyncio.sleep(35)
    assert rate.factor == 1


async def test_a_halved_rate_spaces_calls_twice_as_far():
    rate = Rate(60, None, now)
    await started(rate, [1] * 10)
    rate.slow_down(None)
    assert await started(rate, [1]) == [2.0]


@pytest.mark.parametrize("per_minute", [None, 600])
async def test_a_wait_that_was_asked_for_holds_all_calls(per_minute: int | None):
    rate = Rate(per_minute, None, now)
    rate.slow_down(30)
    rate.slow_down(5)
    assert min(await started(rate, [1] * 3)) == pytest.approx(30)


async def test_a_wait_that_was_asked_for_holds_those_that_wait_already():
    rate = Rate(60, None, now)
    waiting = asyncio.ensure_future(started(rate, [1] * 15))
    await asyncio.sleep(0.5)
    rate.slow_down(30)
    assert [at >= 30 for at in await waiting] == [False] * 10 + [True] * 5


async def test_a_hold_beyond_the_deadline_is_refused_at_once():
    rate = Rate(None, None, now)
    rate.slow_down(30)
    begun = now()
    with pytest.raises(ProviderUnavailable, match=r"30\.0 s") as caught:
        await rate.wait(1, until=begun + 20)
    assert is_refused(caught)
    assert now() == begun


async def test_who_stops_waiting_for_its_time_breaks_nothing():
    rate = Rate(60, None, now)
    await started(rate, [1] * 10)
    gone = asyncio.ensure_future(rate.wait(1, FOREVER))
    await asyncio.sleep(0)
    gone.cancel()
    assert await started(rate, [1]) == [2.0]  # the time it booked is lost, no more
