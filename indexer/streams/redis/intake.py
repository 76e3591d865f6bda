"""From fetched entries to records: what others appended is checked, as what comes by HTTP is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from indexer.domain.position import log_key, partition_of
from indexer.errors import EventConflict, InvalidInput
from indexer.ports import Changes, Channel, EventFailed, EventRecord, Record
from indexer.streams.redis.client import evaluate
from indexer.streams.redis.entries import (
    Entry,
    decode_event_entry,
    decode_item_entry,
    decode_pair_entry,
    entry_id,
    shown,
)
from indexer.streams.redis.lanes import Held
from indexer.streams.redis.log import RedisLog
from indexer.streams.redis.scripts import ADOPT
from indexer.streams.refused import failure_of, sender_of

__all__ = ["Intake"]

_CONFLICT = "already accepted with another body"


class Intake:
    """Decodes entries. What can be none of its channel goes to the dead letters.

    An event of others is entered into what the log knows of its user, so that it is found, erased
    and told from a repeated one like those of our own. All of this may happen twice.

    ``changes``: told of events that fail here, where they say whose they are.
    """

    def __init__(
        self, log: RedisLog, weights: Mapping[str, float], changes: Changes | None = None
    ) -> None:
        self._log, self._weights, self._changes = log, weights, changes

    async def take_in(self, channel: Channel, partition: int, found: Sequence[Entry]) -> list[Held]:
        """Return what entries are, in order.

        Raises:
            LogError, Overloaded: not all of it could be done; do it again.
        """
        records: dict[int, Record | None] = {}
        strangers: list[EventRecord] = []
        for entry in found:
            try:
                record = self._decode(channel, partition, entry)
            except InvalidInput as exc:
                await self._refuse(channel, partition, entry, str(exc))
                record = None
            records[entry.offset] = record
            if isinstance(record, EventRecord) and entry.checked is None:
                strangers.append(record)
        for stranger in strangers:
            records[stranger.offset] = None
        records.update(await self._meet(partition, strangers))
        return [Held(entry.offset, entry.size, records[entry.offset]) for entry in found]

    def _decode(self, channel: Channel, partition: int, entry: Entry) -> Record:
        if channel == "events":
            return decode_event_entry(entry, partition, self._weights)
        if channel == "items":
            return decode_item_entry(entry, partition)
        return decode_pair_entry(entry, partition)

    async def _refuse(self, channel: Channel, partition: int, entry: Entry, reason: str) -> None:
        """Keep what can be none of its channel."""
        event, place = shown(entry), (partition, entry.offset)
        tenant, user_id, _ = sender_of(event)
        whose = tenant, log_key(tenant, user_id) if user_id else ""
        await self._log.letters.add(channel, place, whose, event, reason)
        if channel == "events":
            await self._tell(failure_of(event, reason))

    async def _conflict(self, record: EventRecord) -> None:
        """Keep an event whose id is another's."""
        await self._log.add_dead_letter(record, _CONFLICT)
        event = record.event
        await self._tell(EventFailed(event.tenant, event.user_id, event.event_id, _CONFLICT))

    async def _tell(self, failed: EventFailed | None) -> None:
        if failed is not None and self._changes is not None:
            await self._changes.publish([failed])

    async def _meet(
        self, partition: int, strangers: Sequence[EventRecord]
    ) -> dict[int, EventRecord]:
        """Return those events of others that are to be folded, by offset."""
        here: list[EventRecord] = []
        for record in strangers:
            event = record.event
            if partition_of(event.tenant, event.user_id, self._log.partitions) == partition:
                here.append(record)
            else:
                await self._move(record)
        return await self._adopt(partition, here) if here else {}

    async def _move(self, record: EventRecord) -> None:
        """Append an event to the partition of its user, once."""
        event = record.event
        try:
            named = event.fingerprint or event.event_id  # which was made of the place
            await self._log.append([replace(event, fingerprint=named)])
        except EventConflict:
            await self._conflict(record)

    async def _adopt(self, partition: int, here: Sequence[EventRecord]) -> dict[int, EventRecord]:
        keys = self._log.keys
        command = evaluate(
            ADOPT,
            keys.stream("events", partition),
            keys.prefix(partition),
            *(arg for record in here for arg in _args(record)),
        )
        outcomes: list[bytes] = await self._log.server.ask(*command)
        for record, outcome in zip(here, outcomes, strict=True):
            if outcome == b"!":
                await self._conflict(record)
        return {r.offset: r for r, outcome in zip(here, outcomes, strict=True) if outcome == b"+"}


def _args(record: EventRecord) -> tuple[str, ...]:
    event = record.event
    key = log_key(event.tenant, event.user_id)
    return entry_id(record.offset), key, event.tenant, event.event_id, event.fingerprint
