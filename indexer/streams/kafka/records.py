"""Records of the topics: what is sent, and what is made of what is read.

Kafka's offset k is our k + 1, as ours are above 0: the offset up to which all is applied is then
the one that Kafka goes on from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from indexer.domain.events import Event
from indexer.domain.items import Item
from indexer.domain.neighbours import Occurrence
from indexer.domain.position import log_key
from indexer.errors import InvalidInput
from indexer.ports import EventRecord, ItemRecord, PairRecord
from indexer.streams.codec import (
    BODY_MAX,
    decode_foreign,
    decode_pair,
    decode_shared,
    encode_item,
    encode_pair,
    encode_shared,
)

__all__ = [
    "Entry",
    "event_entry",
    "event_of",
    "fingerprint_of",
    "item_entries",
    "item_of",
    "offset_of",
    "pair_entry",
    "pair_of",
]

_FINGERPRINT: Final = "recsvc-fingerprint"
_ONLY_UNKNOWN: Final = "\0only_unknown"


class Entry(NamedTuple):
    """One record to append; a ``value`` of None has compaction forget the key."""

    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]


def event_entry(event: Event) -> Entry:
    """Return the record of an event that was checked.

    Raises:
        InvalidInput: it is too large, or has what JSON has not.
    """
    key = log_key(event.tenant, event.user_id).encode()
    body = _body(f"event {event.event_id}", lambda: encode_shared(event))
    return Entry(key, body, [(_FINGERPRINT, event.fingerprint.encode())])


def item_entries(record: ItemRecord, *, only_unknown: bool) -> list[Entry]:
    """Return the records of a catalogue change; raises as `event_entry` does.

    What an event brings has a key of its own: compaction keeps the newest record of a key, which
    must not be that one in place of the catalogue's. Both have the item's partition.
    """
    key = log_key(record.tenant, record.item_id)
    brought = (key + _ONLY_UNKNOWN).encode()
    body = _body(f"item {record.item_id}", lambda: _item_body(record, only_unknown))
    entries = [Entry(brought if only_unknown else key.encode(), body, [])]
    if record.item is None:
        entries.append(Entry(brought, None, []))
    return entries


def pair_entry(tenant: str, one: Occurrence) -> Entry:
    """Return the record of what an event adds to an item."""
    return Entry(log_key(tenant, one.item_id).encode(), encode_pair(tenant, one), [])


def offset_of(raw: Any) -> int:
    """Return our offset of a record that was read."""
    return int(raw.offset) + 1


def fingerprint_of(raw: Any) -> str | None:
    """Return the fingerprint of an event that we checked before it was appended, else None."""
    found = next((value for name, value in raw.headers if name == _FINGERPRINT), None)
    return None if found is None else found.decode(errors="replace")


def event_of(raw: Any, weights: Mapping[str, float]) -> EventRecord:
    """Return the event of a record.

    Raises:
        InvalidInput: it is none.
    """
    body, fingerprint, accepted_at = raw.value, fingerprint_of(raw), _time_of(raw)
    if body is None:
        raise InvalidInput("a record without a body")
    if fingerprint is None:
        if len(body) > BODY_MAX:
            raise InvalidInput(f"a body of {len(body)} bytes, at most {BODY_MAX}")
        name = f"kafka-{raw.partition}-{offset_of(raw)}"
        event = decode_foreign(body, name, weights, accepted_at)
    else:
        try:
            event = decode_shared(body, fingerprint)
        except (KeyError, TypeError, ValueError) as exc:
            raise InvalidInput(f"marked as checked, but no event: {exc}") from exc
    return EventRecord(offset_of(raw), accepted_at, event, raw.partition)


def item_of(raw: Any) -> ItemRecord:
    """Return the catalogue change of a record; raises InvalidInput where it is none."""
    try:
        fields = orjson.loads(raw.value)
        tenant, item_id, item = fields["tenant"], fields["item_id"], fields["item"]
        only_unknown = fields.get("only_unknown", False)
        found = None if item is None else Item(tenant=tenant, item_id=item_id, **item)
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise InvalidInput(f"no catalogue change: {exc!r}") from exc
    return ItemRecord(offset_of(raw), tenant, item_id, found, raw.partition, only_unknown)


def pair_of(raw: Any) -> PairRecord:
    """Return what an event adds to an item; raises InvalidInput where it is nothing of that."""
    try:
        tenant, occurrence = decode_pair(raw.value)
    except (KeyError, TypeError, ValueError) as exc:
        raise InvalidInput(f"no pairs of an item: {exc!r}") from exc
    return PairRecord(offset_of(raw), tenant, occurrence, raw.partition)


def _item_body(record: ItemRecord, only_unknown: bool) -> bytes:
    item = None if record.item is None else orjson.Fragment(encode_item(record.item))
    fields = {"tenant": record.tenant, "item_id": record.item_id, "item": item}
    return orjson.dumps({**fields, "only_unknown": True} if only_unknown else fields)


def _body(what: str, encode: Callable[[], bytes]) -> bytes:
    try:
        body = encode()
    except TypeError as exc:  # orjson's
        raise InvalidInput(f"{what} cannot be written: {exc}") from exc
    if len(body) > BODY_MAX:
        raise InvalidInput(f"{what} has {len(body)} bytes, a shared log takes {BODY_MAX}")
    return body


def _time_of(raw: Any) -> float:
    """Return when a record was appended, in unix seconds."""
    return raw.timestamp / 1e3 if raw.timestamp and raw.timestamp > 0 else time.time()
