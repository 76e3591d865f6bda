"""Puts the parts of the webhooks together, for a process that serves, sends, or both."""

from __future__ import annotations

import asyncio

from indexer.runtime import Job, Runtime
from indexer.stores.schema import LogIdentity
from indexer.streams import log_kind, log_place
from recsvc.recommend import Recommender
from recsvc.webhooks.addresses import Allowed
from recsvc.webhooks.backlog import Backlog
from recsvc.webhooks.client import WebhookClient
from recsvc.webhooks.connect import Resolver, SystemLookup
from recsvc.webhooks.dispatch import Dispatcher
from recsvc.webhooks.feeder import Feeder
from recsvc.webhooks.lane import Lane
from recsvc.webhooks.lanes import Lanes
from recsvc.webhooks.manage import Webhooks
from recsvc.webhooks.messages import Messages
from recsvc.webhooks.model import Delivery, Tally, Webhook
from recsvc.webhooks.notices import Notices
from recsvc.webhooks.places import Places
from recsvc.webhooks.registry import Registry
from recsvc.webhooks.sender import Sender, ToldUsers

__all__ = ["WebhookParts", "open_job"]


class WebhookParts:
    """All parts of one process. ``webhooks``: what routes use; ``run``: sends until cancelled."""

    def __init__(self, runtime: Runtime, recommender: Recommender) -> None:
        settings, points = runtime.settings, runtime.webhooks
        log = f"{LogIdentity(log_kind(settings), runtime.log.partitions)} {log_place(settings)}"
        self._lookup = SystemLookup()
        resolver = Resolver(Allowed(settings.webhook_allow_private), self._lookup)
        self._client = WebhookClient(resolver, settings.webhook_timeout_s)
        registry, places = Registry(points), Places(points, log)
        notices = Notices(registry, runtime.log.partitions)
        told, turn = ToldUsers(settings.webhook_interval_s), asyncio.Lock()

        def tally(delivery: Delivery) -> Tally:
            return self._dispatcher.tally(delivery)

        messages = Messages(recommender, runtime.states)
        sender = Sender(
            registry,
            points,
            messages,
            self._client,
            told,
            runtime.telemetry,
            tally,
            turn,
            retry_s=settings.webhook_retry_s,
        )

        def make_lane(webhook: Webhook) -> Lane:
            return Lane(webhook, settings.webhook_concurrency, sender.send)

        lanes = Lanes(make_lane, runtime.note_death)
        backlog = Backlog(points, registry, lanes, turn, notices.is_erased)
        feeder = Feeder(
            runtime.log,
            runtime.feed,
            runtime.states,
            points,
            registry,
            places,
            told,
            runtime.telemetry,
            lanes,
            turn,
            notices.is_erased,
        )
        self._dispatcher = Dispatcher(
            runtime, registry, places, feeder, backlog, notices, told, lanes
        )
        self.webhooks = Webhooks(
            runtime.log,
            log,
            points,
            registry,
            places,
            resolver,
            self._client,
            self._dispatcher.look,
        )

    async def run(self) -> None:
        """Send what is owed for the partitions that this process owns, until cancelled."""
        await self._dispatcher.run()

    async def close(self) -> None:
        """End the connections."""
        await self._client.close()
        self._lookup.close()


def open_job(runtime: Runtime) -> Job:
    """Make what sends webhooks in a process that folds and serves nothing."""
    parts = WebhookParts(runtime, Recommender(runtime, None, learns=False))

    async def webhooks() -> None:
        try:
            await parts.run()
        finally:
            await parts.close()

    return webhooks
