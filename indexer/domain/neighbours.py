"""Which items go together: counted event by event, kept as sparse vectors, asked in one query.

When a user takes up item i after items j, i's neighbourhood gains ``(1 + lag)^-0.6`` at each of
the last 50 j (lag 0 is the item before), and the item before gains 1 at i. A neighbourhood counts
twice: for good, and with a half-life. Its sparse vector holds, with n the times that i was taken
up::

    C[j, i] / sqrt(n[i] + 5)          and the user's query   w[j] / sqrt(n[j] + 5)

so that one dot product is item-kNN with cosine-like normalisation (Deshpande and Karypis, TOIS
2004; the shrinkage 5 after Bell and Koren, ICDM 2007), and an event rewrites two points only.

Decayed counts are stored as of a fixed date (forward decay), which no sweep has to keep up. The
date moves every 64 half-lives, and an entry's index with it, so that numbers stay within float32
and what was last touched in another age is not mistaken for new.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.domain.taste import decay
from indexer.domain.trail import Step, newest_first

__all__ = [
    "Asking",
    "Counts",
    "NeighbourRules",
    "Neighbourhood",
    "Occurrence",
    "dimension",
    "occurrences",
    "recent_dimension",
    "score_parts",
]

_SHRINK: Final = 5.0
_EPOCH_S: Final = 1_577_836_800.0  # 2020-01-01
_AGE_HALF_LIVES: Final = 64
_OVERLAP_HALF_LIVES: Final = 16
_MIX: Final = 2_654_435_761  # Knuth's multiplicative hash
_BITS: Final = 0xFFFFFFFF

Dimensions = NDArray[np.uint32]
Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NeighbourRules:
    """The constants of counting; half-lives in seconds."""

    half_life_recent_s: float
    window_max: int = 50
    lag_power: float = 0.6
    backward: float = 1.0
    entries_max: int = 200


class Counts(NamedTuple):
    """How often an item was taken up, for good and (as of ``reference_s``) decayed."""

    total: float = 0.0
    recent: float = 0.0
    reference_s: float = 0.0

    def recent_at(self, now: float, half_life_s: float) -> float:
        """Return the decayed count as of ``now``."""
        return self.recent * decay(max(0.0, now - self.reference_s), half_life_s)


_NEVER: Final = Counts()


@dataclass(frozen=True, slots=True)
class Occurrence:
    """What one event adds to one item: ``gain`` to its count, and pairs with other items.

    ``offset``, ``partition``: of the event in its log. ``weight``: of the event, which popularity
    counts; 0 for none.
    """

    item_id: str
    offset: int
    timestamp: float
    gain: float
    weight: float
    pairs: tuple[tuple[str, float], ...]
    partition: int = 0


def occurrences(
    trail: Sequence[Step],
    step: Step,
    weight: float,
    place: tuple[int, int],
    rules: NeighbourRules,
) -> list[Occurrence]:
    """List what an event that likes ``step``'s item adds, ``trail`` being that before it.

    ``place``: partition and offset of the event.
    """
    partition, offset = place
    known = trail[-1].strength if trail and trail[-1].item_id == step.item_id else 0.0
    gain = max(0.0, step.strength - known)
    before = [s.item_id for s in newest_first(trail, rules.window_max) if s.item_id != step.item_id]
    pairs = tuple(
        (item_id, gain * (1.0 + lag) ** -rules.lag_power) for lag, item_id in enumerate(before)
    )
    own = Occurrence(
        step.item_id, offset, step.timestamp, gain, weight, pairs if gain else (), partition
    )
    if not gain or not before:
        return [own]
    back = ((step.item_id, gain * rules.backward),)
    return [own, Occurrence(before[0], offset, step.timestamp, 0.0, 0.0, back, partition)]


@dataclass(slots=True)
class Neighbourhood:
    """One item's counts.

    ``offsets``: of the last event of each partition that was counted in. ``occurred``: how many
    were, which only rises. ``dims``, ``total``, ``recent``, ``times``: ``(m,)`` by rising
    dimension: the other items, their weights for good and decayed to ``reference_s``, and how
    often each pair was seen.
    """

    offsets: dict[int, int] = field(default_factory=dict)
    occurred: int = 0
    counts: Counts = _NEVER
    dims: Dimensions = field(default_factory=lambda: np.empty(0, np.uint32))
    total: Values = field(default_factory=lambda: np.empty(0, np.float32))
    recent: Values = field(default_factory=lambda: np.empty(0, np.float32))
    times: Values = field(default_factory=lambda: np.empty(0, np.float32))

    def has(self, occurrence: Occurrence) -> bool:
        """Whether an occurrence is counted in already."""
        return occurrence.offset <= self.offsets.get(occurrence.partition, -1)

    def count(self, tenant: str, occurrence: Occurrence, rules: NeighbourRules) -> None:
        """Count one occurrence that is not counted in yet."""
        half_life_s, counts = rules.half_life_recent_s, self.counts
        age_s = occurrence.timestamp - counts.reference_s
        late = 1.0
        if age_s > 0.0:
            factor = decay(age_s, half_life_s)
            self.recent = self.recent * np.float32(factor)
            counts = Counts(counts.total, counts.recent * factor, occurrence.timestamp)
        else:
            late = decay(-age_s, half_life_s)
        gain = occurrence.gain
        self.counts = Counts(counts.total + gain, counts.recent + gain * late, counts.reference_s)
        self.offsets[occurrence.partition] = occurrence.offset
        self.occurred += 1
        if occurrence.pairs:
            self._add(tenant, occurrence.pairs, late)
            self._prune(rules.entries_max)

    def sparse(self, half_life_s: float) -> tuple[list[int], list[float]]:
        """Return the rising indices and the values of the vector that is stored."""
        age, exponent = _age(self.counts.reference_s, half_life_s)
        total = self.total / np.float32(math.sqrt(self.counts.total + _SHRINK))
        scale = 2.0**exponent / math.sqrt(self.counts.recent + _SHRINK)
        dims = np.concatenate([self.dims, recent_dimension(self.dims, age)])
        values = np.concatenate([total, self.recent * np.float32(scale)])
        return _rising(dims, values)

    def _add(self, tenant: str, pairs: Sequence[tuple[str, float]], late: float) -> None:
        fresh = np.fromiter((dimension(tenant, other) for other, _ in pairs), np.uint32, len(pairs))
        gains = np.fromiter((gain for _, gain in pairs), np.float32, len(pairs))
        dims, place = np.unique(np.concatenate([self.dims, fresh]), return_inverse=True)
        old, new = place[: len(self.dims)], place[len(self.dims) :]

        def grown(column: Values, added: Values) -> Values:
            wider = np.zeros(len(dims), np.float32)
            wider[old] = column
            np.add.at(wider, new, added)
            return wider

        self.dims, self.total = dims, grown(self.total, gains)
        self.recent = grown(self.recent, gains * np.float32(late))
        self.times = grown(self.times, np.ones(len(gains), np.float32))

    def _prune(self, most: int) -> None:
        """Keep the strongest pairs, once there are a quarter too many."""
        if len(self.dims) <= most + most // 4:
            return
        strength = self.total / self.total.max() + self.recent / max(self.recent.max(), 1e-30)
        kept = np.sort(np.argpartition(-strength, most)[:most])
        self.dims, self.total = self.dims[kept], self.total[kept]
        self.recent, self.times = self.recent[kept], self.times[kept]


@lru_cache(maxsize=131_072)
def dimension(tenant: str, item_id: str) -> int:
    """Return the index of an item in sparse vectors: 32 bits of a hash, the same everywhere.

    Two of 100,000 items share one by chance, and then count as one neighbour.
    """
    digest = hashlib.blake2b(f"{tenant}\0{item_id}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def recent_dimension(dims: Dimensions, age: int) -> Dimensions:
    """Return the indices at which decayed weights of an age are kept."""
    return dims ^ np.uint32((2 * age + 1) * _MIX & _BITS)  # odd, so that it is never 0


@dataclass(frozen=True, slots=True)
class Asking:
    """A trail ready to ask with: ``(m,)`` each, newest first.

    ``dims``: of the items. ``strengths``: of the steps. ``total``, ``recent``: how often the items
    were taken up, for good, and decayed to ``at``.
    """

    item_ids: Sequence[str]
    dims: Dimensions
    strengths: Values
    total: Values
    recent: Values
    at: float

    @classmethod
    def of(
        cls,
        tenant: str,
        steps: Sequence[Step],
        counts: Mapping[str, Counts],
        at: float,
        half_life_s: float,
    ) -> Asking:
        """Make it of a trail, newest first."""
        item_ids = [step.item_id for step in steps]
        found = [counts.get(item_id, _NEVER) for item_id in item_ids]
        return cls(
            item_ids,
            np.array([dimension(tenant, item_id) for item_id in item_ids], np.uint32),
            np.array([step.strength for step in steps], np.float32),
            np.array([n.total for n in found], np.float32),
            np.array([n.recent_at(at, half_life_s) for n in found], np.float32),
            at,
        )

    def weights(self, most: int, power: float, *, lately: bool) -> Values:
        """Weigh the newest items: ``strength * (1 + lag)^-power / sqrt(n + 5)``."""
        times = (self.recent if lately else self.total)[:most]
        faded = self.strengths[:most] * _fading(most, power)[: len(times)]
        return np.asarray(faded / np.sqrt(times + _SHRINK), np.float32)

    def query(
        self, weights: Values, half_life_s: float, *, lately: bool
    ) -> tuple[list[int], list[float]]:
        """Return the rising indices and values that ask for neighbours, for good or lately.

        Scores are comparable within one query only.
        """
        dims = self.dims[: len(weights)]
        if not lately:
            return _rising(dims, weights)
        age, into = _age(self.at, half_life_s)
        asked, scaled = [recent_dimension(dims, age)], [weights]
        if into < _OVERLAP_HALF_LIVES:  # much of what is recent was stored in the age before
            asked.append(recent_dimension(dims, age - 1))
            scaled.append(weights * np.float32(2.0**-_AGE_HALF_LIVES))
        return _rising(np.concatenate(asked), np.concatenate(scaled))


def score_parts(
    hood: Neighbourhood, asking: Asking, weights: Values, half_life_s: float, *, lately: bool
) -> dict[str, tuple[float, int]]:
    """Take a score apart: by item asked with, what it added, and how often the pair was seen."""
    factor = 1.0 / math.sqrt(hood.counts.total + _SHRINK)
    column = hood.total
    if lately:
        column = hood.recent
        factor = _asked_factor(hood.counts.reference_s, asking.at, half_life_s)
        factor /= math.sqrt(hood.counts.recent + _SHRINK)
    parts = {}
    places = np.searchsorted(hood.dims, asking.dims[: len(weights)])
    for n, (place, weight) in enumerate(zip(places.tolist(), weights.tolist(), strict=True)):
        if place < len(hood.dims) and hood.dims[place] == asking.dims[n]:
            added = weight * float(column[place]) * factor
            parts[asking.item_ids[n]] = (added, round(float(hood.times[place])))
    return parts


def _asked_factor(stored_at: float, asked_at: float, half_life_s: float) -> float:
    """Return what the decayed weights of a point are multiplied by in a query's score."""
    age, exponent = _age(stored_at, half_life_s)
    asked_age, into = _age(asked_at, half_life_s)
    if age == asked_age:
        return float(2.0**exponent)
    if age == asked_age - 1 and into < _OVERLAP_HALF_LIVES:
        return float(2.0 ** (exponent - _AGE_HALF_LIVES))
    return 0.0


@lru_cache(maxsize=64)
def _fading(most: int, power: float) -> Values:
    return (np.arange(1, most + 1, dtype=np.float32) ** np.float32(-power)).astype(np.float32)


def _age(at: float, half_life_s: float) -> tuple[int, float]:
    """Return the age that a time is in, and how many half-lives into it."""
    half_lives = (at - _EPOCH_S) / half_life_s
    age = math.floor(half_lives / _AGE_HALF_LIVES)
    return age, half_lives - age * _AGE_HALF_LIVES


def _rising(dims: Dimensions, values: Values) -> tuple[list[int], list[float]]:
    """Sort by index; where two share one by chance, they add up."""
    indices, place = np.unique(dims, return_inverse=True)
    if len(indices) == len(dims):
        summed = np.empty_like(values)
        summed[place] = values
    else:
        summed = np.bincount(place, weights=values).astype(np.float32)
    return indices.tolist(), summed.tolist()
