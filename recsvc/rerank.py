"""Re-ranking: what is done to a scored pool, best first, before its head is shown.

Caps and pins work on items, the others on arrays in the order of the pool. Scores: bigger is
better; they may be below zero. Of equals the one that came first stays first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from recsvc.rules import Cap

__all__ = ["Listed", "calibrated", "capped", "diversified", "pinned"]

_SMOOTHING: Final = 0.01
_SHARE_LEAST: Final = 1e-6

Array = NDArray[np.float32]


class Listed(Protocol):
    """An item of a list, as far as rules look at it."""

    @property
    def item_id(self) -> str: ...

    @property
    def features(self) -> Mapping[str, Any]: ...


L = TypeVar("L", bound=Listed)


def capped(ranked: Sequence[L], caps: Sequence[Cap], limit: int) -> list[L]:
    """Take the first ``limit`` items that exceed no cap; where these are too few, others follow.

    An item counts for each value of a feature that is a list, and is skipped where any of its
    values is used up. The skipped ones that are needed keep their order.
    """
    if not caps:
        return list(ranked[:limit])
    counts: Counter[tuple[str, object]] = Counter()
    kept: list[L] = []
    skipped: list[L] = []
    for item in ranked:
        if len(kept) >= limit:
            break
        values = [(cap, value) for cap in caps for value in _values(item.features, cap.feature)]
        if any(counts[cap.feature, value] >= cap.most for cap, value in values):
            skipped.append(item)
            continue
        kept.append(item)
        counts.update({(cap.feature, value) for cap, value in values})
    return kept + skipped[: limit - len(kept)]


def pinned(ranked: Sequence[L], pins: Sequence[tuple[int, L]], limit: int) -> list[L]:
    """Put items at positions, 1 the first, and let the others flow around them.

    Of two pins at one position the second comes next; of two of one item the lower position
    holds. Where a list is too short for a position, the item is its last; where ``limit`` is, the
    item is not shown, and its place by rank is another's: so pages, cut from one long list or
    from several, agree.
    """
    places: dict[str, tuple[int, L]] = {}
    for position, item in sorted(pins, key=lambda pin: pin[0]):
        places.setdefault(item.item_id, (position, item))
    waiting = list(reversed(places.values()))
    placed: list[L] = []
    for item in ranked:
        if item.item_id in places:
            continue
        while waiting and waiting[-1][0] <= len(placed) + 1:
            placed.append(waiting.pop()[1])
        placed.append(item)
        if len(placed) >= limit:
            break
    placed += [item for _, item in reversed(waiting)]
    return placed[:limit]


def calibrated(
    scores: Array, membership: Array, shares: Array, limit: int, strength: float
) -> list[int]:
    """Pick items so that their mixture of tastes comes near to ``shares``; returns places.

    ``scores`` ``(n,)``; ``membership`` ``(n, k)``: how much an item is of each taste, rows sum to
    1; ``shares`` ``(k,)``: of each taste in what the user likes, p below, sum to 1. Picks one by
    one the item that is best by

        (1 - strength) * score / max score - strength * KL(p || (1 - a) * q + a * p)

    with q the mean of the rows of all picked and this one, a = 0.01. After Steck, "Calibrated
    Recommendations" (RecSys 2018), where scores are summed as they are; here the best is 1, so
    that ``strength`` means the same for every list.
    """
    wanted = shares > _SHARE_LEAST  # of a taste without a share the divergence is 0, or nearly
    if strength <= 0.0 or not wanted.any():
        return _plain(scores, limit)
    prior = np.float32(_SMOOTHING) * shares[wanted]
    rows = np.float32(1.0 - _SMOOTHING) * membership[:, wanted]
    weights = np.float32(strength) * shares[wanted]
    gains = np.float32(1.0 - strength) * _relative(scores)
    # Of the divergence only sum(p * log(...)) differs between the candidates of one step, and the
    # number picked, which q is divided by, is the same for all: so sums serve as well as means.
    total = np.zeros_like(prior)
    picked: list[int] = []
    for _ in range(min(limit, len(scores))):
        total += prior
        best = int((gains + np.log(rows + total) @ weights).argmax())
        picked.append(best)
        gains[best] = -np.inf
        total += rows[best]
    return picked


def diversified(scores: Array, vectors: Array, limit: int, diversity: float) -> list[int]:
    """Pick items that are good and unlike those picked before; returns places.

    ``scores`` ``(n,)``; ``vectors`` ``(n, d)`` of unit length. The best item is the first, then
    always the one that is best by

        (1 - diversity) * score / max score - diversity * (max cosine to the picked)

    Maximal marginal relevance: Carbonell and Goldstein (SIGIR 1998).
    """
    count = min(limit, len(scores))
    if diversity <= 0.0 or count <= 0:
        return _plain(scores, limit)
    gains = np.float32(1.0 - diversity) * _relative(scores)
    nearest = np.full_like(gains, -1.0)
    best = int(scores.argmax())
    picked = [best]
    for _ in range(count - 1):
        gains[best] = -np.inf
        np.maximum(nearest, vectors @ vectors[best], out=nearest)
        best = int((gains - np.float32(diversity) * nearest).argmax())
        picked.append(best)
    return picked


def _plain(scores: Array, limit: int) -> list[int]:
    order: list[int] = np.argsort(-scores, kind="stable")[: max(0, limit)].tolist()
    return order


def _relative(scores: Array) -> Array:
    """Divide by the best score, or by the size of the worst where that is larger."""
    scale: float = np.abs(scores).max(initial=0.0)
    return scores / np.float32(scale or 1.0)


def _values(features: Mapping[str, Any], name: str) -> set[object]:
    value = features.get(name)
    if isinstance(value, list):
        return set(value)
    return {value} if value is not None else set()
