"""Writing only what is not older than what is stored, as the engine or its only user compares."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from qdrant_client import models

from indexer.errors import StoreError

__all__ = ["newest", "not_above", "not_older"]


def newest(points: Sequence[models.PointStruct], key: str) -> list[models.PointStruct]:
    """Leave out the older of points with the same id, as one write takes the last of them.

    Raises:
        StoreError: a point without the number.
    """
    kept: dict[object, tuple[float, models.PointStruct]] = {}
    for point in points:
        number = _number(point, key)
        if point.id not in kept or number >= kept[point.id][0]:
            kept[point.id] = (number, point)
    return [point for _, point in kept.values()]


def not_above(points: Sequence[models.PointStruct], key: str) -> models.Filter:
    """Match stored points but those whose number is above that of their successor.

    It is one condition for all, as each write with one of its own is synced to disk by itself.
    """
    ids: defaultdict[float, list[models.ExtendedPointId]] = defaultdict(list)
    for point in points:
        ids[_number(point, key)].append(point.id)
    newer: list[models.Condition] = [
        models.Filter(
            must=[
                models.HasIdCondition(has_id=together),
                models.FieldCondition(key=key, range=models.Range(gt=number)),
            ]
        )
        for number, together in ids.items()
    ]
    return models.Filter(must_not=newer)


def not_older(
    points: Sequence[models.PointStruct], key: str, stored: Mapping[str, Any]
) -> list[models.PointStruct]:
    """Leave out points whose number is below the stored one; ``stored``: payloads by id."""
    numbers = {point_id: (payload or {}).get(key) for point_id, payload in stored.items()}
    return [
        point for point in points if not _exceeds(numbers.get(str(point.id)), _number(point, key))
    ]


def _exceeds(stored: Any, number: float) -> bool:
    return isinstance(stored, int | float) and stored > number


def _number(point: models.PointStruct, key: str) -> float:
    number = (point.payload or {}).get(key)
    if isinstance(number, bool) or not isinstance(number, int | float) or math.isnan(number):
        raise StoreError(f"point {point.id!r} has no number {key!r}")
    return number
