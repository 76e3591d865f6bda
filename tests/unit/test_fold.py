"""The fold: the same user whatever the order, the batches and the repetitions of what came in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from domain_cases import (
    DAY_S,
    NOBODY,
    RULES,
    VECTORS,
    arriving,
    assert_same_sum,
    assert_same_taste,
    event,
    folded,
    histories,
    retraction,
)
from hypothesis import given
from hypothesis import strategies as st

from indexer.domain.events import DEFAULT_WEIGHTS, Event, item_ref, signed_weight, text_ref
from indexer.domain.fold import Arrival, fold, resolve
from indexer.domain.state import UserState

FEW = replace(RULES, window_max=3, seen_max=2, waiting_max=4)


def books_of(state: UserState) -> dict[str, object]:
    """Return what a state counts and remembers, all of which must be exact."""
    return {
        "event_count": state.event_count,
        "positives": state.positives,
        "counts": dict(state.counts),
        "window": state.window,
        "waiting": dict(state.waiting),
        "seen": dict(state.seen),
    }


# Order


@given(st.data(), histories())
def test_every_order_of_arrival_gives_the_same_user(data: st.DataObject, events: list[Event]):
    shuffled = data.draw(st.permutations(events))
    batch_max = data.draw(st.integers(1, len(events)))
    in_time = folded(sorted(events, key=lambda one: one.timestamp))
    late = folded(shuffled, batch_max=batch_max)
    assert books_of(late) == books_of(in_time)
    assert_same_taste(late, in_time)


@given(st.data(), histories(most=16))
def test_the_bounded_memories_do_not_depend_on_the_order(data: st.DataObject, events: list[Event]):
    shuffled = data.draw(st.permutations(events))
    once, one_by_one = folded(events, rules=FEW), folded(shuffled, rules=FEW, batch_max=1)
    assert one_by_one.window == once.window
    assert one_by_one.seen == once.seen


def test_a_late_event_folds_exactly_as_if_it_had_come_in_time():
    old = event("old", "purchase", at=0.0, item_id="a")
    new = event("new", "click", at=3 * DAY_S, item_id="b")
    assert_same_taste(folded([new, old], batch_max=1), folded([old, new]))


def test_a_late_event_counts_with_the_decay_it_would_have_had():
    state = folded([event("new", at=DAY_S, item_id="b"), event("old", at=0.0, item_id="a")])
    expected = 0.5 * VECTORS["item:a"] + VECTORS["item:b"]
    assert state.short.vector == pytest.approx(expected, abs=1e-6)
    assert state.short.mass == pytest.approx(1.5)


def test_a_neutral_rating_leaves_the_taste_of_a_late_event_as_it_is():
    neutral = event("neutral", "rate", at=40 * DAY_S, item_id="b", value=3.0)
    old = event("old", at=0.0, item_id="a")
    one, other = folded([neutral, old], batch_max=1), folded([old, neutral], batch_max=1)
    assert_same_sum(one.long, other.long)
    assert_same_sum(one.short, other.short)
    assert one.has_taste
    assert other.has_taste


@pytest.mark.parametrize("gap_days", [1, 100, 1_100, 40_000])
def test_a_sum_that_has_decayed_to_nothing_is_cancelled(gap_days: int):
    neutral = event("neutral", "rate", at=gap_days * DAY_S, item_id="b", value=3.0)
    state = folded([event("old", at=0.0), neutral])
    short = state.short
    assert short.cancelled or float(np.linalg.norm(short.vector)) > 0.0
    assert state.long.cancelled or float(np.linalg.norm(state.long.vector)) > 0.0


# Repetition


@given(st.data(), histories())
def test_redelivery_of_any_prefix_changes_nothing(data: st.DataObject, events: list[Event]):
    arrivals = arriving(events)
    again = data.draw(st.integers(0, len(arrivals)))
    state = fold(NOBODY, arrivals, VECTORS, RULES)
    assert fold(state, arrivals[:again], VECTORS, RULES) == state


@given(st.data(), histories())
def test_a_crash_between_batches_loses_and_doubles_nothing(
    data: st.DataObject, events: list[Event]
):
    arrivals = arriving(events)
    cut = data.draw(st.integers(0, len(arrivals)))
    back = data.draw(st.integers(0, cut))
    half = fold(NOBODY, arrivals[:cut], VECTORS, RULES)
    resumed = fold(half, arrivals[back:], VECTORS, RULES)
    straight = fold(NOBODY, arrivals, VECTORS, RULES)
    assert books_of(resumed) == books_of(straight)
    assert (resumed.version, resumed.offset) == (straight.version, straight.offset)
    assert_same_taste(resumed, straight)


@given(st.data(), histories())
def test_an_event_id_counts_once_within_the_window(data: st.DataObject, events: list[Event]):
    repeats = data.draw(st.lists(st.sampled_from(events), max_size=6))
    state = folded([*events, *repeats], batch_max=data.draw(st.integers(1, 20)))
    once = folded(events)
    assert books_of(state) == books_of(once)
    assert_same_taste(state, once)


def test_an_event_id_counts_once_while_its_event_waits():
    state = folded([event("e1"), event("e1")], vectors={}, batch_max=1)
    assert state.event_count == 1
    assert list(state.waiting) == ["e1"]


def test_an_id_that_a_caller_chose_counts_once_long_after_it_has_left_the_window():
    chosen = replace(event("chosen", item_id="a"), fingerprint="f")
    since = [event(f"e{n}", item_id="b", at=n + 1.0) for n in range(100)]
    assert folded([chosen, *since, chosen], batch_max=1).event_count == 101
    made_up = replace(chosen, fingerprint="")
    assert folded([made_up, *since, made_up], batch_max=1).event_count == 102


def test_the_newest_ids_that_callers_chose_are_remembered():
    events = [
        replace(event(f"e{n}", item_id="a", at=float(n)), fingerprint="f") for n in range(600)
    ]
    assert len(folded(events).ids) == 500
    assert folded([*events, events[150]], batch_max=1).event_count == 600
    assert folded([*events, events[50]], batch_max=1).event_count == 601


def test_the_version_and_the_offset_follow_the_log():
    state = fold(
        NOBODY, arriving([event("e1"), event("e1"), event("e2")], first=10), VECTORS, RULES
    )
    assert (state.version, state.offset) == (3, 12)


def test_folding_nothing_changes_nothing():
    state = folded([event("e1")])
    assert fold(state, [], VECTORS, RULES) == state


def test_the_state_before_is_left_as_it_was():
    before = folded([event("e1", item_id="a")])
    kept = replace(before, counts=dict(before.counts), seen=dict(before.seen))
    vector = before.long.vector.copy()
    fold(before, arriving([event("e2", at=DAY_S, item_id="b")], first=2), VECTORS, RULES)
    assert books_of(before) == books_of(kept)
    assert np.array_equal(before.long.vector, vector)


# Waiting for vectors


@given(st.data(), histories())
def test_a_vector_that_comes_later_gives_the_same_user(data: st.DataObject, events: list[Event]):
    there = data.draw(st.sets(st.sampled_from(sorted(VECTORS))))
    known = {ref: VECTORS[ref] for ref in there}
    waited = folded(events, vectors=known, batch_max=data.draw(st.integers(1, len(events))))
    assert {entry.ref for entry in waited.waiting.values()}.isdisjoint(there)
    late, in_time = resolve(waited, VECTORS, RULES), folded(events)
    assert books_of(late) == books_of(in_time)
    assert_same_taste(late, in_time)


def test_resolving_without_news_returns_the_very_state():
    state = folded([event("e1", item_id="unknown")])
    assert resolve(state, VECTORS, RULES) is state


def test_resolving_makes_a_new_version():
    state = folded([event("e1")], vectors={})
    assert resolve(state, VECTORS, RULES).version == state.version + 1


def test_a_waiting_event_is_counted_and_seen_but_is_no_taste():
    state = folded([event("e1", "purchase", item_id="a", at=5.0)], vectors={})
    assert state.event_count == 1
    assert state.counts == {"purchase": 1}
    assert state.seen == {"a": 5.0}
    assert not state.has_taste


def test_the_newest_events_wait_when_too_many_do():
    events = [event(f"e{n}", at=float(n)) for n in range(10)]
    state = folded(events, vectors={}, rules=FEW)
    assert sorted(state.waiting) == ["e6", "e7", "e8", "e9"]


def test_a_search_waits_for_its_text_whatever_its_case_and_spacing():
    state = folded([event("e1", "search", query="  Space   OPERA ")], vectors={})
    assert [entry.ref for entry in state.waiting.values()] == [text_ref("space opera")]


# Retraction


@given(st.data(), histories(span_days=5.0))
def test_a_retracted_event_never_was(data: st.DataObject, events: list[Event]):
    undone = data.draw(st.sets(st.sampled_from([one.event_id for one in events])))
    kept = [one for one in events if one.event_id not in undone]
    order = data.draw(st.permutations([*events, *map(retraction, sorted(undone))]))
    state = folded(order, batch_max=data.draw(st.integers(1, len(order))))
    expected = folded(kept)
    assert books_of(state) == books_of(expected)
    assert set(state.retracted) == undone
    newest = max(state.reference_s, expected.reference_s)
    everything = sum(abs(signed_weight(one, DEFAULT_WEIGHTS)) for one in events)
    for name, half_life_s in (
        ("long", RULES.half_life_long_s),
        ("short", RULES.half_life_short_s),
    ):
        one = getattr(state, name).at(newest - state.reference_s, half_life_s)
        other = getattr(expected, name).at(newest - expected.reference_s, half_life_s)
        assert_same_sum(one, other, mass=everything)


@given(histories(most=6))
def test_a_retracted_event_that_waits_never_was(events: list[Event]):
    waiting = folded(events, vectors={})
    target = events[0].event_id
    undone = fold(waiting, arriving([retraction(target)], first=100), VECTORS, RULES)
    assert target not in undone.waiting
    late, expected = resolve(undone, VECTORS, RULES), folded(events[1:])
    assert books_of(late) == books_of(expected)
    assert_same_taste(late, expected)


def test_a_retracted_event_gives_its_item_back_its_earlier_time():
    first, second = event("e1", at=1.0, item_id="a"), event("e2", at=9.0, item_id="a")
    assert folded([first, second, retraction("e2")]).seen == {"a": 1.0}


@pytest.mark.parametrize("gap_days", [1, 10, 18, 22, 27, 60])
def test_what_is_left_after_a_retraction_is_no_rounding_noise(gap_days: int):
    old = event("old", "view", at=0.0, item_id="a")
    new = event("new", "purchase", at=gap_days * DAY_S, item_id="b")
    short = folded([old, new, retraction("new")], batch_max=1).short
    if not short.cancelled:
        left = short.vector / np.linalg.norm(short.vector)
        assert float(left @ VECTORS["item:a"]) == pytest.approx(1.0, abs=1e-2)
    else:
        assert gap_days > 10


def test_a_retraction_reaches_events_that_have_left_the_window():
    first = event("first", "purchase", at=0.0, item_id="a")
    others = [event(f"e{n}", at=1.0 + n, item_id="b") for n in range(5)]
    state = folded([first, *others], rules=FEW)
    assert "first" not in {entry.event_id for entry in state.window}
    undo = Arrival(100, retraction("first"), original=(1, first))
    undone, expected = fold(state, [undo], VECTORS, FEW), folded(others, rules=FEW)
    assert undone.event_count == expected.event_count
    assert undone.counts == expected.counts
    assert_same_taste(undone, expected)


def test_an_event_is_retracted_once_however_often_that_is_said():
    once = folded([event("e1"), event("e2"), retraction("e1")])
    twice = folded([event("e1"), event("e2"), retraction("e1"), retraction("e1")])
    assert books_of(twice) == books_of(once)
    assert twice.retracted == ("e1",)
    assert_same_taste(twice, once)


def test_retracting_all_leaves_no_taste():
    state = folded([event("e1", "purchase"), retraction("e1")])
    assert not state.has_taste
    assert state.event_count == 0
    assert state.counts == {}
    assert state.seen == {}


def test_an_item_stays_seen_while_another_event_on_it_stands():
    state = folded([event("e1"), event("e2"), retraction("e1")])
    assert "a" in state.seen


# What events mean


@pytest.mark.parametrize(("value", "weight"), [(1, -2), (2, -1), (3, 0), (4, 1), (5, 2)])
def test_a_rating_counts_for_or_against_from_three_on(value: float, weight: float):
    state = folded([event("e1", "rate", value=float(value))])
    assert state.window[0].weight == weight
    assert state.has_taste == (weight > 0)
    assert state.long.mass == abs(weight)


def test_a_low_rating_points_away_from_its_item():
    state = folded([event("e1", "rate", value=1.0, item_id="a"), event("e2", item_id="b")])
    expected = VECTORS["item:b"] - 2.0 * VECTORS["item:a"]
    assert state.long.vector == pytest.approx(expected, abs=1e-6)


@given(histories(types=["dislike"]))
def test_dislikes_only_are_no_taste(events: list[Event]):
    assert not folded(events).has_taste


def test_likes_and_dislikes_that_cancel_out_are_no_taste():
    assert not folded([event("e1", "like"), event("e2", "dislike")]).has_taste


def test_a_type_without_a_weight_is_counted_but_is_no_taste():
    state = folded([event("e1", "share")])
    assert state.counts == {"share": 1}
    assert not state.has_taste


# Bounds


def test_the_window_keeps_the_newest_fifty_oldest_first():
    events = [event(f"e{n:03}", at=float(n)) for n in range(120)]
    state = folded(reversed(events), batch_max=7)
    assert [entry.event_id for entry in state.window] == [f"e{n:03}" for n in range(70, 120)]
    assert state.event_count == 120


def test_the_items_seen_last_are_remembered():
    events = [event(f"e{n}", at=float(n), item_id=f"i{n}") for n in range(9)]
    assert folded(events, rules=FEW).seen == {"i7": 7.0, "i8": 8.0}


def test_seeing_an_item_again_makes_it_the_newest():
    events = [event(f"e{n}", at=float(n), item_id=item) for n, item in enumerate("abca")]
    assert folded(events, rules=FEW).seen == {"a": 3.0, "c": 2.0}


def test_with_no_room_for_items_seen_none_is_remembered():
    assert folded([event("e1")], rules=replace(RULES, seen_max=0)).seen == {}


def test_the_newest_retractions_are_remembered():
    rules = replace(RULES, retracted_max=2)
    state = folded([retraction("e1"), retraction("e2"), retraction("e3")], rules=rules)
    assert state.retracted == ("e2", "e3")


def test_refs_tell_items_from_texts():
    assert event("e1", item_id="text:x").ref == item_ref("text:x") == "item:text:x"
    assert event("e2", "search", query="item:x").ref == text_ref("item:x") == "text:item:x"
    assert retraction("e1").ref is None
