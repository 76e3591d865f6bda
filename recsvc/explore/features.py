"""Sums up what items can be filtered by. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from indexer.domain.items import FilterKind

__all__ = ["VALUES_MAX", "summary"]

VALUES_MAX: Final = 50
"""Values that are told of one feature."""

_TYPES: Final[Mapping[FilterKind, tuple[type, ...]]] = {
    "keyword": (str,),
    "number": (int, float),
    "bool": (bool,),
}


def summary(
    kinds: Mapping[str, FilterKind], items: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return of each feature its kind, its most frequent values, and the range of numbers.

    ``items``: their features. An item counts once for each of its values.
    """
    counts: dict[str, Counter[Any]] = {name: Counter() for name in kinds}
    for features in items:
        for name in features.keys() & counts.keys():
            counts[name].update(set(_values(features[name], kinds[name])))
    return [_feature(name, kinds[name], counts[name]) for name in sorted(kinds)]


def _feature(name: str, kind: FilterKind, counts: Counter[Any]) -> dict[str, Any]:
    numbers = counts.keys() if kind == "number" else ()
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))[:VALUES_MAX]
    return {
        "name": name,
        "kind": kind,
        "values": [] if kind == "number" else [{"value": v, "count": n} for v, n in ordered],
        "min": min(numbers, default=None),
        "max": max(numbers, default=None),
    }


def _values(value: object, kind: FilterKind) -> Iterator[object]:
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, _TYPES[kind]) and isinstance(one, bool) == (kind == "bool"):
            yield one
