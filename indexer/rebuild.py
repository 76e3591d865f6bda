"""Making every collection anew from the log, beside those in use, and switching to them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from qdrant_client import models

from indexer.assembly import Parts, assemble
from indexer.changes.memory import MemoryChanges
from indexer.data_dir import owning
from indexer.domain.events import ref_text
from indexer.domain.position import Position
from indexer.domain.vectors import Vector
from indexer.errors import StoreError
from indexer.hold import HOLD_S, Hold
from indexer.learners import load_learner
from indexer.ports import Changes, Channel, Owner, VectorStore
from indexer.provider import Models, check_models, open_models
from indexer.runtime import Runtime, running
from indexer.settings import Settings
from indexer.stores import open_store
from indexer.stores.points import upsert_paced, vector_of
from indexer.stores.schema import (
    COLLECTIONS,
    ITEMS,
    NEIGHBOURS,
    PROFILES,
    TERMS,
    USERS,
    WEBHOOKS,
    prepare_webhooks,
)
from indexer.stores.terms import Cursors
from indexer.streams import Streams, open_streams
from indexer.streams.replay_feed import ReplayFeed
from indexer.telemetry import Telemetry

__all__ = ["Comparison", "RebuildReport", "rebuild"]

_log = logging.getLogger(__name__)

_PAGE: Final = 256
_SAMPLE: Final = 200
_ALIKE: Final = 0.999
_COUNTED: Final = (ITEMS, USERS, NEIGHBOURS)
_SETTLE_S: Final = 2.0
_RENEW_S: Final = 5.0
_WAITING_S: Final = 1.0

Said = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One collection before and after. ``alike``: share of a sample whose vectors are the same."""

    collection: str
    before: int
    after: int
    alike: float

    @property
    def same(self) -> bool:
        """Whether nothing of note is different."""
        return self.before == self.after and self.alike >= _ALIKE


@dataclass(slots=True)
class RebuildReport:
    """What came of it. ``comparisons``: empty where there was nothing to compare with."""

    events: int = 0
    items: int = 0
    comparisons: list[Comparison] = field(default_factory=list)
    switched: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON fields."""
        rows = [
            {"collection": c.collection, "before": c.before, "after": c.after, "alike": c.alike}
            for c in self.comparisons
        ]
        fields = {"events": self.events, "items": self.items, "switched": self.switched}
        return {**fields, "comparisons": rows}


async def rebuild(
    settings: Settings, *, start: Position, accept_differences: bool, say: Said
) -> RebuildReport:
    """Fold the whole log, or what is beyond ``start``, into new collections; switch where they fit.

    Vectors that were paid for, profiles and learned weights are taken over. Services go on
    meanwhile; for the comparison, the last events and the switch, all leave off folding.

    Raises:
        SchemaMismatch, StoreError, LogError: nothing was switched.
    """
    check_models(settings)
    telemetry = Telemetry()
    async with AsyncExitStack() as stack:
        stack.enter_context(owning(settings))
        models_ = await stack.enter_async_context(open_models(settings, telemetry))
        streams = await open_streams(settings)
        stack.push_async_callback(streams.log.close)
        live = await open_store(settings)
        stack.push_async_callback(live.close)
        beside = await live.beside()
        stack.push_async_callback(beside.close)
        await _clear(beside)
        job = _Rebuild(settings, telemetry, streams, live, beside, models_, say)
        return await job.run(start, accept_differences=accept_differences)


class _Rebuild:
    def __init__(
        self,
        settings: Settings,
        telemetry: Telemetry,
        streams: Streams,
        live: VectorStore,
        beside: VectorStore,
        models_: Models,
        say: Said,
    ) -> None:
        self._settings, self._telemetry, self._streams = settings, telemetry, streams
        self._live, self._beside, self._models, self._say = live, beside, models_, say
        self._hold, self._held_at = Hold(live), 0.0
        self._shared = streams.shared is not None

    async def run(self, start: Position, *, accept_differences: bool) -> RebuildReport:
        feeds: list[ReplayFeed] = []

        def follow(owner: Owner, _: Changes) -> ReplayFeed:
            feeds.append(ReplayFeed(self._streams.log, owner, start))
            return feeds[-1]

        parts = await assemble(
            self._settings,
            self._telemetry,
            Streams(self._streams.log, None, follow),
            self._beside,
            self._models,
            MemoryChanges(),
        )
        parts.applier.creates_items = False
        has_live = await self._live.collection_exists(TERMS)
        if has_live:
            self._say("taking over the vectors of texts, which were paid for")
            await _take_over(self._live, self._beside, TERMS)
        else:
            parts.applier.learner = load_learner(Runtime.of(parts))
        report = RebuildReport()
        await parts.feed.begin()
        embedding = (
            parts.worker.run_texts,
            parts.worker.run_sweeps,
            parts.item_worker.run_retries,
        )
        async with running(embedding):  # of searches and parked items
            self._say("folding the log")
            await self._catch_up(parts, feeds[0], as_far_as_live=has_live)
            async with self._held(has_live):
                if has_live:
                    report.comparisons = await self._compare(parts, feeds[0])
                if all(one.same for one in report.comparisons) or accept_differences:
                    await self._catch_up(parts, feeds[0], as_far_as_live=False)
                    await self._switch(parts)
                    report.switched = True
        report.events = int(self._telemetry.total("events", "folded"))
        report.items = int(self._telemetry.total("items", "embedded"))
        return report

    async def _compare(self, parts: Parts, feed: ReplayFeed) -> list[Comparison]:
        """Fold as far as those in use are, take over what only they have, and compare."""
        self._say("comparing")
        await self._catch_up(parts, feed, as_far_as_live=True)
        for collection in (TERMS, PROFILES):
            await _take_over(self._live, self._beside, collection)
        if not self._shared and await self._live.collection_exists(WEBHOOKS):
            await prepare_webhooks(self._beside)  # of a shared server, they stay where they are
            await _take_over(self._live, self._beside, WEBHOOKS)
        return await _compare(self._live, self._beside)

    async def _catch_up(self, parts: Parts, feed: ReplayFeed, *, as_far_as_live: bool) -> None:
        """Fold to the log's end of now, or as far as those in use; and what waited for a text."""
        feed.until = await self._live_cursors() if as_far_as_live else None
        await parts.item_worker.catch_up()
        await parts.worker.catch_up()
        while await _can_be_embedded(parts):
            await asyncio.sleep(_WAITING_S)
            await parts.worker.catch_up()
        await parts.neighbours.flush()
        await self._forget_deleted(parts)

    async def _live_cursors(self) -> dict[Channel, Position]:
        cursors, partitions = Cursors(self._live), range(self._streams.log.partitions)
        return {
            "events": await cursors.read("events", partitions),
            "items": await cursors.read("items", partitions),
        }

    async def _forget_deleted(self, parts: Parts) -> None:
        """Drop what events, read after the catalogue, have counted for items that are gone."""
        for partition in range(self._streams.log.partitions):
            after = 0
            while changes := await self._streams.log.read_items(partition, after, _PAGE):
                for tenant in {one.tenant for one in changes if one.item is None}:
                    gone = [o.item_id for o in changes if o.item is None and o.tenant == tenant]
                    there = await parts.items.get(tenant, gone)
                    await parts.neighbours.delete(tenant, [g for g in gone if g not in there])
                after = changes[-1].offset

    @asynccontextmanager
    async def _held(self, has_live: bool) -> AsyncIterator[None]:
        """Have nobody fold for the length of the block."""
        if not (self._shared and has_live):
            yield
            return
        wait_s = self._settings.event_log_session_s + _SETTLE_S
        self._say(f"having all leave off folding; {wait_s:g} s, so that also the dead have")
        await self._wish()
        renewing = asyncio.create_task(self._renew(), name="hold")
        try:
            await asyncio.sleep(wait_s)
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            if await self._live.collection_exists(TERMS):
                await self._hold.end()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_S)
            try:
                await self._wish()
            except StoreError as exc:
                _log.warning("the hold on folding could not be renewed: %s", exc)

    async def _wish(self) -> None:
        """Hold on, unless the hold before has ended: somebody may have folded meanwhile.

        Raises:
            StoreError: it has; nothing is to be switched.
        """
        began = time.monotonic()
        if self._held_at and began - self._held_at > HOLD_S:
            raise StoreError("the hold on folding has lapsed; nothing was switched, run it again")
        await self._hold.wish()
        self._held_at = began

    async def _switch(self, parts: Parts) -> None:
        """Note where to go on, then have all read and write the new collections."""
        self._say("switching")
        pairs: Position = {}
        if self._shared:  # all that was sent is of events that are counted here
            pairs = await self._streams.log.ends("pairs")
        await self._beside.flush()
        await Cursors(self._beside).write(
            {
                "events": parts.feed.positions("events"),
                "items": parts.feed.positions("items"),
                "pairs": pairs,
            }
        )
        await self._beside.flush()
        if self._held_at:
            await self._wish()
        await self._live.switch_to(self._beside)


async def _clear(store: VectorStore) -> None:
    """Drop what a rebuild that did not come to its end has left."""
    for name in (*(one.name for one in COLLECTIONS), WEBHOOKS):
        if await store.collection_exists(name):
            await store.delete_collection(name)


async def _can_be_embedded(parts: Parts) -> bool:
    """Whether something waits that is still to come: a text; an unknown item may never."""
    refs = {ref for _, waiting in await parts.states.waiting() for ref in waiting}
    return any(ref_text(ref) is not None for ref in refs)


async def _take_over(live: VectorStore, beside: VectorStore, collection: str) -> None:
    """Copy a collection, but of the terms only what a fold of the log does not make."""
    offset = None
    while True:
        records, offset = await live.scroll(
            collection, limit=_PAGE, offset=offset, with_vectors=True
        )
        kept = [r for r in records if collection != TERMS or _is_kept(r)]
        points = [
            models.PointStruct.model_construct(
                id=str(r.id), vector=r.vector or {}, payload=r.payload or {}
            )
            for r in kept
        ]
        await upsert_paced(beside, collection, points)
        if offset is None:
            return


def _is_kept(record: models.Record) -> bool:
    """Whether a term is a text's vector or what the ranking has learned."""
    return bool(record.vector) or any(name.startswith("ranking ") for name in record.payload or {})


async def _compare(live: VectorStore, beside: VectorStore) -> list[Comparison]:
    return [
        Comparison(
            name,
            await live.count(name),
            await beside.count(name),
            await _alike(name, live, beside),
        )
        for name in _COUNTED
    ]


async def _alike(collection: str, live: VectorStore, beside: VectorStore) -> float:
    """Return the share of a sample whose dense vectors point the same way in both."""
    records, _ = await live.scroll(collection, limit=_SAMPLE, with_payload=False, with_vectors=True)
    twins = await beside.retrieve(
        collection, [str(r.id) for r in records], with_payload=False, with_vectors=True
    )
    by_id = {str(twin.id): twin for twin in twins}
    names = [name for one in COLLECTIONS if one.name == collection for name in one.vectors]
    pairs: list[tuple[Vector | None, Vector | None]] = [
        (vector_of(record, name), _vector_of(by_id.get(str(record.id)), name))
        for record in records
        for name in names
    ]
    return sum(_same(*pair) for pair in pairs) / len(pairs) if pairs else 1.0


def _vector_of(record: models.Record | None, name: str) -> Vector | None:
    return vector_of(record, name) if record is not None else None


def _same(one: Vector | None, other: Vector | None) -> bool:
    if one is None or other is None:
        return one is other
    scale = float(np.linalg.norm(one) * np.linalg.norm(other))
    return scale > 0.0 and float(one @ other) / scale >= _ALIKE
