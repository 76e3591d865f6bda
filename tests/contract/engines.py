"""The engines behind the store port, each opened the same way, and points to put in them."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient, models

from indexer.domain.ids import point_id
from indexer.ports import Hit, VectorStore
from indexer.stores.edge import EdgeStore
from indexer.stores.server import Layout, ServerStore

SERVER_URL = os.environ.get("RECSVC_TEST_QDRANT_URL", "")
KINDS = ["edge", "local", "rest", "grpc", *(["server"] if SERVER_URL else [])]
"""``edge``: Qdrant Edge. ``local``: qdrant-client's local mode. ``rest``, ``grpc``: the stand-in
server. ``server``: the Qdrant server that ``RECSVC_TEST_QDRANT_URL`` names."""
SERVERS = [kind for kind in KINDS if kind not in ("edge", "local")]

CONTENT = {"content": models.VectorParams(size=8, distance=models.Distance.COSINE)}
UNSEARCHED = models.HnswConfigDiff(m=0)
HEAT = {"heat": models.VectorParams(size=1, distance=models.Distance.DOT)}
NEAR = {"near": models.SparseVectorParams()}


def port_of(kind: str, url: str) -> int:
    """Return the port of a server on which a ``kind`` of it is spoken to."""
    if kind == "grpc":
        told = httpx.get(f"{url}/stand-in", trust_env=False).raise_for_status()
        return int(told.json()["grpc_port"])
    return httpx.URL(url).port or 6333


def connected(kind: str, stand_in_url: str, prefix: str) -> ServerStore:
    """Connect to a server of ``kind``, whose collections are apart by a prefix."""
    url = SERVER_URL if kind == "server" else stand_in_url
    port = port_of(kind, url) if kind == "grpc" else None
    return ServerStore.connect([url], grpc_port=port, layout=Layout(prefix=prefix))


@asynccontextmanager
async def opened(kind: str, folder: Path, stand_in_url: str) -> AsyncIterator[VectorStore]:
    """Open an engine of ``kind`` with no collections."""
    if kind in ("edge", "local"):
        store: VectorStore = EdgeStore(folder) if kind == "edge" else ServerStore.local()
        yield store
        await store.close()
        return
    prefix = f"test-{uuid.uuid4().hex[:12]}-"
    store = connected(kind, stand_in_url, prefix)
    try:
        yield store
    finally:
        await store.close()
        await tidy(SERVER_URL if kind == "server" else stand_in_url, prefix)


async def tidy(url: str, prefix: str) -> None:
    """Delete all collections of a prefix; their aliases go with them."""
    # Without certificates, as reading them takes longer than most tests.
    client = AsyncQdrantClient(url=url, check_compatibility=False, trust_env=False, verify=False)
    try:
        for one in (await client.get_collections()).collections:
            if one.name.startswith(prefix):
                await client.delete_collection(one.name)
    finally:
        await client.close()


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
