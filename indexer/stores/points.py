"""Small pieces that every collection's code shares."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from qdrant_client import models

from indexer.domain.vectors import Vector
from indexer.ports import VectorStore

__all__ = ["WRITE_MAX", "any_of", "equals", "point", "scoped", "upsert_paced", "vector_of"]

WRITE_MAX: Final = 32
"""Points in one write: in the embedded store about 4 ms, in which nothing else moves."""


def point(
    point_id: str, vectors: Mapping[str, Vector], payload: dict[str, Any]
) -> models.PointStruct:
    """Make a point of checked vectors, without having pydantic look at each number again."""
    lists = {name: vector.tolist() for name, vector in vectors.items()}
    return models.PointStruct.model_construct(id=point_id, vector=lists, payload=payload)


def vector_of(record: models.Record, name: str) -> Vector | None:
    """Return a stored vector as ``(d,) float32``, or None where the point has none."""
    vectors = record.vector
    found = vectors.get(name) if isinstance(vectors, dict) else None
    return np.asarray(found, dtype=np.float32) if found else None


def equals(key: str, value: str | bool) -> models.FieldCondition:
    """Match points whose ``key`` is, or contains, ``value``."""
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def any_of(key: str, values: Sequence[str]) -> models.FieldCondition:
    """Match points whose ``key`` is, or contains, one of ``values``."""
    return models.FieldCondition(key=key, match=models.MatchAny(any=list(values)))


def scoped(
    tenant: str,
    must: Sequence[models.Condition] = (),
    must_not: Sequence[models.Condition] = (),
) -> models.Filter:
    """Make a filter that never leaves the tenant."""
    return models.Filter.model_construct(
        must=[_tenant_is(tenant), *must], must_not=list(must_not) or None
    )


@lru_cache(maxsize=1_024)
def _tenant_is(tenant: str) -> models.FieldCondition:
    return equals("tenant", tenant)


async def upsert_paced(
    store: VectorStore,
    collection: str,
    points: Sequence[models.PointStruct],
    versioned_by: str | None = None,
) -> None:
    """Write points a few at a time, letting other work in between.

    ``versioned_by``: a number in the payload; what is stored with a higher one stays.
    """
    for start in range(0, len(points), WRITE_MAX):
        if start:
            await asyncio.sleep(0)
        some = points[start : start + WRITE_MAX]
        if versioned_by is None:
            await store.upsert(collection, some)
        else:
            await store.upsert_unless_older(collection, some, versioned_by)
