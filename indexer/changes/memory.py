"""Notices within one process: receivers are called at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from indexer.ports import UserChange

__all__ = ["MemoryChanges"]


class MemoryChanges:
    """A `Changes` for one process."""

    def __init__(self) -> None:
        self._receivers: list[Callable[[UserChange], None]] = []

    async def publish(self, changes: Iterable[UserChange]) -> None:
        """Hand each change to each receiver."""
        for change in changes:
            for receive in self._receivers:
                receive(change)

    def subscribe(self, receive: Callable[[UserChange], None]) -> None:
        """See `Changes.subscribe`."""
        self._receivers.append(receive)
