"""The vector store, its adapters, and what is kept in each collection."""

from __future__ import annotations

from indexer.errors import RecsvcError
from indexer.ports import VectorStore
from indexer.settings import Settings

__all__ = ["open_store"]


async def open_store(settings: Settings) -> VectorStore:
    """Open the store that ``RECSVC_QDRANT_URL`` names.

    Raises:
        StoreUnavailable: no server answers there.
        SchemaMismatch: the server is too old.
    """
    if settings.qdrant_url == "edge":
        from indexer.stores.edge import EdgeStore

        return EdgeStore(settings.data_dir / "qdrant")
    from indexer.stores.server import Layout, ServerStore

    if settings.qdrant_url == "memory":
        return ServerStore.local()
    key = settings.qdrant_api_key
    store = ServerStore.connect(
        settings.qdrant_url.split(","),
        api_key=key.get_secret_value() if key is not None else None,
        grpc_port=settings.qdrant_grpc_port,
        layout=Layout(
            prefix=settings.qdrant_prefix,
            size=settings.qdrant_size,
            shards=settings.qdrant_shards,
            replication=settings.qdrant_replication,
            write_consistency=settings.qdrant_write_consistency,
            read_consistency=settings.qdrant_read_consistency,
        ),
    )
    try:
        await store.ping()
    except RecsvcError:
        await store.close()
        raise
    return store
