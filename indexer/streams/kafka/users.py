"""Questions by user, answered by reading all of the user's partition: right, rare and slow."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing

from indexer.domain.events import ERASE
from indexer.domain.position import log_key, partition_of
from indexer.errors import InvalidInput
from indexer.ports import EventRecord
from indexer.streams.codec import any_type
from indexer.streams.kafka.client import TopicPartition
from indexer.streams.kafka.reader import Readers
from indexer.streams.kafka.records import event_of, fingerprint_of

__all__ = ["UserEvents"]


class UserEvents:
    """The events of one user since the newest mark that erases them, each once."""

    def __init__(self, readers: Readers, topic: str, partitions: int) -> None:
        self._readers, self._topic, self._partitions = readers, topic, partitions

    async def find(self, tenant: str, user_id: str, event_id: str) -> EventRecord | None:
        """Return one event, or None."""
        found = None
        async with aclosing(self._of(tenant, user_id)) as records:
            async for record in records:
                if record.event.event_type == ERASE:
                    found = None
                elif record.event.event_id == event_id:
                    found = record
        return found

    async def after(self, tenant: str, user_id: str, after: int, limit: int) -> list[EventRecord]:
        """Return the oldest events beyond an offset."""
        found: list[EventRecord] = []
        async with aclosing(self._of(tenant, user_id)) as records:
            async for record in records:
                if record.event.event_type == ERASE:
                    found.clear()
                elif record.offset > after and len(found) < limit:
                    found.append(record)
        return found

    async def before(self, tenant: str, user_id: str, before: int, limit: int) -> list[EventRecord]:
        """Return the newest events below an offset, oldest first."""
        found: deque[EventRecord] = deque(maxlen=limit)
        async with aclosing(self._of(tenant, user_id)) as records:
            async for record in records:
                if record.event.event_type == ERASE:
                    found.clear()
                elif record.offset < before:
                    found.append(record)
        return list(found)

    async def count(self, tenant: str, user_id: str) -> int:
        """Count the events."""
        count = 0
        async with aclosing(self._of(tenant, user_id)) as records:
            async for record in records:
                count = 0 if record.event.event_type == ERASE else count + 1
        return count

    async def _of(self, tenant: str, user_id: str) -> AsyncGenerator[EventRecord, None]:
        """Read all events of a user, the marks among them; a repeated one the first time only."""
        key = log_key(tenant, user_id).encode()
        partition = partition_of(tenant, user_id, self._partitions)
        seen: set[str] = set()
        place = TopicPartition(self._topic, partition)
        async with aclosing(self._readers.scan(place, 0)) as pages:
            async for page in pages:
                for raw in page:
                    if raw.key != key and fingerprint_of(raw) is not None:
                        continue
                    try:
                        record = event_of(raw, any_type)
                    except InvalidInput:
                        continue
                    event = record.event
                    if (event.tenant, event.user_id) != (tenant, user_id):
                        continue
                    if event.event_type == ERASE:
                        seen.clear()
                    if event.event_id not in seen:
                        seen.add(event.event_id)
                        yield record
