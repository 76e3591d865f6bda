"""Learns the weights of the ranking from what users do, event by event."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from indexer.domain.events import signed_weight
from indexer.domain.ids import item_point
from indexer.domain.state import UserState
from indexer.domain.trail import step_of
from indexer.ports import EventRecord
from indexer.runtime import Runtime
from indexer.stores.terms import Notes
from recsvc.candidates import Wanted
from recsvc.gather import Gatherer
from recsvc.ranking import COMPONENTS, SITUATIONS, Weights, evidence_of, features
from recsvc.tastes import Tastes

__all__ = ["OnlineLearner", "TenantWeights"]

_SAVE_EVERY_S: Final = 10.0
_READ_EVERY_S: Final = 10.0
_NOTE: Final = "ranking {}"
_NEW_VISITS, _NEW_VISIT_EVERY = SITUATIONS.index("new-few"), 2
_BEGINNING, _BEGINNING_EVERY = 200, 4
_MIX: Final = 2_654_435_761  # Knuth's multiplicative hash


class TenantWeights:
    """The weights of each tenant, kept in the store.

    ``learns``: whether they are learned here at the moment. Where another process does, they are
    read again now and then.
    """

    def __init__(self, notes: Notes, learns: Callable[[], bool]) -> None:
        self._notes, self._learns = notes, learns
        self._known: dict[str, tuple[float, Weights]] = {}
        self._learning = False

    async def of(self, tenant: str) -> Weights:
        """Return a tenant's weights; those to begin with, where nothing is learned yet."""
        if self._learns() != self._learning:  # another process may have learned meanwhile
            self._learning = not self._learning
            self._known.clear()
        read_at, weights = self._known.get(tenant, (-math.inf, None))
        old = time.monotonic() - read_at > _READ_EVERY_S and not self._learns()
        if weights is None or old:
            kept = await self._notes.read(_NOTE.format(tenant))
            if weights is None or not self._learns():
                weights = Weights.from_dict(kept) if kept else Weights()
                self._known[tenant] = (time.monotonic(), weights)
        return self._known[tenant][1]

    async def save(self, tenant: str) -> None:
        """Keep what was learned."""
        if tenant in self._known:
            await self._notes.write(_NOTE.format(tenant), self._known[tenant][1].as_dict())


class OnlineLearner:
    """Foretells a part of the events before they are folded, and learns from the outcome.

    Which ones is decided by their offset in the log, so that a replay learns the same.
    """

    def __init__(
        self, runtime: Runtime, tastes: Tastes, gatherer: Gatherer, weights: TenantWeights
    ) -> None:
        self._tastes, self._gatherer, self._weights = tastes, gatherer, weights
        self._profiles, self._neighbours = runtime.profiles, runtime.neighbours
        self._event_weights = runtime.settings.event_weights
        self._every = runtime.settings.learn_every
        self._telemetry = runtime.telemetry
        self._saved_at: dict[str, float] = {}

    async def learn(self, before: UserState, record: EventRecord) -> None:
        """Take one step, where this is an event to learn from."""
        event = record.event
        step = step_of(event, self._event_weights)
        liked = step is not None and signed_weight(event, self._event_weights) > 0.0
        if not liked or step is None or step.item_id in before.seen or not before.trail:
            return
        place = self._tastes.situation(before, event.timestamp)
        tenant = event.tenant
        weights = await self._weights.of(tenant)
        if not self._chosen(record.offset, place, weights.updates):
            return
        profile = await self._profiles.get(tenant, event.user_id)
        taste = await self._tastes.of(before, profile, event.timestamp)
        seen = frozenset(item_point(tenant, item_id) for item_id in before.seen)
        wanted = Wanted(tenant, 0, excluded=seen)
        gathered = await self._gatherer.gather(taste, wanted, COMPONENTS)
        points, values = features(gathered.components)
        target = item_point(tenant, step.item_id)
        if gathered.missing or target not in points:
            self._telemetry.count("learned", "unforeseen")
            return
        counted = (await self._neighbours.crowd(tenant)).counted
        evidence = evidence_of(gathered.components)
        weights.learn(place, values, points.index(target), counted, evidence)
        self._telemetry.count("learned", "foreseen")
        if time.monotonic() - self._saved_at.get(tenant, 0.0) > _SAVE_EVERY_S:
            self._saved_at[tenant] = time.monotonic()
            await self._weights.save(tenant)

    def _chosen(self, offset: int, place: int, updates: int) -> bool:
        if self._every == 0:
            return False
        often = _BEGINNING_EVERY if updates < _BEGINNING else self._every
        if place >= _NEW_VISITS:
            often = _NEW_VISIT_EVERY
        every = min(often, self._every)
        return (offset * _MIX >> 8) % every == 0
