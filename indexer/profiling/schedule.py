"""Who is due for what, when, and in which order. Pure but for the clock it is given."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from typing import Final

from indexer.stores.users import UserKey

__all__ = ["Schedule"]

_DUE_MAX: Final = 100_000
_ACTIVE_MAX, _ACTIVE_S = 100_000, 300.0


class Schedule:
    """Users by the time at which they are due; of those that are, active ones first.

    A user is in it at most once, and is not given out again while being worked on: what comes
    meanwhile is remembered as one more time. Beyond 100,000 users, others are not taken in; the
    next event brings them back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due: dict[UserKey, float] = {}
        self._later: list[tuple[float, int, UserKey]] = []
        self._ready: list[tuple[int, float, int, UserKey]] = []
        self._busy: dict[UserKey, float | None] = {}
        self._active: dict[UserKey, float] = {}
        self._connected: set[UserKey] = set()
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._due)

    def add(self, key: UserKey, at: float) -> bool:
        """Have a user given out from ``at`` on, or earlier if that was planned; False when full."""
        if key in self._busy:
            planned = self._busy[key]
            self._busy[key] = at if planned is None else min(planned, at)
            return True
        planned = self._due.get(key)
        if planned is None and len(self._due) >= _DUE_MAX:
            return False
        if planned is None or at < planned:
            self._due[key] = at
            heapq.heappush(self._later, (at, next(self._order), key))
        return True

    def drop(self, key: UserKey) -> None:
        """Forget a user, also what was planned for the time after the work under way."""
        self._due.pop(key, None)
        if key in self._busy:
            self._busy[key] = None

    def touch(self, key: UserKey) -> None:
        """Note that a user is looking: goes before those who are not, for five minutes."""
        if len(self._active) >= _ACTIVE_MAX:
            self._active.clear()
        self._active[key] = self._clock()

    def connect(self, key: UserKey, connected: bool) -> None:
        """Note that a user is connected: goes before all who are not."""
        (self._connected.add if connected else self._connected.discard)(key)

    def take(self) -> UserKey | None:
        """Give out the first of those who are due, or None; `done` must follow."""
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            at, order, key = heapq.heappop(self._later)
            if self._due.get(key) == at:
                heapq.heappush(self._ready, (self._rank(key), at, order, key))
        while self._ready:
            _, at, _, key = heapq.heappop(self._ready)
            if self._due.get(key) == at:
                del self._due[key]
                self._busy[key] = None
                return key
        return None

    def done(self, key: UserKey) -> None:
        """Take note that the work for a user is over."""
        at = self._busy.pop(key, None)
        if at is not None:
            self.add(key, at)

    def wait_s(self) -> float | None:
        """Return the seconds until someone is due, or None where nobody is planned."""
        if self._ready:
            return 0.0
        return max(0.0, self._later[0][0] - self._clock()) if self._later else None

    def _rank(self, key: UserKey) -> int:
        if key in self._connected:
            return 0
        return 1 if self._clock() - self._active.get(key, -math.inf) < _ACTIVE_S else 2
