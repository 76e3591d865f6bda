"""Candidates: items from the store, filtered and ordered there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qdrant_client import models

from indexer.domain.vectors import Vector
from indexer.ports import Hit, VectorStore
from indexer.stores.items import ItemPoints, Shown
from indexer.stores.neighbours import Neighbours
from indexer.stores.points import scoped
from indexer.stores.schema import HEAT, ITEMS
from recsvc.filters import Conditions

__all__ = ["Candidate", "Candidates", "Wanted"]

_MMR_CANDIDATES = 100
_BLOCK = 100
_POPULAR_PAGE = 200
_POPULAR_MAX = 1_000
_FIELDS = ["item_id", "features"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item and its score; bigger is better."""

    item_id: str
    score: float
    features: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which items may be returned, how many, and from where on.

    ``filtered``: whether there is more to check of an item than that it is not excluded.
    """

    tenant: str
    limit: int
    start: int = 0
    conditions: Conditions = field(default_factory=Conditions)
    excluded: frozenset[str] = frozenset()  # point ids
    diversity: float = 0.0
    now: float = 0.0
    filtered: bool = False


class Candidates:
    """Asks the store for items."""

    def __init__(self, store: VectorStore, items: ItemPoints, neighbours: Neighbours) -> None:
        self._store, self._items, self._neighbours = store, items, neighbours

    async def near(self, vector: Vector, wanted: Wanted, limit: int) -> list[tuple[str, float]]:
        """Return the points nearest to ``vector`` (unit length), and their cosines."""
        hits = await self._search(vector.tolist(), wanted, limit, 0)
        return [(hit.id, hit.score) for hit in hits]

    async def nearness(
        self, vector: Vector, wanted: Wanted, limit: int, start: int = 0
    ) -> list[Hit]:
        """Return a page of all points by nearness to ``vector``; pages agree.

        A search is the more exact the more it is asked for, so that pages from searches of
        different lengths would now and then have an item twice, and another not at all. So this
        searches in blocks, each without what those before it found.
        """
        found: list[Hit] = []
        while len(found) < start + limit:
            beyond = replace(wanted, excluded=wanted.excluded | {hit.id for hit in found})
            block = await self._search(vector.tolist(), beyond, _BLOCK, 0)
            found += block
            if len(block) < _BLOCK:
                break
        return found[start : start + limit]

    async def nearest(self, vector: Vector, wanted: Wanted) -> list[Candidate]:
        """Return the items nearest to ``vector`` (unit length); scores are cosines.

        With ``diversity`` above 0 they are picked by maximal marginal relevance (Carbonell and
        Goldstein, SIGIR 1998) among the nearest 100, and follow by nearness beyond these; scores
        stay cosines.
        """
        found: list[Hit] = []
        if wanted.diversity > 0.0 and wanted.start < _MMR_CANDIDATES:
            # The same pool for each page, as another one would be put in another order.
            mmr = models.Mmr(diversity=wanted.diversity, candidates_limit=_MMR_CANDIDATES)
            varied = min(wanted.limit, _MMR_CANDIDATES - wanted.start)
            query = models.NearestQuery(nearest=vector.tolist(), mmr=mmr)
            found = await self._search(query, wanted, varied, wanted.start)
        left = wanted.limit - len(found)
        if left and (wanted.diversity == 0.0 or len(found) + wanted.start >= _MMR_CANDIDATES):
            found += await self.nearness(vector, wanted, left, wanted.start + len(found))
        shown = await self._items.shown([hit.id for hit in found])
        return [
            Candidate(shown[hit.id][0], hit.score, shown[hit.id][1])
            for hit in found
            if hit.id in shown
        ]

    async def popular(self, wanted: Wanted) -> list[Candidate]:
        """Return the most popular items, then any; the score is the share of the top's heat."""
        reach = wanted.start + wanted.limit
        found: list[Candidate] = []
        taken: set[str] = set()
        top = None
        for start in range(0, _POPULAR_MAX, _POPULAR_PAGE):
            page = await self._neighbours.popular(wanted.tenant, HEAT, _POPULAR_PAGE, start)
            if page and top is None:
                top = page[0].score
            heats = {hit.id: hit.score for hit in page if hit.id not in wanted.excluded}
            allowed = await self.allowed(wanted, heats)
            found += [
                Candidate(allowed[point][0], 2.0 ** (heat - (top or 0.0)), allowed[point][1])
                for point, heat in heats.items()
                if point in allowed
            ]
            taken |= allowed.keys()
            if len(found) >= reach or len(page) < _POPULAR_PAGE:
                break
        if len(found) < reach:
            found += await self.any_other(wanted, reach - len(found), taken)
        return found[wanted.start : reach]

    async def allowed(self, wanted: Wanted, points: Collection[str]) -> dict[str, Shown]:
        """Return item id and features of those of ``points`` that may be shown."""
        if not points:
            return {}
        if not wanted.filtered:
            return await self._items.shown(list(points))
        only = models.HasIdCondition.model_construct(has_id=list(points))
        records, _ = await self._store.scroll(
            ITEMS, self._filter(wanted, [], only), limit=len(points), with_payload=_FIELDS
        )
        payloads = {str(record.id): record.payload or {} for record in records}
        return {point: (p["item_id"], p["features"]) for point, p in payloads.items()}

    async def any_other(self, wanted: Wanted, limit: int, taken: Iterable[str]) -> list[Candidate]:
        """Return items that may be shown and are not ``taken``, in no order; they score 0."""
        records, _ = await self._store.scroll(
            ITEMS,
            self._filter(wanted, _ids({*wanted.excluded, *taken})),
            limit=limit,
            with_payload=_FIELDS,
        )
        payloads = [record.payload or {} for record in records]
        return [Candidate(p["item_id"], 0.0, p["features"]) for p in payloads]

    async def _search(
        self, query: models.NearestQuery | list[float], wanted: Wanted, limit: int, start: int
    ) -> list[Hit]:
        return await self._store.query_points(
            ITEMS,
            query,
            using="content",
            query_filter=self._filter(wanted, _ids(wanted.excluded)),
            limit=limit,
            offset=start,
            with_payload=False,
        )

    def _filter(
        self,
        wanted: Wanted,
        denied: Sequence[models.HasIdCondition],
        *only: models.HasIdCondition,
    ) -> models.Filter:
        must_not: list[models.Condition] = [*denied, *wanted.conditions.must_not]
        if self._items.availability:
            must_not += [
                models.FieldCondition(key="available_from", range=models.Range(gt=wanted.now)),
                models.FieldCondition(key="available_until", range=models.Range(lte=wanted.now)),
            ]
        return scoped(wanted.tenant, [*only, *wanted.conditions.must], must_not)


def _ids(points: Collection[str]) -> list[models.HasIdCondition]:
    return [models.HasIdCondition.model_construct(has_id=list(points))] if points else []
