"""Keeps what was made of a tenant's catalogue until the catalogue is another."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from cachetools import LRUCache

from indexer.errors import unforeseen
from indexer.telemetry import Telemetry

__all__ = ["PerTenant"]

_log = logging.getLogger(__name__)

_TENANTS_MAX: Final = 16
_STALE: Final = 10
"""How many times ``least_s`` old what is given may be while another is made."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Made(Generic[T]):
    """What was made, of which version of the catalogue, and when that was begun."""

    version: str
    at: float
    what: T


@dataclass(slots=True)
class _Kept(Generic[T]):
    """What there is of a tenant. ``making``: the task that makes the next one."""

    made: _Made[T] | None = None
    making: asyncio.Task[_Made[T]] | None = None


class PerTenant(Generic[T]):
    """What ``make`` makes, of the 16 tenants that asked last.

    It is made again where the catalogue's ``version`` is another, but not more often than each
    ``least_s``, as a catalogue that is being loaded changes all the time. Meanwhile the one before
    is given, so that only who comes first, or after a long while, waits.
    """

    def __init__(
        self,
        make: Callable[[str], Awaitable[T]],
        version: Callable[[], str],
        least_s: float,
        telemetry: Telemetry,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make, self._version, self._clock = make, version, clock
        self._least_s, self._telemetry = least_s, telemetry
        self._kept: LRUCache[str, _Kept[T]] = LRUCache(_TENANTS_MAX)
        self._tasks: set[asyncio.Task[_Made[T]]] = set()

    async def of(self, tenant: str) -> T:
        """Return what was made of a tenant's catalogue; who comes at the same time shares it.

        Raises what ``make`` raises, to who waits for it.
        """
        kept = self._kept.get(tenant)
        if kept is None:
            kept = self._kept[tenant] = _Kept()
        made = kept.made
        if made is not None and (made.version == self._version() or self._age(made) < 1):
            return made.what
        making = self._making(tenant, kept)
        if made is None or self._age(made) >= _STALE:
            made = await asyncio.shield(making)
        return made.what

    async def close(self) -> None:
        """End what is being made."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _age(self, made: _Made[T]) -> float:
        """Return for how many times ``least_s`` it has been there."""
        return (self._clock() - made.at) / self._least_s

    def _making(self, tenant: str, kept: _Kept[T]) -> asyncio.Task[_Made[T]]:
        if kept.making is None:
            kept.making = asyncio.create_task(self._next(tenant, kept), name="explore")
            self._tasks.add(kept.making)
            kept.making.add_done_callback(self._ended)
        return kept.making

    async def _next(self, tenant: str, kept: _Kept[T]) -> _Made[T]:
        version, now = self._version(), self._clock()
        try:
            kept.made = _Made(version, now, await self._make(tenant))
            return kept.made
        finally:
            kept.making = None

    def _ended(self, task: asyncio.Task[_Made[T]]) -> None:
        self._tasks.discard(task)
        exc = None if task.cancelled() else task.exception()
        if isinstance(exc, Exception):
            self._telemetry.count("failures", "explore")
            _log.warning("the catalogue was not looked at: %s", exc, exc_info=unforeseen(exc))
