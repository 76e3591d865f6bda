"""Which vectors are taken."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from indexer.domain.vectors import checked, unit, unit_or_none
from indexer.errors import InvalidInput, InvalidVector

plain = arrays.arrays(np.float32, 8, elements=st.floats(-1e3, 1e3, width=32))


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        ([1.0, 0.0], r"shape \(2,\), expected \(3,\)"),
        ([], r"shape \(0,\)"),
        ([[1.0, 0.0, 0.0]], r"shape \(1, 3\)"),
        (1.0, r"shape \(\)"),
        ([1.0, math.nan, 0.0], "not finite"),
        ([1.0, math.inf, 0.0], "not finite"),
        ([1.0, -math.inf, 0.0], "not finite"),
        ([1.0, 1e39, 0.0], "not finite"),
        ([0.0, 0.0, 0.0], "zeros"),
        ([1e-20, 0.0, 0.0], "zeros"),
    ],
)
def test_a_vector_that_cannot_be_searched_with_is_refused(vector: object, reason: str):
    for take in (checked, unit):
        with pytest.raises(InvalidVector, match=f"^item 'p1': .*{reason}"):
            take(vector, 3, "item 'p1'")


def test_a_refused_vector_is_refused_input():
    assert issubclass(InvalidVector, InvalidInput)


def test_checking_changes_no_number():
    vector = checked([1.0, 2.0, 3.0], 3, "x")
    assert vector.tolist() == [1.0, 2.0, 3.0]
    assert vector.dtype == np.float32


@given(plain)
def test_unit_vectors_have_length_one_and_the_same_direction(vector: np.ndarray):
    length = float(np.linalg.norm(vector.astype(np.float64)))
    assume(length > 1e-9)
    scaled = unit(vector, 8, "x")
    assert float(np.linalg.norm(scaled)) == pytest.approx(1.0, abs=1e-5)
    assert scaled == pytest.approx(vector / length, abs=1e-5)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6, 1e25])
def test_the_length_of_a_finite_vector_does_not_matter(size: float):
    assert unit([3 * size, 4 * size], 2, "x") == pytest.approx([0.6, 0.8], abs=1e-6)


@pytest.mark.parametrize("vector", [None, np.zeros(3), np.array([1.0, np.nan, 0.0])])
def test_what_has_no_direction_has_no_unit_vector(vector: np.ndarray | None):
    assert unit_or_none(vector) is None


def test_a_direction_becomes_a_unit_vector_of_single_precision():
    vector = unit_or_none(np.array([0.0, -2.0]))
    assert vector is not None
    assert vector.tolist() == [0.0, -1.0]
    assert vector.dtype == np.float32
