"""An event loop whose clock jumps to the next timer: hours of waiting take no time at all."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _Jumping(selectors.SelectSelector):
    """Never waits for a timer; has it be that late instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if not ready:
            self.now += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs on the clock of `_Jumping`. Nothing on it may wait for a thread and a timer at once."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


VIRTUAL = ("asyncio", {"loop_factory": VirtualLoop})
"""What the fixture ``anyio_backend`` gives where tests run on it."""


def now() -> float:
    """The time of the running loop, as a clock for what takes one."""
    return asyncio.get_running_loop().time()
