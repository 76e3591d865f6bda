"""What webhooks are to be told, before it is known whether they are told already."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from indexer.ports import DeadLetter, EventFailed
from indexer.streams.refused import failure_of
from recsvc.webhooks.model import EVENT_FAILED, UPDATED, Delivery, Webhook
from recsvc.webhooks.places import Place

__all__ = ["failure", "missed", "newest", "updated"]


def newest(one: Delivery, other: Delivery) -> Delivery:
    """Have a delivery stand for another of the same, too."""
    offset, version = max(one.offset, other.offset), max(one.version, other.version)
    return replace(one, offset=offset, version=version)


def updated(
    webhook: Webhook,
    user_id: str,
    place: Place,
    offset: int,
    *,
    version: int = 0,
    since: float | None = None,
) -> Delivery:
    """Tell of a user's newer list. ``since``: when it came to be; None: now."""
    now = time.time()
    return Delivery(
        webhook_id=webhook.webhook_id,
        tenant=webhook.tenant,
        kind=UPDATED,
        user_id=user_id,
        partition=place.partition,
        since=since if since is not None else now,
        due_at=now,
        offset=offset,
        version=version,
    )


def missed(
    letters: Iterable[DeadLetter], wanting: Mapping[Webhook, int], partition: int
) -> list[Delivery]:
    """List what webhooks are to be told of dead letters beyond their offsets."""
    wishes: list[Delivery] = []
    for letter in letters:
        failed = failure_of({**letter.event, "tenant": letter.tenant}, letter.reason)
        wishes += [
            failure(webhook, failed, partition)
            for webhook, at in wanting.items()
            if failed is not None
            and webhook.tenant == failed.tenant
            and at < letter.position[partition]
            and webhook.wants(EVENT_FAILED, failed.user_id)
        ]
    return wishes


def failure(webhook: Webhook, failed: EventFailed, partition: int) -> Delivery:
    """Tell of an event that failed."""
    now = time.time()
    data = {"user_id": failed.user_id, "event_id": failed.event_id, "reason": failed.reason}
    return Delivery(
        webhook_id=webhook.webhook_id,
        tenant=webhook.tenant,
        kind=EVENT_FAILED,
        user_id=failed.user_id,
        partition=partition,
        since=now,
        due_at=now,
        event_id=failed.event_id,
        data=data,
    )
