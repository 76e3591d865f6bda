"""The collections of the stand-in for a Qdrant server: Qdrant Edge in a folder, and aliases.

Edge is Qdrant's engine in one process, so filters and scores are the real ones. Everything about a
server beyond that is imitated: aliases, conditional writes, what is an error, and what is told of a
collection. Shards, copies, graphs and quantised copies are remembered to be shown, and not made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qdrant_client import models

from indexer.errors import StoreError
from indexer.ports import Hit
from indexer.stores.edge import EdgeStore

Point = models.PointStruct


class Refused(Exception):
    """The server would answer ``status`` with ``reason``."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Collections:
    """Collections by name, aliases of them, and what they were made with."""

    def __init__(self, folder: Path) -> None:
        self.store = EdgeStore(folder)
        self.aliases: dict[str, str] = {}
        self._made: dict[str, models.CreateCollection] = {}

    def names(self) -> list[str]:
        """List the collections, without aliases."""
        return list(self._made)

    def exists(self, name: str) -> bool:
        """Whether there is a collection or an alias of it."""
        return self.aliases.get(name, name) in self._made

    def own_name(self, name: str) -> str:
        """Return the collection behind an alias, or the name itself; it exists."""
        found = self.aliases.get(name, name)
        if found not in self._made:
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
        return found

    async def create(self, name: str, wanted: models.CreateCollection) -> bool:
        """Make a collection."""
        if self.exists(name):
            raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
        if not name or any(mark in name for mark in '/\\.<>:*?"|'):
            raise Refused(400, f"Wrong input: no name of a collection: {name!r}")
        vectors = wanted.vectors
        if not isinstance(vectors, Mapping):
            raise Refused(400, "Wrong input: this stand-in takes named vectors only")
        await self.store.create_collection(
            name,
            vectors,
            sparse_vectors_config=wanted.sparse_vectors,
            hnsw_config=wanted.hnsw_config,
        )
        self._made[name] = wanted
        return True

    async def delete(self, name: str) -> bool:
        """Delete a collection with its aliases; an alias is not followed, as on a server."""
        if self._made.pop(name, None) is None:
            return False
        self.aliases = {alias: other for alias, other in self.aliases.items() if other != name}
        await self.store.delete_collection(name)
        return True

    def change_aliases(self, actions: Sequence[models.AliasOperations]) -> bool:
        """Carry out changes in order; those before a refused one stay, as on a server."""
        for action in actions:
            match action:
                case models.CreateAliasOperation(create_alias=wanted):
                    if wanted.collection_name not in self._made:
                        raise Refused(404, f"Not found: `{wanted.collection_name}` doesn't exist!")
                    if wanted.alias_name in self._made:
                        raise Refused(409, f"Collection `{wanted.alias_name}` already exists!")
                    self.aliases[wanted.alias_name] = wanted.collection_name
                case models.DeleteAliasOperation(delete_alias=gone):
                    self.aliases.pop(gone.alias_name, None)
                case models.RenameAliasOperation(rename_alias=change):
                    if change.old_alias_name not in self.aliases:
                        raise Refused(404, f"Alias {change.old_alias_name} does not exists!")
                    moved = self.aliases.pop(change.old_alias_name)
                    self.aliases[change.new_alias_name] = moved
        return True

    def list_aliases(self, of: str | None = None) -> list[models.AliasDescription]:
        """List all aliases, or those of one collection."""
        return [
            models.AliasDescription(alias_name=alias, collection_name=name)
            for alias, name in self.aliases.items()
            if of is None or name == of
        ]

    async def info(self, name: str) -> models.CollectionInfo:
        """Tell of a collection what a server does; all of it is indexed."""
        name = self.own_name(name)
        points = await self.store.count(name)
        indexed = await self.store.payload_indexes(name)
        schema = {
            key: models.PayloadIndexInfo(data_type=kind, points=await self._with(name, key))
            for key, kind in indexed.items()
        }
        return models.CollectionInfo(
            status=models.CollectionStatus.GREEN,
            optimizer_status=models.OptimizersStatusOneOf.OK,
            indexed_vectors_count=points,
            points_count=points,
            segments_count=1,
            config=_config(self._made[name]),
            payload_schema=schema,
        )

    async def index(self, name: str, key: str, schema: Any) -> None:
        """Index a key; ``schema`` is a kind or an object with one."""
        kind = schema if isinstance(schema, str) else schema.type.value
        await self.store.create_payload_index(
            self.own_name(name), key, models.PayloadSchemaType(kind)
        )

    async def upsert(self, name: str, points: list[Point], where: models.Filter | None) -> None:
        """Write points; with ``where``, those that are new or whose stored ones match."""
        name = self.own_name(name)
        if not points:
            raise Refused(400, "Wrong input: Empty update request")
        if where is not None:
            there = {
                record.id for record in await self.store.retrieve(name, [p.id for p in points])
            }
            these = models.HasIdCondition(has_id=[point.id for point in points])
            matching, _ = await self.store.scroll(
                name, models.Filter(must=[these, where]), limit=len(points), with_payload=False
            )
            there -= {record.id for record in matching}
            points = [point for point in points if str(point.id) not in there]
        await self.store.upsert(name, points)

    async def delete_points(self, name: str, ids: list[Any]) -> None:
        """Delete points."""
        name = self.own_name(name)
        if not ids:
            raise Refused(400, "Wrong input: Empty update request")
        await self.store.delete(name, ids)

    async def query(self, name: str, query: Any, **how: Any) -> list[Hit]:
        """Search; a query without more to it is a bare vector to the engine."""
        if isinstance(query, models.NearestQuery) and query.mmr is None:
            query = query.nearest
        return await self.store.query_points(self.own_name(name), query, **how)

    async def _with(self, name: str, key: str) -> int:
        empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=key))
        return await self.store.count(name, models.Filter(must_not=[empty]))


def refused(exc: StoreError) -> Refused:
    """Say what a server would of something that the engine refuses."""
    return Refused(400, f"Wrong input: {exc}")


def named_vectors(source: Any) -> Any:
    """Read a point's vectors as they are in JSON."""
    if not isinstance(source, dict):
        raise Refused(400, "Wrong input: this stand-in takes named vectors only")
    return {name: vector_of(vector) for name, vector in source.items()}


def vector_of(source: Any) -> Any:
    """Read one vector as it is in JSON, dense or sparse."""
    if isinstance(source, dict):
        return models.SparseVector.model_construct(
            indices=source["indices"], values=source["values"]
        )
    return source


def _config(made: models.CreateCollection) -> models.CollectionConfig:
    given = made.hnsw_config or models.HnswConfigDiff()
    return models.CollectionConfig(
        params=models.CollectionParams(
            vectors=made.vectors,
            sparse_vectors=made.sparse_vectors,
            shard_number=made.shard_number or 1,
            replication_factor=made.replication_factor or 1,
            write_consistency_factor=made.write_consistency_factor or 1,
            on_disk_payload=made.on_disk_payload is not False,
        ),
        hnsw_config=models.HnswConfig(
            m=16 if given.m is None else given.m,
            ef_construct=given.ef_construct or 100,
            full_scan_threshold=given.full_scan_threshold or 10_000,
            on_disk=bool(given.on_disk),
        ),
        optimizer_config=models.OptimizersConfig(
            deleted_threshold=0.2,
            vacuum_min_vector_number=1_000,
            default_segment_number=0,
            flush_interval_sec=5,
        ),
        wal_config=models.WalConfig(wal_capacity_mb=32, wal_segments_ahead=0),
        quantization_config=made.quantization_config,
    )
