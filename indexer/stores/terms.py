"""Vectors of texts, each embedded once; and notes: the cursors, and what was learned.

A text is kept as a hash of itself and the embedder's name (model and dimension) only: a search can
be personal, and its vector is all that is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from cachetools import LRUCache
from qdrant_client import models

from indexer.domain.ids import point_id
from indexer.domain.vectors import Vector
from indexer.ports import VectorStore
from indexer.stores.points import point, upsert_paced, vector_of
from indexer.stores.schema import NEIGHBOURS, TERMS, USERS

__all__ = ["CROWDS", "Cursors", "Notes", "TextVectors", "forget_folded"]

_CACHED = 4_096
_CURSORS = "cursors"
CROWDS: Final = "crowds"
"""The note on what all users of each tenant did, counted with the events."""

_EARLIER = ("signals",)
"""Collections of earlier layouts, folded from events."""


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


class Notes:
    """Small documents by name."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store

    async def read(self, name: str) -> dict[str, Any]:
        """Return a document, empty where there is none."""
        records = await self._store.retrieve(TERMS, [point_id("meta", "", name)])
        return dict((records[0].payload or {})[name]) if records else {}

    async def write(self, name: str, document: Mapping[str, Any]) -> None:
        """Replace a document."""
        note = models.PointStruct(
            id=point_id("meta", "", name), vector={}, payload={name: dict(document)}
        )
        await self._store.upsert(TERMS, [note])


class Cursors:
    """How far each log has been folded into this store.

    It lives in the store, not in the log: a store that is emptied asks for everything again.
    """

    def __init__(self, store: VectorStore) -> None:
        self._notes = Notes(store)

    async def read(self) -> dict[str, int]:
        """Return the last folded offset by log name."""
        return await self._notes.read(_CURSORS)

    async def write(self, cursors: dict[str, int]) -> None:
        """Move the cursors; call it after what they stand for has been flushed."""
        await self._notes.write(_CURSORS, cursors)


async def forget_folded(store: VectorStore) -> None:
    """Drop all that is folded from events, so that the log is folded again from its beginning."""
    cursors = Cursors(store)
    await cursors.write({**await cursors.read(), "events": 0})
    await Notes(store).write(CROWDS, {})
    await store.flush()
    for collection in (USERS, NEIGHBOURS, *_EARLIER):
        if await store.collection_exists(collection):
            await store.delete_collection(collection)
