"""What is learnt from, and what is asked."""

from __future__ import annotations

from itertools import pairwise

from evaluate_cases import dataset, event
from hypothesis import given
from hypothesis import strategies as st

from indexer.domain.events import Event
from recsvc.evaluate.datasets import Dataset
from recsvc.evaluate.splits import baskets, last_out, time_split

USERS, ITEMS = ("a", "b", "c"), [f"i{place}" for place in range(25)]


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Draw a log of few users, with baskets, repeated items, clicks and searches."""
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from(USERS),
                st.sampled_from(ITEMS),
                st.integers(0, 40),
                st.sampled_from(("purchase", "purchase", "purchase", "click", "search")),
            ),
            max_size=90,
        )
    )
    events = [
        event(user, None if kind == "search" else item, float(at), kind)
        for user, item, at, kind in rows
    ]
    return dataset(sorted(events, key=lambda one: (one.timestamp, one.user_id)), len(ITEMS))


def touched(data: Dataset, places: list[int], user_id: str) -> set[str | None]:
    return {data.events[i].item_id for i in places if data.events[i].user_id == user_id}


def bought(user: str, *items: str, start: float = 0.0) -> list[Event]:
    return [event(user, item, start + at) for at, item in enumerate(items)]


# Last


def test_the_last_fifth_of_the_positives_is_asked():
    data = dataset(bought("a", *ITEMS[:10]))
    (case,) = last_out(data).cases
    assert (case.relevant, case.known, case.at) == (("i8", "i9"), 8, 8.0)


def test_at_most_ten_are_asked():
    data = dataset([event("a", f"i{place}", float(place)) for place in range(100)])
    assert len(last_out(data).cases[0].relevant) == 10


def test_a_user_with_too_few_positives_is_learnt_from_as_a_whole():
    split = last_out(dataset(bought("a", *ITEMS[:5])))
    assert (split.cases, split.train) == ((), (0, 1, 2, 3, 4))


def test_what_was_touched_before_is_no_right_answer():
    data = dataset([event("a", "i6", -1.0, "click"), *bought("a", *ITEMS[:5], "i5", "i0", "i6")])
    assert last_out(data).cases == ()
    assert len(last_out(data).train) == len(data.events)


@given(datasets())
def test_nothing_of_a_user_from_the_first_question_on_is_learnt_from(data: Dataset):
    split = last_out(data)
    for case in split.cases:
        own = [data.events[i] for i in split.train if data.events[i].user_id == case.user_id]
        assert all(one.timestamp <= case.at for one in own)
        assert sum(map(data.is_positive, own)) == case.known >= 5
        assert not touched(data, list(split.train), case.user_id) & set(case.relevant)
        assert 1 <= len(set(case.relevant)) == len(case.relevant) <= 10


@given(datasets())
def test_all_of_those_who_are_not_asked_is_learnt_from_in_order(data: Dataset):
    split = last_out(data)
    asked = {case.user_id for case in split.cases}
    others = {i for i, one in enumerate(data.events) if one.user_id not in asked}
    assert others <= set(split.train)
    assert list(split.train) == sorted(split.train)


# Time


def test_the_first_four_fifths_are_learnt_from():
    data = dataset([*bought("a", *ITEMS[:8]), *bought("a", "i8", "i0", start=10.0)])
    split = time_split(data)
    assert split.train == tuple(range(8))
    assert [(case.relevant, case.known, case.at) for case in split.cases] == [(("i8",), 8, 10.0)]


@given(datasets())
def test_nothing_is_asked_that_its_user_touched_before_the_cut(data: Dataset):
    split = time_split(data)
    for case in split.cases:
        assert case.known >= 5
        assert not touched(data, list(split.train), case.user_id) & set(case.relevant)
        assert touched(data, list(range(len(split.train), len(data.events))), case.user_id) >= set(
            case.relevant
        )


# Baskets


def test_a_basket_is_asked_at_once():
    first = bought("a", "i0", "i1")
    basket = [event("a", item, 5.0) for item in ("i2", "i1", "i3")]
    stream = baskets(dataset([*first, *basket]))
    assert [(unit.start, unit.stop) for unit in stream.units] == [(1, 2), (2, 5)]
    assert stream.units[1].case.relevant == ("i2", "i3")
    assert stream.units[1].case.known == 2


def test_a_users_first_basket_is_not_asked():
    stream = baskets(dataset([*bought("a", "i0"), *bought("b", "i1", start=9.0)]), 0.0)
    assert stream.units == ()


def test_the_warm_up_is_not_asked():
    stream = baskets(dataset(bought("a", *ITEMS[:10])), 0.5)
    assert (stream.start, stream.units[0].start) == (5, 5)


@given(datasets())
def test_no_unit_asks_for_what_its_user_touched_before_it(data: Dataset):
    stream = baskets(data)
    for unit in stream.units:
        before = list(range(unit.start))
        assert unit.start >= stream.start
        assert touched(data, before, unit.case.user_id)
        assert not touched(data, before, unit.case.user_id) & set(unit.case.relevant)
        own = data.events[unit.start : unit.stop]
        assert {(one.user_id, one.timestamp) for one in own} == {(unit.case.user_id, unit.case.at)}


@given(datasets())
def test_no_basket_is_in_two_units(data: Dataset):
    units = baskets(data).units
    assert all(a.stop <= b.start for a, b in pairwise(units))
    moments = [(unit.case.user_id, unit.case.at) for unit in units]
    assert len(set(moments)) == len(moments)
