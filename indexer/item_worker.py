"""Turns recorded catalogue changes into points: embeds what is new, keeps what cannot be yet."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence

from indexer.domain.items import Item, content_digest, filter_kinds, item_text
from indexer.domain.vectors import Vector
from indexer.embedding import Embeddings
from indexer.errors import ProviderError, ProviderUnavailable, unforeseen
from indexer.ports import EventLog, ItemRecord
from indexer.progress import Progress
from indexer.stores.items import ItemPoint, ItemPoints
from indexer.stores.neighbours import Neighbours
from indexer.telemetry import Telemetry

__all__ = ["ItemWorker"]

_log = logging.getLogger(__name__)

_BATCH = 128
_RETRY_MIN_S, _RETRY_MAX_S = 1.0, 30.0
_REFUSED_MAX_S = 600.0
_AWAY_S = 1.0  # how often a provider that is away is then asked, its breaker decides

Ready = Callable[[str, Sequence[str]], None]
"""Told the tenant and the ids of items that have a vector from now on."""


class ItemWorker:
    """Follows the log's items; the only writer of the `items` collection."""

    def __init__(
        self,
        log: EventLog,
        items: ItemPoints,
        neighbours: Neighbours,
        embeddings: Embeddings,
        telemetry: Telemetry,
        text_features: frozenset[str],
        offset: int,
    ) -> None:
        self._log, self._items, self._neighbours = log, items, neighbours
        self._embeddings, self._telemetry = embeddings, telemetry
        self._text_features = text_features
        self._wake = asyncio.Event()
        self._wake.set()
        self._turn = asyncio.Lock()  # held while items are written
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
                await self.catch_up()
                pause_s = _RETRY_MIN_S
            except Exception as exc:  # noqa: BLE001 - counted, and tried again
                self._telemetry.count("failures", "items")
                _log.warning(
                    "items wait at %d: %s", self.progress.offset, exc, exc_info=unforeseen(exc)
                )
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _RETRY_MAX_S)
                self._wake.set()

    async def catch_up(self) -> None:
        """Apply all catalogue changes that are recorded."""
        while records := await self._log.read_items(self.progress.offset, _BATCH):
            await self._apply(records)
            self.progress.advance(records[-1].offset)

    async def run_retries(self) -> None:
        """Embed parked items again, with growing pauses, until cancelled."""
        pause_s = _RETRY_MIN_S
        while True:
            await self._parked.wait()
            await asyncio.sleep(pause_s)
            self._parked.clear()
            try:
                left, most_s = await self._retry()
            except Exception as exc:  # noqa: BLE001 - counted, and tried again
                self._telemetry.count("failures", "items")
                _log.warning("parked items wait: %s", exc, exc_info=unforeseen(exc))
                left, most_s = 1, _RETRY_MAX_S
            if left:
                self._parked.set()
            pause_s = min(2 * pause_s, most_s) if left else _RETRY_MIN_S

    async def _retry(self) -> tuple[int, float]:
        """Embed all parked items; return how many are left, and the longest pause they need."""
        left, offset = 0, None
        while True:
            parked, offset = await self._items.pending(_BATCH, offset)
            refused, away = await self._embed_and_put(parked, again=True)
            left += refused + away
            if away:
                return left, _AWAY_S
            if offset is None:
                return left, _REFUSED_MAX_S

    async def _apply(self, records: Sequence[ItemRecord]) -> None:
        by_tenant: dict[str, list[ItemRecord]] = {}
        for record in records:
            by_tenant.setdefault(record.tenant, []).append(record)
        for tenant, group in by_tenant.items():
            gone = [record.item_id for record in group if record.item is None]
            if gone:
                async with self._turn:
                    await self._items.delete(tenant, gone)
                    await self._neighbours.delete(tenant, gone)
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
        async with self._turn:
            await self._items.put([(p, kept.get(p.item.item_id)) for p in same_text])
        self._telemetry.count("items", "updated", n=len(same_text))
        fresh = [p for p in points if not _embedded(before.get(p.item.item_id), p)]
        if any(await self._embed_and_put(fresh)):
            self._parked.set()

    async def _embed_and_put(
        self, points: Sequence[ItemPoint], *, again: bool = False
    ) -> tuple[int, int]:
        """Embed and write; return how many are refused for good, and how many must wait.

        ``again``: they were parked, and may have been changed or deleted while their texts were
        embedded; then that stands.
        """
        texts = [item_text(stored.item, self._text_features) for stored in points]
        embedded = await self._embeddings.each(texts, keep=False)
        async with self._turn:
            return await self._put(
                [(stored, embedded[text]) for stored, text in zip(points, texts, strict=True)],
                again,
            )

    async def _put(
        self, results: Sequence[tuple[ItemPoint, Vector | ProviderError]], again: bool
    ) -> tuple[int, int]:
        if again:
            results = [pair for pair in results if await self._still_parked(pair[0])]
        ready = [
            (_with_reason(stored, None), vector)
            for stored, vector in results
            if not isinstance(vector, ProviderError)
        ]
        await self._items.put(ready)
        self._telemetry.count("items", "embedded", n=len(ready))
        for tenant in {stored.item.tenant for stored, _ in ready}:
            if self.ready is not None:
                ids = [s.item.item_id for s, _ in ready if s.item.tenant == tenant]
                self.ready(tenant, ids)
        failed = [(stored, exc) for stored, exc in results if isinstance(exc, ProviderError)]
        away = sum(isinstance(exc, ProviderUnavailable) for _, exc in failed)
        if not again:
            await self._park([(stored, _reason(exc)) for stored, exc in failed])
        return len(failed) - away, away

    async def _still_parked(self, stored: ItemPoint) -> bool:
        item = stored.item
        now = (await self._items.get(item.tenant, [item.item_id])).get(item.item_id)
        return now is not None and now.offset == stored.offset

    async def _park(self, points: Sequence[tuple[ItemPoint, str]]) -> None:
        """Keep items to be embedded later, with the reason; each keeps the vector it had."""
        if not points:
            return
        parked: list[tuple[ItemPoint, Vector | None]] = []
        for stored, reason in points:
            item = stored.item
            old = await self._items.vectors(item.tenant, [item.item_id])
            parked.append((_with_reason(stored, reason), old.get(item.item_id)))
        await self._items.put(parked)
        self._telemetry.count("items", "parked", n=len(parked))
        _log.warning("%d items wait for their embedding: %s", len(parked), points[0][1])

    def _point(self, item: Item, offset: int) -> ItemPoint:
        text = item_text(item, self._text_features)
        text_hash = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        return ItemPoint(item, content_digest(item), text_hash, offset)


def _embedded(before: ItemPoint | None, now: ItemPoint) -> bool:
    return before is not None and before.pending is None and before.text_hash == now.text_hash


def _reason(exc: ProviderError) -> str:
    return str(exc) if isinstance(exc, ProviderUnavailable) else f"refused: {exc}"


def _with_reason(stored: ItemPoint, reason: str | None) -> ItemPoint:
    return ItemPoint(stored.item, stored.digest, stored.text_hash, stored.offset, reason)
