"""Events and items as JSON text in a log: compact, absent fields left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from indexer.domain.events import Event
from indexer.domain.items import Item

__all__ = ["decode_event", "decode_item", "encode_event", "encode_item", "event_fields"]

_EVENT_FIELDS = (
    "event_type",
    "item_id",
    "query",
    "value",
    "retracts",
    "timestamp",
    "item_features",
    "metadata",
)
_ITEM_FIELDS = ("features", "text", "available_from", "available_until")


def event_fields(event: Event) -> dict[str, Any]:
    """Return an event as its users know it."""
    fields = {"user_id": event.user_id, "event_id": event.event_id}
    return {**fields, **_present(event, _EVENT_FIELDS)}


def encode_event(event: Event) -> str:
    """Return all of an event but its identity, which the log keeps beside it."""
    return orjson.dumps(_present(event, _EVENT_FIELDS)).decode()


def decode_event(tenant: str, user_id: str, event_id: str, fingerprint: str, body: str) -> Event:
    """Undo `encode_event`; raises ValueError or TypeError on a body it did not write."""
    return Event(
        tenant=tenant,
        user_id=user_id,
        event_id=event_id,
        fingerprint=fingerprint,
        **orjson.loads(body),
    )


def encode_item(item: Item) -> str:
    """Return all of an item but its identity."""
    return orjson.dumps(_present(item, _ITEM_FIELDS)).decode()


def decode_item(tenant: str, item_id: str, body: str) -> Item:
    """Undo `encode_item`."""
    fields: Mapping[str, Any] = orjson.loads(body)
    return Item(tenant=tenant, item_id=item_id, **fields)


def _present(record: Event | Item, names: tuple[str, ...]) -> dict[str, Any]:
    values = ((name, getattr(record, name)) for name in names)
    return {name: value for name, value in values if value is not None}
