"""Changes on their way to other processes: what waits to be sent, and how it is written. Pure."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Final

import orjson

from indexer.ports import Applied, Change, EventFailed, ItemsChange, ProfileChange, UserChange

__all__ = ["MESSAGE_BYTES_MAX", "Outbox", "decode", "encode"]

MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024
"""A longer message is none of ours."""

_FORMAT: Final = 1
_REASON_MAX: Final = 500


class Outbox:
    """Changes that wait to be sent, of together at most ``most`` names; the oldest go first.

    Of a user's versions and profiles only the newest waits, of what is applied only the furthest.
    Order is kept as far as it matters: a user's change is never told after what is applied with it,
    and nothing published before an erasure is told after it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: OrderedDict[Hashable, Change] = OrderedDict()
        self._names = 0
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, change: Change) -> int:
        """Add a change; return how many of the oldest had to make room for it."""
        key, change = self._merged(change)
        if key not in self._waiting:
            self._names += _names(change)
        self._waiting[key] = change
        dropped = 0
        while self._names > self._most and len(self._waiting) > 1:
            self._remove(next(iter(self._waiting)))
            dropped += 1
        return dropped

    def take(self, most: int) -> list[Change]:
        """Remove and return the oldest changes, of at most ``most`` names or else one."""
        taken: list[Change] = []
        names = 0
        while self._waiting:
            key, change = next(iter(self._waiting.items()))
            names += _names(change)
            if taken and names > most:
                break
            taken.append(change)
            self._remove(key)
        return taken

    def _merged(self, change: Change) -> tuple[Hashable, Change]:
        match change:
            case UserChange(tenant, user_id, 0):
                self._remove((tenant, user_id))
                self._remove((tenant, user_id, 0))
                return (tenant, user_id, 0), change
            case UserChange(tenant, user_id, version):
                before = self._waiting.get((tenant, user_id))
                if isinstance(before, UserChange) and before.version > version:
                    change = before
                return (tenant, user_id), change
            case ProfileChange(tenant, user_id):
                return ("profile", tenant, user_id), change
            case Applied(channel, position):
                before = self._remove(channel)
                if isinstance(before, Applied):
                    position = {
                        partition: max(
                            position.get(partition, 0), before.position.get(partition, 0)
                        )
                        for partition in {**before.position, **position}
                    }
                return channel, Applied(channel, position)
        return next(self._numbers), change

    def _remove(self, key: Hashable) -> Change | None:
        change = self._waiting.pop(key, None)
        if change is not None:
            self._names -= _names(change)
        return change


def encode(origin: str, changes: Sequence[Change]) -> bytes:
    """Write changes as one message of the process ``origin``.

    Raises:
        TypeError: there is text that cannot be written.
    """
    return orjson.dumps([_FORMAT, origin, [_fields(change) for change in changes]])


def decode(body: bytes, own: str) -> list[Change]:
    """Read a message; of one by ``own``, nothing.

    Raises:
        ValueError: it is no message that `encode` wrote.
    """
    if len(body) > MESSAGE_BYTES_MAX:
        raise ValueError(f"a message of {len(body)} bytes")
    match orjson.loads(body):
        case [int(number), str(origin), [*changes]] if number == _FORMAT:
            return [] if origin == own else [_change(fields) for fields in changes]
    raise ValueError("no message of this format")


def _names(change: Change) -> int:
    if isinstance(change, ItemsChange):
        return max(1, len(change.item_ids) + len(change.ready))
    return 1


def _fields(change: Change) -> list[object]:
    match change:
        case UserChange(tenant, user_id, version):
            return ["user", tenant, user_id, version]
        case ProfileChange(tenant, user_id):
            return ["profile", tenant, user_id]
        case ItemsChange(tenant, item_ids, ready):
            return ["items", tenant, item_ids, ready]
        case EventFailed(tenant, user_id, event_id, reason):
            # it may quote what an event had in it
            written = reason[:_REASON_MAX].encode(errors="replace").decode()
            return ["failed", tenant, user_id, event_id, written]
        case Applied(channel, position):
            return ["applied", channel, list(position.items())]


def _change(fields: object) -> Change:
    match fields:
        case ["user", str(tenant), str(user_id), int(version)]:
            return UserChange(tenant, user_id, version)
        case ["profile", str(tenant), str(user_id)]:
            return ProfileChange(tenant, user_id)
        case ["items", str(tenant), [*item_ids], [*ready]]:
            return ItemsChange(tenant, _texts(item_ids), _texts(ready))
        case ["failed", str(tenant), str(user_id), str(event_id), str(reason)]:
            return EventFailed(tenant, user_id, event_id, reason)
        case ["applied", ("events" | "items" | "pairs") as channel, [*places]]:
            return Applied(channel, dict(_place(place) for place in places))
    raise ValueError("no change of ours")


def _texts(values: Sequence[object]) -> tuple[str, ...]:
    texts = tuple(value for value in values if isinstance(value, str))
    if len(texts) != len(values):
        raise ValueError("an id that is no text")
    return texts


def _place(place: object) -> tuple[int, int]:
    match place:
        case [int(partition), int(offset)]:
            return partition, offset
    raise ValueError("no place in a log")
