"""What is fetched and not applied yet: a lane for each owned partition of a channel, bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from typing import Final

from indexer.domain.position import Position
from indexer.ports import Record

__all__ = ["HELD_BYTES_MAX", "HELD_MAX", "Held", "Lane", "Lanes"]

HELD_MAX: Final = 4_000
"""Records of a channel that are held at the most; nothing is fetched while it is half full."""

HELD_BYTES_MAX: Final = 32 << 20
"""Bytes of them; nothing is fetched beyond half of it, so that one fetch may exceed it."""

_FETCH_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Held:
    """One fetched entry; ``record`` is None where it is to be passed over."""

    offset: int
    size: int
    record: Record | None


@dataclass(slots=True, eq=False)
class Lane:
    """One partition of one channel.

    ``cursor``: what is fetched. ``applied``: what the store has. ``committed``: what the log was
    told, if anything. ``at_end``: whether nothing more was there when it was last asked.
    """

    partition: int
    cursor: int
    applied: int
    committed: int | None = None
    at_end: bool = False
    held: deque[Held] = field(default_factory=deque)
    bytes: int = 0

    def put(self, fetched: Iterable[Held]) -> None:
        """Hold what was fetched, in order."""
        for one in fetched:
            self.held.append(one)
            self.bytes += one.size
            self.cursor = one.offset
        self.advance(self.applied)

    def advance(self, offset: int) -> None:
        """Drop what is applied, and what is to be passed over next."""
        self.applied = max(self.applied, offset)
        while self.held and (self.held[0].offset <= self.applied or self.held[0].record is None):
            gone = self.held.popleft()
            self.bytes -= gone.size
            self.applied = max(self.applied, gone.offset)


class Lanes:
    """The lanes of one channel, by partition."""

    def __init__(self) -> None:
        self._lanes: dict[int, Lane] = {}
        self._changed = asyncio.Event()

    def get(self, partition: int) -> Lane | None:
        """Return the lane of a partition, if there is one."""
        return self._lanes.get(partition)

    def open(self, partition: int, offset: int) -> None:
        """Begin a lane after an offset."""
        self._lanes[partition] = Lane(partition, offset, offset)
        self._changed.set()

    def close(self, partition: int) -> None:
        """Forget a lane."""
        self._lanes.pop(partition, None)
        self._changed.set()

    def has(self, lane: Lane) -> bool:
        """Whether a lane is still the one of its partition."""
        return self._lanes.get(lane.partition) is lane

    def to_fetch(self, partitions: Iterable[int]) -> tuple[list[Lane], int]:
        """Return the lanes to fetch for, and how many entries for each.

        Nothing is fetched until half of the room is free, so that fetches are not small ones.
        """
        lanes = [self._lanes[p] for p in partitions if p in self._lanes]
        held = sum(len(lane.held) for lane in self._lanes.values())
        size = sum(lane.bytes for lane in self._lanes.values())
        if not lanes or held > HELD_MAX // 2 or size > HELD_BYTES_MAX // 2:
            return [], 0
        return lanes, max(1, min(_FETCH_MAX, (HELD_MAX - held) // len(lanes)))

    def read(self, partitions: Iterable[int], limit: int) -> list[Record]:
        """Return the next records of some partitions, the earliest of all first."""
        held = [self._lanes[p].held for p in partitions if p in self._lanes]
        ordered = (one.record for one in merge(*held, key=lambda one: one.offset))
        return list(islice((record for record in ordered if record is not None), limit))

    def applied(self, position: Position) -> None:
        """Drop what is applied."""
        for partition, offset in position.items():
            if partition in self._lanes:
                self._lanes[partition].advance(offset)
        self._changed.set()

    def positions(self, partitions: Iterable[int]) -> dict[int, int]:
        """Return the applied offsets of some partitions."""
        return {p: self._lanes[p].applied for p in partitions if p in self._lanes}

    async def change(self, within_s: float) -> None:
        """Wait until something changed that fetching depends on, for some time."""
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._changed.wait()
