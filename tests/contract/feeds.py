"""The feeds of all logs, followed the same way, by workers that note what they read."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from feed_reader import Store
from logs import NEVER_S, STANDINS, Logs, RedisLogs, SqliteLogs
from redis.asyncio import Redis

from indexer.changes.memory import MemoryChanges
from indexer.domain.events import DEFAULT_WEIGHTS
from indexer.domain.position import Position, position_of
from indexer.errors import LogError
from indexer.ports import CHANNELS, Change, Changes, Channel, EventFailed, EventLog, Feed, Owner
from indexer.streams.redis.feed import RedisFeed
from indexer.streams.redis.lanes import HELD_MAX
from indexer.streams.sqlite.feed import SqliteFeed

TAKEOVER_S = 6.0
"""How long another worker may take, beyond the session of one that was killed."""

_LOOK_EVERY_S = 0.01


class Feeds(Logs, Protocol):
    """A place that holds a log, and can follow it."""

    def follow(self, log: Any, owner: Owner, changes: Changes | None = None) -> Feed:
        """Make a feed of a log that was opened here."""
        ...


class SharedFeeds(Feeds, Protocol):
    """One whose log several workers follow.

    ``session_s``: after which a worker that is not heard of loses its partitions. ``held_max``:
    records of a channel that a feed holds at the most.
    """

    session_s: float
    held_max: int

    async def put(self, partition: int, body: bytes) -> None:
        """Append to the events of a partition, as a program of somebody else does."""
        ...

    def other_follower(self, store: Store) -> AbstractAsyncContextManager[OtherFollower]:
        """Start another process that follows the log."""
        ...

    def outage(self) -> AbstractAsyncContextManager[None]:
        """Have the server be away for the length of the block; it loses nothing."""
        ...


class SqliteFeeds(SqliteLogs):
    """Following the log in a SQLite file."""

    def follow(self, log: Any, owner: Owner, changes: Changes | None = None) -> Feed:
        return SqliteFeed(log, owner)


class RedisFeeds(RedisLogs):
    """Following a log in Redis Streams."""

    session_s = 2.0
    held_max = HELD_MAX

    def follow(self, log: Any, owner: Owner, changes: Changes | None = None) -> RedisFeed:
        return RedisFeed(
            log, owner, session_s=self.session_s, weights=DEFAULT_WEIGHTS, changes=changes
        )

    async def put(self, partition: int, body: bytes) -> None:
        async with Redis.from_url(self.server.url, protocol=2) as client:
            await client.xadd(f"{{log:{partition}}}:events", {"event": body})

    def other_follower(self, store: Store) -> AbstractAsyncContextManager[OtherFollower]:
        log = {**self.arguments, "queue_max": 1_000}
        return following(
            ("indexer.streams.redis.log:RedisLog", log),
            ("indexer.streams.redis.feed:RedisFeed", {"session_s": self.session_s}),
            store,
        )

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        self.server.kill()
        yield
        self.server.start()


class Worker:
    """An `Owner` and its feed. It reads and applies by itself once it was started to.

    ``seen``: the records that it applied, by channel. ``taken``, ``released``: what it was told.
    ``beside``: workers who must not own what this one takes. ``failures``: the events that its
    feed told of as none.
    """

    def __init__(self, feeds: Feeds, log: EventLog, store: Store) -> None:
        self.failures: list[EventFailed] = []
        changes = MemoryChanges()
        changes.subscribe(self._note)
        self.feed = feeds.follow(log, self, changes)
        self._store = store
        self.seen: dict[Channel, list[Any]] = {channel: [] for channel in CHANNELS}
        self.taken: list[frozenset[int]] = []
        self.released: list[frozenset[int]] = []
        self.beside: list[Worker] = []
        self._wakes = {channel: asyncio.Event() for channel in CHANNELS}
        self._tasks: list[asyncio.Task[None]] = []
        for channel, wake in self._wakes.items():
            self.feed.on_records(channel, wake.set)

    async def take(self, partitions: frozenset[int]) -> Mapping[Channel, Position]:
        """See `Owner.take`; the feed owns nothing new before this returns."""
        assert not any(partitions & worker.feed.owned for worker in (self, *self.beside))
        self.taken.append(partitions)
        return self._store.of(partitions)

    async def release(self, partitions: frozenset[int]) -> None:
        """See `Owner.release`."""
        self.released.append(partitions)

    async def __aenter__(self) -> Worker:
        """Follow the log; apply nothing."""
        self._tasks.append(asyncio.create_task(self.feed.run()))
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Stop in good order."""
        for task in self._tasks:
            task.cancel()
        _, left = await asyncio.wait(self._tasks, timeout=NEVER_S)
        assert not left
        assert all(task.cancelled() for task in self._tasks), [
            t.exception() for t in self._tasks if not t.cancelled()
        ]
        await self.feed.close()

    def work(self) -> Worker:
        """Read, apply and commit by itself from now on."""
        for channel in CHANNELS:
            self._tasks.append(asyncio.create_task(self._work(channel)))
        return self

    async def apply(self, channel: Channel, limit: int = 1_000) -> list[Any]:
        """Read and apply records; return them."""
        records = await self.feed.read(channel, limit)
        if not records:
            return []
        assert {record.partition for record in records} <= self.feed.owned
        position = position_of((record.partition, record.offset) for record in records)
        self._store.apply(channel, position)
        self.feed.applied(channel, position)
        self.seen[channel] += records
        return records

    def _note(self, change: Change) -> None:
        assert isinstance(change, EventFailed)
        self.failures.append(change)

    async def _work(self, channel: Channel) -> None:
        while True:
            self._wakes[channel].clear()
            while await self.apply(channel, 100):
                with suppress(LogError):  # it is away; a later commit tells the same
                    await self.feed.commit()
            await self._wakes[channel].wait()


class OtherFollower:
    """Another process that follows the log (feed_reader.py)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.owned: list[int] = []
        self.read: list[str] = []
        self._listening = asyncio.create_task(self._listen())

    def tell(self, command: str) -> None:
        """Have it do something, as soon as it runs."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())

    def pause(self) -> None:
        """Have it stand still."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on."""
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """End it where it stands."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._listening

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            self.owned, self.read = told["owned"], told["read"]


@asynccontextmanager
async def following(
    log: tuple[str, dict[str, Any]], feed: tuple[str, dict[str, Any]], store: Store
) -> AsyncIterator[OtherFollower]:
    """Start a process that follows a log; each is told as class and arguments."""
    told = [part for name, arguments in (log, feed) for part in (name, json.dumps(arguments))]
    command = [sys.executable, str(STANDINS / "feed_reader.py"), *told, str(store.path)]
    pipe = asyncio.subprocess.PIPE
    async with AsyncExitStack() as ending:
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        other = OtherFollower(process)
        ending.push_async_callback(other.kill)
        yield other


async def until(condition: Callable[[], Any], patience_s: float = NEVER_S) -> float:
    """Wait until a condition, which may be awaited, holds; return the seconds it took."""
    began = time.monotonic()
    while True:
        found = condition()
        if await found if isinstance(found, Awaitable) else found:
            return time.monotonic() - began
        assert time.monotonic() - began < patience_s, f"not within {patience_s} s"
        await asyncio.sleep(_LOOK_EVERY_S)


def everything(log: EventLog) -> frozenset[int]:
    """Return all partitions."""
    return frozenset(range(log.partitions))


def store_in(folder: Path) -> Store:
    """Make a store with nothing in it."""
    return Store(folder / "applied.json")
