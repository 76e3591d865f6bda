"""The vector store, its adapters, and what is kept in each collection."""

from __future__ import annotations

from indexer.ports import VectorStore
from indexer.settings import Settings

__all__ = ["open_store"]


async def open_store(settings: Settings) -> VectorStore:
    """Open the store that ``RECSVC_QDRANT_URL`` names."""
    if settings.qdrant_url == "edge":
        from indexer.stores.edge import EdgeStore

        return EdgeStore(settings.data_dir / "qdrant")
    from indexer.stores.server import ServerStore

    if settings.qdrant_url == "memory":
        return ServerStore.local()
    key = settings.qdrant_api_key
    secret = key.get_secret_value() if key is not None else None
    return ServerStore.connect(settings.qdrant_url, secret, settings.qdrant_grpc_port)
