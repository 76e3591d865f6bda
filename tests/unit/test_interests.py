"""Interests: groups of alike things, found anew from the same events as the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from domain_cases import DAY_S, VECTORS, folded, histories, unit_vectors
from hypothesis import assume, given
from hypothesis import strategies as st

from indexer.domain.events import Event
from indexer.domain.interests import INTERESTS_MAX, Interest, Member, find_interests
from indexer.domain.state import Entry
from indexer.domain.vectors import Vector

HALF_LIFE_S = 30 * DAY_S
DIM = 32
MANY = unit_vectors((f"item:{n}" for n in range(40)), seed=3, dim=DIM)

refs = st.sampled_from(sorted(MANY))
weights = st.sampled_from([-2.0, -1.0, 0.5, 1.0, 2.0, 3.0])


def entry(ref: str, *, weight: float = 1.0, at: float = 0.0, event_id: str | None = None) -> Entry:
    kind = "like" if weight > 0.0 else "dislike"
    return Entry(at, event_id or f"on {ref}", kind, weight, ref)


def around(axis: int, sizes: int, *, sign: float = 1.0) -> dict[str, Vector]:
    """Make unit vectors that all but point along an axis, by a ref that names it."""
    found = {}
    for n in range(sizes):
        row = np.zeros(DIM)
        row[axis], row[16 + n] = sign, 0.1
        found[f"item:{axis}{'+' if sign > 0 else '-'}{n}"] = row / np.linalg.norm(row)
    return {ref: row.astype(np.float32) for ref, row in found.items()}


def found_in(vectors: Mapping[str, Vector]) -> list[Interest]:
    """Find the interests of someone who likes all of some things alike."""
    return find_interests([entry(ref) for ref in vectors], vectors, HALF_LIFE_S)


def refs_of(interest: Interest) -> set[str]:
    return {member.ref for member in interest.members}


def balances(entries: Sequence[Entry]) -> dict[str, float]:
    """Sum up what events say for and against each thing, as of the newest."""
    balance: dict[str, float] = {}
    for one in entries:
        gain = one.weight * 2.0 ** ((one.timestamp - entries[-1].timestamp) / HALF_LIFE_S)
        balance[one.ref] = balance.get(one.ref, 0.0) + gain
    return balance


@st.composite
def windows(draw: st.DrawFn) -> list[Entry]:
    """Draw events, sorted as a state has them."""
    drawn = []
    for n in range(draw(st.integers(1, 30))):
        at = float(draw(st.integers(0, int(60 * DAY_S))))
        drawn.append(entry(draw(refs), weight=draw(weights), at=at, event_id=f"e{n}"))
    return sorted(drawn)


# Groups


def test_two_tastes_that_have_nothing_in_common_are_two_interests_with_their_shares():
    some, others = around(0, 7), around(1, 3)
    larger, smaller = found_in({**others, **some})
    assert refs_of(larger) == set(some)
    assert refs_of(smaller) == set(others)
    assert (larger.share, smaller.share) == pytest.approx((0.7, 0.3))


def test_shares_follow_what_events_say_not_how_many_there_are():
    some, others = around(0, 4), around(1, 4)
    entries = [entry(ref, weight=3.0) for ref in some] + [entry(ref) for ref in others]
    larger, smaller = find_interests(entries, {**some, **others}, HALF_LIFE_S)
    assert refs_of(larger) == set(some)
    assert (larger.share, smaller.share) == pytest.approx((0.75, 0.25))


def test_a_taste_halves_with_each_half_life_before_the_newest_event():
    some, others = around(0, 4), around(1, 4)
    entries = [entry(ref, at=0.0) for ref in some]
    entries += [entry(ref, at=HALF_LIFE_S) for ref in others]
    larger, smaller = find_interests(entries, {**some, **others}, HALF_LIFE_S)
    assert refs_of(larger) == set(others)
    assert (larger.share, smaller.share) == pytest.approx((2 / 3, 1 / 3))


def test_a_thing_weighs_as_much_as_all_events_on_it():
    vectors = around(0, 2)
    one, other = vectors
    entries = [entry(one), entry(one, weight=2.0, event_id="again"), entry(other)]
    (interest,) = find_interests(entries, vectors, HALF_LIFE_S)
    assert interest.members == (Member(one, 0.75), Member(other, 0.25))


def test_a_dislike_takes_from_what_the_same_thing_was_liked_for():
    vectors = around(0, 2)
    one, other = vectors
    entries = [entry(one, weight=3.0), entry(other), entry(one, weight=-2.0, event_id="no")]
    (interest,) = find_interests(entries, vectors, HALF_LIFE_S)
    assert interest.members == (Member(one, 0.5), Member(other, 0.5))
    disliking = [*entries, entry(one, weight=-2.0, event_id="never")]
    (interest,) = find_interests(disliking, vectors, HALF_LIFE_S)
    assert interest.members == (Member(other, 1.0),)


def test_a_single_thing_is_an_interest_of_its_own():
    (interest,) = found_in({"item:a": VECTORS["item:a"]})
    assert interest.members == (Member("item:a", 1.0),)
    assert interest.share == 1.0
    assert interest.vector == pytest.approx(VECTORS["item:a"])


def test_adding_opposite_things_splits_and_removing_them_merges_again():
    some, opposite = around(0, 2), around(0, 2, sign=-1.0)
    vectors = {**some, **opposite}
    before = [entry(ref) for ref in some]
    after = [*before, *(entry(ref) for ref in opposite)]
    (whole,) = find_interests(before, vectors, HALF_LIFE_S)
    split = find_interests(after, vectors, HALF_LIFE_S)
    assert {frozenset(refs_of(one)) for one in split} == {frozenset(some), frozenset(opposite)}
    left = [one for one in after if one.ref not in opposite]
    assert_same(find_interests(left, vectors, HALF_LIFE_S), [whole])


def test_what_says_next_to_nothing_joins_the_nearest_interest():
    some, others, stray = around(0, 5), around(1, 5), around(2, 1)
    entries = [entry(ref, weight=3.0) for ref in (*some, *others)]
    entries += [entry(ref, weight=0.01) for ref in stray]
    found = find_interests(entries, {**some, **others, **stray}, HALF_LIFE_S)
    assert len(found) == 2
    assert set().union(*map(refs_of, found)) == {*some, *others, *stray}


def test_there_are_at_most_eight():
    apart = {f"item:{n}": row for n, row in enumerate(np.eye(DIM, dtype=np.float32)[:20])}
    pairs = {f"{ref}-too": row for ref, row in apart.items()}
    assert len(found_in({**apart, **pairs})) == INTERESTS_MAX == 8


# What is no interest


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [entry("item:1", weight=-2.0)],
        [entry("item:1", weight=0.0), entry("item:2", weight=-1.0)],
        [entry("item:unknown"), entry("text:unknown")],
    ],
    ids=["nothing", "dislikes", "neutral and disliked", "no vectors"],
)
def test_a_window_without_a_liked_thing_that_has_a_vector_gives_none(entries: list[Entry]):
    assert find_interests(entries, MANY, HALF_LIFE_S) == []


def test_what_is_disliked_or_has_no_vector_is_in_no_interest():
    entries = [entry("item:1"), entry("item:2", weight=-2.0), entry("item:unknown")]
    (interest,) = find_interests(entries, MANY, HALF_LIFE_S)
    assert refs_of(interest) == {"item:1"}


def test_what_has_faded_to_nothing_is_in_no_interest():
    entries = [entry("item:1", at=0.0), entry("item:2", at=200 * HALF_LIFE_S)]
    (interest,) = find_interests(entries, MANY, HALF_LIFE_S)
    assert refs_of(interest) == {"item:2"}


# What always holds


@given(windows())
def test_interests_share_out_all_that_is_liked_on_the_whole(entries: list[Entry]):
    found = find_interests(entries, MANY, HALF_LIFE_S)
    balance = balances(entries)
    assume(all(weight == 0.0 or abs(weight) > 1e-6 for weight in balance.values()))
    liked = {ref for ref, weight in balance.items() if weight > 0.0}
    members = [member.ref for interest in found for member in interest.members]
    assert sorted(members) == sorted(liked)
    assert len(found) <= INTERESTS_MAX
    assert sum(interest.share for interest in found) == pytest.approx(1.0 if liked else 0.0)
    assert all(interest.share > 0.0 for interest in found)


@given(windows())
def test_the_largest_share_comes_first_and_the_heaviest_member(entries: list[Entry]):
    found = find_interests(entries, MANY, HALF_LIFE_S)
    shares = [interest.share for interest in found]
    assert shares == sorted(shares, reverse=True)
    for interest in found:
        parts = [member.weight for member in interest.members]
        assert parts == sorted(parts, reverse=True)


@given(windows())
def test_an_interest_is_the_unit_vector_of_its_members(entries: list[Entry]):
    for interest in find_interests(entries, MANY, HALF_LIFE_S):
        assert sum(member.weight for member in interest.members) == pytest.approx(1.0, abs=1e-4)
        total = np.sum([m.weight * MANY[m.ref].astype(float) for m in interest.members], axis=0)
        assert interest.vector.dtype == np.float32
        assert float(np.linalg.norm(interest.vector)) == pytest.approx(1.0, abs=1e-5)
        assert interest.vector == pytest.approx(total / np.linalg.norm(total), abs=1e-5)


@given(windows())
def test_the_same_events_give_the_same_interests(entries: list[Entry]):
    one = find_interests(entries, MANY, HALF_LIFE_S)
    other = find_interests(list(entries), dict(reversed(MANY.items())), HALF_LIFE_S)
    assert_same(one, other)


@given(windows(), st.integers(-(10**9), 10**9))
def test_time_alone_changes_nothing(entries: list[Entry], by_s: int):
    moved = [one._replace(timestamp=one.timestamp + by_s) for one in entries]
    one = find_interests(entries, MANY, HALF_LIFE_S)
    assert_same(one, find_interests(moved, MANY, HALF_LIFE_S))


@given(st.data(), histories(most=20))
def test_interests_do_not_depend_on_the_order_in_which_events_came(
    data: st.DataObject, events: list[Event]
):
    in_order, shuffled = folded(events), folded(data.draw(st.permutations(events)))
    one = find_interests(in_order.window, VECTORS, HALF_LIFE_S)
    assert_same(one, find_interests(shuffled.window, VECTORS, HALF_LIFE_S))


@given(st.data(), st.lists(refs, min_size=1, max_size=12, unique=True))
def test_interests_do_not_depend_on_the_order_of_events_of_one_moment(
    data: st.DataObject, liked: list[str]
):
    # Things that weigh the same would be told apart by nothing but their order.
    entries = [entry(ref, weight=1.0 + n / 7) for n, ref in enumerate(liked)]
    shuffled = data.draw(st.permutations(entries))
    one = find_interests(entries, MANY, HALF_LIFE_S)
    other = find_interests(shuffled, MANY, HALF_LIFE_S)
    assert [interest.key for interest in one] == [interest.key for interest in other]


@given(windows(), refs)
def test_a_dislike_of_something_else_leaves_the_interests_as_they_are(
    entries: list[Entry], disliked: str
):
    assume(disliked not in {one.ref for one in entries})
    one = find_interests(entries, MANY, HALF_LIFE_S)
    disliking = entry(disliked, weight=-2.0, at=entries[-1].timestamp)
    assert_same(one, find_interests([*entries, disliking], MANY, HALF_LIFE_S))


def test_two_opposite_things_have_vectors_of_unit_length():
    row = VECTORS["item:a"]
    for interest in found_in({"item:a": row, "item:b": -row}):
        assert float(np.linalg.norm(interest.vector)) == pytest.approx(1.0, abs=1e-5)


def assert_same(one: Sequence[Interest], other: Sequence[Interest]) -> None:
    assert [interest.key for interest in one] == [interest.key for interest in other]
    assert [i.share for i in one] == pytest.approx([i.share for i in other])
    for left, right in zip(one, other, strict=True):
        assert np.array_equal(left.vector, right.vector)
