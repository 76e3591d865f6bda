"""How much is asked of a provider at once and in a minute, less while it says "too many"."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from indexer.errors import ProviderUnavailable

__all__ = ["Concurrency", "Rate"]

_BURST_S: Final = 10.0
_SLOWER, _SLOWEST, _RECOVERY_S = 0.5, 0.1, 60.0
_ONCE_S: Final = 1.0
_HELD_MAX_S: Final = 3_600.0


class Concurrency:
    """At most ``most`` calls under way; halved on "too many", one more for each round without.

    Additive increase, multiplicative decrease (Chiu and Jain, 1989).
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._halved_at = -_ONCE_S
        self.limit = float(most)
        self.busy = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one of the places for the length of the block."""
        while self.busy >= int(self.limit):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake()  # it was this one's turn: let another have it
                raise
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1
            self._wake()

    def slow_down(self) -> None:
        """Halve the limit, at most once a second: one burst of refusals is one message."""
        now = self._clock()
        if now - self._halved_at >= _ONCE_S:
            self._halved_at = now
            self.limit = max(1.0, self.limit / 2.0)

    def speed_up(self) -> None:
        """Raise the limit a little, after a success."""
        self.limit = min(float(self._most), self.limit + 1.0 / self.limit)
        self._wake()

    def _wake(self) -> None:
        free = int(self.limit) - self.busy
        while free > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1


class Rate:
    """Requests and tokens a minute, either unlimited where None.

    Each call books its share ahead (generic cell rate algorithm) and waits for its time; what
    was not used in the last ten seconds may be used at once. After "too many" the rates are
    halved, and come back within a minute.
    """

    def __init__(
        self,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_s = [
            limit / 60.0 if limit else None for limit in (requests_per_minute, tokens_per_minute)
        ]
        self._clock = clock
        self._booked = [clock() - _BURST_S] * 2
        self._factor, self._factor_at = 1.0, clock()
        self._held_until = 0.0

    @property
    def factor(self) -> float:
        """The part of the configured rates that is used at present, 0.1 to 1."""
        risen = (self._clock() - self._factor_at) / _RECOVERY_S
        return min(1.0, self._factor + risen)

    async def wait(self, tokens: int, until: float) -> None:
        """Wait for the time of a call of ``tokens``.

        Raises:
            ProviderUnavailable: it would come after ``until`` (of the clock); nothing is booked.
        """
        now, factor = self._clock(), self.factor
        start = max(now, self._held_until)
        booked = list(self._booked)
        for place, amount in enumerate((1, tokens)):
            per_s = self._per_s[place]
            if per_s is not None:
                share_s = amount / (per_s * factor)
                free_at = max(booked[place], now - _BURST_S)
                # What is larger than a burst begins with a full one; the calls after it pay.
                start = max(start, free_at + min(share_s, _BURST_S))
                booked[place] = free_at + share_s
        _check_room(start, now, until)
        self._booked = booked
        while start > now:
            await asyncio.sleep(start - now)
            start, now = max(start, self._held_until), self._clock()
            _check_room(start, now, until)

    def slow_down(self, wait_s: float | None) -> None:
        """Halve the rates, and start nothing for ``wait_s``."""
        if wait_s is not None:
            self._held_until = max(self._held_until, self._clock() + min(wait_s, _HELD_MAX_S))
        if self._clock() - self._factor_at >= _ONCE_S or self._factor == 1.0:
            self._factor = max(_SLOWEST, self.factor * _SLOWER)
            self._factor_at = self._clock()


def _check_room(start: float, now: float, until: float) -> None:
    if start > until:
        raise ProviderUnavailable(
            f"the rate limit leaves no room for {start - now:.1f} s",
            fault="rate_limit",
            again=False,
        )
