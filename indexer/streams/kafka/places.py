"""Where partitions begin and end, and how far they are committed."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import Any

from indexer.domain.position import Position
from indexer.errors import LogError, SchemaMismatch
from indexer.ports import CHANNELS, Channel
from indexer.streams.kafka.client import TopicPartition, asking
from indexer.streams.kafka.reader import Readers, Rounds
from indexer.streams.kafka.topics import Topics

__all__ = ["Places", "go_on_after"]

_log = logging.getLogger(__name__)


class Places:
    """Tells offsets of ours; ``group``: whose commits."""

    def __init__(
        self, readers: Readers, admin: Any, topics: Topics, partitions: int, group: str
    ) -> None:
        self._readers, self._admin, self._topics = readers, admin, topics
        self._partitions, self._group = partitions, group
        self._coordinator: int | None = None
        self._ends = {c: Rounds(partial(self._ask_ends, c)) for c in CHANNELS}

    def of(self, channel: Channel, partition: int) -> TopicPartition:
        """Return a partition by Kafka's name."""
        return TopicPartition(self._topics.of(channel), partition)

    async def ranges(
        self, channels: Iterable[Channel], partitions: Iterable[int]
    ) -> dict[Channel, dict[int, range]]:
        """Return, of each channel, the offsets that partitions hold."""
        wanted = list(partitions)
        found: dict[Channel, dict[int, range]] = {channel: {} for channel in channels}
        places = {self.of(c, number): (c, number) for c in found for number in wanted}
        for place, held in (await self._readers.ranges(places)).items():
            channel, number = places[place]
            found[channel][number] = range(held.start + 1, held.stop + 1)
        return found

    async def ends(self, channel: Channel) -> Position:
        """Return the newest offset of every partition."""
        return await self._ends[channel].ask()

    async def committed(self, channel: Channel, partitions: Iterable[int]) -> dict[int, int]:
        """Return what is committed, 0 where nothing is.

        It is asked of the group's coordinator in one request, by a client that is no member.
        """
        places = {self.of(channel, number): number for number in partitions}
        if not places:
            return {}
        try:
            async with asking("what is committed"):
                if self._coordinator is None:
                    self._coordinator = await self._admin.find_coordinator(self._group)
                found = await self._admin.list_consumer_group_offsets(
                    self._group, self._coordinator, list(places)
                )
                return {number: max(0, found[place].offset) for place, number in places.items()}
        except LogError:
            self._coordinator = None  # it may be another broker by now
            raise

    async def backlog(self, channel: Channel) -> int:
        """Count the records that are not committed."""
        everywhere = range(self._partitions)
        held = (await self.ranges([channel], everywhere))[channel]
        committed = await self.committed(channel, everywhere)
        return sum(max(0, held[n].stop - max(held[n].start, committed[n] + 1)) for n in everywhere)

    async def _ask_ends(self, channel: Channel) -> Position:
        held = await self.ranges([channel], range(self._partitions))
        return {number: one.stop - 1 for number, one in held[channel].items()}


def go_on_after(channel: Channel, partition: int, offset: int, held: range) -> int:
    """Return the offset after which to read what is ``held``, where the store has all up to
    ``offset``.

    Raises:
        SchemaMismatch: it lies beyond the end.
    """
    if offset >= held.stop:
        raise SchemaMismatch(
            f"the vectors hold {channel} up to {offset} of partition {partition}, but the log ends "
            f"at {held.stop - 1}: they do not belong together; put the log back, or start with an "
            "empty store"
        )
    if 0 < offset < held.start - 1:
        _log.error(
            "%d %s of partition %d were deleted by Kafka before they were folded: keep them longer",
            held.start - 1 - offset,
            channel,
            partition,
        )
    return max(offset, held.start - 1)
