"""Following the log in Redis Streams: each partition is read by one worker, from its own cursor.

Consumer groups give no order across consumers, and to whoever is slow they give what is another's
by now. So the streams are read with XREAD by whoever holds the partition's lease, from where the
store says; a group only shows what is committed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from indexer.domain.position import Position
from indexer.errors import LogError, RecsvcError, SchemaMismatch
from indexer.ports import CHANNELS, Changes, Channel, Owner
from indexer.streams.redis.client import BLOCK_S, Outage
from indexer.streams.redis.commits import Commits
from indexer.streams.redis.entries import entries, entry_id
from indexer.streams.redis.intake import Intake
from indexer.streams.redis.lanes import Lane, Lanes
from indexer.streams.redis.leases import Leases
from indexer.streams.redis.log import RedisLog

__all__ = ["TRIM_EVERY_S", "RedisFeed"]

_log = logging.getLogger(__name__)

TRIM_EVERY_S: Final = 30.0
"""How often what is folded and old is dropped, in seconds."""

_BALANCE_EVERY_S: Final = 1.0
_LAG_COUNTED_S: Final = 1.0


class RedisFeed:
    """A `Feed`. A worker that cannot renew its leases for ``session_s`` loses its partitions.

    ``weights``: of the event types that others may send. ``changes``: told of what they sent that
    is no event.
    """

    def __init__(
        self,
        log: RedisLog,
        owner: Owner,
        *,
        session_s: float,
        weights: Mapping[str, float],
        changes: Changes | None = None,
    ) -> None:
        self._log, self._owner, self._server = log, owner, log.server
        self._leases = Leases(log.server, log.keys, log.partitions, session_s)
        self._balance_every_s = min(_BALANCE_EVERY_S, self._leases.renew_every_s)
        self._intake = Intake(log, weights, changes)
        self._lanes: dict[Channel, Lanes] = {channel: Lanes() for channel in CHANNELS}
        self._wakes: dict[Channel, list[Callable[[], None]]] = {c: [] for c in CHANNELS}
        self._taken: set[int] = set()
        self._leaving: set[int] = set()
        self._commits = Commits(log, self._leases, self._lanes)
        self._counted: dict[Channel, tuple[float, int]] = {}

    @property
    def owned(self) -> frozenset[int]:
        """See `Feed.owned`; without those whose lease may have ended."""
        return frozenset(p for p in self._taken if self._leases.valid(p))

    async def begin(self) -> None:
        """Nothing to do: others may have the partitions."""

    async def run(self) -> None:
        """See `Feed.run`.

        Raises:
            SchemaMismatch: the store holds more than the log.
        """
        repeat = Outage("following the log").repeat
        try:
            async with asyncio.TaskGroup() as tasks:
                renewing = tasks.create_task(repeat(self._renew))
                try:
                    async with asyncio.TaskGroup() as following:
                        for channel in CHANNELS:
                            following.create_task(repeat(partial(self._fetch, channel)))
                        following.create_task(repeat(self._balance))
                        following.create_task(repeat(self._trim))
                finally:
                    await self._leave()
                    renewing.cancel()
        except ExceptionGroup as failed:
            raise _first(failed) from None

    def on_records(self, channel: Channel, wake: Callable[[], None]) -> None:
        """See `Feed.on_records`."""
        self._wakes[channel].append(wake)

    async def read(self, channel: Channel, limit: int) -> list[Any]:
        """See `Feed.read`."""
        return list(self._lanes[channel].read(self._followed(), limit))

    def applied(self, channel: Channel, position: Position) -> None:
        """See `Feed.applied`."""
        self._lanes[channel].applied(position)

    def positions(self, channel: Channel) -> Position:
        """See `Feed.positions`."""
        return self._lanes[channel].positions(self.owned)

    async def commit(self) -> None:
        """See `Feed.commit`; of a partition that is another's by now, nothing is committed."""
        await self._commits.commit(self.owned)

    async def lag(self, channel: Channel = "events") -> int:
        """See `Feed.lag`; what is not fetched yet is counted once a second, as `backlog` does."""
        found = (self._lanes[channel].get(p) for p in self.owned)
        lanes = [lane for lane in found if lane is not None]
        held = sum(len(lane.held) for lane in lanes)
        beyond = [lane for lane in lanes if not lane.at_end]
        return held + (await self._count(channel, beyond) if beyond else 0)

    async def trim(self) -> None:
        """Drop what is committed of the owned partitions: of events, what is older than is kept."""
        for partition in self.owned:
            await self._commits.trim(partition)

    async def close(self) -> None:
        """Nothing to do: `run` has released all, and the log is closed by whoever opened it."""

    def _followed(self) -> list[int]:
        return sorted(self.owned - self._leaving)

    # fetching

    async def _fetch(self, channel: Channel) -> None:
        lanes = self._lanes[channel]
        asked, count = lanes.to_fetch(self._followed())
        if not asked:
            await lanes.change(within_s=BLOCK_S)
            return
        streams = {self._log.keys.stream(channel, lane.partition): lane for lane in asked}
        after = {stream: entry_id(lane.cursor) for stream, lane in streams.items()}
        found = await self._server.wait(after, count)
        failed: RecsvcError | None = None
        for stream, lane in streams.items():
            reply = found.get(stream, [])
            try:
                if reply:
                    await self._take_in(channel, lane, reply)
                lane.at_end = len(reply) < count
            except RecsvcError as exc:
                failed = exc  # of this partition; the others go on
        if failed is not None:
            raise failed

    async def _take_in(self, channel: Channel, lane: Lane, reply: list[Any]) -> None:
        held = await self._intake.take_in(channel, lane.partition, entries(reply))
        if self._lanes[channel].has(lane):
            lane.put(held)
            self._wake(channel)

    def _wake(self, channel: Channel) -> None:
        for wake in self._wakes[channel]:
            wake()

    async def _count(self, channel: Channel, lanes: list[Lane]) -> int:
        at, count = self._counted.get(channel, (0.0, 0))
        if time.monotonic() - at > _LAG_COUNTED_S:
            after = {lane.partition: lane.cursor for lane in lanes}
            try:
                count = sum([await self._log.count_after(channel, *one) for one in after.items()])
            except LogError as exc:
                _log.debug("the lag is that of before: %s", exc)
            self._counted[channel] = time.monotonic(), count
        return count

    # partitions

    async def _renew(self) -> None:
        await self._leases.renew()
        await asyncio.sleep(self._leases.renew_every_s)

    async def _balance(self) -> None:
        """Drop what was lost; then take what is free, or hand on what is more than our share."""
        lost = self._taken - self.owned
        if lost:
            _log.warning("partitions %s may be another worker's by now", sorted(lost))
            await self._drop(lost)
        share, free = await self._leases.survey()
        mine = sorted(self.owned)
        if len(mine) > share:
            await self._hand_on(mine[share:])
        elif free and len(mine) < share:
            await self._take(await self._leases.take(free, share - len(mine)))
        await asyncio.sleep(self._balance_every_s)

    async def _take(self, partitions: frozenset[int]) -> None:
        if not partitions:
            return
        try:
            taken = await self._owner.take(partitions)
            for channel in CHANNELS:
                await self._check_end(channel, taken.get(channel, {}))
        except RecsvcError:
            await self._give(partitions)
            raise
        for partition in partitions:
            for channel in CHANNELS:
                self._lanes[channel].open(partition, taken.get(channel, {}).get(partition, 0))
        self._taken |= partitions
        for channel in CHANNELS:
            self._wake(channel)
        _log.info("follows partitions %s, now %d", sorted(partitions), len(self._taken))
        await self._commits.commit(partitions)

    async def _check_end(self, channel: Channel, taken: Position) -> None:
        ends = await self._log.ends(channel)
        for partition, offset in taken.items():
            if offset > ends[partition]:
                raise SchemaMismatch(
                    f"the vectors hold {channel} up to {offset} of partition {partition}, but the "
                    f"log ends at {ends[partition]}: they do not belong together; put the log "
                    "back, or start with an empty store"
                )

    async def _hand_on(self, partitions: Iterable[int]) -> None:
        """Have the owner finish, then tell the log how far, then let others have the partitions."""
        going = frozenset(partitions)
        self._leaving |= going
        try:
            await self._owner.release(going)
            await self._commits.commit(going)
        except RecsvcError as exc:
            _log.warning("others do again what was not written or committed: %s", exc)
        await self._forget(going)

    async def _drop(self, partitions: Iterable[int]) -> None:
        """Have the owner end what is under way, as others go on already."""
        lost = frozenset(partitions)
        self._leaving |= lost
        try:
            await self._owner.release(lost)
        except RecsvcError as exc:
            _log.warning("what was lost could not be released: %s", exc)
        await self._forget(lost)

    async def _forget(self, partitions: frozenset[int]) -> None:
        self._taken -= partitions
        self._leaving -= partitions
        for lanes in self._lanes.values():
            for partition in partitions:
                lanes.close(partition)
        await self._give(partitions)

    async def _give(self, partitions: Iterable[int]) -> None:
        try:
            await self._leases.give(partitions)
        except LogError as exc:
            _log.debug("leases end by themselves: %s", exc)

    async def _leave(self) -> None:
        if self._taken:
            await self._hand_on(self._taken)
        try:
            await self._leases.leave()
        except LogError as exc:
            _log.debug("leases end by themselves: %s", exc)

    async def _trim(self) -> None:
        await self.trim()
        await asyncio.sleep(TRIM_EVERY_S)


def _first(failed: ExceptionGroup[Exception]) -> Exception:
    error: Exception = failed
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
