"""The event log in one SQLite file: WAL mode, ``synchronous=FULL``, group commit."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import orjson

from indexer.domain.events import Event
from indexer.domain.position import Position
from indexer.errors import LogError, Overloaded
from indexer.ports import (
    Accepted,
    Channel,
    DeadLetter,
    Erasure,
    EventRecord,
    ItemRecord,
    Stretch,
)
from indexer.streams.codec import decode_event, decode_item, encode_item, event_fields
from indexer.streams.sqlite.writer import SCHEMA, AppendJob, CallJob, Job, Writer

__all__ = ["SqliteLog"]

_TAIL_MAX = 8_192
_EVENT_COLUMNS = "seq, tenant, user_id, event_id, fingerprint, accepted_at, body"
_LETTER_COLUMNS = "id, seq, tenant, body, reason, at"

T = TypeVar("T")


class SqliteLog:
    """An `EventLog` of one partition; opened by `open`, used from one event loop.

    The newest records stay in memory, so that a reader who keeps up never asks the disk.
    """

    def __init__(self, path: Path, queue_max: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue_max = queue_max
        self._waiting = 0
        self._closed = False
        self._event_wakes: list[Callable[[], None]] = []
        self._item_wakes: list[Callable[[], None]] = []
        self._futures: dict[Job, asyncio.Future[Any]] = {}
        self._tail: list[EventRecord] = []
        self._reader = _connect(path)
        self._reads = ThreadPoolExecutor(1, thread_name_prefix="event-log-read")
        self._last = _last(self._reader, "events")
        self._last_item = _last(self._reader, "items")
        self._writer = Writer(_connect(path), self._on_finished)

    @classmethod
    async def open(cls, path: Path, *, queue_max: int) -> SqliteLog:
        """Open or create the log at ``path``.

        Raises:
            LogError: the file cannot be opened or is no log.
        """
        try:
            return cls(path, queue_max)
        except sqlite3.Error as exc:
            raise LogError(f"the event log {path} cannot be opened: {exc}") from exc

    @property
    def partitions(self) -> int:
        """One."""
        return 1

    async def append(self, events: Sequence[Event]) -> Accepted:
        """See `EventLog.append`."""
        self._check_open()
        if self._waiting + len(events) > self._queue_max:
            raise Overloaded(f"{self._waiting} events wait for the disk; send again shortly")
        self._waiting += len(events)
        accepted: Accepted = await self._submit(AppendJob(events))
        return accepted

    async def append_items(
        self, items: Sequence[ItemRecord], *, only_unknown: bool = False
    ) -> Position:
        """See `EventLog.append_items`."""
        newest = {(r.tenant, r.item_id): r for r in items}
        rows = [
            (r.tenant, r.item_id, encode_item(r.item) if r.item is not None else None)
            for r in newest.values()
        ]
        known = "body IS NOT NULL AND" if only_unknown else "0 AND"

        def write(connection: sqlite3.Connection) -> int:
            connection.execute(
                "INSERT OR REPLACE INTO items (tenant, item_id, body) "
                "SELECT json_extract(j.value, '$[0]'), json_extract(j.value, '$[1]'), "
                "json_extract(j.value, '$[2]') FROM json_each(?) AS j WHERE NOT EXISTS ("
                f"SELECT 1 FROM items WHERE {known} tenant = json_extract(j.value, '$[0]') "
                "AND item_id = json_extract(j.value, '$[1]')) ORDER BY j.key",
                (orjson.dumps(rows).decode(),),
            )
            return _last(connection, "items") if rows else 0

        last = await self._call(write)
        self._last_item = max(self._last_item, last)
        for wake in self._item_wakes:
            wake()
        return {0: last} if last else {}

    async def read(self, partition: int, after: int, limit: int) -> list[EventRecord]:  # noqa: ARG002
        """See `EventLog.read`."""
        self._check_open()
        if after >= self._last:
            return []
        if self._tail and self._tail[0].offset <= after + 1:
            start = bisect_right(self._tail, after, key=lambda record: record.offset)
            return self._tail[start : start + limit]
        return await self._events(
            f"SELECT {_EVENT_COLUMNS} FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        )

    async def read_before(self, partition: int, before: int, limit: int) -> Stretch:  # noqa: ARG002
        """See `EventLog.read_before`."""
        self._check_open()
        found = await self._events(
            f"SELECT {_EVENT_COLUMNS} FROM events WHERE seq < ? ORDER BY seq DESC LIMIT ?",
            (before, limit),
        )
        start = found[-1].offset if len(found) == limit else 0
        return Stretch(found[::-1], start, len(found))

    async def read_items(self, partition: int, after: int, limit: int) -> list[ItemRecord]:  # noqa: ARG002
        """See `EventLog.read_items`."""
        rows = await self._rows(
            "SELECT seq, tenant, item_id, body FROM items WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        )
        return [
            ItemRecord(seq, tenant, item_id, decode_item(tenant, item_id, body) if body else None)
            for seq, tenant, item_id, body in rows
        ]

    def on_events(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called on the event loop after each append of events."""
        self._event_wakes.append(wake)

    def on_items(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called on the event loop after each append of items."""
        self._item_wakes.append(wake)

    async def find(self, tenant: str, user_id: str, event_id: str) -> EventRecord | None:
        """Return one event, or None."""
        found = await self._events(
            f"SELECT {_EVENT_COLUMNS} FROM events WHERE tenant=? AND user_id=? AND event_id=?",
            (tenant, user_id, event_id),
        )
        return found[0] if found else None

    async def user_events(
        self, tenant: str, user_id: str, *, after: int, limit: int
    ) -> list[EventRecord]:
        """Return a user's events beyond offset ``after``, in log order."""
        return await self._events(
            f"SELECT {_EVENT_COLUMNS} FROM events WHERE tenant=? AND user_id=? AND seq>? "
            "ORDER BY seq LIMIT ?",
            (tenant, user_id, after, limit),
        )

    async def user_events_before(
        self, tenant: str, user_id: str, *, before: int, limit: int
    ) -> list[EventRecord]:
        """Return a user's newest events below offset ``before``, in log order."""
        found = await self._events(
            f"SELECT {_EVENT_COLUMNS} FROM events WHERE tenant=? AND user_id=? AND seq<? "
            "ORDER BY seq DESC LIMIT ?",
            (tenant, user_id, before, limit),
        )
        return found[::-1]

    async def erase_user(self, tenant: str, user_id: str) -> Erasure:
        """Delete a user's events and dead letters, overwriting them on disk."""

        def erase(connection: sqlite3.Connection) -> tuple[int, int]:
            who = (tenant, user_id)
            connection.execute("DELETE FROM dead_letters WHERE tenant=? AND user_id=?", who)
            found = connection.execute("DELETE FROM events WHERE tenant=? AND user_id=?", who)
            return found.rowcount, _last(connection, "events")

        erased, last = await self._call(erase)
        self._tail = [  # what was appended since is the beginning of a new history
            record
            for record in self._tail
            if record.offset > last
            or (record.event.tenant, record.event.user_id) != (tenant, user_id)
        ]
        await self._rows("PRAGMA wal_checkpoint(TRUNCATE)", ())
        return Erasure(erased, {})

    async def add_dead_letter(self, record: EventRecord, reason: str) -> None:
        """Keep a record that cannot be folded, with the reason."""
        event = record.event
        body = orjson.dumps(event_fields(event)).decode()
        row = (
            record.offset,
            event.tenant,
            event.user_id,
            event.event_id,
            body,
            reason,
            time.time(),
        )
        await self._call(
            lambda connection: (
                connection.execute(
                    "INSERT INTO dead_letters (seq, tenant, user_id, event_id, body, reason, at) "
                    "SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 "
                    "WHERE NOT EXISTS (SELECT 1 FROM dead_letters WHERE seq = ?1)",
                    row,
                ).rowcount
            )
        )

    async def dead_letters(
        self, *, tenant: str | None = None, limit: int = 100
    ) -> list[DeadLetter]:
        """Return the oldest dead letters, of one tenant or of all."""
        rows = await self._rows(
            f"SELECT {_LETTER_COLUMNS} FROM dead_letters "
            "WHERE ?1 IS NULL OR tenant = ?1 ORDER BY id LIMIT ?2",
            (tenant, limit),
        )
        return [_letter(*row) for row in rows]

    async def dead_letters_after(
        self,
        partition: int,  # noqa: ARG002
        after: int,
        *,
        limit: int,
        tenant: str | None = None,
    ) -> list[DeadLetter]:
        """See `EventLog.dead_letters_after`."""
        rows = await self._rows(
            f"SELECT {_LETTER_COLUMNS} FROM dead_letters "
            "WHERE seq > ?1 AND (?2 IS NULL OR tenant = ?2) ORDER BY seq LIMIT ?3",
            (after, tenant, limit),
        )
        return [_letter(*row) for row in rows]

    async def drop_dead_letters(self, letter_ids: Sequence[str]) -> None:
        """Forget dead letters that have been dealt with."""
        ids = orjson.dumps([int(one) for one in letter_ids]).decode()
        await self._call(
            lambda connection: (
                connection.execute(
                    "DELETE FROM dead_letters WHERE id IN (SELECT value FROM json_each(?))", (ids,)
                ).rowcount
            )
        )

    async def ends(self, channel: Channel) -> Position:
        """See `EventLog.ends`."""
        return {0: self._last_item if channel == "items" else self._last}

    async def totals(self, tenant: str) -> dict[str, int]:
        """Count what is held of a tenant."""
        rows = await self._rows(
            "SELECT (SELECT count(*) FROM events WHERE tenant = ?1), "
            "(SELECT count(*) FROM items WHERE tenant = ?1 AND body IS NOT NULL), "
            "(SELECT count(*) FROM dead_letters WHERE tenant = ?1)",
            (tenant,),
        )
        return dict(zip(("events", "items", "dead_letters"), rows[0], strict=True))

    async def ping(self) -> None:
        """Raise LogError where the log does not answer."""
        await self._rows("SELECT 1", ())

    async def close(self) -> None:
        """Finish what is queued and close the file; calls after this raise LogError."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._writer.close)
        self._reads.shutdown()
        self._reader.close()

    async def _events(self, sql: str, args: tuple[Any, ...]) -> list[EventRecord]:
        rows = await self._rows(sql, args)
        try:
            return [_record(*row) for row in rows]
        except (TypeError, ValueError) as exc:
            raise LogError(f"the event log holds something that is no event: {exc}") from exc

    async def _rows(self, sql: str, args: tuple[Any, ...]) -> list[Any]:
        def query() -> list[Any]:
            return self._reader.execute(sql, args).fetchall()

        try:
            return await self._loop.run_in_executor(self._reads, query)
        except (sqlite3.Error, RuntimeError) as exc:
            raise LogError(f"the event log could not be read: {exc}") from exc

    async def _call(self, write: Callable[[sqlite3.Connection], T]) -> T:
        result: T = await self._submit(CallJob(write))
        return result

    async def _submit(self, job: Job) -> Any:
        self._check_open()
        future = self._loop.create_future()
        self._futures[job] = future
        self._writer.submit(job)
        return await future

    def _check_open(self) -> None:
        if self._closed:
            raise LogError("the event log is closed")

    def _on_finished(self, jobs: list[Job]) -> None:
        self._loop.call_soon_threadsafe(self._settle, jobs)

    def _settle(self, jobs: list[Job]) -> None:
        for job in jobs:
            if isinstance(job, AppendJob):
                self._waiting -= len(job.events)
                if job.error is None:
                    self._remember(job.records)
            future = self._futures.pop(job)
            if future.cancelled():
                continue
            if job.error is not None:
                future.set_exception(job.error)
            else:
                future.set_result(job.result)
        for wake in self._event_wakes:
            wake()

    def _remember(self, records: list[EventRecord]) -> None:
        if not records:
            return
        self._tail.extend(records)
        self._last = records[-1].offset
        if len(self._tail) > _TAIL_MAX:
            del self._tail[: len(self._tail) - _TAIL_MAX // 2]


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA secure_delete=ON")
    connection.executescript(SCHEMA)
    return connection


def _record(
    offset: int,
    tenant: str,
    user_id: str,
    event_id: str,
    fingerprint: str,
    accepted_at: float,
    body: str,
) -> EventRecord:
    event = decode_event(tenant, user_id, event_id, fingerprint, body)
    return EventRecord(offset, accepted_at, event)


def _letter(letter: int, offset: int, tenant: str, body: str, reason: str, at: float) -> DeadLetter:
    return DeadLetter(str(letter), {0: offset}, tenant, orjson.loads(body), reason, at)


def _last(connection: sqlite3.Connection, table: str) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name=?", (table,)).fetchone()
    return int(row[0]) if row else 0
