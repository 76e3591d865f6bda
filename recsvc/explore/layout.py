"""Lays items out in a plane, so that like is near like. Pure.

It begins as the two principal components, and is then pulled and pushed: each item towards its
nearest neighbours, away from a few that are drawn by lot (a small form of UMAP: McInnes, Healy and
Melville, 2018; forces as in t-SNE, with one degree of freedom). Of 5,000 books the components
alone are one cloud, as they hold an eighth of the variance; afterwards genres are islands. No label
is looked at, so that the map is the same whatever it is coloured by. What is drawn is drawn with a
fixed seed, and signs are fixed: the same vectors give the same map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["FITTED_MAX", "PLACED_MAX", "Layout", "fit"]

FITTED_MAX: Final = 1_500
"""Items that a layout is made of; all others are placed among them."""

PLACED_MAX: Final = 2_000

_NEIGHBOURS, _DRAWN = 12, 12
_ROUNDS, _STEP = 80, 0.6
_PUSH: Final = 6.0
"""How hard one that is drawn pushes, where the nearest neighbour pulls with 1."""

_SPREAD: Final = 10.0
_FORCE_MAX: Final = 4.0
_AMONG: Final = 6
_SHARPNESS: Final = 12.0
_POWER_ROUNDS, _EXTRA = 4, 8
_SEED: Final = 7
_NOTHING: Final = 1e-9

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Layout:
    """Places ``(n, 2) float32`` in [-1, 1] of the rows ``(n, d)`` (unit length) that it was made
    of. ``variance``: the shares of the first two principal components.
    """

    rows: Floats
    places: Floats
    variance: tuple[float, float]

    def place(self, vectors: Floats) -> Floats:
        """Return places ``(m, 2) float32`` of ``vectors (m, d)`` (unit length): the mean of those
        of the nearest rows, by likeness. A row of the layout is where it is there."""
        if not len(vectors) or not len(self.rows):
            return np.zeros((len(vectors), 2), np.float32)
        cosines = vectors @ self.rows.T
        most = min(_AMONG, len(self.rows))
        nearest = np.argpartition(-cosines, most - 1, axis=1)[:, :most]
        values = np.take_along_axis(cosines, nearest, axis=1)
        top = values.max(axis=1, keepdims=True)
        weights = np.exp(_SHARPNESS * (values - top))
        weights /= weights.sum(axis=1, keepdims=True)
        places: Floats = (weights[:, :, None] * self.places[nearest]).sum(axis=1)
        same = top[:, 0] > 1.0 - 1e-5
        places[same] = self.places[cosines[same].argmax(axis=1)]
        return places


def fit(rows: Floats) -> Layout:
    """Lay out ``rows (n, d)`` of unit length; takes some 0.5 s of one core for 1,500."""
    n = len(rows)
    if n < 3:
        line = np.linspace(-1.0, 1.0, n + 2, dtype=np.float32)[1:-1]
        return Layout(rows, np.stack([line, np.zeros_like(line)], axis=1), (0.0, 0.0))
    components, variance = _components(rows)
    reach = np.abs(components).max()
    if reach < _NOTHING:
        return Layout(rows, np.zeros((n, 2), np.float32), variance)
    pulled, weights = _neighbours(rows)
    places = _settle(components * np.float32(_SPREAD / reach), pulled, weights)
    places = places - (places.max(axis=0) + places.min(axis=0)) / 2.0
    reaches = np.maximum(np.abs(places).max(axis=0), _NOTHING)
    return Layout(rows, (places / reaches).astype(np.float32), variance)


def _components(rows: Floats) -> tuple[Floats, tuple[float, float]]:
    """Return the first two principal components ``(n, 2)``, and their shares of the variance.

    By subspace iteration (Halko, Martinsson and Tropp, 2011), as a whole decomposition takes a
    second.
    """
    centred = rows - rows.mean(axis=0)
    total = float(np.square(centred).sum())
    if total < _NOTHING:
        return np.zeros((len(rows), 2), np.float32), (0.0, 0.0)
    rng = np.random.default_rng(_SEED)
    basis = rng.standard_normal((rows.shape[1], 2 + _EXTRA)).astype(np.float32)
    for _ in range(_POWER_ROUNDS):
        basis = np.linalg.qr(centred.T @ (centred @ basis))[0]
    left, sizes, _ = np.linalg.svd(centred @ basis, full_matrices=False)
    found = left[:, :2] * sizes[:2]
    signs = np.sign(found[np.abs(found).argmax(axis=0), [0, 1]])
    shares = np.square(sizes[:2]) / total
    return (found * signs).astype(np.float32), (float(shares[0]), float(shares[1]))


def _neighbours(rows: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Return each row's nearest others ``(n, k)``, and how much they pull, the nearest with 1."""
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -2.0)
    most = min(_NEIGHBOURS, len(rows) - 1)
    nearest = np.argpartition(-cosines, most - 1, axis=1)[:, :most]
    values = np.take_along_axis(cosines, nearest, axis=1)
    top, last = values.max(axis=1, keepdims=True), values.min(axis=1, keepdims=True)
    return nearest, np.exp(2.0 * (values - top) / np.maximum(top - last, 1e-6))


def _settle(places: Floats, nearest: NDArray[np.intp], pull: Floats) -> Floats:
    """Move ``places`` by the forces, less with each round."""
    n, k = nearest.shape
    rng = np.random.default_rng(_SEED)
    own, other, pull = np.repeat(np.arange(n), k), nearest.ravel(), pull.ravel()
    pushed = np.repeat(np.arange(n), _DRAWN)
    # Items on one spot would never part.
    places = places + rng.normal(scale=1e-3, size=places.shape).astype(np.float32)
    for number in range(_ROUNDS):
        apart = places[own] - places[other]
        force = (pull / (1.0 + np.square(apart).sum(axis=1)))[:, None] * apart
        moved = _sums(other, force, n) - _sums(own, force, n)
        apart = places[pushed] - places[rng.integers(0, n, len(pushed))]
        away = np.square(apart).sum(axis=1)
        force = (_PUSH / ((0.01 + away) * (1.0 + away)))[:, None] * apart
        moved += _sums(pushed, np.clip(force, -_FORCE_MAX, _FORCE_MAX), n)
        places = places + _STEP * (1.0 - number / _ROUNDS) * np.clip(moved, -_FORCE_MAX, _FORCE_MAX)
    return places


def _sums(where: NDArray[np.intp], forces: Floats, n: int) -> Floats:
    columns = [np.bincount(where, forces[:, axis], n) for axis in (0, 1)]
    return np.stack(columns, axis=1).astype(np.float32)
