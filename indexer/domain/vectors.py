"""What a vector must be before it is stored or searched with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from indexer.errors import InvalidVector

__all__ = ["Vector", "checked", "unit", "unit_or_none"]

Vector = NDArray[np.float32]
"""One vector, ``(d,) float32``."""

_TINY = 1e-12


def checked(vector: Sequence[float] | NDArray[np.floating], dim: int, what: str) -> Vector:
    """Return ``vector`` as ``(dim,) float32``.

    Raises:
        InvalidVector: wrong rank or dimension, not finite, or (nearly) zero; names ``what``.
    """
    array = np.asarray(vector, dtype=np.float32)
    if array.shape != (dim,):
        raise InvalidVector(f"{what}: a vector of shape {array.shape}, expected ({dim},)")
    squared = float(np.dot(array, array))
    if not np.isfinite(squared):
        raise InvalidVector(f"{what}: a vector with a number that is not finite")
    if squared < _TINY * _TINY:
        raise InvalidVector(f"{what}: a vector of zeros")
    return array


def unit(vector: Sequence[float] | NDArray[np.floating], dim: int, what: str) -> Vector:
    """Return ``vector`` scaled to length one; raises as `checked` does."""
    array = checked(vector, dim, what)
    return array / np.float32(np.sqrt(np.dot(array, array)))


def unit_or_none(vector: NDArray[np.floating] | None) -> Vector | None:
    """Return ``vector`` scaled to length one, or None where it has no direction."""
    if vector is None:
        return None
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length < _TINY:
        return None
    return (vector / length).astype(np.float32)
