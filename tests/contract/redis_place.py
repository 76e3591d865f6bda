"""A real Redis-compatible server of the tests' own, to be hung, ended and brought back."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from redis.asyncio import Redis
from valkey_server import ValkeyServer

PATIENCE_S = 10.0
_LOOK_EVERY_S = 0.005
_STOP_S = 2.0


class Background(Protocol):
    """What works in the background until cancelled."""

    async def run(self) -> None: ...

    async def close(self) -> None: ...


class RedisPlace:
    """One server on a port that it keeps; what it holds is lost with it."""

    def __init__(self, folder: Path) -> None:
        self._server = ValkeyServer(folder, appendonly="no").start()
        self.url = self._server.url
        self.port = int(self.url.rpartition(":")[2].partition("/")[0])
        self._runs = True
        self.hang = self._server.pause

    async def ask(self, *command: str | bytes | int) -> Any:
        """Send one command over a connection of its own."""
        async with Redis.from_url(self.url, protocol=2) as client:
            return await client.execute_command(*command)

    async def calls(self, command: str) -> int:
        """Count how often a command was sent."""
        stats = await self.ask("INFO", "commandstats")
        return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])

    async def listeners(self, channel: str) -> int:
        """Count who listens to a channel."""
        _, count = await self.ask("PUBSUB", "NUMSUB", channel)
        return int(count)

    async def alone(self) -> bool:
        """Whether nobody else is connected."""
        return await self.others_connected() == 0

    async def others_connected(self) -> int:
        """Count the connections beside the one that asks."""
        clients = (await self.ask("INFO", "clients"))["connected_clients"]
        return int(clients) - 1

    def end(self) -> None:
        """End the server where it stands."""
        self._server.kill()
        self._runs = False

    def begin_again(self) -> None:
        """Have the server go on, or run again, then empty."""
        if self._runs:
            self._server.resume()
        else:
            self._server.start()
            self._runs = True


@contextmanager
def started(folder: Path) -> Iterator[RedisPlace]:
    """Start a server, and end it."""
    place = RedisPlace(folder)
    try:
        yield place
    finally:
        place.end()


@asynccontextmanager
async def running(*parts: Background) -> AsyncIterator[None]:
    """Have parts work in the background; then stop and close them, which must not take long."""
    async with AsyncExitStack() as closing:
        for part in parts:
            closing.push_async_callback(_stop, part, asyncio.ensure_future(part.run()))
        yield


async def _stop(part: Background, task: asyncio.Task[None]) -> None:
    died = task.done()
    task.cancel()
    await asyncio.wait([task], timeout=_STOP_S)
    assert task.done(), "it did not stop"
    async with asyncio.timeout(_STOP_S):
        await part.close()
    assert not died
    assert task.cancelled()


async def steps(count: int) -> None:
    """Let the event loop go round so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> None:
    """Wait until a condition, which may be awaited, holds."""
    deadline = time.monotonic() + patience_s
    while True:
        found = condition()
        if await found if asyncio.iscoroutine(found) else found:
            return
        assert time.monotonic() < deadline, f"not in {patience_s} s"
        await asyncio.sleep(_LOOK_EVERY_S)


@contextmanager
def unpaused() -> Iterator[None]:
    """Keep the interpreter from collecting garbage, which pauses it, while times are taken."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
