"""One suite for every engine behind `VectorStore`."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import (
    CONTENT,
    HEAT,
    NEAR,
    UNSEARCHED,
    between,
    eq,
    exactly,
    has_id,
    make_point,
    numbers,
    one_of,
    pid,
    sparse,
    sparse_point,
    unit_vectors,
)
from numpy.typing import NDArray
from qdrant_client import models

from indexer.errors import StoreError
from indexer.ports import VectorStore
from indexer.stores.edge import EdgeStore
from indexer.stores.server import PACE_EVERY_S, ServerStore

pytestmark = pytest.mark.anyio

KEYWORD, FLOAT, INTEGER, BOOL = (
    models.PayloadSchemaType.KEYWORD,
    models.PayloadSchemaType.FLOAT,
    models.PayloadSchemaType.INTEGER,
    models.PayloadSchemaType.BOOL,
)
X = [1.0, 0, 0, 0, 0, 0, 0, 0]
SHELF = [
    {"tenant": "a", "category": "books", "tags": ["rust", "web"], "price": 5.0, "active": True},
    {"tenant": "a", "category": "books", "tags": ["rust"], "price": 10.0, "active": False},
    {"tenant": "a", "category": "toys", "tags": [], "price": 20.0, "active": True},
    {"tenant": "b", "category": "books", "tags": ["web"], "price": 40.0, "active": True},
    {"tenant": "b", "category": "games", "price": 80, "features": {"genre": ["rpg", "indie"]}},
    {"tenant": "b"},
]


def ladder(n: int) -> list[list[float]]:
    """Make ``n`` vectors, each further from X than the one before; n up to about 600."""
    angles = np.linspace(0.0, 1.5, n)
    return [[float(np.cos(a)), float(np.sin(a)), 0, 0, 0, 0, 0, 0] for a in angles]


async def fill_shelf(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    vectors = ladder(len(SHELF))
    points = [make_point(n, {"content": vectors[n]}, **SHELF[n]) for n in range(len(SHELF))]
    await store.upsert("items", points)


async def fill(store: VectorStore, vectors: NDArray[np.float32]) -> None:
    dim = vectors.shape[1]
    params = {"content": models.VectorParams(size=dim, distance=models.Distance.COSINE)}
    await store.create_collection("items", params)
    points = [make_point(n, {"content": row}, half=n % 2) for n, row in enumerate(vectors)]
    for start in range(0, len(points), 100):
        await store.upsert("items", points[start : start + 100])


# collections


async def test_a_collection_exists_from_its_creation_to_its_deletion(store: VectorStore) -> None:
    assert not await store.collection_exists("items")
    await store.create_collection("items", CONTENT)
    assert await store.collection_exists("items")
    await store.delete_collection("items")
    assert not await store.collection_exists("items")


async def test_a_deleted_collection_can_be_created_again_and_is_empty(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    await store.create_payload_index("items", "tenant", KEYWORD)
    await store.upsert("items", [make_point(1, {"content": X})])
    await store.delete_collection("items")
    await store.create_collection("items", CONTENT)
    assert await store.count("items") == 0
    assert await store.payload_indexes("items") == {}


async def test_creating_a_collection_twice_is_refused_and_harms_nothing(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    await store.upsert("items", [make_point(1, {"content": X})])
    with pytest.raises(StoreError):
        await store.create_collection("items", CONTENT)
    assert await store.count("items") == 1


async def test_the_vectors_of_a_collection_are_told_by_name(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    await store.create_collection(
        "users",
        {
            "long": models.VectorParams(size=8, distance=models.Distance.DOT),
            "short": models.VectorParams(size=3, distance=models.Distance.DOT),
        },
        hnsw_config=UNSEARCHED,
    )
    assert await store.vectors_of("items") == {"content": (8, models.Distance.COSINE)}
    assert await store.vectors_of("users") == {
        "long": (8, models.Distance.DOT),
        "short": (3, models.Distance.DOT),
    }


async def test_payload_indexes_are_told_with_their_kinds(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    assert await store.payload_indexes("items") == {}
    wanted = {"tenant": KEYWORD, "features.price": FLOAT, "stock": INTEGER, "pending": BOOL}
    for key, index in wanted.items():
        await store.create_payload_index("items", key, index)
    assert await store.payload_indexes("items") == wanted


async def test_creating_a_payload_index_twice_changes_nothing(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    await store.create_payload_index("items", "tenant", KEYWORD)
    await store.create_payload_index("items", "tenant", KEYWORD)
    assert await store.payload_indexes("items") == {"tenant": KEYWORD}


async def test_an_index_on_points_that_are_there_changes_no_answer(store: VectorStore) -> None:
    await fill_shelf(store)
    which = models.Filter(must=[eq("tenant", "a"), between("price", lte=10)])
    before = await store.query_points("items", X, using="content", query_filter=which)
    await store.create_payload_index("items", "tenant", KEYWORD)
    await store.create_payload_index("items", "price", FLOAT)
    after = await store.query_points("items", X, using="content", query_filter=which)
    assert numbers(before) == numbers(after) == [0, 1]


# points


async def test_retrieve_returns_the_payload_and_no_vector_by_default(store: VectorStore) -> None:
    await fill_shelf(store)
    (record,) = await store.retrieve("items", [pid(4)])
    assert record.id == pid(4)
    assert record.payload == {"n": 4, **SHELF[4]}
    assert not record.vector


async def test_retrieve_returns_vectors_on_request(store: VectorStore) -> None:
    await fill_shelf(store)
    (record,) = await store.retrieve("items", [pid(0)], with_payload=False, with_vectors=True)
    assert not record.payload
    assert record.vector == {"content": pytest.approx(X)}


async def test_retrieve_returns_the_named_payload_keys_only(store: VectorStore) -> None:
    await fill_shelf(store)
    (record,) = await store.retrieve("items", [pid(0)], with_payload=["tenant", "price"])
    assert record.payload == {"tenant": "a", "price": 5.0}


async def test_retrieve_returns_the_named_vectors_only(store: VectorStore) -> None:
    params = models.VectorParams(size=2, distance=models.Distance.DOT)
    await store.create_collection("users", {"long": params, "short": params})
    await store.upsert("users", [make_point(1, {"long": [1, 2], "short": [3, 4]})])
    (record,) = await store.retrieve("users", [pid(1)], with_vectors=["short"])
    assert record.vector == {"short": [3.0, 4.0]}


async def test_unknown_ids_are_absent_from_what_is_retrieved(store: VectorStore) -> None:
    await fill_shelf(store)
    records = await store.retrieve("items", [pid(99), pid(2), pid(98), pid(0)])
    assert {record.id for record in records} == {pid(0), pid(2)}
    assert await store.retrieve("items", [pid(99)]) == []
    assert await store.retrieve("items", []) == []


async def test_an_upsert_replaces_the_whole_point(store: VectorStore) -> None:
    params = models.VectorParams(size=2, distance=models.Distance.DOT)
    await store.create_collection("users", {"long": params, "short": params})
    await store.upsert("users", [make_point(1, {"long": [1, 2], "short": [3, 4]}, old=True)])
    await store.upsert("users", [make_point(1, {"short": [5, 6]}, new=True)])
    (record,) = await store.retrieve("users", [pid(1)], with_vectors=True)
    assert record.payload == {"n": 1, "new": True}
    assert record.vector == {"short": [5.0, 6.0]}
    assert await store.count("users") == 1


async def test_the_last_of_two_points_of_one_id_in_one_upsert_stays(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    twice = [make_point(1, {"content": X}, turn=turn) for turn in ("first", "second")]
    await store.upsert("items", twice)
    (record,) = await store.retrieve("items", [pid(1)])
    assert (record.payload or {})["turn"] == "second"


async def test_a_payload_comes_back_as_it_was(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    payload = {
        "text": 'Grüße, 世界 \u0000 🦀 "quoted" back\\slash',
        "empty": "",
        "integer": 2**53,
        "negative": -7,
        "float": 0.1,
        "tiny": 5e-324,
        "truth": False,
        "nothing": None,
        "list": [1, 2.5, "three", None, [4]],
        "dict": {"a.b": {"c": []}, "": {}},
    }
    await store.upsert("items", [make_point(1, {"content": X}, **payload)])
    (record,) = await store.retrieve("items", [pid(1)])
    assert record.payload == {"n": 1, **payload}


async def test_a_point_without_a_vector_is_kept_counted_and_not_searched(
    store: VectorStore,
) -> None:
    await store.create_collection("items", CONTENT)
    await store.upsert("items", [make_point(1, {"content": X}), make_point(2, {}, pending=True)])
    (record,) = await store.retrieve("items", [pid(2)], with_vectors=True)
    assert record.payload == {"n": 2, "pending": True}
    assert not record.vector
    assert await store.count("items") == 2
    assert numbers(await store.query_points("items", X, using="content")) == [1]
    pending = models.Filter(must=[eq("pending", True)])
    assert await store.query_points("items", X, using="content", query_filter=pending) == []
    found, _ = await store.scroll("items", pending)
    assert numbers(found) == [2]


async def test_a_point_is_searched_from_when_its_vector_comes(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    await store.upsert("items", [make_point(1, {})])
    assert await store.query_points("items", X, using="content") == []
    await store.upsert("items", [make_point(1, {"content": X})])
    assert numbers(await store.query_points("items", X, using="content")) == [1]


async def test_a_point_is_no_longer_searched_once_its_vector_is_gone(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    await store.upsert("items", [make_point(1, {"content": X}), make_point(2, {"content": X})])
    await store.upsert("items", [make_point(1, {})])
    assert numbers(await store.query_points("items", X, using="content")) == [2]


async def test_a_cosine_collection_stores_unit_vectors(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    await store.upsert("items", [make_point(1, {"content": [3.0, 4.0, 0, 0, 0, 0, 0, 0]})])
    (record,) = await store.retrieve("items", [pid(1)], with_vectors=True)
    assert record.vector == {"content": pytest.approx([0.6, 0.8, 0, 0, 0, 0, 0, 0])}


async def test_a_dot_collection_keeps_the_size_of_a_sum(store: VectorStore) -> None:
    params = {"long": models.VectorParams(size=3, distance=models.Distance.DOT)}
    await store.create_collection("users", params, hnsw_config=UNSEARCHED)
    total = [1234.5, -0.25, 3e-7]
    await store.upsert("users", [make_point(1, {"long": total})])
    (record,) = await store.retrieve("users", [pid(1)], with_vectors=True)
    assert record.vector == {"long": pytest.approx(total, rel=1e-7)}


async def test_writing_no_points_changes_nothing(store: VectorStore) -> None:
    await fill_shelf(store)
    await store.upsert("items", [])
    await store.delete("items", [])
    assert await store.count("items") == len(SHELF)


async def test_a_deleted_point_is_gone_everywhere(store: VectorStore) -> None:
    await fill_shelf(store)
    await store.delete("items", [pid(0), pid(3)])
    assert await store.count("items") == 4
    assert await store.retrieve("items", [pid(0)]) == []
    assert numbers(await store.query_points("items", X, using="content")) == [1, 2, 4, 5]
    found, _ = await store.scroll("items")
    assert sorted(numbers(found)) == [1, 2, 4, 5]


async def test_deleting_an_unknown_point_changes_nothing(store: VectorStore) -> None:
    await fill_shelf(store)
    await store.delete("items", [pid(99)])
    assert await store.count("items") == len(SHELF)


# newer points


def at(n: int, place: Any, **payload: Any) -> models.PointStruct:
    """Make the n-th point as of a place in a log."""
    return make_point(n, {"content": X}, offset=place, **payload)


async def places(store: VectorStore) -> dict[int, Any]:
    """Return the place of each point by its number."""
    records, _ = await store.scroll("items")
    payloads = [record.payload or {} for record in records]
    return {payload["n"]: payload.get("offset") for payload in payloads}


async def test_a_newer_or_equal_point_replaces_and_an_older_one_is_left_out(
    store: VectorStore,
) -> None:
    await store.create_collection("items", CONTENT)
    await store.upsert_unless_older("items", [at(1, 10, turn="first")], "offset")
    await store.upsert_unless_older("items", [at(1, 10, turn="again")], "offset")
    await store.upsert_unless_older("items", [at(1, 9, turn="late")], "offset")
    (record,) = await store.retrieve("items", [pid(1)])
    assert record.payload == {"n": 1, "offset": 10, "turn": "again"}
    await store.upsert_unless_older("items", [at(1, 11)], "offset")
    (record,) = await store.retrieve("items", [pid(1)])
    assert record.payload == {"n": 1, "offset": 11}


async def test_each_of_many_points_is_compared_with_its_own(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    await store.upsert("items", [at(n, 100 + n) for n in range(30)])
    newer = [at(n, 100 + n + (n % 3) - 1) for n in range(30)]
    absent = [at(n, 1) for n in range(30, 40)]
    await store.upsert_unless_older("items", newer + absent, "offset")
    expected = {n: 100 + n + (n % 3 == 2) for n in range(30)} | dict.fromkeys(range(30, 40), 1)
    assert await places(store) == expected


async def test_of_two_points_of_one_id_the_newer_is_written(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    await store.upsert_unless_older("items", [at(1, 7), at(1, 5)], "offset")
    assert await places(store) == {1: 7}
    await store.upsert_unless_older("items", [at(1, 8, turn="a"), at(1, 8, turn="b")], "offset")
    (record,) = await store.retrieve("items", [pid(1)])
    assert (record.payload or {})["turn"] == "b"


async def test_a_stored_point_without_the_number_is_replaced(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    await store.upsert("items", [make_point(1, {"content": X})])
    await store.upsert_unless_older("items", [at(1, 0)], "offset")
    assert await places(store) == {1: 0}


async def test_a_deleted_point_can_be_written_again_as_of_any_place(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    await store.upsert_unless_older("items", [at(1, 10)], "offset")
    await store.delete("items", [pid(1)])
    await store.upsert_unless_older("items", [at(1, 3)], "offset")
    assert await places(store) == {1: 3}


@pytest.mark.parametrize("place", [None, "7", True, [7]], ids=str)
async def test_a_point_without_the_number_is_refused_with_all_others(
    store: VectorStore, place: Any
) -> None:
    await store.create_collection("items", CONTENT)
    with pytest.raises(StoreError, match="no number 'offset'"):
        await store.upsert_unless_older("items", [at(1, 1), at(2, place)], "offset")
    assert await store.count("items") == 0


async def test_places_far_into_a_log_are_told_apart(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    far = 2**53 - 2
    await store.upsert_unless_older("items", [at(1, far)], "offset")
    await store.upsert_unless_older("items", [at(1, far - 1)], "offset")
    assert await places(store) == {1: far}
    await store.upsert_unless_older("items", [at(1, far + 1)], "offset")
    assert await places(store) == {1: far + 1}


async def test_writing_no_newer_points_changes_nothing(store: VectorStore) -> None:
    await fill_shelf(store)
    await store.upsert_unless_older("items", [], "offset")
    assert await store.count("items") == len(SHELF)


# rebuilding beside


async def test_what_is_rebuilt_beside_is_seen_when_it_is_switched_to_and_not_before(
    store: VectorStore,
) -> None:
    await fill_shelf(store)
    other = await store.beside()
    assert not await other.collection_exists("items")
    await other.create_collection("items", CONTENT)
    await other.create_payload_index("items", "category", KEYWORD)
    await other.upsert("items", [make_point(9, {"content": X}, category="new")])
    assert await store.count("items") == len(SHELF)
    assert await store.payload_indexes("items") == {}
    assert numbers(await other.query_points("items", X, using="content")) == [9]
    await store.switch_to(other)
    assert numbers(await store.query_points("items", X, using="content")) == [9]
    assert await store.payload_indexes("items") == {"category": KEYWORD}
    assert await store.vectors_of("items") == {"content": (8, models.Distance.COSINE)}
    with pytest.raises(StoreError):
        await other.count("items")


async def test_a_store_can_be_rebuilt_again_and_again(store: VectorStore) -> None:
    await fill_shelf(store)
    for turn in range(3):
        other = await store.beside()
        assert not await other.collection_exists("items")
        await other.create_collection("items", CONTENT)
        await other.upsert("items", [make_point(turn, {"content": X})])
        await store.switch_to(other)
        found, _ = await store.scroll("items")
        assert numbers(found) == [turn]
    await store.delete_collection("items")
    assert not await store.collection_exists("items")
    await store.create_collection("items", CONTENT)
    assert await store.count("items") == 0
    await store.flush()


async def test_what_an_ended_rebuild_left_is_there_for_the_next(store: VectorStore) -> None:
    await fill_shelf(store)
    other = await store.beside()
    await other.create_collection("items", CONTENT)
    await other.upsert("items", [make_point(9, {"content": X})])
    await other.close()
    assert await store.count("items") == len(SHELF)
    again = await store.beside()
    assert await again.collection_exists("items")
    assert await again.count("items") == 1
    await again.delete_collection("items")
    assert not await again.collection_exists("items")
    await again.close()
    assert await store.count("items") == len(SHELF)


async def test_a_store_switches_only_to_one_beside_it(store: VectorStore) -> None:
    await fill_shelf(store)
    stranger = ServerStore.local()
    for other in (store, stranger):
        with pytest.raises(StoreError, match="beside"):
            await store.switch_to(other)
    await stranger.close()
    assert await store.count("items") == len(SHELF)


async def test_loading_is_not_held_up_by_an_engine_that_keeps_up(store: VectorStore) -> None:
    await fill_shelf(store)
    began = time.monotonic()
    for _ in range(10):
        await store.pace("items")
    assert time.monotonic() - began < PACE_EVERY_S


# queries


async def test_the_nearest_come_first_with_their_cosines(store: VectorStore) -> None:
    await fill_shelf(store)
    found = await store.query_points("items", [2.0, 0, 0, 0, 0, 0, 0, 0], using="content")
    assert numbers(found) == [0, 1, 2, 3, 4, 5]
    assert [p.score for p in found] == pytest.approx([v[0] for v in ladder(6)], abs=1e-5)
    assert [p.id for p in found] == [pid(n) for n in range(6)]
    assert found[0].payload == {"n": 0, **SHELF[0]}


async def test_dot_scores_are_dot_products_negative_ones_too(store: VectorStore) -> None:
    params = {"heat": models.VectorParams(size=1, distance=models.Distance.DOT)}
    await store.create_collection("signals", params, hnsw_config=UNSEARCHED)
    heats = [-1.5, 300.25, 0.0, 12.0]
    await store.upsert("signals", [make_point(n, {"heat": [h]}) for n, h in enumerate(heats)])
    found = await store.query_points("signals", [1.0], using="heat")
    assert numbers(found) == [1, 3, 2, 0]
    assert [p.score for p in found] == [300.25, 12.0, 0.0, -1.5]


async def test_limit_and_offset_cut_a_window_out_of_the_same_order(store: VectorStore) -> None:
    await fill(store, np.asarray(ladder(50), np.float32))
    for limit, offset in [(1, 0), (10, 0), (10, 10), (7, 46), (5, 50), (5, 99)]:
        found = await store.query_points("items", X, using="content", limit=limit, offset=offset)
        assert numbers(found) == list(range(50))[offset : offset + limit]


@pytest.mark.parametrize("denied", [[], [1]], ids=["plain", "with exclusions"])
async def test_a_query_returns_the_payload_asked_for(store: VectorStore, denied: list[int]) -> None:
    await fill_shelf(store)
    which = models.Filter(must_not=[has_id(denied)]) if denied else None
    first = {"n": 0, **SHELF[0]}
    for wanted, expected in [(True, first), (["n", "price"], {"n": 0, "price": 5.0}), (False, {})]:
        (point,) = await store.query_points(
            "items", X, using="content", query_filter=which, limit=1, with_payload=wanted
        )
        assert (point.payload or {}) == expected


async def test_a_query_by_model_means_the_same_as_a_bare_list(store: VectorStore) -> None:
    await fill_shelf(store)
    bare = await store.query_points("items", X, using="content")
    nearest = models.NearestQuery(nearest=X)
    assert numbers(await store.query_points("items", nearest, using="content")) == numbers(bare)


async def test_a_search_in_an_empty_collection_finds_nothing(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    assert await store.query_points("items", X, using="content") == []
    assert await store.scroll("items") == ([], None)
    assert await store.count("items") == 0


# filters


IN_A = eq("tenant", "a")
FILTERS = {
    "none": (models.Filter(), [0, 1, 2, 3, 4, 5]),
    "match value": (models.Filter(must=[eq("category", "books")]), [0, 1, 3]),
    "match value in a list": (models.Filter(must=[eq("tags", "rust")]), [0, 1]),
    "match value in a nested list": (models.Filter(must=[eq("features.genre", "rpg")]), [4]),
    "match any": (models.Filter(must=[one_of("category", "toys", "games")]), [2, 4]),
    "match any in a list": (models.Filter(must=[one_of("tags", "web", "go")]), [0, 3]),
    "bool": (models.Filter(must=[eq("active", True)]), [0, 2, 3]),
    "bool false": (models.Filter(must=[eq("active", False)]), [1]),
    "integer": (models.Filter(must=[eq("n", 3)]), [3]),
    "range": (models.Filter(must=[between("price", gte=10, lt=40)]), [1, 2]),
    "open range": (models.Filter(must=[between("price", gt=10)]), [2, 3, 4]),
    "and": (models.Filter(must=[IN_A, eq("category", "books")]), [0, 1]),
    "not": (models.Filter(must_not=[eq("category", "books")]), [2, 4, 5]),
    "not any": (models.Filter(must_not=[one_of("tags", "rust")]), [2, 3, 4, 5]),
    "not in a range": (models.Filter(must_not=[between("price", gt=10)]), [0, 1, 5]),
    "and not": (models.Filter(must=[IN_A], must_not=[between("price", lte=5)]), [1, 2]),
    "should": (models.Filter(should=[eq("n", 1), eq("n", 5)]), [1, 5]),
    "and one of": (models.Filter(must=[IN_A], should=[eq("n", 1), eq("n", 5)]), [1]),
    "nested": (
        models.Filter(
            must=[IN_A, models.Filter(should=[eq("category", "toys"), between("price", lt=6)])]
        ),
        [0, 2],
    ),
    "not nested": (
        models.Filter(must_not=[models.Filter(must=[IN_A, eq("active", True)])]),
        [1, 3, 4, 5],
    ),
    "has id": (models.Filter(must=[has_id([3, 5, 77])]), [3, 5]),
    "has no id": (models.Filter(must=[has_id([])]), []),
    "not has id": (models.Filter(must_not=[has_id([0, 77])]), [1, 2, 3, 4, 5]),
    "tenant and not has id": (models.Filter(must=[IN_A], must_not=[has_id([1])]), [0, 2]),
    "has id and not has id": (
        models.Filter(must=[has_id([0, 1, 2])], must_not=[has_id([1]), has_id([2])]),
        [0],
    ),
    "a condition that is no list": (models.Filter(must=IN_A, must_not=has_id([0])), [1, 2]),
    "empty": (
        models.Filter(must=[models.IsEmptyCondition(is_empty=models.PayloadField(key="tags"))]),
        [2, 4, 5],
    ),
    "at least two": (
        models.Filter(
            min_should=models.MinShould(
                conditions=[IN_A, eq("active", True), between("price", lt=15)], min_count=2
            )
        ),
        [0, 1, 2],
    ),
    "unknown key": (models.Filter(must=[eq("nowhere", "x")]), []),
    "unknown tenant": (models.Filter(must=[eq("tenant", "c")]), []),
}


@pytest.mark.parametrize("indexed", [False, True], ids=["", "indexed"])
async def test_a_filter_means_the_same_in_a_query_a_scroll_and_a_count(
    store: VectorStore, indexed: bool
) -> None:
    await fill_shelf(store)
    if indexed:
        for key, kind in {"tenant": KEYWORD, "category": KEYWORD, "price": FLOAT}.items():
            await store.create_payload_index("items", key, kind)
        await store.create_payload_index("items", "active", BOOL)
    for name, (which, expected) in FILTERS.items():
        queried = await store.query_points("items", X, using="content", query_filter=which)
        scrolled, _ = await store.scroll("items", which)
        assert numbers(queried) == expected, name
        assert sorted(numbers(scrolled)) == expected, name
        assert await store.count("items", which) == len(expected), name


@pytest.mark.parametrize("how_many", [0, 1, 63, 64, 65, 300])
async def test_excluding_ids_equals_dropping_them_by_hand(
    kind: str, store: VectorStore, how_many: int
) -> None:
    rng = np.random.default_rng(how_many)
    await fill(store, unit_vectors(rng, 420, 32))
    query = [float(x) for x in unit_vectors(rng, 1, 32)[0]]
    everything = await store.query_points(
        "items", query, using="content", search_params=exactly(kind), limit=420
    )
    order = numbers(everything)
    excluded = {
        "the nearest": order[:how_many],
        "the farthest": order[len(order) - how_many :],
        "any": [int(n) for n in rng.permutation(420)[:how_many]],
    }
    for name, numbers_out in excluded.items():
        left = [n for n in order if n not in set(numbers_out)]
        for limit, offset in [(10, 0), (10, 5), (200, 0)]:
            found = await store.query_points(
                "items",
                query,
                using="content",
                query_filter=models.Filter(must_not=[has_id(numbers_out)]),
                search_params=exactly(kind),
                limit=limit,
                offset=offset,
            )
            assert numbers(found) == left[offset : offset + limit], name


@pytest.mark.parametrize("how_many", [1, 65, 150])
async def test_excluded_ids_never_come_back_with_default_search_params(
    store: VectorStore, how_many: int
) -> None:
    rng = np.random.default_rng(how_many)
    await fill(store, unit_vectors(rng, 200, 32))
    query = [float(x) for x in unit_vectors(rng, 1, 32)[0]]
    nearest = await store.query_points("items", query, using="content", limit=how_many)
    found = await store.query_points(
        "items",
        query,
        using="content",
        query_filter=models.Filter(must=[eq("half", 0)], must_not=[has_id(numbers(nearest))]),
        limit=200,
    )
    left = set(range(0, 200, 2)) - set(numbers(nearest))
    assert set(numbers(found)) == left
    assert len(found) == len(left)
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)


async def test_a_filter_on_the_tenant_holds_however_many_tenants_there_are(
    store: VectorStore,
) -> None:
    await store.create_collection("items", CONTENT)
    await store.create_payload_index("items", "tenant", KEYWORD)

    async def found(tenant: str) -> list[int]:
        which = models.Filter(must=[eq("tenant", tenant)])
        queried = numbers(await store.query_points("items", X, using="content", query_filter=which))
        assert await store.count("items", which) == len(queried)
        return queried

    rows = ladder(4)
    await store.upsert("items", [make_point(n, {"content": rows[n]}, tenant="a") for n in (0, 1)])
    assert (await found("a"), await found("b")) == ([0, 1], [])
    await store.upsert("items", [make_point(2, {"content": rows[2]}, tenant="b")])
    assert (await found("a"), await found("b")) == ([0, 1], [2])
    await store.delete("items", [pid(0), pid(1)])
    assert (await found("a"), await found("b")) == ([], [2])
    await store.upsert("items", [make_point(3, {"content": rows[3]})])
    assert (await found("a"), await found("b")) == ([], [2])


# maximal marginal relevance


def mmr(query: list[float], diversity: float, candidates: int = 100) -> models.NearestQuery:
    how = models.Mmr(diversity=diversity, candidates_limit=candidates)
    return models.NearestQuery(nearest=query, mmr=how)


async def test_mmr_scores_are_the_cosines_of_the_query(store: VectorStore) -> None:
    rng = np.random.default_rng(7)
    vectors = unit_vectors(rng, 120, 32)
    await fill(store, vectors)
    query = unit_vectors(rng, 1, 32)[0]
    found = await store.query_points("items", mmr(query.tolist(), 0.7), using="content", limit=20)
    cosines = vectors[numbers(found)] @ query
    assert len(found) == 20
    assert [p.score for p in found] == pytest.approx(cosines.tolist(), abs=1e-5)


async def test_mmr_without_diversity_is_the_plain_order_and_with_it_is_not(
    store: VectorStore,
) -> None:
    rng = np.random.default_rng(8)
    centre = unit_vectors(rng, 3, 32)
    crowd = np.concatenate([c + 0.02 * unit_vectors(rng, 15, 32) for c in centre])
    await fill(store, (crowd / np.linalg.norm(crowd, axis=1, keepdims=True)).astype(np.float32))
    query = (centre[0] + 0.6 * centre[1] + 0.3 * centre[2]).tolist()
    plain = numbers(await store.query_points("items", query, using="content", limit=6))
    same = numbers(await store.query_points("items", mmr(query, 0.0), using="content", limit=6))
    varied = numbers(await store.query_points("items", mmr(query, 1.0), using="content", limit=6))
    assert same == plain
    assert {n // 15 for n in plain} == {0}
    assert {n // 15 for n in varied} == {0, 1, 2}


async def test_mmr_pages_are_cut_from_one_order(store: VectorStore) -> None:
    rng = np.random.default_rng(9)
    await fill(store, unit_vectors(rng, 150, 32))
    query = mmr(unit_vectors(rng, 1, 32)[0].tolist(), 0.5)
    whole = numbers(await store.query_points("items", query, using="content", limit=30))
    pages = [
        numbers(await store.query_points("items", query, using="content", limit=10, offset=start))
        for start in (0, 10, 20)
    ]
    assert [n for page in pages for n in page] == whole


async def test_mmr_obeys_the_filter(store: VectorStore) -> None:
    rng = np.random.default_rng(10)
    await fill(store, unit_vectors(rng, 100, 32))
    query = mmr(unit_vectors(rng, 1, 32)[0].tolist(), 0.5)
    which = models.Filter(must=[eq("half", 1)], must_not=[has_id(range(0, 50))])
    found = await store.query_points("items", query, using="content", query_filter=which, limit=99)
    assert sorted(numbers(found)) == list(range(51, 100, 2))


# sparse vectors


WEBS = [{1: 1.0, 5: 2.0}, {5: 4.0}, {1: -1.0, 2**32 - 1: 3.0}, {7: 9.0}, {}]
"""Each point's sparse vector; the last has none."""


async def fill_web(store: VectorStore) -> None:
    await store.create_collection("web", HEAT, sparse_vectors_config=NEAR, hnsw_config=UNSEARCHED)
    points = [sparse_point(n, v, float(n), tenant="ab"[n % 2]) for n, v in enumerate(WEBS)]
    await store.upsert("web", points)


async def going_with(
    store: VectorStore, vector: dict[int, float], which: models.Filter | None = None, **window: int
) -> list[tuple[int, float]]:
    """Return the numbers of points and their scores."""
    found = await store.query_points(
        "web", sparse(vector), using="near", query_filter=which, **window
    )
    return [((point.payload or {})["n"], point.score) for point in found]


async def test_sparse_scores_are_dot_products_of_what_shares_an_index(store: VectorStore) -> None:
    await fill_web(store)
    assert await going_with(store, {1: 2.0, 5: 1.5}) == [(1, 6.0), (0, 5.0), (2, -2.0)]
    assert await going_with(store, {5: 1.0}) == [(1, 4.0), (0, 2.0)]
    assert await going_with(store, {2**32 - 1: 0.5}) == [(2, 1.5)]
    assert await going_with(store, {6: 1.0}) == []


async def test_a_sparse_query_of_nothing_finds_nothing(store: VectorStore) -> None:
    await fill_web(store)
    assert await going_with(store, {}) == []


async def test_sparse_queries_obey_filters_exclusions_and_windows(store: VectorStore) -> None:
    await fill_web(store)
    query = {1: 2.5, 5: 1.0, 7: 1.0, 2**32 - 1: 1.0}
    everything = [(3, 9.0), (0, 4.5), (1, 4.0), (2, 0.5)]
    in_a = models.Filter(must=[eq("tenant", "a")])
    but = models.Filter(must_not=[has_id([3, 1])])
    both = models.Filter(must=[eq("tenant", "a")], must_not=[has_id([0])])
    assert await going_with(store, query) == everything
    assert await going_with(store, query, in_a) == [(0, 4.5), (2, 0.5)]
    assert await going_with(store, query, but) == [(0, 4.5), (2, 0.5)]
    assert await going_with(store, query, both) == [(2, 0.5)]
    assert await going_with(store, query, limit=2) == everything[:2]
    assert await going_with(store, query, limit=2, offset=1) == everything[1:3]
    assert await going_with(store, query, but, limit=1) == [(0, 4.5)]
    assert await going_with(store, query, but, limit=1, offset=1) == [(2, 0.5)]


async def test_dense_and_sparse_vectors_of_one_point_are_searched_apart(
    store: VectorStore,
) -> None:
    await fill_web(store)
    hottest = await store.query_points("web", [1.0], using="heat", limit=2)
    assert numbers(hottest) == [4, 3]
    assert await store.vectors_of("web") == {"heat": (1, models.Distance.DOT)}


async def test_an_upsert_replaces_the_sparse_vector_as_a_whole(store: VectorStore) -> None:
    await fill_web(store)
    await store.upsert("web", [sparse_point(1, {6: 1.0}), sparse_point(0, {})])
    assert await going_with(store, {1: 1.0, 5: 1.0}) == [(2, -1.0)]
    assert await going_with(store, {6: 2.0}) == [(1, 2.0)]
    await store.upsert("web", [sparse_point(0, {6: 3.0})])
    assert await going_with(store, {6: 1.0}) == [(0, 3.0), (1, 1.0)]


async def test_a_deleted_point_is_not_found_by_its_sparse_vector(store: VectorStore) -> None:
    await fill_web(store)
    await store.delete("web", [pid(1)])
    assert await going_with(store, {5: 1.0}) == [(0, 2.0)]
    await store.delete_collection("web")
    await fill_web(store)
    assert await going_with(store, {5: 1.0}) == [(1, 4.0), (0, 2.0)]


async def test_a_sparse_vector_comes_back_on_request(store: VectorStore) -> None:
    await fill_web(store)
    (record,) = await store.retrieve("web", [pid(2)], with_vectors=["near"])
    vector = record.vector["near"]  # type: ignore[index, call-overload]
    assert (list(vector.indices), list(vector.values)) == ([1, 2**32 - 1], [-1.0, 3.0])


async def test_a_sparse_vector_of_hundreds_of_indices_is_scored_in_full(
    store: VectorStore,
) -> None:
    rng = np.random.default_rng(12)
    await fill_web(store)
    indices = rng.choice(2**32, size=500, replace=False).tolist()
    values = rng.uniform(0.1, 1.0, 500)
    await store.upsert("web", [sparse_point(9, dict(zip(indices, values, strict=True)))])
    ((number, score),) = await going_with(store, dict.fromkeys(indices[:250], 2.0))
    assert number == 9
    assert score == pytest.approx(2.0 * values[:250].sum(), rel=1e-5)


MALFORMED: dict[str, tuple[list[int], list[float]]] = {
    "more indices than values": ([1, 2], [1.0]),
    "more values than indices": ([1], [1.0, 2.0]),
    "one index twice": ([1, 1], [1.0, 2.0]),
    "not a number": ([1], [float("nan")]),
    "an index of more than 32 bits": ([1, 2**32], [1.0, 1.0]),
    "an index below nothing": ([-1, 1], [1.0, 1.0]),
}
IN_EDGE_TOO: dict[str, tuple[list[int], list[float]]] = {
    "falling indices": ([2, 1], [1.0, 1.0]),
    "one index twice, apart": ([1, 2, 1], [1.0, 1.0, 1.0]),
    "an infinite number": ([1], [float("inf")]),
    "an index that is no whole number": ([1.5], [1.0]),  # type: ignore[list-item]
    "a text": ([1], ["x"]),  # type: ignore[list-item]
}


def malformed(indices: list[int], values: list[float]) -> models.SparseVector:
    return models.SparseVector.model_construct(indices=indices, values=values)


async def refuses(store: VectorStore, indices: list[int], values: list[float]) -> None:
    """Check that a vector is refused, written and asked with, and that nothing came of it."""
    vector = malformed(indices, values)
    point = models.PointStruct.model_construct(id=pid(9), vector={"near": vector}, payload={"n": 9})
    with pytest.raises(StoreError):
        await store.upsert("web", [sparse_point(8, {5: 1.0}), point])
    with pytest.raises(StoreError):
        await store.query_points("web", vector, using="near")
    assert await store.retrieve("web", [pid(9)]) == []
    await store.upsert("web", [sparse_point(7, {11: 1.0})])
    assert await going_with(store, {11: 1.0}) == [(7, 1.0)]


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_sparse_vector_is_refused_and_the_store_goes_on(
    store: VectorStore, name: str
) -> None:
    await fill_web(store)
    await refuses(store, *MALFORMED[name])


# scroll and count


@pytest.mark.parametrize("page", [1, 7, 25, 60, 61, 100])
async def test_scrolling_visits_every_point_exactly_once(store: VectorStore, page: int) -> None:
    await store.create_collection("items", CONTENT)
    await store.upsert("items", [make_point(n, {"content": X}) for n in range(60)])
    seen: list[int] = []
    offset = None
    while True:
        records, offset = await store.scroll("items", limit=page, offset=offset)
        assert len(records) <= page
        seen += numbers(records)
        if offset is None:
            break
        assert len(records) == page
    assert sorted(seen) == list(range(60))


async def test_a_filtered_scroll_visits_what_matches_exactly_once(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    points = [make_point(n, {"content": X}, odd=bool(n % 2)) for n in range(60)]
    await store.upsert("items", points)
    which = models.Filter(must=[eq("odd", True)])
    seen: list[int] = []
    offset = None
    while True:
        records, offset = await store.scroll("items", which, limit=8, offset=offset)
        seen += numbers(records)
        if offset is None:
            break
    assert sorted(seen) == list(range(1, 60, 2))


async def test_a_scroll_returns_the_payload_and_vectors_asked_for(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    await store.upsert("items", [make_point(1, {"content": X}, a=1, b=2)])
    (bare,), _ = await store.scroll("items", with_payload=["a"])
    assert bare.payload == {"a": 1}
    assert not bare.vector
    (full,), _ = await store.scroll("items", with_vectors=True)
    assert full.payload == {"n": 1, "a": 1, "b": 2}
    assert full.vector == {"content": pytest.approx(X)}


# what is refused


async def test_a_vector_of_the_wrong_dimension_is_refused(store: VectorStore) -> None:
    await fill_shelf(store)
    with pytest.raises(StoreError):
        await store.upsert("items", [make_point(99, {"content": [1.0, 2.0, 3.0]})])
    with pytest.raises(StoreError):
        await store.query_points("items", [1.0, 2.0, 3.0], using="content")
    assert await store.count("items") == len(SHELF)
    assert numbers(await store.query_points("items", X, using="content", limit=1)) == [0]


async def test_an_unknown_vector_name_is_refused(store: VectorStore) -> None:
    await fill_shelf(store)
    with pytest.raises(StoreError):
        await store.upsert("items", [make_point(99, {"elsewhere": X})])
    with pytest.raises(StoreError):
        await store.query_points("items", X, using="elsewhere")
    assert await store.count("items") == len(SHELF)


async def test_an_id_that_is_no_uuid_is_refused(store: VectorStore) -> None:
    await fill_shelf(store)
    with pytest.raises(StoreError):
        await store.upsert("items", [models.PointStruct(id="item-1", vector={}, payload={})])
    assert await store.count("items") == len(SHELF)


CALLS = {
    "delete_collection": lambda s: s.delete_collection("items"),
    "vectors_of": lambda s: s.vectors_of("items"),
    "payload_indexes": lambda s: s.payload_indexes("items"),
    "create_payload_index": lambda s: s.create_payload_index("items", "tenant", KEYWORD),
    "upsert": lambda s: s.upsert("items", [make_point(1, {"content": X})]),
    "upsert_unless_older": lambda s: s.upsert_unless_older("items", [at(1, 1)], "offset"),
    "delete": lambda s: s.delete("items", [pid(1)]),
    "retrieve": lambda s: s.retrieve("items", [pid(1)]),
    "query_points": lambda s: s.query_points("items", X, using="content"),
    "query_points, excluding": lambda s: s.query_points(
        "items", X, using="content", query_filter=models.Filter(must_not=[has_id([1])])
    ),
    "scroll": lambda s: s.scroll("items"),
    "count": lambda s: s.count("items"),
}


@pytest.mark.parametrize("call", [name for name in CALLS if name != "delete_collection"])
async def test_an_unknown_collection_raises_store_error(store: VectorStore, call: str) -> None:
    await store.create_collection("others", CONTENT)
    with pytest.raises(StoreError):
        await CALLS[call](store)


@pytest.mark.parametrize("call", [*CALLS, "create_collection", "beside", "ping"])
async def test_use_after_close_raises_store_error(store: VectorStore, call: str) -> None:
    calls = {
        **CALLS,
        "create_collection": lambda s: s.create_collection("others", CONTENT),
        "beside": lambda s: s.beside(),
        "ping": lambda s: s.ping(),
    }
    await store.create_collection("items", CONTENT)
    await store.close()
    with pytest.raises(StoreError):
        await calls[call](store)


async def test_closing_twice_is_harmless(store: VectorStore) -> None:
    await store.close()
    await store.close()


async def test_an_open_store_answers_a_ping(store: VectorStore) -> None:
    await store.create_collection("items", CONTENT)
    await store.flush()
    await store.ping()


# what only Qdrant Edge promises


async def test_an_edge_store_without_collections_answers_a_ping(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path / "qdrant")
    await store.ping()
    await store.close()


async def test_a_reopened_edge_store_has_everything(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path / "qdrant")
    await fill_shelf(store)
    await store.create_payload_index("items", "tenant", KEYWORD)
    params = {"long": models.VectorParams(size=2, distance=models.Distance.DOT)}
    await store.create_collection("users", params, hnsw_config=UNSEARCHED)
    await store.upsert("users", [make_point(1, {"long": [30.0, 40.0]}), make_point(2, {})])
    await store.delete("items", [pid(5)])
    before = await store.query_points("items", X, using="content")
    await store.close()

    again = EdgeStore(tmp_path / "qdrant")
    assert await again.query_points("items", X, using="content") == before
    assert await again.count("items") == 5
    assert await again.payload_indexes("items") == {"tenant": KEYWORD}
    assert await again.vectors_of("users") == {"long": (2, models.Distance.DOT)}
    (record,) = await again.retrieve("users", [pid(1)], with_vectors=True)
    assert record.vector == {"long": [30.0, 40.0]}
    assert await again.count("users") == 2
    await again.upsert("items", [make_point(9, {"content": X})])
    assert await again.count("items") == 6
    await again.close()


@pytest.mark.parametrize("indexed", [False, True], ids=["", "indexed"])
async def test_a_reopened_edge_store_keeps_tenants_apart(tmp_path: Path, indexed: bool) -> None:
    tenants: list[dict[str, str]] = [{"tenant": "a"}, {"tenant": "a"}, {"tenant": "b"}, {}]
    for many in range(1, 5):
        store = EdgeStore(tmp_path / str(many))
        await store.create_collection("items", CONTENT)
        if indexed:
            await store.create_payload_index("items", "tenant", KEYWORD)
        points = [make_point(n, {"content": X}, **tenants[n]) for n in range(many)]
        await store.upsert("items", points)
        await store.close()
        again = EdgeStore(tmp_path / str(many))
        for tenant in ("a", "b", ""):
            which = models.Filter(must=[eq("tenant", tenant)])
            found = await again.query_points("items", X, using="content", query_filter=which)
            mine = [n for n in range(many) if tenants[n].get("tenant") == tenant]
            assert sorted(numbers(found)) == mine
        await again.close()


async def test_a_reopened_edge_store_has_its_sparse_vectors(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path / "qdrant")
    await fill_web(store)
    await store.upsert("web", [sparse_point(1, {5: 7.0})])
    await store.delete("web", [pid(0)])
    await store.close()
    again = EdgeStore(tmp_path / "qdrant")
    assert await going_with(again, {5: 1.0}) == [(1, 7.0)]
    await again.upsert("web", [sparse_point(6, {5: 1.0})])
    assert await going_with(again, {5: 1.0}) == [(1, 7.0), (6, 1.0)]
    await again.close()


@pytest.mark.parametrize("name", [*MALFORMED, *IN_EDGE_TOO])
async def test_a_malformed_sparse_vector_leaves_an_edge_store_that_can_be_opened_again(
    tmp_path: Path, name: str
) -> None:
    store = EdgeStore(tmp_path / "qdrant")
    await fill_web(store)
    await refuses(store, *{**MALFORMED, **IN_EDGE_TOO}[name])
    await store.close()
    again = EdgeStore(tmp_path / "qdrant")
    assert await going_with(again, {11: 1.0}) == [(7, 1.0)]
    assert await going_with(again, {5: 1.0}) == [(1, 4.0), (0, 2.0)]
    await again.close()


async def test_a_collection_deleted_from_an_edge_store_stays_deleted(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path / "qdrant")
    await fill_shelf(store)
    await store.delete_collection("items")
    await store.close()
    again = EdgeStore(tmp_path / "qdrant")
    assert not await again.collection_exists("items")
    await again.close()


async def test_a_payload_that_is_no_json_raises_store_error_in_edge(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path / "qdrant")
    await fill_shelf(store)
    for bad in (float("nan"), object()):
        point = models.PointStruct.model_construct(id=pid(9), vector={}, payload={"bad": bad})
        with pytest.raises(StoreError):
            await store.upsert("items", [point])
    assert await store.count("items") == len(SHELF)
    await store.close()


async def test_a_condition_that_edge_lacks_raises_store_error(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path / "qdrant")
    await fill_shelf(store)
    text = models.FieldCondition(key="category", match=models.MatchText(text="books"))
    with pytest.raises(StoreError):
        await store.count("items", models.Filter(must=[text]))
    with pytest.raises(StoreError):
        await store.query_points("items", models.SampleQuery(sample=models.Sample.RANDOM))
    with pytest.raises(StoreError):
        await store.create_payload_index("items", "category", models.PayloadSchemaType.TEXT)
    await store.close()


@pytest.mark.parametrize("step", range(5))
async def test_a_switch_that_is_interrupted_leaves_the_old_or_the_new_whole(
    tmp_path: Path, step: int
) -> None:
    """``step``: how many of a switch's renames and removals were done."""
    folder, rebuilt, old = (tmp_path / f"qdrant{end}" for end in ("", ".next", ".old"))
    for place, number in ((folder, 1), (rebuilt, 2)):
        store = EdgeStore(place)
        await store.create_collection("items", CONTENT)
        await store.upsert("items", [make_point(number, {"content": X})])
        await store.close()
    if step >= 1:
        os.rename(folder, old)
    if step >= 2:
        os.rename(rebuilt, folder)
    if step >= 3:
        next(old.rglob("recsvc.json")).unlink()
    if step >= 4:
        shutil.rmtree(old)
    store = EdgeStore(folder)
    found, _ = await store.scroll("items")
    assert numbers(found) == [1 if step == 0 else 2]
    assert not old.exists()
    assert rebuilt.exists() == (step == 0)
    await store.close()


async def test_an_old_store_alone_is_put_back(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path / "qdrant.old")
    await store.create_collection("items", CONTENT)
    await store.close()
    store = EdgeStore(tmp_path / "qdrant")
    assert await store.collection_exists("items")
    await store.close()


async def test_a_switched_edge_store_has_everything_when_it_is_reopened(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path / "qdrant")
    await fill_shelf(store)
    other = await store.beside()
    await other.create_collection("items", CONTENT)
    await other.upsert("items", [make_point(9, {"content": X})])
    await store.switch_to(other)
    await store.upsert("items", [make_point(10, {"content": X})])
    await store.close()
    assert os.listdir(tmp_path) == ["qdrant"]
    again = EdgeStore(tmp_path / "qdrant")
    found, _ = await again.scroll("items")
    assert sorted(numbers(found)) == [9, 10]
    await again.close()
