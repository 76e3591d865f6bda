"""A Redis server that may hang or go away: asked for a quarter of a second, never twice.

What notices and the shared cache have in common; both are better lost than waited for.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from indexer.errors import ChangesError
from indexer.telemetry import Telemetry

__all__ = ["ANSWER_S", "Link", "stop_if_cancelled"]

_log = logging.getLogger(__name__)

ANSWER_S: Final = 0.25
"""How long a reply, a connection or the end of one is waited for, in seconds."""

_CONNECTIONS_MAX: Final = 8
_PAUSE_LEAST_S, _PAUSE_MOST_S = 0.1, 2.0
_STEADY_S: Final = 2.0
"""An outage is over once a session has lasted this long: until then, its end is no news."""


class Link:
    """A client of one server, and what to do while that is away.

    ``where``: what failures are counted under. ``loss``: what an outage means, to be logged.
    """

    def __init__(self, url: str, telemetry: Telemetry, *, where: str, loss: str) -> None:
        self._telemetry, self._where, self._loss = telemetry, where, loss
        self.client: Redis = Redis.from_url(
            url,
            protocol=2,
            socket_timeout=ANSWER_S,
            socket_connect_timeout=ANSWER_S,
            retry=Retry(NoBackoff(), 0),
            max_connections=_CONNECTIONS_MAX,
        )
        place = self.client.connection_pool.connection_kwargs
        self.db: int = place.get("db", 0)
        self.name = f"Redis at {place.get('host')}:{place.get('port', 6379)}/{self.db}"

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Make ChangesError of whatever the client raises within the block.

        Beside its own errors it lets through those of sockets, TLS and names, and those of its
        parser where the server is none.
        """
        try:
            yield
        except Exception as exc:
            raise ChangesError(f"{self.name}: {str(exc) or type(exc).__name__}") from exc

    async def ping(self, within_s: float | None = None) -> None:
        """Raise ChangesError where the server does not answer, or not within a time."""
        with self.asking():
            async with asyncio.timeout(within_s):
                if not await self.client.ping():
                    raise ValueError("what answers there is no Redis")

    def failed(self, n: int = 1) -> None:
        """Count what was lost."""
        self._telemetry.count("failures", self._where, n=n)

    async def hold(self, session: Callable[[], Awaitable[None]]) -> None:
        """Have ``session`` run until this is cancelled, anew each time it ends in ChangesError.

        The pauses between grow; of an outage there is one warning.
        """
        pause_s, told = _PAUSE_LEAST_S, False
        while True:
            began = time.monotonic()
            try:
                await session()
            except* ChangesError as errors:
                if time.monotonic() - began > _STEADY_S:
                    pause_s, told = _PAUSE_LEAST_S, False
                self.failed()
                if not told:
                    _log.warning("%s: %s", errors.exceptions[0], self._loss)
                    told = True
            stop_if_cancelled()
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(_PAUSE_MOST_S, 2 * pause_s)

    async def close(self) -> None:
        """Close all connections; one that cannot be closed in time is dropped."""
        try:
            with self.asking():
                await self.client.aclose()
        except ChangesError as exc:
            _log.debug("closing: %s", exc)


def stop_if_cancelled() -> None:
    """Raise CancelledError where it was raised before, and lost on the way.

    The client sends under `asyncio.wait_for`, which may swallow it before Python 3.12, and so may
    a task group whose tasks fail at that moment: https://github.com/python/cpython/issues/86296
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
