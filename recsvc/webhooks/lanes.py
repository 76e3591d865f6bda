"""The lanes of all webhooks, each with the task that sends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping

from recsvc.webhooks.lane import Lane
from recsvc.webhooks.model import Delivery, Webhook

__all__ = ["Lanes"]


class Lanes(Mapping[str, Lane]):
    """Lanes by webhook. ``make``: makes one. ``note_death``: told of tasks that end."""

    def __init__(
        self, make: Callable[[Webhook], Lane], note_death: Callable[[asyncio.Task[None]], None]
    ) -> None:
        self._make, self._note_death = make, note_death
        self._lanes: dict[str, Lane] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __getitem__(self, webhook_id: str) -> Lane:
        return self._lanes[webhook_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lanes)

    def __len__(self) -> int:
        return len(self._lanes)

    def open(self, webhook: Webhook) -> None:
        """Have a webhook be sent what is put into its lane."""
        lane = self._lanes[webhook.webhook_id] = self._make(webhook)
        task = asyncio.create_task(lane.run(), name=f"webhook {webhook.webhook_id}")
        task.add_done_callback(self._note_death)
        self._tasks[webhook.webhook_id] = task

    async def close(self, webhook_id: str) -> None:
        """Forget a lane, and break off what is under way."""
        lane = self._lanes.pop(webhook_id)
        lane.drop_where(lambda _: True)
        await self._stop([webhook_id], [lane], grace_s=0.0)

    async def stop(self, grace_s: float) -> None:
        """Send nothing more; what is under way has some time to end. What waits stays."""
        await self._stop(list(self._tasks), list(self._lanes.values()), grace_s)

    def drop_where(self, wanted: Callable[[Delivery], bool]) -> None:
        """Forget the entries of some deliveries in all lanes."""
        for lane in self._lanes.values():
            lane.drop_where(wanted)

    async def _stop(self, names: Iterable[str], lanes: Iterable[Lane], grace_s: float) -> None:
        tasks = [task for name in names if (task := self._tasks.pop(name, None)) is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(lane.close(grace_s) for lane in lanes))
