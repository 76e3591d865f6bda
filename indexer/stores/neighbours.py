"""Neighbourhoods and popularity of items, as points of `neighbours`, under the items' own ids.

All that an event changes about items is here, apart from the indexed `items`. Popularity is a
decayed sum of positive event weights, at two half-lives. What is stored of it is the logarithm as
of a fixed date (forward decay): it never has to be swept, and comparing two items needs no clock.
"""

from __future__ import annotations

import asyncio
import base64
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from qdrant_client import models

from indexer.domain.ids import item_point
from indexer.domain.neighbours import Counts, Neighbourhood, NeighbourRules, Occurrence
from indexer.domain.position import partition_of
from indexer.ports import Hit, VectorStore
from indexer.stores.bounded import BoundedDict
from indexer.stores.points import WRITE_MAX, scoped
from indexer.stores.schema import HEAT, HOT, NEAR, NEIGHBOURS
from indexer.stores.terms import Notes, crowds_note

__all__ = ["Crowd", "Horizon", "Neighbours"]

Horizon = Literal["heat", "hot"]
"""``heat``: popularity over weeks. ``hot``: over a day."""

_EPOCH_S: Final = 1_577_836_800.0  # 2020-01-01
_CACHED, _COUNTS_CACHED = 8_192, 131_072

_Key = tuple[str, str]


@dataclass(slots=True)
class Crowd:
    """All users of a tenant together. ``counted``: how much they took up. ``newest_s``: when
    last, in unix seconds; 0 for never.
    """

    counted: float = 0.0
    newest_s: float = 0.0


_NOBODY: Final = Crowd()


@dataclass(slots=True)
class _Entry:
    """One item. ``heat``: by horizon, as a logarithm."""

    hood: Neighbourhood = field(default_factory=Neighbourhood)
    heat: dict[Horizon, float] = field(default_factory=lambda: {HEAT: -math.inf, HOT: -math.inf})


class Neighbours:
    """Counts in memory, writes on `flush`; what an item has of a partition's events counts no
    more, so that what is delivered again after a crash changes nothing.

    Items are counted in the process that took their partition; all others look at what is stored,
    and `refresh` now and then. ``guarded``: one that has lost a partition may still write.
    """

    def __init__(
        self,
        store: VectorStore,
        rules: NeighbourRules,
        half_lives_s: Mapping[Horizon, float],
        partitions: int = 1,
        *,
        guarded: bool = False,
    ) -> None:
        self._guarded = guarded
        self._flushing = asyncio.Lock()
        self._store, self._rules, self._half_lives_s = store, rules, half_lives_s
        self._partitions = partitions
        self._known: dict[_Key, _Entry] = {}
        self._dirty: set[_Key] = set()
        self._counts: BoundedDict[_Key, Counts] = BoundedDict(_COUNTS_CACHED)
        self._notes = Notes(store)
        self._crowds: dict[int, dict[str, Crowd]] = {}
        self._crowds_changed: set[int] = set()
        self._ours: set[int] = set()
        self.version = 0  # changes with what is written

    @property
    def half_life_recent_s(self) -> float:
        """The half-life of the decayed pair counts, in seconds."""
        return self._rules.half_life_recent_s

    async def take(self, partitions: Collection[int]) -> None:
        """Begin to count the items of ``partitions``, which nobody else does from now on."""
        self._forget(partitions)
        self._crowds.update(await self._read_crowds(partitions))
        self._ours.update(partitions)

    async def release(self, partitions: Collection[int]) -> None:
        """Write what is counted, and forget what others count from now on."""
        try:
            await self.flush()
        finally:  # what could not be written is counted again by whoever is next
            self._ours -= set(partitions)
            self._forget(partitions)
        await self.refresh()

    async def refresh(self) -> None:
        """Forget what others may have changed."""
        if len(self._ours) == self._partitions:
            return
        self._counts.clear()
        others = [one for one in range(self._partitions) if one not in self._ours]
        crowds = await self._read_crowds(others)
        self._crowds.update({one: crowds[one] for one in others if one not in self._ours})
        self.version += 1

    async def count(self, tenant: str, occurrences: Sequence[Occurrence]) -> None:
        """Count what events add to items of our partitions, in log order."""
        # Held here, as a flush may forget what it has written while this waits.
        entries = await self._load({(tenant, one.item_id) for one in occurrences})
        await self._load_crowds()
        for one in occurrences:
            key = (tenant, one.item_id)
            entry = self._known.setdefault(key, entries[key])
            if entry.hood.has(one):
                continue
            entry.hood.count(tenant, one, self._rules)
            for horizon, half_life_s in self._half_lives_s.items():
                if one.weight > 0.0:
                    gain = math.log2(one.weight) + (one.timestamp - _EPOCH_S) / half_life_s
                    entry.heat[horizon] = float(np.logaddexp2(entry.heat[horizon], gain))
            self._counts[key] = entry.hood.counts
            self._dirty.add(key)
            self._count_crowd(tenant, one)

    async def flush(self) -> None:
        """Write what has changed, a few at a time; what is not written stays to be written."""
        async with self._flushing:
            await self._flush()

    async def _flush(self) -> None:
        dirty, self._dirty = list(self._dirty), set()
        try:
            while dirty:
                keys = [key for key in dirty[-WRITE_MAX:] if key in self._known]
                points = [self._encode(key) for key in keys]
                if self._guarded:
                    await self._store.upsert_unless_older(NEIGHBOURS, points, "occurred")
                else:
                    await self._store.upsert(NEIGHBOURS, points)
                del dirty[-WRITE_MAX:]
                self.version += 1
                await asyncio.sleep(0)
        finally:
            self._dirty |= {key for key in dirty if key in self._known}
        while self._crowds_changed:
            await self._note_crowds(next(iter(self._crowds_changed)))
        if len(self._known) > _CACHED and not self._dirty:
            self._known.clear()

    async def nearest(
        self, tenant: str, query: models.SparseVector, limit: int, excluded: Iterable[str] = ()
    ) -> list[Hit]:
        """Return the items that go best with what is asked, by point id; bigger is better."""
        points = list(excluded)
        denied = [models.HasIdCondition.model_construct(has_id=points)] if points else []
        return await self._store.query_points(
            NEIGHBOURS,
            query,
            using=NEAR,
            query_filter=scoped(tenant, must_not=denied),
            limit=limit,
            with_payload=False,
        )

    async def popular(
        self, tenant: str, horizon: Horizon, limit: int, offset: int = 0
    ) -> list[Hit]:
        """Return the most popular items by point id; scores are logarithms to base 2."""
        return await self._store.query_points(
            NEIGHBOURS,
            [1.0],
            using=horizon,
            query_filter=scoped(tenant),
            limit=limit,
            offset=offset,
            with_payload=False,
        )

    async def counts(self, tenant: str, item_ids: Iterable[str]) -> dict[str, Counts]:
        """Return how often items were taken up; those never counted are left out."""
        wanted = list(item_ids)
        missing = [i for i in wanted if (tenant, i) not in self._counts]
        if missing:
            records = await self._store.retrieve(
                NEIGHBOURS,
                [item_point(tenant, item_id) for item_id in missing],
                with_payload=["item_id", "counts"],
            )
            found = {p["item_id"]: Counts(*p["counts"]) for p in (r.payload or {} for r in records)}
            for item_id in missing:
                key = (tenant, item_id)
                if key not in self._counts:  # which an event may have counted meanwhile
                    self._counts[key] = found.get(item_id, Counts())
        return {item_id: self._counts.get((tenant, item_id), Counts()) for item_id in wanted}

    async def hoods(self, tenant: str, item_ids: Sequence[str]) -> dict[str, Neighbourhood]:
        """Return the neighbourhoods of those of the items that have one, as they are stored."""
        records = await self._store.retrieve(
            NEIGHBOURS, [item_point(tenant, item_id) for item_id in item_ids]
        )
        payloads = [record.payload or {} for record in records]
        return {payload["item_id"]: _decode(payload).hood for payload in payloads}

    async def crowd(self, tenant: str) -> Crowd:
        """Return what all users of a tenant did."""
        await self._load_crowds()
        if self._partitions == 1:
            return self._crowds[0].get(tenant, _NOBODY)
        found = [c[tenant] for c in self._crowds.values() if tenant in c]
        newest_s = max((one.newest_s for one in found), default=0.0)
        return Crowd(sum(one.counted for one in found), newest_s)

    async def delete(self, tenant: str, item_ids: Sequence[str]) -> None:
        """Forget items."""
        for item_id in item_ids:
            self._known.pop((tenant, item_id), None)
            self._counts.pop((tenant, item_id), None)
            self._dirty.discard((tenant, item_id))
        await self._store.delete(NEIGHBOURS, [item_point(tenant, i) for i in item_ids])
        self.version += 1

    async def _load(self, keys: Iterable[_Key]) -> dict[_Key, _Entry]:
        """Return the entries of ``keys``, new ones for items that have none."""
        found = {key: self._known.get(key) for key in keys}
        missing = {item_point(*key): key for key, entry in found.items() if entry is None}
        if missing:
            for record in await self._store.retrieve(NEIGHBOURS, list(missing)):
                found[missing[str(record.id)]] = _decode(record.payload or {})
        return {key: entry or _Entry() for key, entry in found.items()}

    def _forget(self, partitions: Collection[int]) -> None:
        """Drop what is in memory of items that others may have counted."""
        for key in [key for key in self._known if self._partition_of(key) in partitions]:
            del self._known[key]
            self._dirty.discard(key)
        self._counts.clear()
        self._crowds_changed -= set(partitions)

    def _partition_of(self, key: _Key) -> int:
        return partition_of(*key, self._partitions)

    def _count_crowd(self, tenant: str, one: Occurrence) -> None:
        partition = self._partition_of((tenant, one.item_id))
        crowd = self._crowds[partition].setdefault(tenant, Crowd())
        crowd.counted += one.gain
        crowd.newest_s = max(crowd.newest_s, one.timestamp)
        self._crowds_changed.add(partition)

    async def _load_crowds(self) -> None:
        missing = [one for one in range(self._partitions) if one not in self._crowds]
        if missing:
            self._crowds = {**await self._read_crowds(missing), **self._crowds}

    async def _read_crowds(self, partitions: Iterable[int]) -> dict[int, dict[str, Crowd]]:
        names = {partition: crowds_note(partition) for partition in partitions}
        notes = await self._notes.read_many(list(names.values()))
        return {
            partition: {tenant: Crowd(*fields) for tenant, fields in notes[name].items()}
            for partition, name in names.items()
        }

    async def _note_crowds(self, partition: int) -> None:
        crowds = self._crowds[partition]
        await self._notes.write(
            crowds_note(partition), {t: [c.counted, c.newest_s] for t, c in crowds.items()}
        )
        self._crowds_changed.discard(partition)

    def _encode(self, key: _Key) -> models.PointStruct:
        tenant, item_id = key
        entry = self._known[key]
        hood = entry.hood
        indices, values = hood.sparse(self._rules.half_life_recent_s)
        vectors: dict[str, Any] = {
            horizon: [heat] for horizon, heat in entry.heat.items() if math.isfinite(heat)
        }
        if indices:
            vectors[NEAR] = models.SparseVector.model_construct(indices=indices, values=values)
        payload = {
            "tenant": tenant,
            "item_id": item_id,
            "offsets": [list(place) for place in hood.offsets.items()],
            "occurred": hood.occurred,
            "counts": list(hood.counts),
            "heat": {h: heat for h, heat in entry.heat.items() if math.isfinite(heat)},
            # One string: the engine takes lists of hundreds of numbers ten times slower.
            "pairs": _pack(hood),
        }
        return models.PointStruct.model_construct(
            id=item_point(tenant, item_id), vector=vectors, payload=payload
        )


def _pack(hood: Neighbourhood) -> str:
    columns = (hood.dims.view(np.float32), hood.total, hood.recent, hood.times)
    return base64.b64encode(np.concatenate(columns).tobytes()).decode()


def _decode(payload: Mapping[str, Any]) -> _Entry:
    packed = np.frombuffer(base64.b64decode(payload["pairs"]), np.float32)
    dims, total, recent, times = packed.reshape(4, -1)
    hood = Neighbourhood(
        dict(payload["offsets"]),
        payload["occurred"],
        Counts(*payload["counts"]),
        dims.view(np.uint32),
        total,
        recent,
        times,
    )
    entry = _Entry(hood)
    entry.heat.update(payload["heat"])
    return entry
