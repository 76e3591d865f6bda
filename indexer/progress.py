"""How far a log has been folded, and waiting for it."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

from indexer.domain.position import Position

__all__ = ["Outcome", "Outcomes", "Progress"]

_WAITERS_MAX = 10_000


class Progress:
    """The applied offsets of one channel of a log, as far as this process knows."""

    def __init__(self) -> None:
        self._partitions: dict[int, _Partition] = {}

    @property
    def position(self) -> Position:
        """What is applied."""
        return {number: one.offset for number, one in self._partitions.items()}

    @property
    def awaited(self) -> list[int]:
        """The partitions that somebody waits for."""
        return [number for number, one in self._partitions.items() if one.awaited]

    def advance(self, position: Position) -> None:
        """Say that all up to ``position`` is applied."""
        for number, offset in position.items():
            self._of(number).advance(offset)

    def reaches(self, position: Position) -> bool:
        """Whether all up to ``position`` is applied."""
        known = self._partitions
        return all(
            offset <= (known[number].offset if number in known else 0)
            for number, offset in position.items()
        )

    async def wait(self, position: Position, timeout_s: float) -> bool:
        """Wait until all up to ``position`` is applied; False when it is not in time."""
        if self.reaches(position):
            return True
        try:
            async with asyncio.timeout(timeout_s):
                for number, offset in position.items():
                    await self._of(number).wait(offset)
        except TimeoutError:
            return False
        return True

    def _of(self, number: int) -> _Partition:
        return self._partitions.setdefault(number, _Partition())


class _Partition:
    def __init__(self) -> None:
        self.offset = 0
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    @property
    def awaited(self) -> bool:
        while self._waiters and self._waiters[0][2].done():
            heapq.heappop(self._waiters)
        return bool(self._waiters)

    def advance(self, offset: int) -> None:
        self.offset = max(self.offset, offset)
        while self._waiters and self._waiters[0][0] <= self.offset:
            _, _, future = heapq.heappop(self._waiters)
            if not future.done():
                future.set_result(None)

    async def wait(self, offset: int) -> None:
        if offset <= self.offset:
            return
        if len(self._waiters) >= _WAITERS_MAX:
            self._waiters = [waiter for waiter in self._waiters if not waiter[2].done()]
            heapq.heapify(self._waiters)
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters, (offset, next(self._order), future))
        await future


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one event. ``embedded``: its vector was made for it, after it came."""

    user_version: int
    embedded: bool = False
    error: str | None = None


_Key = tuple[str, str, str]


class Outcomes:
    """Hands the outcome of events, by (tenant, user id, event id), to who waits for them."""

    def __init__(self) -> None:
        self._expected: dict[_Key, list[asyncio.Future[Outcome]]] = {}

    def __bool__(self) -> bool:
        return bool(self._expected)

    def expect(self, key: _Key) -> asyncio.Future[Outcome]:
        """Return a future for an event that is about to be appended; give it to `forget` later."""
        future = asyncio.get_running_loop().create_future()
        self._expected.setdefault(key, []).append(future)
        return future

    def settle(self, key: _Key, outcome: Outcome) -> None:
        """Say what became of an event."""
        for future in self._expected.pop(key, ()):
            if not future.done():
                future.set_result(outcome)

    def forget(self, futures: Mapping[_Key, asyncio.Future[Outcome]]) -> None:
        """Stop waiting."""
        for key, future in futures.items():
            left = [one for one in self._expected.get(key, ()) if one is not future]
            if left:
                self._expected[key] = left
            else:
                self._expected.pop(key, None)
