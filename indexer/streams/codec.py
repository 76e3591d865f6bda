"""Events, items and pairs as JSON text in a log: compact, absent fields left out.

In a shared log an event is one JSON document, that of `POST /v1/events` and its ``tenant``; what
others put there is checked like what comes by HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import orjson
from pydantic import Field, TypeAdapter

from indexer.domain.events import Event
from indexer.domain.ids import DEFAULT_TENANT
from indexer.domain.items import Item
from indexer.domain.neighbours import Occurrence
from indexer.wire import EventIn, parse, to_event
from indexer.wire_fields import Id

__all__ = [
    "BODY_MAX",
    "LoggedEvent",
    "any_type",
    "decode_event",
    "decode_foreign",
    "decode_item",
    "decode_pair",
    "decode_shared",
    "encode_event",
    "encode_item",
    "encode_pair",
    "encode_shared",
    "event_fields",
]

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


BODY_MAX: Final = 1 << 20
"""Bytes of one document in a shared log, at the most."""


class _AnyType(Mapping[str, float]):
    """Event weights for a reader that has to accept whatever the workers accept."""

    def __getitem__(self, name: str) -> float:
        return 0.0

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


any_type: Final = _AnyType()


class LoggedEvent(EventIn):
    """One event in a shared log."""

    tenant: Id = Field(DEFAULT_TENANT, description="Whose event it is.")


_LOGGED = TypeAdapter(LoggedEvent)


def encode_shared(event: Event) -> bytes:
    """Return all of an event but its fingerprint, as others could have written it."""
    tenant = {} if event.tenant == DEFAULT_TENANT else {"tenant": event.tenant}
    return orjson.dumps({**tenant, **event_fields(event)})


def decode_shared(body: bytes, fingerprint: str) -> Event:
    """Undo `encode_shared`; raises ValueError, TypeError or KeyError on what it did not write."""
    return Event(**{"tenant": DEFAULT_TENANT, "fingerprint": fingerprint, **orjson.loads(body)})


def decode_foreign(
    body: bytes, event_id: str, weights: Mapping[str, float], accepted_at: float
) -> Event:
    """Check an event that somebody else put into the log, as `POST /v1/events` does.

    ``event_id``, ``accepted_at``: what it has where it tells none.

    Raises:
        InvalidInput: it is no event; names the fields.
    """
    sent = parse(_LOGGED, body)
    event = to_event(sent.tenant, sent, weights, now=accepted_at)
    return event if sent.event_id else replace(event, event_id=event_id)


def encode_pair(tenant: str, one: Occurrence) -> bytes:
    """Return what an event adds to an item."""
    place = (one.partition, one.offset, one.timestamp)
    return orjson.dumps((tenant, one.item_id, *place, one.gain, one.weight, one.pairs))


def decode_pair(body: bytes) -> tuple[str, Occurrence]:
    """Undo `encode_pair`; raises ValueError or TypeError on what it did not write."""
    tenant, item_id, partition, offset, timestamp, gain, weight, pairs = orjson.loads(body)
    others = tuple((other, added) for other, added in pairs)
    return tenant, Occurrence(item_id, offset, timestamp, gain, weight, others, partition)


def _present(record: Event | Item, names: tuple[str, ...]) -> dict[str, Any]:
    values = ((name, getattr(record, name)) for name in names)
    return {name: value for name, value in values if value is not None}
