"""Having every process leave off folding for a moment, while collections are switched.

The wish is a note in the store that all fold into. It ends by itself, so that one who wished it and
is gone holds nobody up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from indexer.errors import StoreError
from indexer.ports import Feed, VectorStore
from indexer.stores.terms import Notes

__all__ = ["HOLD_S", "LOOK_EVERY_S", "Hold"]

_log = logging.getLogger(__name__)

_NOTE: Final = "hold"

HOLD_S: Final = 30.0
"""How long a hold lasts where it is not renewed, in seconds."""

LOOK_EVERY_S: Final = 0.5
"""How often whoever folds looks for one, in seconds."""


class Hold:
    """The hold on folding into one store. Clocks of the machines may differ by seconds."""

    def __init__(self, store: VectorStore) -> None:
        self._notes = Notes(store)

    async def wish(self) -> None:
        """Hold, or go on holding."""
        await self._notes.write(_NOTE, {"until": time.time() + HOLD_S})

    async def end(self) -> None:
        """Let all go on."""
        await self._notes.write(_NOTE, {})

    async def wished(self) -> bool:
        """Whether folding is to be left off."""
        until: float = (await self._notes.read(_NOTE)).get("until", 0.0)
        return until > time.time()

    async def run(self, feed: Feed) -> None:
        """Follow ``feed`` but while a hold is wished, until cancelled."""
        while True:
            await self._follow(feed)
            _log.info("folding is held; others rebuild the collections")
            await asyncio.sleep(LOOK_EVERY_S)
            while await self._wished_or_unknown():  # noqa: ASYNC110 - it is a note in the store
                await asyncio.sleep(LOOK_EVERY_S)

    async def _follow(self, feed: Feed) -> None:
        """Follow until a hold is wished; then all partitions are handed on."""
        task = asyncio.create_task(feed.run(), name="feed")
        try:
            while not await self._wished_for_sure():
                await asyncio.wait([task], timeout=LOOK_EVERY_S)
                if task.done():
                    task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _wished_for_sure(self) -> bool:
        try:
            return await self.wished()
        except StoreError:
            return False  # nothing can be folded meanwhile either

    async def _wished_or_unknown(self) -> bool:
        try:
            return await self.wished()
        except StoreError:
            return True
