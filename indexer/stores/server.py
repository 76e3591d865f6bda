"""A Qdrant server or cluster, or qdrant-client's local mode, behind the store port."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from qdrant_client import AsyncQdrantClient, models

from indexer.errors import StoreError
from indexer.ports import Hit, PointId, Query, VectorStore
from indexer.stores.newer import newest, not_above
from indexer.stores.nodes import WRITE, Node, Nodes, connect
from indexer.stores.server_collections import Collections, Layout, Server
from indexer.stores.sizes import SIZES

__all__ = ["Layout", "ServerStore"]

PACE_BEHIND: Final = 20_000
"""Points without an index up to which a bulk load goes on."""
PACE_EVERY_S: Final = 2.0
PACE_MAX_S: Final = 30.0

_MMR_CANDIDATES = 100
_CONSISTENCY: Final[Mapping[str, int | models.ReadConsistencyType]] = {
    "one": 1,
    "majority": models.ReadConsistencyType.MAJORITY,
    "quorum": models.ReadConsistencyType.QUORUM,
    "all": models.ReadConsistencyType.ALL,
}
_MEDIUM = models.WriteOrdering.MEDIUM

_log = logging.getLogger(__name__)


class ServerStore:
    """A `VectorStore` over ``AsyncQdrantClient``.

    A write returns when it is in the server's log on disk and visible to reads, and copies of a
    shard take writes in one order. Each call goes to the first node that answers; see `Nodes`.
    """

    def __init__(self, collections: Collections) -> None:
        self._collections = collections
        self._call, self._name = collections.call, collections.name
        layout = collections.server.layout
        self._size = SIZES[layout.size]
        self._local = collections.server.local
        self._consistency = _CONSISTENCY[layout.read_consistency]
        self._paced: dict[str, float] = {}

    @classmethod
    def local(cls) -> ServerStore:
        """Qdrant-client's local mode: in memory, small, gone at the end of the process."""
        node = Node("memory", AsyncQdrantClient(location=":memory:"), known=True)
        return cls(Collections(Server(Nodes([node]), local=True)))

    @classmethod
    def connect(
        cls,
        urls: Sequence[str],
        *,
        api_key: str | None = None,
        grpc_port: int | None = None,
        layout: Layout | None = None,
    ) -> ServerStore:
        """Connect at first use to a server, or to nodes of one cluster, the first one preferred.

        ``grpc_port``: speak gRPC with that port of each host, not REST.
        """
        nodes = Nodes([connect(url, api_key, grpc_port) for url in urls])
        return cls(Collections(Server(nodes, layout or Layout())))

    @property
    def durable(self) -> bool:
        return not self._local

    async def collection_exists(self, collection_name: str) -> bool:
        return await self._collections.exists(collection_name)

    async def create_collection(
        self,
        collection_name: str,
        vectors_config: Mapping[str, models.VectorParams],
        *,
        sparse_vectors_config: Mapping[str, models.SparseVectorParams] | None = None,
        hnsw_config: models.HnswConfigDiff | None = None,
    ) -> None:
        await self._collections.create(
            collection_name, vectors_config, sparse_vectors_config or {}, hnsw_config
        )

    async def delete_collection(self, collection_name: str) -> None:
        await self._collections.delete(collection_name)

    async def vectors_of(self, collection_name: str) -> dict[str, tuple[int, models.Distance]]:
        vectors = (await self._collections.info(collection_name)).config.params.vectors
        if not isinstance(vectors, dict):
            return {}
        return {name: (params.size, params.distance) for name, params in vectors.items()}

    async def payload_indexes(self, collection_name: str) -> dict[str, models.PayloadSchemaType]:
        return await self._collections.indexes(collection_name)

    async def create_payload_index(
        self, collection_name: str, field_name: str, field_schema: models.PayloadSchemaType
    ) -> None:
        await self._collections.index(collection_name, field_name, field_schema)

    async def upsert(self, collection_name: str, points: Sequence[models.PointStruct]) -> None:
        await self._write(collection_name, list(points))

    async def upsert_unless_older(
        self, collection_name: str, points: Sequence[models.PointStruct], key: str
    ) -> None:
        points = newest(points, key)
        await self._write(collection_name, points, not_above(points, key))

    async def delete(self, collection_name: str, points: Sequence[PointId]) -> None:
        if not points:  # which a server refuses
            return
        name = self._name(collection_name)
        ids = models.PointIdsList(points=list(points))
        await self._call(
            collection_name,
            lambda client: client.delete(name, ids, wait=True, ordering=_MEDIUM),
            WRITE,
        )

    async def retrieve(
        self,
        collection_name: str,
        ids: Sequence[PointId],
        *,
        with_payload: bool | Sequence[str] = True,
        with_vectors: bool | Sequence[str] = False,
    ) -> list[models.Record]:
        name = self._name(collection_name)
        return await self._call(
            collection_name,
            lambda client: client.retrieve(
                name,
                list(ids),
                with_payload=_listed(with_payload),
                with_vectors=_listed(with_vectors),
                consistency=self._consistency,
            ),
        )

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
        name = self._name(collection_name)
        params = self._params(query, search_params, limit + offset)
        response = await self._call(
            collection_name,
            lambda client: client.query_points(
                name,
                query,
                using=using,
                prefetch=list(prefetch) if prefetch else None,
                query_filter=query_filter,
                search_params=params,
                limit=limit,
                offset=offset,
                with_payload=_listed(with_payload),
                consistency=self._consistency,
            ),
        )
        return [Hit(str(p.id), p.score, p.payload or {}) for p in response.points]

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
        name = self._name(collection_name)
        found, following = await self._call(
            collection_name,
            lambda client: client.scroll(
                name,
                scroll_filter,
                limit=limit,
                offset=offset,
                with_payload=_listed(with_payload),
                with_vectors=_listed(with_vectors),
                consistency=self._consistency,
            ),
        )
        return found, str(following) if following is not None else None

    async def count(self, collection_name: str, count_filter: models.Filter | None = None) -> int:
        name = self._name(collection_name)
        counted = await self._call(
            collection_name,
            lambda client: client.count(name, count_filter),
        )
        return counted.count

    async def pace(self, collection_name: str) -> None:
        """Wait, at most `PACE_MAX_S`, while more than `PACE_BEHIND` points are being indexed.

        Grey is not waited for: the next write is what sets the server to work then.
        """
        began = time.monotonic()
        since_asked = began - self._paced.get(collection_name, float("-inf"))
        if self._local or since_asked < PACE_EVERY_S:
            return
        while _is_behind(await self._collections.info(collection_name)):
            if time.monotonic() - began + PACE_EVERY_S > PACE_MAX_S:
                _log.warning("collection %r is still being indexed; going on", collection_name)
                break
            await asyncio.sleep(PACE_EVERY_S)
        self._paced[collection_name] = time.monotonic()

    async def beside(self) -> ServerStore:
        return type(self)(await self._collections.beside())

    async def switch_to(self, other: VectorStore) -> None:
        """See `Collections.switch_to`."""
        if not isinstance(other, ServerStore):
            raise StoreError("only a store that is beside this one can be switched to")
        await self._collections.switch_to(other._collections)
        await other.close()

    async def flush(self) -> None:
        """Nothing to do: a server writes its own log to disk before it answers."""

    async def ping(self) -> None:
        await self._call("any", lambda client: client.info())

    async def close(self) -> None:
        """End the connections, which a store beside this one shares; calls after this raise."""
        self._collections.closed = True
        if self._collections.generation is None:
            await self._collections.server.nodes.close()

    async def _write(
        self,
        collection: str,
        points: list[models.PointStruct],
        where: models.Filter | None = None,
    ) -> None:
        if not points:
            return
        name = self._name(collection)
        await self._call(
            collection,
            lambda client: client.upsert(
                name, points, wait=True, ordering=_MEDIUM, update_filter=where
            ),
            WRITE,
        )

    def _params(
        self, query: Query, given: models.SearchParams | None, rows: int
    ) -> models.SearchParams | None:
        if self._local:  # its search is exact, and it warns of any
            return None
        if given is not None or isinstance(query, models.SparseVector):
            return given
        return self._size.search(max(rows, _pool_of(query)))


def _listed(selection: bool | Sequence[str]) -> bool | list[str]:
    return selection if isinstance(selection, bool) else list(selection)


def _pool_of(query: Any) -> int:
    """Return how many candidates a query chooses among by itself; 0 for all others."""
    if isinstance(query, models.NearestQuery) and query.mmr is not None:
        return query.mmr.candidates_limit or _MMR_CANDIDATES
    return 0


def _is_behind(info: models.CollectionInfo) -> bool:
    waiting = (info.points_count or 0) - (info.indexed_vectors_count or 0)
    return info.status == models.CollectionStatus.YELLOW and waiting > PACE_BEHIND
