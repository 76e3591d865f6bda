"""Maps of a tenant's catalogue, and users on them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from indexer.domain.events import ref_item
from indexer.domain.interests import Interest
from indexer.domain.profile import Profile
from indexer.domain.state import UserState
from indexer.domain.vectors import Vector, unit_or_none
from indexer.ports import VectorStore
from indexer.runtime import Runtime
from indexer.stores.points import vector_of
from recsvc.explore.layout import FITTED_MAX, PLACED_MAX, Floats, Layout, fit
from recsvc.explore.per_tenant import PerTenant
from recsvc.explore.scan import item_pages, label_of
from recsvc.recommend import Recommender

__all__ = ["READ_MAX", "Maps", "read_items"]

READ_MAX: Final = 4 * PLACED_MAX
"""Items that are looked at; one that is not embedded yet has no place."""

_PAGE: Final = 32  # which takes 6 ms in the embedded store
_LEAST_S: Final = 60.0
_RECENT_MAX: Final = 30
_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class _Map:
    """A layout, and the items on it: id and features, in the order of ``places (n, 2)``. ``whole``:
    they are all that have a vector."""

    layout: Layout
    items: Sequence[tuple[str, Mapping[str, Any]]]
    places: Floats
    whole: bool


class Maps:
    """Makes maps in a thread of their own, once a version of the catalogue; at most each minute."""

    def __init__(self, runtime: Runtime, recommender: Recommender) -> None:
        self._store, self._items = runtime.store, runtime.items
        self._recommender = recommender
        self._maps = PerTenant(
            self._make, lambda: runtime.catalogue_version, _LEAST_S, runtime.telemetry
        )

    async def catalogue(self, tenant: str, feature: str | None, limit: int) -> dict[str, Any]:
        """Return the places of the first ``limit`` items, each with its value of ``feature``."""
        made = await self._maps.of(tenant)
        shown = made.items[:limit]
        return {
            "items": [
                {
                    "item_id": item_id,
                    "label": label_of(item_id, features),
                    **_xy(place),
                    "value": features.get(feature) if feature is not None else None,
                }
                for (item_id, features), place in zip(shown, made.places, strict=False)
            ],
            "feature": feature,
            "sampled": not made.whole or len(shown) < len(made.items),
            "variance": [round(share, _DIGITS) for share in made.layout.variance],
        }

    async def user(self, state: UserState, profile: Profile | None) -> dict[str, Any]:
        """Return where a user's interests, taste, profile and newest events are."""
        made = await self._maps.of(state.tenant)
        taste = await self._recommender.taste(state, profile)
        interests = await self._recommender.interests(state)
        held = {
            "taste": taste.overall,
            "profile": profile.vector if profile is not None else None,
        }
        places = {name: self._place(made, vector) for name, vector in held.items()}
        return {
            "interests": [
                {**place, "share": round(one.share, _DIGITS), "items": _items_of(one)}
                for one in interests
                if (place := self._place(made, one.vector)) is not None
            ],
            **places,
            "recent": await self._recent(state, made),
        }

    def _place(self, made: _Map, vector: Vector | None) -> dict[str, float] | None:
        unit = unit_or_none(vector) if vector is not None else None
        if unit is None or not made.items:
            return None
        return _xy(made.layout.place(unit[None, :])[0])

    async def _recent(self, state: UserState, made: _Map) -> list[dict[str, Any]]:
        entries = [
            (entry, item_id)
            for entry in reversed(state.window)
            if (item_id := ref_item(entry.ref)) is not None
        ][:_RECENT_MAX]
        ids = list(dict.fromkeys(item_id for _, item_id in entries))
        vectors = await self._items.vectors(state.tenant, ids)
        features = await self._items.features(state.tenant, ids)
        known = [item_id for item_id in ids if item_id in vectors]
        if not known or not made.items:
            return []
        rows = np.stack([vectors[item_id] for item_id in known])
        places = dict(zip(known, made.layout.place(rows), strict=True))
        return [
            {
                "item_id": item_id,
                "label": label_of(item_id, features.get(item_id, {})),
                **_xy(places[item_id]),
                "event_type": entry.event_type,
                "timestamp": entry.timestamp,
            }
            for entry, item_id in entries
            if item_id in places
        ]

    async def close(self) -> None:
        """End what is being made for later."""
        await self._maps.close()

    async def _make(self, tenant: str) -> _Map:
        items, rows, whole = await read_items(self._store, tenant, self._items.dim)
        layout, places = await asyncio.to_thread(_lay_out, rows)
        return _Map(layout, items, places, whole)


def _lay_out(rows: Floats) -> tuple[Layout, Floats]:
    """Lay out the first rows, and place the rest among them."""
    layout = fit(rows[:FITTED_MAX])
    rest = layout.place(rows[FITTED_MAX:])
    return layout, np.concatenate([layout.places, rest])


async def read_items(
    store: VectorStore, tenant: str, dim: int
) -> tuple[list[tuple[str, Mapping[str, Any]]], Floats, bool]:
    """Read id, features and vector ``(n, dim)`` of the items, in the order of their points, which
    is one by lot and stays the same; and whether these are all."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    rows: list[Vector] = []
    read, whole = 0, True
    async with aclosing(item_pages(store, tenant, _PAGE, ["content"])) as some:
        async for records, more in some:
            read, whole = read + len(records), not more
            for record in records:
                vector = vector_of(record, "content")
                if vector is not None:
                    payload = record.payload or {}
                    found.append((payload["item_id"], payload["features"]))
                    rows.append(vector)
            if len(rows) >= PLACED_MAX or read >= READ_MAX:
                break
    matrix = np.stack(rows) if rows else np.zeros((0, dim), np.float32)
    return found, matrix, whole


def _items_of(interest: Interest) -> list[str]:
    refs = (ref_item(member.ref) for member in interest.members)
    return [item_id for item_id in refs if item_id is not None]


def _xy(place: Floats) -> dict[str, float]:
    return {"x": round(float(place[0]), _DIGITS), "y": round(float(place[1]), _DIGITS)}
