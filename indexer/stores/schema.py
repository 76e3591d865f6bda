"""The collections: what they hold, how they are made, and the check that they still fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from qdrant_client import models

from indexer.domain.ids import point_id
from indexer.errors import SchemaMismatch, StoreError
from indexer.ports import VectorStore

__all__ = [
    "COLLECTIONS",
    "HEAT",
    "HOT",
    "ITEMS",
    "NEAR",
    "NEIGHBOURS",
    "PROFILES",
    "TERMS",
    "USERS",
    "WEBHOOKS",
    "LogIdentity",
    "is_older",
    "prepare",
    "prepare_webhooks",
]

ITEMS: Final = "items"
USERS: Final = "users"
PROFILES: Final = "profiles"
NEIGHBOURS: Final = "neighbours"
TERMS: Final = "terms"
WEBHOOKS: Final = "webhooks"

NEAR: Final = "near"
HEAT: Final = "heat"
HOT: Final = "hot"

_VERSION = 3
_KEYWORD, _FLOAT, _BOOL = (
    models.PayloadSchemaType.KEYWORD,
    models.PayloadSchemaType.FLOAT,
    models.PayloadSchemaType.BOOL,
)
_META = point_id("meta", "", "schema")


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection. ``dim`` None: the embedding's. ``searched``: by nearest neighbour."""

    name: str
    vectors: Mapping[str, models.Distance]
    indexes: Mapping[str, models.PayloadSchemaType]
    searched: bool = False
    dim: int | None = None
    sparse: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """Which kind of log the collections are folded from; offsets of two are never compared."""

    kind: str
    partitions: int

    def __str__(self) -> str:
        many = "1 partition" if self.partitions == 1 else f"{self.partitions} partitions"
        return f"a {self.kind} log of {many}"


@dataclass(frozen=True, slots=True)
class _Stored:
    embedder: str
    dim: int
    log: LogIdentity
    version: int = field(default=_VERSION)


COLLECTIONS: Final = (
    Collection(
        ITEMS,
        {"content": models.Distance.COSINE},
        {"tenant": _KEYWORD, "pending": _BOOL},
        searched=True,
    ),
    # Dot product, as a cosine collection would normalise the decayed sums and lose their size.
    Collection(
        USERS,
        {"long": models.Distance.DOT, "short": models.Distance.DOT},
        {"tenant": _KEYWORD, "waiting": _KEYWORD, "parked": _BOOL},
    ),
    Collection(PROFILES, {"profile": models.Distance.DOT}, {"tenant": _KEYWORD}),
    # One number an item, as a vector of one dimension: "most popular" is then the nearest
    # neighbours of [1.0], and an event changes no indexed point of `items`.
    Collection(
        NEIGHBOURS,
        {HEAT: models.Distance.DOT, HOT: models.Distance.DOT},
        {"tenant": _KEYWORD},
        dim=1,
        sparse=(NEAR,),
    ),
    Collection(TERMS, {"content": models.Distance.COSINE}, {"tenant": _KEYWORD}),
)

# Documents only. It is made with the first webhook, and nothing in it is folded from the log.
_WEBHOOKS: Final = Collection(
    WEBHOOKS,
    {"none": models.Distance.DOT},
    dict.fromkeys(("tenant", "kind", "webhook_id", "user_id", "partition", "state"), _KEYWORD),
    dim=1,
)


async def is_older(store: VectorStore) -> bool:
    """Whether the collections are of an earlier layout, and what is folded must be folded anew."""
    if not await store.collection_exists(TERMS):
        return False
    found = await store.retrieve(TERMS, [_META])
    return bool(found) and (found[0].payload or {})["version"] < _VERSION


async def prepare(store: VectorStore, *, dim: int, embedder: str, log: LogIdentity) -> None:
    """Create what is missing; check the rest.

    Raises:
        SchemaMismatch: a collection has other vectors than the settings ask for, or was filled
            by another embedder or from another log.
    """
    for collection in COLLECTIONS:
        await _prepare_one(store, collection, collection.dim or dim)
    found = await store.retrieve(TERMS, [_META])
    payload = (found[0].payload or {}) if found else {}
    if payload:
        _check(payload, embedder, log)
    if payload.get("version") != _VERSION:
        await _record(store, _Stored(embedder, dim, log))


async def prepare_webhooks(store: VectorStore) -> None:
    """Create the collection of webhooks where it is missing; the others do without it."""
    await _prepare_one(store, _WEBHOOKS, 1)


def _check(payload: Mapping[str, Any], embedder: str, log: LogIdentity) -> None:
    version = payload["version"]
    if version > _VERSION:
        raise SchemaMismatch(
            f"the collections are of layout {version}, this version knows {_VERSION}; "
            "use the newer version, or start with an empty RECSVC_DATA_DIR or Qdrant"
        )
    if payload["embedder"] != embedder:
        raise SchemaMismatch(
            f"the catalogue was embedded by {payload['embedder']!r}, the settings choose "
            f"{embedder!r}, and vectors of the two cannot be compared; set "
            "RECSVC_OFFLINE_EMBEDDER, RECSVC_PROVIDER_BASE_URL and RECSVC_EMBEDDING_MODEL as "
            "they were, or load the catalogue into a new RECSVC_DATA_DIR"
        )
    stored = LogIdentity(payload["log"], payload["partitions"]) if "log" in payload else log
    if stored != log:
        raise SchemaMismatch(
            f"the collections are folded from {stored}, the settings choose {log}; set "
            "RECSVC_EVENT_LOG_URL and RECSVC_EVENT_LOG_PARTITIONS as they were, or carry the log "
            "over with 'indexer export' and 'indexer import', and run 'indexer rebuild'"
        )


async def _prepare_one(store: VectorStore, collection: Collection, dim: int) -> None:
    if not await store.collection_exists(collection.name):
        await _create(store, collection, dim)
    stored = await store.vectors_of(collection.name)
    for name, distance in collection.vectors.items():
        if stored.get(name) != (dim, distance):
            size, kind = stored.get(name, (0, None))
            raise SchemaMismatch(
                f"collection {collection.name!r} has vector {name!r} of {size} dimensions "
                f"({kind and kind.value}), the settings need {dim} ({distance.value}); set "
                f"RECSVC_EMBEDDING_DIM={size}, or load the catalogue into a new RECSVC_DATA_DIR"
            )
    indexed = await store.payload_indexes(collection.name)
    for key, index in collection.indexes.items():
        if key not in indexed:
            await store.create_payload_index(collection.name, key, index)


async def _create(store: VectorStore, collection: Collection, dim: int) -> None:
    try:
        await store.create_collection(
            collection.name,
            {
                name: models.VectorParams(size=dim, distance=distance)
                for name, distance in collection.vectors.items()
            },
            sparse_vectors_config={name: models.SparseVectorParams() for name in collection.sparse},
            hnsw_config=None if collection.searched else models.HnswConfigDiff(m=0),
        )
    except StoreError:
        if not await store.collection_exists(collection.name):  # else another process was quicker
            raise


async def _record(store: VectorStore, stored: _Stored) -> None:
    payload = {
        "embedder": stored.embedder,
        "dim": stored.dim,
        "log": stored.log.kind,
        "partitions": stored.log.partitions,
        "version": stored.version,
    }
    await store.upsert(TERMS, [models.PointStruct(id=_META, vector={}, payload=payload)])
