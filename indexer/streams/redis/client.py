"""The server of a log in Redis Streams (Redis from 6.2, Valkey): its keys, and how it is asked.

A command is sent once and waited for a few seconds; whatever goes wrong becomes `LogError`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from indexer.errors import LogError, RecsvcError, SchemaMismatch
from indexer.ports import Channel

__all__ = [
    "BLOCK_S",
    "Arg",
    "Command",
    "Keys",
    "Outage",
    "Server",
    "evaluate",
]

_log = logging.getLogger(__name__)

Arg = str | bytes | int
Command = Sequence[Arg]

BLOCK_S: Final = 1.0
"""How long a reader waits at the server for new entries, in seconds; then it asks again."""

_ANSWER_S: Final = 2.0
"""How long a reply, a connection or a free one of the pool is waited for, in seconds."""

_CONNECTIONS_MAX: Final = 32
_READERS_MAX: Final = 4
_REASON_MAX: Final = 300
_RETRY_S: Final = 0.5


class Keys:
    """What the keys of a log are called; those of a partition share a hash tag."""

    def __init__(self, name: str) -> None:
        self.group = name
        self.meta, self.workers = f"{name}:meta", f"{name}:workers"
        self.letters = f"{name}:dead-letters"

    def prefix(self, partition: int) -> str:
        """Return what the keys of a partition begin with."""
        return f"{{{self.group}:{partition}}}"

    def stream(self, channel: Channel, partition: int) -> str:
        """Return the key of a stream."""
        return f"{self.prefix(partition)}:{channel}"

    def owner(self, partition: int) -> str:
        """Return the key of the lease on a partition."""
        return f"{self.prefix(partition)}:owner"

    def committed(self, partition: int) -> str:
        """Return the key of what is committed of a partition: entry ids by channel."""
        return f"{self.prefix(partition)}:committed"

    def totals(self, partition: int) -> str:
        """Return the key of what is held in a partition: counts by kind and tenant."""
        return f"{self.prefix(partition)}:totals"


class Server:
    """One server, with connections for commands and others for readers that wait."""

    def __init__(self, url: str) -> None:
        self._commands = _client(url, _ANSWER_S, _CONNECTIONS_MAX)
        self._readers = _client(url, BLOCK_S + _ANSWER_S, _READERS_MAX)
        self._closed = False
        place = self._commands.connection_pool.connection_kwargs
        self.name = f"Redis at {place.get('host')}:{place.get('port', 6379)}"

    async def ask(self, *command: Arg) -> Any:
        """Send one command; return its reply."""
        async with self._ours():
            return await self._commands.execute_command(*command)  # type: ignore[no-untyped-call]

    async def ask_all(self, commands: Iterable[Command], *, whole: bool = False) -> list[Any]:
        """Send commands at once, ``whole``: as one transaction; return their replies in order.

        Raises:
            LogError: one or more failed; others may have been done.
        """
        async with self._ours():
            async with self._commands.pipeline(transaction=whole) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                replies: list[Any] = await pipeline.execute(raise_on_error=False)
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
        return replies

    async def wait(self, after: Mapping[str, str], count: int) -> dict[str, list[Any]]:
        """Return what comes after an entry id of each stream, up to ``count`` of each.

        Waits `BLOCK_S` for it; what has nothing new is left out.
        """
        block_ms = int(1_000 * BLOCK_S)
        command = ("XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS", *after, *after.values())
        async with self._ours():
            reply = await self._readers.execute_command(*command)  # type: ignore[no-untyped-call]
        return {stream.decode(): found for stream, found in reply or ()}

    async def close(self) -> None:
        """Close all connections; calls after this raise LogError."""
        if self._closed:
            return
        try:
            async with self._ours():
                await self._commands.aclose()
                await self._readers.aclose()
        finally:
            self._closed = True

    @asynccontextmanager
    async def _ours(self) -> AsyncIterator[None]:
        """Make LogError of whatever the client raises: beside its own, errors of sockets and TLS,
        and those of its parser where the server is none.

        The client sends under `asyncio.wait_for`, which before Python 3.12 may swallow that its
        task is cancelled (https://github.com/python/cpython/issues/86296): it is raised here then.
        """
        if self._closed:
            raise LogError("the event log is closed")
        if _cancellations():
            await asyncio.sleep(0)  # where it is on its way, it arrives
        before = _cancellations()
        try:
            yield
        except Exception as exc:
            if _cancellations() > before:
                raise asyncio.CancelledError from exc
            reason = (str(exc) or type(exc).__name__)[:_REASON_MAX]
            raise LogError(f"{self.name}: {reason}") from exc
        if _cancellations() > before:
            raise asyncio.CancelledError


class Outage:
    """What is done again and again fails: told once, and once when all of it works again."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._failing: set[object] = set()

    async def repeat(self, turn: Callable[[], Awaitable[None]]) -> None:
        """Have ``turn`` run until cancelled, after a pause where it has failed.

        Raises:
            SchemaMismatch: doing it again would not help.
        """
        while True:
            try:
                await turn()
            except SchemaMismatch:
                raise
            except RecsvcError as exc:
                if not self._failing:
                    _log.warning("%s is interrupted: %s", self._what, exc)
                self._failing.add(turn)
                await asyncio.sleep(_RETRY_S)
            else:
                self._well(turn)

    def _well(self, turn: object) -> None:
        if self._failing:
            self._failing.discard(turn)
            if not self._failing:
                _log.info("%s goes on", self._what)


def evaluate(script: str, key: str, *args: Arg) -> Command:
    """Return the command that runs a script; ``key`` is one that it works on.

    The script is sent each time: it is short beside what it works on, and a server that was
    restarted, or another that took over, needs nothing loaded first.
    """
    return ("EVAL", script, 1, key, *args)


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _client(url: str, timeout_s: float, connections_max: int) -> Redis:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections_max,
        timeout=_ANSWER_S,
        protocol=2,
        socket_timeout=timeout_s,
        socket_connect_timeout=_ANSWER_S,
        retry=Retry(NoBackoff(), 0),
    )
    client = Redis.from_pool(pool)
    for command in ("XREAD", "XRANGE", "XREVRANGE"):  # as scripts return them, too
        client.set_response_callback(command, _as_it_is)  # type: ignore[arg-type]
    return client


def _as_it_is(reply: Any, **_options: Any) -> Any:
    return reply
