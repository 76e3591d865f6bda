"""The event log in Kafka: topics ``NAME.events``, ``.items``, ``.pairs`` and ``.dead-letters``.

Events are keyed by user, items and pairs by item: others append events with the user's id as the
key and the JSON of `POST /v1/events` as the value, and they are in the right partition.

What differs from a log that is all ours: Kafka keeps events for the retention of their topic and
cannot delete a single one, so those of an erased user stay on the brokers' disks until then,
though nobody reads them any more. A repeated event is told from a new one by what this process
remembers; the fold drops what is appended a second time. An append to several partitions can fail
in part. Of a deleted item, a short mark stays.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any, Final, TypeVar

from indexer.domain.events import ERASE, Event
from indexer.domain.ids import new_event_id
from indexer.domain.neighbours import Occurrence
from indexer.domain.position import Position, partition_of, position_of
from indexer.errors import InvalidInput, LogError
from indexer.ports import (
    CHANNELS,
    Accepted,
    Channel,
    DeadLetter,
    Erasure,
    EventRecord,
    ItemRecord,
    Stretch,
)
from indexer.streams.codec import any_type
from indexer.streams.kafka.append import EventAppender
from indexer.streams.kafka.client import (
    KafkaConnection,
    asking,
    make_admin,
    make_producer,
    start,
    stop,
)
from indexer.streams.kafka.counts import LiveItems
from indexer.streams.kafka.lanes import Lanes, settled
from indexer.streams.kafka.letters import Letters
from indexer.streams.kafka.places import Places
from indexer.streams.kafka.reader import Readers
from indexer.streams.kafka.records import (
    Entry,
    event_entry,
    event_of,
    item_entries,
    item_of,
    offset_of,
    pair_entry,
)
from indexer.streams.kafka.topics import Topics, make_topics
from indexer.streams.kafka.users import UserEvents

__all__ = ["KafkaLog"]

_SCANS_MAX: Final = 3
_LOOKS_MAX: Final = 2

R = TypeVar("R", EventRecord, ItemRecord)


class KafkaLog:
    """A `SharedLog`; opened by `open`, used from one event loop."""

    def __init__(
        self,
        connection: KafkaConnection,
        name: str,
        partitions: int,
        queue_max: int,
        admin: Any,
        producer: Any,
    ) -> None:
        self.connection, self.name, self.topics = connection, name, Topics(name)
        self._partitions = partitions
        self._admin, self._producer = admin, producer
        self._lanes = {c: Lanes(producer, self.topics.of(c)) for c in CHANNELS}
        self._appender = EventAppender(self._lanes["events"], partitions, queue_max)
        self._readers = Readers(connection, _SCANS_MAX)
        self._lookers = Readers(connection, _LOOKS_MAX)  # which no long scan keeps waiting
        self._letter_lanes = Lanes(producer, self.topics.letters)
        self.letters = Letters(self._readers, self._letter_lanes, self.topics.letters)
        self._items = LiveItems(self._readers, self.topics.of("items"))
        self._users = UserEvents(self._readers, self.topics.of("events"), partitions)
        self.places = Places(self._lookers, admin, self.topics, partitions, name)
        self._closed = False

    @classmethod
    async def open(
        cls,
        connection: KafkaConnection,
        *,
        name: str,
        partitions: int,
        keep_s: float,
        replication: int,
        queue_max: int,
    ) -> KafkaLog:
        """Open a log; make its topics where they are missing.

        Raises:
            LogError: Kafka does not answer, or does not let us.
            SchemaMismatch: the log was made with another number of partitions.
        """
        async with AsyncExitStack() as opened:
            admin = make_admin(connection)
            await start(admin, connection)
            opened.push_async_callback(stop, admin)
            await make_topics(
                admin,
                Topics(name),
                partitions=partitions,
                keep_s=keep_s,
                replication=replication,
            )
            producer = make_producer(connection)
            await start(producer, connection)
            opened.pop_all()
        return cls(connection, name, partitions, queue_max, admin, producer)

    @property
    def partitions(self) -> int:
        """See `EventLog.partitions`."""
        return self._partitions

    async def append(self, events: Sequence[Event]) -> Accepted:
        """See `EventLog.append`; InvalidInput where an event is larger than a record may be."""
        self._check_open()
        return await self._appender.append(events)

    async def append_checked(self, event: Event) -> None:
        """Append an event that is in a partition that it does not belong to."""
        self._check_open()
        partition = partition_of(event.tenant, event.user_id, self._partitions)
        await settled([self._lanes["events"].put(partition, [event_entry(event)])])

    async def append_items(
        self, items: Sequence[ItemRecord], *, only_unknown: bool = False
    ) -> Position:
        """See `EventLog.append_items`."""
        self._check_open()
        newest = {(record.tenant, record.item_id): record for record in items}
        return await self._put(
            "items",
            [
                (record.tenant, record.item_id, entry)
                for record in newest.values()
                for entry in item_entries(record, only_unknown=only_unknown)
            ],
        )

    async def append_pairs(self, pairs: Sequence[tuple[str, Occurrence]]) -> None:
        """See `SharedLog.append_pairs`."""
        self._check_open()
        await self._put(
            "pairs", [(tenant, one.item_id, pair_entry(tenant, one)) for tenant, one in pairs]
        )

    async def read(self, partition: int, after: int, limit: int) -> list[EventRecord]:
        """See `EventLog.read`; leaves out what is no event, or in a wrong partition."""
        return await self._read("events", partition, after, limit, self._decoder(partition))

    async def read_before(self, partition: int, before: int, limit: int) -> Stretch:
        """See `EventLog.read_before`; a place is an offset, also of what `read` leaves out and of
        what Kafka has for itself or keeps no more."""
        self._check_open()
        after = max(0, before - 1 - limit)
        records: list[EventRecord] = []
        place, decode = self.places.of("events", partition), self._decoder(partition)
        async with aclosing(self._readers.scan(place, after, page=limit)) as pages:
            async for page in pages:
                records += _decoded([raw for raw in page if offset_of(raw) < before], decode)
                if page and offset_of(page[-1]) >= before - 1:
                    break
        return Stretch(records, after + 1 if after else 0, before - 1 - after)

    async def read_items(self, partition: int, after: int, limit: int) -> list[ItemRecord]:
        """See `EventLog.read_items`."""
        return await self._read("items", partition, after, limit, item_of)

    async def find(self, tenant: str, user_id: str, event_id: str) -> EventRecord | None:
        """Return one event, or None."""
        return await self._users.find(tenant, user_id, event_id)

    async def user_events(
        self, tenant: str, user_id: str, *, after: int, limit: int
    ) -> list[EventRecord]:
        """Return a user's events beyond offset ``after``, in log order."""
        return await self._users.after(tenant, user_id, after, limit)

    async def user_events_before(
        self, tenant: str, user_id: str, *, before: int, limit: int
    ) -> list[EventRecord]:
        """Return a user's newest events below offset ``before``, in log order."""
        return await self._users.before(tenant, user_id, before, limit)

    async def erase_user(self, tenant: str, user_id: str) -> Erasure:
        """Have what is logged of a user never be read again, but by who then erases the rest.

        Other processes remember the user's event ids for a while, and take them for known.
        """
        self._check_open()
        held = await self._users.count(tenant, user_id)
        mark = Event(tenant, user_id, new_event_id(), ERASE, time.time())
        appended = await self._appender.append([mark])
        self._appender.forget(tenant, user_id)
        await self.letters.drop_of_user(tenant, user_id)
        return Erasure(held, appended.position)

    async def add_dead_letter(self, record: EventRecord, reason: str) -> None:
        """Keep a record that cannot be folded, with the reason."""
        self._check_open()
        await self.letters.add(record, reason)

    async def dead_letters(
        self, *, tenant: str | None = None, limit: int = 100
    ) -> list[DeadLetter]:
        """Return the oldest dead letters, of one tenant or of all."""
        return await self.letters.oldest(limit, tenant)

    async def dead_letters_after(
        self, partition: int, after: int, *, limit: int, tenant: str | None = None
    ) -> list[DeadLetter]:
        """See `EventLog.dead_letters_after`."""
        return await self.letters.after(partition, after, limit, tenant)

    async def drop_dead_letters(self, letter_ids: Sequence[str]) -> None:
        """Forget dead letters that have been dealt with."""
        self._check_open()
        await self.letters.drop(letter_ids)

    async def ends(self, channel: Channel) -> Position:
        """See `EventLog.ends`."""
        self._check_open()
        return await self.places.ends(channel)

    async def committed(self, channel: Channel, partitions: Iterable[int]) -> Position:
        """See `SharedLog.committed`."""
        self._check_open()
        return await self.places.committed(channel, partitions)

    async def backlog(self, channel: Channel) -> int:
        """See `SharedLog.backlog`."""
        self._check_open()
        return await self.places.backlog(channel)

    def appended(self, channel: Channel) -> Mapping[int, int]:
        """Return the newest offsets that this process has appended."""
        return self._lanes[channel].ends

    async def totals(self, tenant: str) -> dict[str, int]:
        """Count what is held. Kafka does not count by tenant: ``events`` are those of all; of
        ``items``, see `LiveItems`."""
        self._check_open()
        held = await self.places.ranges(CHANNELS, range(self._partitions))
        return {
            "events": sum(map(len, held["events"].values())),
            "items": await self._items.count(tenant, held["items"]),
            "dead_letters": await self.letters.count(tenant),
        }

    async def ping(self) -> None:
        """Raise LogError where Kafka does not answer."""
        self._check_open()
        async with asking("a ping"):
            await self._admin.find_coordinator(self.name)

    async def close(self) -> None:
        """Append what waits and close all connections; calls after this raise LogError."""
        if self._closed:
            return
        self._closed = True
        lanes = (*self._lanes.values(), self._letter_lanes)
        await asyncio.gather(*(one.close() for one in lanes))
        await asyncio.gather(self._readers.close(), self._lookers.close())
        await stop(self._producer)
        await stop(self._admin)

    async def _put(
        self, channel: Channel, entries: Sequence[tuple[str, str, Entry]]
    ) -> dict[int, int]:
        """Append entries of a tenant's items; return where."""
        by_partition: dict[int, list[Entry]] = {}
        for tenant, item_id, entry in entries:
            partition = partition_of(tenant, item_id, self._partitions)
            by_partition.setdefault(partition, []).append(entry)
        jobs = [self._lanes[channel].put(*part) for part in by_partition.items()]
        await settled(jobs)
        return position_of((job.partition, job.future.result()[-1]) for job in jobs)

    async def _read(
        self,
        channel: Channel,
        partition: int,
        after: int,
        limit: int,
        decode: Callable[[Any], R | None],
    ) -> list[R]:
        self._check_open()
        place = self.places.of(channel, partition)
        records: list[R] = []
        async with aclosing(self._readers.scan(place, after, page=limit)) as pages:
            async for page in pages:
                records += _decoded(page, decode)
                if len(records) >= limit:
                    break
        return records[:limit]

    def _decoder(self, partition: int) -> Callable[[Any], EventRecord | None]:
        """Return what reads the events of a partition, and takes no others."""

        def decode(raw: Any) -> EventRecord | None:
            record = event_of(raw, any_type)
            event = record.event
            right = partition_of(event.tenant, event.user_id, self._partitions)
            return record if right == partition else None

        return decode

    def _check_open(self) -> None:
        if self._closed:
            raise LogError("the event log is closed")


def _decoded(page: Sequence[Any], decode: Callable[[Any], R | None]) -> list[R]:
    """Return the records of a page, without those that are none."""
    records: list[R] = []
    for raw in page:
        try:
            record = decode(raw)
        except InvalidInput:
            continue
        if record is not None:
            records.append(record)
    return records
