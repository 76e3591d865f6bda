"""Small data sets to evaluate on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from indexer.domain.events import DEFAULT_WEIGHTS, Event
from indexer.domain.items import Item
from recsvc.evaluate.datasets import Dataset

DAY_S = 86_400.0


def event(
    user: str, item: str | None, at: float, kind: str = "purchase", value: float | None = None
) -> Event:
    query = "something" if kind == "search" else None
    return Event("default", user, f"{user}-{item}-{at}", kind, at, item, query, value)


def dataset(events: Sequence[Event], items: int | None = None, *, graded: bool = True) -> Dataset:
    """Make a data set of ``events``, which are in order, and the items named in them."""
    named = sorted({one.item_id for one in events if one.item_id is not None})
    ids = named if items is None else [f"i{place}" for place in range(items)]
    catalogue = tuple(Item("default", item_id, {"title": item_id}) for item_id in ids)
    return Dataset(catalogue, tuple(events), 0, graded, DEFAULT_WEIGHTS)


def blocks(
    users: int = 60, groups: int = 4, size: int = 12, taken: int = 9, seed: int = 3
) -> Dataset:
    """Make users who take only items of one group each, now and then one of another."""
    rng = np.random.default_rng(seed)
    wanted = [
        (place, user, int(item) + size * (user % groups))
        for user in range(users)
        for place, item in enumerate(rng.permutation(size)[:taken])
    ]
    strays = rng.random(len(wanted)) < 0.1
    found = [
        event(
            f"u{user}",
            f"i{(item + size) % (groups * size) if stray else item}",
            1e9 + place * DAY_S + user,
        )
        for (place, user, item), stray in zip(wanted, strays, strict=True)
    ]
    return dataset(sorted(found, key=lambda one: one.timestamp), groups * size)
