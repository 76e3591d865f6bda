"""Reading partitions from any place on, without owning them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, Generic, TypeVar

from aiokafka.errors import OffsetOutOfRangeError

from indexer.errors import LogError
from indexer.streams.kafka.client import (
    ANSWER_S,
    KafkaConnection,
    TopicPartition,
    asking,
    make_reader,
    start,
    stop,
)

__all__ = ["Readers", "Rounds"]

_PAGE_MAX: Final = 1_000
_LOOK_MS: Final = 10

T = TypeVar("T")


class Rounds(Generic[T]):
    """Has callers that come at the same time share an answer, none older than their question."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[T] | None = None

    async def ask(self) -> T:
        """Return the answer of the next round."""
        if self._next is None:
            self._next = asyncio.create_task(self._round())
        return await asyncio.shield(self._next)

    async def _round(self) -> T:
        async with self._turn:
            self._next = None  # whoever comes from now on needs another
            return await self._ask()


_Place = tuple[TopicPartition, int]


class _Reader:
    """One consumer. ``at``: the place that it can go on from at once. ``sound``: it can be used
    again, as no call of it was broken off."""

    def __init__(self, consumer: Any) -> None:
        self.consumer = consumer
        self.at: _Place | None = None
        self.sound = True


class Readers:
    """A few consumers of no group, each lent to one caller at a time."""

    def __init__(self, connection: KafkaConnection, most: int) -> None:
        self._connection = connection
        self._room = asyncio.Semaphore(most)
        self._free: list[_Reader] = []
        self._closed = False

    async def ranges(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, range]:
        """Return which of Kafka's offsets partitions hold, up to where a reader gets.

        A fetch tells the end: brokers differ in what they list as such.
        """
        wanted = list(partitions)
        async with self._lent(None) as reader, asking("ends of partitions"):
            consumer = reader.consumer
            consumer.assign(wanted)
            begins = await consumer.beginning_offsets(wanted)
            await consumer.seek_to_end(*wanted)
            while any(_end(consumer, partition) is None for partition in wanted):
                await consumer.getmany(*wanted, timeout_ms=_LOOK_MS)
            ends = {partition: _end(consumer, partition) or 0 for partition in wanted}
            consumer.pause(*wanted)
            reader.sound = True
        return {p: range(begins[p], max(begins[p], ends[p])) for p in wanted}

    async def scan(
        self, partition: TopicPartition, start: int, *, page: int = _PAGE_MAX
    ) -> AsyncGenerator[list[Any], None]:
        """Read a partition from one of Kafka's offsets to the end that it has at first, at most
        ``page`` records at a time.

        To be closed where it is left early; a scan that goes on from there is quick.
        """
        async with self._lent((partition, start)) as reader:
            consumer = reader.consumer
            if reader.at != (partition, start):
                consumer.assign([partition])
                consumer.seek(partition, start)
            end: int | None = None
            while True:
                reader.at = None
                records = await _next(consumer, partition, min(page, _PAGE_MAX))
                position = await consumer.position(partition)
                end = end if end is not None else _end(consumer, partition)
                last = records is None or (end is not None and position >= end)
                if last:
                    consumer.pause(partition)  # else it goes on asking for more
                else:
                    reader.at = (partition, position)
                reader.sound = True
                yield records or []
                if last:
                    break
                reader.sound = False

    async def close(self) -> None:
        """Stop all consumers; calls after this raise LogError."""
        self._closed = True
        while self._free:
            await stop(self._free.pop().consumer)

    @asynccontextmanager
    async def _lent(self, at: _Place | None) -> AsyncIterator[_Reader]:
        """Lend a consumer, if there is one then one that stands ``at`` the place."""
        if self._closed:
            raise LogError("the event log is closed")
        async with asking("waiting for other readers"):
            await self._room.acquire()
        try:
            reader = await self._taken(at)
            reader.sound = False
            try:
                yield reader
            finally:
                if reader.sound and not self._closed:
                    self._free.append(reader)
                else:
                    await stop(reader.consumer)
        finally:
            self._room.release()

    async def _taken(self, at: _Place | None) -> _Reader:
        for reader in self._free:
            if reader.at == at:
                self._free.remove(reader)
                return reader
        if self._free:
            return self._free.pop()
        consumer = make_reader(self._connection)
        await start(consumer, self._connection)
        return _Reader(consumer)


async def _next(consumer: Any, partition: TopicPartition, page: int) -> list[Any] | None:
    """Return the next records; None where there are none because it is beyond the end.

    Nothing may have come although more is there: what was written in transactions that were given
    up is left out.
    """
    deadline = time.monotonic() + ANSWER_S
    while time.monotonic() < deadline:
        async with asking(f"reading {partition.topic}"):
            before = await consumer.position(partition)
            try:
                found = await consumer.getmany(partition, timeout_ms=_LOOK_MS, max_records=page)
            except OffsetOutOfRangeError:
                begin = (await consumer.beginning_offsets([partition]))[partition]
                if before >= begin:
                    return None
                consumer.seek(partition, begin)
                continue
            after = await consumer.position(partition)
        if found or after != before or _at_end(consumer, partition, after):
            records: list[Any] = found.get(partition, [])
            return records
    raise LogError(f"Kafka, reading {partition.topic}: no answer within {ANSWER_S:g} s")


def _at_end(consumer: Any, partition: TopicPartition, position: int) -> bool:
    end = _end(consumer, partition)
    return end is not None and position >= end


def _end(consumer: Any, partition: TopicPartition) -> int | None:
    """Return the end that the newest fetch told, where there was one since the assignment."""
    end: int | None = consumer.last_stable_offset(partition)
    if end is None or end < 0:
        end = consumer.highwater(partition)
    return end
