"""Gathers candidates: for one taste, the list of each component of the ranking."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray
from qdrant_client import models

from indexer.domain.neighbours import Asking
from indexer.errors import StoreError
from indexer.stores.items import ItemPoints
from indexer.stores.neighbours import Horizon, Neighbours
from recsvc.candidates import Candidates, Wanted
from recsvc.ranking import COLLABORATIVE, Component
from recsvc.taste import Direction, Taste

__all__ = ["Asked", "Gathered", "Gatherer", "Look"]

_ASKED: Final[Mapping[str, tuple[int, float, bool]]] = {
    "sequence": (30, 1.0, False),
    "habit": (100, 0.4, False),
    "trend": (100, 0.4, True),
}
"""By component: how many steps are asked with, how fast they fade with their lag, and whether
what goes together lately is asked for, or what does at any time."""

_HORIZONS: Final[Mapping[str, Horizon]] = {"hot": "hot", "popular": "heat"}
_TOGETHER, _TOGETHER_FILTERED = 50, 400
_NEAR, _CROWD = 40, 100
_ENOUGH = 20
_LOOKS_CACHED = 2_048
_SHARPNESS: Final[Mapping[str, int]] = {"content": 8, "profile": 2}
"""The power of a cosine that counts as likeness: of what is like an interest, a few near things
say more than many far ones; a profile is broad."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a collaborative component asked with. ``weights``: of the newest items of the trail."""

    trail: Asking
    weights: NDArray[np.float32]
    lately: bool


@dataclass(frozen=True, slots=True)
class Look:
    """What was found along one direction: point ids and likeness, best first, before scaling."""

    direction: Direction
    likeness: Sequence[tuple[str, float]]


@dataclass(slots=True)
class Gathered:
    """The components' lists, what they were made with, and the names of what is missing."""

    components: list[Component] = field(default_factory=list)
    asked: dict[str, Asked] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def personal(self) -> bool:
        """Whether something was found by the taste, and not only by what everybody does."""
        return any(one.values for one in self.components if one.name not in _HORIZONS)


class Gatherer:
    """Asks the store for each component's candidates.

    What lies along a direction is remembered until an item changes: an event changes one interest
    of a user, so that most lists need one search.
    """

    def __init__(self, items: ItemPoints, neighbours: Neighbours, candidates: Candidates) -> None:
        self._items, self._neighbours, self._candidates = items, neighbours, candidates
        self._looks: LRUCache[tuple[str, object], tuple[int, list[tuple[str, float]]]]
        self._looks = LRUCache(_LOOKS_CACHED)
        self._crowds: dict[tuple[str, Horizon], tuple[int, list[tuple[str, float]]]] = {}

    async def gather(self, taste: Taste, wanted: Wanted, components: Collection[str]) -> Gathered:
        """Gather the lists of ``components``; what fails is missing, and the rest is served."""
        gathered = Gathered()
        try:
            if taste.steps:
                await self._together(taste, wanted, components, gathered)
            for name, horizon in _HORIZONS.items():
                if name in components:
                    gathered.components.append(await self._crowd(name, horizon, taste, wanted))
        except StoreError:
            gathered.missing.append("collaborative")
        for name in ("content", "profile"):
            directions = [one for one in taste.directions if one.component == name]
            if name in components and directions:
                await self._along(name, directions, wanted, gathered)
        return gathered

    async def _together(
        self, taste: Taste, wanted: Wanted, components: Collection[str], gathered: Gathered
    ) -> None:
        neighbours, half_life_s = self._neighbours, self._neighbours.half_life_recent_s
        counts = await neighbours.counts(taste.tenant, [step.item_id for step in taste.steps])
        at = min(taste.at, (await neighbours.crowd(taste.tenant)).newest_s)
        trail = Asking.of(taste.tenant, taste.steps, counts, at, half_life_s)
        limit = _TOGETHER_FILTERED if wanted.filtered else _TOGETHER
        for name in COLLABORATIVE:
            if name not in components:
                continue
            most, power, lately = _ASKED[name]
            weights = trail.weights(most, power, lately=lately)
            indices, values = trail.query(weights, half_life_s, lately=lately)
            query = models.SparseVector.model_construct(indices=indices, values=values)
            hits = await neighbours.nearest(taste.tenant, query, limit, wanted.excluded)
            scored = [(hit.id, hit.score) for hit in hits]
            gathered.components.append(Component.scaled(name, scored))
            gathered.asked[name] = Asked(trail, weights, lately)

    async def _crowd(self, name: str, horizon: Horizon, taste: Taste, wanted: Wanted) -> Component:
        version, known = self._crowds.get((taste.tenant, horizon), (-1, []))
        if version != self._neighbours.version:
            version = self._neighbours.version
            hits = await self._neighbours.popular(taste.tenant, horizon, _CROWD)
            top = hits[0].score if hits else 0.0
            known = [(hit.id, 2.0 ** (hit.score - top)) for hit in hits]
            self._crowds[taste.tenant, horizon] = (version, known)
        excluded = wanted.excluded
        return Component.scaled(name, [pair for pair in known if pair[0] not in excluded])

    async def _along(
        self, name: str, directions: Sequence[Direction], wanted: Wanted, gathered: Gathered
    ) -> None:
        total: dict[str, float] = {}
        for direction in directions:
            likeness = await self._look(direction, wanted)
            gathered.looks.append(Look(direction, likeness))
            share = direction.share
            for point, value in likeness:
                total[point] = total.get(point, 0.0) + share * value
        ordered = sorted(total.items(), key=itemgetter(1), reverse=True)
        gathered.components.append(Component.scaled(name, ordered))

    async def _look(self, direction: Direction, wanted: Wanted) -> list[tuple[str, float]]:
        """Return what is nearest along a direction and may be shown, by likeness, the best has 1.

        So the best match of a search is as good as an item's, though its cosine is lower.
        """
        near = await self._near(direction, wanted)
        top = near[0][1] if near else 0.0
        if top <= 0.0:
            return []
        power = _SHARPNESS[direction.component]
        return [(point, (max(cosine, 0.0) / top) ** power) for point, cosine in near]

    async def _near(self, direction: Direction, wanted: Wanted) -> list[tuple[str, float]]:
        if wanted.filtered:
            return await self._candidates.near(direction.vector, wanted, _NEAR)
        key = (wanted.tenant, direction.key)
        version, known = self._looks.get(key, (-1, []))
        if version != self._items.version:
            version = self._items.version
            anything = Wanted(wanted.tenant, _NEAR)
            known = await self._candidates.near(direction.vector, anything, _NEAR)
            self._looks[key] = (version, known)
        excluded = wanted.excluded
        left = [pair for pair in known if pair[0] not in excluded]
        if len(left) < _ENOUGH and len(known) >= _NEAR:
            return await self._candidates.near(direction.vector, wanted, _NEAR)
        return left
