"""The profile: preference weights over ``feature=value`` terms, and their vector."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from indexer.domain.state import Entry
from indexer.domain.taste import decay
from indexer.domain.vectors import Vector, unit_or_none

__all__ = [
    "COUNTER",
    "Evidence",
    "Memory",
    "Profile",
    "count_weights",
    "profile_vector",
    "term_text",
]


COUNTER: Final = "counter"
"""The name of the profiler that needs no model."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One recent event with what is known of its item: facets, and the title; or a search."""

    entry: Entry
    facets: tuple[str, ...] = ()
    title: str = ""
    query: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profiler says of a user; weights in [-1, 1], bigger is more liked.

    ``user_version``, ``event_count``: of the user state it was made from. ``updated_at``: unix
    seconds. ``evidence``: the event ids behind a term, where the profiler names them.
    ``vector``: unit length, ``(d,) float32``; None where the weights give no direction.
    """

    weights: Mapping[str, float]
    summary: str
    model: str
    user_version: int
    updated_at: float
    cost_usd: float | None = 0.0
    event_count: int = 0
    evidence: Mapping[str, Sequence[str]] = field(default_factory=dict)
    vector: Vector | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Memory:
    """A model's summary of a user's older events, and which of the window it covers."""

    summary: str = ""
    event_ids: frozenset[str] = frozenset()


def count_weights(
    evidence: Iterable[Evidence],
    shares: Mapping[str, float],
    half_life_s: float,
    most: int = 20,
) -> dict[str, float]:
    """Weigh terms by the decayed weight of the events on items that have them.

    Each term is scaled by one minus its share of the catalogue (``shares``, 0..1), so that what
    every item has says nothing; then all by the largest, into [-1, 1]. The ``most`` strongest
    are kept, strongest first.
    """
    evidence = list(evidence)
    newest = max((e.entry.timestamp for e in evidence), default=0.0)
    totals: defaultdict[str, float] = defaultdict(float)
    for one in evidence:
        weight = one.entry.weight * decay(newest - one.entry.timestamp, half_life_s)
        for term in one.facets:
            totals[term] += weight
    scaled = {term: total * (1.0 - shares.get(term, 0.0)) for term, total in totals.items()}
    kept = sorted(scaled, key=lambda term: (-abs(scaled[term]), term))[:most]
    largest = max((abs(scaled[term]) for term in kept), default=0.0)
    if largest == 0.0:
        return {}
    rounded = {term: round(scaled[term] / largest, 4) for term in kept}
    return {term: weight for term, weight in rounded.items() if weight != 0.0}


def term_text(term: str) -> str:
    """Return the text that stands for a ``feature=value`` term when it is embedded: its value."""
    name, _, value = term.partition("=")
    return value or name


def profile_vector(weights: Mapping[str, float], terms: Mapping[str, Vector]) -> Vector | None:
    """Return the unit vector of ``sum(weight * term)``, or None where it has no direction."""
    known = [(weight, terms[term]) for term, weight in weights.items() if term in terms]
    if not known:
        return None
    total = np.sum([np.float32(weight) * vector for weight, vector in known], axis=0)
    return unit_or_none(total)
