"""Following the log in Kafka: one consumer a process, in one group.

Where a partition goes on is told by the store, not by what the group committed: that only tells
others how far the store is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from indexer.domain.position import Position
from indexer.errors import LogError, RecsvcError, SchemaMismatch
from indexer.ports import CHANNELS, Changes, Channel, Owner
from indexer.streams.kafka.buffer import FETCHED_MAX, Buffer
from indexer.streams.kafka.client import HANDOVER_S, make_member, start, stop
from indexer.streams.kafka.intake import Intake
from indexer.streams.kafka.log import KafkaLog
from indexer.streams.kafka.member import Member
from indexer.streams.kafka.places import go_on_after
from indexer.streams.kafka.records import offset_of

__all__ = ["KafkaFeed"]

_log = logging.getLogger(__name__)

_WAIT_S: Final = 0.1
_FULL_S: Final = 0.02
_COMMIT_EVERY_S: Final = 0.1
_COMMITS_SAVED_S: Final = 0.5
_AGAIN_S: Final = 1.0
_LOOK_EVERY_S: Final = 3.0


class KafkaFeed:
    """A `Feed` of a `KafkaLog`.

    ``session_s``: how long it may be away before others get its partitions. ``weights``: those of
    the event types that others may send. ``changes``: told of what they sent that is no event.
    """

    def __init__(
        self,
        log: KafkaLog,
        owner: Owner,
        *,
        session_s: float,
        weights: Mapping[str, float],
        changes: Changes | None = None,
    ) -> None:
        self._log, self._owner = log, owner
        self._session_s, self._intake = session_s, Intake(log, weights, changes)
        self._buffers: dict[Channel, Buffer[Any]] = {channel: Buffer() for channel in CHANNELS}
        self._ends: dict[Channel, dict[int, int]] = {channel: {} for channel in CHANNELS}
        self._wakes: dict[Channel, list[Callable[[], None]]] = {c: [] for c in CHANNELS}
        self._taken: frozenset[int] = frozenset()
        self._owned: frozenset[int] = frozenset()
        self._due: dict[tuple[Channel, int], int] = {}
        self._member: Member | None = None
        self._changing = asyncio.Lock()  # held while partitions are taken or handed on
        self._room = asyncio.Event()
        self._commit_at = self._skipped_at = 0.0
        self._is_away = False

    @property
    def owned(self) -> frozenset[int]:
        """See `Feed.owned`."""
        return self._owned

    async def begin(self) -> None:
        """Nothing to do: partitions come when the group has been joined."""

    async def run(self) -> None:
        """See `Feed.run`.

        Raises:
            SchemaMismatch: the store holds more than the log.
        """
        while True:
            try:
                await self._follow()
            except RecsvcError as exc:
                if not exc.retryable:
                    raise
                self._note_away(exc)
            await asyncio.sleep(_AGAIN_S)

    def on_records(self, channel: Channel, wake: Callable[[], None]) -> None:
        """See `Feed.on_records`."""
        self._wakes[channel].append(wake)

    async def read(self, channel: Channel, limit: int) -> list[Any]:
        """See `Feed.read`."""
        return self._buffers[channel].read(limit)

    def applied(self, channel: Channel, position: Position) -> None:
        """See `Feed.applied`."""
        self._buffers[channel].apply(position)
        self._room.set()

    def positions(self, channel: Channel) -> Position:
        """See `Feed.positions`."""
        return dict(self._buffers[channel].applied)

    async def commit(self) -> None:
        """See `Feed.commit`. Of more than ten in a second, and of those that Kafka does not answer,
        `run` tells the newest later."""
        self._note_due()
        if self._member is not None and self._may_commit and not self._is_away:
            await self._commit(self._member)

    async def lag(self, channel: Channel = "events") -> int:
        """See `Feed.lag`; what others appended counts from when Kafka has told of it."""
        buffer, ends = self._buffers[channel], self._ends[channel]
        if self._member is not None:
            ends.update(self._member.ends(channel, ends))
        appended = self._log.appended(channel)
        return sum(
            max(buffer.came[n], ends.get(n, 0), appended.get(n, 0)) - offset
            for n, offset in buffer.applied.items()
        )

    async def close(self) -> None:
        """Nothing to do: `run` stops what it has started."""

    async def _follow(self) -> None:
        """Be a member of the group until Kafka is away for too long."""
        connection, topics = self._log.connection, self._log.topics
        consumer = make_member(connection, self._log.name, self._session_s)
        member = Member(consumer, topics, self._hand_on)
        try:
            await start(consumer, connection)
            self._member = member
            member.join()
            while True:
                await self._take(member)
                await self._fetch(member)
                await self._skip(member)
                await self._tell(member)
        finally:
            try:
                await self._hand_on()
            finally:
                self._member = None
                await stop(consumer)
                member.break_off()

    async def _take(self, member: Member) -> None:
        """Begin to follow what was assigned."""
        if not self._new(member):
            return
        async with self._changing:
            new = self._new(member)
            if not new:
                return
            try:
                taken = await self._owner.take(new)
            except SchemaMismatch:
                raise
            except RecsvcError as exc:
                self._note_away(exc)
                await asyncio.sleep(_AGAIN_S)
                return
            self._taken |= new
            held = await self._log.places.ranges(CHANNELS, new)
            for channel, ranges in held.items():
                position = {n: taken.get(channel, {}).get(n, 0) for n in new}
                begin = {n: go_on_after(channel, n, position[n], ranges[n]) for n in new}
                for number, offset in begin.items():
                    member.go_on(channel, number, offset)
                    self._ends[channel][number] = ranges[number].stop - 1
                self._buffers[channel].begin(begin)
            self._owned = self._taken
            self._note_due()
        await self._commit(member)
        self._wake(*CHANNELS)

    def _new(self, member: Member) -> frozenset[int]:
        return frozenset() if member.is_joining else member.assigned - self._taken

    async def _hand_on(self) -> None:
        """Have the owner finish, say how far it came, and let go of all partitions."""
        async with self._changing:
            if not self._taken:
                return
            for buffer in self._buffers.values():
                buffer.clear()
            try:
                async with asyncio.timeout(HANDOVER_S):
                    await self._owner.release(self._taken)
            except Exception as exc:  # noqa: BLE001 - whoever takes them goes on from the store
                numbers, told = sorted(self._taken), repr(exc)
                _log.warning("partitions %s are not handed on in order: %s", numbers, told)
            self._note_due()
            if self._member is not None and not self._is_away:
                await self._commit(self._member)
            self._taken = self._owned = frozenset()
            self._due.clear()
            for channel in CHANNELS:
                self._buffers[channel].leave()
                self._ends[channel].clear()

    async def _fetch(self, member: Member) -> None:
        """Take in what has come, as far as there is room."""
        open_ = [channel for channel in CHANNELS if self._buffers[channel].has_room]
        if not open_:
            self._room.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_WAIT_S):
                    await self._room.wait()
        wait_s = _WAIT_S if len(open_) == len(CHANNELS) else _FULL_S
        found = await member.fetch(open_, self._owned, wait_s if open_ else 0.0, FETCHED_MAX)
        for place, raws in found.items():
            channel = self._log.topics.channel(place.topic)
            await self._take_in(member, channel, place.partition, raws)
            self._wake(channel)
            await asyncio.sleep(0)  # what is there already comes without one

    async def _take_in(
        self, member: Member, channel: Channel, partition: int, raws: Sequence[Any]
    ) -> None:
        buffer = self._buffers[channel]
        for raw in raws:
            if member.is_joining or partition not in self._owned:
                return  # it comes again, to whoever has it then, and after what came before it
            record = self._intake.record_of(channel, raw)
            if record is not None:
                buffer.add(record)
            elif await self._is_dealt_with(member, channel, raw):
                buffer.pass_over(partition, offset_of(raw))

    async def _is_dealt_with(self, member: Member, channel: Channel, raw: Any) -> bool:
        """Deal with a record, however long that takes; False where it is not ours any more."""
        while True:
            try:
                await self._intake.deal_with(channel, raw)
                done = True
            except LogError as exc:
                self._note_away(exc)
                await asyncio.sleep(_AGAIN_S)
                await self._tell(member)
                done = False
            if member.is_joining or raw.partition not in self._owned:
                return False
            if done:
                return True

    async def _skip(self, member: Member) -> None:
        """See, now and then, how far partitions have come without a record to take in.

        To be called when all that was fetched has been taken in.
        """
        now = time.monotonic()
        if now - self._skipped_at < _LOOK_EVERY_S or member.is_joining:
            return
        self._skipped_at = now
        for channel, partition, offset in await member.fetched(self._owned):
            self._buffers[channel].pass_over(partition, offset)

    async def _tell(self, member: Member) -> None:
        """Tell the group what is due, or see that it is there.

        Raises:
            LogError: it has not been heard of for so long that others have our partitions.
        """
        heard_at, now = member.heard_at, time.monotonic()
        if member.is_joining:
            member.heard_at = now  # until it is answered, nothing else is
        elif self._due and self._may_commit:
            await self._commit(member)
        elif now - heard_at >= min(self._session_s / 3, _LOOK_EVERY_S):
            await self._ask(member)
        if member.heard_at > heard_at:
            self._note_back()
        elif now - heard_at > self._session_s:
            raise LogError(f"Kafka was not heard of for {self._session_s:g} s")

    async def _ask(self, member: Member) -> None:
        try:
            await member.ask()
        except LogError as exc:
            self._note_away(exc)

    async def _commit(self, member: Member) -> None:
        due, now = dict(self._due), time.monotonic()
        self._commit_at = max(self._commit_at, now - _COMMITS_SAVED_S) + _COMMIT_EVERY_S
        try:
            await member.commit(due)
        except LogError as exc:
            self._note_away(exc)
            return
        for place, offset in due.items():
            if self._due.get(place) == offset:
                del self._due[place]

    @property
    def _may_commit(self) -> bool:
        return time.monotonic() >= self._commit_at

    def _note_due(self) -> None:
        """Note what is applied by now, to be told."""
        for channel, buffer in self._buffers.items():
            self._due.update(((channel, n), offset) for n, offset in buffer.applied.items())

    def _note_away(self, exc: RecsvcError) -> None:
        if not self._is_away:
            self._is_away = True
            _log.warning("following the log is interrupted: %s", exc)

    def _note_back(self) -> None:
        if self._is_away:
            self._is_away = False
            _log.info("following the log goes on")

    def _wake(self, *channels: Channel) -> None:
        for channel in channels:
            for wake in self._wakes[channel]:
                wake()
