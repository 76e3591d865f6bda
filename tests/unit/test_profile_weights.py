"""Preference weights by counting, and their vector."""

from __future__ import annotations

import numpy as np
import pytest
from domain_cases import DAY_S, unit_vectors
from hypothesis import given
from hypothesis import strategies as st

from indexer.domain.profile import Evidence, count_weights, profile_vector, term_text
from indexer.domain.state import Entry
from indexer.profiling.counter import count_profile

TERMS = ["category=books", "category=toys", "tags=new", "tags=sale"]
VECTORS = unit_vectors(TERMS)


def evidence(weight: float, *terms: str, at: float = 0.0) -> Evidence:
    return Evidence(Entry(at, f"e{at}", "click", weight, "item:a"), terms)


evidences = st.lists(
    st.builds(
        lambda weight, terms, at: evidence(weight, *terms, at=at),
        st.floats(-3, 3),
        st.lists(st.sampled_from(TERMS), unique=True),
        st.floats(0, 100 * DAY_S),
    )
)
shares = st.dictionaries(st.sampled_from(TERMS), st.floats(0, 1))


def weights_of(*found: Evidence, **options: object) -> dict[str, float]:
    return count_weights(found, options.pop("shares", {}), 30 * DAY_S, **options)


@given(evidences, shares, st.integers(1, 4))
def test_weights_lie_between_minus_one_and_one_strongest_first(
    found: list[Evidence], of_catalogue: dict[str, float], most: int
):
    weights = count_weights(found, of_catalogue, 30 * DAY_S, most)
    sizes = [abs(weight) for weight in weights.values()]
    assert len(weights) <= most
    assert sizes == sorted(sizes, reverse=True)
    assert not sizes or sizes[0] == 1.0
    assert all(0.0 < size <= 1.0 for size in sizes)


@given(evidences)
def test_the_order_of_the_evidence_does_not_matter(found: list[Evidence]):
    weights, reversed_weights = weights_of(*found), weights_of(*reversed(found))
    for term in weights.keys() | reversed_weights.keys():
        assert weights.get(term, 0.0) == pytest.approx(reversed_weights.get(term, 0.0), abs=2e-4)


def test_likes_weigh_for_and_dislikes_against():
    weights = weights_of(evidence(2.0, "category=books"), evidence(-1.0, "category=toys"))
    assert weights == {"category=books": 1.0, "category=toys": -0.5}


def test_only_dislikes_give_a_negative_profile():
    assert weights_of(evidence(-2.0, "category=toys")) == {"category=toys": -1.0}


def test_a_term_that_much_of_the_catalogue_has_says_less():
    found = evidence(1.0, "category=books", "tags=new")
    weights = weights_of(found, shares={"tags=new": 0.75})
    assert weights == {"category=books": 1.0, "tags=new": 0.25}


def test_a_term_that_every_item_has_says_nothing():
    found = evidence(1.0, "category=books", "tags=new")
    assert weights_of(found, shares={"tags=new": 1.0}) == {"category=books": 1.0}


def test_older_evidence_counts_half_after_each_half_life():
    old, new = evidence(1.0, "tags=sale"), evidence(1.0, "tags=new", at=30 * DAY_S)
    assert weights_of(old, new) == {"tags=new": 1.0, "tags=sale": 0.5}


def test_age_counts_from_the_newest_evidence_not_from_now():
    assert weights_of(evidence(0.5, "tags=sale", at=1.0)) == {"tags=sale": 1.0}


def test_the_strongest_terms_are_kept():
    found = [evidence(float(n), f"tags={n}") for n in range(1, 30)]
    assert list(weights_of(*found, most=3)) == ["tags=29", "tags=28", "tags=27"]


@pytest.mark.parametrize(
    "found",
    [[], [evidence(1.0)], [evidence(0.0, "tags=new")]],
    ids=["none", "no facets", "no weight"],
)
def test_nothing_to_tell_gives_no_weights(found: list[Evidence]):
    assert weights_of(*found) == {}


def test_what_cancels_out_gives_no_weights():
    assert weights_of(evidence(2.0, "tags=new"), evidence(-2.0, "tags=new")) == {}


def test_the_counting_profiler_counts():
    found = [evidence(2.0, "category=books"), evidence(-1.0, "category=toys", at=DAY_S)]
    draft = count_profile(found, {}, 30 * DAY_S)
    assert draft.weights == count_weights(found, {}, 30 * DAY_S)
    assert draft.summary == "likes books; avoids toys"


@pytest.mark.parametrize(
    ("term", "text"),
    [("category=books", "books"), ("tags=a=b", "a=b"), ("sale", "sale")],
)
def test_a_term_is_embedded_as_words(term: str, text: str):
    assert term_text(term) == text


@given(st.dictionaries(st.sampled_from(TERMS), st.floats(0.1, 1), min_size=1))
def test_the_vector_of_a_profile_is_its_weighted_terms_at_unit_length(weights: dict[str, float]):
    total = np.sum([weight * VECTORS[term] for term, weight in weights.items()], axis=0)
    vector = profile_vector(weights, VECTORS)
    assert vector == pytest.approx(total / np.linalg.norm(total), abs=1e-5)
    assert vector.dtype == np.float32


def test_an_avoided_term_points_away():
    vector = profile_vector({"tags=new": -1.0}, VECTORS)
    assert vector == pytest.approx(-VECTORS["tags=new"], abs=1e-6)


def test_a_profile_without_known_terms_has_no_vector():
    assert profile_vector({}, VECTORS) is None
    assert profile_vector({"tags=unknown": 1.0}, VECTORS) is None


def test_a_profile_that_cancels_out_has_no_vector():
    same = {"x": VECTORS["tags=new"], "y": VECTORS["tags=new"]}
    assert profile_vector({"x": 0.5, "y": -0.5}, same) is None
