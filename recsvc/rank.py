"""Ranks: gathers, weighs, re-ranks by rules and taste, and pages through the result."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from indexer.domain.ids import item_point
from indexer.domain.vectors import Vector, length
from indexer.stores.items import ItemPoints
from indexer.stores.neighbours import Neighbours
from recsvc.candidates import Candidates, Wanted
from recsvc.gather import Gathered, Gatherer
from recsvc.learn import TenantWeights
from recsvc.ranking import (
    COMPONENTS,
    evidence_of,
    fuse,
    matured,
    parts_of,
    with_profile_share,
)
from recsvc.rerank import calibrated, capped, diversified, pinned
from recsvc.rules import Rules
from recsvc.taste import Taste

__all__ = ["Adjusted", "Ranked", "Ranker", "Ranking", "Wishes"]

_NEGLIGIBLE: Final = 0.02
_POOL_MIN, _POOL_MAX, _POOL_EACH = 40, 100, 3
_DISLIKE_SHARPNESS: Final = 4
_NOTHING: Final = 1e-12
_LIKENESS_MIN: Final = 0.1
_EXPLORED_MAX: Final = 20

Array = NDArray[np.float32]
Owners = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a caller wants of the order, beside what may be shown.

    ``profile_share``: of the profile in the blend. ``calibration``, ``novelty``: 0 to 1.
    ``impressions``: how often items were shown to the user, by id. ``without``: components that
    are left out.
    """

    profile_share: float
    calibration: float
    rules: Rules
    novelty: float = 0.0
    impressions: Mapping[str, int] = field(default_factory=dict)
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Adjusted:
    """What changed a score after it was weighed: the kind of reason, and the difference."""

    kind: str
    change: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """One item of a list; ``score``: 0 to about 1, bigger is better.

    ``kind``: `ranked`; or `explore` or `pin`, which have their place whatever they score.
    """

    point: str
    item_id: str
    score: float
    features: Mapping[str, Any]
    adjusted: tuple[Adjusted, ...] = ()
    kind: str = "ranked"


@dataclass(frozen=True, slots=True)
class _Pool:
    """The best candidates that may be shown, and how many were looked at for them."""

    items: list[Ranked]
    looked_at: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """A page, and what its scores are made of."""

    items: list[Ranked]
    gathered: Gathered
    weights: Array


class Ranker:
    """Makes ranked pages for tastes."""

    def __init__(
        self,
        items: ItemPoints,
        neighbours: Neighbours,
        candidates: Candidates,
        gatherer: Gatherer,
        weights: TenantWeights,
    ) -> None:
        self._items, self._neighbours = items, neighbours
        self._candidates, self._gatherer, self._weights = candidates, gatherer, weights

    async def page(self, taste: Taste, wanted: Wanted, wishes: Wishes) -> Ranking:
        """Return the page of ``wanted``; it is short only where the catalogue ends."""
        crowd = await self._neighbours.crowd(taste.tenant)
        learned = await self._weights.of(taste.tenant)
        weights = with_profile_share(learned.values[taste.situation], wishes.profile_share)
        weights = _without(weights, wishes.without) if wishes.without else weights
        total = float(weights.sum()) or 1.0
        used = [n for n, w in zip(COMPONENTS, weights, strict=True) if w / total > _NEGLIGIBLE]
        gathered = await self._gatherer.gather(taste, wanted, used)
        weights = matured(weights, crowd.counted, evidence_of(gathered.components))
        fused = fuse(gathered.components, weights)
        reach = wanted.start + wanted.limit
        pool_max = min(_POOL_MAX, max(_POOL_MIN, _POOL_EACH * wanted.limit))
        pool = await self._shown(fused, wanted, pool_max)
        rest = list(fused)[pool.looked_at :]
        ranked = await self._ordered(
            pool.items, taste, wanted, wishes, gathered, _likeness_part(gathered, weights)
        )
        if len(ranked) < reach and rest:
            more = await self._shown({p: fused[p] for p in rest}, wanted, reach - len(ranked))
            ranked += more.items
        if len(ranked) < reach:
            ranked += await self._tail(taste, wanted, fused, ranked)
        ranked = await self._pinned(ranked, wanted, wishes, taste.at)
        return Ranking(ranked[wanted.start : reach], gathered, weights)

    async def popular(self, wanted: Wanted, wishes: Wishes, seed: str, share: float) -> Ranking:
        """Return the page of a list for someone of whom nothing is known.

        Every ``1 / share``-th item is not what is most popular, but from some other corner of the
        catalogue, which ``seed`` decides: what is never shown can never become popular.
        """
        reach = wanted.start + wanted.limit
        every = round(1.0 / share) if share > 0.0 else 0
        # The same ones for each page, as what is explored is not listed once more below.
        explored = await self._explored(wanted, seed) if every else []
        excluded = wanted.excluded | {one.point for one in explored}
        most = max(reach, _POOL_MIN)
        found = await self._candidates.popular(
            replace(wanted, start=0, limit=most, excluded=excluded)
        )
        pool = [
            Ranked(item_point(wanted.tenant, c.item_id), c.item_id, c.score, c.features)
            for c in found
        ]
        gathered = Gathered()
        taste = Taste(wanted.tenant, at=wanted.now)
        ranked = await self._ordered(pool, taste, wanted, wishes, gathered)
        for n, one in enumerate(explored, start=1):
            ranked.insert(n * every - 1, one)
        ranked = await self._pinned(ranked, wanted, wishes, wanted.now)
        return Ranking(
            ranked[wanted.start : reach], gathered, np.zeros(len(COMPONENTS), np.float32)
        )

    async def _explored(self, wanted: Wanted, seed: str) -> list[Ranked]:
        """Return items from along a direction that a seed decides."""
        rng = np.random.default_rng(zlib.crc32(seed.encode()))
        vector = rng.standard_normal(self._items.dim).astype(np.float32)
        near = await self._candidates.near(
            vector / np.float32(length(vector)), wanted, _EXPLORED_MAX
        )
        shown = await self._items.shown([point for point, _ in near])
        return [
            Ranked(point, shown[point][0], 0.0, shown[point][1], kind="explore")
            for point, _ in near
            if point in shown
        ]

    async def _pinned(
        self, ranked: list[Ranked], wanted: Wanted, wishes: Wishes, at: float
    ) -> list[Ranked]:
        """Put pinned items in their places, as far as they may be shown at all."""
        pins = [pin for pin in wishes.rules.pins if pin.active(at)]
        if not pins:
            return ranked
        points = {item_point(wanted.tenant, pin.item_id): pin for pin in pins}
        allowed = await self._candidates.allowed(wanted, points)
        placed = [
            (pin.position, Ranked(point, pin.item_id, 0.0, allowed[point][1], kind="pin"))
            for point, pin in points.items()
            if point in allowed and pin.matches(allowed[point][1])
        ]
        return pinned(ranked, placed, len(ranked) + len(placed))

    async def _shown(self, fused: Mapping[str, float], wanted: Wanted, most: int) -> _Pool:
        """Return the best of ``fused`` that may be shown."""
        points = list(fused)
        found: list[Ranked] = []
        looked_at = 0
        while looked_at < len(points) and len(found) < most:
            some = points[looked_at : looked_at + max(most - len(found), _POOL_MIN)]
            if wanted.filtered:
                some = points[looked_at:]
            allowed = await self._candidates.allowed(wanted, some)
            for point in some:
                looked_at += 1
                if point in allowed:
                    item_id, features = allowed[point]
                    found.append(Ranked(point, item_id, fused[point], features))
                    if len(found) == most:
                        break
        return _Pool(found, looked_at)

    async def _ordered(
        self,
        pool: list[Ranked],
        taste: Taste,
        wanted: Wanted,
        wishes: Wishes,
        gathered: Gathered,
        likeness: float = 0.0,
    ) -> list[Ranked]:
        """Adjust scores, then order by diversity or by interests; caps have the last word.

        ``likeness``: its part in the scores. Interests are what things are like, so that they
        order a list as far as likeness made it.
        """
        if not pool:
            return []
        interests = taste.interests
        calibration = wishes.calibration * likeness if len(interests) > 1 else 0.0
        vectors: Mapping[str, Vector] = {}
        if taste.disliked or calibration or wanted.diversity:
            vectors = await self._items.vectors(taste.tenant, [one.item_id for one in pool])
        pool = _adjusted(pool, taste, wishes, gathered, vectors)
        scores = np.array([one.score for one in pool], np.float32)
        reach = min(len(pool), wanted.start + wanted.limit)
        order: Sequence[int] = range(len(pool))
        if wanted.diversity > 0.0:
            order = diversified(scores, _rows(pool, vectors), reach, wanted.diversity)
        elif calibration:
            shares = np.array([one.share for one in interests], np.float32)
            owners = _owners(pool, vectors, np.stack([one.vector for one in interests]))
            membership = np.eye(len(shares), dtype=np.float32)[owners]
            fair = _fair(scores, owners, shares, likeness)
            order = calibrated(fair, membership, shares, reach, calibration)
        picked = set(order)
        order = [*order, *(n for n in range(len(pool)) if n not in picked)]
        ordered = [pool[n] for n in order]
        caps = wishes.rules.caps
        return capped(ordered, caps, wanted.limit) if caps else ordered

    async def _tail(
        self, taste: Taste, wanted: Wanted, known: Mapping[str, float], ranked: Sequence[Ranked]
    ) -> list[Ranked]:
        """Go on beyond the candidates: by nearness to the whole taste, then with what is left."""
        reach = wanted.start + wanted.limit
        least = min((one.score for one in ranked), default=1.0)
        beyond = replace(wanted, excluded=wanted.excluded | known.keys())
        more: list[Ranked] = []
        if taste.overall is not None:
            near = await self._candidates.nearness(taste.overall, beyond, reach - len(ranked))
            shown = await self._items.shown([hit.id for hit in near])
            more = [
                Ranked(hit.id, shown[hit.id][0], least * max(hit.score, 0.0), shown[hit.id][1])
                for hit in near
                if hit.id in shown
            ]
        if len(ranked) + len(more) < reach:
            taken = {*known, *(one.point for one in more)}
            left = reach - len(ranked) - len(more)
            others = await self._candidates.any_other(wanted, left, taken)
            more += [
                Ranked(item_point(taste.tenant, c.item_id), c.item_id, 0.0, c.features)
                for c in others
            ]
        return more


def _likeness_part(gathered: Gathered, weights: Array) -> float:
    parts = parts_of(gathered.components, weights)
    part = parts.get("content", 0.0) + parts.get("profile", 0.0)
    return max(part, _LIKENESS_MIN)


def _adjusted(
    pool: Sequence[Ranked],
    taste: Taste,
    wishes: Wishes,
    gathered: Gathered,
    vectors: Mapping[str, Vector],
) -> list[Ranked]:
    """Multiply each score by what speaks for or against the item, and order by it."""
    fatigue = wishes.rules.fatigue if wishes.impressions else 0.0
    novelty = wishes.novelty or wishes.rules.novelty
    if not (fatigue or novelty or taste.disliked or wishes.rules.boosts):
        return list(pool)
    popular = next((c.values for c in gathered.components if c.name == "popular"), {})
    disliked = np.stack(list(taste.disliked.values())) if taste.disliked else None
    changed = []
    for one in pool:
        factors = {
            "rule": wishes.rules.factor(one.features),
            "fatigue": (1.0 - fatigue) ** min(wishes.impressions.get(one.item_id, 0), 5),
            "novelty": 1.0 - novelty * popular.get(one.point, 0.0),
            "dislike": 1.0,
        }
        if disliked is not None and one.item_id in vectors:
            nearest = float((disliked @ vectors[one.item_id]).max())
            factors["dislike"] = 1.0 - max(0.0, nearest) ** _DISLIKE_SHARPNESS
        score, notes = one.score, []
        for kind, factor in factors.items():
            if factor != 1.0:
                notes.append(Adjusted(kind, score * factor - score))
                score *= factor
        changed.append(replace(one, score=score, adjusted=tuple(notes)) if notes else one)
    return sorted(changed, key=lambda one: -one.score)


def _rows(pool: Sequence[Ranked], vectors: Mapping[str, Vector]) -> Array:
    """Return the items' vectors ``(n, d)``; zeros for what is not embedded yet."""
    dim = len(next(iter(vectors.values()))) if vectors else 1
    nothing = np.zeros(dim, np.float32)
    return np.stack([vectors.get(one.item_id, nothing) for one in pool])


def _owners(pool: Sequence[Ranked], vectors: Mapping[str, Vector], interests: Array) -> Owners:
    """Say which interest each item is nearest to, ``(n,)``; the first for what has no vector."""
    if not vectors:
        return np.zeros(len(pool), np.intp)
    return np.asarray((_rows(pool, vectors) @ interests.T).argmax(axis=1), np.intp)


def _fair(scores: Array, owners: Owners, shares: Array, likeness: float) -> Array:
    """Undo that an item of a small interest scores little because the interest is small.

    Shares are what calibration sees to by itself. Only ``likeness``, its part in the scores, is in
    proportion to them. Half of that (the root) is undone: a smaller interest is also less sure.
    """
    relative = scores / max(float(scores.max()), _NOTHING)
    lift = np.sqrt(shares.max() / np.maximum(shares[owners], _NOTHING))
    within = np.minimum(relative * lift, 1.0)
    return np.asarray((1.0 - likeness) * relative + likeness * within, np.float32)


def _without(weights: Array, names: Iterable[str]) -> Array:
    kept = weights.copy()
    for name in names:
        kept[COMPONENTS.index(name)] = 0.0
    return kept
