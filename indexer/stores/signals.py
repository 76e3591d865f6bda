"""Popularity: per item a decayed sum of positive event weights, as points of `signals`.

What is stored is the logarithm of the sum as of a fixed date (forward decay): it never has to be
swept, and comparing two items needs no clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from qdrant_client import models

from indexer.domain.ids import point_id
from indexer.ports import VectorStore
from indexer.stores.points import point, scoped, upsert_paced
from indexer.stores.schema import SIGNALS

__all__ = ["Signal", "Signals"]

_EPOCH_S = 1_577_836_800.0  # 2020-01-01
_CACHED = 100_000

_Key = tuple[str, str]


@dataclass(slots=True)
class Signal:
    """An item's popularity, as a logarithm, and the last offset counted."""

    heat: float = -math.inf
    offset: int = -1


class Signals:
    """Counts in memory, writes on `flush`; events at or below a stored offset count no more."""

    def __init__(self, store: VectorStore, half_life_s: float) -> None:
        self._store = store
        self._half_life_s = half_life_s
        self._known: dict[_Key, Signal] = {}
        self._dirty: set[_Key] = set()

    async def load(self, keys: Iterable[_Key]) -> dict[_Key, Signal]:
        """Read the signals of items that are about to be counted."""
        found = {key: self._known.get(key, Signal()) for key in keys}
        missing = [key for key in found if key not in self._known]
        if missing:
            for record in await self._store.retrieve(SIGNALS, [_point(*key) for key in missing]):
                payload = record.payload or {}
                key = (payload["tenant"], payload["item_id"])
                found[key] = Signal(payload["heat"], payload["offset"])
        return found

    def count(
        self, key: _Key, loaded: Signal, weight: float, timestamp: float, offset: int
    ) -> None:
        """Count one event on an item; ``loaded`` is what `load` gave for it."""
        signal = self._known.setdefault(key, loaded)
        if weight <= 0.0 or offset <= signal.offset:
            return
        gain = math.log2(weight) + (timestamp - _EPOCH_S) / self._half_life_s
        signal.heat, signal.offset = float(np.logaddexp2(signal.heat, gain)), offset
        self._dirty.add(key)

    async def flush(self) -> None:
        """Write what has changed; what is not written stays to be written."""
        dirty, self._dirty = self._dirty, set()
        written = False
        try:
            await upsert_paced(self._store, SIGNALS, [self._encode(key) for key in dirty])
            written = True
        finally:
            if not written:
                self._dirty |= {key for key in dirty if key in self._known}
        if len(self._known) > _CACHED and not self._dirty:
            self._known.clear()

    async def popular(self, tenant: str, limit: int, offset: int = 0) -> list[tuple[str, float]]:
        """Return the most popular items and their heat, hottest first."""
        found = await self._store.query_points(
            SIGNALS,
            [1.0],
            using="heat",
            query_filter=scoped(tenant),
            limit=limit,
            offset=offset,
            with_payload=["item_id"],
        )
        return [(p.payload["item_id"], p.score) for p in found]

    async def delete(self, tenant: str, item_ids: Sequence[str]) -> None:
        """Forget items."""
        for item_id in item_ids:
            self._known.pop((tenant, item_id), None)
            self._dirty.discard((tenant, item_id))
        await self._store.delete(SIGNALS, [_point(tenant, item_id) for item_id in item_ids])

    def _encode(self, key: _Key) -> models.PointStruct:
        tenant, item_id = key
        signal = self._known[key]
        payload = {
            "tenant": tenant,
            "item_id": item_id,
            "heat": signal.heat,
            "offset": signal.offset,
        }
        return point(_point(*key), {"heat": np.asarray([signal.heat], np.float32)}, payload)


def _point(tenant: str, item_id: str) -> str:
    return point_id("signal", tenant, item_id)
