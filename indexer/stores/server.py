"""A Qdrant server or cluster, or qdrant-client's local mode, behind the store port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException

from indexer.errors import StoreError, StoreUnavailable
from indexer.ports import Hit, PointId, Query

__all__ = ["ServerStore"]

_TIMEOUT_S = 10
_OUTAGES = (502, 503, 504, "UNAVAILABLE", "DEADLINE_EXCEEDED")


class ServerStore:
    """A `VectorStore` over ``AsyncQdrantClient``. Writes wait until they are visible."""

    def __init__(self, client: AsyncQdrantClient, *, local: bool) -> None:
        self._client = client
        self._local = local
        self._indexes: dict[str, dict[str, models.PayloadSchemaType]] = {}

    @classmethod
    def local(cls) -> ServerStore:
        """Qdrant-client's local mode: in memory, small, gone at the end of the process."""
        return cls(AsyncQdrantClient(location=":memory:"), local=True)

    @classmethod
    def connect(cls, url: str, api_key: str | None, grpc_port: int | None) -> ServerStore:
        """Connect lazily to a server; ``grpc_port`` chooses gRPC."""
        client = AsyncQdrantClient(
            url=url,
            api_key=api_key,
            prefer_grpc=grpc_port is not None,
            grpc_port=grpc_port or 6334,
            timeout=_TIMEOUT_S,
            check_compatibility=False,
            trust_env=False,
        )
        return cls(client, local=False)

    async def collection_exists(self, collection_name: str) -> bool:
        async with _ours(collection_name):
            return await self._client.collection_exists(collection_name)

    async def create_collection(
        self,
        collection_name: str,
        vectors_config: Mapping[str, models.VectorParams],
        *,
        sparse_vectors_config: Mapping[str, models.SparseVectorParams] | None = None,
        hnsw_config: models.HnswConfigDiff | None = None,
    ) -> None:
        async with _ours(collection_name):
            await self._client.create_collection(
                collection_name,
                vectors_config,
                sparse_vectors_config=sparse_vectors_config,
                hnsw_config=hnsw_config,
            )

    async def delete_collection(self, collection_name: str) -> None:
        async with _ours(collection_name):
            await self._client.delete_collection(collection_name)
        self._indexes.pop(collection_name, None)

    async def vectors_of(self, collection_name: str) -> dict[str, tuple[int, models.Distance]]:
        async with _ours(collection_name):
            info = await self._client.get_collection(collection_name)
        vectors = info.config.params.vectors
        if not isinstance(vectors, dict):
            return {}
        return {name: (params.size, params.distance) for name, params in vectors.items()}

    async def payload_indexes(self, collection_name: str) -> dict[str, models.PayloadSchemaType]:
        async with _ours(collection_name):
            info = await self._client.get_collection(collection_name)
        if self._local:
            return dict(self._indexes.get(collection_name, {}))
        return {key: index.data_type for key, index in info.payload_schema.items()}

    async def create_payload_index(
        self, collection_name: str, field_name: str, field_schema: models.PayloadSchemaType
    ) -> None:
        if self._local:  # which filters without indexes, and warns of each
            async with _ours(collection_name):
                await self._client.get_collection(collection_name)
            self._indexes.setdefault(collection_name, {})[field_name] = field_schema
            return
        async with _ours(collection_name):
            await self._client.create_payload_index(collection_name, field_name, field_schema)

    async def upsert(self, collection_name: str, points: Sequence[models.PointStruct]) -> None:
        if not points:  # which a server refuses
            return
        async with _ours(collection_name):
            await self._client.upsert(collection_name, points, wait=True)

    async def delete(self, collection_name: str, points: Sequence[PointId]) -> None:
        if not points:
            return
        async with _ours(collection_name):
            await self._client.delete(collection_name, list(points))

    async def retrieve(
        self,
        collection_name: str,
        ids: Sequence[PointId],
        *,
        with_payload: bool | Sequence[str] = True,
        with_vectors: bool | Sequence[str] = False,
    ) -> list[models.Record]:
        async with _ours(collection_name):
            return await self._client.retrieve(
                collection_name,
                list(ids),
                with_payload=_listed(with_payload),
                with_vectors=_listed(with_vectors),
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
        async with _ours(collection_name):
            response = await self._client.query_points(
                collection_name,
                query,
                using=using,
                prefetch=list(prefetch) if prefetch else None,
                query_filter=query_filter,
                search_params=None if self._local else search_params,  # local search is exact
                limit=limit,
                offset=offset,
                with_payload=_listed(with_payload),
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
        async with _ours(collection_name):
            found, following = await self._client.scroll(
                collection_name,
                scroll_filter,
                limit=limit,
                offset=offset,
                with_payload=_listed(with_payload),
                with_vectors=_listed(with_vectors),
            )
        return found, str(following) if following is not None else None

    async def count(self, collection_name: str, count_filter: models.Filter | None = None) -> int:
        async with _ours(collection_name):
            return (await self._client.count(collection_name, count_filter)).count

    async def flush(self) -> None:
        """Nothing to do: a server keeps its own write-ahead log."""

    async def ping(self) -> None:
        async with _ours("server"):
            await self._client.get_collections()

    async def close(self) -> None:
        async with _ours("server"):
            await self._client.close()


def _listed(selection: bool | Sequence[str]) -> bool | list[str]:
    return selection if isinstance(selection, bool) else list(selection)


def _status(exc: Exception) -> int | str | None:
    """Return the HTTP status, or gRPC's code by name."""
    code = getattr(exc, "code", None)
    return code().name if callable(code) else getattr(exc, "status_code", None)


@asynccontextmanager
async def _ours(collection: str) -> AsyncIterator[None]:
    """Make the client's errors ours; its local mode raises builtin ones, gRPC ``RpcError``."""
    from grpc import RpcError

    try:
        yield
    except ResponseHandlingException as exc:
        raise StoreUnavailable(f"the Qdrant server does not answer: {exc}") from exc
    except (ApiException, RpcError) as exc:
        kind = StoreUnavailable if _status(exc) in _OUTAGES else StoreError
        raise kind(f"collection {collection!r}: {exc}") from exc
    except (KeyError, RuntimeError, ValueError) as exc:
        raise StoreError(f"collection {collection!r}: {exc}") from exc
