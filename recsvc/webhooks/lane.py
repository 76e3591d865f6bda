"""What waits for one endpoint, and the few requests to it that are under way at once.

Each webhook has a lane, and lanes share nothing: an endpoint that is slow or away delays no other.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from recsvc.webhooks.model import Delivery, DeliveryKey, Webhook

__all__ = ["WAITING_MAX", "Entry", "Lane"]

WAITING_MAX: Final = 5_000
"""Deliveries of one webhook that wait in one process; what is beyond them waits in the log."""


@dataclass(slots=True, eq=False)
class Entry:
    """A delivery that waits or is being sent (``busy``).

    ``newer``: what is to be told once that has an end; stored, too. ``inherited``: whether another
    process has stored it, which may be sending it still. ``gone``: it is nothing of ours any more.
    ``taken``: the endpoint has it, and it is only to be deleted. ``stale``: what is to be deleted
    with it. ``troubles``: failures of our own in a row.
    """

    delivery: Delivery
    inherited: bool = False
    newer: Delivery | None = None
    busy: bool = False
    gone: bool = False
    taken: bool = False
    stale: list[Delivery] = field(default_factory=list)
    troubles: int = 0


class Lane:
    """Has ``send`` called for each delivery when it is due, ``concurrency`` at once at the most.

    ``send`` must not raise; afterwards the entry is gone, or waits with a new due time.
    """

    def __init__(
        self, webhook: Webhook, concurrency: int, send: Callable[[Lane, Entry], Awaitable[None]]
    ) -> None:
        self.webhook = webhook
        self._concurrency, self._send = concurrency, send
        self._entries: dict[DeliveryKey, Entry] = {}
        self._due: list[tuple[float, int, Entry]] = []
        self._order = itertools.count()
        self._sending: set[asyncio.Task[None]] = set()
        self._paused_until = 0.0
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        """How many deliveries it holds."""
        return len(self._entries)

    def find(self, about: DeliveryKey) -> Entry | None:
        """Return what waits or is sent of the kind."""
        return self._entries.get(about)

    def add(self, entry: Entry) -> None:
        """Take in an entry; or one of ours once more, with its new due time."""
        self._entries[entry.delivery.about] = entry
        heapq.heappush(self._due, (entry.delivery.due_at, next(self._order), entry))
        self._wake.set()

    def drop(self, entry: Entry) -> None:
        """Forget an entry; what is being sent of it ends by itself and changes nothing."""
        entry.gone = True
        if self._entries.get(entry.delivery.about) is entry:
            del self._entries[entry.delivery.about]

    def drop_where(self, wanted: Callable[[Delivery], bool]) -> None:
        """Forget the entries of some deliveries."""
        for entry in [one for one in self._entries.values() if wanted(one.delivery)]:
            self.drop(entry)

    def pause(self, until: float) -> None:
        """Send nothing before then (unix seconds), as the endpoint asks."""
        self._paused_until = max(self._paused_until, until)

    def become(self, webhook: Webhook) -> None:
        """Go on with what a webhook is now; with another URL, or enabled again, without a pause."""
        before, self.webhook = self.webhook, webhook
        if webhook.url != before.url or (webhook.enabled and not before.enabled):
            self._paused_until = 0.0
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            self._wake.clear()
            for entry in self._ready():
                entry.busy = True
                task = asyncio.create_task(self._one(entry))
                self._sending.add(task)
                task.add_done_callback(self._ended)
            try:
                async with asyncio.timeout(self._pause_s()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def close(self, grace_s: float) -> None:
        """Wait a little for what is under way, and break off the rest."""
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _ready(self) -> Iterator[Entry]:
        """Take what is due, while there is room."""
        now = time.time()
        while self._open(now) and self._due and self._due[0][0] <= now:
            due_at, _, entry = heapq.heappop(self._due)
            if not entry.gone and not entry.busy and entry.delivery.due_at == due_at:
                yield entry

    def _open(self, now: float) -> bool:
        room = len(self._sending) < self._concurrency
        return room and self.webhook.enabled and now >= self._paused_until

    def _pause_s(self) -> float | None:
        """How long nothing can be due; None: until something changes."""
        room = len(self._sending) < self._concurrency
        if not room or not self.webhook.enabled or not self._due:
            return None
        return max(0.0, max(self._due[0][0], self._paused_until) - time.time())

    async def _one(self, entry: Entry) -> None:
        try:
            await self._send(self, entry)
        finally:
            entry.busy = False
            if not entry.gone:
                self.add(entry)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._wake.set()
        if not task.cancelled():
            task.result()
