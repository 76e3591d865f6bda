"""What a vector must be before it is stored or searched with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from indexer.errors import InvalidVector

__all__ = ["Vector", "checked", "length", "unit", "unit_or_none"]

Vector = NDArray[np.float32]
"""One vector, ``(d,) float32``."""

_TINY = 1e-12


def checked(vector: Sequence[float] | NDArray[np.floating], dim: int, what: str) -> Vector:
    """Return ``vector`` as ``(dim,) float32``.

    Raises:
        InvalidVector: wrong rank or dimension, not finite, or (nearly) zero; names ``what``.
    """
    with np.errstate(over="ignore"):  # beyond float32 it becomes inf, which is refused below
        array = np.asarray(vector, dtype=np.float32)
    if array.shape != (dim,):
        raise InvalidVector(f"{what}: a vector of shape {array.shape}, expected ({dim},)")
    wide = array.astype(np.float64)  # the square of a finite float32 may not be one
    squared = float(np.dot(wide, wide))
    if not np.isfinite(squared):
        raise InvalidVector(f"{what}: a vector with a number that is not finite")
    if squared < _TINY * _TINY:
        raise InvalidVector(f"{what}: a vector of zeros")
    return array


def unit(vector: Sequence[float] | NDArray[np.floating], dim: int, what: str) -> Vector:
    """Return ``vector`` scaled to length one; raises as `checked` does."""
    array = checked(vector, dim, what)
    wide = array.astype(np.float64)
    return np.asarray(wide / np.sqrt(np.dot(wide, wide)), dtype=np.float32)


def unit_or_none(vector: NDArray[np.floating] | None) -> Vector | None:
    """Return ``vector`` scaled to length one, or None where it has no direction."""
    if vector is None:
        return None
    size = length(vector)
    if not math.isfinite(size) or size < _TINY:
        return None
    return (vector / size).astype(np.float32)


def length(vector: NDArray[np.floating]) -> float:
    """Return the Euclidean length of ``(d,)``; several times faster than ``linalg.norm``."""
    return math.sqrt(float(np.dot(vector, vector)))
