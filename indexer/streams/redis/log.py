"""The event log in Redis Streams: one stream a channel and partition, shared by any processes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from indexer.domain.events import ERASE, Event
from indexer.domain.ids import new_event_id
from indexer.domain.neighbours import Occurrence
from indexer.domain.position import Position, log_key, partition_of, position_of
from indexer.errors import InvalidInput, LogError, SchemaMismatch
from indexer.ports import (
    Accepted,
    Channel,
    DeadLetter,
    Erasure,
    EventRecord,
    ItemRecord,
    Stretch,
)
from indexer.streams.codec import any_type, encode_pair, encode_shared, event_fields
from indexer.streams.redis.append import Appender
from indexer.streams.redis.client import Arg, Command, Keys, Server, evaluate
from indexer.streams.redis.entries import (
    Entry,
    decode_event_entry,
    decode_item_entry,
    entries,
    entry_id,
    item_fields,
    offset_of,
    place_in_index,
)
from indexer.streams.redis.letters import Letters
from indexer.streams.redis.scripts import (
    APPEND_ITEMS,
    COUNT,
    END,
    ERASE_USER,
    GROUP_LAG,
    MARK_ERASED,
    USER_PAGE,
)

__all__ = ["BACKLOG_MAX", "RedisLog"]

_log = logging.getLogger(__name__)

BACKLOG_MAX: Final = 10_000
"""Entries of a partition that are counted one by one, where the server does not keep count."""

_PAGE_MAX: Final = 500
"""Entries that are read, written or deleted in one command; a server does nothing beside it."""

_COUNTED_AT_ONCE: Final = 1_000


class RedisLog:
    """A `SharedLog`; opened by `open`, used from one event loop.

    An append is as durable as the server is set up to be: what it writes to its append-only file
    survives the end of its process, and with ``appendfsync always`` the loss of power.

    ``server``, ``keys``, ``letters``, ``keep_s``: for `RedisFeed`.
    """

    def __init__(
        self, server: Server, keys: Keys, partitions: int, keep_s: float, queue_max: int
    ) -> None:
        self.server, self.keys, self.keep_s = server, keys, keep_s
        self.letters = Letters(server, keys)
        self._partitions = partitions
        self._appender = Appender(server, keys, partitions, queue_max)
        self._closed = False

    @classmethod
    async def open(
        cls, url: str, *, name: str, partitions: int, keep_s: float, queue_max: int
    ) -> RedisLog:
        """Open or create the log ``name`` at ``url``.

        Raises:
            LogError: the server does not answer.
            SchemaMismatch: the log was made with another number of partitions.
        """
        server, keys = Server(url), Keys(name)
        try:
            await _check_partitions(server, keys, partitions)
            await _warn_of_loss(server)
        except (LogError, SchemaMismatch):
            await server.close()
            raise
        return cls(server, keys, partitions, keep_s, queue_max)

    @property
    def partitions(self) -> int:
        """See `EventLog.partitions`."""
        return self._partitions

    async def append(self, events: Sequence[Event]) -> Accepted:
        """See `EventLog.append`."""
        self._check_open()
        return await self._appender.append(events)

    async def append_items(
        self, items: Sequence[ItemRecord], *, only_unknown: bool = False
    ) -> Position:
        """See `EventLog.append_items`."""
        self._check_open()
        rows: dict[int, list[Arg]] = {}
        for record in items:
            rows.setdefault(self._partition(record.tenant, record.item_id), []).extend(
                item_fields(record)
            )
        pages = [
            (partition, page)
            for partition, args in rows.items()
            for page in _chunks(args, 4 * _PAGE_MAX)
        ]
        replies: list[list[bytes]] = await self.server.ask_all(
            evaluate(
                APPEND_ITEMS,
                self.keys.stream("items", partition),
                self.keys.prefix(partition),
                int(only_unknown),
                *page,
            )
            for partition, page in pages
        )
        return position_of(
            (partition, offset_of(newest))
            for (partition, _), found in zip(pages, replies, strict=True)
            for newest in found
        )

    async def append_pairs(self, pairs: Sequence[tuple[str, Occurrence]]) -> None:
        """See `SharedLog.append_pairs`; all or none of them."""
        await self.server.ask_all(
            (
                (
                    "XADD",
                    self.keys.stream("pairs", self._partition(tenant, one.item_id)),
                    "*",
                    "pair",
                    encode_pair(tenant, one),
                )
                for tenant, one in pairs
            ),
            whole=True,
        )

    async def read(self, partition: int, after: int, limit: int) -> list[EventRecord]:
        """See `EventLog.read`; what is no event, or in the wrong partition, is left out."""
        records: list[EventRecord] = []
        while len(records) < limit:
            page = await self._page("events", partition, after, limit - len(records))
            if not page:
                break
            after = page[-1].offset
            records += self._events(page, partition)
        return records

    async def read_before(self, partition: int, before: int, limit: int) -> Stretch:
        """See `EventLog.read_before`; a place is an entry, also of what `read` leaves out."""
        stream, found = self.keys.stream("events", partition), list[Entry]()
        while len(found) < limit:
            count = min(limit - len(found), _PAGE_MAX)
            reply = await self.server.ask(
                "XREVRANGE", stream, f"({entry_id(before)}", "-", "COUNT", count
            )
            page = entries(reply)
            found += page
            if len(page) < count:
                break
            before = page[-1].offset
        start = found[-1].offset if len(found) == limit else 0
        return Stretch(self._events(reversed(found), partition), start, len(found))

    async def read_items(self, partition: int, after: int, limit: int) -> list[ItemRecord]:
        """See `EventLog.read_items`."""
        records: list[ItemRecord] = []
        while len(records) < limit:
            page = await self._page("items", partition, after, limit - len(records))
            if not page:
                break
            after = page[-1].offset
            for entry in page:
                try:
                    records.append(decode_item_entry(entry, partition))
                except InvalidInput as exc:
                    _log.debug("items of partition %d: %s: %s", partition, entry.entry_id, exc)
        return records

    async def find(self, tenant: str, user_id: str, event_id: str) -> EventRecord | None:
        """Return one event, or None; at once unless others made it and gave it no id."""
        key, partition = log_key(tenant, user_id), self._partition(tenant, user_id)
        value = await self.server.ask("HGET", f"{self.keys.prefix(partition)}:ids:{key}", event_id)
        if value:
            after, limit = offset_of(value.partition(b"|")[0]) - 1, 1
        else:
            after, limit = 0, _PAGE_MAX
        while page := await self.user_events(tenant, user_id, after=after, limit=limit):
            found = next((record for record in page if record.event.event_id == event_id), None)
            if found or value:
                return found
            after = page[-1].offset
        return None

    async def user_events(
        self, tenant: str, user_id: str, *, after: int, limit: int
    ) -> list[EventRecord]:
        """Return a user's events beyond an offset, in log order."""
        records: list[EventRecord] = []
        while len(records) < limit:
            page = await self._user_page(tenant, user_id, after, None, limit - len(records))
            if not page:
                break
            after = offset_of(page[-1][0])
            records += self._events(entries(page), self._partition(tenant, user_id))
        return records

    async def user_events_before(
        self, tenant: str, user_id: str, *, before: int, limit: int
    ) -> list[EventRecord]:
        """See `EventLog.user_events_before`."""
        records: list[EventRecord] = []
        while len(records) < limit:
            page = await self._user_page(tenant, user_id, 0, before, limit - len(records))
            if not page:
                break
            before = offset_of(page[-1][0])
            records += self._events(entries(page), self._partition(tenant, user_id))
        return records[::-1]

    async def erase_user(self, tenant: str, user_id: str) -> Erasure:
        """Delete a user's events and dead letters, and append the mark that has the rest erased.

        What reads by user gives nothing from before the mark as soon as it is there.
        """
        key, partition = log_key(tenant, user_id), self._partition(tenant, user_id)
        stream, prefix = self.keys.stream("events", partition), self.keys.prefix(partition)
        mark = encode_shared(Event(tenant, user_id, new_event_id(), ERASE, time.time()))
        marked = await self.server.ask(*evaluate(MARK_ERASED, stream, prefix, key, mark))
        deleted = 0
        erase = evaluate(ERASE_USER, stream, prefix, key, marked, _PAGE_MAX)
        while page := await self.server.ask(*erase):
            deleted += int(page)
        await self.letters.drop_user(key)
        return Erasure(deleted, {partition: offset_of(marked)})

    async def add_dead_letter(self, record: EventRecord, reason: str) -> None:
        """Keep a record that cannot be folded, with the reason."""
        event = record.event
        whose = event.tenant, log_key(event.tenant, event.user_id)
        place = record.partition, record.offset
        await self.letters.add("events", place, whose, event_fields(event), reason)

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
        found = await self.server.ask_all(
            evaluate(END, self.keys.stream(channel, p)) for p in range(self._partitions)
        )
        return {partition: offset_of(last) for partition, last in enumerate(found)}

    async def committed(self, channel: Channel, partitions: Iterable[int]) -> Position:
        """See `SharedLog.committed`."""
        asked = list(partitions)
        found = await self.server.ask_all(("HGET", self.keys.committed(p), channel) for p in asked)
        return {p: offset_of(last) if last else 0 for p, last in zip(asked, found, strict=True)}

    async def backlog(self, channel: Channel) -> int:
        """See `SharedLog.backlog`; `BACKLOG_MAX` of a partition where the server keeps no count."""
        group = self.keys.group
        told: list[int] = await self.server.ask_all(
            evaluate(GROUP_LAG, self.keys.stream(channel, p), group)
            for p in range(self._partitions)
        )
        unknown = [p for p, lag in enumerate(told) if lag < 0]
        committed = await self.committed(channel, unknown) if unknown else {}
        counted = [await self.count_after(channel, p, committed[p]) for p in unknown]
        return sum(lag for lag in told if lag > 0) + sum(counted)

    async def count_after(self, channel: Channel, partition: int, offset: int) -> int:
        """Count the records beyond an offset, up to `BACKLOG_MAX`."""
        stream, after, counted = self.keys.stream(channel, partition), entry_id(offset), 0
        while counted < BACKLOG_MAX:
            found, last = await self.server.ask(*evaluate(COUNT, stream, after, _COUNTED_AT_ONCE))
            counted, after = counted + int(found), last.decode()
            if found < _COUNTED_AT_ONCE:
                break
        return counted

    async def totals(self, tenant: str) -> dict[str, int]:
        """Count what is held of a tenant."""
        kinds = ("events", "items")
        asked = [f"{kind}:{tenant}" for kind in kinds]
        found = await self.server.ask_all(
            ("HMGET", self.keys.totals(p), *asked) for p in range(self._partitions)
        )
        counts = {kind: sum(int(f[n] or 0) for f in found) for n, kind in enumerate(kinds)}
        return {**counts, "dead_letters": await self.letters.count(tenant)}

    async def ping(self) -> None:
        """Raise LogError where the log does not answer."""
        await self.server.ask("PING")

    async def close(self) -> None:
        """Finish what is under way and disconnect; calls after this raise LogError."""
        if not self._closed:
            self._closed = True
            await self._appender.drain()
            await self.server.close()

    def _partition(self, tenant: str, name: str) -> int:
        return partition_of(tenant, name, self._partitions)

    def _check_open(self) -> None:
        if self._closed:
            raise LogError("the event log is closed")

    async def _page(self, channel: Channel, partition: int, after: int, limit: int) -> list[Entry]:
        stream, count = self.keys.stream(channel, partition), min(limit, _PAGE_MAX)
        found = await self.server.ask("XRANGE", stream, f"({entry_id(after)}", "+", "COUNT", count)
        return entries(found)

    async def _user_page(
        self, tenant: str, user_id: str, after: int, before: int | None, limit: int
    ) -> list[Any]:
        """Return entries of a user between two offsets: the newest first, where ``before`` is.

        Of those that are gone, because somebody trimmed the stream, only their ids.
        """
        partition = self._partition(tenant, user_id)
        stream, prefix = self.keys.stream("events", partition), self.keys.prefix(partition)
        bounds = place_in_index(after), "" if before is None else place_in_index(before)
        count, newest = min(limit, _PAGE_MAX), int(before is not None)
        key = log_key(tenant, user_id)
        command = evaluate(USER_PAGE, stream, prefix, key, *bounds, count, newest)
        page: list[Any] = await self.server.ask(*command)
        return page

    def _events(self, page: Iterable[Entry], partition: int) -> list[EventRecord]:
        records = []
        for entry in page:
            try:
                record = decode_event_entry(entry, partition, any_type)
            except InvalidInput as exc:
                _log.debug("events of partition %d: %s: %s", partition, entry.entry_id, exc)
                continue
            if self._partition(record.event.tenant, record.event.user_id) == partition:
                records.append(record)
        return records


async def _check_partitions(server: Server, keys: Keys, partitions: int) -> None:
    asked: list[Command] = [("SETNX", keys.meta, partitions), ("GET", keys.meta)]
    _, found = await server.ask_all(asked, whole=True)
    if found != str(partitions).encode():
        raise SchemaMismatch(
            f"the event log {keys.group!r} has {found.decode(errors='replace')[:20]} partitions, "
            f"which cannot be changed: set RECSVC_EVENT_LOG_PARTITIONS to that instead of "
            f"{partitions}, or begin another log with RECSVC_EVENT_LOG_NAME"
        )


async def _warn_of_loss(server: Server) -> None:
    """Say so where the server is set up to lose what it was given."""
    name = server.name
    try:
        told: dict[str, Any] = await server.ask("INFO")
    except LogError as exc:
        _log.debug("what %s keeps is not told: %s", name, exc)
        return
    if not told.get("aof_enabled", 1):
        _log.warning("%s has appendonly off: events are lost when it ends", name)
    if told.get("maxmemory") and told.get("maxmemory_policy", "noeviction") != "noeviction":
        _log.warning("%s drops keys when its memory is full: set maxmemory-policy noeviction", name)


def _chunks(args: Sequence[Arg], size: int) -> list[Sequence[Arg]]:
    return [args[start : start + size] for start in range(0, len(args), size)]
