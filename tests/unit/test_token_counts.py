"""How many tokens a text has, and a reply says it used."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.provider.tokens import estimate, used

SENT = 77

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
names = st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens"])


def chat(*contents: object, **usage: object) -> dict[str, Any]:
    choices = [{"message": {"content": content}} for content in contents]
    return {"choices": choices, "usage": usage} if usage else {"choices": choices}


@pytest.mark.parametrize(
    ("text", "least"), [("", 1), ("a", 1), ("tea", 1), ("the quick brown fox", 5), ("日本語", 3)]
)
def test_an_estimate_is_rather_too_many(text: str, least: int):
    assert least <= estimate(text) <= len(text.encode()) + 1


@given(st.text(), st.text())
def test_a_longer_text_is_never_estimated_at_less(one: str, other: str):
    assert 1 <= estimate(one) <= estimate(one + other) <= estimate(one) + estimate(other)


def test_half_of_a_surrogate_pair_has_an_estimate():
    assert estimate("\ud83d") == 1


def test_a_bill_is_taken_as_it_is():
    bill = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    assert used(chat("a longer answer than three tokens", **bill), SENT) == (12, 3)
    assert used({"usage": {"prompt_tokens": 12, "total_tokens": 12}}, SENT) == (12, 0)
    assert used({"usage": {"prompt_tokens": 0, "completion_tokens": 0}}, SENT) == (0, 0)


@pytest.mark.parametrize("usage", [None, [], "12", 12, True, {}, {"tokens": 5}])
def test_a_bill_that_is_left_out_is_not_free(usage: object):
    reply = {**chat("tea for two"), "usage": usage}
    assert used(reply, SENT) == (SENT, estimate("tea for two"))


def test_all_answers_of_a_reply_are_estimated():
    assert used(chat("tea", "for two"), SENT)[1] == estimate("tea") + estimate("for two")


def test_a_total_alone_tells_what_was_sent():
    assert used({"usage": {"total_tokens": 9}}, SENT) == (9, 0)
    assert used(chat("tea", total_tokens=9), SENT) == (9 - estimate("tea"), estimate("tea"))
    assert used({"usage": {"total_tokens": 9, "completion_tokens": 4}}, SENT) == (5, 4)


def test_a_total_smaller_than_its_part_is_no_negative_bill():
    assert used({"usage": {"total_tokens": 3, "completion_tokens": 9}}, SENT) == (0, 9)


@pytest.mark.parametrize(
    "count", [-1, 2**40, 10**30, 1.5, float("nan"), True, "12", None, [12], {"value": 12}]
)
def test_a_count_that_is_none_is_as_good_as_left_out(count: object):
    assert used({"usage": {"prompt_tokens": count}}, SENT) == (SENT, 0)
    assert used(chat("tea", completion_tokens=count), SENT) == (SENT, estimate("tea"))
    assert used({"usage": {"total_tokens": count}}, SENT) == (SENT, 0)


@pytest.mark.parametrize(
    "choices",
    [
        None,
        "tea",
        {"message": {"content": "tea"}},
        [None, 1, "tea", []],
        [{}],
        [{"message": None}],
        [{"message": "tea"}],
        [{"message": {"content": None}}],
        [{"message": {"content": ["tea"]}}],
        [{"text": "tea"}],
    ],
)
def test_an_answer_of_another_shape_breaks_nothing(choices: object):
    assert used({"choices": choices}, SENT) == (SENT, 0)


@given(
    st.fixed_dictionaries(
        {}, optional={"usage": st.dictionaries(names, json) | json, "choices": json}
    )
)
def test_whatever_a_reply_holds_counts_are_whole_and_never_negative(reply: dict[str, Any]):
    for count in used(reply, SENT):
        assert type(count) is int
        assert 0 <= count < 2**41
