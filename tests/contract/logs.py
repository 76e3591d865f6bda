"""The backends of the event log, opened the same way, and events to append."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from valkey_server import ValkeyServer

from indexer.domain.events import ERASE, Event
from indexer.domain.items import Item
from indexer.domain.position import Position, partition_of
from indexer.ports import Channel, EventLog, EventRecord, ItemRecord
from indexer.streams.redis.log import RedisLog
from indexer.streams.sqlite.log import SqliteLog

STANDINS = Path(__file__).parent.parent / "standins"
NEVER_S = 30.0
"""No call takes this long: one that does hangs, and fails its test instead of the suite."""

PARTITIONS = 3
KEEP_S = 3_600.0


class OtherProcess:
    """Another process with the same log."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def append(self, event_id: str) -> Position:
        """Append one event there; return its place."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{event_id}\n".encode())
        answer = json.loads(await self._process.stdout.readline())
        return {int(partition): offset for partition, offset in answer.items()}

    async def kill(self) -> None:
        """End it where it stands."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()


class Logs(Protocol):
    """One place that holds a log."""

    async def open(self, *, queue_max: int = 10_000) -> EventLog:
        """Open the log, again if it is open; it is closed at the end of the test."""
        ...

    def other_process(self, user_id: str) -> AbstractAsyncContextManager[OtherProcess]:
        """Start another process that appends events of ``user_id``."""
        ...

    async def close(self) -> None:
        """Close what was opened."""
        ...


class SqliteLogs:
    """Logs in one SQLite file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "log"
        self._folder.mkdir()
        self._path = self._folder / "events.sqlite"
        self._opened = AsyncExitStack()

    async def open(self, *, queue_max: int = 10_000) -> SqliteLog:
        log = await SqliteLog.open(self._path, queue_max=queue_max)
        self._opened.push_async_callback(log.close)
        return log

    def other_process(self, user_id: str) -> AbstractAsyncContextManager[OtherProcess]:
        arguments = {"path": str(self._path), "queue_max": 1_000}
        return writing("indexer.streams.sqlite.log:SqliteLog", arguments, user_id)

    def held_bytes(self) -> bytes:
        """Return all bytes that the log keeps."""
        return b"".join(path.read_bytes() for path in sorted(self._folder.iterdir()))

    async def close(self) -> None:
        await self._opened.aclose()


class RedisLogs:
    """Logs in Redis Streams, on a server of their own."""

    def __init__(self, folder: Path) -> None:
        self.server = ValkeyServer(folder / "redis").start()
        self._opened = AsyncExitStack()

    @property
    def arguments(self) -> dict[str, Any]:
        """What the log is opened with, but for the bound of its queue."""
        return {
            "url": self.server.url,
            "name": "log",
            "partitions": PARTITIONS,
            "keep_s": KEEP_S,
        }

    async def open(self, *, queue_max: int = 10_000, **changed: Any) -> RedisLog:
        log = await RedisLog.open(**{**self.arguments, **changed}, queue_max=queue_max)
        self._opened.push_async_callback(log.close)
        return log

    def other_process(self, user_id: str) -> AbstractAsyncContextManager[OtherProcess]:
        arguments = {**self.arguments, "queue_max": 1_000}
        return writing("indexer.streams.redis.log:RedisLog", arguments, user_id)

    async def close(self) -> None:
        try:
            async with asyncio.timeout(NEVER_S):
                await self._opened.aclose()
        finally:
            self.server.kill()


@asynccontextmanager
async def writing(
    opener: str, arguments: dict[str, Any], user_id: str
) -> AsyncIterator[OtherProcess]:
    """Start a process that opens a log (log_writer.py) and appends events of a user to it."""
    command = [sys.executable, str(STANDINS / "log_writer.py"), opener, json.dumps(arguments)]
    pipe = asyncio.subprocess.PIPE
    other = OtherProcess(
        await asyncio.create_subprocess_exec(*command, user_id, stdin=pipe, stdout=pipe)
    )
    try:
        yield other
    finally:
        await other.kill()


def view(event_id: str, user_id: str = "u1", tenant: str = "default", **fields: Any) -> Event:
    """Make an event; the same arguments make the same one."""
    body = {"event_type": "view", "timestamp": 1_700_000_000.25, "item_id": "i1", **fields}
    fingerprint = repr(sorted(body.items()))
    return Event(tenant, user_id, event_id, fingerprint=fingerprint, **body)


def change(item_id: str, tenant: str = "default", **features: Any) -> ItemRecord:
    """Make the change of an item to ``features``."""
    return ItemRecord(0, tenant, item_id, Item(tenant, item_id, features))


def deletion(item_id: str, tenant: str = "default") -> ItemRecord:
    """Make the deletion of an item."""
    return ItemRecord(0, tenant, item_id, None)


async def read_all(log: EventLog, page: int = 500) -> list[EventRecord]:
    """Read a log page by page from its start, one partition after another."""
    records: list[EventRecord] = []
    for partition in range(log.partitions):
        after = 0
        while found := await log.read(partition, after, page):
            assert len(found) <= page
            assert {record.partition for record in found} == {partition}
            records += found
            after = found[-1].offset
    return records


async def read_all_items(log: EventLog, page: int = 500) -> list[ItemRecord]:
    """Read all items page by page, one partition after another."""
    records: list[ItemRecord] = []
    for partition in range(log.partitions):
        after = 0
        while found := await log.read_items(partition, after, page):
            assert {record.partition for record in found} == {partition}
            records += found
            after = found[-1].offset
    return records


async def newest(log: EventLog, channel: Channel = "events") -> int:
    """Return the newest offset of the partition of user ``u1``, or of item ``i1``."""
    name = "u1" if channel == "events" else "i1"
    return (await log.ends(channel))[partition_of("default", name, log.partitions)]


def home(log: EventLog, name: str = "u1", tenant: str = "default") -> int:
    """Return the partition of a user or an item."""
    return partition_of(tenant, name, log.partitions)


def neighbours(log: EventLog, name: str, count: int) -> list[str]:
    """Return names like ``name`` that share one partition, ``name`` the first."""
    candidates = (f"{name}-{n}" for n in range(1_000))
    here = [other for other in candidates if home(log, other) == home(log, name)]
    return [name, *here[: count - 1]]


def ids(records: Iterable[EventRecord]) -> list[str]:
    """Return the event ids, in order; of marks that a user is erased, none."""
    return [r.event.event_id for r in records if r.event.event_type != ERASE]


def place(records: Sequence[EventRecord | ItemRecord]) -> tuple[int, int]:
    """Return partition and offset of the last record."""
    return records[-1].partition, records[-1].offset
