"""What is told: made when it is sent, so that it is the newest."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from indexer.domain.position import read_position
from indexer.stores.users import UserStates
from recsvc.recommend import Options, Recommends
from recsvc.webhooks.client import Message
from recsvc.webhooks.model import TEST, UPDATED, Delivery, Webhook, message_id

__all__ = ["Messages", "Told", "test_message"]

_SHOWN: Final = ("item_id", "score", "features")


@dataclass(frozen=True, slots=True)
class Told:
    """How new a list was: the user's version, and the offset that was folded last."""

    version: int
    offset: int


class Messages:
    """Makes messages of deliveries."""

    def __init__(self, recommender: Recommends, states: UserStates) -> None:
        self._recommender, self._states = recommender, states

    async def of(self, webhook: Webhook, delivery: Delivery) -> tuple[Message, Told] | None:
        """Make a message, None where there is nothing to tell: the user was erased."""
        if delivery.kind == UPDATED:
            return await self._updated(webhook, delivery)
        data = delivery.data or {}
        name = message_id(webhook.webhook_id, delivery.kind, delivery.user_id, delivery.event_id)
        return _message(name, delivery.kind, delivery.since, data), Told(0, -1)

    async def _updated(self, webhook: Webhook, delivery: Delivery) -> tuple[Message, Told] | None:
        tenant, user_id = delivery.tenant, delivery.user_id
        if await self._states.get(tenant, user_id) is None:
            return None
        answer = await self._recommender.for_user(tenant, user_id, Options(limit=webhook.limit))
        version, position = int(answer["user_version"]), str(answer["position"])
        if not version:  # erased since
            return None
        data = {
            "user_id": user_id,
            "user_version": version,
            "strategy": answer["strategy"],
            "recommendations": [{name: item[name] for name in _SHOWN} for item in answer["items"]],
        }
        name = message_id(webhook.webhook_id, delivery.kind, user_id, str(version), position)
        offset = read_position(position).get(delivery.partition, 0)
        return _message(name, delivery.kind, time.time(), data), Told(version, offset)


def test_message(webhook: Webhook) -> Message:
    """Make a message that says no more than that it has come."""
    now = time.time()
    name = message_id(webhook.webhook_id, TEST, str(time.time_ns()))
    return _message(name, TEST, now, {"webhook_id": webhook.webhook_id})


def _message(name: str, kind: str, at: float, data: Mapping[str, Any]) -> Message:
    timestamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    body = {"type": kind, "timestamp": timestamp.replace("+00:00", "Z"), "data": data}
    return Message(name, orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))
