"""Decayed sums: the arithmetic that makes folding independent of order.

A taste is the sum over events of ``weight * 2^(-age / half_life) * vector``. Kept as a sum with
the time it refers to (not as a mean, not normalised), an event that arrives late is added with
the decay it would have had, so every order of arrival gives the same sum. This is forward decay
(Cormode, Shkapenyuk, Srivastava and Xu, ICDE 2009) with the reference moved along.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.domain.vectors import Vector, length

__all__ = ["DecayedSum", "decay"]

_MASS_MIN = 1e-9
_CANCELLED = 1e-5


def decay(age_s: float, half_life_s: float) -> float:
    """Return ``2^(-age / half_life)``: 1 at age zero, a half after each half-life."""
    return float(2.0 ** (-age_s / half_life_s))


@dataclass(frozen=True, slots=True)
class DecayedSum:
    """A decayed sum of vectors, ``(d,) float32``, and its mass, the decayed sum of |weight|.

    ``vector`` is None while nothing (or nothing but noise) is in it.
    """

    vector: Vector | None = None
    mass: float = 0.0

    def at(self, age_s: float, half_life_s: float) -> DecayedSum:
        """Move the reference time forward by ``age_s`` seconds."""
        if age_s == 0.0 or self.vector is None:
            return self
        factor = decay(age_s, half_life_s)
        return DecayedSum(self.vector * np.float32(factor), self.mass * factor)

    def plus(self, vector: Vector, weight: float, *, undo: bool = False) -> DecayedSum:
        """Add ``weight * vector``, or take an earlier addition of it back.

        Where nothing but the rounding of what is taken back would remain, nothing remains.
        """
        if weight == 0.0:
            return self
        sign = -1.0 if undo else 1.0
        mass = self.mass + sign * abs(weight)
        if mass < max(_MASS_MIN, _CANCELLED * abs(weight) if undo else 0.0):
            return DecayedSum()
        step = vector * np.float32(sign * weight)
        return DecayedSum(step if self.vector is None else self.vector + step, mass)

    @property
    def cancelled(self) -> bool:
        """Whether likes and dislikes leave no direction beyond rounding."""
        if self.vector is None:
            return True
        return length(self.vector) <= _CANCELLED * self.mass
