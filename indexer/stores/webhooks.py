"""Webhooks and what they are still to be told: documents in a collection of their own.

The collection is made by the first write. Until then nothing is found, and nothing is asked for
but whether it is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson
from qdrant_client import models

from indexer.domain.ids import point_id
from indexer.ports import VectorStore
from indexer.stores.points import equals, upsert_paced
from indexer.stores.schema import WEBHOOKS, prepare_webhooks

__all__ = ["Document", "Kind", "WebhookPoints"]

_PAGE: Final = 256
"""Documents that are read or deleted at once; other work gets its turn in between."""

Kind = Literal["webhook", "gone", "delivery", "place"]
"""`gone`: that the endpoint of a webhook is. `delivery`: one thing to tell. `place`: how far a
partition of events has been told of."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document. ``labels``: what it can be found by; of ``user_id``, what erasing finds."""

    kind: Kind
    key: str
    body: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def point(self) -> str:
        """The id of its point."""
        return _point(self.kind, self.key)


class WebhookPoints:
    """Reads and writes documents; `Document.labels` are tenant, webhook, user, partition, state."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store
        self._made = False

    async def put(self, documents: Sequence[Document]) -> None:
        """Write documents, each whole or not at all."""
        if not documents:
            return
        if not self._made:
            await prepare_webhooks(self._store)
            self._made = True
        await upsert_paced(self._store, WEBHOOKS, [_encode(one) for one in documents])

    async def get(self, kind: Kind, keys: Sequence[str]) -> list[Document]:
        """Return those documents of a kind that there are."""
        if not keys or not await self._exists():
            return []
        points = [_point(kind, key) for key in keys]
        return [_decode(one) for one in await self._store.retrieve(WEBHOOKS, points)]

    async def find(
        self, kind: Kind, labels: Mapping[str, str] | None = None, limit: int | None = None
    ) -> list[Document]:
        """Return documents of a kind that have all of ``labels``; ``limit`` of them at the most."""
        if not await self._exists():
            return []
        found: list[Document] = []
        offset = None
        while True:
            page = _PAGE if limit is None else min(_PAGE, limit - len(found))
            records, offset = await self._store.scroll(
                WEBHOOKS, _labelled({"kind": kind, **(labels or {})}), limit=page, offset=offset
            )
            found += [_decode(record) for record in records]
            if offset is None or (limit is not None and len(found) >= limit):
                return found
            await asyncio.sleep(0)

    async def count(self, kind: Kind, labels: Mapping[str, str]) -> int:
        """Count what `find` would find."""
        if not await self._exists():
            return 0
        return await self._store.count(WEBHOOKS, _labelled({"kind": kind, **labels}))

    async def delete(self, documents: Sequence[Document]) -> None:
        """Delete documents; what is gone already does not matter."""
        if not documents or not await self._exists():
            return
        for start in range(0, len(documents), _PAGE):
            if start:
                await asyncio.sleep(0)
            some = documents[start : start + _PAGE]
            await self._store.delete(WEBHOOKS, [one.point for one in some])

    async def delete_deliveries(self, webhook_id: str) -> None:
        """Delete what a webhook is still to be told, and its dead letters."""
        await self._delete_all({"webhook_id": webhook_id})

    async def erase_user(self, tenant: str, user_id: str) -> None:
        """Delete all deliveries that are about a user, dead letters too."""
        await self._delete_all({"tenant": tenant, "user_id": user_id})

    async def knows_user(self, tenant: str, user_id: str) -> bool:
        """Whether there is a delivery about a user."""
        return bool(await self.count("delivery", {"tenant": tenant, "user_id": user_id}))

    async def _delete_all(self, labels: Mapping[str, str]) -> None:
        """Delete deliveries page by page, however many there are."""
        while page := await self.find("delivery", labels, _PAGE):
            await self.delete(page)
            await asyncio.sleep(0)

    async def _exists(self) -> bool:
        if not self._made:
            self._made = await self._store.collection_exists(WEBHOOKS)
        return self._made


def _point(kind: Kind, key: str) -> str:
    return point_id(kind, "", key)


def _labelled(labels: Mapping[str, str]) -> models.Filter:
    return models.Filter(must=[equals(name, value) for name, value in labels.items()])


def _encode(document: Document) -> models.PointStruct:
    body = orjson.dumps(document.body).decode()
    payload = {**document.labels, "kind": document.kind, "key": document.key, "body": body}
    return models.PointStruct(id=document.point, vector={}, payload=payload)


def _decode(record: models.Record) -> Document:
    payload = dict(record.payload or {})
    kind, key, body = (payload.pop(name) for name in ("kind", "key", "body"))
    return Document(kind, key, orjson.loads(body), payload)
