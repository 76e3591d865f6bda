"""The ranking model: what a score is made of, how its parts are weighed, and how that is learned.

Each component gives a list of items with values, the best of which is scaled to 1. A score is
their weighted sum. The weights depend on the situation (is the visit going on, or does a new one
begin; how much is known of the user) and are learned online: before an event is folded, it is
foretold from the state before it, and the weights take one step of Adagrad (Duchi, Hazan and
Singer, JMLR 2011) on the softmax loss over the candidates (McFadden's conditional logit, 1974).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "COLLABORATIVE",
    "COMPONENTS",
    "SITUATIONS",
    "Component",
    "Weights",
    "evidence_of",
    "features",
    "fuse",
    "matured",
    "parts_of",
    "situation",
    "with_profile_share",
]

COMPONENTS: Final = ("sequence", "habit", "trend", "hot", "popular", "content", "profile")
"""``sequence``: goes with the newest items. ``habit``: with all of the trail. ``trend``: with all
of it, lately. ``hot``, ``popular``: taken up most over a day, over weeks. ``content``: near to an
interest. ``profile``: near to the profile."""

COLLABORATIVE: Final = ("sequence", "habit", "trend")

SITUATIONS: Final = ("on-few", "on-some", "on-many", "new-few", "new-some", "new-many")
"""Whether the visit goes on or a new one begins; and how long the trail is."""

_DEFAULTS: Final = np.array(
    [
        [2.4, 1.3, 0.9, 0.5, 1.2, 0.5, 0.2],
        [3.4, 1.4, 0.5, 0.15, 0.4, 0.3, 0.13],
        [4.2, 1.2, 0.3, 0.3, 0.1, 0.3, 0.13],
        [1.6, 0.8, 1.2, 1.1, 1.7, 0.3, 0.13],
        [0.4, 1.4, 1.3, 1.6, 1.5, 0.5, 0.2],
        [0.3, 0.5, 2.8, 1.5, 0.3, 0.5, 0.2],
    ],
    np.float32,
)
"""Where learning starts: what it came to on two public data sets (docs/ranking.md)."""

_FEW, _MANY = 5, 20
_RATE: Final = 0.5
_MATURE_EVENTS: Final = 10_000.0
_NEUTRAL_SHARE: Final = 0.3
_EVIDENCE_LEAST, _EVIDENCE_RANGE = 0.2, 0.4
_CROWD: Final = [COMPONENTS.index(name) for name in ("hot", "popular")]
_TOGETHER: Final = [COMPONENTS.index(name) for name in COLLABORATIVE]
_PROFILE: Final = COMPONENTS.index("profile")

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Component:
    """One component's list. ``values``: by point id, best first, the best is 1."""

    name: str
    values: Mapping[str, float]
    scale: float = 1.0  # what a value is multiplied by to be the raw score

    @classmethod
    def scaled(cls, name: str, hits: Iterable[tuple[str, float]]) -> Component:
        """Scale raw scores, best first, so that the best is 1; none above 0 is an empty list."""
        hits = list(hits)
        top = hits[0][1] if hits else 0.0
        if top <= 0.0:
            return cls(name, {})
        return cls(name, {point: score / top for point, score in hits if score > 0.0}, top)


def situation(gap_s: float, visit_s: float, trail: int) -> int:
    """Return the index in `SITUATIONS`. ``gap_s``: seconds since the user's last event."""
    known = 0 if trail < _FEW else 1 if trail < _MANY else 2
    return known if gap_s <= visit_s else 3 + known


def matured(weights: Array, counted: float, evidence: float = 0.0) -> Array:
    """Lower what a crowd says while it is small: by ``(n / (n + 10,000))^2``, n the events counted.

    What goes together is lowered less where the best pair speaks for itself: ``evidence`` is its
    similarity, 0.17 for a pair seen once, 0.5 for items that five people took up together.
    ``weights``: ``(k,)``. In a new shop, likeness leads.
    """
    grown = (counted / (counted + _MATURE_EVENTS)) ** 2
    proven = min(max((evidence - _EVIDENCE_LEAST) / _EVIDENCE_RANGE, 0.0), 1.0)
    scaled = weights.copy()
    scaled[_CROWD] *= grown
    scaled[_TOGETHER] *= max(grown, proven)
    return scaled


def evidence_of(components: Iterable[Component]) -> float:
    """Return the similarity of the best that goes with the newest items, before scaling."""
    return next((one.scale for one in components if one.name == "sequence" and one.values), 0.0)


def with_profile_share(weights: Array, share: float) -> Array:
    """Give the profile more or less weight: its odds change as those of ``share`` to 0.3 do.

    At 0.3 the learned weight stands; at 1 nothing but the profile counts.
    """
    if share >= 1.0:
        only = np.zeros_like(weights)
        only[_PROFILE] = 1.0
        return only
    scaled = weights.copy()
    scaled[_PROFILE] *= share / (1.0 - share) * (1.0 - _NEUTRAL_SHARE) / _NEUTRAL_SHARE
    return scaled


def parts_of(components: Sequence[Component], weights: Array) -> dict[str, float]:
    """Return the part of each component that found something, by name; they add up to 1."""
    by_name = dict(zip(COMPONENTS, weights.tolist(), strict=True))
    present = {one.name: by_name[one.name] for one in components if one.values}
    total = sum(present.values())
    return {name: weight / total for name, weight in present.items()} if total > 0.0 else {}


def fuse(components: Sequence[Component], weights: Array) -> dict[str, float]:
    """Return the weighted sum by point id, best first; 1 is the best in everything there is."""
    parts = parts_of(components, weights)
    fused: dict[str, float] = {}
    for one in components:
        part = parts.get(one.name, 0.0)
        if part > 0.0:
            for point, value in one.values.items():
                fused[point] = fused.get(point, 0.0) + part * value
    return dict(sorted(fused.items(), key=itemgetter(1), reverse=True))


def features(components: Sequence[Component]) -> tuple[list[str], Array]:
    """Return the candidates and their values ``(n, k) float32``, 0 where a list has them not."""
    places: dict[str, int] = {}
    for one in components:
        for point in one.values:
            places.setdefault(point, len(places))
    values = np.zeros((len(places), len(COMPONENTS)), np.float32)
    for one in components:
        column = COMPONENTS.index(one.name)
        for point, value in one.values.items():
            values[places[point], column] = value
    return list(places), values


@dataclass(slots=True)
class Weights:
    """One tenant's weights, ``(6, k) float32`` by situation, and what learning remembers."""

    values: Array = field(default_factory=_DEFAULTS.copy)
    squares: Array = field(default_factory=lambda: np.ones_like(_DEFAULTS))
    updates: int = 0

    def learn(
        self, place: int, values: Array, chosen: int, counted: float, evidence: float = 0.0
    ) -> None:
        """Take one step towards foretelling that candidate ``chosen`` of ``values`` is taken up.

        ``place``: the situation. ``counted``, ``evidence``: as for `matured`.
        """
        scales = matured(np.ones(len(COMPONENTS), np.float32), counted, evidence)
        scaled = values * scales
        logits = scaled @ self.values[place]
        chances = np.exp(logits - logits.max())
        chances /= chances.sum()
        gradient = scaled[chosen] - chances @ scaled
        self.squares[place] += gradient**2
        step = _RATE * gradient / np.sqrt(self.squares[place])
        self.values[place] = np.maximum(self.values[place] + step, 0.0)
        self.updates += 1

    def by_situation(self) -> dict[str, Any]:
        """Return the weights by name, for people."""
        return {
            "updates": self.updates,
            "weights": {
                name: {c: round(float(v), 3) for c, v in zip(COMPONENTS, row, strict=True)}
                for name, row in zip(SITUATIONS, self.values, strict=True)
            },
        }

    def as_dict(self) -> dict[str, Any]:
        """Return what is to be kept."""
        return {
            "components": list(COMPONENTS),
            "values": [[round(float(v), 6) for v in row] for row in self.values],
            "squares": [[round(float(v), 6) for v in row] for row in self.squares],
            "updates": self.updates,
        }

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Weights:
        """Read what was kept; what another version kept of other components is given up."""
        if kept.get("components") != list(COMPONENTS):
            return cls()
        return cls(
            np.array(kept["values"], np.float32),
            np.array(kept["squares"], np.float32),
            int(kept["updates"]),
        )
