"""Sends what is owed to webhooks, for the partitions of events that are this process's.

Who folds a partition also makes its webhooks. What waits is stored before the place of its event
moves on, and deleted after it was delivered: a crash anywhere sends something twice at the most.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final

from indexer.errors import unforeseen
from indexer.ports import Applied, Change, UserChange
from indexer.runtime import Runtime
from indexer.stores.users import UserKey
from recsvc.webhooks.backlog import Backlog
from recsvc.webhooks.feeder import Feeder
from recsvc.webhooks.lanes import Lanes
from recsvc.webhooks.model import Delivery, Tally
from recsvc.webhooks.notices import Noticed, Notices
from recsvc.webhooks.places import Place, Places
from recsvc.webhooks.registry import Registry
from recsvc.webhooks.sender import ToldUsers

__all__ = ["LOOK_S", "Dispatcher"]

_log = logging.getLogger(__name__)

LOOK_S: Final = 2.0
"""How often webhooks are read again, and dead letters that are to be sent again looked for."""

_STEP_S: Final = 0.05
_SAVE_S: Final = 0.5
_FAILED_S: Final = 1.0
_GRACE_S: Final = 2.0


class Dispatcher:
    """Keeps lanes and places as webhooks and partitions come and go, and has both fed.

    While there is no webhook, it reads nothing but whether there is one.
    """

    def __init__(
        self,
        runtime: Runtime,
        registry: Registry,
        places: Places,
        feeder: Feeder,
        backlog: Backlog,
        notices: Notices,
        told: ToldUsers,
        lanes: Lanes,
    ) -> None:
        self._feed, self._ownership = runtime.feed, runtime.ownership
        self._telemetry = runtime.telemetry
        self._registry, self._keeper, self._feeder = registry, places, feeder
        self._backlog, self._notices = backlog, notices
        self._told, self._lanes = told, lanes
        self._places: dict[int, Place] = {}
        self._held_until: dict[int, float] = {}
        self._look_at = self._save_at = 0.0
        self._wake = asyncio.Event()
        runtime.changes.subscribe(self._notice)

    def tally(self, delivery: Delivery) -> Tally:
        """Return the counts that a delivery adds to; of a partition that is gone, they are lost."""
        place = self._places.get(delivery.partition)
        return place.tally(delivery.webhook_id) if place is not None else Tally()

    def look(self) -> None:
        """Have webhooks and dead letters be looked at now."""
        self._look_at = 0.0
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled; then what is under way has two seconds to end."""
        try:
            while True:
                more = await self._attempt()
                if not more:
                    await self._rest()
                await asyncio.sleep(_STEP_S)
        finally:
            await self._leave()

    async def _attempt(self) -> bool:
        self._wake.clear()
        try:
            return await self._step()
        except Exception as exc:  # noqa: BLE001 - counted, and tried again
            self._note(exc, "webhooks wait")
            await asyncio.sleep(_FAILED_S)
            return True

    async def _rest(self) -> None:
        """Wait until there may be something to do."""
        unsaved = any(place.changed for place in self._places.values())
        at = min(self._look_at, self._save_at) if unsaved else self._look_at
        try:
            async with asyncio.timeout(max(0.0, at - time.monotonic())):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _step(self) -> bool:
        """Do all that is to be done at the moment; True where there is more.

        Places move on only as far as events were applied when failures were noticed, and after
        those are stored: that an event failed is told before it is applied.
        """
        look = time.monotonic() >= self._look_at
        if look:
            if self._feed.owned or self._places:
                await self._registry.refresh()
                await self._keep_lanes()
            self._look_at = time.monotonic() + LOOK_S
        if not self._registry:
            self._places.clear()
            self._notices.clear()
            return False
        await self._keep_places()
        await self._erase()
        applied, noticed = self._feed.positions("events"), self._notices.noticed()
        await self._tell_failed(noticed)
        more = False
        for place in list(self._places.values()):
            more = await self._feed_place(place, applied.get(place.partition)) or more
        await self._tell_changed(noticed)
        if look and await self._backlog.send_again(self._places):
            self._look_at = 0.0
        if time.monotonic() >= self._save_at:
            await self._save()
        return more

    async def _tell_failed(self, noticed: Noticed) -> None:
        """Queue failures that notices told of; they are kept until that is stored."""
        self._feeder.note_lost(noticed.lost, self._places)
        await self._feeder.tell_failed(noticed.failures.values(), self._places)
        self._notices.settle(replace(noticed, changed={}))

    async def _tell_changed(self, noticed: Noticed) -> None:
        """Queue changes that notices told of; they are kept until that is stored."""
        await self._feeder.tell_changed(noticed.changed, self._places)
        self._notices.settle(noticed)

    async def _erase(self) -> None:
        """Erase once more what is of erased users, as something of them may have been under way.

        When it returns, whatever is noticed of them is of after it.
        """
        while erased := dict(self._notices.erased):
            for key in erased:
                await self._backlog.erase(key)
            self._notices.settle_erased(erased)

    async def _keep_lanes(self) -> None:
        """Have a lane for each webhook, and nothing left of those that were deleted."""
        found = {one.webhook_id: one for one in self._registry.all}
        for webhook_id, webhook in found.items():
            if webhook_id in self._lanes:
                self._lanes[webhook_id].become(webhook)
                continue
            left = [await self._backlog.left(name, webhook_id) for name in list(self._places)]
            self._lanes.open(webhook)
            self._backlog.take_in(one for some in left for one in some)
            for place in self._places.values():  # events may have failed since it was made
                place.miss(webhook_id, self._keeper.position(webhook, place))
        for webhook_id in self._lanes.keys() - found.keys():
            await self._backlog.close(webhook_id)
        await self._backlog.clear()

    async def _keep_places(self) -> None:
        """Take and let go of partitions as they become, or are no longer, ours."""
        self._drop_lost()
        for partition in sorted(self._feed.owned - self._places.keys()):
            await self._guarded(partition, self._take(partition))

    def _drop_lost(self) -> None:
        """Forget the partitions that are not ours, or have been another's in between."""
        owned = self._feed.owned
        for partition, place in list(self._places.items()):
            if partition not in owned or self._ownership.epoch(partition) != place.epoch:
                del self._places[partition]
                self._lanes.drop_where(_of(partition))

    async def _take(self, partition: int) -> bool:
        """Send for a partition from now on; all that is needed for it is read before."""
        place = await self._keeper.take(partition, self._ownership.epoch(partition))
        left = await self._backlog.left(partition)
        applied = self._feed.positions("events").get(partition)
        if applied is None or self._ownership.epoch(partition) != place.epoch:
            return False
        place.applied = applied
        self._places[partition] = place
        self._backlog.take_in(left)
        for lane in self._lanes.values():
            place.miss(lane.webhook.webhook_id, self._keeper.position(lane.webhook, place))
        return False

    async def _feed_place(self, place: Place, applied: int | None) -> bool:
        if applied is None:
            return False
        return await self._guarded(place.partition, self._feeder.feed(place, applied))

    async def _guarded(self, partition: int, doing: Coroutine[Any, Any, bool]) -> bool:
        """Do something for a partition; where it fails, the others go on, and it a second later."""
        if time.monotonic() < self._held_until.get(partition, 0.0):
            doing.close()
            return False
        try:
            return await doing
        except Exception as exc:  # noqa: BLE001 - counted, and tried again
            self._note(exc, f"webhooks of partition {partition} wait")
            self._held_until[partition] = time.monotonic() + _FAILED_S
            return False

    async def _save(self) -> None:
        webhooks = {one.webhook_id: one for one in self._registry.all}
        for place in list(self._places.values()):
            await self._keeper.save(place, webhooks)
        self._save_at = time.monotonic() + _SAVE_S

    async def _leave(self) -> None:
        """End what is under way, and keep what came of it and what notices told of."""
        await self._lanes.stop(_GRACE_S)
        try:
            self._drop_lost()
            if self._registry:
                noticed = self._notices.noticed()
                await self._tell_failed(noticed)
                await self._tell_changed(noticed)
                await self._save()
        except Exception as exc:  # noqa: BLE001 - counted; the next one tells a few things twice
            self._note(exc, "what webhooks were told is not noted")

    def _note(self, exc: Exception, what: str) -> None:
        self._telemetry.count("failures", "webhooks")
        _log.warning("%s: %s", what, exc, exc_info=unforeseen(exc))

    def _notice(self, change: Change) -> None:
        """Note what concerns webhooks; where there are none, this is all that an event costs."""
        if isinstance(change, Applied):
            if self._places and change.channel == "events":
                self._wake.set()
        elif self._notices.take(change, self._places.__contains__):
            self._wake.set()
            if isinstance(change, UserChange) and change.version == 0:
                self._forget((change.tenant, change.user_id))

    def _forget(self, key: UserKey) -> None:
        """Send nothing more of a user who was erased."""
        self._backlog.drop(key)
        for webhook in self._registry.all:
            if webhook.tenant == key[0]:
                self._told.forget(webhook.webhook_id, key[1])


def _of(partition: int) -> Callable[[Delivery], bool]:
    return lambda delivery: delivery.partition == partition
