"""The layout of the map."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from recsvc.explore.layout import fit

Floats = NDArray[np.float32]


def units(rows: Floats) -> Floats:
    made: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return made


def groups(each: int = 40, dim: int = 64, noise: float = 0.08) -> tuple[Floats, NDArray[np.intp]]:
    """Rows around five directions, and which of them each is around."""
    rng = np.random.default_rng(1)
    centres = units(rng.standard_normal((5, dim)).astype(np.float32))
    labels = np.repeat(np.arange(5), each)
    return units(centres[labels] + noise * rng.standard_normal((5 * each, dim))), labels


def test_places_are_in_the_square_and_fill_it():
    places = fit(groups()[0]).places
    assert places.shape == (200, 2)
    assert np.abs(places).max(axis=0) == pytest.approx([1.0, 1.0])


def test_like_is_near_like():
    rows, labels = groups()
    places = fit(rows).places
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert np.mean(labels[apart.argmin(axis=1)] == labels) > 0.98


def test_the_same_rows_give_the_same_map_on_every_run():
    rows, _ = groups()
    assert np.array_equal(fit(rows).places, fit(rows.copy()).places)


def test_a_row_is_placed_where_it_is_and_a_mean_of_alike_rows_among_them():
    rows, labels = groups()
    layout = fit(rows)
    assert np.allclose(layout.place(rows), layout.places)
    for label in range(5):
        mine = layout.places[labels == label]
        place = layout.place(units(rows[labels == label].mean(axis=0)[None]))[0]
        assert np.all(mine.min(axis=0) <= place)
        assert np.all(place <= mine.max(axis=0))


def test_variance_is_that_of_the_principal_components():
    rows, _ = groups()
    sizes = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    shares = np.square(sizes) / np.square(sizes).sum()
    assert fit(rows).variance == pytest.approx(shares[:2], rel=1e-3)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 13])
def test_a_few_rows_have_places_too(n: int):
    rows = groups()[0][:n]
    layout = fit(rows)
    assert layout.places.shape == (n, 2)
    assert np.all(np.abs(layout.places) <= 1.0)
    assert layout.place(groups()[0][:2]).shape == (2, 2)
    assert len(np.unique(layout.places, axis=0)) == n


def test_rows_that_are_all_the_same_have_a_place():
    rows = np.tile(groups()[0][:1], (20, 1))
    layout = fit(rows)
    assert np.all(np.isfinite(layout.places))
    assert layout.variance == (0.0, 0.0)
