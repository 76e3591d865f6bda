"""Leafs through the catalogue, and looks things up in it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from qdrant_client import models

from indexer.domain.ids import is_id, item_point
from indexer.domain.vectors import Vector
from indexer.embedding import Embeddings
from indexer.errors import ProviderError
from indexer.ports import PointId, VectorStore
from indexer.stores.items import ItemPoint, ItemPoints
from indexer.stores.points import scoped
from indexer.stores.schema import ITEMS
from recsvc.explore.per_tenant import PerTenant
from recsvc.explore.scan import Scan, folded
from recsvc.filters import Conditions

__all__ = ["MATCHES_MAX", "WORDS_MAX", "Browser", "matches"]

MATCHES_MAX: Final = 200
"""Items with all the words that are put before what is alike."""

WORDS_MAX: Final = 16
"""Different words that are looked for in titles; what follows only counts for likeness."""

_BLOCK: Final = 100
_LABELS_AT_ONCE: Final = 1_000


class Browser:
    """Reads items for people: all of them, also those that are not on sale, or not embedded yet."""

    def __init__(
        self,
        store: VectorStore,
        items: ItemPoints,
        embeddings: Embeddings,
        scans: PerTenant[Scan],
        timeout_s: float,
    ) -> None:
        self._store, self._items, self._embeddings = store, items, embeddings
        self._scans, self._timeout_s = scans, timeout_s

    async def page(
        self, tenant: str, conditions: Conditions, limit: int, offset: PointId | None
    ) -> tuple[list[ItemPoint], PointId | None]:
        """Return a page of the items that meet ``conditions``, and where the next begins."""
        which = scoped(tenant, conditions.must, conditions.must_not)
        return await self._items.page(which, limit, offset)

    async def search(
        self, tenant: str, text: str, conditions: Conditions, limit: int, start: int
    ) -> list[ItemPoint]:
        """Return what ``text`` may mean, from place ``start`` on: items whose id or title has all
        of its words, then those that are alike; without the latter while texts cannot be embedded.
        """
        vector = await self._vector(text)
        ask = _Asking(self._store, tenant, conditions, vector)
        matched = await ask.among(await self._matches(tenant, text))
        points = matched[start : start + limit]
        if len(points) < limit and vector is not None:
            points += await ask.nearest(matched, limit - len(points), max(0, start - len(matched)))
        return await self._items.by_point(points)

    async def _vector(self, text: str) -> Vector | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                return (await self._embeddings.vectors([text], keep=False))[text]
        except (ProviderError, TimeoutError):
            return None

    async def _matches(self, tenant: str, text: str) -> list[list[str]]:
        """Return the points with all words, in groups, what is called just that in the first."""
        named = text.strip()
        point = item_point(tenant, named) if is_id(named) else None
        groups = await matches((await self._scans.of(tenant)).labels, named, but=point)
        if point is not None:
            groups[0].insert(0, point)
        return groups


class _Asking:
    """Puts points in order by likeness; leaves out those that do not meet the conditions."""

    def __init__(
        self, store: VectorStore, tenant: str, conditions: Conditions, vector: Vector | None
    ) -> None:
        self._store, self._tenant = store, tenant
        self._conditions, self._vector = conditions, vector

    async def among(self, groups: Sequence[Sequence[str]]) -> list[str]:
        """Return the points of the first group, then the next, each the most alike first."""
        chosen: list[Sequence[str]] = []
        left = MATCHES_MAX
        for group in groups:
            chosen.append(group[:left])
            left -= len(chosen[-1])
        points = [point for group in chosen for point in group]
        if not points:
            return []
        met = self._conditions
        only = scoped(self._tenant, [*_ids(points), *met.must], met.must_not)
        records, _ = await self._store.scroll(ITEMS, only, limit=len(points), with_payload=False)
        allowed = {str(record.id) for record in records}
        places = {point: n for n, point in enumerate(await self._ordered(only, len(points)))}
        return [
            point
            for group in chosen
            for point in sorted(allowed & set(group), key=lambda p: (places.get(p, len(places)), p))
        ]

    async def nearest(self, but: Sequence[str], limit: int, start: int) -> list[str]:
        """Return a page of the points that are most alike, but for some.

        In blocks, each without those before, so that pages agree; see `Candidates.nearness`.
        """
        found: list[str] = []
        while len(found) < start + limit:
            denied = _ids([*but, *found])
            met = self._conditions
            beyond = scoped(self._tenant, met.must, [*denied, *met.must_not])
            block = await self._ordered(beyond, _BLOCK)
            found += block
            if len(block) < _BLOCK:
                break
        return found[start : start + limit]

    async def _ordered(self, which: models.Filter, limit: int) -> list[str]:
        if self._vector is None:
            return []
        hits = await self._store.query_points(
            ITEMS,
            self._vector.tolist(),
            using="content",
            query_filter=which,
            limit=limit,
            with_payload=False,
        )
        return [hit.id for hit in hits]


async def matches(
    labels: Sequence[tuple[str, str]], text: str, *, but: str | None = None
) -> list[list[str]]:
    """Return the points whose label has all words of ``text``, the best fitting group first.

    Lets other work go on meanwhile; a text without words, such as of accents only, finds nothing.
    """
    phrase = " ".join(folded(text).split())
    words = list(dict.fromkeys(phrase.split()))[:WORDS_MAX]
    groups: list[list[str]] = [[], [], [], []]
    if not words:
        return groups
    for start in range(0, len(labels), _LABELS_AT_ONCE):
        for point, label in labels[start : start + _LABELS_AT_ONCE]:
            if all(word in label for word in words) and point != but:
                groups[_rank(label, phrase)].append(point)
        await asyncio.sleep(0)
    return groups


def _ids(points: Sequence[str]) -> list[models.HasIdCondition]:
    return [models.HasIdCondition.model_construct(has_id=list(points))] if points else []


def _rank(label: str, phrase: str) -> int:
    """Return how well a label fits: 0 is just that, 1 begins so, 2 has the phrase, 3 the words."""
    parts = label.split("\n")
    if phrase in parts:
        return 0
    if any(part.startswith(phrase) for part in parts):
        return 1
    return 2 if phrase in label else 3
