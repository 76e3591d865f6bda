"""Files made into a data set."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluate_cases import dataset, event

from indexer.errors import InvalidInput
from recsvc.evaluate.datasets import Dataset, coded, known, load_dataset

BOOKS = [{"item_id": name, "features": {"title": name}} for name in ("p", "q")]


def took(user: str = "a", item: str = "p", kind: str = "purchase", **fields: Any) -> dict[str, Any]:
    return {"user_id": user, "event_type": kind, "item_id": item, **fields}


def loaded(folder: Path, *events: dict[str, Any]) -> Dataset:
    paths = folder / "items.jsonl", folder / "events.jsonl"
    for path, rows in zip(paths, (BOOKS, events), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_dataset(*paths)


def test_the_shipped_books_can_be_loaded():
    assert [path.exists() for path in known("goodbooks")] == [True, True]


def test_an_unknown_name_is_answered_with_those_there_are():
    with pytest.raises(InvalidInput, match="'films' is shipped; there is: goodbooks"):
        known("films")


def test_events_are_in_order_of_time(tmp_path: Path):
    data = loaded(tmp_path, took(timestamp=30), took(timestamp=10, item="q"), took(timestamp=20))
    assert [one.timestamp for one in data.events] == [10.0, 20.0, 30.0]
    assert [one.event_id for one in data.events] == ["e2", "e3", "e1"]


def test_events_without_a_time_keep_their_order_a_minute_apart(tmp_path: Path):
    data = loaded(tmp_path, took("b"), took("a"), took("b", "q"))
    assert [one.timestamp for one in data.events] == [1e9, 1e9 + 60.0, 1e9 + 120.0]
    assert [one.user_id for one in data.events] == ["b", "a", "b"]


def test_one_moment_of_two_users_is_two_baskets(tmp_path: Path):
    rows = [took(user, item, timestamp=5) for user, item in ("bp", "ap", "bq", "aq")]
    data = loaded(tmp_path, *rows)
    assert [one.user_id for one in data.events] == ["b", "b", "a", "a"]
    assert [one.item_id for one in data.events] == ["p", "q", "p", "q"]


def test_events_of_other_items_are_dropped_and_counted(tmp_path: Path):
    search = {"user_id": "a", "event_type": "search", "query": "tea"}
    retract = {"user_id": "a", "event_type": "retract", "retracts": "e1"}
    data = loaded(tmp_path, took(), took(item="gone"), search, retract)
    assert ([one.event_type for one in data.events], data.dropped) == (["purchase", "search"], 2)


def test_an_event_that_is_there_twice_counts_once(tmp_path: Path):
    data = loaded(tmp_path, took(event_id="x"), took(event_id="x"), took("b", event_id="x"))
    assert (len(data.events), data.dropped) == (2, 1)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"user_id": "a", "event_type": "purchase"}, "purchase needs item_id"),
        (took(kind="teleport"), "'teleport' has no weight"),
        (took(value=9), "value"),
    ],
)
def test_a_refused_row_is_named(tmp_path: Path, row: dict[str, Any], reason: str):
    with pytest.raises(InvalidInput, match=rf"events\.jsonl\.2\b.*{reason}"):
        loaded(tmp_path, took(), row)


def test_a_row_that_is_no_json_is_named(tmp_path: Path):
    (tmp_path / "items.csv").write_text("item_id,title\np,Tea\n")
    (tmp_path / "events.jsonl").write_text("{\n")
    with pytest.raises(InvalidInput, match=r"events\.jsonl\.1: not JSON"):
        load_dataset(tmp_path / "items.csv", tmp_path / "events.jsonl")


def test_tables_and_gzip_are_read_too(tmp_path: Path):
    (tmp_path / "items.csv").write_text("item_id,title\np,Tea\n")
    with gzip.open(tmp_path / "events.tsv.gz", "wt") as file:
        file.write("user_id\tevent_type\titem_id\tvalue\na\trate\tp\t5\n")
    data = load_dataset(tmp_path / "items.csv", tmp_path / "events.tsv.gz")
    assert (data.items[0].features, data.events[0].value) == ({"title": "Tea"}, 5.0)


def test_nothing_of_use_is_refused(tmp_path: Path):
    with pytest.raises(InvalidInput, match="no event of an item"):
        loaded(tmp_path, took(item="gone"))


# Positive


def test_purchases_and_good_ratings_are_positive():
    rows = [
        event("a", "p", 1.0), event("a", "p", 2.0, "rate", 4.0), event("a", "p", 3.0, "rate", 3.5),
        event("a", "p", 4.0, "click"), event("a", None, 5.0, "search"),
    ]  # fmt: skip
    data = dataset(rows)
    assert [data.is_positive(one) for one in rows] == [True, True, False, False, False]


def test_without_these_anything_with_a_positive_weight_is(tmp_path: Path):
    data = loaded(tmp_path, took(kind="view"), took(kind="dislike"))
    assert [data.is_positive(one) for one in data.events] == [True, False]
    assert not data.is_positive(event("a", None, 1.0, "search"))


# Arrays


def test_arrays_number_users_and_items():
    rows = [event("b", "q", 1.0), event("a", "p", 2.0, "click"), event("b", None, 3.0, "search")]
    arrays = coded(dataset(rows))
    assert (arrays.user_ids, arrays.item_ids) == (("b", "a"), ("p", "q"))
    assert (arrays.users.tolist(), arrays.items.tolist()) == ([0, 1, 0], [1, 0, -1])
    assert (arrays.positive.tolist(), arrays.timestamps.tolist()) == (
        [True, False, False],
        [1.0, 2.0, 3.0],
    )
    dtypes = [arrays.users.dtype, arrays.items.dtype, arrays.timestamps.dtype]
    assert dtypes == [np.int32, np.int32, np.float64]


def test_a_part_keeps_the_numbers():
    rows = [event("b", "q", 1.0), event("a", "p", 2.0)]
    part = coded(dataset(rows)).take(slice(1, 2))
    assert (part.users.tolist(), part.items.tolist(), part.user_ids) == ([1], [0], ("b", "a"))
