"""Qdrant Edge behind the store port: Qdrant's engine in this process, one shard a collection.

Every call holds the interpreter lock and takes well under a millisecond, so calls are made on the
event loop itself. Nothing is ever optimised, as that would stop the process for seconds: vectors
that are searched are kept flat with one bit a dimension, and the best few hundred are scored
again in full (192 of them is what recall at 10 needs; see docs/architecture.md).
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import qdrant_edge as edge
from qdrant_client import models

from indexer.errors import StoreError
from indexer.ports import Hit, PointId, Query, VectorStore
from indexer.stores import edge_convert as convert
from indexer.stores.edge_folders import next_to, remove_old, settle, switch
from indexer.stores.edge_scan import NO_TENANT, TENANT, split_excluded, text_of, without_tenant
from indexer.stores.edge_search import Collection, Nearest, nearest_but
from indexer.stores.newer import newest, not_older

__all__ = ["EdgeStore"]

_SPEC_FILE = "recsvc.json"

_log = logging.getLogger(__name__)


class EdgeStore:
    """A `VectorStore` in a folder. One process, one event loop.

    A write survives the end of the process at once, and a power loss after `flush`.
    """

    durable = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._collections: dict[str, Collection] = {}
        self._closed = False
        with _ours(folder.name):
            settle(folder)
            folder.mkdir(parents=True, exist_ok=True)
        self._load()

    async def collection_exists(self, collection_name: str) -> bool:
        return collection_name in self._collections

    async def create_collection(
        self,
        collection_name: str,
        vectors_config: Mapping[str, models.VectorParams],
        *,
        sparse_vectors_config: Mapping[str, models.SparseVectorParams] | None = None,
        hnsw_config: models.HnswConfigDiff | None = None,
    ) -> None:
        """Create a shard. With m=0 in ``hnsw_config``, dense vectors are not quantised."""
        if self._closed:
            raise StoreError("the embedded store is closed")
        spec = {
            "vectors": {name: [p.size, p.distance.value] for name, p in vectors_config.items()},
            "sparse": list(sparse_vectors_config or ()),
            "searched": hnsw_config is None or hnsw_config.m != 0,
        }
        folder = self._folder / collection_name
        with _ours(collection_name):
            if not (folder / _SPEC_FILE).exists():  # what a crash half-way through here left
                shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(exist_ok=True)
            shard = edge.EdgeShard.create(str(folder), _config(spec))
            draft = folder / f"{_SPEC_FILE}.new"
            draft.write_bytes(orjson.dumps(spec))
            os.replace(draft, folder / _SPEC_FILE)
        self._collections[collection_name] = _opened(shard, spec, set())

    async def delete_collection(self, collection_name: str) -> None:
        with self._using(collection_name) as collection:
            collection.shard.close()
            del self._collections[collection_name]
            (self._folder / collection_name / _SPEC_FILE).unlink()  # first, so that none is half
            shutil.rmtree(self._folder / collection_name)

    async def vectors_of(self, collection_name: str) -> dict[str, tuple[int, models.Distance]]:
        with self._using(collection_name) as collection:
            return dict(collection.vectors)

    async def payload_indexes(self, collection_name: str) -> dict[str, models.PayloadSchemaType]:
        ours = {theirs: ours for ours, theirs in convert.INDEXES.items()}
        with self._using(collection_name) as collection:
            schema = collection.shard.info().payload_schema
            return {key: ours[index.data_type] for key, index in schema.items()}

    async def create_payload_index(
        self, collection_name: str, field_name: str, field_schema: models.PayloadSchemaType
    ) -> None:
        with self._using(collection_name) as collection:
            kind = convert.INDEXES[field_schema]
            collection.changed = True
            collection.shard.update(edge.UpdateOperation.create_field_index(field_name, kind))

    async def upsert(self, collection_name: str, points: Sequence[models.PointStruct]) -> None:
        self._write(collection_name, points)

    async def upsert_unless_older(
        self, collection_name: str, points: Sequence[models.PointStruct], key: str
    ) -> None:
        """Compare, then write: there is one writer, and nothing comes in between.

        For 32 points this takes 0.7 ms beyond an upsert; a condition for the engine took 2 ms.
        """
        points = newest(points, key)
        with self._using(collection_name) as collection:
            found = collection.shard.retrieve([point.id for point in points], [key], False)
            stored = {str(record.id): record.payload for record in found}
        self._write(collection_name, not_older(points, key, stored))

    async def delete(self, collection_name: str, points: Sequence[PointId]) -> None:
        with self._using(collection_name) as collection:
            collection.changed = True
            collection.shard.update(edge.UpdateOperation.delete_points(list(points)))

    async def retrieve(
        self,
        collection_name: str,
        ids: Sequence[PointId],
        *,
        with_payload: bool | Sequence[str] = True,
        with_vectors: bool | Sequence[str] = False,
    ) -> list[models.Record]:
        with self._using(collection_name) as collection:
            found = collection.shard.retrieve(
                list(ids),
                with_payload=convert.selector(with_payload),
                with_vector=convert.selector(with_vectors),
            )
            return [_record(record) for record in found]

    async def query_points(
        self,
        collection_name: str,
        query: Query = None,
        *,
        using: str | None = None,
        prefetch: Sequence[models.Prefetch] | None = None,
        query_filter: models.Filter | None = None,
        search_params: models.SearchParams | None = None,
        limit: int = 10,
        offset: int = 0,
        with_payload: bool | Sequence[str] = True,
    ) -> list[Hit]:
        exact = search_params is not None and bool(search_params.exact)
        with self._using(collection_name) as collection:
            query_filter = without_tenant(query_filter, collection.tenants)
            if isinstance(query, (list, models.SparseVector)) and not prefetch:
                excluded, rest = split_excluded(query_filter)
                if excluded:
                    request = Nearest(query, using, rest, exact, limit, offset, with_payload)
                    return nearest_but(collection, request, excluded)
            rows = max(limit + offset, convert.pool_of(query))
            params = collection.params(rows, rows, exact)
            found = collection.shard.query(
                edge.QueryRequest(
                    limit=limit,
                    offset=offset,
                    query=convert.query(query, using),
                    prefetches=convert.prefetch(prefetch, params),
                    filter=convert.filter_of(query_filter),
                    params=params,
                    with_payload=convert.selector(with_payload),
                )
            )
            if not with_payload:
                return [Hit(text_of(point.id), point.score, {}) for point in found]
            return [Hit(text_of(point.id), point.score, point.payload or {}) for point in found]

    async def scroll(
        self,
        collection_name: str,
        scroll_filter: models.Filter | None = None,
        *,
        limit: int = 100,
        offset: PointId | None = None,
        with_payload: bool | Sequence[str] = True,
        with_vectors: bool | Sequence[str] = False,
    ) -> tuple[list[models.Record], PointId | None]:
        with self._using(collection_name) as collection:
            found, following = collection.shard.scroll(
                edge.ScrollRequest(
                    offset=offset,
                    limit=limit,
                    filter=convert.filter_of(scroll_filter),
                    with_payload=convert.selector(with_payload),
                    with_vector=convert.selector(with_vectors),
                )
            )
            records = [_record(record) for record in found]
            return records, None if following is None else str(following)

    async def count(self, collection_name: str, count_filter: models.Filter | None = None) -> int:
        with self._using(collection_name) as collection:
            return collection.shard.count(edge.CountRequest(filter=convert.filter_of(count_filter)))

    async def pace(self, collection_name: str) -> None:
        """Nothing to wait for: nothing is indexed in the background."""

    async def beside(self) -> EdgeStore:
        """Open the folder beside this one, with what an earlier one left there."""
        if self._closed:
            raise StoreError("the embedded store is closed")
        return EdgeStore(next_to(self._folder))

    async def switch_to(self, other: VectorStore) -> None:
        """Take over the folder of the store beside this one, as a whole.

        Nothing is answered while the shards are loaded, which takes seconds for millions of points.
        """
        if not isinstance(other, EdgeStore) or other._folder != next_to(self._folder):
            raise StoreError("only a store that is beside this one can be switched to")
        await other.close()
        await self.flush()
        self._release()  # from here to the loading, nothing else in the process moves
        with _ours(self._folder.name):
            switch(self._folder)
        self._load()
        try:
            await asyncio.to_thread(remove_old, self._folder)
        except OSError as exc:  # tried again at the next start
            _log.warning("what was there before the switch is still on disk: %s", exc)

    async def flush(self) -> None:
        """Have the disk hold what has changed; each shard takes some 10 ms, others get between."""
        for name, collection in list(self._collections.items()):
            if collection.changed:
                with _ours(name):
                    collection.changed = False
                    try:
                        collection.shard.flush()
                    except Exception:
                        collection.changed = True
                        raise
                await asyncio.sleep(0)

    async def ping(self) -> None:
        if self._closed:
            raise StoreError("the embedded store is closed")

    async def close(self) -> None:
        """Flush and release the shards; calls after this raise."""
        self._closed = True
        await self.flush()
        self._release()

    def _load(self) -> None:
        for file in sorted(self._folder.glob(f"*/{_SPEC_FILE}")):
            with _ours(file.parent.name):
                spec = orjson.loads(file.read_bytes())
                shard = edge.EdgeShard.load(str(file.parent), _config(spec))
                self._collections[file.parent.name] = _opened(shard, spec, _tenants_in(shard))

    def _release(self) -> None:
        while self._collections:
            name, collection = self._collections.popitem()
            with _ours(name):
                collection.shard.close()

    def _write(self, name: str, points: Sequence[models.PointStruct]) -> None:
        with self._using(name) as collection:
            converted = [
                edge.Point(point.id, convert.vectors(point.vector), point.payload)
                for point in points
            ]
            collection.changed = True
            collection.tenants.update((p.payload or {}).get(TENANT, NO_TENANT) for p in points)
            collection.shard.update(edge.UpdateOperation.upsert_points(converted))

    @contextmanager
    def _using(self, name: str) -> Iterator[Collection]:
        collection = self._collections.get(name)
        if collection is None:
            raise StoreError(f"the embedded store has no open collection {name!r}")
        with _ours(name):
            yield collection


def _opened(shard: edge.EdgeShard, spec: Mapping[str, Any], tenants: set[str]) -> Collection:
    vectors = {
        name: (size, models.Distance(distance))
        for name, (size, distance) in spec["vectors"].items()
    }
    return Collection(shard, vectors, spec["searched"], tenants)


def _tenants_in(shard: edge.EdgeShard) -> set[str]:
    """List the tenants of a shard, as far as it takes to tell whether there is only one."""
    info = shard.info()
    if TENANT not in info.payload_schema:
        return {NO_TENANT}
    hits = shard.facet(edge.FacetRequest(TENANT, limit=2, exact=True)).hits
    everyone = sum(hit.count for hit in hits) == info.points_count
    return {str(hit.value) for hit in hits} | (set() if everyone else {NO_TENANT})


def _config(spec: Mapping[str, Any]) -> edge.EdgeConfig:
    flat = edge.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10_000)
    one_bit = edge.BinaryQuantizationConfig(memory=edge.Memory.Pinned)
    return edge.EdgeConfig(
        vectors={
            name: edge.EdgeVectorParams(
                size=size,
                distance=convert.DISTANCES[models.Distance(distance)],
                hnsw_config=flat,
            )
            for name, (size, distance) in spec["vectors"].items()
        },
        sparse_vectors={name: edge.EdgeSparseVectorParams() for name in spec.get("sparse", ())},
        quantization_config=one_bit if spec["searched"] else None,
        max_search_threads=1,
    )


def _record(source: Any) -> models.Record:
    return models.Record.model_construct(
        id=str(source.id), payload=source.payload, vector=source.vector
    )


@contextmanager
def _ours(collection: str) -> Iterator[None]:
    """Make Edge's errors, plain ``Exception`` with a text, ours."""
    try:
        yield
    except StoreError:
        raise
    except Exception as exc:
        raise StoreError(f"collection {collection!r}: {exc}") from exc
