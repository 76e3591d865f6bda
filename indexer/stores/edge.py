"""Qdrant Edge behind the store port: Qdrant's engine in this process, one shard a collection.

Every call holds the interpreter lock and takes well under a millisecond, so calls are made on the
event loop itself. Nothing is ever optimised, as that would stop the process for seconds: vectors
that are searched are kept flat with one bit a dimension, and the best few hundred are scored
again in full (192 of them is what recall at 10 needs; see docs/architecture.md).

A filter makes such a scan look up every point, so two kinds of condition are met without one,
with the same answer: ids to leave out are dropped from a longer list, and a condition on the
tenant is left out while the collection holds no other.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import qdrant_edge as edge
from qdrant_client import models

from indexer.errors import StoreError
from indexer.ports import Hit, PointId
from indexer.stores import edge_convert as convert

__all__ = ["EdgeStore"]

_SPEC_FILE = "recsvc.json"
_TENANT = "tenant"
_RESCORED = 192.0
_OVERSAMPLING_MIN = 2.0
_SKIPPED_AT_ONCE = 64


class EdgeStore:
    """A `VectorStore` in a folder. One process, one event loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shards: dict[str, edge.EdgeShard] = {}
        self._specs: dict[str, dict[str, Any]] = {}
        self._tenants: dict[str, set[str]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for spec in sorted(folder.glob(f"*/{_SPEC_FILE}")):
            name = spec.parent.name
            self._specs[name] = orjson.loads(spec.read_bytes())
            with _ours(name):
                shard = edge.EdgeShard.load(str(spec.parent), _config(self._specs[name]))
                self._shards[name], self._tenants[name] = shard, _tenants_in(shard)

    async def collection_exists(self, collection_name: str) -> bool:
        return collection_name in self._shards

    async def create_collection(
        self,
        collection_name: str,
        vectors_config: Mapping[str, models.VectorParams],
        *,
        hnsw_config: models.HnswConfigDiff | None = None,
    ) -> None:
        """Create a shard. ``hnsw_config`` with m=0 says that its vectors are not searched."""
        spec = {
            "vectors": {
                name: [params.size, params.distance.value]
                for name, params in vectors_config.items()
            },
            "searched": hnsw_config is None or hnsw_config.m != 0,
        }
        folder = self._folder / collection_name
        with _ours(collection_name):
            folder.mkdir(exist_ok=True)
            self._shards[collection_name] = edge.EdgeShard.create(str(folder), _config(spec))
        self._specs[collection_name], self._tenants[collection_name] = spec, set()
        (folder / _SPEC_FILE).write_bytes(orjson.dumps(spec))

    async def delete_collection(self, collection_name: str) -> None:
        with self._using(collection_name) as shard:
            shard.close()
        del self._shards[collection_name], self._specs[collection_name]
        del self._tenants[collection_name]
        shutil.rmtree(self._folder / collection_name)

    async def vectors_of(self, collection_name: str) -> dict[str, tuple[int, models.Distance]]:
        vectors = self._specs[collection_name]["vectors"]
        return {
            name: (size, models.Distance(distance)) for name, (size, distance) in vectors.items()
        }

    async def payload_indexes(self, collection_name: str) -> dict[str, models.PayloadSchemaType]:
        ours = {theirs: ours for ours, theirs in convert.INDEXES.items()}
        with self._using(collection_name) as shard:
            schema = shard.info().payload_schema
        return {key: ours[index.data_type] for key, index in schema.items()}

    async def create_payload_index(
        self, collection_name: str, field_name: str, field_schema: models.PayloadSchemaType
    ) -> None:
        kind = convert.INDEXES[field_schema]
        self._update(collection_name, edge.UpdateOperation.create_field_index(field_name, kind))

    async def upsert(self, collection_name: str, points: Sequence[models.PointStruct]) -> None:
        converted = [edge.Point(p.id, p.vector, p.payload) for p in points]  # type: ignore[arg-type]
        if collection_name in self._tenants:
            self._tenants[collection_name].update(
                (p.payload or {}).get(_TENANT, "") for p in points
            )
        self._update(collection_name, edge.UpdateOperation.upsert_points(converted))

    async def set_payload(
        self, collection_name: str, payload: Mapping[str, Any], points: Sequence[PointId]
    ) -> None:
        operation = edge.UpdateOperation.set_payload(list(points), dict(payload))
        self._update(collection_name, operation)

    async def overwrite_payload(
        self, collection_name: str, payload: Mapping[str, Any], points: Sequence[PointId]
    ) -> None:
        operation = edge.UpdateOperation.overwrite_payload(list(points), dict(payload))
        self._update(collection_name, operation)

    async def delete(self, collection_name: str, points: Sequence[PointId]) -> None:
        self._update(collection_name, edge.UpdateOperation.delete_points(list(points)))

    async def retrieve(
        self,
        collection_name: str,
        ids: Sequence[PointId],
        *,
        with_payload: bool | Sequence[str] = True,
        with_vectors: bool | Sequence[str] = False,
    ) -> list[models.Record]:
        with self._using(collection_name) as shard:
            found = shard.retrieve(
                list(ids),
                with_payload=convert.payload_selector(with_payload),
                with_vector=convert.payload_selector(with_vectors),
            )
            return [_record(record) for record in found]

    async def query_points(
        self,
        collection_name: str,
        query: models.NearestQuery | models.FusionQuery | list[float] | None = None,
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
        query_filter = self._without_sole_tenant(collection_name, query_filter)
        if isinstance(query, list) and not prefetch and query_filter is not None:
            skipped, rest = _split_excluded(query_filter)
            if skipped:
                request = _Nearest(collection_name, query, using, rest, exact, with_payload)
                return self._nearest_but(request, skipped, limit, offset)
        params = self._params(collection_name, limit + offset, exact)
        with self._using(collection_name) as shard:
            found = shard.query(
                edge.QueryRequest(
                    limit=limit,
                    offset=offset,
                    query=convert.query(query, using),
                    prefetches=convert.prefetch(prefetch, params),
                    filter=convert.filter_of(query_filter),
                    params=params,
                    with_payload=convert.payload_selector(with_payload),
                )
            )
            return [_hit(point) for point in found]

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
        with self._using(collection_name) as shard:
            found, following = shard.scroll(
                edge.ScrollRequest(
                    offset=offset,
                    limit=limit,
                    filter=convert.filter_of(scroll_filter),
                    with_payload=convert.payload_selector(with_payload),
                    with_vector=convert.payload_selector(with_vectors),
                )
            )
            return (
                [_record(record) for record in found],
                None if following is None else str(following),
            )

    async def count(self, collection_name: str, count_filter: models.Filter | None = None) -> int:
        with self._using(collection_name) as shard:
            return shard.count(edge.CountRequest(filter=convert.filter_of(count_filter)))

    async def flush(self) -> None:
        for name, shard in self._shards.items():
            with _ours(name):
                shard.flush()

    async def ping(self) -> None:
        if not self._shards:
            raise StoreError("the embedded store is closed")

    async def close(self) -> None:
        """Flush and release the shards; calls after this raise."""
        await self.flush()
        while self._shards:
            _, shard = self._shards.popitem()
            shard.close()

    def _nearest_but(
        self, request: _Nearest, skipped: frozenset[str], limit: int, offset: int
    ) -> list[Hit]:
        """Search beyond the excluded points and drop them.

        The same answer as with a filter, which would make the scan look up every point: at most
        ``len(skipped)`` of the first ``wanted + len(skipped)`` are dropped. Most excluded points
        rank low, so a shorter search is tried first.
        """
        wanted = limit + offset
        kept: list[Hit] = []
        with self._using(request.collection) as shard:
            for extra in sorted({min(len(skipped), _SKIPPED_AT_ONCE), len(skipped)}):
                found = shard.query(
                    edge.QueryRequest(
                        limit=wanted + extra,
                        query=convert.query(request.query, request.using),
                        filter=convert.filter_of(request.rest),
                        params=self._params(request.collection, wanted + extra, request.exact),
                    )
                )
                kept = _without(found, skipped, wanted)
                if len(kept) >= wanted or len(found) < wanted + extra:
                    break
            kept = kept[offset:]
            payloads: dict[str, Any] = {}
            if request.with_payload:
                selector = convert.payload_selector(request.with_payload)
                found_payloads = shard.retrieve([hit.id for hit in kept], selector, False)
                payloads = {str(record.id): record.payload for record in found_payloads}
            return [Hit(hit.id, hit.score, payloads.get(hit.id) or {}) for hit in kept]

    def _without_sole_tenant(
        self, collection: str, source: models.Filter | None
    ) -> models.Filter | None:
        """Leave out a condition on the tenant that all points of the collection meet."""
        tenants = self._tenants.get(collection, set())
        if source is None or len(tenants) != 1 or not isinstance(source.must, list):
            return source
        (sole,) = tenants
        kept = [one for one in source.must if not _asks_for_tenant(one, sole)]
        return _rebuilt(source, must=kept, must_not=source.must_not)

    def _params(self, collection: str, rows: int, exact: bool) -> edge.SearchParams | None:
        if not self._specs[collection]["searched"]:
            return None
        if exact:
            return edge.SearchParams(exact=True)
        oversampling = max(_OVERSAMPLING_MIN, _RESCORED / max(rows, 1))
        return edge.SearchParams(
            quantization=edge.QuantizationSearchParams(rescore=True, oversampling=oversampling)
        )

    def _update(self, collection: str, operation: edge.UpdateOperation) -> None:
        with self._using(collection) as shard:
            shard.update(operation)

    @contextmanager
    def _using(self, collection: str) -> Iterator[edge.EdgeShard]:
        shard = self._shards.get(collection)
        if shard is None:
            raise StoreError(f"the embedded store has no open collection {collection!r}")
        with _ours(collection):
            yield shard


class _Nearest:
    """A plain nearest-neighbour request without its exclusions."""

    __slots__ = ("collection", "exact", "query", "rest", "using", "with_payload")

    def __init__(
        self,
        collection: str,
        query: list[float],
        using: str | None,
        rest: models.Filter | None,
        exact: bool,
        with_payload: bool | Sequence[str],
    ) -> None:
        self.collection, self.query, self.using = collection, query, using
        self.rest, self.exact, self.with_payload = rest, exact, with_payload


def _split_excluded(source: models.Filter) -> tuple[frozenset[str], models.Filter | None]:
    """Take the excluded point ids out of a filter's ``must_not``."""
    denied = source.must_not if isinstance(source.must_not, list) else []
    ids = [one for one in denied if isinstance(one, models.HasIdCondition)]
    if not ids:
        return frozenset(), source
    others = [one for one in denied if not isinstance(one, models.HasIdCondition)]
    rest = _rebuilt(source, must=source.must, must_not=others)
    return frozenset(str(i) for one in ids for i in one.has_id), rest


def _without(found: Sequence[Any], skipped: frozenset[str], most: int) -> list[Hit]:
    """Return the first ``most`` of the found points that are not skipped, without payloads."""
    kept: list[Hit] = []
    for point in found:
        point_id = str(point.id)
        if point_id not in skipped:
            kept.append(Hit(point_id, point.score, {}))
            if len(kept) == most:
                break
    return kept


def _rebuilt(source: models.Filter, *, must: Any, must_not: Any) -> models.Filter | None:
    """Return a filter with other ``must`` and ``must_not``, or None where nothing is left."""
    if not (must or must_not or source.should or source.min_should):
        return None
    return models.Filter.model_construct(
        must=must or None,
        must_not=must_not or None,
        should=source.should,
        min_should=source.min_should,
    )


def _tenants_in(shard: edge.EdgeShard) -> set[str]:
    """List the tenants of a shard, where they are indexed; else a set that never matches."""
    if _TENANT not in shard.info().payload_schema:
        return {"", "?"}
    hits = shard.facet(edge.FacetRequest(_TENANT, limit=2, exact=True)).hits
    found = {str(hit.value) for hit in hits}
    return found if sum(hit.count for hit in hits) == shard.info().points_count else {"", *found}


def _asks_for_tenant(condition: object, tenant: str) -> bool:
    return (
        isinstance(condition, models.FieldCondition)
        and condition.key == _TENANT
        and isinstance(condition.match, models.MatchValue)
        and condition.match.value == tenant
    )


def _config(spec: Mapping[str, Any]) -> edge.EdgeConfig:
    flat = edge.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10_000)
    return edge.EdgeConfig(
        vectors={
            name: edge.EdgeVectorParams(
                size=size,
                distance=convert.DISTANCES[models.Distance(distance)],
                hnsw_config=flat,
            )
            for name, (size, distance) in spec["vectors"].items()
        },
        quantization_config=edge.BinaryQuantizationConfig(memory=edge.Memory.Pinned)
        if spec["searched"]
        else None,
        max_search_threads=1,
    )


def _record(source: Any) -> models.Record:
    return models.Record.model_construct(
        id=str(source.id), payload=source.payload, vector=source.vector
    )


def _hit(source: Any) -> Hit:
    return Hit(str(source.id), source.score, source.payload or {})


@contextmanager
def _ours(collection: str) -> Iterator[None]:
    """Make Edge's errors, plain ``Exception`` with a text, ours."""
    try:
        yield
    except StoreError:
        raise
    except Exception as exc:
        raise StoreError(f"collection {collection!r}: {exc}") from exc
