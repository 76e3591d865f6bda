"""Keeps a process up to date with what others fold, also where their notices do not arrive."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from indexer.assembly import Parts
from indexer.domain.position import Position
from indexer.errors import unforeseen
from indexer.ports import Channel, SharedLog

__all__ = ["Follower"]

_log = logging.getLogger(__name__)

_AWAITED_S: Final = 0.03
_CATALOGUE_S: Final = 1.0
_COUNTS_S: Final = 2.0
_CHANNELS: Final[tuple[Channel, ...]] = ("events", "items")


class Follower:
    """Asks the log what is committed: often where somebody waits for it, else once a second.

    So a notice that is lost delays what it was about, and makes nothing wrong.
    """

    def __init__(self, parts: Parts, log: SharedLog) -> None:
        self._parts, self._log = parts, log
        self._asked_at = {"catalogue": 0.0, "counts": 0.0}
        self._catalogue: Position = {}
        self._well = True

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            await asyncio.sleep(_AWAITED_S)
            try:
                await self._follow()
                self._well = True
            except Exception as exc:  # noqa: BLE001 - counted, and tried again
                self._parts.telemetry.count("failures", "follow")
                level = logging.WARNING if self._well else logging.DEBUG  # once an outage
                self._well = False
                _log.log(level, "others cannot be followed: %s", exc, exc_info=unforeseen(exc))
                await asyncio.sleep(_CATALOGUE_S)

    async def _follow(self) -> None:
        for channel in _CHANNELS:
            awaited = self._parts.progress[channel].awaited
            if awaited:
                position = await self._log.committed(channel, awaited)
                self._parts.progress[channel].advance(position)
        if self._due("catalogue", _CATALOGUE_S):
            await self._follow_catalogue()
        if self._due("counts", _COUNTS_S):
            await self._parts.neighbours.refresh()

    async def _follow_catalogue(self) -> None:
        """Forget what is known of items whenever some were committed, whatever notices told."""
        position = await self._log.committed("items", range(self._log.partitions))
        if position != self._catalogue:
            await self._parts.items.refresh()
            self._catalogue = self._parts.catalogue_read = position
            self._parts.progress["items"].advance(position)

    def _due(self, name: str, every_s: float) -> bool:
        due = time.monotonic() - self._asked_at[name] >= every_s
        if due:
            self._asked_at[name] = time.monotonic()
        return due
