"""Vectors of texts, each embedded once; and notes: the cursors, and what was learned.

A text is kept as a hash of itself and the embedder's name (model and dimension) only: a search can
be personal, and its vector is all that is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cachetools import LRUCache
from qdrant_client import models

from indexer.domain.ids import point_id
from indexer.domain.position import Position
from indexer.domain.vectors import Vector
from indexer.ports import Channel, VectorStore
from indexer.stores.points import point, upsert_paced, vector_of
from indexer.stores.schema import NEIGHBOURS, TERMS, USERS

__all__ = ["Cursors", "Notes", "TextVectors", "crowds_note", "forget_folded"]

_CACHED = 4_096
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
        return (await self.read_many([name]))[name]

    async def write(self, name: str, document: Mapping[str, Any]) -> None:
        """Replace a document."""
        await self.write_many({name: document})

    async def read_many(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return documents by name, empty where there is none."""
        records = await self._store.retrieve(TERMS, [_note(name) for name in names])
        found: dict[str, dict[str, Any]] = {name: {} for name in names}
        for record in records:
            found.update(record.payload or {})
        return found

    async def write_many(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace documents."""
        notes = [
            models.PointStruct(id=_note(name), vector={}, payload={name: dict(document)})
            for name, document in documents.items()
        ]
        await upsert_paced(self._store, TERMS, notes)


class Cursors:
    """How far each partition of a log has been folded into this store.

    It lives in the store, not in the log: a store that is emptied asks for everything again.
    """

    def __init__(self, store: VectorStore) -> None:
        self._notes = Notes(store)

    async def read(self, channel: Channel, partitions: Iterable[int]) -> dict[int, int]:
        """Return the last folded offset of each partition, 0 for none."""
        notes = await self._notes.read_many([_cursor(channel, one) for one in partitions])
        return {p: notes[_cursor(channel, p)].get("offset", 0) for p in partitions}

    async def write(self, cursors: Mapping[Channel, Position]) -> None:
        """Move the cursors; call it after what they stand for has been flushed."""
        await self._notes.write_many(
            {
                _cursor(channel, partition): {"offset": offset}
                for channel, position in cursors.items()
                for partition, offset in position.items()
            }
        )


def crowds_note(partition: int) -> str:
    """Name the note on what all users of each tenant did with a partition's items."""
    return f"crowds {partition}"


async def forget_folded(store: VectorStore, partitions: int) -> None:
    """Drop all that is folded from events, so that the log is folded again from its beginning."""
    nowhere = dict.fromkeys(range(partitions), 0)
    await Cursors(store).write({"events": nowhere, "pairs": nowhere})
    await Notes(store).write_many({crowds_note(one): {} for one in range(partitions)})
    await store.flush()
    for collection in (USERS, NEIGHBOURS, *_EARLIER):
        if await store.collection_exists(collection):
            await store.delete_collection(collection)


def _note(name: str) -> str:
    return point_id("meta", "", name)


def _cursor(channel: Channel, partition: int) -> str:
    return f"cursor {channel} {partition}"
