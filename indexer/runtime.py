"""Puts the parts together, and takes them apart in the reverse order."""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import logging
import math
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from indexer.apply import Applier
from indexer.catalogue import Catalogue
from indexer.changes import open_changes
from indexer.embedding import Embeddings
from indexer.errors import (
    DataDirInUse,
    ProviderError,
    RecsvcError,
    SchemaMismatch,
    unforeseen,
)
from indexer.item_worker import ItemWorker
from indexer.pairs import PairCounter
from indexer.ports import Changes, Embedder, EventLog, UserChange, VectorStore
from indexer.profiling import open_profiler
from indexer.profiling.evidence import EvidenceReader
from indexer.profiling.plan import PlanRules
from indexer.profiling.refresh import ProfileRefresher
from indexer.profiling.writer import ProfileWriter
from indexer.progress import Outcomes
from indexer.provider import Models, check_models, open_models
from indexer.settings import Settings
from indexer.stores import open_store
from indexer.stores.items import ItemPoints
from indexer.stores.neighbours import Neighbours
from indexer.stores.profiles import Profiles
from indexer.stores.schema import HEAT, HOT, is_older, prepare
from indexer.stores.terms import Cursors, Notes, TextVectors, forget_folded
from indexer.stores.users import UserStates
from indexer.streams import open_log
from indexer.telemetry import Telemetry
from indexer.worker import Worker

__all__ = ["Runtime", "open_runtime"]

_log = logging.getLogger(__name__)

_STATES_CACHED = 2_048
_COUNTS_S, _CHECKPOINT_EVERY = 1.0, 5
_DRAIN_S = 10.0
_PROBE_S, _PING_EVERY_S = 2.0, 30.0


@dataclass(slots=True)
class Runtime:
    """All parts of one process that holds the write path."""

    settings: Settings
    telemetry: Telemetry
    log: EventLog
    store: VectorStore
    models: Models
    changes: Changes
    outcomes: Outcomes
    states: UserStates
    items: ItemPoints
    profiles: Profiles
    embeddings: Embeddings
    neighbours: Neighbours
    notes: Notes
    cursors: Cursors
    item_worker: ItemWorker
    applier: Applier
    worker: Worker
    refresher: ProfileRefresher
    catalogue: Catalogue
    failed: list[str] = field(default_factory=list)
    _saved: dict[str, int] = field(default_factory=dict)
    _accepted: float = 0.0
    _pinged_at: float = -math.inf
    _embedder_state: str = "ok"

    async def drain(self, timeout_s: float = _DRAIN_S) -> int:
        """Wait until all that is logged is folded; return how many events are left."""
        last = await self.log.last_offset()
        await self.worker.progress.wait(last, timeout_s)
        return await self.worker.depth()

    async def checkpoint(self) -> None:
        """Flush, then move the cursors: what they pass will never be read again."""
        self._count_accepted()
        cursors = {
            "events": self.worker.progress.offset,
            "items": self.item_worker.progress.offset,
        }
        if cursors == self._saved:
            return
        await self.neighbours.flush()
        await self.store.flush()
        await self.cursors.write(cursors)
        self._saved = cursors

    def _count_accepted(self) -> None:
        """Have the ledger know how many events its costs are for."""
        accepted = self.telemetry.total("events", "accepted")
        if accepted > self._accepted:
            self.models.ledger.count_events(int(accepted - self._accepted))
            self._accepted = accepted

    async def erase_user(self, tenant: str, user_id: str) -> int:
        """Delete all that is held of a user; return the number of events deleted."""
        async with self.worker.turn:
            erased = await self.log.erase_user(tenant, user_id)
            await self.states.delete(tenant, user_id)
            self.refresher.drop((tenant, user_id))  # what began before would bring it back
            await self.profiles.delete(tenant, user_id)
            await self.models.ledger.forget_user(tenant, user_id)
        await self.changes.publish([UserChange(tenant, user_id, 0)])
        await self.store.flush()
        return erased

    async def forget_users(self) -> None:
        """Drop all that is folded from events, so that the next start folds the log again."""
        await forget_folded(self.store)

    async def embedder_state(self) -> str:
        """Tell whether the embedder answers; asked at most twice a minute, as asking may cost."""
        if time.monotonic() - self._pinged_at > _PING_EVERY_S:
            self._pinged_at = time.monotonic()
            try:
                async with asyncio.timeout(_PROBE_S):
                    await self.models.embedder.ping()
                self._embedder_state = "ok"
            except (RecsvcError, TimeoutError) as exc:
                _log.warning("the embedding provider is not well: %s", exc)
                self._embedder_state = f"not well ({type(exc).__name__}); new items wait"
        return self._embedder_state

    def profiler_state(self) -> str:
        """Tell whether the model that makes profiles answers, as far as is known."""
        if self.models.profile is None:
            return "ok"  # profiles are counted here
        if self.models.budget.state() == "spent":
            return "today's budget is spent; profiles are counted"
        return "ok" if self.models.profile.well else "not well; profiles are counted"

    async def run_checkpoints(self) -> None:
        """Write what items gained every second, and checkpoint every five, until cancelled.

        A checkpoint has the disk hold everything, and an append that comes then waits for it.
        """
        for second in itertools.count(1):
            await asyncio.sleep(_COUNTS_S)
            try:
                await self.neighbours.flush()
                if second % _CHECKPOINT_EVERY == 0:
                    await self.checkpoint()
            except Exception as exc:  # noqa: BLE001 - counted, and tried again
                self.telemetry.count("failures", "checkpoint")
                _log.warning("checkpoint failed: %s", exc, exc_info=unforeseen(exc))


@asynccontextmanager
async def open_runtime(settings: Settings, *, background: bool = True) -> AsyncIterator[Runtime]:
    """Open every part and, with ``background``, start the workers; close all at the end.

    Raises:
        SettingsError, SchemaMismatch, DataDirInUse, StoreError, LogError: with what to do.
    """
    check_models(settings)
    telemetry = Telemetry()
    with _owning(settings.data_dir):
        async with open_models(settings, telemetry) as models:
            log = await open_log(settings)
            try:
                store = await open_store(settings)
                try:
                    await _probe(models.embedder)
                    runtime = await _assemble(settings, telemetry, log, store, models)
                    async with _background(runtime, background):
                        yield runtime
                    await runtime.embeddings.close()
                finally:
                    await store.close()
            finally:
                await log.close()


async def _probe(embedder: Embedder) -> None:
    """Refuse a provider that gives other vectors than the settings want; it may be away."""
    try:
        async with asyncio.timeout(_PROBE_S):
            await embedder.ping()
    except (ProviderError, TimeoutError) as exc:
        _log.warning("the embedding provider does not answer; new items will wait: %s", exc)


async def _assemble(
    settings: Settings,
    telemetry: Telemetry,
    log: EventLog,
    store: VectorStore,
    models: Models,
) -> Runtime:
    embedder = models.embedder.name
    if await is_older(store):
        _log.warning("the collections are of an earlier layout; folding the event log again")
        await forget_folded(store)
    await prepare(store, dim=settings.embedding_dim, embedder=embedder)
    cursors = Cursors(store)
    offsets = await _offsets(cursors, log)
    changes, outcomes = open_changes(settings), Outcomes()
    states = UserStates(store, settings.embedding_dim, _STATES_CACHED)
    items = ItemPoints(store, settings.embedding_dim, settings.filter_keys_max)
    await items.open(settings.filter_keys)
    profiles = Profiles(store, _STATES_CACHED)
    embeddings = Embeddings(
        models.embedder,
        TextVectors(store, embedder),
        batch_max=settings.provider_batch_max,
        batch_tokens=settings.provider_batch_tokens,
        parallel=settings.provider_concurrency,
    )
    neighbours = Neighbours(
        store,
        settings.neighbour_rules,
        {HEAT: settings.half_life_popularity_s, HOT: settings.half_life_hot_s},
    )
    item_worker = ItemWorker(
        log,
        items,
        neighbours,
        embeddings,
        telemetry,
        settings.text_features,
        offsets.get("items", 0),
    )
    applier = Applier(
        log,
        states,
        items,
        embeddings,
        PairCounter(log, neighbours, settings.event_weights, settings.neighbour_rules),
        changes,
        outcomes,
        telemetry,
        settings.fold_rules,
    )
    worker = Worker(
        log,
        applier,
        states,
        embeddings,
        telemetry,
        offset=offsets.get("events", 0),
        batch_max=settings.batch_size,
        flush_interval_s=settings.flush_interval_s,
    )
    refresher = _refresher(
        settings,
        telemetry,
        models,
        states,
        profiles,
        EvidenceReader(items, settings.text_features),
        ProfileWriter(states, profiles, embeddings, worker.turn),
    )
    item_worker.ready = worker.items_ready
    changes.subscribe(lambda change: refresher.due((change.tenant, change.user_id)))
    return Runtime(
        settings=settings,
        telemetry=telemetry,
        log=log,
        store=store,
        models=models,
        changes=changes,
        outcomes=outcomes,
        states=states,
        items=items,
        profiles=profiles,
        embeddings=embeddings,
        neighbours=neighbours,
        notes=Notes(store),
        cursors=cursors,
        item_worker=item_worker,
        applier=applier,
        worker=worker,
        refresher=refresher,
        catalogue=Catalogue(log, items, item_worker.progress),
    )


def _refresher(
    settings: Settings,
    telemetry: Telemetry,
    models: Models,
    states: UserStates,
    profiles: Profiles,
    evidence: EvidenceReader,
    writer: ProfileWriter,
) -> ProfileRefresher:
    return ProfileRefresher(
        states,
        profiles,
        evidence,
        writer,
        open_profiler(models),
        models.budget,
        models.ledger,
        telemetry,
        rules=PlanRules(
            settings.profile_events, settings.profile_interval_s, settings.profile_min_interval_s
        ),
        half_life_s=settings.half_life_long_s,
        concurrency=settings.profile_concurrency,
    )


async def _offsets(cursors: Cursors, log: EventLog) -> dict[str, int]:
    """Return where to go on, once the store and the log are seen to belong together."""
    offsets, last = await cursors.read(), await log.last_offset()
    if offsets.get("events", 0) > last:
        raise SchemaMismatch(
            f"the vectors hold events up to {offsets['events']}, but the event log ends at "
            f"{last}: they do not belong together; put the log back, or start with an empty store"
        )
    return offsets


@asynccontextmanager
async def _background(runtime: Runtime, start: bool) -> AsyncIterator[None]:
    """Run the workers for the length of the block; then drain, stop them and checkpoint."""
    if not start:
        yield
        return
    jobs: list[Callable[[], Coroutine[Any, Any, None]]] = [
        runtime.worker.run,
        runtime.worker.run_texts,
        runtime.worker.run_sweeps,
        runtime.item_worker.run,
        runtime.item_worker.run_retries,
        runtime.refresher.run,
        runtime.refresher.run_asking,
        runtime.run_checkpoints,
    ]
    tasks = [asyncio.create_task(job(), name=job.__qualname__) for job in jobs]
    for task in tasks:
        task.add_done_callback(lambda ended: _note_death(runtime, ended))
    try:
        yield
        left = await runtime.drain()
        _log.info("drained; %d events are left for the next start", left)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await runtime.checkpoint()


def _note_death(runtime: Runtime, task: asyncio.Task[None]) -> None:
    """A worker never ends by itself: say so where it is looked for."""
    if not task.cancelled() and (exc := task.exception()) is not None:
        runtime.failed.append(f"{task.get_name()}: {type(exc).__name__}: {exc}")
        _log.critical("%s died", task.get_name(), exc_info=exc)


@contextmanager
def _owning(data_dir: Path) -> Iterator[None]:
    """Hold the data directory's lock, which the system releases however the process ends."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        handle = (data_dir / "lock").open("a+", encoding="utf-8")
    except OSError as exc:
        raise DataDirInUse(f"data directory {data_dir} cannot be used: {exc.strerror}") from exc
    with handle:
        _lock(handle, data_dir)
        yield


def _lock(handle: IO[str], data_dir: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        handle.seek(0)
        owner = handle.read().strip() or "another process"
        raise DataDirInUse(
            f"data directory {data_dir} is in use by {owner}; stop it, or set RECSVC_DATA_DIR"
        ) from exc
    handle.truncate(0)
    handle.write(f"process {os.getpid()}, started {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
    handle.flush()
