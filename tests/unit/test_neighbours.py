"""Neighbourhoods: what is counted, what is stored of it, and what a query of it finds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from neighbour_cases import (
    AGE_S,
    ASKED,
    EPOCH_S,
    HALF_LIFE_S,
    RULES,
    START_S,
    TENANT,
    World,
    counts_of,
    dot,
    hood_of,
    occurrences_of,
    recent_of,
    total_of,
    worlds,
)

from indexer.domain.neighbours import (
    Asking,
    Counts,
    Neighbourhood,
    Occurrence,
    dimension,
    occurrences,
    recent_dimension,
    score_parts,
)
from indexer.domain.trail import Step

SOME_S = START_S + 20 * HALF_LIFE_S
LATELY = pytest.mark.parametrize("lately", [False, True], ids=["for good", "lately"])


def steps(item_ids: str, strength: float = 1.0) -> list[Step]:
    """Return a trail of items of one letter each."""
    return [Step(SOME_S, item_id, strength) for item_id in item_ids]


def added(trail: str | list[Step], item_id: str, strength: float = 1.0) -> list[Occurrence]:
    """Return what taking up an item after a trail adds."""
    before = steps(trail) if isinstance(trail, str) else trail
    return occurrences(before, Step(SOME_S, item_id, strength), 2.0, (0, 7), RULES)


def one(at: float = SOME_S, gain: float = 1.0, **pairs: float) -> Occurrence:
    return Occurrence("p", 1, at, gain, 1.0, tuple(pairs.items()))


def pairs_of(hood: Neighbourhood, column: np.ndarray) -> dict[int, float]:
    return dict(zip(hood.dims.tolist(), column.tolist(), strict=True))


# What an event adds


def test_an_item_gains_at_each_item_before_it_the_less_the_longer_ago():
    own, _ = added("abc", "x")
    expected = [("c", 1.0), ("b", 2**-0.6), ("a", 3**-0.6)]
    assert [item_id for item_id, _ in own.pairs] == [item_id for item_id, _ in expected]
    assert [gain for _, gain in own.pairs] == pytest.approx([gain for _, gain in expected])


def test_an_occurrence_tells_the_item_the_offset_the_time_and_the_weight_of_its_event():
    own, _ = added("a", "x", 0.5)
    assert (own.item_id, own.offset, own.timestamp) == ("x", 7, SOME_S)
    assert (own.gain, own.weight) == (0.5, 2.0)


def test_the_item_before_gains_at_the_new_one_and_counts_no_more_often():
    _, back = added("ab", "x", 0.5)
    assert back == Occurrence("b", 7, SOME_S, 0.0, 0.0, (("x", 0.5),))


def test_the_first_item_of_a_user_has_no_pairs():
    assert added("", "x") == [Occurrence("x", 7, SOME_S, 1.0, 2.0, ())]


def test_an_item_again_adds_only_what_it_is_stronger_by():
    own, back = added([*steps("a"), *steps("x", 0.5)], "x")
    assert (own.gain, own.pairs, own.weight) == (0.5, (("a", 0.5),), 2.0)
    assert back.pairs == (("x", 0.5),)
    assert back.item_id == "a"


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_an_item_again_and_no_stronger_adds_to_its_popularity_only(strength: float):
    assert added("ax", "x", strength) == [Occurrence("x", 7, SOME_S, 0.0, 2.0, ())]


def test_an_item_that_is_come_back_to_counts_anew_and_is_not_its_own_neighbour():
    own, back = added("xab", "x")
    assert own.gain == 1.0
    assert [item_id for item_id, _ in own.pairs] == ["b", "a"]
    assert back.item_id == "b"


def test_an_item_before_counts_once_where_it_was_taken_up_last():
    own, _ = added("abab", "x")
    assert own.pairs == (("b", 1.0), ("a", pytest.approx(2**-0.6)))


def test_the_last_fifty_items_are_looked_back_at():
    trail = [Step(SOME_S, f"i{n}", 1.0) for n in range(80)]
    own, _ = added(trail, "x")
    assert [item_id for item_id, _ in own.pairs] == [f"i{n}" for n in range(79, 29, -1)]


# Counting


@given(occurrences_of("p", SOME_S, 40 * HALF_LIFE_S, most=12))
def test_counts_are_the_sums_over_all_that_was_seen_however_late(seen: list[Occurrence]):
    hood, newest = hood_of(seen), max(o.timestamp for o in seen)
    named = {dimension(TENANT, other): other for o in seen for other, _ in o.pairs}
    total, recent = pairs_of(hood, hood.total), pairs_of(hood, hood.recent)
    assert hood.counts == pytest.approx(counts_of(seen))
    assert total.keys() == named.keys()
    for dim, other in named.items():
        assert total[dim] == pytest.approx(total_of(seen, other), rel=1e-5)
        assert recent[dim] == pytest.approx(recent_of(seen, other, newest), rel=1e-4, abs=1e-6)


@given(st.data(), occurrences_of("p", SOME_S, 40 * HALF_LIFE_S, most=12))
def test_the_order_in_which_occurrences_come_does_not_matter(
    data: st.DataObject, seen: list[Occurrence]
):
    hood, other = hood_of(seen), hood_of(data.draw(st.permutations(seen)))
    assert hood.dims.tolist() == other.dims.tolist()
    assert hood.counts == pytest.approx(other.counts)
    assert hood.total == pytest.approx(other.total, rel=1e-5)
    assert hood.recent == pytest.approx(other.recent, rel=1e-4, abs=1e-6)
    assert hood.times.tolist() == other.times.tolist()


@given(occurrences_of("p", SOME_S, 40 * HALF_LIFE_S, most=12))
def test_the_columns_are_of_one_length_by_rising_dimension(seen: list[Occurrence]):
    hood = hood_of(seen)
    assert hood.dims.dtype == np.uint32
    assert {c.dtype for c in (hood.total, hood.recent, hood.times)} == {np.dtype(np.float32)}
    assert {len(c) for c in (hood.total, hood.recent, hood.times)} == {len(hood.dims)}
    assert hood.dims.tolist() == sorted(set(hood.dims.tolist()))


@given(occurrences_of("p", SOME_S, HALF_LIFE_S, most=12))
def test_how_often_each_pair_was_seen_is_counted(seen: list[Occurrence]):
    hood = hood_of(seen)
    expected = {
        dimension(TENANT, other): sum(other in dict(o.pairs) for o in seen)
        for other in {other for o in seen for other, _ in o.pairs}
    }
    assert pairs_of(hood, hood.times) == expected


def test_the_offset_is_that_of_the_last_occurrence():
    assert Neighbourhood().offsets == {}
    assert hood_of([one(), replace(one(), offset=9)]).offsets == {0: 9}


def test_an_occurrence_without_pairs_counts_the_item_only():
    hood = hood_of([one(gain=0.5)])
    assert hood.counts == Counts(0.5, 0.5, SOME_S)
    assert len(hood.dims) == 0
    assert hood.sparse(HALF_LIFE_S) == ([], [])


def test_what_is_ages_old_has_decayed_to_nothing_and_counts_for_good_all_the_same():
    hood = hood_of([one(EPOCH_S, a=1.0), one(SOME_S, b=1.0)])
    total, recent = pairs_of(hood, hood.total), pairs_of(hood, hood.recent)
    assert total[dimension(TENANT, "a")] == 1.0
    assert recent[dimension(TENANT, "a")] == 0.0


def test_a_decayed_count_is_told_as_of_any_later_time():
    counts = Counts(5.0, 4.0, SOME_S)
    assert counts.recent_at(SOME_S + 2 * HALF_LIFE_S, HALF_LIFE_S) == 1.0
    assert counts.recent_at(SOME_S - HALF_LIFE_S, HALF_LIFE_S) == 4.0


# Pruning


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0.01, 1.0)), min_size=1, max_size=60))
def test_a_neighbourhood_is_never_a_quarter_above_its_bound(drawn: list[tuple[int, float]]):
    few = replace(RULES, entries_max=8)
    hood = Neighbourhood()
    for n, gain in drawn:
        hood.count(TENANT, one(**{f"i{n}": gain}), few)
        assert len(hood.dims) <= 10
        assert hood.dims.tolist() == sorted(set(hood.dims.tolist()))
    assert len(hood.total) == len(hood.recent) == len(hood.times) == len(hood.dims)


@given(st.lists(st.integers(1, 1_000), min_size=11, max_size=30, unique=True))
def test_the_strongest_pairs_are_kept(strengths: list[int]):
    pairs = {f"i{n}": float(n) for n in strengths}
    hood = hood_of([one(**pairs)], replace(RULES, entries_max=8))
    strongest = sorted(strengths, reverse=True)[:8]
    assert set(hood.dims.tolist()) == {dimension(TENANT, f"i{n}") for n in strongest}
    assert pairs_of(hood, hood.total) == {dimension(TENANT, f"i{n}"): float(n) for n in strongest}


def test_what_is_strong_lately_is_kept_beside_what_is_strong_for_good():
    old = one(SOME_S - 30 * HALF_LIFE_S, **{f"old{n}": 10.0 + n for n in range(8)})
    new = one(SOME_S, **{f"new{n}": 1.0 + n for n in range(3)})
    hood = hood_of([old, new], replace(RULES, entries_max=8))
    assert dimension(TENANT, "new2") in hood.dims
    assert dimension(TENANT, "old7") in hood.dims
    assert len(hood.dims) == 8


# What is stored


@given(occurrences_of("p", SOME_S, 100 * HALF_LIFE_S, most=12))
def test_a_stored_vector_has_rising_indices_of_32_bits_and_finite_values(seen: list[Occurrence]):
    hood = hood_of(seen)
    indices, values = hood.sparse(HALF_LIFE_S)
    assert len(indices) == len(values) == 2 * len(hood.dims)
    assert indices == sorted(set(indices))
    assert all(isinstance(index, int) and 0 <= index < 2**32 for index in indices)
    assert all(map(math.isfinite, values))
    assert np.isfinite(np.array(values, np.float32)).all()


@pytest.mark.parametrize("into", [0.0, 63.99])
def test_a_stored_vector_is_finite_in_single_precision_at_either_end_of_an_age(into: float):
    seen = [one(START_S + into * HALF_LIFE_S, gain=1.0, a=1.0)] * 5_000
    _, values = hood_of(seen).sparse(HALF_LIFE_S)
    assert np.isfinite(np.array(values, np.float32)).all()


def test_an_item_has_the_same_dimension_everywhere_and_for_ever():
    assert dimension("t", "a") == 1_582_614_109
    assert len({dimension(tenant, i) for tenant in "tu" for i in ("a", "b", "ta")}) == 6


def test_decayed_weights_have_other_dimensions_in_each_age():
    dims = np.array([dimension(TENANT, item_id) for item_id in ASKED], np.uint32)
    ages = [recent_dimension(dims, age).tolist() for age in (0, 1, 2, 22, 23)]
    everything = [dim for age in [dims.tolist(), *ages] for dim in age]
    assert len(set(everything)) == len(everything)


def test_decayed_weights_have_dimensions_of_their_own_before_2020_too():
    dims = np.array([dimension(TENANT, item_id) for item_id in ASKED], np.uint32)
    assert set(dims.tolist()).isdisjoint(recent_dimension(dims, -1).tolist())


# Asking


def test_the_newest_items_weigh_most_and_what_everyone_takes_up_the_least():
    counts = {"b": Counts(95.0, 20.0, SOME_S)}
    asking = Asking.of(TENANT, steps("abc", 0.5), counts, SOME_S, HALF_LIFE_S)
    assert asking.weights(2, 1.0, lately=False) == pytest.approx([0.5 / 5**0.5, 0.25 / 10])
    assert asking.weights(9, 0.0, lately=True) == pytest.approx([0.5 / 5**0.5, 0.1, 0.5 / 5**0.5])


@LATELY
@settings(max_examples=40)
@given(worlds())
def test_a_query_has_rising_indices_and_finite_values(lately: bool, world: World):
    asking = world.asking()
    weights = asking.weights(9, world.power, lately=lately)
    indices, values = asking.query(weights, HALF_LIFE_S, lately=lately)
    assert indices == sorted(set(indices))
    assert len(indices) == len(values)
    assert np.isfinite(np.array(values, np.float32)).all()


@LATELY
def test_items_that_share_a_dimension_by_chance_are_asked_for_together(lately: bool):
    dims = np.array([9, 5, 9], np.uint32)
    ones = np.ones(3, np.float32)
    asking = Asking(["a", "b", "c"], dims, ones, ones, ones, SOME_S)
    indices, values = asking.query(np.array([1, 2, 3], np.float32), HALF_LIFE_S, lately=lately)
    assert sorted(values) == [2.0, 4.0]
    assert indices == sorted(indices)


@settings(max_examples=40)
@given(worlds())
def test_a_score_for_good_is_the_sum_that_is_written_down(world: World):
    assert world.scores(lately=False) == pytest.approx(world.by_hand(lately=False), rel=1e-4)


@settings(max_examples=40)
@given(worlds())
def test_a_score_of_late_is_the_sum_that_is_written_down_up_to_a_factor(world: World):
    assert_proportional(world.scores(lately=True), world.by_hand(lately=True))


@settings(max_examples=40)
@given(worlds(first_s=START_S - 4 * HALF_LIFE_S))
def test_a_score_of_late_is_right_across_the_border_of_two_ages(world: World):
    assert_proportional(world.scores(lately=True), world.by_hand(lately=True))


def test_what_was_last_touched_in_another_age_is_not_taken_for_new():
    seen = {"p": [one(START_S - HALF_LIFE_S, a=1.0)], "q": [one(START_S + HALF_LIFE_S, a=1.0)]}
    scores = {}
    for later in (15.0, 17.0, 64.0 + 17.0):
        world = World(seen, steps("a"), {}, START_S + later * HALF_LIFE_S, 1.0)
        scores[later] = world.scores(lately=True)
    assert scores[15.0]["q"] == pytest.approx(4.0 * scores[15.0]["p"], rel=1e-4)
    assert scores[17.0]["q"] > scores[17.0]["p"] == 0.0
    assert scores[81.0] == {"p": 0.0, "q": 0.0}


@LATELY
@settings(max_examples=40)
@given(worlds(), st.sampled_from([-25, -24, -22, -21, 1, 18, 40]))
def test_a_score_is_the_same_whatever_the_age(lately: bool, world: World, ages: int):
    moved = world.moved(ages * AGE_S)
    assert moved.scores(lately=lately) == pytest.approx(world.scores(lately=lately), rel=1e-4)


@LATELY
def test_a_score_is_the_same_in_the_age_before_2020(lately: bool):
    world = World({"p": [one(START_S, a=1.0)]}, steps("a"), {}, START_S, 1.0)
    moved = world.moved(EPOCH_S - AGE_S - START_S)
    assert moved.scores(lately=lately) == pytest.approx(world.scores(lately=lately), rel=1e-4)


@settings(max_examples=40)
@given(worlds(), st.floats(0.0, 30.0))
def test_which_of_two_items_scores_higher_lately_does_not_depend_on_when_it_is_asked(
    world: World, later: float
):
    asking, hoods = world.asking(), world.hoods
    weights = asking.weights(9, world.power, lately=True)

    def scores(at: float) -> dict[str, float]:
        query = replace(asking, at=at).query(weights, HALF_LIFE_S, lately=True)
        return {item_id: dot(query, hood.sparse(HALF_LIFE_S)) for item_id, hood in hoods.items()}

    assert scores(world.at + later * HALF_LIFE_S) == scores(world.at)


# Scores taken apart


@LATELY
@settings(max_examples=40)
@given(st.sampled_from([SOME_S, START_S - 4 * HALF_LIFE_S]).flatmap(lambda s: worlds(first_s=s)))
def test_the_parts_of_a_score_add_up_to_it(lately: bool, world: World):
    assert_parts_add_up(world, lately)


@LATELY
@settings(max_examples=40)
@given(worlds(first_s=START_S - 6 * HALF_LIFE_S), st.floats(10, 80))
def test_the_parts_of_a_score_add_up_to_it_ages_later(lately: bool, world: World, later: float):
    assert_parts_add_up(replace(world, at=world.at + later * HALF_LIFE_S), lately)


def test_a_part_tells_how_often_its_pair_was_seen():
    seen = [one(a=1.0, b=0.5), one(a=1.0), one(a=0.1)]
    world = World({"p": seen}, steps("abc"), {}, SOME_S, 1.0)
    parts = parts_of(world, "p", lately=False)
    assert {item_id: times for item_id, (_, times) in parts.items()} == {"a": 3, "b": 1}


def test_only_what_was_asked_with_is_a_part():
    world = World({"p": [one(a=1.0, b=0.5)]}, steps("ab"), {}, SOME_S, 1.0)
    asking = world.asking()
    weights = asking.weights(1, 1.0, lately=False)
    hood = world.hoods["p"]
    assert set(score_parts(hood, asking, weights, HALF_LIFE_S, lately=False)) == {"a"}


def test_an_empty_neighbourhood_has_no_parts():
    world = World({}, steps("ab"), {}, SOME_S, 1.0)
    asking = world.asking()
    weights = asking.weights(9, 1.0, lately=False)
    assert score_parts(Neighbourhood(), asking, weights, HALF_LIFE_S, lately=False) == {}


def assert_proportional(found: dict[str, float], expected: dict[str, float]) -> None:
    """Compare scores, which are comparable within one query only."""
    assume(sum(expected.values()) > 0.0)
    factor = sum(found.values()) / sum(expected.values())
    assert factor > 0.0
    scaled = {item_id: factor * score for item_id, score in expected.items()}
    assert found == pytest.approx(scaled, rel=1e-4)


def assert_parts_add_up(world: World, lately: bool) -> None:
    scores = world.scores(lately=lately)
    for item_id, score in scores.items():
        parts = parts_of(world, item_id, lately=lately)
        assert sum(added for added, _ in parts.values()) == pytest.approx(score, rel=1e-4)
        assert all(added >= 0.0 for added, _ in parts.values())


def parts_of(world: World, item_id: str, *, lately: bool) -> dict[str, tuple[float, int]]:
    asking = world.asking()
    weights = asking.weights(9, world.power, lately=lately)
    return score_parts(world.hoods[item_id], asking, weights, HALF_LIFE_S, lately=lately)
