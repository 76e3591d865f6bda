"""A circuit breaker: stops asking who does not answer, and looks now and then whether it does.

The libraries tried let any number of calls through once half open; here one probe is under way
at a time, and all breakers of a provider share the pace of one a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

from indexer.errors import ProviderUnavailable

__all__ = ["Breaker", "ProbePace"]

_THRESHOLD: Final = 5
_PROBE_S: Final = 1.0

State = Literal["closed", "open", "half-open"]


class ProbePace:
    """At most one probe in ``every_s`` seconds."""

    def __init__(
        self, every_s: float = _PROBE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock = clock
        self._every_s = every_s
        self._next = 0.0

    def due(self) -> bool:
        """Whether a probe may be sent now."""
        return self.clock() >= self._next

    def push(self) -> None:
        """Have no probe sent for that long."""
        self._next = self.clock() + self._every_s


class Breaker:
    """Open after five failures in a row, or when tripped; closed by the first success."""

    def __init__(self, pace: ProbePace) -> None:
        self._pace = pace
        self._failures = 0
        self._open = False
        self._probing = False
        self._not_before = 0.0
        self.reason = ""

    @property
    def state(self) -> State:
        """`closed`: calls go through; `open`: none does; `half-open`: a probe is under way."""
        if not self._open:
            return "closed"
        return "half-open" if self._probing else "open"

    @property
    def passable(self) -> bool:
        """Whether a call would go through now."""
        if not self._open:
            return True
        return not self._probing and self._pace.due() and self._pace.clock() >= self._not_before

    @contextmanager
    def call(self, *, anyway: bool = False) -> Iterator[bool]:
        """Let one call through; report it with `succeed` or `fail` inside the block.

        Gives whether the call is a probe.

        ``anyway``: let it through even if open, for the one retry that a call begun before is
        owed.

        Raises:
            ProviderUnavailable: open, and not yet time for a probe.
        """
        probe = self._open and not anyway
        if probe:
            if not self.passable:
                raise ProviderUnavailable(
                    f"the provider is left alone for now: {self.reason}",
                    fault="breaker_open",
                    again=False,
                )
            self._probing = True
            self._pace.push()
        try:
            yield probe
        finally:
            if probe:
                self._probing = False

    def succeed(self) -> None:
        """Note that the provider answered."""
        self._failures, self._open, self.reason = 0, False, ""
        self._not_before = 0.0

    def fail(self, reason: str) -> None:
        """Note that it did not."""
        self._failures += 1
        if self._open or self._failures >= _THRESHOLD:
            self.trip(reason)

    def trip(self, reason: str, probe_after_s: float = 0.0) -> None:
        """Open at once; ``probe_after_s``: the least time until the next probe."""
        if not self._open:
            self._pace.push()
        self._open, self.reason = True, reason
        self._not_before = max(self._not_before, self._pace.clock() + probe_after_s)
