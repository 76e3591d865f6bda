"""What waits to be told to other processes, and how it is written."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.changes.messages import MESSAGE_BYTES_MAX, Outbox, decode, encode
from indexer.ports import Applied, Change, EventFailed, ItemsChange, ProfileChange, UserChange

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.integers(0, 2**63 - 1)
names = st.lists(texts, max_size=3).map(tuple)
users = st.builds(UserChange, st.just("t"), st.sampled_from("uvw"), st.integers(0, 9))
applied = st.builds(
    Applied,
    st.sampled_from(["events", "items", "pairs"]),
    st.dictionaries(st.integers(0, 2), st.integers(1, 99), max_size=3),
)
changes = st.one_of(
    users,
    applied,
    st.builds(UserChange, texts, texts, numbers),
    st.builds(ProfileChange, texts, texts),
    st.builds(ItemsChange, texts, names, names),
    st.builds(EventFailed, texts, texts, texts, texts),
    st.builds(Applied, st.just("events"), st.dictionaries(numbers, numbers, max_size=3)),
)
documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(0, 1), texts)
    | st.sampled_from(["user", "profile", "items", "failed", "applied", "events"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


def filled(most: int, *published: Change) -> tuple[Outbox, int]:
    outbox = Outbox(most)
    return outbox, sum(outbox.add(change) for change in published)


def items(*item_ids: str) -> ItemsChange:
    return ItemsChange("t", item_ids)


# messages


@given(st.lists(changes, max_size=5))
def test_changes_come_back_as_they_were(sent: list[Change]):
    assert decode(encode("a", sent), own="b") == sent


@given(st.lists(changes, max_size=5))
def test_ones_own_message_says_nothing(sent: list[Change]):
    assert decode(encode("a", sent), own="a") == []


@given(st.binary(max_size=50))
def test_what_is_no_json_is_refused(body: bytes):
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        decode(body, own="b")


@given(documents)
def test_json_is_a_list_of_changes_or_refused(document: Any):
    for body in (document, [1, "a", document], [1, "a", [document]]):
        try:
            read = decode(orjson.dumps(body), own="b")
        except ValueError:
            continue
        assert all(isinstance(change, Change) for change in read)


@pytest.mark.parametrize(
    "document",
    [
        ["user", "t", "u"],
        ["user", "t", "u", "1"],
        ["user", "t", None, 1],
        ["items", "t", ["i", 1], []],
        ["items", "t", "i", []],
        ["failed", "t", "u", "e", {}],
        ["applied", "orders", [[0, 1]]],
        ["applied", "events", [[0]]],
        ["applied", "events", {"0": 1}],
        ["forgotten", "t"],
    ],
)
def test_what_is_no_change_is_refused(document: Any):
    with pytest.raises(ValueError, match="no "):
        decode(orjson.dumps([1, "a", [document]]), own="b")


def test_a_message_of_another_format_is_refused():
    with pytest.raises(ValueError, match="format"):
        decode(orjson.dumps([2, "a", []]), own="b")


def test_a_message_too_long_is_refused_unread():
    with pytest.raises(ValueError, match="bytes"):
        decode(b" " * MESSAGE_BYTES_MAX + b"x", own="b")


def test_a_message_nested_deep_is_refused():
    with pytest.raises(ValueError, match="depth"):
        decode(b"[" * 100_000, own="b")


def test_a_reason_is_cut_and_made_writable():
    told = EventFailed("t", "u", "e", "\udc80" + "x" * 9_999)
    (read,) = decode(encode("a", [told]), own="b")
    assert isinstance(read, EventFailed)
    assert read.reason == "?" + "x" * 499


# what waits


def test_changes_are_taken_in_the_order_they_were_published():
    published = [UserChange("t", "u", 1), items("i"), EventFailed("t", "u", "e", "x"), items("j")]
    outbox, _ = filled(100, *published)
    assert len(outbox) == 4
    assert outbox.take(100) == published
    assert outbox.take(100) == []


def test_of_a_users_versions_only_the_newest_waits():
    versions = [UserChange("t", "u", version) for version in (3, 5, 4)]
    outbox, _ = filled(100, *versions, UserChange("s", "u", 1))
    assert outbox.take(100) == [UserChange("t", "u", 5), UserChange("s", "u", 1)]


def test_what_is_applied_waits_as_the_furthest_of_each_partition():
    outbox, _ = filled(
        100,
        Applied("events", {0: 5, 1: 7}),
        Applied("items", {0: 1}),
        Applied("events", {0: 6, 2: 1}),
        Applied("events", {1: 3}),
    )
    assert outbox.take(100) == [Applied("items", {0: 1}), Applied("events", {0: 6, 1: 7, 2: 1})]


def test_a_users_change_is_not_told_after_what_is_applied_with_it():
    outbox, _ = filled(
        100,
        UserChange("t", "u", 1),
        Applied("events", {0: 1}),
        UserChange("t", "u", 2),
        UserChange("t", "v", 1),
        Applied("events", {0: 3}),
    )
    assert outbox.take(100) == [
        UserChange("t", "u", 2),
        UserChange("t", "v", 1),
        Applied("events", {0: 3}),
    ]


def test_an_erasure_is_told_between_what_was_before_and_what_comes_after():
    outbox, _ = filled(100, *(UserChange("t", "u", version) for version in (8, 0, 1, 2)))
    assert outbox.take(100) == [UserChange("t", "u", 0), UserChange("t", "u", 2)]
    outbox, _ = filled(100, *(UserChange("t", "u", version) for version in (0, 3, 0)))
    assert outbox.take(100) == [UserChange("t", "u", 0)]


def test_beyond_the_bound_the_oldest_go_and_are_told():
    outbox, dropped = filled(10, *(UserChange("t", f"u{n}", 1) for n in range(25)))
    assert dropped == 15
    assert outbox.take(100) == [UserChange("t", f"u{n}", 1) for n in range(15, 25)]


def test_the_bound_counts_the_items_of_a_change():
    outbox, dropped = filled(10, items("a", "b", "c"), items("d", "e", "f"), items(*"ghijk"))
    assert dropped == 1
    assert outbox.take(100) == [items("d", "e", "f"), items(*"ghijk")]


def test_one_change_beyond_the_bound_still_waits():
    outbox, dropped = filled(2, items("a"), items("b", "c", "d"))
    assert dropped == 1
    assert outbox.take(1) == [items("b", "c", "d")]


def test_a_share_is_of_so_many_names_or_one_change():
    outbox, _ = filled(100, items("a", "b"), items("c"), items("d", "e", "f", "g"), items("h"))
    assert outbox.take(3) == [items("a", "b"), items("c")]
    assert outbox.take(3) == [items("d", "e", "f", "g")]
    assert outbox.take(3) == [items("h")]


@given(st.lists(st.one_of(users, applied), max_size=30), st.integers(1, 5))
def test_all_that_waits_ends_where_all_that_was_published_did(published: list[Change], most: int):
    outbox, dropped = filled(1_000, *published)
    told: list[Change] = []
    while share := outbox.take(most):
        told += share
    assert dropped == 0
    assert _outcome(told) == _outcome(published)


def _outcome(sequence: list[Change]) -> dict[Any, Any]:
    """Return the last version of each user since an erasure, and the furthest places."""
    outcome: dict[Any, Any] = {}
    for change in sequence:
        if isinstance(change, UserChange):
            key = change.tenant, change.user_id
            before = outcome.get(key, 0)
            outcome[key] = max(before, change.version) if change.version else 0
        elif isinstance(change, Applied):
            for place, offset in change.position.items():
                key = change.channel, place
                outcome[key] = max(offset, outcome.get(key, 0))
    return outcome
