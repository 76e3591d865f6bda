"""Vectors of short texts (facet terms, searches), each embedded once; and the cursors.

Texts are kept as hashes only: a search can be personal, its vector is all that is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cachetools import LRUCache
from qdrant_client import models

from indexer.domain.ids import point_id
from indexer.domain.vectors import Vector
from indexer.embedding import embed_each
from indexer.errors import EmbeddingError
from indexer.ports import Embedder, VectorStore
from indexer.stores.points import point, upsert_paced, vector_of
from indexer.stores.schema import TERMS

__all__ = ["Cursors", "Terms"]

_CACHED = 4_096
_CURSORS = point_id("meta", "", "cursors")


class Terms:
    """Text vectors by tenant: from memory, from the store, or embedded now and kept."""

    def __init__(self, store: VectorStore, embedder: Embedder) -> None:
        self._store, self._embedder = store, embedder
        self._cache: LRUCache[tuple[str, str], Vector] = LRUCache(_CACHED)

    async def known(self, tenant: str, texts: Sequence[str]) -> dict[str, Vector]:
        """Return the unit vectors of those of ``texts`` that were embedded before."""
        found = {t: self._cache[tenant, t] for t in texts if (tenant, t) in self._cache}
        missing = {_point(tenant, text): text for text in texts if text not in found}
        if missing:
            for record in await self._store.retrieve(
                TERMS, list(missing), with_payload=False, with_vectors=True
            ):
                vector = vector_of(record, "content")
                if vector is not None:
                    text = missing[str(record.id)]
                    found[text] = self._cache[tenant, text] = vector
        return found

    async def vectors(
        self, tenant: str, texts: Sequence[str], *, keep: bool = True
    ) -> dict[str, Vector]:
        """Return the unit vectors of ``texts``; without ``keep``, new ones stay in memory only.

        Raises:
            EmbeddingError: a text is new and cannot be embedded.
        """
        found = await self.known(tenant, texts)
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing:
            vectors = await self._embedder.embed(missing)
            fresh = dict(zip(missing, vectors, strict=True))
            found = {**found, **await self._keep(tenant, fresh, store=keep)}
        return found

    async def vectors_of_most(self, tenant: str, texts: Sequence[str]) -> dict[str, Vector]:
        """Return the unit vectors of those of ``texts`` that the provider does not refuse.

        Raises:
            EmbeddingUnavailable: a text is new and the provider away.
        """
        found = await self.known(tenant, texts)
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        results = zip(missing, await embed_each(self._embedder, missing), strict=True)
        fresh = {text: v for text, v in results if not isinstance(v, EmbeddingError)}
        return {**found, **await self._keep(tenant, fresh)}

    async def _keep(
        self, tenant: str, vectors: Mapping[str, Vector], *, store: bool = True
    ) -> Mapping[str, Vector]:
        if store:
            points = [
                point(_point(tenant, text), {"content": vector}, {"tenant": tenant})
                for text, vector in vectors.items()
            ]
            await upsert_paced(self._store, TERMS, points)
        self._cache.update({(tenant, text): vector for text, vector in vectors.items()})
        return vectors


class Cursors:
    """How far each log has been folded into this store.

    It lives in the store, not in the log: a store that is emptied asks for everything again.
    """

    def __init__(self, store: VectorStore) -> None:
        self._store = store

    async def read(self) -> dict[str, int]:
        """Return the last folded offset by log name."""
        records = await self._store.retrieve(TERMS, [_CURSORS])
        return dict((records[0].payload or {})["cursors"]) if records else {}

    async def write(self, cursors: dict[str, int]) -> None:
        """Move the cursors; call it after what they stand for has been flushed."""
        payload = {"cursors": cursors}
        await self._store.upsert(
            TERMS, [models.PointStruct(id=_CURSORS, vector={}, payload=payload)]
        )


def _point(tenant: str, text: str) -> str:
    return point_id("term", tenant, text)
