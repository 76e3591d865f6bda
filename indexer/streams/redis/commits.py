"""What a feed tells the log: what is committed, and what may go; each only with the lease."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from indexer.ports import Channel
from indexer.streams.redis.client import Arg, Command, evaluate
from indexer.streams.redis.entries import entry_id
from indexer.streams.redis.lanes import Lane, Lanes
from indexer.streams.redis.leases import Leases
from indexer.streams.redis.log import RedisLog
from indexer.streams.redis.scripts import COMMIT, TRIM_EVENTS, TRIM_PAIRS

__all__ = ["Commits"]

_TRIM_MAX: Final = 200
_TRIM_BYTES_MAX: Final = 1 << 20


class Commits:
    """Commits and trims for the worker that holds the leases."""

    def __init__(self, log: RedisLog, leases: Leases, lanes: Mapping[Channel, Lanes]) -> None:
        self._server, self._keys, self._keep_ms = log.server, log.keys, int(1_000 * log.keep_s)
        self._leases, self._lanes = leases, lanes
        self._turn = asyncio.Lock()  # so that an earlier commit does not undo a later one

    async def commit(self, partitions: Iterable[int]) -> None:
        """Tell the log what is applied of partitions, where it does not know yet."""
        async with self._turn:
            news = {p: self._news(p) for p in partitions}
            told = {p: offsets for p, offsets in news.items() if offsets}
            replies = await self._server.ask_all(
                self._command(p, offsets) for p, offsets in told.items()
            )
            for (partition, offsets), done in zip(told.items(), replies, strict=True):
                if not done:
                    self._leases.lose(partition)
                    continue
                for lane, offset in offsets.values():
                    lane.committed = offset

    async def trim(self, partition: int) -> None:
        """Drop committed pairs, and committed events that are older than is kept."""
        prefix, me = self._keys.prefix(partition), self._leases.me
        pairs = evaluate(TRIM_PAIRS, self._keys.stream("pairs", partition), prefix, me)
        events = evaluate(
            TRIM_EVENTS,
            self._keys.stream("events", partition),
            prefix,
            me,
            self._keep_ms,
            _TRIM_MAX,
            _TRIM_BYTES_MAX,
        )
        await self._server.ask(*pairs)
        while await self._server.ask(*events) > 0:
            pass

    def _news(self, partition: int) -> dict[Channel, tuple[Lane, int]]:
        lanes = ((channel, lanes.get(partition)) for channel, lanes in self._lanes.items())
        return {
            channel: (lane, lane.applied)
            for channel, lane in lanes
            if lane is not None and lane.applied != lane.committed
        }

    def _command(self, partition: int, offsets: Mapping[Channel, tuple[Lane, int]]) -> Command:
        args: list[Arg] = []
        for channel, (lane, offset) in offsets.items():
            args += (channel, entry_id(offset), len(lane.held) if lane.at_end else "")
        key, prefix = self._keys.committed(partition), self._keys.prefix(partition)
        return evaluate(COMMIT, key, prefix, self._leases.me, self._keys.group, *args)
