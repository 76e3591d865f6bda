"""Opens everything that a process needs, runs what it does by itself, and closes it in reverse."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, fields
from typing import Any

from indexer.assembly import Parts, assemble
from indexer.changes import open_changes
from indexer.data_dir import owning
from indexer.domain.position import partition_of, show_position
from indexer.errors import (
    NotApplied,
    ProviderError,
    RecsvcError,
    SettingsError,
    unforeseen,
)
from indexer.follow import Follower
from indexer.hold import Hold
from indexer.ports import CHANNELS, Embedder
from indexer.provider import check_models, open_models
from indexer.settings import Settings
from indexer.stores import open_store
from indexer.stores.terms import forget_folded
from indexer.streams import open_streams
from indexer.telemetry import Telemetry

__all__ = ["Job", "Runtime", "open_runtime", "running"]

_log = logging.getLogger(__name__)

_COUNTS_S, _CHECKPOINT_EVERY = 1.0, 5
_DRAIN_S = 10.0
_IDLE_S = 0.5
_ERASE_S = 10.0
_PROBE_S, _PING_EVERY_S = 2.0, 30.0

Job = Callable[[], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class Runtime(Parts):
    """All parts of one process, and what is done with them as a whole."""

    failed: list[str] = field(default_factory=list)
    _started_ns: int = field(default_factory=time.time_ns)
    _accepted: float = 0.0
    _pinged_at: float = -math.inf
    _embedder_state: str = "ok"

    @classmethod
    def of(cls, parts: Parts) -> Runtime:
        """Make it of its parts."""
        return cls(**{one.name: getattr(parts, one.name) for one in fields(Parts)})

    async def drain(self, timeout_s: float = _DRAIN_S) -> int:
        """Wait until all that is logged of our partitions is folded; return what is left."""
        ends, owned = await self.log.ends("events"), self.feed.owned
        ours = {partition: offset for partition, offset in ends.items() if partition in owned}
        await self.progress["events"].wait(ours, timeout_s)
        return await self.worker.depth()

    async def idle(self) -> None:
        """Wait until all that is logged is folded, by whichever process."""
        if self.shared is None:
            await self.drain(timeout_s=math.inf)
            return
        for channel in CHANNELS:  # what is folded of one goes into those after it
            while await self.shared.backlog(channel):  # noqa: ASYNC110 - others fold, too
                await asyncio.sleep(_IDLE_S)

    async def depth(self) -> int:
        """Count the events that are logged and not folded, by whichever process."""
        if self.shared is not None:
            return await self.shared.backlog("events")
        return await self.worker.depth()

    def position_of_user(self, tenant: str, user_id: str, offset: int) -> str:
        """Write how far a user's events are folded; ``offset`` below 0: as far as all are."""
        partition = partition_of(tenant, user_id, self.log.partitions)
        if offset < 0:
            offset = self.progress["events"].position.get(partition, 0)
        return show_position({partition: offset})

    @property
    def catalogue_version(self) -> str:
        """What changes with the catalogue; of a shared log, the same in every process.

        There it tells up to where notices were heard and up to where items were read anew, as a
        notice may be lost.
        """
        if self.shared is None:
            return f"{self._started_ns}.{self.items.version}"
        position = show_position(self.progress["items"].position)
        return f"{position} {show_position(self.catalogue_read)}"

    async def checkpoint(self) -> None:
        """Flush, then move the cursors and tell the log."""
        self._count_accepted()
        await self.ownership.save()
        await self.feed.commit()

    def _count_accepted(self) -> None:
        """Have the ledger know how many events its costs are for."""
        accepted = self.telemetry.total("events", "accepted")
        if accepted > self._accepted:
            self.models.ledger.count_events(int(accepted - self._accepted))
            self._accepted = accepted

    async def erase_user(self, tenant: str, user_id: str) -> int:
        """Delete all that is held of a user; return the number of events deleted.

        Raises:
            NotApplied: whoever folds the user's events has not come to it in time, but will.
        """
        if self.shared is None:
            async with self.worker.turn:
                erasure = await self.log.erase_user(tenant, user_id)
                await self.eraser.erase(tenant, user_id)
        else:  # whoever folds the user's events erases the rest
            erasure = await self.log.erase_user(tenant, user_id)
        if not await self.progress["events"].wait(erasure.position, _ERASE_S):
            raise NotApplied(f"user {user_id!r} will be erased, but was not within {_ERASE_S:g} s")
        await self.store.flush()
        return erasure.events

    async def forget_users(self) -> None:
        """Drop all that is folded from events, so that the next start folds the log again."""
        await forget_folded(self.store, self.log.partitions)

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

    def note_death(self, task: asyncio.Task[None]) -> None:
        """Say where it is looked for that a job has ended, which none does by itself."""
        if not task.cancelled() and (exc := task.exception()) is not None:
            self.failed.append(f"{task.get_name()}: {type(exc).__name__}: {exc}")
            _log.critical("%s died", task.get_name(), exc_info=exc)

    async def run_feed(self) -> None:
        """Follow the log until cancelled; a shared one, but while the collections are switched."""
        if self.shared is None:
            await self.feed.run()
        else:
            await Hold(self.store).run(self.feed)

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
async def open_runtime(
    settings: Settings, *, background: bool = True, folds: bool = True
) -> AsyncIterator[Runtime]:
    """Open every part and, with ``background``, start the jobs; close all at the end.

    ``folds``: whether this process takes a share of the folding, or leaves it to others.

    Raises:
        SettingsError, SchemaMismatch, DataDirInUse, StoreError, LogError: with what to do.
    """
    check_models(settings)
    if not folds and not settings.shared:
        raise SettingsError(
            "a process that does not fold needs others that do: set RECSVC_EVENT_LOG_URL to "
            "redis://… or kafka://…, and RECSVC_QDRANT_URL to a Qdrant server"
        )
    telemetry = Telemetry()
    async with AsyncExitStack() as stack:
        stack.enter_context(owning(settings))
        models = await stack.enter_async_context(open_models(settings, telemetry))
        streams = await open_streams(settings)
        stack.push_async_callback(streams.log.close)
        changes = open_changes(settings, telemetry)
        stack.push_async_callback(changes.close)
        store = await open_store(settings)
        stack.push_async_callback(store.close)
        await _probe(models.embedder)
        parts = await assemble(settings, telemetry, streams, store, models, changes)
        stack.push_async_callback(parts.embeddings.close)
        stack.push_async_callback(parts.feed.close)
        await parts.feed.begin()
        runtime = Runtime.of(parts)
        jobs = _jobs(runtime, folds) if background else []
        async with _background(runtime, jobs):
            yield runtime


async def _probe(embedder: Embedder) -> None:
    """Refuse a provider that gives other vectors than the settings want; it may be away."""
    try:
        async with asyncio.timeout(_PROBE_S):
            await embedder.ping()
    except (ProviderError, TimeoutError) as exc:
        _log.warning("the embedding provider does not answer; new items will wait: %s", exc)


def _jobs(runtime: Runtime, folds: bool) -> list[Job]:
    jobs: list[Job] = [runtime.changes.run]
    if runtime.shared is not None:
        jobs.append(Follower(runtime, runtime.shared).run)
    if folds:
        jobs += [
            runtime.run_feed,
            runtime.worker.run,
            runtime.worker.run_texts,
            runtime.worker.run_sweeps,
            runtime.item_worker.run,
            runtime.item_worker.run_retries,
            runtime.pair_worker.run,
            runtime.refresher.run,
            runtime.refresher.run_asking,
            runtime.run_checkpoints,
        ]
    return jobs


@asynccontextmanager
async def running(
    jobs: Iterable[Job], ended: Callable[[asyncio.Task[None]], None] | None = None
) -> AsyncIterator[None]:
    """Run jobs for the length of the block. ``ended``: told of each whose task has an end."""
    tasks = [asyncio.create_task(job(), name=job.__qualname__) for job in jobs]
    if ended is not None:
        for task in tasks:
            task.add_done_callback(ended)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def _background(runtime: Runtime, jobs: list[Job]) -> AsyncIterator[None]:
    """Run jobs for the length of the block; then drain, stop them and checkpoint.

    What is left in a shared log, others fold: there it is only handed on.
    """
    if not jobs:
        yield
        return
    try:
        async with running(jobs, runtime.note_death):
            yield
            if runtime.shared is None:
                left = await runtime.drain()
                _log.info("drained; %d events are left for the next start", left)
    finally:
        await runtime.checkpoint()
