"""Appending to a topic in order: in each partition one batch after the other."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from indexer.errors import LogError
from indexer.streams.kafka.client import ANSWER_S
from indexer.streams.kafka.records import Entry

__all__ = ["Job", "Lanes", "settled"]

_CLOSE_S: Final = 2 * ANSWER_S


class Job:
    """What one caller appends to one partition; ``future``: the offsets, in order."""

    def __init__(self, partition: int, entries: Sequence[Entry]) -> None:
        self.partition = partition
        self.future: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self.future.add_done_callback(_look_at)
        self._entries = entries
        self._batched = 0
        self._offsets: list[int] = []

    @property
    def is_batched(self) -> bool:
        """Whether all of it is in batches."""
        return self._batched == len(self._entries)

    def fill(self, batch: Any, now_ms: int) -> int:
        """Put what fits into a batch; return how many entries that are."""
        start = self._batched
        for key, value, headers in self._entries[start:]:
            if batch.append(timestamp=now_ms, key=key, value=value, headers=headers) is None:
                break
            self._batched += 1
        return self._batched - start

    def acknowledge(self, offsets: Iterable[int]) -> None:
        """Say where the next entries are."""
        self._offsets.extend(offsets)
        if len(self._offsets) == len(self._entries) and not self.future.done():
            self._entries = ()
            self.future.set_result(self._offsets)

    def fail(self, error: LogError) -> None:
        """Say that it is not known to be durable; what is not sent yet never is."""
        if not self.future.done():
            self.future.set_exception(error)


class Lanes:
    """Appends to one topic.

    A batch is sent when the one before it in its partition is acknowledged or has failed, and
    takes all that came meanwhile. When it fails, nothing more is sent of whoever had a part in
    it: what they append again comes after what others appended, and their own stays in order.
    """

    def __init__(self, producer: Any, topic: str) -> None:
        self._producer, self._topic = producer, topic
        self._waiting: dict[int, deque[Job]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._ends: dict[int, int] = {}

    @property
    def ends(self) -> Mapping[int, int]:
        """The newest offsets that were appended here."""
        return self._ends

    def put(self, partition: int, entries: Sequence[Entry]) -> Job:
        """Have entries appended to a partition, after all that was put before."""
        job = Job(partition, entries)
        waiting = self._waiting.setdefault(partition, deque())
        waiting.append(job)
        if partition not in self._tasks:
            self._tasks[partition] = asyncio.create_task(self._drain(partition, waiting))
        return job

    async def close(self) -> None:
        """Append what waits; what then still waits fails."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=_CLOSE_S)
        for task in list(self._tasks.values()):
            task.cancel()
        for job in (job for waiting in self._waiting.values() for job in waiting):
            job.fail(LogError("the event log is closed"))

    async def _drain(self, partition: int, waiting: deque[Job]) -> None:
        try:
            while waiting:
                batch, parts = self._fill(waiting)
                if parts:
                    await self._send(partition, batch, parts)
        finally:
            del self._tasks[partition]

    def _fill(self, waiting: deque[Job]) -> tuple[Any, list[tuple[Job, int]]]:
        """Make a batch of what waits; tell how many of its entries are of which job."""
        batch, now_ms = self._producer.create_batch(), int(time.time() * 1000)
        parts: list[tuple[Job, int]] = []
        while waiting:
            job = waiting[0]
            if not job.future.done():  # else its caller has given up
                count = job.fill(batch, now_ms)
                if count:
                    parts.append((job, count))
                if not job.is_batched:
                    break
            waiting.popleft()
        return batch, parts

    async def _send(self, partition: int, batch: Any, parts: list[tuple[Job, int]]) -> None:
        try:
            sent = await self._producer.send_batch(batch, self._topic, partition=partition)
            offset = (await sent).offset + 1
        except Exception as exc:  # noqa: BLE001 - given to each caller; the others must go on
            for job, _ in parts:
                error = LogError(f"Kafka did not take what was appended: {type(exc).__name__}")
                error.__cause__ = exc
                job.fail(error)
            return
        for job, count in parts:
            job.acknowledge(range(offset, offset + count))
            offset += count
        self._ends[partition] = offset - 1


async def settled(jobs: Sequence[Job]) -> None:
    """Wait until all of some jobs is durable.

    Raises:
        LogError: it is not known to be.
    """
    if not jobs:
        return
    await asyncio.wait([job.future for job in jobs], timeout=ANSWER_S)
    for job in jobs:
        job.fail(LogError(f"Kafka did not take what was appended within {ANSWER_S:g} s"))
    for job in jobs:
        error = job.future.exception()
        if error is not None:
            raise LogError(str(error)) from error


def _look_at(future: asyncio.Future[list[int]]) -> None:
    """Have an error that no caller stayed for not be logged as lost."""
    if not future.cancelled():
        future.exception()
