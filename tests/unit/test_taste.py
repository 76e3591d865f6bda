"""Decayed sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
from domain_cases import DAY_S, VECTORS, assert_same_sum
from hypothesis import given
from hypothesis import strategies as st

from indexer.domain.taste import DecayedSum, decay

ONE, OTHER = VECTORS["item:a"], VECTORS["item:b"]

ages = st.floats(0, 30 * DAY_S)


def test_a_half_is_left_after_each_half_life():
    assert [decay(n * DAY_S, DAY_S) for n in range(4)] == [1.0, 0.5, 0.25, 0.125]


@given(ages, ages)
def test_decaying_twice_is_decaying_once_for_the_time_of_both(first: float, second: float):
    both = decay(first, DAY_S) * decay(second, DAY_S)
    assert math.isclose(decay(first + second, DAY_S), both, rel_tol=1e-9)


def test_an_endless_half_life_never_decays():
    assert decay(1e12, math.inf) == 1.0


@given(ages)
def test_moving_on_keeps_the_direction_and_scales_vector_and_mass_alike(age_s: float):
    total = DecayedSum().plus(ONE, 2.0).plus(OTHER, -1.0)
    later = total.at(age_s, 10 * DAY_S)
    factor = decay(age_s, 10 * DAY_S)
    assert later.vector == pytest.approx(total.vector * factor, rel=1e-5, abs=1e-9)
    assert later.mass == pytest.approx(3.0 * factor)


def test_mass_adds_up_what_counts_for_and_against():
    assert DecayedSum().plus(ONE, 2.0).plus(OTHER, -1.5).mass == 3.5


def test_no_weight_adds_nothing():
    total = DecayedSum().plus(ONE, 1.0)
    assert total.plus(OTHER, 0.0) is total


@given(st.floats(0.01, 10), st.floats(-10, 10))
def test_undoing_gives_the_sum_before(kept: float, undone: float):
    before = DecayedSum().plus(ONE, kept)
    after = before.plus(OTHER, undone).plus(OTHER, undone, undo=True)
    assert_same_sum(after, before, mass=kept + abs(undone))


def test_undoing_all_leaves_an_empty_sum():
    total = DecayedSum().plus(ONE, 0.1).plus(OTHER, 0.7)
    total = total.plus(ONE, 0.1, undo=True).plus(OTHER, 0.7, undo=True)
    assert total == DecayedSum()


def test_an_empty_sum_is_cancelled():
    assert DecayedSum().cancelled
    assert DecayedSum().at(DAY_S, DAY_S) == DecayedSum()


def test_opposites_cancel_out_and_what_is_left_beyond_rounding_does_not():
    balanced = DecayedSum().plus(ONE, 1.0).plus(ONE, -1.0)
    assert balanced.cancelled
    assert not balanced.plus(OTHER, 0.01).cancelled


def test_a_sum_is_cancelled_once_nothing_of_it_is_left():
    assert DecayedSum().plus(ONE, 3.0).at(2_000 * DAY_S, DAY_S).cancelled


def test_sums_stay_single_precision():
    total = DecayedSum().plus(ONE, 1.0).at(DAY_S, DAY_S).plus(OTHER, 0.3)
    assert total.vector.dtype == np.float32
