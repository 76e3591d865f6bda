"""What goes together, counted and kept on every engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from engines import UNSEARCHED
from qdrant_client import models

from indexer.domain.ids import item_point
from indexer.domain.neighbours import (
    Asking,
    Counts,
    NeighbourRules,
    Occurrence,
    dimension,
    occurrences,
)
from indexer.domain.trail import Step
from indexer.errors import StoreError
from indexer.ports import Hit, VectorStore
from indexer.stores.edge import EdgeStore
from indexer.stores.neighbours import Crowd, Horizon, Neighbours
from indexer.stores.schema import COLLECTIONS, NEIGHBOURS, TERMS

pytestmark = pytest.mark.anyio

HOUR_S, DAY_S = 3_600.0, 86_400.0
NOW_S = 1_700_000_000.0
RULES = NeighbourRules(half_life_recent_s=7 * DAY_S)
HALF_LIVES_S: dict[Horizon, float] = {"heat": 7 * DAY_S, "hot": DAY_S}


def neighbours_of(store: VectorStore) -> Neighbours:
    return Neighbours(store, RULES, HALF_LIVES_S)


async def make(store: VectorStore) -> None:
    """Make the collections that neighbourhoods are kept in, as `prepare` does."""
    for one in (one for one in COLLECTIONS if one.name in (NEIGHBOURS, TERMS)):
        await store.create_collection(
            one.name,
            {
                name: models.VectorParams(size=one.dim or 8, distance=distance)
                for name, distance in one.vectors.items()
            },
            sparse_vectors_config={name: models.SparseVectorParams() for name in one.sparse},
            hnsw_config=UNSEARCHED,
        )
        await store.create_payload_index(one.name, "tenant", models.PayloadSchemaType.KEYWORD)


@pytest.fixture
async def neighbours(store: VectorStore) -> Neighbours:
    """Neighbourhoods of nothing yet."""
    await make(store)
    return neighbours_of(store)


def walk(
    item_ids: str, *, first: int = 1, at: float = NOW_S, each_s: float = 60.0, weight: float = 1.0
) -> list[Occurrence]:
    """Return what a user adds who takes up items of one letter each."""
    steps = [Step(at + n * each_s, item_id, 1.0) for n, item_id in enumerate(item_ids)]
    return [
        one
        for n, step in enumerate(steps)
        for one in occurrences(steps[:n], step, weight, (0, first + n), RULES)
    ]


def names(hits: Iterable[Hit], tenant: str = "t") -> str:
    """Return the letters of the items that were found."""
    letters = {item_point(tenant, letter): letter for letter in "abcdefghij"}
    return "".join(letters[hit.id] for hit in hits)


async def asked(
    neighbours: Neighbours,
    trail: str,
    *,
    limit: int = 10,
    excluded: Sequence[str] = (),
    lately: bool = False,
    at: float = NOW_S,
    tenant: str = "t",
) -> list[Hit]:
    """Return what goes with the items of a trail, newest first."""
    steps = [Step(at, item_id, 1.0) for item_id in trail]
    counts = await neighbours.counts(tenant, trail)
    asking = Asking.of(tenant, steps, counts, at, RULES.half_life_recent_s)
    weights = asking.weights(10, 1.0, lately=lately)
    indices, values = asking.query(weights, RULES.half_life_recent_s, lately=lately)
    query = models.SparseVector(indices=indices, values=values)
    points = [item_point(tenant, item_id) for item_id in excluded]
    return await neighbours.nearest(tenant, query, limit, points)


async def kept(store: VectorStore, item_ids: str = "abcdefghij") -> dict[str, Any]:
    """Return all that a new reader finds of items."""
    reader = neighbours_of(store)
    hoods = await reader.hoods("t", list(item_ids))
    return {
        "hoods": {
            item_id: (
                hood.offsets,
                hood.counts,
                *(c.tolist() for c in (hood.dims, hood.total, hood.recent, hood.times)),
            )
            for item_id, hood in hoods.items()
        },
        "popular": [
            [(hit.id, hit.score) for hit in await reader.popular("t", horizon, 10)]
            for horizon in HALF_LIVES_S
        ],
        "crowd": await reader.crowd("t"),
    }


class Faulty:
    """A store that fails the writes that are told to."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store
        self.writes: list[int] = []
        self.failing: Callable[[int], bool] = lambda n: False

    def __getattr__(self, call: str) -> Any:
        return getattr(self._store, call)

    async def upsert(self, collection_name: str, points: Sequence[models.PointStruct]) -> None:
        self.writes.append(len(points))
        if self.failing(len(self.writes)):
            raise StoreError("no room")
        await self._store.upsert(collection_name, points)


# Counting and finding


async def test_nothing_counted_is_nothing_found(neighbours: Neighbours) -> None:
    assert await asked(neighbours, "ab") == []
    assert await neighbours.popular("t", "heat", 10) == []
    assert await neighbours.hoods("t", ["a"]) == {}
    assert await neighbours.counts("t", ["a"]) == {"a": Counts()}
    assert await neighbours.crowd("t") == Crowd()
    await neighbours.flush()


async def test_what_was_taken_up_by_the_same_users_goes_together(neighbours: Neighbours) -> None:
    for n, trail in enumerate(["abc", "abd", "ab"]):
        await neighbours.count("t", walk(trail, first=10 * n))
    await neighbours.flush()
    assert names(await asked(neighbours, "a"))[0] == "b"
    assert set(names(await asked(neighbours, "a"))) == {"b", "c", "d"}
    assert names(await asked(neighbours, "a", limit=1)) == "b"
    assert set(names(await asked(neighbours, "a", excluded="bx"))) == {"c", "d"}
    assert names(await asked(neighbours, "j")) == ""


async def test_a_score_is_what_the_counts_say(neighbours: Neighbours) -> None:
    await neighbours.count("t", [Occurrence("a", 1, NOW_S, 4.0, 1.0, ())])
    await neighbours.count("t", [Occurrence("b", 2, NOW_S, 2.0, 1.0, (("a", 3.0),))])
    await neighbours.flush()
    (hit,) = await asked(neighbours, "a")
    assert hit.score == pytest.approx(3.0 / math.sqrt(2 + 5) / math.sqrt(4 + 5), rel=1e-5)
    assert hit.id == item_point("t", "b")


async def test_what_goes_together_lately_comes_first_when_that_is_asked(
    neighbours: Neighbours,
) -> None:
    for n in range(3):
        await neighbours.count("t", walk("ab", first=10 * n, at=NOW_S - 70 * DAY_S))
    await neighbours.count("t", walk("ac", first=100))
    await neighbours.flush()
    assert names(await asked(neighbours, "a"))[0] == "b"
    assert names(await asked(neighbours, "a", lately=True))[0] == "c"


async def test_nothing_is_found_before_it_is_flushed_and_counts_are_known_at_once(
    neighbours: Neighbours,
) -> None:
    await neighbours.count("t", walk("ab"))
    assert await asked(neighbours, "a") == []
    assert (await neighbours.counts("t", ["a", "b"]))["b"].total == 1.0
    await neighbours.flush()
    assert names(await asked(neighbours, "a")) == "b"


async def test_the_version_changes_with_what_is_written(neighbours: Neighbours) -> None:
    versions = [neighbours.version]
    await neighbours.count("t", walk("ab"))
    await neighbours.flush()
    versions.append(neighbours.version)
    await neighbours.flush()
    assert neighbours.version == versions[-1] > versions[0]
    await neighbours.delete("t", ["a"])
    assert neighbours.version > versions[-1]


async def test_popularity_is_the_decayed_sum_of_weights_as_a_logarithm(
    neighbours: Neighbours,
) -> None:
    await neighbours.count("t", [Occurrence("a", 1, NOW_S, 1.0, 3.0, ())])
    await neighbours.count("t", [Occurrence("a", 2, NOW_S, 0.0, 1.0, ())])
    await neighbours.count("t", [Occurrence("b", 3, NOW_S - 7 * DAY_S, 1.0, 2.0, ())])
    await neighbours.flush()
    weeks = {hit.id: hit.score for hit in await neighbours.popular("t", "heat", 10)}
    days = {hit.id: hit.score for hit in await neighbours.popular("t", "hot", 10)}
    a, b = item_point("t", "a"), item_point("t", "b")
    assert weeks[a] - weeks[b] == pytest.approx(math.log2(4 / (2 * 0.5)), abs=1e-3)
    assert days[a] - days[b] == pytest.approx(math.log2(4 / (2 * 2**-7)), abs=1e-3)
    assert names(await neighbours.popular("t", "heat", 10)) == "ab"
    assert names(await neighbours.popular("t", "heat", 1, 1)) == "b"


async def test_what_is_hot_is_not_what_is_popular(neighbours: Neighbours) -> None:
    for n in range(20):
        await neighbours.count("t", walk("a", first=n, at=NOW_S - 3 * DAY_S))
    for n in range(5):
        await neighbours.count("t", walk("b", first=100 + n))
    await neighbours.flush()
    assert names(await neighbours.popular("t", "heat", 10)) == "ab"
    assert names(await neighbours.popular("t", "hot", 10)) == "ba"


async def test_what_only_came_before_something_else_is_no_more_popular_for_it(
    neighbours: Neighbours,
) -> None:
    await neighbours.count("t", [Occurrence("a", 1, NOW_S, 0.0, 0.0, (("b", 1.0),))])
    await neighbours.flush()
    assert await neighbours.popular("t", "heat", 10) == []
    assert names(await asked(neighbours, "b")) == "a"


async def test_a_neighbourhood_is_told_as_it_is_stored(neighbours: Neighbours) -> None:
    await neighbours.count("t", walk("abcb"))
    await neighbours.flush()
    hoods = await neighbours.hoods("t", ["b", "x"])
    assert list(hoods) == ["b"]
    hood = hoods["b"]
    assert (hood.offsets, hood.counts.total) == ({0: 4}, 2.0)
    times = dict(zip(hood.dims.tolist(), hood.times.tolist(), strict=True))
    assert times == {dimension("t", "a"): 2.0, dimension("t", "c"): 2.0}


async def test_tenants_are_counted_apart(neighbours: Neighbours) -> None:
    await neighbours.count("t", walk("ab"))
    await neighbours.count("other", walk("acd"))
    await neighbours.flush()
    assert names(await asked(neighbours, "a")) == "b"
    assert names(await asked(neighbours, "a", tenant="other"), "other") == "cd"
    assert len(await neighbours.popular("t", "heat", 10)) == 2
    assert (await neighbours.crowd("t")).counted == 2.0
    assert (await neighbours.crowd("other")).counted == 3.0


async def test_a_crowd_is_how_much_was_taken_up_and_when_last(neighbours: Neighbours) -> None:
    await neighbours.count("t", walk("ab", at=NOW_S))
    await neighbours.count("t", walk("a", first=10, at=NOW_S - DAY_S))
    assert await neighbours.crowd("t") == Crowd(3.0, NOW_S + 60.0)


async def test_more_items_than_fit_in_one_write_are_all_written(neighbours: Neighbours) -> None:
    trail = [Step(NOW_S + n, f"i{n}", 1.0) for n in range(100)]
    for n, step in enumerate(trail):
        await neighbours.count("t", occurrences(trail[:n], step, 1.0, (0, n), RULES))
    await neighbours.flush()
    assert len(await neighbours.popular("t", "heat", 200)) == 100
    assert len(await neighbours.hoods("t", [step.item_id for step in trail])) == 100


# Once, whatever is delivered again


async def test_what_is_delivered_again_counts_no_more(
    store: VectorStore, neighbours: Neighbours
) -> None:
    seen = [*walk("abca", first=1), *walk("bd", first=10)]
    await neighbours.count("t", seen)
    await neighbours.flush()
    once = await kept(store)
    assert set(once["hoods"]) == {"a", "b", "c", "d"}
    await neighbours.count("t", seen)
    await neighbours.flush()
    assert await kept(store) == once
    restarted = neighbours_of(store)
    await restarted.count("t", seen)
    await restarted.flush()
    assert await kept(store) == once


@pytest.mark.parametrize("cut", [1, 4, 7, 9])
async def test_a_restart_goes_on_where_the_store_is(
    store: VectorStore, neighbours: Neighbours, cut: int
) -> None:
    seen = [*walk("abcab", first=1), *walk("bd", first=10), *walk("ca", first=20)]
    await neighbours.count("t", seen[:cut])
    await neighbours.flush()
    restarted = neighbours_of(store)
    await restarted.count("t", seen)
    await restarted.flush()
    in_two = await kept(store)
    for item_id in "abcd":
        await restarted.delete("t", [item_id])
    straight = neighbours_of(store)
    await straight.count("t", seen)
    await straight.flush()
    in_one = await kept(store)
    assert in_two["hoods"].keys() == in_one["hoods"].keys()
    for item_id, (offset, *numbers) in in_one["hoods"].items():
        assert in_two["hoods"][item_id][0] == offset
        # Qdrant Edge may read a number back as the one next to it.
        for found, expected in zip(in_two["hoods"][item_id][1:], numbers, strict=True):
            assert found == pytest.approx(expected, rel=1e-6)
    for found, expected in zip(in_two["popular"], in_one["popular"], strict=True):
        assert dict(found) == pytest.approx(dict(expected), rel=1e-6)


async def test_new_events_count_on_top_of_what_another_reader_stored(
    store: VectorStore, neighbours: Neighbours
) -> None:
    await neighbours.count("t", walk("ab", first=1))
    await neighbours.flush()
    restarted = neighbours_of(store)
    await restarted.count("t", walk("ab", first=10))
    await restarted.flush()
    (hood,) = (await restarted.hoods("t", ["b"])).values()
    assert (hood.counts.total, hood.times.tolist()) == (2.0, [2.0])
    assert (await neighbours_of(store).counts("t", ["b"]))["b"].total == 2.0
    assert (await neighbours_of(store).crowd("t")).counted == 4.0


async def test_pair_counts_survive_closing_and_opening_again(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path / "qdrant")
    await make(store)
    first = neighbours_of(store)
    await first.count("t", [*walk("abc", first=1), *walk("abd", first=10)])
    await first.flush()
    before, found = await kept(store), await asked(first, "ab")
    await store.close()
    again = EdgeStore(tmp_path / "qdrant")
    assert await kept(again) == before
    assert await asked(neighbours_of(again), "ab") == found
    await again.close()


# Deleting


async def test_a_deleted_item_is_forgotten_and_can_come_back(
    store: VectorStore, neighbours: Neighbours
) -> None:
    await neighbours.count("t", walk("abc"))
    await neighbours.flush()
    await neighbours.count("t", walk("ab", first=10))
    await neighbours.delete("t", ["b", "x"])
    await neighbours.flush()
    assert names(await asked(neighbours, "a")) == "c"
    assert "b" not in names(await neighbours.popular("t", "heat", 10))
    assert await neighbours.hoods("t", ["b"]) == {}
    assert await neighbours.counts("t", ["b"]) == {"b": Counts()}
    await neighbours.count("t", walk("ab", first=20))
    await neighbours.flush()
    (hood,) = (await neighbours_of(store).hoods("t", ["b"])).values()
    assert (hood.counts.total, hood.times.tolist()) == (1.0, [1.0])


# Writes that fail


async def test_what_a_flush_could_not_write_is_written_by_the_next(
    store: VectorStore, neighbours: Neighbours
) -> None:
    faulty = Faulty(store)
    counting = neighbours_of(faulty)  # type: ignore[arg-type]
    trail = [Step(NOW_S + n, f"i{n}", 1.0) for n in range(80)]
    for n, step in enumerate(trail):
        await counting.count("t", occurrences(trail[:n], step, 1.0, (0, n), RULES))
    faulty.failing = lambda n: n == 2
    with pytest.raises(StoreError):
        await counting.flush()
    assert await store.count(NEIGHBOURS) == faulty.writes[0] == 32
    await counting.count("t", walk("ab", first=200))
    await counting.flush()
    assert await store.count(NEIGHBOURS) == 82
    assert sum(faulty.writes[2:-1]) == 50
    reader = neighbours_of(store)
    hoods = await reader.hoods("t", [step.item_id for step in trail])
    assert len(hoods) == 80
    assert sum(hood.counts.total for hood in hoods.values()) == 80.0
    assert await reader.crowd("t") == Crowd(82.0, NOW_S + 79.0)


async def test_a_crowd_that_could_not_be_noted_is_noted_by_the_next_flush(
    store: VectorStore, neighbours: Neighbours
) -> None:
    faulty = Faulty(store)
    counting = neighbours_of(faulty)  # type: ignore[arg-type]
    await counting.count("t", walk("ab"))
    faulty.failing = lambda n: n == 2
    with pytest.raises(StoreError):
        await counting.flush()
    assert await neighbours_of(store).crowd("t") == Crowd()
    await counting.flush()
    assert (await neighbours_of(store).crowd("t")).counted == 2.0
    assert faulty.writes == [2, 1, 1]


async def test_a_flush_without_news_writes_nothing(
    store: VectorStore, neighbours: Neighbours
) -> None:
    faulty = Faulty(store)
    counting = neighbours_of(faulty)  # type: ignore[arg-type]
    await counting.count("t", walk("ab"))
    await counting.flush()
    writes = list(faulty.writes)
    await counting.flush()
    await counting.count("t", walk("ab"))
    await counting.flush()
    assert faulty.writes == writes


# several processes


async def test_one_who_has_lost_the_items_overwrites_no_counts(store: VectorStore) -> None:
    await make(store)
    old, new = (Neighbours(store, RULES, HALF_LIVES_S, guarded=True) for _ in range(2))
    await old.take([0])
    await old.count("t", walk("ab", first=1))
    await new.take([0])
    await new.count("t", walk("abab", first=1))
    await new.flush()
    await old.flush()
    stored = await new.hoods("t", ["a", "b"])
    assert {name: hood.counts.total for name, hood in stored.items()} == {"a": 2.0, "b": 2.0}


async def test_who_takes_items_again_counts_on_from_what_others_stored(store: VectorStore) -> None:
    await make(store)
    one, other = (Neighbours(store, RULES, HALF_LIVES_S, guarded=True) for _ in range(2))
    await one.take([0])
    await one.count("t", walk("ab", first=1))
    await one.release([0])
    await other.take([0])
    await other.count("t", walk("ab", first=10))
    await other.release([0])
    await one.take([0])
    await one.count("t", walk("ab", first=20))
    await one.flush()
    assert (await one.hoods("t", ["b"]))["b"].counts.total == 3.0
    assert (await one.crowd("t")).counted == 6.0


async def test_what_could_not_be_written_on_release_is_forgotten(tmp_path: Path) -> None:
    class Failing(EdgeStore):
        fails = False

        async def upsert_unless_older(self, *args: Any, **kwargs: Any) -> None:
            if self.fails:
                raise StoreError("away for a moment")
            await super().upsert_unless_older(*args, **kwargs)

    store = Failing(tmp_path / "qdrant")
    await make(store)
    neighbours = Neighbours(store, RULES, HALF_LIVES_S, guarded=True)
    await neighbours.take([0])
    await neighbours.count("t", walk("ab", first=1))
    store.fails = True
    with pytest.raises(StoreError):
        await neighbours.release([0])
    store.fails = False
    await neighbours.take([0])
    await neighbours.flush()
    assert await neighbours.hoods("t", ["a", "b"]) == {}
    await store.close()


async def test_events_of_each_partition_are_told_apart(neighbours: Neighbours) -> None:
    for partition in (0, 1):
        for _ in range(2):  # delivered again
            one = Occurrence("a", 7, NOW_S, 1.0, 1.0, (("b", 1.0),), partition)
            await neighbours.count("t", [one])
    await neighbours.flush()
    (hood,) = (await neighbours.hoods("t", ["a"])).values()
    assert (hood.counts.total, hood.offsets) == (2.0, {0: 7, 1: 7})
