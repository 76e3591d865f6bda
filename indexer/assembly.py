"""Puts the parts together: which is made of which, and who is told of what."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from indexer.apply import Applier
from indexer.catalogue import Catalogue
from indexer.domain.position import Position, partition_of
from indexer.embedding import Embeddings
from indexer.erase import Eraser
from indexer.errors import SchemaMismatch
from indexer.item_worker import ItemWorker
from indexer.ownership import Ownership
from indexer.pairs import PairCounter, Pairs, PairSender, PairWorker
from indexer.ports import (
    CHANNELS,
    Applied,
    Change,
    Changes,
    Channel,
    EventFailed,
    EventLog,
    Feed,
    ItemsChange,
    SharedLog,
    UserChange,
    VectorStore,
)
from indexer.profiling import open_profiler
from indexer.profiling.evidence import EvidenceReader
from indexer.profiling.plan import PlanRules
from indexer.profiling.refresh import ProfileRefresher
from indexer.profiling.writer import ProfileWriter
from indexer.progress import Outcome, Outcomes, Progress
from indexer.provider import Models
from indexer.settings import Settings
from indexer.stores.items import ItemPoints
from indexer.stores.neighbours import Horizon, Neighbours
from indexer.stores.profiles import Profiles
from indexer.stores.schema import HEAT, HOT, LogIdentity, is_older, prepare
from indexer.stores.terms import Notes, TextVectors, forget_folded
from indexer.stores.users import UserKey, UserStates
from indexer.stores.webhooks import WebhookPoints
from indexer.streams import Streams, log_kind
from indexer.telemetry import Telemetry
from indexer.worker import Worker

__all__ = ["Parts", "assemble"]

_log = logging.getLogger(__name__)

_STATES_CACHED = 2_048


@dataclass(slots=True)
class Parts:
    """All parts of one process. Those that fold do so once their jobs are run (runtime.py)."""

    settings: Settings
    telemetry: Telemetry
    log: EventLog
    shared: SharedLog | None
    feed: Feed
    store: VectorStore
    models: Models
    changes: Changes
    outcomes: Outcomes
    progress: Mapping[Channel, Progress]
    states: UserStates
    items: ItemPoints
    profiles: Profiles
    embeddings: Embeddings
    neighbours: Neighbours
    notes: Notes
    webhooks: WebhookPoints
    ownership: Ownership
    item_worker: ItemWorker
    pair_worker: PairWorker
    applier: Applier
    eraser: Eraser
    worker: Worker
    refresher: ProfileRefresher
    catalogue: Catalogue
    catalogue_read: Position = field(default_factory=dict)  # as of when items were last forgotten


@dataclass(frozen=True, slots=True)
class _Stores:
    """What is kept, and read and written by everything else."""

    states: UserStates
    items: ItemPoints
    profiles: Profiles
    embeddings: Embeddings
    neighbours: Neighbours
    notes: Notes
    webhooks: WebhookPoints


@dataclass(frozen=True, slots=True)
class _Made:
    """What the parts that fold are made of. ``turn``, ``pair_turn``: held while states, or counts,
    change. ``owns``: whether a user or an item is this process's."""

    settings: Settings
    telemetry: Telemetry
    streams: Streams
    models: Models
    changes: Changes
    stores: _Stores
    feed: Feed
    owns: Callable[[UserKey], bool]
    turn: asyncio.Lock
    pair_turn: asyncio.Lock
    durable: bool


async def assemble(
    settings: Settings,
    telemetry: Telemetry,
    streams: Streams,
    store: VectorStore,
    models: Models,
    changes: Changes,
) -> Parts:
    """Check that store, log and settings fit, and make every part.

    Raises:
        SchemaMismatch: they do not; with what to do.
    """
    partitions = streams.log.partitions
    await _prepare(settings, streams, store, models)
    feed: Feed

    def owns(key: UserKey) -> bool:
        return partition_of(*key, partitions) in feed.owned

    stores = await _open_stores(settings, store, models, owns, partitions)
    progress: dict[Channel, Progress] = {channel: Progress() for channel in CHANNELS}
    turn, pair_turn = asyncio.Lock(), asyncio.Lock()
    ownership = Ownership(
        store,
        stores.states,
        stores.profiles,
        stores.items,
        stores.neighbours,
        progress,
        (turn, pair_turn),
    )
    feed = ownership.feed = streams.follow(ownership, changes)
    made = _Made(
        settings,
        telemetry,
        streams,
        models,
        changes,
        stores,
        feed,
        owns,
        turn,
        pair_turn,
        store.durable,
    )
    refresher, outcomes = _refresher(made), Outcomes()
    eraser = Eraser(
        stores.states, stores.profiles, stores.webhooks, refresher, models.ledger, changes
    )
    applier = _applier(made, eraser, outcomes)
    parts = Parts(
        settings=settings,
        telemetry=telemetry,
        log=streams.log,
        shared=streams.shared,
        feed=feed,
        store=store,
        models=models,
        changes=changes,
        outcomes=outcomes,
        progress=progress,
        states=stores.states,
        items=stores.items,
        profiles=stores.profiles,
        embeddings=stores.embeddings,
        neighbours=stores.neighbours,
        notes=stores.notes,
        webhooks=stores.webhooks,
        ownership=ownership,
        item_worker=_item_worker(made),
        pair_worker=PairWorker(feed, stores.neighbours, telemetry, pair_turn, commit=store.durable),
        applier=applier,
        eraser=eraser,
        worker=_worker(made, applier),
        refresher=refresher,
        catalogue=Catalogue(streams.log, stores.items, progress["items"]),
    )
    changes.subscribe(_teller(parts, owns))
    return parts


async def _prepare(
    settings: Settings, streams: Streams, store: VectorStore, models: Models
) -> None:
    identity = LogIdentity(log_kind(settings), streams.log.partitions)
    if await is_older(store):
        if streams.shared is not None:
            raise SchemaMismatch(
                "the collections are of an earlier layout; make them anew from the log with "
                "'indexer rebuild'"
            )
        _log.warning("the collections are of an earlier layout; folding the event log again")
        await forget_folded(store, streams.log.partitions)
    dim, embedder = settings.embedding_dim, models.embedder.name
    await prepare(store, dim=dim, embedder=embedder, log=identity)


async def _open_stores(
    settings: Settings,
    store: VectorStore,
    models: Models,
    owns: Callable[[UserKey], bool],
    partitions: int,
) -> _Stores:
    items = ItemPoints(
        store, settings.embedding_dim, settings.filter_keys_max, guarded=settings.shared
    )
    await items.open(settings.filter_keys)
    half_lives_s: dict[Horizon, float] = {
        HEAT: settings.half_life_popularity_s,
        HOT: settings.half_life_hot_s,
    }
    return _Stores(
        states=UserStates(
            store, settings.embedding_dim, _STATES_CACHED, owns, guarded=settings.shared
        ),
        items=items,
        profiles=Profiles(store, _STATES_CACHED, owns),
        embeddings=Embeddings(
            models.embedder,
            TextVectors(store, models.embedder.name),
            batch_max=settings.provider_batch_max,
            batch_tokens=settings.provider_batch_tokens,
            parallel=settings.provider_concurrency,
        ),
        neighbours=Neighbours(
            store, settings.neighbour_rules, half_lives_s, partitions, guarded=settings.shared
        ),
        notes=Notes(store),
        webhooks=WebhookPoints(store),
    )


def _refresher(made: _Made) -> ProfileRefresher:
    settings, stores, models = made.settings, made.stores, made.models
    return ProfileRefresher(
        stores.states,
        stores.profiles,
        EvidenceReader(stores.items, settings.text_features),
        ProfileWriter(stores.states, stores.profiles, stores.embeddings, made.changes, made.turn),
        open_profiler(models),
        models.budget,
        models.ledger,
        made.telemetry,
        rules=PlanRules(
            settings.profile_events, settings.profile_interval_s, settings.profile_min_interval_s
        ),
        half_life_s=settings.half_life_long_s,
        concurrency=settings.profile_concurrency,
    )


def _applier(made: _Made, eraser: Eraser, outcomes: Outcomes) -> Applier:
    settings, stores, streams = made.settings, made.stores, made.streams
    weights, rules = settings.event_weights, settings.neighbour_rules
    pairs: Pairs = (
        PairCounter(streams.log, stores.neighbours, weights, rules)
        if streams.shared is None
        else PairSender(streams.shared, weights, rules)
    )
    return Applier(
        streams.log,
        stores.states,
        stores.items,
        stores.embeddings,
        pairs,
        eraser,
        made.changes,
        outcomes,
        made.telemetry,
        settings.fold_rules,
    )


def _worker(made: _Made, applier: Applier) -> Worker:
    return Worker(
        made.feed,
        applier,
        made.stores.states,
        made.stores.embeddings,
        made.changes,
        made.telemetry,
        made.turn,
        batch_max=made.settings.batch_size,
        flush_interval_s=made.settings.flush_interval_s,
        commit=made.durable,
    )


def _item_worker(made: _Made) -> ItemWorker:
    return ItemWorker(
        made.feed,
        made.stores.items,
        made.stores.neighbours,
        made.stores.embeddings,
        made.changes,
        made.telemetry,
        made.settings.text_features,
        made.owns,
        commit=made.durable,
    )


def _teller(parts: Parts, owns: Callable[[UserKey], bool]) -> Callable[[Change], None]:
    """Return what hands each change to those that it concerns."""

    def tell(change: Change) -> None:
        if isinstance(change, UserChange):
            key = (change.tenant, change.user_id)
            if change.version == 0:  # also of what an earlier owner has begun
                parts.refresher.drop(key)
                parts.models.ledger.unname(*key)
            elif owns(key):
                parts.refresher.due(key)
        elif isinstance(change, ItemsChange):
            parts.items.forget((change.tenant, item_id) for item_id in change.item_ids)
            if change.ready and parts.feed.owned:
                parts.worker.items_ready(change.tenant, change.ready)
        elif isinstance(change, EventFailed):
            failed = (change.tenant, change.user_id, change.event_id)
            parts.outcomes.settle(failed, Outcome(0, error=change.reason))
        elif isinstance(change, Applied):
            parts.progress[change.channel].advance(change.position)

    return tell
