"""Reading a whole log once more, in one process, beside whoever follows it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from indexer.domain.position import Position
from indexer.ports import CHANNELS, Channel, EventLog, EventRecord, ItemRecord, Owner

__all__ = ["ReplayFeed"]


class ReplayFeed:
    """A `Feed` of every partition that leaves no trace in the log.

    Events come in the order in which they were accepted, as far as the partitions' clocks agree.
    ``start``: the events to begin after, by partition. ``until``: how far to read, by channel; all
    where that is None. Pairs are made anew from the events.
    """

    def __init__(self, log: EventLog, owner: Owner, start: Position) -> None:
        self._log, self._owner = log, owner
        self._start = start
        self._applied: dict[Channel, dict[int, int]] = {}
        self._ahead: dict[int, list[EventRecord]] = {}
        self.until: Mapping[Channel, Position] | None = None

    @property
    def owned(self) -> frozenset[int]:
        """All partitions, once they were taken."""
        return frozenset(self._applied.get("events", ()))

    async def begin(self) -> None:
        """Take all partitions."""
        everything = range(self._log.partitions)
        taken = await self._owner.take(frozenset(everything))
        self._applied = {channel: dict(taken[channel]) for channel in CHANNELS}
        for partition in everything:
            after = max(self._applied["events"][partition], self._start.get(partition, 0))
            self._applied["events"][partition] = after

    async def run(self) -> None:
        """Nothing is fetched ahead."""
        await asyncio.Event().wait()

    def on_records(self, channel: Channel, wake: Callable[[], None]) -> None:
        """Nobody is woken: whoever replays reads until there is nothing left."""

    async def read(self, channel: Channel, limit: int) -> list[Any]:
        """See `Feed.read`."""
        if channel == "events":
            return await self._read_events(limit)
        if channel == "items":
            for partition, after in self._applied["items"].items():
                changes = await self._log.read_items(partition, after, limit)
                if changes := [one for one in changes if self._within("items", one)]:
                    return changes
        return []

    async def _read_events(self, limit: int) -> list[EventRecord]:
        """Merge what is next of each partition, of which as many are read ahead."""
        for partition, after in self._applied["events"].items():
            ahead = [r for r in self._ahead.get(partition, ()) if r.offset > after]
            if len(ahead) < limit:
                last = ahead[-1].offset if ahead else after
                ahead += await self._log.read(partition, last, limit)
            self._ahead[partition] = ahead
        merged = heapq.merge(*self._ahead.values(), key=lambda record: record.accepted_at)
        wanted = (record for record in merged if self._within("events", record))
        return list(itertools.islice(wanted, limit))

    def _within(self, channel: Channel, record: EventRecord | ItemRecord) -> bool:
        if self.until is None:
            return True
        return record.offset <= self.until[channel].get(record.partition, 0)

    def applied(self, channel: Channel, position: Position) -> None:
        """See `Feed.applied`."""
        for partition, offset in position.items():
            before = self._applied[channel][partition]
            self._applied[channel][partition] = max(before, offset)

    def positions(self, channel: Channel) -> Position:
        """See `Feed.positions`."""
        return dict(self._applied.get(channel, {}))

    async def commit(self) -> None:
        """Nothing to tell."""

    async def lag(self, channel: Channel = "events") -> int:  # noqa: ARG002
        """Not known without reading; 0."""
        return 0

    async def close(self) -> None:
        """Nothing to do; the log is closed by whoever opened it."""
