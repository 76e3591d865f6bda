"""Interests: what a user likes, as a few groups of alike things rather than one average.

They are a pure function of the newest events and the items' vectors, so they merge, split and fade
as events come and go, and a replay finds the same ones. The strongest event founds a group of all
that is nearer to it than things of this user usually are, then the strongest of the rest does
(leader clustering: Hartigan, Clustering Algorithms, 1975, chapter 3); one pass of k-means settles
who belongs where.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from indexer.domain.state import Entry
from indexer.domain.taste import decay
from indexer.domain.vectors import Vector

__all__ = ["INTERESTS_MAX", "Interest", "Member", "find_interests"]

INTERESTS_MAX: Final = 8
_ALIKE_MIN, _ALIKE_MAX = 0.25, 0.7
"""Things with a lower cosine found no interest together, however unlike a user's others are; those
with a higher one always do."""

_NOTHING: Final = 1e-9

_SHARE_MIN: Final = 0.03
"""What says less of a user than this joins the nearest group."""


@dataclass(frozen=True, slots=True)
class Member:
    """One thing in an interest: the ref of its vector, and its part in the interest's, 0 to 1."""

    ref: str
    weight: float


@dataclass(frozen=True, slots=True)
class Interest:
    """One group. ``vector``: unit length ``(d,) float32``. ``share``: of all interests, 0 to 1."""

    members: tuple[Member, ...]
    vector: Vector
    share: float

    @property
    def key(self) -> tuple[Member, ...]:
        """What the vector is made of; equal keys have equal vectors."""
        return self.members


def find_interests(
    entries: Sequence[Entry], vectors: Mapping[str, Vector], half_life_s: float
) -> list[Interest]:
    """Group the liked things of ``entries``; the largest share comes first.

    An event weighs what it says, halved with each half-life before the newest.
    """
    weights = _weights(entries, vectors, half_life_s)
    if not weights:
        return []
    refs = sorted(weights)  # so that sums of floats are the same in whatever order events came
    rows = np.stack([vectors[ref] for ref in refs])
    mass = np.fromiter((weights[ref] for ref in refs), np.float64, len(refs))
    groups = _groups(rows, mass)
    found = [_interest([refs[n] for n in group], rows[group], mass[group]) for group in groups]
    total = sum(mass[group].sum() for group in groups)
    shares = [float(mass[group].sum() / total) for group in groups]
    interests = [
        Interest(members, vector, share)
        for (members, vector), share in zip(found, shares, strict=True)
    ]
    return sorted(interests, key=lambda one: (-one.share, one.members[0].ref))


def _weights(
    entries: Sequence[Entry], vectors: Mapping[str, Vector], half_life_s: float
) -> dict[str, float]:
    """Weigh each thing that has a vector and is liked on the whole, by all its events."""
    known = [entry for entry in entries if entry.ref in vectors]
    newest_s = max((entry.timestamp for entry in known if entry.weight > 0.0), default=0.0)
    weights: dict[str, float] = {}
    for entry in known:
        gain = entry.weight * decay(newest_s - entry.timestamp, half_life_s)
        weights[entry.ref] = weights.get(entry.ref, 0.0) + gain
    least = _NOTHING * max((abs(weight) for weight in weights.values()), default=0.0)
    return {ref: weight for ref, weight in weights.items() if weight > least}


def _groups(rows: NDArray[np.float32], mass: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Split ``(n, d)`` unit rows into at most `INTERESTS_MAX` groups of row numbers."""
    n = len(rows)
    if n == 1:
        return [np.arange(1)]
    near = rows @ rows.T
    apart = ~np.eye(n, dtype=bool)
    nearest = float(np.median(np.where(apart, near, -1.0).max(axis=1)))
    usual = float(near[apart].mean())
    threshold = min(max((nearest + usual) / 2, _ALIKE_MIN), _ALIKE_MAX)
    leaders: list[int] = []
    free = np.ones(n, dtype=bool)
    while free.any() and len(leaders) < INTERESTS_MAX:
        leader = int(np.where(free, mass, -1.0).argmax())
        leaders.append(leader)
        free &= near[leader] < threshold
        free[leader] = False
    owner = near[:, leaders].argmax(axis=1)
    owner = _settled(rows, mass, owner, len(leaders))
    return [np.flatnonzero(owner == k) for k in range(len(leaders)) if (owner == k).any()]


def _settled(
    rows: NDArray[np.float32], mass: NDArray[np.float64], owner: NDArray[np.intp], k: int
) -> NDArray[np.intp]:
    """Move each row to the nearest centre; groups with next to no mass are given up."""
    onehot = (owner[:, None] == np.arange(k)) * mass[:, None]
    centres = onehot.T.astype(np.float32) @ rows
    sizes = np.sqrt(np.einsum("kd,kd->k", centres, centres))
    shares = onehot.sum(axis=0) / mass.sum()
    cosines = rows @ (centres / np.maximum(sizes, 1e-12)[:, None]).T
    given_up = (shares < _SHARE_MIN) & (shares < shares.max())
    cosines[:, given_up] = -2.0
    return np.asarray(cosines.argmax(axis=1), np.intp)


def _interest(
    refs: Sequence[str], rows: NDArray[np.float32], mass: NDArray[np.float64]
) -> tuple[tuple[Member, ...], Vector]:
    parts = mass / mass.sum()
    order = np.argsort(-parts, kind="stable")
    # Relative weights are rounded, so that time alone, which fades all alike, changes nothing.
    members = tuple(Member(refs[n], round(float(parts[n]), 6)) for n in order)
    total = np.array([m.weight for m in members], np.float32) @ rows[order]
    size = float(np.sqrt(np.dot(total, total)))
    return members, (total / max(size, 1e-12)).astype(np.float32)
