"""Places in a log of several partitions, and which partition is whose.

All events of a user are in one partition, all changes of an item in one: what is in a partition is
ordered, and has one reader at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from indexer.domain.ids import DEFAULT_TENANT

__all__ = ["Position", "log_key", "partition_of", "position_of", "read_position", "show_position"]

Position = Mapping[int, int]
"""The last offset by partition; partitions that are not told do not matter."""

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_BITS: Final = 0xFFFFFFFF
_DIGITS_MAX: Final = 19


def log_key(tenant: str, name: str) -> str:
    """Name a user or an item as the keys of a shared log do: ``name``, or ``tenant/name``."""
    return name if tenant == DEFAULT_TENANT else f"{tenant}/{name}"


@lru_cache(maxsize=131_072)
def partition_of(tenant: str, name: str, partitions: int) -> int:
    """Return the partition of a user or an item.

    The hash is murmur2 of `log_key`, which Kafka's own clients use: what they send with that key
    is in the right partition at once.
    """
    if partitions == 1:
        return 0
    return (_murmur2(log_key(tenant, name).encode()) & 0x7FFFFFFF) % partitions


def position_of(places: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Return the newest of some (partition, offset) in each partition."""
    position: dict[int, int] = {}
    for partition, offset in places:
        position[partition] = max(offset, position.get(partition, offset))
    return position


def show_position(position: Position) -> str:
    """Write a position as clients are given it: ``offset``, or ``partition:offset`` by dots."""
    if position.keys() <= {0}:
        return str(position.get(0, 0))
    return ".".join(f"{partition}:{offset}" for partition, offset in sorted(position.items()))


def read_position(text: str) -> dict[int, int]:
    """Undo `show_position`.

    Raises:
        ValueError: it is none that we gave.
    """
    position: dict[int, int] = {}
    for part in text.split("."):
        partition, colon, offset = part.rpartition(":")
        numbers = (partition if colon else "0", offset)
        if not all(n.isascii() and n.isdigit() and len(n) <= _DIGITS_MAX for n in numbers):
            raise ValueError(f"{text[:60]!r} is not a position that we gave")
        position[int(numbers[0])] = int(numbers[1])
    return position


def _murmur2(data: bytes) -> int:
    """Return the 32-bit MurmurHash2 of ``data`` as Kafka's Java client computes it."""
    value = (_SEED ^ len(data)) & _BITS
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _M & _BITS
        word = (word ^ word >> 24) * _M & _BITS
        value = (value * _M & _BITS) ^ word
    if rest := data[whole:]:
        value = (value ^ int.from_bytes(rest, "little")) * _M & _BITS
    value = (value ^ value >> 13) * _M & _BITS
    return value ^ value >> 15
