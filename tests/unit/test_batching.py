"""Merging what concurrent callers ask. Time is virtual."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import VIRTUAL, VirtualLoop, now

from indexer.batching import Batcher

pytestmark = pytest.mark.anyio

LINGER_S = 1.0
TAKES_S = 10.0


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL


class Line:
    """What is sent to; answers in capitals, after a while, unless a text is a bad one."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.at: list[float] = []
        self.busy = self.busy_most = 0
        self.silent_on: set[str] = set()

    @property
    def texts(self) -> list[str]:
        return [text for batch in self.batches for text in batch]

    async def send(self, texts: list[str]) -> dict[str, str]:
        self.batches.append(texts)
        self.at.append(now())
        self.busy += 1
        self.busy_most = max(self.busy_most, self.busy)
        try:
            await asyncio.sleep(TAKES_S)
        finally:
            self.busy -= 1
        if any(text.startswith("bad") for text in texts):
            raise KeyError(texts[0])
        return {text: text.upper() for text in texts if text not in self.silent_on}


Make = Callable[..., Batcher[str]]


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
async def make(line: Line) -> AsyncIterator[Make]:
    made: list[Batcher[str]] = []

    def make_one(**changes: int) -> Batcher[str]:
        limits = {"count_max": 100, "size_max": 10_000, "parallel": 2, **changes}
        batcher: Batcher[str] = Batcher(line.send, len, **limits, linger_s=LINGER_S)
        made.append(batcher)
        return batcher

    yield make_one
    for one in made:
        await one.close()


def begin(work: Awaitable[Any]) -> asyncio.Future[Any]:
    return asyncio.ensure_future(work)


async def test_each_caller_has_the_answers_to_its_own_texts(make: Make):
    batcher = make()
    answers = await asyncio.gather(batcher.ask(["a", "b"]), batcher.ask(["c"]), batcher.ask([]))
    assert answers == [{"a": "A", "b": "B"}, {"c": "C"}, {}]


async def test_callers_of_the_same_moment_share_a_batch(make: Make, line: Line):
    batcher = make()
    await asyncio.gather(*(batcher.ask([f"t{n}"]) for n in range(20)))
    assert line.batches == [[f"t{n}" for n in range(20)]]


async def test_who_comes_while_a_batch_is_collected_joins_it(make: Make, line: Line):
    batcher = make()
    first = begin(batcher.ask(["a"]))
    await asyncio.sleep(LINGER_S / 2)
    await asyncio.gather(first, batcher.ask(["b"]))
    assert line.batches == [["a", "b"]]


async def test_nobody_waits_longer_than_the_linger_for_company(make: Make, line: Line):
    start = now()
    await make().ask(["a"])
    assert line.at == [pytest.approx(start + LINGER_S)]


async def test_nothing_asked_is_nothing_sent(make: Make, line: Line):
    assert await make().ask([]) == {}
    await asyncio.sleep(10 * LINGER_S)
    assert line.batches == []


# The same text


async def test_a_text_asked_for_twice_is_sent_once(make: Make, line: Line):
    batcher = make()
    answers = await asyncio.gather(batcher.ask(["a", "a"]), batcher.ask(["b", "a"]))
    assert answers == [{"a": "A"}, {"b": "B", "a": "A"}]
    assert sorted(line.texts) == ["a", "b"]


async def test_a_text_that_is_under_way_is_joined(make: Make, line: Line):
    batcher = make()
    first = begin(batcher.ask(["a"]))
    await asyncio.sleep(LINGER_S + TAKES_S / 2)
    assert line.batches == [["a"]]
    assert await batcher.ask(["a"]) == {"a": "A"}
    assert await first == {"a": "A"}
    assert line.batches == [["a"]]


async def test_a_text_that_was_answered_is_asked_anew(make: Make, line: Line):
    batcher = make()
    await batcher.ask(["a"])
    await batcher.ask(["a"])
    assert line.batches == [["a"], ["a"]]


# Limits


async def test_a_batch_holds_no_more_than_its_count(make: Make, line: Line):
    await make(count_max=3).ask([f"t{n}" for n in range(8)])
    assert [len(batch) for batch in line.batches] == [3, 3, 2]


async def test_a_batch_holds_no_more_than_its_size(make: Make, line: Line):
    await make(size_max=10).ask(["a" * 4, "b" * 4, "c" * 4, "d" * 6])
    assert line.batches == [["a" * 4, "b" * 4], ["c" * 4, "d" * 6]]


async def test_a_text_larger_than_a_batch_goes_alone(make: Make, line: Line):
    await make(size_max=10).ask(["a", "b" * 50, "c"])
    assert line.batches == [["a"], ["b" * 50], ["c"]]


async def test_no_more_batches_are_under_way_than_allowed(make: Make, line: Line):
    start = now()
    await make(count_max=1, parallel=2).ask(list("abcdef"))
    assert line.busy_most == 2
    assert now() - start == pytest.approx(LINGER_S + 3 * TAKES_S)


async def test_what_comes_while_all_are_busy_goes_together(make: Make, line: Line):
    batcher = make(parallel=1)
    first = begin(batcher.ask(["a"]))
    await asyncio.sleep(2 * LINGER_S)
    late = []
    for name in "bcd":
        late.append(begin(batcher.ask([name])))
        await asyncio.sleep(LINGER_S)
    await asyncio.gather(first, *late)
    assert line.batches == [["a"], ["b", "c", "d"]]


@given(
    st.lists(st.lists(st.text("wxyz", min_size=1, max_size=4), max_size=6), max_size=8),
    st.integers(1, 4),
    st.integers(1, 8),
    st.integers(1, 3),
)
def test_all_is_answered_once_within_all_limits(
    asked: list[list[str]], count_max: int, size_max: int, parallel: int
):
    async def play() -> list[dict[str, str]]:
        batcher: Batcher[str] = Batcher(
            line.send, len, count_max=count_max, size_max=size_max, parallel=parallel,
            linger_s=LINGER_S,
        )  # fmt: skip
        return await asyncio.gather(*map(batcher.ask, asked))

    line = Line()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        answers = runner.run(play())
    assert answers == [{text: text.upper() for text in texts} for texts in asked]
    assert sorted(line.texts) == sorted({text for texts in asked for text in texts})
    assert line.busy_most <= parallel
    for batch in line.batches:
        assert len(batch) <= count_max
        assert len(batch) == 1 or sum(map(len, batch)) <= size_max


# Cancelled callers


@pytest.mark.parametrize("after_s", [LINGER_S / 2, LINGER_S + TAKES_S / 2])
async def test_a_caller_that_is_cancelled_harms_no_other(make: Make, line: Line, after_s: float):
    batcher = make()
    gone, stays = begin(batcher.ask(["a", "b"])), begin(batcher.ask(["b", "c"]))
    await asyncio.sleep(after_s)
    gone.cancel()
    assert await stays == {"b": "B", "c": "C"}
    assert gone.cancelled()
    assert len(line.batches) == 1


async def test_texts_of_a_cancelled_caller_can_be_asked_for_again(make: Make):
    batcher = make()
    gone = begin(batcher.ask(["a"]))
    await asyncio.sleep(LINGER_S + 1)
    gone.cancel()
    await asyncio.sleep(2 * TAKES_S)
    assert await batcher.ask(["a"]) == {"a": "A"}


# Errors


async def test_an_error_reaches_all_who_asked_for_that_batch_and_nobody_else(make: Make):
    batcher = make(count_max=2)
    told = await asyncio.gather(
        batcher.ask(["bad", "b"]), batcher.ask(["b"]), batcher.ask(["c"]), return_exceptions=True
    )
    assert [type(one) for one in told] == [KeyError, KeyError, dict]


async def test_after_an_error_the_texts_can_be_asked_for_again(make: Make, line: Line):
    batcher = make(parallel=1)
    for _ in range(3):
        with pytest.raises(KeyError):
            await batcher.ask(["bad"])
    assert await batcher.ask(["good"]) == {"good": "GOOD"}
    assert len(line.batches) == 4


async def test_a_text_without_an_answer_is_an_error_for_who_asked_for_it(make: Make, line: Line):
    line.silent_on = {"b"}
    batcher = make()
    told = await asyncio.gather(batcher.ask(["a"]), batcher.ask(["b"]), return_exceptions=True)
    assert told[0] == {"a": "A"}
    assert isinstance(told[1], KeyError)


async def test_an_error_that_nobody_waits_for_is_no_warning(make: Make):
    batcher = make()
    gone = begin(batcher.ask(["bad"]))
    await asyncio.sleep(LINGER_S / 2)
    gone.cancel()
    await asyncio.sleep(2 * TAKES_S)


# The end


@pytest.mark.parametrize("after_s", [0.0, LINGER_S / 2, LINGER_S + 1, LINGER_S + TAKES_S + 1])
async def test_closing_ends_all_waiting(make: Make, line: Line, after_s: float):
    batcher = make(count_max=1, parallel=1)
    waiting = [begin(batcher.ask([text])) for text in "abc"]
    await asyncio.sleep(after_s)
    answered = sum(one.done() for one in waiting)
    await batcher.close()
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(isinstance(one, asyncio.CancelledError) for one in told) == 3 - answered
    assert line.busy == 0


async def test_closing_is_no_harm_when_nothing_was_asked_or_done_twice(make: Make):
    batcher = make()
    await batcher.close()
    await batcher.close()


async def test_what_is_asked_after_the_end_is_refused(make: Make):
    batcher = make()
    await batcher.close()
    with pytest.raises(RuntimeError, match="after the end"):
        await batcher.ask(["a"])
