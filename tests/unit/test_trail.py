"""The trail: what a user took up, in the order of the log."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise

import pytest
from domain_cases import NOBODY, RULES, VECTORS, arriving, event, folded, histories, retraction
from hypothesis import given
from hypothesis import strategies as st

from indexer.domain.events import DEFAULT_WEIGHTS, Event
from indexer.domain.fold import fold
from indexer.domain.trail import (
    TRAIL_MAX,
    Step,
    advance,
    newest_first,
    step_of,
    trail_of,
    without,
)

long_histories = histories(most=40)


def trail(*events: Event) -> tuple[Step, ...]:
    return trail_of(events, DEFAULT_WEIGHTS)


def items(steps: tuple[Step, ...]) -> str:
    return "".join(step.item_id for step in steps)


def viewed(item_ids: str) -> tuple[Step, ...]:
    """Return the trail of someone who viewed these items of one letter each."""
    return trail(*(event(f"e{n}", "view", item_id=item) for n, item in enumerate(item_ids)))


# Steps


@pytest.mark.parametrize(
    ("kind", "strength"), [("view", 0.5), ("click", 1.0), ("add_to_cart", 1.0), ("purchase", 1.0)]
)
def test_a_step_is_as_strong_as_its_event_and_at_most_one(kind: str, strength: float):
    step = step_of(event("e1", kind, at=7.0, item_id="a"), DEFAULT_WEIGHTS)
    assert step == Step(7.0, "a", strength)


@pytest.mark.parametrize(
    ("value", "strength"), [(1.0, 0.5), (2.0, 0.5), (3.0, 0.5), (3.5, 0.5), (4.0, 1.0), (5.0, 1.0)]
)
def test_what_was_rated_low_was_taken_up_and_is_half_a_step(value: float, strength: float):
    step = step_of(event("e1", "rate", value=value), DEFAULT_WEIGHTS)
    assert step is not None
    assert step.strength == strength


@pytest.mark.parametrize(
    "no_step",
    [
        event("e1", "search", query="tea"),
        event("e1", "retract", retracts="e0", item_id="a"),
        event("e1", "dislike"),
        event("e1", "share"),
    ],
    ids=lambda one: one.event_type,
)
def test_what_takes_nothing_up_is_no_step(no_step: Event):
    assert step_of(no_step, DEFAULT_WEIGHTS) is None


@given(long_histories)
def test_strengths_are_above_nothing_and_at_most_one(events: list[Event]):
    assert all(0.0 < step.strength <= 1.0 for step in trail(*events))


# Trails


def test_the_same_item_again_and_again_is_one_step_as_strong_as_the_strongest():
    kinds = ["view", "purchase", "view"]
    steps = trail(*(event(f"e{n}", kind, at=float(n)) for n, kind in enumerate(kinds)))
    assert steps == (Step(2.0, "a", 1.0),)


def test_an_item_that_is_come_back_to_is_another_step():
    assert items(viewed("aabba")) == "aba"


def test_a_dislike_takes_all_steps_of_its_item_back():
    steps = viewed("abac")
    assert items(advance(steps, event("e9", "dislike", item_id="a"), DEFAULT_WEIGHTS)) == "bc"


def test_a_dislike_of_what_was_never_taken_up_changes_nothing():
    steps = viewed("ab")
    assert advance(steps, event("e9", "dislike", item_id="c"), DEFAULT_WEIGHTS) == steps


@pytest.mark.parametrize("kind", ["search", "share"])
def test_an_event_that_is_no_step_changes_nothing(kind: str):
    steps = viewed("ab")
    assert advance(steps, event("e9", kind, query="tea"), DEFAULT_WEIGHTS) == steps


def test_an_item_taken_back_can_be_taken_up_again():
    events = [event("e1"), event("e2", "dislike"), event("e3", at=3.0)]
    assert trail(*events) == (Step(3.0, "a", 1.0),)


def test_a_trail_without_an_item_keeps_the_order_of_the_rest():
    assert items(without(viewed("abcab"), "a")) == "bcb"
    assert without(viewed("ab"), "c") == viewed("ab")


def test_the_trail_keeps_the_newest_hundred_steps():
    steps = trail(*(event(f"e{n}", at=float(n), item_id=f"i{n}") for n in range(250)))
    assert len(steps) == TRAIL_MAX == 100
    assert [step.item_id for step in steps] == [f"i{n}" for n in range(150, 250)]


def test_a_full_trail_loses_no_step_to_one_that_is_repeated():
    steps = trail(*(event(f"e{n}", "view", item_id=f"i{n}") for n in range(100)))
    again = advance(steps, event("again", item_id="i99"), DEFAULT_WEIGHTS)
    assert (len(again), again[0].item_id) == (100, "i0")


@given(long_histories)
def test_without_dislikes_no_two_neighbouring_steps_are_of_one_item(events: list[Event]):
    liked = [one for one in events if one.event_type != "dislike"]
    steps = trail(*liked)
    assert all(one.item_id != other.item_id for one, other in pairwise(steps))


@given(long_histories)
def test_a_trail_follows_the_order_of_the_log_whatever_the_timestamps_say(events: list[Event]):
    liked = [one for one in events if step_of(one, DEFAULT_WEIGHTS) is not None]
    runs = [
        one.item_id
        for n, one in enumerate(liked)
        if n + 1 == len(liked) or liked[n + 1].item_id != one.item_id
    ]
    assert [step.item_id for step in trail(*liked)] == runs


# Retractions, and the same trail from the log and from the fold


@given(long_histories)
def test_a_trail_is_made_event_by_event_or_all_at_once(events: list[Event]):
    one_by_one: tuple[Step, ...] = reduce(
        lambda steps, one: advance(steps, one, DEFAULT_WEIGHTS), events, ()
    )
    assert trail(*events) == one_by_one


@given(st.data(), histories(most=20))
def test_what_is_retracted_leaves_no_trace_in_the_trail_of_a_log(
    data: st.DataObject, events: list[Event]
):
    undone = data.draw(st.sets(st.sampled_from([one.event_id for one in events])))
    order = data.draw(st.permutations([*events, *map(retraction, sorted(undone))]))
    kept = [one for one in order if one.event_id not in undone]
    assert trail(*order) == trail(*kept)


@given(st.data(), long_histories)
def test_the_fold_keeps_the_trail_of_its_events_in_log_order(
    data: st.DataObject, events: list[Event]
):
    state = folded(events, batch_max=data.draw(st.integers(1, len(events))))
    assert state.trail == trail(*events)


@given(long_histories)
def test_the_trail_does_not_wait_for_vectors(events: list[Event]):
    assert folded(events, vectors={}).trail == trail(*events)


@given(st.data(), long_histories)
def test_a_replayed_prefix_gives_the_same_trail(data: st.DataObject, events: list[Event]):
    arrivals = arriving(events)
    cut = data.draw(st.integers(0, len(arrivals)))
    back = data.draw(st.integers(0, cut))
    half = fold(NOBODY, arrivals[:cut], VECTORS, RULES)
    resumed = fold(half, arrivals[back:], VECTORS, RULES)
    assert resumed.trail == trail(*events)
    assert fold(resumed, arrivals[:cut], VECTORS, RULES).trail == resumed.trail


def test_an_event_that_comes_twice_is_one_step_of_the_fold():
    first, second = event("e1", item_id="a"), event("e2", item_id="b")
    assert items(folded([first, second, first]).trail) == "ab"


def test_the_fold_takes_back_the_step_of_what_is_retracted():
    events = [event("e1", item_id="a"), event("e2", item_id="b"), retraction("e1")]
    assert items(folded(events).trail) == "b"
    assert items(folded(events, batch_max=1).trail) == "b"


def test_the_fold_adds_no_step_for_what_was_retracted_before():
    assert folded([retraction("e1"), event("e1")]).trail == ()


def test_the_fold_keeps_the_newest_hundred_steps():
    events = [event(f"e{n}", at=float(n), item_id=f"i{n}") for n in range(150)]
    assert folded(events, batch_max=40).trail == trail(*events)


# Newest first


def test_each_item_is_given_once_where_it_was_taken_up_last():
    assert "".join(step.item_id for step in newest_first(viewed("abacb"))) == "bca"


@given(long_histories, st.integers(0, 6))
def test_the_newest_items_are_distinct_and_in_order(events: list[Event], most: int):
    steps = trail(*events)
    given_out = list(newest_first(steps, most))
    everything = list(newest_first(steps))
    assert given_out == everything[:most]
    assert {step.item_id for step in everything} == {step.item_id for step in steps}
    assert len({step.item_id for step in everything}) == len(everything)
    last = {step.item_id: n for n, step in enumerate(steps)}
    places = [last[step.item_id] for step in everything]
    assert places == sorted(places, reverse=True)
    assert everything == [steps[place] for place in places]
