"""Vectors of texts, each embedded once; and the cursors.

A text is kept as a hash of itself and the embedder's name (model and dimension) only: a search can
be personal, and its vector is all that is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cachetools import LRUCache
from qdrant_client import models

from indexer.domain.ids import point_id
from indexer.domain.vectors import Vector
from indexer.ports import VectorStore
from indexer.stores.points import point, upsert_paced, vector_of
from indexer.stores.schema import TERMS

__all__ = ["Cursors", "TextVectors"]

_CACHED = 4_096
_CURSORS = point_id("meta", "", "cursors")


class TextVectors:
    """Vectors by text, from memory or from the store."""

    def __init__(self, store: VectorStore, embedder: str) -> None:
        self._store, self._embedder = store, embedder
        self._cache: LRUCache[str, Vector] = LRUCache(_CACHED)

    async def known(self, texts: Iterable[str]) -> dict[str, Vector]:
        """Return the unit vectors of those of ``texts`` that were embedded before."""
        texts = list(texts)
        found = {text: self._cache[text] for text in texts if text in self._cache}
        missing = {self._point(text): text for text in texts if text not in found}
        if missing:
            for record in await self._store.retrieve(
                TERMS, list(missing), with_payload=False, with_vectors=True
            ):
                vector = vector_of(record, "content")
                if vector is not None:
                    text = missing[str(record.id)]
                    found[text] = self._cache[text] = vector
        return found

    async def keep(self, vectors: Mapping[str, Vector]) -> None:
        """Store vectors for good."""
        points = [
            point(self._point(text), {"content": vector}, {}) for text, vector in vectors.items()
        ]
        await upsert_paced(self._store, TERMS, points)
        self._cache.update(vectors)

    def _point(self, text: str) -> str:
        return point_id("text", self._embedder, text)


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
