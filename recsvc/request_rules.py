"""Rules that a request brings along: `boost=brand=acme^1.5`, `cap=brand:2`, `pin=p1:1`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from indexer.domain.ids import is_id
from indexer.errors import FieldError, InvalidInput
from recsvc.rules import NO_RULES, Boost, Cap, Pin, Rules

__all__ = ["RULES_MAX", "request_rules"]

RULES_MAX: Final = 20
_FACTOR_LEAST, _FACTOR_MOST = 0.1, 10.0
_PLACES_MAX: Final = 100
_FEATURE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
_PLACE: Final = re.compile(r"[0-9]{1,3}")

T = TypeVar("T")


def request_rules(boosts: Sequence[str], caps: Sequence[str], pins: Sequence[str]) -> Rules:
    """Read the rules of a request.

    Raises:
        InvalidInput: naming the parameter, the value and what is accepted.
    """
    if not (boosts or caps or pins):
        return NO_RULES
    return Rules(
        boosts=_all("boost", boosts, _boost),
        caps=_all("cap", caps, _cap),
        pins=_all("pin", pins, _pin),
    )


def _all(name: str, texts: Sequence[str], read: Callable[[str], T]) -> tuple[T, ...]:
    found = []
    for text in texts:
        try:
            found.append(read(text))
        except ValueError as exc:
            raise InvalidInput([FieldError((name,), f"{text[:80]!r}: {exc}")]) from exc
    return tuple(found)


def _boost(text: str) -> Boost:
    condition, mark, factor = text.rpartition("^")
    try:
        number = float(factor) if mark else float("nan")
    except ValueError:
        number = float("nan")
    if not _FACTOR_LEAST <= number <= _FACTOR_MOST:  # nan is in no range
        raise ValueError(
            f"accepted: a filter, ^ and a factor from {_FACTOR_LEAST:g} to {_FACTOR_MOST:g}, "
            "such as brand=acme^1.5"
        )
    return Boost(number, filter=(condition,))


def _cap(text: str) -> Cap:
    feature, _, most = text.rpartition(":")
    if not _FEATURE.fullmatch(feature):
        raise ValueError("accepted: a feature, a colon and a number, such as brand:2")
    return Cap(feature, _place(most, "brand:2"))


def _pin(text: str) -> Pin:
    item_id, _, position = text.rpartition(":")
    if not is_id(item_id):
        raise ValueError("accepted: an item id, a colon and a position, such as p1:1")
    return Pin(item_id, _place(position, "p1:1"))


def _place(text: str, example: str) -> int:
    if not _PLACE.fullmatch(text) or not 1 <= int(text) <= _PLACES_MAX:
        raise ValueError(f"accepted: 1 to {_PLACES_MAX} after the last colon, such as {example}")
    return int(text)
