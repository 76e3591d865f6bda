"""One try of one delivery, and what comes of it."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from cachetools import LRUCache

from indexer.errors import unforeseen
from indexer.stores.webhooks import WebhookPoints
from indexer.telemetry import Telemetry
from recsvc.webhooks.client import GONE, Answer, Message, WebhookClient
from recsvc.webhooks.lane import Entry, Lane
from recsvc.webhooks.messages import Messages, Told
from recsvc.webhooks.model import UPDATED, Delivery, Tally, Webhook
from recsvc.webhooks.registry import Registry
from recsvc.webhooks.schedule import PAUSE_MAX_S, next_try

__all__ = ["DEAD_MAX", "Sender", "ToldUsers"]

_log = logging.getLogger(__name__)

DEAD_MAX: Final = 10_000
"""Dead letters of one webhook; beyond them, what can never be delivered is only counted."""

_TOLD_MAX: Final = 100_000
_OURS_MAX_S: Final = 60.0
"""The longest pause for a failure of our own: once it is over, nobody is to wait for an hour."""

_ASKING: Final = (429, 503)


class ToldUsers:
    """How new the list was that a webhook was last told of a user; the newest of them.

    ``interval_s``: the least time between two of a user.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._told: LRUCache[tuple[str, str], tuple[Told, float]] = LRUCache(_TOLD_MAX)

    def note(self, delivery: Delivery, told: Told) -> None:
        """Note that a list was delivered."""
        if delivery.kind == UPDATED:
            self._told[delivery.webhook_id, delivery.user_id] = (told, time.time())

    def covers(self, webhook_id: str, user_id: str, offset: int, version: int = 0) -> bool:
        """Whether a webhook has been told of what was folded up to there."""
        told, _ = self._told.get((webhook_id, user_id), (None, 0.0))
        return told is not None and told.offset >= offset and told.version >= version

    def next_at(self, webhook_id: str, user_id: str) -> float:
        """Return when a webhook may be told of a user next, in unix seconds."""
        _, at = self._told.get((webhook_id, user_id), (None, 0.0))
        return max(time.time(), at + self._interval_s)

    def forget(self, webhook_id: str, user_id: str) -> None:
        """Forget a user."""
        self._told.pop((webhook_id, user_id), None)


class Sender:
    """Tries deliveries.

    ``tally``: gives the counts of a webhook and partition to add to. ``turn``: held while what
    waits changes. ``retry_s``: for how long a delivery is tried.
    """

    def __init__(
        self,
        registry: Registry,
        points: WebhookPoints,
        messages: Messages,
        client: WebhookClient,
        told: ToldUsers,
        telemetry: Telemetry,
        tally: Callable[[Delivery], Tally],
        turn: asyncio.Lock,
        *,
        retry_s: float,
    ) -> None:
        self._registry, self._points, self._messages = registry, points, messages
        self._client, self._told, self._telemetry = client, told, telemetry
        self._tally, self._turn, self._retry_s = tally, turn, retry_s

    async def send(self, lane: Lane, entry: Entry) -> None:
        """Try a delivery; where what came of it cannot be noted, it is done again later."""
        try:
            await self._send(lane, entry)
        except Exception as exc:  # noqa: BLE001 - counted, and tried again
            self._note(exc)
            entry.troubles += 1
            now = time.time()
            due_at = next_try(entry.troubles, now, now + _OURS_MAX_S, random.random()) or now
            due_at = max(due_at, entry.delivery.due_at)
            entry.delivery = replace(entry.delivery, due_at=due_at)
        else:
            entry.troubles = 0

    async def _send(self, lane: Lane, entry: Entry) -> None:
        webhook, delivery = lane.webhook, entry.delivery
        made = None if entry.taken else await self._make(webhook, delivery)
        if entry.gone:
            return
        if made is None:
            async with self._turn:
                await self._end(lane, entry)
            return
        if isinstance(made, Answer):
            async with self._turn:
                await self._failed(lane, entry, webhook, delivery, made, _OURS_MAX_S)
            return
        message, told = made
        answer = await self._client.post(webhook.url, message, webhook.keys(time.time()))
        delivery = replace(delivery, message_id=message.message_id)
        async with self._turn:
            if answer.delivered:
                await self._delivered(lane, entry, told)
            else:
                await self._failed(lane, entry, webhook, delivery, answer)

    async def _make(
        self, webhook: Webhook, delivery: Delivery
    ) -> tuple[Message, Told] | Answer | None:
        """Make a message, None where it is not stored any more or there is nothing to tell.

        Where it cannot be made, that counts as a try: what never can be made has an end, too.
        """
        try:
            if not await self._points.get("delivery", [delivery.key]):
                return None
            return await self._messages.of(webhook, delivery)
        except Exception as exc:  # noqa: BLE001 - counted, and tried again until it is given up
            self._note(exc)
            return Answer(0.0, error=f"the message could not be made ({type(exc).__name__})")

    async def _delivered(self, lane: Lane, entry: Entry, told: Told) -> None:
        self._telemetry.count("webhooks", "delivered")
        delivery = entry.delivery
        tally = self._tally(delivery)
        tally.delivered, tally.last_delivered_at = tally.delivered + 1, time.time()
        self._told.note(delivery, told)
        entry.taken = True
        await self._end(lane, entry)

    async def _failed(
        self,
        lane: Lane,
        entry: Entry,
        webhook: Webhook,
        delivery: Delivery,
        answer: Answer,
        pause_max_s: float = PAUSE_MAX_S,
    ) -> None:
        """Note a try in vain; ``webhook``: as it was when it was sent."""
        now, tally = time.time(), self._tally(delivery)
        tally.failed += 1
        tally.last_error, tally.last_error_at = answer.reason, now
        self._telemetry.count("webhooks", "failed")
        await self._heed(lane, webhook, answer)
        attempts = delivery.attempts + 1
        until = delivery.since + self._retry_s
        due_at = next_try(attempts, now, until, random.random(), answer.retry_after_s)
        failed = replace(delivery, attempts=attempts, error=answer.reason)
        if entry.gone:
            return
        if due_at is None and answer.status != GONE:
            await self._bury(lane, entry, failed)
        else:
            due_at = min(due_at or now, now + pause_max_s)
            await self._postpone(entry, replace(failed, due_at=due_at))

    async def _heed(self, lane: Lane, webhook: Webhook, answer: Answer) -> None:
        """Do what an endpoint asks for, unless the webhook has another one by now."""
        if lane.webhook.url != webhook.url:
            return
        if answer.status == GONE:
            reason = f"the endpoint answered {GONE}"
            await self._registry.disable(webhook, reason)
            lane.become(replace(lane.webhook, enabled=False, disabled_reason=reason))
        elif answer.status in _ASKING and answer.retry_after_s:
            lane.pause(time.time() + min(answer.retry_after_s, PAUSE_MAX_S))

    async def _postpone(self, entry: Entry, failed: Delivery) -> None:
        """Have it wait; what is newer takes its place, and goes on where it was.

        It waits as long where that cannot be stored.
        """
        newer, entry.newer = entry.newer, None
        if newer is not None:
            entry.stale.append(entry.delivery)
            failed = replace(failed, key=newer.key, message_id="")
        entry.delivery, entry.inherited = failed, False
        await self._points.put([failed.document()])
        await self._points.delete([one.document() for one in entry.stale])
        entry.stale.clear()

    async def _bury(self, lane: Lane, entry: Entry, failed: Delivery) -> None:
        """Give up; what is newer begins anew."""
        buried = {"webhook_id": failed.webhook_id, "state": "dead"}
        if await self._points.count("delivery", buried) < DEAD_MAX:
            await self._points.delete([one.document() for one in entry.stale])
            died = replace(failed, state="dead", due_at=time.time())
            await self._points.put([died.document()])
            self._follow(lane, entry)
        else:
            self._telemetry.count("webhooks", "dropped")
            await self._end(lane, entry)
        self._telemetry.count("webhooks", "dead")

    async def _end(self, lane: Lane, entry: Entry) -> None:
        """Forget a delivery that is done with, and go on with what is newer, unless it is told."""
        newer = entry.newer
        if newer is not None and self._is_told(newer):
            entry.stale.append(newer)
            entry.newer = None
        ended = (entry.delivery, *entry.stale)
        await self._points.delete([one.document() for one in ended])
        self._follow(lane, entry)

    def _is_told(self, newer: Delivery) -> bool:
        covers = self._told.covers(newer.webhook_id, newer.user_id, newer.offset, newer.version)
        return newer.kind == UPDATED and covers

    def _follow(self, lane: Lane, entry: Entry) -> None:
        newer, entry.newer = entry.newer, None
        entry.inherited = entry.taken = False
        entry.stale.clear()
        if newer is None or entry.gone:
            lane.drop(entry)
        else:
            due_at = self._told.next_at(newer.webhook_id, newer.user_id)
            entry.delivery = replace(newer, due_at=due_at)

    def _note(self, exc: Exception) -> None:
        self._telemetry.count("failures", "webhooks")
        _log.warning("a webhook delivery waits: %s", exc, exc_info=unforeseen(exc))
