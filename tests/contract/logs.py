"""The backends of the event log, opened the same way, and events to append."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from indexer.domain.events import Event
from indexer.domain.items import Item
from indexer.ports import EventLog, EventRecord, ItemRecord
from indexer.streams.sqlite import SqliteLog

WRITER = Path(__file__).parent.parent / "standins" / "log_writer.py"


class OtherProcess:
    """Another process with the same log."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def append(self, event_id: str) -> int:
        """Append one event there; return its offset."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{event_id}\n".encode())
        return int(await self._process.stdout.readline())

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

    def other_process(self, user_id: str) -> Any:
        """Start another process that appends events of ``user_id``."""
        ...

    def held_bytes(self) -> bytes:
        """Return all bytes that the log keeps."""
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

    async def open(self, *, queue_max: int = 10_000) -> EventLog:
        log = await SqliteLog.open(self._path, queue_max=queue_max)
        self._opened.push_async_callback(log.close)
        return log

    @asynccontextmanager
    async def other_process(self, user_id: str) -> AsyncIterator[OtherProcess]:
        command = [sys.executable, str(WRITER), str(self._path), user_id]
        pipe = asyncio.subprocess.PIPE
        other = OtherProcess(
            await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        )
        try:
            yield other
        finally:
            await other.kill()

    def held_bytes(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted(self._folder.iterdir()))

    async def close(self) -> None:
        await self._opened.aclose()


BACKENDS: dict[str, Callable[[Path], Logs]] = {"sqlite": SqliteLogs}


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
    """Read a log page by page from its start."""
    records: list[EventRecord] = []
    while found := await log.read(records[-1].offset if records else 0, page):
        assert len(found) <= page
        records += found
    return records


async def read_all_items(log: EventLog, page: int = 500) -> list[ItemRecord]:
    """Read all items page by page."""
    records: list[ItemRecord] = []
    while found := await log.read_items(records[-1].offset if records else 0, page):
        records += found
    return records


def ids(records: list[EventRecord]) -> list[str]:
    """Return the event ids, in order."""
    return [record.event.event_id for record in records]
