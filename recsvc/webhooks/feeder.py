"""Turns what was folded into deliveries: each is stored before the place of its event moves on.

Notices of changed users make it quick. The log makes it sure: whatever was folded beyond a
webhook's place is read once more, so that nothing is left out when a process ends in between.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from indexer.domain.events import ERASE
from indexer.domain.position import partition_of
from indexer.ports import EventFailed, EventLog, Feed
from indexer.stores.users import UserKey, UserStates
from indexer.stores.webhooks import WebhookPoints
from indexer.telemetry import Telemetry
from recsvc.webhooks.lane import WAITING_MAX, Entry, Lane
from recsvc.webhooks.model import EVENT_FAILED, UPDATED, Delivery, Webhook
from recsvc.webhooks.places import Place, Places
from recsvc.webhooks.registry import Registry
from recsvc.webhooks.sender import ToldUsers
from recsvc.webhooks.wishes import failure, missed, newest, updated

__all__ = ["Feeder"]

_READ_MAX: Final = 500
_HEARS_MAX: Final = WAITING_MAX // 2
"""Deliveries that may wait for a webhook that is told of what it missed; else it is told later."""


class Feeder:
    """Queues deliveries.

    ``lanes``: by webhook. ``turn``: held while what waits changes. ``is_erased``: whether a user is
    about to be forgotten, so that nothing more is to be sent.
    """

    def __init__(
        self,
        log: EventLog,
        feed: Feed,
        states: UserStates,
        points: WebhookPoints,
        registry: Registry,
        places: Places,
        told: ToldUsers,
        telemetry: Telemetry,
        lanes: Mapping[str, Lane],
        turn: asyncio.Lock,
        is_erased: Callable[[UserKey], bool],
    ) -> None:
        self._log, self._feed, self._states, self._points = log, feed, states, points
        self._registry, self._places, self._told = registry, places, told
        self._telemetry, self._lanes, self._turn = telemetry, lanes, turn
        self._is_erased = is_erased

    async def feed(self, place: Place, applied: int) -> bool:
        """Queue what was folded of a partition up to ``applied``; True where there is more.

        What failed up to there must have been given to `tell_failed`.
        """
        unheard = await self._hear(place) if place.unheard else False
        behind = {
            webhook: at
            for webhook in self._registry.all
            if (at := self._places.position(webhook, place)) < applied and self._takes(webhook)
        }
        if not behind:
            return unheard
        readers = {webhook: at for webhook, at in behind.items() if UPDATED in webhook.types}
        reach = await self._read(place, readers, applied) if readers else applied
        for webhook in behind:
            place.move(webhook.webhook_id, reach if webhook in readers else applied)
        return unheard or reach < applied

    async def tell_changed(
        self, users: Mapping[UserKey, float], places: Mapping[int, Place]
    ) -> None:
        """Queue what notices told of, each at a time: users whose states are newer, for whatever
        reason."""
        wishes: list[Delivery] = []
        for key, noticed_at in users.items():
            place = places.get(partition_of(*key, self._log.partitions))
            if place is None:
                continue
            wanting = self._wanting(key, noticed_at, place)
            state = await self._states.get(*key) if wanting else None
            if state is not None:
                wishes += [
                    updated(webhook, key[1], place, state.offset, version=state.version)
                    for webhook in wanting
                ]
        await self._queue(wishes)

    async def tell_failed(
        self, failures: Iterable[EventFailed], places: Mapping[int, Place]
    ) -> None:
        """Queue what notices tell of events that could not be folded.

        Where there is no room for one, the dead letters beyond the webhook's place have it.
        """
        wishes: list[Delivery] = []
        for one in failures:
            place = places.get(partition_of(one.tenant, one.user_id, self._log.partitions))
            if place is None:
                continue
            for webhook in self._registry.of(one.tenant):
                if not webhook.wants(EVENT_FAILED, one.user_id):
                    continue
                if self._takes(webhook):
                    wishes.append(failure(webhook, one, place.partition))
                else:
                    place.miss(webhook.webhook_id, self._places.position(webhook, place))
        await self._queue(wishes)

    def note_lost(self, lost: Iterable[tuple[str, int]], places: Mapping[int, Place]) -> None:
        """Have dead letters looked through, as notices of failures were lost: of a tenant, in a
        partition."""
        for tenant, partition in lost:
            place = places.get(partition)
            if place is None:
                continue
            for webhook in self._registry.of(tenant):
                place.miss(webhook.webhook_id, self._places.position(webhook, place))

    def _wanting(self, user: UserKey, noticed_at: float, place: Place) -> list[Webhook]:
        """List the webhooks that a notice of a user is for.

        It is for none where history is being folded again, and not for those made after it.
        """
        applied = self._feed.positions("events").get(place.partition, 0)
        return [
            webhook
            for webhook in self._registry.of(user[0])
            if webhook.wants(UPDATED, user[1])
            and noticed_at >= webhook.started_at
            and applied >= self._places.position(webhook, place)
            and self._takes(webhook)
        ]

    def _takes(self, webhook: Webhook) -> bool:
        """Whether a webhook is to be told of more."""
        lane = self._lanes.get(webhook.webhook_id)
        return lane is not None and lane.webhook.enabled and len(lane) < WAITING_MAX

    async def _read(self, place: Place, readers: Mapping[Webhook, int], applied: int) -> int:
        """Queue the events beyond the readers' places; return up to where they were read."""
        records = await self._log.read(place.partition, min(readers.values()), _READ_MAX)
        more = len(records) == _READ_MAX and records[-1].offset < applied
        reach = records[-1].offset if more else applied
        by_tenant: dict[str, list[tuple[Webhook, int]]] = defaultdict(list)
        for webhook, at in readers.items():
            by_tenant[webhook.tenant].append((webhook, at))
        wishes = [
            updated(webhook, record.event.user_id, place, record.offset, since=record.accepted_at)
            for record in records
            if record.offset <= reach and record.event.event_type != ERASE
            for webhook, at in by_tenant.get(record.event.tenant, ())
            if at < record.offset and webhook.wants(UPDATED, record.event.user_id)
        ]
        await self._queue(wishes)
        return reach

    async def _hear(self, place: Place) -> bool:
        """Queue what failed without webhooks being told; True where there is more of it.

        Also what has failed beyond what is applied: a record that is no event fails early.
        """
        wanting = {
            webhook: max(place.unheard[webhook.webhook_id], self._places.start(webhook, place))
            for webhook in self._registry.all
            if webhook.webhook_id in place.unheard and self._hears(webhook, place)
        }
        if not wanting:
            return False
        tenants = {webhook.tenant for webhook in wanting}
        letters = await self._log.dead_letters_after(
            place.partition,
            min(wanting.values()),
            limit=_READ_MAX,
            tenant=tenants.pop() if len(tenants) == 1 else None,
        )
        await self._queue(missed(letters, wanting, place.partition))
        more = len(letters) == _READ_MAX
        reach = letters[-1].position[place.partition] if more else None
        for webhook, at in wanting.items():
            place.hear(webhook.webhook_id, max(at, reach) if reach is not None else None)
        return more

    def _hears(self, webhook: Webhook, place: Place) -> bool:
        """Whether a webhook is to be told of what it missed, now."""
        if EVENT_FAILED not in webhook.types:
            place.hear(webhook.webhook_id)
            return False
        lane = self._lanes.get(webhook.webhook_id)
        return self._takes(webhook) and lane is not None and len(lane) <= _HEARS_MAX

    async def _queue(self, wishes: Iterable[Delivery]) -> None:
        """Store what is not waiting already, then have it sent.

        What waits and is not being sent stands for what is newer, too, as its list is made when it
        is sent. It does not where another process might still be sending it.
        """
        async with self._turn:
            new: dict[tuple[str, object], Delivery] = {}
            for wish in wishes:
                key = (wish.webhook_id, wish.about)
                if key in new:
                    new[key] = newest(new[key], wish)
                elif not self._stands(wish):
                    new[key] = self._timed(wish)
                    continue
                self._telemetry.count("webhooks", "coalesced")
            if not new:
                return
            users = {(one.tenant, one.user_id) for one in new.values() if one.kind == UPDATED}
            known = await self._states.get_many(users)
            kept = [
                one
                for one in new.values()
                if one.kind != UPDATED or (one.tenant, one.user_id) in known
            ]
            await self._points.put([one.document() for one in kept])
            for one in kept:
                if not self._is_erased((one.tenant, one.user_id)):
                    self._wait(one)

    def _stands(self, wish: Delivery) -> bool:
        """Whether a wish is told already, or will be by what waits."""
        if wish.kind == UPDATED and self._told.covers(
            wish.webhook_id, wish.user_id, wish.offset, wish.version
        ):
            return True
        lane = self._lanes.get(wish.webhook_id)
        entry = lane.find(wish.about) if lane is not None else None
        if entry is None:
            return lane is None
        if entry.newer is not None:
            entry.newer = newest(entry.newer, wish)
            return True
        return not (entry.busy or entry.inherited or entry.taken)

    def _timed(self, wish: Delivery) -> Delivery:
        if wish.kind != UPDATED:
            return wish
        return replace(wish, due_at=self._told.next_at(wish.webhook_id, wish.user_id))

    def _wait(self, delivery: Delivery) -> None:
        lane = self._lanes.get(delivery.webhook_id)
        if lane is None:
            return
        entry = lane.find(delivery.about)
        if entry is None:
            lane.add(Entry(delivery))
        else:
            entry.newer = delivery
