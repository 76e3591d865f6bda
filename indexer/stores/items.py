"""Items as points of the `items` collection, and the features they can be filtered by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from qdrant_client import models

from indexer.domain.ids import item_point
from indexer.domain.items import FilterKind, Item
from indexer.domain.vectors import Vector, checked
from indexer.ports import PointId, VectorStore
from indexer.stores.bounded import BoundedDict
from indexer.stores.points import equals, point, scoped, upsert_paced, vector_of
from indexer.stores.schema import ITEMS

__all__ = ["FEATURE_PREFIX", "ItemPoint", "ItemPoints", "Shown"]

FEATURE_PREFIX: Final = "features."

_INDEX_OF: Final[Mapping[FilterKind, models.PayloadSchemaType]] = {
    "keyword": models.PayloadSchemaType.KEYWORD,
    "number": models.PayloadSchemaType.FLOAT,
    "bool": models.PayloadSchemaType.BOOL,
}
_KIND_OF: Final = {index: kind for kind, index in _INDEX_OF.items()}
_AVAILABILITY = ("available_from", "available_until")
_VECTORS_CACHED = 8_192
_FEATURES_CACHED = 32_768


Shown = tuple[str, Mapping[str, Any]]
"""Item id and features: what a list of items shows."""


@dataclass(frozen=True, slots=True)
class ItemPoint:
    """An item as stored. ``pending``: why it has no (new) vector yet, or None."""

    item: Item
    digest: str
    text_hash: str
    offset: int
    pending: str | None = None


class ItemPoints:
    """Reads and writes items. Vectors and features of the last used ones stay in memory until this
    object writes them, or is told to `forget` what others have written. ``guarded``: one that has
    lost a partition may still write.
    """

    def __init__(
        self, store: VectorStore, dim: int, filter_keys_max: int, *, guarded: bool = False
    ) -> None:
        self._store, self.dim, self._guarded = store, dim, guarded
        self._filter_keys_max = filter_keys_max
        self._vectors: BoundedDict[tuple[str, str], Vector] = BoundedDict(_VECTORS_CACHED)
        self._features: BoundedDict[str, Shown] = BoundedDict(_FEATURES_CACHED)
        self.filter_kinds: dict[str, FilterKind] = {}
        self._tenant_kinds: dict[str, dict[str, FilterKind]] = {}
        self.availability = False
        self.version = 0

    async def open(self, declared: Mapping[str, FilterKind]) -> None:
        """Learn what is indexed; index what is declared."""
        await self.refresh()
        for name, filter_kind in declared.items():
            await self._index(name, filter_kind)

    async def refresh(self) -> None:
        """Forget all that others may have changed, and learn again what is indexed."""
        indexed = await self._store.payload_indexes(ITEMS)
        for key, kind in indexed.items():
            if key.startswith(FEATURE_PREFIX) and kind in _KIND_OF:
                self.filter_kinds[key.removeprefix(FEATURE_PREFIX)] = _KIND_OF[kind]
        self.availability = _AVAILABILITY[0] in indexed
        self._vectors.clear()
        self._features.clear()
        self._tenant_kinds.clear()
        self.version += 1

    async def learn(self, kinds: Mapping[str, FilterKind]) -> None:
        """Make features filterable that were not seen before, while there is room."""
        for name, kind in kinds.items():
            if name not in self.filter_kinds and len(self.filter_kinds) < self._filter_keys_max:
                await self._index(name, kind)

    async def get(self, tenant: str, item_ids: Iterable[str]) -> dict[str, ItemPoint]:
        """Return those of the items that are known."""
        ids = [item_point(tenant, item_id) for item_id in item_ids]
        records = await self._store.retrieve(ITEMS, ids) if ids else []
        points = [_decode(record.payload or {}) for record in records]
        return {stored.item.item_id: stored for stored in points}

    async def features(self, tenant: str, item_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Return the features of those of the items that are known."""
        found = await self.shown([item_point(tenant, item_id) for item_id in item_ids])
        return dict(found.values())

    async def shown(self, points: Sequence[str]) -> dict[str, Shown]:
        """Return item id and features by point id, of those of the points that are known."""
        known = ((point_id, self._features.get(point_id)) for point_id in points)
        found = {point_id: shown for point_id, shown in known if shown is not None}
        missing = [point_id for point_id in points if point_id not in found]
        if missing:
            version = self.version
            records = await self._store.retrieve(
                ITEMS, missing, with_payload=["item_id", "features"]
            )
            for record in records:
                payload, point_id = record.payload or {}, str(record.id)
                found[point_id] = (payload["item_id"], payload["features"])
                if version == self.version:  # else a write may have overtaken this read
                    self._features[point_id] = found[point_id]
        return found

    async def vectors(self, tenant: str, item_ids: Sequence[str]) -> dict[str, Vector]:
        """Return the unit vectors ``(d,) float32`` of those of the items that have one."""
        held = ((item_id, self._vectors.get((tenant, item_id))) for item_id in item_ids)
        found = {item_id: vector for item_id, vector in held if vector is not None}
        missing = [item_point(tenant, item_id) for item_id in item_ids if item_id not in found]
        if missing:
            version = self.version
            records = await self._store.retrieve(
                ITEMS, missing, with_payload=["item_id"], with_vectors=True
            )
            for record in records:
                vector = vector_of(record, "content")
                if vector is not None:
                    item_id = (record.payload or {})["item_id"]
                    found[item_id] = vector
                    if version == self.version:
                        self._vectors[tenant, item_id] = vector
        return found

    async def put(self, points: Sequence[tuple[ItemPoint, Vector | None]]) -> None:
        """Write items, each with its unit vector or, while that is to come, without."""
        if any(p.item.available_from or p.item.available_until for p, _ in points):
            await self._index_availability()
        await self._store.pace(ITEMS)
        encoded = [self._encode(stored, vector) for stored, vector in points]
        by = "offset" if self._guarded else None
        await upsert_paced(self._store, ITEMS, encoded, versioned_by=by)
        self.forget((stored.item.tenant, stored.item.item_id) for stored, _ in points)
        for tenant in {stored.item.tenant for stored, _ in points}:
            kinds = self._tenant_kinds.get(tenant, {})
            if any(stored.item.features.keys() - kinds for stored, _ in points):
                self._tenant_kinds.pop(tenant, None)

    async def delete(self, tenant: str, item_ids: Sequence[str]) -> None:
        """Remove items."""
        await self._store.delete(ITEMS, [item_point(tenant, item_id) for item_id in item_ids])
        self.forget((tenant, item_id) for item_id in item_ids)

    def forget(self, keys: Iterable[tuple[str, str]]) -> None:
        """Drop what is in memory of changed items."""
        for key in keys:
            self._vectors.pop(key, None)
            self._features.pop(item_point(*key), None)
        self.version += 1

    async def pending(
        self, limit: int, offset: PointId | None = None
    ) -> tuple[list[ItemPoint], PointId | None]:
        """Return a page of the items that still have to be embedded, and where the next begins."""
        waiting = models.Filter(must=[equals("pending", True)])
        return await self.page(waiting, limit, offset)

    async def page(
        self, which: models.Filter, limit: int, offset: PointId | None = None
    ) -> tuple[list[ItemPoint], PointId | None]:
        """Return a page of the items of a filter in a stable order, and where the next begins."""
        records, following = await self._store.scroll(ITEMS, which, limit=limit, offset=offset)
        return [_decode(record.payload or {}) for record in records], following

    async def by_point(self, points: Sequence[str]) -> list[ItemPoint]:
        """Return those of the items that are known, in the order of their points."""
        records = await self._store.retrieve(ITEMS, points) if points else []
        found = {str(record.id): _decode(record.payload or {}) for record in records}
        return [found[point_id] for point_id in points if point_id in found]

    async def kinds(self, tenant: str) -> dict[str, FilterKind]:
        """Return the filterable features that a tenant's items have, and how to filter them."""
        if tenant not in self._tenant_kinds:
            self._tenant_kinds[tenant] = {
                name: kind
                for name, kind in list(self.filter_kinds.items())
                if await self.count(tenant, [models.Filter(must_not=[_is_empty(name)])])
            }
        return self._tenant_kinds[tenant]

    async def count(self, tenant: str, conditions: Sequence[models.Condition] = ()) -> int:
        """Count a tenant's items, or those that meet ``conditions``."""
        return await self._store.count(ITEMS, scoped(tenant, conditions))

    async def _index(self, name: str, kind: FilterKind) -> None:
        if self.filter_kinds.get(name) != kind:
            await self._store.create_payload_index(ITEMS, FEATURE_PREFIX + name, _INDEX_OF[kind])
            self.filter_kinds[name] = kind

    async def _index_availability(self) -> None:
        if not self.availability:
            for key in _AVAILABILITY:
                await self._store.create_payload_index(ITEMS, key, models.PayloadSchemaType.FLOAT)
            self.availability = True

    def _encode(self, stored: ItemPoint, vector: Vector | None) -> models.PointStruct:
        item = stored.item
        payload = {
            "tenant": item.tenant,
            "item_id": item.item_id,
            "features": dict(item.features),
            "digest": stored.digest,
            "text_hash": stored.text_hash,
            "offset": stored.offset,
        }
        optional = {
            "text": item.text,
            "available_from": item.available_from,
            "available_until": item.available_until,
            "pending_reason": stored.pending,
            "pending": True if stored.pending else None,
        }
        payload.update({name: value for name, value in optional.items() if value is not None})
        vectors = {}
        if vector is not None:
            vectors["content"] = checked(vector, self.dim, f"item {item.item_id!r}")
        return point(item_point(item.tenant, item.item_id), vectors, payload)


def _is_empty(feature: str) -> models.IsEmptyCondition:
    return models.IsEmptyCondition(is_empty=models.PayloadField(key=FEATURE_PREFIX + feature))


def _decode(payload: Mapping[str, Any]) -> ItemPoint:
    item = Item(
        payload["tenant"],
        payload["item_id"],
        payload["features"],
        payload.get("text"),
        payload.get("available_from"),
        payload.get("available_until"),
    )
    return ItemPoint(
        item,
        payload["digest"],
        payload["text_hash"],
        payload["offset"],
        payload.get("pending_reason"),
    )
