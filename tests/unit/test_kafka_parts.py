"""Parts of the log in Kafka that need no broker: buffers, lanes, shared answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.domain.events import Event
from indexer.errors import LogError
from indexer.ports import EventRecord
from indexer.streams.kafka.buffer import BUFFERED_MAX, FETCHED_MAX, Buffer
from indexer.streams.kafka.lanes import Lanes, settled
from indexer.streams.kafka.reader import Rounds
from indexer.streams.kafka.records import Entry

pytestmark = pytest.mark.anyio


def record(offset: int, partition: int = 0) -> EventRecord:
    event = Event("default", "u1", f"e{offset}", "view", 1.0, item_id="i1")
    return EventRecord(offset, 1.0, event, partition)


def buffer_of(*records: EventRecord) -> Buffer[EventRecord]:
    buffer: Buffer[EventRecord] = Buffer()
    buffer.begin({0: 0, 1: 0})
    for one in records:
        buffer.add(one)
    return buffer


# buffers


def test_what_is_passed_over_counts_as_applied_after_all_before_it():
    buffer = buffer_of(record(1), record(2))
    buffer.pass_over(0, 3)
    assert buffer.applied == {0: 0, 1: 0}
    buffer.apply({0: 1})
    assert buffer.applied == {0: 1, 1: 0}
    buffer.apply({0: 2})
    assert buffer.applied == {0: 3, 1: 0}


def test_records_come_in_the_order_of_arrival_and_leave_by_partition():
    buffer = buffer_of(record(1), record(1, 1), record(2), record(2, 1))
    buffer.apply({1: 2, 7: 9})
    assert [(r.partition, r.offset) for r in buffer.read(10)] == [(0, 1), (0, 2)]
    assert buffer.read(1) == [record(1)]
    assert buffer.applied == {0: 0, 1: 2}


def test_records_that_are_forgotten_are_not_applied():
    buffer = buffer_of(record(1), record(2))
    buffer.apply({0: 1})
    buffer.clear()
    assert buffer.read(10) == []
    buffer.pass_over(1, 4)
    assert buffer.applied == {0: 1, 1: 4}
    buffer.leave()
    assert buffer.applied == {}


def test_a_buffer_has_room_as_long_as_what_is_taken_at_once_fits_in():
    buffer = buffer_of(*(record(n + 1) for n in range(BUFFERED_MAX - FETCHED_MAX)))
    assert buffer.has_room
    buffer.add(record(BUFFERED_MAX))
    assert not buffer.has_room


@given(st.data())
def test_nothing_counts_as_applied_before_all_of_its_partition_up_to_there_is(data: st.DataObject):
    buffer = buffer_of()
    newest, waiting = {0: 0, 1: 0}, set()
    for step in data.draw(st.lists(st.sampled_from(["add", "pass", "apply"]), max_size=40)):
        partition = data.draw(st.integers(0, 1))
        if step == "apply":
            taken = buffer.read(data.draw(st.integers(0, 5)))
            waiting -= {(r.partition, r.offset) for r in taken}
            buffer.apply({r.partition: r.offset for r in taken})
        else:
            newest[partition] += data.draw(st.integers(1, 3))  # compaction leaves gaps
            if step == "add":
                buffer.add(record(newest[partition], partition))
                waiting.add((partition, newest[partition]))
            else:
                buffer.pass_over(partition, newest[partition])
        for number, applied in buffer.applied.items():
            assert all(offset > applied for p, offset in waiting if p == number)
    assert {(r.partition, r.offset) for r in buffer.read(100)} == waiting


# lanes


class FewAtOnce:
    """A batch that is full with three entries."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    def append(self, *, timestamp: int, key: bytes, value: bytes, headers: Any) -> Any:
        if len(self.values) == 3:
            return None
        self.values.append(value)
        return self


@dataclass
class Sent:
    """What a producer answers. ``offset``: Kafka's, of the first."""

    offset: int


class Producer:
    """Takes batches, and answers when it is told to."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, list[bytes]]] = []
        self._answers: list[asyncio.Future[Sent]] = []
        self._ends: dict[int, int] = {}

    def create_batch(self) -> FewAtOnce:
        return FewAtOnce()

    async def send_batch(
        self, batch: FewAtOnce, topic: str, *, partition: int
    ) -> asyncio.Future[Sent]:
        answer: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        self.batches.append((partition, batch.values))
        self._answers.append(answer)
        return answer

    async def answer(self, number: int, *, failed: bool = False) -> None:
        """Acknowledge a batch, or fail it."""
        partition, values = self.batches[number]
        if failed:
            self._answers[number].set_exception(OSError("broken"))
        else:
            first = self._ends.get(partition, 0)
            self._ends[partition] = first + len(values)
            self._answers[number].set_result(Sent(first))
        await turns()


async def turns() -> None:
    """Let everything that can go on go on."""
    for _ in range(10):
        await asyncio.sleep(0)


def entries(*values: str) -> Sequence[Entry]:
    return [Entry(b"k", value.encode(), []) for value in values]


async def test_what_comes_while_a_batch_is_under_way_goes_with_the_next():
    producer = Producer()
    lanes = Lanes(producer, "events")
    first = lanes.put(0, entries("a"))
    await turns()
    second, third = lanes.put(0, entries("b")), lanes.put(0, entries("c"))
    elsewhere = lanes.put(1, entries("d"))
    await turns()
    assert producer.batches == [(0, [b"a"]), (1, [b"d"])]
    await producer.answer(0)
    assert producer.batches[2:] == [(0, [b"b", b"c"])]
    await producer.answer(2)
    await producer.answer(1)
    await settled([first, second, third, elsewhere])
    assert [job.future.result() for job in (first, second, third)] == [[1], [2], [3]]
    assert lanes.ends == {0: 3, 1: 1}


async def test_what_does_not_fit_into_a_batch_follows_in_order():
    producer = Producer()
    lanes = Lanes(producer, "events")
    jobs = [lanes.put(0, entries("a", "b")), lanes.put(0, entries("c", "d", "e", "f", "g"))]
    for number in range(3):
        await turns()
        await producer.answer(number)
    await settled(jobs)
    assert [values for _, values in producer.batches] == [
        [b"a", b"b", b"c"],
        [b"d", b"e", b"f"],
        [b"g"],
    ]
    assert jobs[1].future.result() == [3, 4, 5, 6, 7]


async def test_when_a_batch_fails_nothing_more_is_sent_of_whoever_had_a_part_in_it():
    producer = Producer()
    lanes = Lanes(producer, "events")
    jobs = [
        lanes.put(0, entries("a", "b")),
        lanes.put(0, entries("c", "d")),
        lanes.put(0, entries("e")),
    ]
    await turns()
    assert producer.batches == [(0, [b"a", b"b", b"c"])]
    await producer.answer(0, failed=True)
    assert producer.batches[1:] == [(0, [b"e"])]
    await producer.answer(1)
    for job in jobs[:2]:
        with pytest.raises(LogError):
            await settled([job])
    await settled([jobs[2]])


async def test_what_a_caller_has_given_up_before_it_was_sent_is_never_sent():
    producer = Producer()
    lanes = Lanes(producer, "events")
    first, given_up, last = (lanes.put(0, entries(name)) for name in "abc")
    given_up.fail(LogError("not in time"))
    await turns()
    assert producer.batches == [(0, [b"a", b"c"])]
    await producer.answer(0)
    await settled([first, last])


# shared answers


async def test_callers_that_come_at_once_share_an_answer_that_is_newer_than_their_question():
    asked = 0
    answered = asyncio.Event()

    async def ask() -> int:
        nonlocal asked
        asked += 1
        mine = asked
        await answered.wait()
        return mine

    rounds = Rounds(ask)
    early = [asyncio.create_task(rounds.ask()) for _ in range(5)]
    await turns()
    late = [asyncio.create_task(rounds.ask()) for _ in range(5)]
    await turns()
    answered.set()
    assert await asyncio.gather(*early) == [1] * 5
    assert await asyncio.gather(*late) == [2] * 5


async def test_a_caller_that_leaves_takes_no_answer_from_the_others():
    answered = asyncio.Event()

    async def ask() -> int:
        await answered.wait()
        return 7

    rounds = Rounds(ask)
    leaving, staying = (asyncio.create_task(rounds.ask()) for _ in range(2))
    await turns()
    leaving.cancel()
    answered.set()
    assert await staying == 7
