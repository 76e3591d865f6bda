"""Taking partitions over, and handing them on: what must be read, and what must be written."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from indexer.domain.position import Position
from indexer.ports import CHANNELS, Channel, Feed, VectorStore
from indexer.progress import Progress
from indexer.stores.items import ItemPoints
from indexer.stores.neighbours import Neighbours
from indexer.stores.profiles import Profiles
from indexer.stores.terms import Cursors
from indexer.stores.users import UserStates

__all__ = ["Ownership"]


class Ownership:
    """An `Owner` of this process's stores.

    ``turns``: held by the workers while they change the store. ``cursors``: where each partition
    goes on, which is kept in the store, so that one that was emptied asks for everything again.
    """

    def __init__(
        self,
        store: VectorStore,
        states: UserStates,
        profiles: Profiles,
        items: ItemPoints,
        neighbours: Neighbours,
        progress: Mapping[Channel, Progress],
        turns: tuple[asyncio.Lock, asyncio.Lock],
    ) -> None:
        self._store, self._states, self._profiles = store, states, profiles
        self._items, self._neighbours, self._progress = items, neighbours, progress
        self._turns = turns
        self._cursors = Cursors(store)
        self._saved: Mapping[Channel, Position] = {}
        self._epochs: dict[int, int] = {}
        self.feed: Feed | None = None  # which is made with this

    def epoch(self, partition: int) -> int:
        """Return how often a partition was taken: another number tells that it was away."""
        return self._epochs.get(partition, 0)

    async def take(self, partitions: frozenset[int]) -> Mapping[Channel, Position]:
        """See `Owner.take`."""
        self._epochs.update((partition, self.epoch(partition) + 1) for partition in partitions)
        self._states.forget()
        self._profiles.forget()
        await self._items.refresh()
        await self._neighbours.take(partitions)
        taken: dict[Channel, Position] = {
            channel: await self._cursors.read(channel, partitions) for channel in CHANNELS
        }
        for channel, position in taken.items():
            self._progress[channel].advance(position)
        return taken

    async def release(self, partitions: frozenset[int]) -> None:
        """See `Owner.release`."""
        events, pairs = self._turns
        async with events, pairs:
            applied = self._applied(partitions)
            await self._neighbours.release(partitions)
            await self._store.flush()
            await self._cursors.write(applied)

    async def save(self) -> None:
        """Flush, then move the cursors: what they pass will never be read again."""
        applied = self._applied()
        if applied == self._saved:
            return
        await self._neighbours.flush()
        await self._store.flush()
        await self._cursors.write(applied)
        self._saved = applied

    def _applied(self, partitions: frozenset[int] | None = None) -> dict[Channel, Position]:
        assert self.feed is not None
        return {
            channel: {
                partition: offset
                for partition, offset in self.feed.positions(channel).items()
                if partitions is None or partition in partitions
            }
            for channel in CHANNELS
        }
