"""Turns recorded catalogue changes into points: embeds what is new, keeps what cannot be yet."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence

from indexer.domain.items import Item, content_digest, filter_kinds, item_text
from indexer.domain.vectors import Vector
from indexer.errors import EmbeddingError, RecsvcError
from indexer.ports import Embedder, EventLog, ItemRecord
from indexer.progress import Progress
from indexer.stores.items import ItemPoint, ItemPoints
from indexer.stores.signals import Signals
from indexer.telemetry import Telemetry

__all__ = ["ItemWorker"]

_log = logging.getLogger(__name__)

_BATCH = 128
_RETRY_MIN_S, _RETRY_MAX_S = 1.0, 30.0

Ready = Callable[[str, Sequence[str]], None]
"""Told the tenant and the ids of items that have a vector from now on."""


class ItemWorker:
    """Follows the log's items; the only writer of the `items` collection."""

    def __init__(
        self,
        log: EventLog,
        items: ItemPoints,
        signals: Signals,
        embedder: Embedder,
        telemetry: Telemetry,
        text_features: frozenset[str],
        offset: int,
    ) -> None:
        self._log, self._items, self._signals = log, items, signals
        self._embedder, self._telemetry = embedder, telemetry
        self._text_features = text_features
        self._wake = asyncio.Event()
        self._wake.set()
        self._parked = asyncio.Event()
        self._parked.set()
        self.progress = Progress(offset)
        self.ready: Ready | None = None
        log.on_items(self._wake.set)

    async def run(self) -> None:
        """Apply catalogue changes until cancelled."""
        pause_s = _RETRY_MIN_S
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while records := await self._log.read_items(self.progress.offset, _BATCH):
                    await self._apply(records)
                    self.progress.advance(records[-1].offset)
                pause_s = _RETRY_MIN_S
            except RecsvcError as exc:
                self._telemetry.count("failures", "items")
                _log.warning("items wait at %d: %s", self.progress.offset, exc)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _RETRY_MAX_S)
                self._wake.set()

    async def run_retries(self) -> None:
        """Embed parked items again, with growing pauses, until cancelled."""
        pause_s = _RETRY_MIN_S
        while True:
            await self._parked.wait()
            await asyncio.sleep(pause_s)
            try:
                done = await self._retry()
            except RecsvcError as exc:
                self._telemetry.count("failures", "items")
                _log.warning("parked items wait: %s", exc)
                done = False
            pause_s = _RETRY_MIN_S if done else min(2 * pause_s, _RETRY_MAX_S)

    async def _retry(self) -> bool:
        """Embed some parked items; False while the provider is still away."""
        parked = await self._items.pending(_BATCH)
        if parked and await self._embed_and_put(parked):
            return False
        if len(parked) < _BATCH:
            self._parked.clear()
        return True

    async def _apply(self, records: Sequence[ItemRecord]) -> None:
        by_tenant: dict[str, list[ItemRecord]] = {}
        for record in records:
            by_tenant.setdefault(record.tenant, []).append(record)
        for tenant, group in by_tenant.items():
            gone = [record.item_id for record in group if record.item is None]
            if gone:
                await self._items.delete(tenant, gone)
                await self._signals.delete(tenant, gone)
                self._telemetry.count("items", "deleted", n=len(gone))
            points = [
                self._point(record.item, record.offset)
                for record in group
                if record.item is not None
            ]
            if points:
                await self._store(tenant, points)

    async def _store(self, tenant: str, points: Sequence[ItemPoint]) -> None:
        for stored in points:
            await self._items.learn(filter_kinds(stored.item.features, self._text_features))
        ids = [stored.item.item_id for stored in points]
        before = await self._items.get(tenant, ids)
        same_text = [p for p in points if _embedded(before.get(p.item.item_id), p)]
        kept = await self._items.vectors(tenant, [p.item.item_id for p in same_text])
        await self._items.put([(p, kept.get(p.item.item_id)) for p in same_text])
        self._telemetry.count("items", "updated", n=len(same_text))
        fresh = [p for p in points if not _embedded(before.get(p.item.item_id), p)]
        if fresh and await self._embed_and_put(fresh):
            self._parked.set()

    async def _embed_and_put(self, points: Sequence[ItemPoint]) -> int:
        """Embed and write; return how many have to wait. A waiting item keeps its old vector."""
        texts = [item_text(stored.item, self._text_features) for stored in points]
        try:
            vectors: Sequence[Vector] = await self._embedder.embed(texts)
        except EmbeddingError as exc:
            await self._park(points, str(exc))
            return len(points)
        ready = [_with_reason(stored, None) for stored in points]
        await self._items.put(list(zip(ready, vectors, strict=True)))
        self._telemetry.count("items", "embedded", n=len(points))
        by_tenant: dict[str, list[str]] = {}
        for stored in points:
            by_tenant.setdefault(stored.item.tenant, []).append(stored.item.item_id)
        for tenant, item_ids in by_tenant.items():
            if self.ready is not None:
                self.ready(tenant, item_ids)
        return 0

    async def _park(self, points: Sequence[ItemPoint], reason: str) -> None:
        old: Mapping[str, Vector] = {}
        for tenant in {stored.item.tenant for stored in points}:
            ids = [stored.item.item_id for stored in points if stored.item.tenant == tenant]
            old = await self._items.vectors(tenant, ids)
            await self._items.put(
                [
                    (_with_reason(stored, reason), old.get(stored.item.item_id))
                    for stored in points
                    if stored.item.tenant == tenant
                ]
            )
        self._telemetry.count("items", "parked", n=len(points))
        _log.warning("%d items wait for their embedding: %s", len(points), reason)

    def _point(self, item: Item, offset: int) -> ItemPoint:
        text = item_text(item, self._text_features)
        text_hash = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        return ItemPoint(item, content_digest(item), text_hash, offset)


def _embedded(before: ItemPoint | None, now: ItemPoint) -> bool:
    return before is not None and before.pending is None and before.text_hash == now.text_hash


def _with_reason(stored: ItemPoint, reason: str | None) -> ItemPoint:
    return ItemPoint(stored.item, stored.digest, stored.text_hash, stored.offset, reason)
