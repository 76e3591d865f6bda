"""What collections are set up like by size, what they are called, and which points are newer."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models

from indexer.errors import StoreError
from indexer.settings import Settings
from indexer.stores.generations import generation_of, newest_generation, physical
from indexer.stores.newer import newest, not_above, not_older
from indexer.stores.sizes import SIZES, SizeName

LARGE = {"content": models.VectorParams(size=1536, distance=models.Distance.COSINE)}
TINY = {"heat": models.VectorParams(size=1, distance=models.Distance.DOT)}
NEAR = {"near": models.SparseVectorParams()}
FLAT = models.HnswConfigDiff(m=0)


# sizes


def test_there_is_a_plan_for_every_size_that_can_be_set():
    assert set(SIZES) == set(get_args(SizeName))
    assert set(get_args(Settings.model_fields["qdrant_size"].annotation)) == set(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_every_argument_is_one_that_a_server_of_the_oldest_version_takes(name: SizeName):
    for hnsw in (None, FLAT):
        created = SIZES[name].creation(LARGE | TINY, NEAR, hnsw)
        wanted = models.CreateCollection(
            vectors=created.pop("vectors_config"),
            sparse_vectors=created.pop("sparse_vectors_config"),
            **created,
        )
        assert '"memory"' not in wanted.model_dump_json(exclude_none=True)  # of 1.19


@pytest.mark.parametrize(
    ("name", "bits", "on_disk"),
    [
        ("100k", None, False),
        ("1m", models.TurboQuantBitSize.BITS4, True),
        ("10m", models.TurboQuantBitSize.BITS2, True),
        ("100m", models.TurboQuantBitSize.BITS1, True),
    ],
)
def test_searched_vectors_are_in_memory_as_they_are_or_as_a_copy(
    name: SizeName, bits: models.TurboQuantBitSize | None, on_disk: bool
):
    created = SIZES[name].creation(LARGE, {}, None)
    assert created["vectors_config"]["content"].on_disk is on_disk
    assert created["hnsw_config"].m > 0
    if bits is None:
        assert "quantization_config" not in created
    else:
        copy = created["quantization_config"].turbo
        assert (copy.bits, copy.always_ram) == (bits, True)


@pytest.mark.parametrize("name", SIZES)
def test_vectors_that_nobody_searches_have_no_graph_and_no_copy(name: SizeName):
    created = SIZES[name].creation(LARGE | TINY, NEAR, FLAT)
    assert created["hnsw_config"] == FLAT
    assert "quantization_config" not in created
    vectors = created["vectors_config"]
    assert vectors["content"].on_disk is (name != "100k")
    assert vectors["heat"].on_disk is False  # scanned as a whole, and tiny
    index = created["sparse_vectors_config"]["near"].index
    assert bool(index and index.on_disk) is (name == "100m")


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("rows", [1, 10, 100, 5_000])
def test_what_a_copy_finds_is_scored_again_in_full(name: SizeName, rows: int):
    params = SIZES[name].search(rows)
    assert params.hnsw_ef is not None
    if SIZES[name].bits is None:
        assert params.quantization is None
        return
    again = params.quantization
    assert again is not None
    assert again.rescore
    assert again.oversampling is not None
    assert again.oversampling * rows >= max(SIZES[name].rescored_min, rows)


def test_the_given_parameters_are_not_changed():
    SIZES["100m"].creation(LARGE, NEAR, None)
    assert LARGE["content"].on_disk is None
    assert NEAR["near"].index is None


# names


@given(st.text("ab-1", max_size=6), st.integers(1, 10**6))
def test_a_generation_is_read_from_the_name_that_it_was_given(alias: str, generation: int):
    assert generation_of(alias, physical(alias, generation)) == generation


@pytest.mark.parametrize(
    "name",
    ["items", "items-", "items-0", "items-01", "items--1", "items-1-2", "xitems-1", "users-1"],
)
def test_other_names_are_of_no_generation(name: str):
    assert generation_of("items", name) is None


def test_the_newest_generation_is_of_the_prefix_alone():
    aliases = {"a-items": "a-items-2", "a-users": "a-users-1", "b-items": "b-items-9", "a-x": "y-7"}
    assert newest_generation(aliases, "a-") == 2
    assert newest_generation(aliases, "b-") == 9
    assert newest_generation(aliases, "c-") == 0
    assert newest_generation({}, "") == 0


# newer points


def point(point_id: int, number: Any, turn: int = 0) -> models.PointStruct:
    return models.PointStruct(id=point_id, vector={}, payload={"at": number, "turn": turn})


NUMBERED = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12)


@given(NUMBERED)
def test_of_each_id_the_last_of_the_newest_is_kept(numbered: list[tuple[int, int]]):
    points = [point(one, number, turn) for turn, (one, number) in enumerate(numbered)]
    kept = newest(points, "at")
    for one in kept:
        assert one.payload is not None
        same = [(p.payload or {}) for p in points if p.id == one.id]
        assert (one.payload["at"], one.payload["turn"]) == max((s["at"], s["turn"]) for s in same)
    assert {one.id for one in kept} == {one.id for one in points}
    assert len(kept) == len({one.id for one in kept})


@given(NUMBERED, st.dictionaries(st.integers(0, 5), st.integers(0, 5)))
def test_a_point_is_not_older_where_nothing_or_no_higher_number_is_stored(
    numbered: list[tuple[int, int]], stored: dict[int, int]
):
    points = newest([point(one, number) for one, number in numbered], "at")
    payloads = {str(one): {"at": number} for one, number in stored.items()}
    left = {one.id for one in not_older(points, "at", payloads)}
    for one in points:
        number = (one.payload or {})["at"]
        assert (one.id in left) == (one.id not in stored or stored[one.id] <= number)


def test_stored_points_without_a_number_are_older():
    points = [point(1, 0), point(2, 0)]
    stored: dict[str, Any] = {"1": None, "2": {"other": 5}}
    assert not_older(points, "at", stored) == points


def test_the_condition_holds_points_of_one_number_together():
    where = not_above([point(1, 7), point(2, 8), point(3, 7)], "at")
    assert isinstance(where.must_not, list)
    ids = [clause.must[0].has_id for clause in where.must_not]  # type: ignore[union-attr, index]
    assert ids == [[1, 3], [2]]


@pytest.mark.parametrize("number", [None, "7", True, float("nan")], ids=str)
def test_a_point_without_a_number_is_refused(number: Any):
    with pytest.raises(StoreError, match="no number 'at'"):
        newest([point(1, 1), point(2, number)], "at")
