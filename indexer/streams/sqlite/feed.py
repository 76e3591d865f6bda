"""Following the embedded log: its one partition is this process's for as long as it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from indexer.domain.position import Position
from indexer.errors import SchemaMismatch
from indexer.ports import Channel, Owner
from indexer.streams.sqlite.log import SqliteLog

__all__ = ["SqliteFeed"]

_ALL = frozenset({0})


class SqliteFeed:
    """A `Feed`. What is committed is kept by the store's cursors, so `commit` has nothing to do."""

    def __init__(self, log: SqliteLog, owner: Owner) -> None:
        self._log, self._owner = log, owner
        self._applied: dict[Channel, int] = {}
        self._wakes: list[Callable[[], None]] = []

    @property
    def owned(self) -> frozenset[int]:
        """The one partition, once it was taken."""
        return _ALL if self._applied else frozenset()

    async def run(self) -> None:
        """Own the log until cancelled."""
        await self.begin()
        try:
            await asyncio.Event().wait()
        finally:
            await self._owner.release(_ALL)

    async def begin(self) -> None:
        """Take the log, which nobody else can have."""
        if self._applied:
            return
        taken = await self._owner.take(_ALL)
        last, folded = (await self._log.ends("events"))[0], taken["events"].get(0, 0)
        if folded > last:
            raise SchemaMismatch(
                f"the vectors hold events up to {folded}, but the event log ends at {last}: they "
                "do not belong together; put the log back, or start with an empty store"
            )
        self._applied = {"events": folded, "items": taken["items"].get(0, 0)}
        for wake in self._wakes:
            wake()

    def on_records(self, channel: Channel, wake: Callable[[], None]) -> None:
        """See `Feed.on_records`."""
        self._wakes.append(wake)
        if channel == "events":
            self._log.on_events(wake)
        elif channel == "items":
            self._log.on_items(wake)

    async def read(self, channel: Channel, limit: int) -> list[Any]:
        """See `Feed.read`."""
        if channel not in self._applied:
            return []
        after, last = self._applied[channel], (await self._log.ends(channel))[0]
        read = self._log.read if channel == "events" else self._log.read_items
        records: list[Any] = await read(0, after, limit)
        if not records:
            self.applied(channel, {0: last})  # beyond it there is only what was erased
        return records

    def applied(self, channel: Channel, position: Position) -> None:
        """See `Feed.applied`."""
        self._applied[channel] = max(self._applied[channel], position.get(0, 0))

    def positions(self, channel: Channel) -> Position:
        """See `Feed.positions`."""
        return {0: self._applied[channel]} if channel in self._applied else {}

    async def commit(self) -> None:
        """Nothing to do."""

    async def lag(self, channel: Channel = "events") -> int:
        """See `Feed.lag`."""
        if channel not in self._applied:
            return 0
        return max(0, (await self._log.ends(channel))[0] - self._applied[channel])

    async def close(self) -> None:
        """Nothing to do; the log is closed by whoever opened it."""
