"""Notices within one process: receivers are called at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from indexer.ports import Change

__all__ = ["MemoryChanges"]


class MemoryChanges:
    """A `Changes` for one process."""

    def __init__(self) -> None:
        self._receivers: list[Callable[[Change], None]] = []

    async def publish(self, changes: Iterable[Change]) -> None:
        """Hand each change to each receiver."""
        for change in changes:
            for receive in self._receivers:
                receive(change)

    def subscribe(self, receive: Callable[[Change], None]) -> None:
        """See `Changes.subscribe`."""
        self._receivers.append(receive)

    async def run(self) -> None:
        """Wait until cancelled: there is nobody else to listen to."""
        await asyncio.Event().wait()

    async def ping(self) -> None:
        """Nothing can be away."""

    async def close(self) -> None:
        """Nothing is open."""
