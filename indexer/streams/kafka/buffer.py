"""Records of one channel that were fetched and are not applied yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from itertools import islice
from typing import Final, Generic, TypeVar

from indexer.domain.position import Position
from indexer.ports import EventRecord, ItemRecord, PairRecord

__all__ = ["BUFFERED_MAX", "FETCHED_MAX", "Buffer"]

BUFFERED_MAX: Final = 2_000
"""The most records of a channel that wait to be applied."""

FETCHED_MAX: Final = 500
"""The most records that are taken from Kafka's client at once."""

R = TypeVar("R", EventRecord, ItemRecord, PairRecord)


class Buffer(Generic[R]):
    """The records of followed partitions, as they came, and how far each partition is applied."""

    def __init__(self) -> None:
        self._records: deque[R] = deque()
        self._applied: dict[int, int] = {}
        self._came: dict[int, int] = {}

    @property
    def has_room(self) -> bool:
        """Whether as many records fit in as are taken at once."""
        return len(self._records) <= BUFFERED_MAX - FETCHED_MAX

    @property
    def applied(self) -> Position:
        """How far each partition is applied."""
        return self._applied

    @property
    def came(self) -> Position:
        """How far each partition has come: nothing is to be had up to there any more."""
        return self._came

    def begin(self, position: Position) -> None:
        """Follow partitions, from these offsets on."""
        self._applied.update(position)
        self._came.update(position)

    def add(self, record: R) -> None:
        """Take in the next record of a partition."""
        self._records.append(record)
        self._came[record.partition] = record.offset

    def pass_over(self, partition: int, offset: int) -> None:
        """Say that nothing is to be applied up to an offset but what has come before."""
        self._came[partition] = max(offset, self._came[partition])
        self._settle()

    def read(self, limit: int) -> list[R]:
        """Return the oldest records."""
        return list(islice(self._records, limit))

    def apply(self, position: Position) -> None:
        """Drop what is applied; partitions that are not followed do not matter."""
        for partition, offset in position.items():
            if partition in self._applied:
                self._applied[partition] = max(offset, self._applied[partition])
        self._records = deque(r for r in self._records if r.offset > self._applied[r.partition])
        self._settle()

    def clear(self) -> None:
        """Forget the records, and not how far partitions are applied."""
        self._records.clear()
        self._came = dict(self._applied)

    def leave(self) -> None:
        """Follow nothing any more."""
        self._records.clear()
        self._applied.clear()
        self._came.clear()

    def _settle(self) -> None:
        """Have partitions of which all is applied that came be applied up to there."""
        waiting: Collection[int] = {record.partition for record in self._records}
        for partition, came in self._came.items():
            if partition not in waiting:
                self._applied[partition] = max(came, self._applied[partition])
