"""Keeping up with one channel of a feed: at work when woken, and again after a failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from indexer.errors import unforeseen
from indexer.ports import Channel, Feed
from indexer.telemetry import Telemetry

__all__ = ["KeepUp"]

_log = logging.getLogger(__name__)


class KeepUp:
    """Calls ``catch_up`` when there may be records, never twice at once.

    A failure is counted under ``name``, and tried again after ``least_s``, at most ``most_s``.
    """

    def __init__(
        self,
        feed: Feed,
        channel: Channel,
        catch_up: Callable[[], Awaitable[None]],
        telemetry: Telemetry,
        *,
        name: str,
        least_s: float,
        most_s: float,
    ) -> None:
        self._feed, self._channel, self._catch_up = feed, channel, catch_up
        self._telemetry, self._name = telemetry, name
        self._least_s, self._most_s = least_s, most_s
        self._wake = asyncio.Event()
        self._wake.set()
        feed.on_records(channel, self.wake)

    def wake(self) -> None:
        """Have it look again."""
        self._wake.set()

    async def run(self) -> None:
        """Keep up until cancelled."""
        pause_s = self._least_s
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._catch_up()
                pause_s = self._least_s
            except Exception as exc:  # noqa: BLE001 - counted, and tried again
                self._telemetry.count("failures", self._name)
                position = dict(self._feed.positions(self._channel))
                _log.warning(
                    "%s wait at %s: %s", self._channel, position, exc, exc_info=unforeseen(exc)
                )
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, self._most_s)
                self._wake.set()
