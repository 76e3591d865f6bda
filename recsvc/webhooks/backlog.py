"""What is stored to be sent, and the lanes that send it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from indexer.stores.users import UserKey
from indexer.stores.webhooks import Document, WebhookPoints
from recsvc.webhooks.lane import WAITING_MAX, Entry, Lane
from recsvc.webhooks.lanes import Lanes
from recsvc.webhooks.model import Delivery, Webhook, read_delivery
from recsvc.webhooks.registry import Registry

__all__ = ["Backlog"]

_REPLAYED_MAX: Final = 500
"""Dead letters of one webhook and partition that are taken in at once."""


class Backlog:
    """Brings what others have stored into lanes, and out of the store what nobody is to be sent.

    ``turn``: held while what waits changes. ``is_erased``: whether a user is about to be forgotten.
    What could not be deleted is kept in mind, and deleted by `clear`.
    """

    def __init__(
        self,
        points: WebhookPoints,
        registry: Registry,
        lanes: Lanes,
        turn: asyncio.Lock,
        is_erased: Callable[[UserKey], bool],
    ) -> None:
        self._points, self._registry, self._lanes = points, registry, lanes
        self._turn, self._is_erased = turn, is_erased
        self._litter: list[Document] = []
        self._deleted: dict[str, Webhook] = {}

    async def left(self, partition: int, webhook_id: str | None = None) -> list[Delivery]:
        """Return what others have left of a partition, for one webhook or for all."""
        labels = {"partition": str(partition), "state": "waiting"}
        if webhook_id is not None:
            labels["webhook_id"] = webhook_id
        return [read_delivery(one) for one in await self._points.find("delivery", labels)]

    def take_in(self, left: Iterable[Delivery]) -> None:
        """Have sent what others have left; what has no lane yet comes with its webhook."""
        for delivery in left:
            lane = self._lanes.get(delivery.webhook_id)
            entry = lane.find(delivery.about) if lane is not None else None
            if lane is None:
                continue
            if entry is None:
                lane.add(Entry(delivery, inherited=True))
            elif entry.delivery.key != delivery.key:  # a second one of the same
                self._litter.append(delivery.document())

    async def send_again(self, partitions: Iterable[int]) -> bool:
        """Have dead letters of partitions wait again, as somebody asks; True: there is more."""
        if not await self._points.count("delivery", {"state": "replay"}):
            return False
        places, more = list(partitions), False
        for webhook_id, lane in list(self._lanes.items()):
            for partition in places:
                labels = {"state": "replay", "webhook_id": webhook_id, "partition": str(partition)}
                room = min(WAITING_MAX - len(lane), _REPLAYED_MAX)
                found = await self._points.find("delivery", labels, room) if room > 0 else []
                await self._wait_again(lane, found)
                more = more or len(found) == _REPLAYED_MAX
        return more

    async def erase(self, key: UserKey) -> None:
        """Forget all that is to be sent about a user."""
        async with self._turn:
            await self._points.erase_user(*key)
            self.drop(key)

    def drop(self, key: UserKey) -> None:
        """Send nothing more of what waits about a user."""
        self._lanes.drop_where(lambda delivery: (delivery.tenant, delivery.user_id) == key)

    async def close(self, webhook_id: str) -> None:
        """End the lane of a webhook that was deleted."""
        self._deleted[webhook_id] = self._lanes[webhook_id].webhook
        await self._lanes.close(webhook_id)

    async def clear(self) -> None:
        """Delete what nobody is to be sent."""
        for webhook_id, webhook in list(self._deleted.items()):
            await self._registry.forget(webhook)
            del self._deleted[webhook_id]
        litter = list(self._litter)
        await self._points.delete(litter)
        del self._litter[: len(litter)]

    async def _wait_again(self, lane: Lane, found: Sequence[Document]) -> None:
        if not found:
            return
        now = time.time()
        async with self._turn:
            again: dict[object, Delivery] = {}
            for document in found:
                delivery = read_delivery(document)
                if lane.find(delivery.about) is not None or delivery.about in again:
                    self._litter.append(document)  # what waits already stands for it
                else:
                    again[delivery.about] = delivery.again(now)
            await self._points.put([one.document() for one in again.values()])
            for one in again.values():
                if not self._is_erased((one.tenant, one.user_id)):
                    lane.add(Entry(one))
