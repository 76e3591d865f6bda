"""Entries of the streams: their ids as offsets, their fields as records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from indexer.domain.position import log_key
from indexer.errors import InvalidInput, LogError
from indexer.ports import EventRecord, ItemRecord, PairRecord
from indexer.streams.codec import (
    BODY_MAX,
    decode_foreign,
    decode_item,
    decode_pair,
    decode_shared,
    encode_item,
)

__all__ = [
    "Entry",
    "decode_event_entry",
    "decode_item_entry",
    "decode_pair_entry",
    "entries",
    "entry_id",
    "item_fields",
    "offset_of",
    "place_in_index",
    "shown",
]

_SHOWN_MAX: Final = 2_000
_SHOWN_WHOLE_MAX: Final = 64 * 1024
_SEQUENCE: Final = 1 << 20
_OFFSET_MAX: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a stream. ``checked``: the fingerprint where we wrote it, else None."""

    entry_id: str
    offset: int
    fields: Mapping[bytes, bytes]

    @property
    def accepted_at(self) -> float:
        """When the server took it, in unix seconds."""
        return (self.offset // _SEQUENCE) / 1e3

    @property
    def checked(self) -> str | None:
        """The fingerprint of an event that we checked before it was appended."""
        found = self.fields.get(b"checked")
        return None if found is None else found.decode()

    @property
    def size(self) -> int:
        """How many bytes its fields take."""
        return sum(map(len, self.fields.values()))


def offset_of(entry_id: bytes | str) -> int:
    """Return the offset that stands for an entry id: milliseconds, then 20 bits of sequence.

    Of one that is out of range, as no server makes them, the nearest.
    """
    text = entry_id if isinstance(entry_id, str) else entry_id.decode()
    ms, _, sequence = text.partition("-")
    return min(int(ms) * _SEQUENCE + min(int(sequence), _SEQUENCE - 1), _OFFSET_MAX)


def entry_id(offset: int) -> str:
    """Undo `offset_of`."""
    ms, sequence = divmod(max(0, offset), _SEQUENCE)
    return f"{ms}-{sequence}"


def place_in_index(offset: int) -> str:
    """Write an offset as the indexes of users have it: sorting as text."""
    ms, sequence = divmod(max(0, offset), _SEQUENCE)
    return f"{ms:015d}-{sequence:07d}"


def entries(reply: Iterable[Sequence[Any]]) -> list[Entry]:
    """Return the entries of a reply; those that have gone meanwhile are left out.

    Raises:
        LogError: somebody chose an entry id that is out of range.
    """
    return [_entry(*found) for found in reply if len(found) > 1 and found[1] is not None]


def decode_event_entry(entry: Entry, partition: int, weights: Mapping[str, float]) -> EventRecord:
    """Return the event of an entry.

    Raises:
        InvalidInput: it is none.
    """
    body, fingerprint = entry.fields.get(b"event"), entry.checked
    if body is None:
        raise InvalidInput("an entry without a field 'event'")
    if fingerprint is None and len(body) > BODY_MAX:
        raise InvalidInput(f"{len(body)} bytes, at most {BODY_MAX}")
    try:
        if fingerprint is not None:
            event = decode_shared(body, fingerprint)
        else:
            name = f"redis-{partition}-{entry.entry_id}"
            event = decode_foreign(body, name, weights, entry.accepted_at)
    except (KeyError, TypeError, ValueError) as exc:
        raise InvalidInput(f"marked as checked, but no event: {exc}") from exc
    return EventRecord(entry.offset, entry.accepted_at, event, partition)


def item_fields(record: ItemRecord) -> tuple[str, str, str, str]:
    """Return a catalogue change as the script that appends it wants it: key, tenant, id, body."""
    body = "" if record.item is None else encode_item(record.item)
    return log_key(record.tenant, record.item_id), record.tenant, record.item_id, body


def decode_item_entry(entry: Entry, partition: int) -> ItemRecord:
    """Return the catalogue change of an entry; raises InvalidInput where it is none."""
    try:
        tenant, item_id, body = (entry.fields[f].decode() for f in (b"tenant", b"item_id", b"item"))
        item = decode_item(tenant, item_id, body) if body else None
    except (KeyError, TypeError, ValueError) as exc:
        raise InvalidInput(f"no catalogue change: {exc!r}") from exc
    only_unknown = entry.fields.get(b"only_unknown") == b"1"
    return ItemRecord(entry.offset, tenant, item_id, item, partition, only_unknown)


def decode_pair_entry(entry: Entry, partition: int) -> PairRecord:
    """Return what an event adds to an item; raises InvalidInput where it is nothing of that."""
    try:
        tenant, occurrence = decode_pair(entry.fields[b"pair"])
    except (KeyError, TypeError, ValueError) as exc:
        raise InvalidInput(f"no pairs of an item: {exc!r}") from exc
    return PairRecord(entry.offset, tenant, occurrence, partition)


def shown(entry: Entry) -> dict[str, Any]:
    """Return what is kept of an entry that is no event: its object, or how its text begins."""
    body = entry.fields.get(b"event")
    if body is None:
        body = b" ".join(name + b"=" + value for name, value in entry.fields.items())
    if len(body) <= _SHOWN_WHOLE_MAX and (found := _object(body)):
        return found
    return {"raw": body[: 4 * _SHOWN_MAX].decode(errors="replace")[:_SHOWN_MAX]}


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _entry(name: bytes, flat: Sequence[bytes]) -> Entry:
    offset, text = offset_of(name), name.decode()
    if entry_id(offset) != text:
        raise LogError(f"the entry id {text} is out of range; let the server choose it ('*')")
    return Entry(text, offset, dict(zip(flat[::2], flat[1::2], strict=True)))
