"""Turns recorded catalogue changes into points: embeds what is new, keeps what cannot be yet."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from indexer.domain.items import Item, content_digest, filter_kinds, item_text
from indexer.domain.position import position_of
from indexer.domain.vectors import Vector
from indexer.embedding import Embeddings
from indexer.errors import ProviderError, ProviderUnavailable, unforeseen
from indexer.keep_up import KeepUp
from indexer.ports import Applied, Changes, Feed, ItemRecord, ItemsChange
from indexer.stores.items import ItemPoint, ItemPoints
from indexer.stores.neighbours import Neighbours
from indexer.telemetry import Telemetry

__all__ = ["ItemWorker"]

_log = logging.getLogger(__name__)

_BATCH = 128
_RETRY_MIN_S, _RETRY_MAX_S = 1.0, 30.0
_REFUSED_MAX_S = 600.0
_LOOK_S = 15.0
_AWAY_S = 1.0  # how often a provider that is away is then asked, its breaker decides


class ItemWorker:
    """Follows the log's items; the only writer of those that ``owns`` says are ours.

    ``commit``: whether what is written survives as soon as it is.
    """

    def __init__(
        self,
        feed: Feed,
        items: ItemPoints,
        neighbours: Neighbours,
        embeddings: Embeddings,
        changes: Changes,
        telemetry: Telemetry,
        text_features: frozenset[str],
        owns: Callable[[tuple[str, str]], bool],
        *,
        commit: bool,
    ) -> None:
        self._feed, self._items, self._neighbours = feed, items, neighbours
        self._embeddings, self._changes, self._telemetry = embeddings, changes, telemetry
        self._text_features, self._owns, self._commit = text_features, owns, commit
        self._turn = asyncio.Lock()  # held while items are written
        self._parked = asyncio.Event()
        self._parked.set()
        self._keep_up = KeepUp(
            feed,
            "items",
            self.catch_up,
            telemetry,
            name="items",
            least_s=_RETRY_MIN_S,
            most_s=_RETRY_MAX_S,
        )

    async def run(self) -> None:
        """Apply catalogue changes until cancelled."""
        await self._keep_up.run()

    async def catch_up(self) -> None:
        """Apply all catalogue changes that are recorded."""
        while records := await self._feed.read("items", _BATCH):
            await self._apply(records)
            self._feed.applied("items", position_of((r.partition, r.offset) for r in records))
            await self._changes.publish([Applied("items", self._feed.positions("items"))])
            if self._commit:
                await self._feed.commit()

    async def run_retries(self) -> None:
        """Embed parked items again, with growing pauses, until cancelled."""
        pause_s = _RETRY_MIN_S
        while True:
            with suppress(TimeoutError):  # items of a partition that came later may be parked
                async with asyncio.timeout(_LOOK_S):
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
            parked = [one for one in parked if self._owns((one.item.tenant, one.item.item_id))]
            refused, away = await self._embed_and_put(parked, again=True)
            left += refused + away
            if away:
                return left, _AWAY_S
            if offset is None:
                return left, _REFUSED_MAX_S

    async def _apply(self, records: Sequence[ItemRecord]) -> None:
        by_tenant: dict[str, list[ItemRecord]] = {}
        for record in _newest(records):
            by_tenant.setdefault(record.tenant, []).append(record)
        for tenant, group in by_tenant.items():
            gone = [
                record.item_id
                for record in group
                if record.item is None and self._owns((tenant, record.item_id))
            ]
            if gone:
                async with self._turn:
                    await self._items.delete(tenant, gone)
                    await self._neighbours.delete(tenant, gone)
                await self._changes.publish([ItemsChange(tenant, tuple(gone))])
                self._telemetry.count("items", "deleted", n=len(gone))
            await self._store(tenant, [record for record in group if record.item is not None])

    async def _store(self, tenant: str, records: Sequence[ItemRecord]) -> None:
        before = await self._items.get(tenant, [record.item_id for record in records])
        points = [
            self._point(record.item, record.offset)
            for record in records
            if record.item is not None and not (record.only_unknown and record.item_id in before)
        ]
        if not points:
            return
        for stored in points:
            await self._items.learn(filter_kinds(stored.item.features, self._text_features))
        same_text = [p for p in points if _embedded(before.get(p.item.item_id), p)]
        kept = await self._items.vectors(tenant, [p.item.item_id for p in same_text])
        async with self._turn:
            await self._items.put([(p, kept.get(p.item.item_id)) for p in same_text])
        await self._tell(same_text)
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
        await self._tell([stored for stored, _ in ready], ready=True)
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
        await self._tell([stored for stored, _ in parked])
        self._telemetry.count("items", "parked", n=len(parked))
        _log.warning("%d items wait for their embedding: %s", len(parked), points[0][1])

    async def _tell(self, points: Iterable[ItemPoint], *, ready: bool = False) -> None:
        """Tell of written items; ``ready``: they have a vector from now on."""
        by_tenant: dict[str, list[str]] = {}
        for stored in points:
            by_tenant.setdefault(stored.item.tenant, []).append(stored.item.item_id)
        await self._changes.publish(
            ItemsChange(tenant, tuple(ids), tuple(ids) if ready else ())
            for tenant, ids in by_tenant.items()
        )

    def _point(self, item: Item, offset: int) -> ItemPoint:
        text = item_text(item, self._text_features)
        text_hash = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        return ItemPoint(item, content_digest(item), text_hash, offset)


def _newest(records: Sequence[ItemRecord]) -> list[ItemRecord]:
    """Return what is left of changes where a later one of the same item stands for those before."""
    newest: dict[tuple[str, str], ItemRecord] = {}
    for record in records:
        key = (record.tenant, record.item_id)
        before = newest.get(key)
        if not record.only_unknown or before is None:
            newest[key] = record
        elif before.item is None:  # the deletion that it follows is not in the store yet
            newest[key] = replace(record, only_unknown=False)
    return list(newest.values())


def _embedded(before: ItemPoint | None, now: ItemPoint) -> bool:
    return before is not None and before.pending is None and before.text_hash == now.text_hash


def _reason(exc: ProviderError) -> str:
    return str(exc) if isinstance(exc, ProviderUnavailable) else f"refused: {exc}"


def _with_reason(stored: ItemPoint, reason: str | None) -> ItemPoint:
    return ItemPoint(stored.item, stored.digest, stored.text_hash, stored.offset, reason)
