"""The collections of a Qdrant server: named, made, looked at, switched and deleted.

Points are written and read through aliases, which the server follows; so does it for indexes and
information. Only deleting takes the collection's own name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from qdrant_client import models

from indexer.errors import StoreError
from indexer.stores.generations import newest_generation, physical
from indexer.stores.nodes import CHANGE, READ, Call, Nodes, Patience
from indexer.stores.sizes import SIZES, SizeName

__all__ = ["Collections", "Layout", "Server"]

T = TypeVar("T")
_TENANT = "tenant"


@dataclass(frozen=True, slots=True)
class Layout:
    """How collections are named, made and read; the settings of the same names say more."""

    prefix: str = ""
    size: SizeName = "100k"
    shards: int | None = None
    replication: int = 1
    write_consistency: int = 1
    read_consistency: Literal["one", "majority", "quorum", "all"] = "one"


@dataclass(frozen=True, slots=True)
class Server:
    """What a store shares with the one beside it. ``indexes``: local mode keeps none itself."""

    nodes: Nodes
    layout: Layout = field(default_factory=Layout)
    local: bool = False
    indexes: dict[str, dict[str, models.PayloadSchemaType]] = field(default_factory=dict)


class Collections:
    """The collections that are in use, or with ``generation`` those beside them.

    ``seen``: those that were made, or asked for and found.
    """

    def __init__(self, server: Server, generation: int | None = None) -> None:
        self.server, self.generation = server, generation
        self.seen: set[str] = set()
        self.closed = False

    def name(self, collection: str) -> str:
        """Return the alias of a collection, or its own name where it is beside."""
        alias = self.server.layout.prefix + collection
        return alias if self.generation is None else physical(alias, self.generation)

    async def call(self, collection: str, call: Call[T], patience: Patience = READ) -> T:
        """Ask the server; see `Nodes.call`."""
        if self.closed:
            raise StoreError(f"collection {collection!r}: the store is closed")
        return await self.server.nodes.call(f"collection {collection!r}", call, patience)

    async def exists(self, collection: str) -> bool:
        """Whether there is such a collection."""
        exists = await self._exists(self.name(collection))
        if exists:
            self.seen.add(collection)
        return exists

    async def info(self, collection: str) -> models.CollectionInfo:
        """Return what the server tells of a collection."""
        name = self.name(collection)
        return await self.call(collection, lambda client: client.get_collection(name))

    async def create(
        self,
        collection: str,
        vectors: Mapping[str, models.VectorParams],
        sparse: Mapping[str, models.SparseVectorParams],
        hnsw: models.HnswConfigDiff | None,
    ) -> None:
        """Make a collection as `Layout` says, and its alias.

        One that is there without its alias is taken: another process is just making it, or was
        ended between the two steps.
        """
        name = made = self.name(collection)
        if await self._exists(name):
            raise StoreError(f"collection {collection!r} exists already")
        if self.generation is None:
            made = physical(name, await self._newest() or 1)
        layout = self.server.layout
        how = SIZES[layout.size].creation(vectors, sparse, hnsw)
        try:
            await self.call(
                collection,
                lambda client: client.create_collection(
                    made,
                    **how,
                    shard_number=layout.shards,
                    replication_factor=layout.replication,
                    write_consistency_factor=layout.write_consistency,
                    timeout=int(CHANGE.short_s),
                ),
                CHANGE,
            )
        except StoreError:
            if not await self._exists(made):
                raise
        if made != name:
            await self._point({name: made}, {})
        self.seen.add(collection)

    async def delete(self, collection: str) -> None:
        """Delete a collection and its alias."""
        name = self.name(collection)
        await self._delete((await self._aliases()).get(name, name))
        self.seen.discard(collection)

    async def indexes(self, collection: str) -> dict[str, models.PayloadSchemaType]:
        """Return the indexed payload keys."""
        info = await self.info(collection)
        if self.server.local:
            return dict(self.server.indexes.get(await self._own_name(collection), {}))
        return {key: index.data_type for key, index in info.payload_schema.items()}

    async def index(self, collection: str, key: str, kind: models.PayloadSchemaType) -> None:
        """Index a payload key."""
        name = self.name(collection)
        if self.server.local:  # which filters without indexes, and warns of each
            await self.info(collection)
            self.server.indexes.setdefault(await self._own_name(collection), {})[key] = kind
            return
        schema: Any = kind
        if key == _TENANT:  # a tenant's points are then kept together on disk
            schema = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
        medium = models.WriteOrdering.MEDIUM
        await self.call(
            collection,
            lambda client: client.create_payload_index(
                name, key, schema, wait=True, ordering=medium
            ),
            CHANGE,
        )

    async def beside(self) -> Collections:
        """Return the collections of the next generation, with what an earlier one left there."""
        if self.generation is not None:
            raise StoreError("a store beside another has none beside itself")
        return Collections(self.server, await self._newest() + 1)

    async def switch_to(self, other: Collections) -> None:
        """Move the aliases of all that the other has seen, at once; delete what was behind them.

        A collection of an earlier version has no alias but its name; it is deleted first, and
        until its alias is made, a moment later, there is none of that name. If the process ends
        in that moment, `create` finds the new one.
        """
        if other.server is not self.server or other.generation is None:
            raise StoreError("only a store that is beside this one can be switched to")
        aliases = await self._aliases()
        wanted = {self.name(collection): other.name(collection) for collection in other.seen}
        bare = [name for name in wanted if name not in aliases and await self._exists(name)]
        await self._point({name: wanted[name] for name in wanted if name not in bare}, aliases)
        for name in bare:
            await self._delete(name)
            await self._point({name: wanted[name]}, {})
        for name, made in wanted.items():
            if aliases.get(name, made) != made:
                await self._delete(aliases[name])
        self.seen |= other.seen

    async def _newest(self) -> int:
        return newest_generation(await self._aliases(), self.server.layout.prefix)

    async def _own_name(self, collection: str) -> str:
        name = self.name(collection)
        return (await self._aliases()).get(name, name)

    async def _exists(self, name: str) -> bool:
        return await self.call(name, lambda client: client.collection_exists(name))

    async def _aliases(self) -> dict[str, str]:
        found = await self.call("aliases", lambda client: client.get_aliases())
        return {one.alias_name: one.collection_name for one in found.aliases}

    async def _point(self, wanted: Mapping[str, str], aliases: Mapping[str, str]) -> None:
        """Have aliases stand for collections, all at once; ``aliases``: those there are."""
        changes: list[Any] = []
        for name, collection in wanted.items():
            if name in aliases:
                gone = models.DeleteAlias(alias_name=name)
                changes.append(models.DeleteAliasOperation(delete_alias=gone))
            made = models.CreateAlias(collection_name=collection, alias_name=name)
            changes.append(models.CreateAliasOperation(create_alias=made))
        if changes:
            await self.call(
                "aliases", lambda client: client.update_collection_aliases(changes), CHANGE
            )

    async def _delete(self, name: str) -> None:
        """Delete a collection by its own name; its aliases go with it."""
        await self.call(name, lambda client: client.delete_collection(name), CHANGE)
        self.server.indexes.pop(name, None)
