"""The engines behind the store port, each opened the same way, and points to put in them."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from indexer.domain.ids import point_id
from indexer.ports import Hit, VectorStore
from indexer.stores.edge import EdgeStore
from indexer.stores.server import ServerStore

SERVER_URL = os.environ.get("RECSVC_TEST_QDRANT_URL", "")
KINDS = ["edge", "local", "rest", *(["server"] if SERVER_URL else [])]
"""``edge``: Qdrant Edge. ``local``: qdrant-client's local mode. ``rest``: the stand-in server.
``server``: the Qdrant server that ``RECSVC_TEST_QDRANT_URL`` names."""

CONTENT = {"content": models.VectorParams(size=8, distance=models.Distance.COSINE)}
UNSEARCHED = models.HnswConfigDiff(m=0)
HEAT = {"heat": models.VectorParams(size=1, distance=models.Distance.DOT)}
NEAR = {"near": models.SparseVectorParams()}


class Apart:
    """A store whose collections are its own, on a server that others use too."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store
        self._suffix = f"-{uuid.uuid4().hex[:12]}"
        self._made: set[str] = set()

    def __getattr__(self, call: str) -> Callable[..., Any]:
        made = getattr(self._store, call)
        if call in ("flush", "ping", "close"):
            return made
        return lambda name, *args, **kwargs: made(name + self._suffix, *args, **kwargs)

    async def create_collection(self, name: str, *args: Any, **kwargs: Any) -> None:
        self._made.add(name)
        await self._store.create_collection(name + self._suffix, *args, **kwargs)

    async def tidy(self) -> None:
        """Delete what was made."""
        for name in self._made:
            if await self.collection_exists(name):
                await self.delete_collection(name)


@asynccontextmanager
async def opened(kind: str, folder: Path, stand_in_url: str) -> AsyncIterator[VectorStore]:
    """Open an engine of ``kind`` with no collections."""
    if kind in ("edge", "local"):
        store: VectorStore = EdgeStore(folder) if kind == "edge" else ServerStore.local()
        yield store
        await store.close()
        return
    url = stand_in_url if kind == "rest" else SERVER_URL
    store = ServerStore.connect(url, None, None)
    apart = Apart(store)
    try:
        yield apart
    finally:
        await store.close()
        async with _tidying(url, apart):
            await apart.tidy()


@asynccontextmanager
async def _tidying(url: str, apart: Apart) -> AsyncIterator[None]:
    """Give ``apart`` a connection of its own, as a test may have closed the first."""
    apart._store = ServerStore.connect(url, None, None)
    yield
    await apart._store.close()


def exactly(kind: str) -> models.SearchParams | None:
    """Return what asks an engine for an exact search; local mode has no other."""
    return None if kind == "local" else models.SearchParams(exact=True)


def pid(n: int) -> str:
    """Return the id of the n-th point."""
    return point_id("test", "t", str(n))


def unit_vectors(rng: np.random.Generator, n: int, dim: int) -> NDArray[np.float32]:
    """Make ``(n, dim) float32`` of unit length."""
    vectors = rng.standard_normal((n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make_point(
    n: int, vectors: Mapping[str, Sequence[float]], **payload: Any
) -> models.PointStruct:
    """Make the n-th point."""
    named = {name: [float(x) for x in vector] for name, vector in vectors.items()}
    return models.PointStruct(id=pid(n), vector=named, payload={"n": n, **payload})


def sparse_point(
    n: int, vector: Mapping[int, float], heat: float | None = None, **payload: Any
) -> models.PointStruct:
    """Make the n-th point of a collection of `NEAR`, with values by index."""
    named: dict[str, Any] = {} if heat is None else {"heat": [heat]}
    if vector:
        named["near"] = sparse(vector)
    return models.PointStruct(id=pid(n), vector=named, payload={"n": n, **payload})


def sparse(vector: Mapping[int, float]) -> models.SparseVector:
    """Make a sparse vector of values by index."""
    rising = sorted(vector)
    return models.SparseVector(indices=rising, values=[float(vector[i]) for i in rising])


def eq(key: str, value: str | int | bool) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def one_of(key: str, *values: str) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchAny(any=list(values)))


def between(key: str, **bounds: float) -> models.FieldCondition:
    return models.FieldCondition(key=key, range=models.Range(**bounds))


def has_id(numbers: Iterable[int]) -> models.HasIdCondition:
    return models.HasIdCondition(has_id=[pid(n) for n in numbers])


def numbers(points: Iterable[Hit | models.Record]) -> list[int]:
    """Return the numbers of points, in order."""
    return [(point.payload or {})["n"] for point in points]
