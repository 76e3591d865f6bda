"""The query: long-term taste, short-term taste and profile as one vector.

    q = (1 - p) * ((1 - s) * long + s * short) + p * profile

Each part is of unit length; p is the profile's share, which fades with the profile's age, and s
the short-term taste's, which fades with the time since the last event. The score of an item x
(unit length) is the cosine ``q . x / |q|``: linear in every part, so that it can be taken apart
exactly (explain.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexer.domain.profile import Profile
from indexer.domain.state import UserState
from indexer.domain.taste import DecayedSum, decay
from indexer.domain.vectors import Vector, length, unit_or_none

__all__ = ["Blend", "BlendRules", "Part", "blend", "mix"]


@dataclass(frozen=True, slots=True)
class BlendRules:
    """Shares in 0..1; half-lives in seconds, as in the fold."""

    profile_weight: float
    short_weight: float
    half_life_long_s: float
    half_life_short_s: float
    half_life_profile_s: float


@dataclass(frozen=True, slots=True)
class Blend:
    """A query. ``vector``: unit length ``(d,) float32``.

    ``long``, ``short``: what a unit of either decayed sum adds to the score's dot product;
    ``profile``: what the unit profile vector adds.
    """

    vector: Vector
    long: float
    short: float
    profile: float


@dataclass(frozen=True, slots=True)
class Part:
    """One summand of a query: what it stands for, its factor and its vector."""

    reason: dict[str, object]
    factor: float
    vector: Vector


def blend(state: UserState, profile: Profile | None, rules: BlendRules, now: float) -> Blend | None:
    """Blend a user's taste and profile; None where nothing is liked. ``now``: unix seconds."""
    if not state.has_taste or state.long.vector is None:
        return None
    share = 0.0
    if profile is not None and profile.vector is not None:
        since_s = max(0.0, now - profile.updated_at)
        share = rules.profile_weight * decay(since_s, rules.half_life_profile_s)
    age_s = max(0.0, now - state.reference_s)
    fading = 0.0
    if state.short.vector is not None and not state.short.cancelled:
        fading = rules.short_weight * decay(age_s, rules.half_life_short_s)
    long = (1.0 - share) * (1.0 - fading) / _length(state.long)
    query = state.long.vector * np.float32(long)
    short = 0.0
    if fading and state.short.vector is not None:
        short = (1.0 - share) * fading / _length(state.short)
        query = query + state.short.vector * np.float32(short)
    if share and profile is not None and profile.vector is not None:
        query = query + profile.vector * np.float32(share)
    vector, size = unit_or_none(query), length(query)
    if vector is None:
        return None
    return Blend(vector, long / size, short / size, share / size)


def mix(parts: Sequence[Part]) -> tuple[Vector, list[Part]] | None:
    """Add parts up to a unit vector and scale their factors alike; None where they cancel out."""
    if not parts:
        return None
    total = np.sum([np.float32(part.factor) * part.vector for part in parts], axis=0)
    vector = unit_or_none(total)
    if vector is None:
        return None
    size = length(total)
    return vector, [Part(part.reason, part.factor / size, part.vector) for part in parts]


def _length(total: DecayedSum) -> float:
    return length(total.vector) if total.vector is not None else 1.0
