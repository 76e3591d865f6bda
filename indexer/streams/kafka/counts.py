"""How many items a log holds, which the brokers do not count."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from contextlib import aclosing
from typing import Final

from indexer.errors import InvalidInput
from indexer.streams.kafka.client import TopicPartition
from indexer.streams.kafka.reader import Readers
from indexer.streams.kafka.records import item_of

__all__ = ["LiveItems"]

_COUNTED_MAX: Final = 200_000


class LiveItems:
    """The ids of the items that are not deleted: read once, then kept up to date.

    Of more than 200,000 records nothing is kept, and they are the count: an upper bound, from
    which compaction takes what is outdated.
    """

    def __init__(self, readers: Readers, topic: str) -> None:
        self._readers, self._topic = readers, topic
        self._turn = asyncio.Lock()
        self._ids: defaultdict[str, set[str]] = defaultdict(set)
        self._counted: dict[int, int] = {}

    async def count(self, tenant: str, held: Mapping[int, range]) -> int:
        """Count the items of a tenant; ``held``: the offsets that partitions hold."""
        async with self._turn:
            records = sum(map(len, held.values()))
            if records > _COUNTED_MAX:
                self._ids.clear()
                self._counted.clear()
                return records
            for partition, offsets in held.items():
                if offsets.stop - 1 > self._counted.get(partition, 0):
                    await self._count(partition)
            return len(self._ids[tenant])

    async def _count(self, partition: int) -> None:
        place, start = TopicPartition(self._topic, partition), self._counted.get(partition, 0)
        async with aclosing(self._readers.scan(place, start)) as pages:
            async for page in pages:
                for raw in page:
                    self._counted[partition] = raw.offset + 1
                    try:
                        record = item_of(raw)
                    except InvalidInput:
                        continue
                    ids = self._ids[record.tenant]
                    (ids.discard if record.item is None else ids.add)(record.item_id)
