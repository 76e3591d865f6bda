"""The collections are made on every engine, and checked against the settings ever after."""

from __future__ import annotations

import pytest
from qdrant_client import models

from indexer.domain.ids import point_id
from indexer.errors import SchemaMismatch
from indexer.ports import CHANNELS, VectorStore
from indexer.stores.schema import (
    COLLECTIONS,
    ITEMS,
    NEIGHBOURS,
    PROFILES,
    TERMS,
    USERS,
    LogIdentity,
    is_older,
    prepare,
)
from indexer.stores.terms import Cursors, Notes, forget_folded

pytestmark = pytest.mark.anyio

LOG = LogIdentity("sqlite", 1)


async def test_all_collections_are_made_with_their_vectors_and_indexes(store: VectorStore) -> None:
    await prepare(store, dim=16, embedder="e1", log=LOG)
    for collection in COLLECTIONS:
        dim = collection.dim or 16
        expected = {name: (dim, distance) for name, distance in collection.vectors.items()}
        assert await store.vectors_of(collection.name) == expected
        assert await store.payload_indexes(collection.name) == dict(collection.indexes)


async def test_preparing_again_is_quiet_and_keeps_what_is_stored(store: VectorStore) -> None:
    await prepare(store, dim=16, embedder="e1", log=LOG)
    kept = models.PointStruct(id="1b4e28ba-2fa1-51d2-883f-0016d3cca427", vector={}, payload={})
    await store.upsert(USERS, [kept])
    terms = await store.count(TERMS)
    await prepare(store, dim=16, embedder="e1", log=LOG)
    assert await store.count(USERS) == 1
    assert await store.count(TERMS) == terms


async def test_a_missing_collection_is_made_again_and_the_others_are_kept(
    store: VectorStore,
) -> None:
    await prepare(store, dim=16, embedder="e1", log=LOG)
    kept = models.PointStruct(id="1b4e28ba-2fa1-51d2-883f-0016d3cca427", vector={}, payload={})
    await store.upsert(ITEMS, [kept])
    await store.delete_collection(USERS)
    await prepare(store, dim=16, embedder="e1", log=LOG)
    assert await store.collection_exists(USERS)
    assert await store.count(ITEMS) == 1


async def test_a_missing_index_is_made_on_a_collection_that_is_there(store: VectorStore) -> None:
    content = {"content": models.VectorParams(size=16, distance=models.Distance.COSINE)}
    await store.create_collection(ITEMS, content)
    await prepare(store, dim=16, embedder="e1", log=LOG)
    assert "tenant" in await store.payload_indexes(ITEMS)


async def test_another_dimension_is_refused_with_the_setting_to_change(store: VectorStore) -> None:
    await prepare(store, dim=16, embedder="e1", log=LOG)
    with pytest.raises(SchemaMismatch, match="RECSVC_EMBEDDING_DIM=16"):
        await prepare(store, dim=32, embedder="e1", log=LOG)
    await prepare(store, dim=16, embedder="e1", log=LOG)


async def test_another_distance_is_refused(store: VectorStore) -> None:
    content = {"content": models.VectorParams(size=16, distance=models.Distance.EUCLID)}
    await store.create_collection(ITEMS, content)
    with pytest.raises(SchemaMismatch, match=ITEMS):
        await prepare(store, dim=16, embedder="e1", log=LOG)


async def test_a_collection_without_the_vector_is_refused(store: VectorStore) -> None:
    other = {"other": models.VectorParams(size=16, distance=models.Distance.COSINE)}
    await store.create_collection(ITEMS, other)
    with pytest.raises(SchemaMismatch, match=ITEMS):
        await prepare(store, dim=16, embedder="e1", log=LOG)


async def test_another_embedder_is_refused_and_both_are_named(store: VectorStore) -> None:
    await prepare(store, dim=16, embedder="e1", log=LOG)
    with pytest.raises(SchemaMismatch, match=r"'e1'(.|\n)*'e2'"):
        await prepare(store, dim=16, embedder="e2", log=LOG)
    await prepare(store, dim=16, embedder="e1", log=LOG)


@pytest.mark.parametrize("other", [LogIdentity("kafka", 1), LogIdentity("sqlite", 16)], ids=str)
async def test_another_log_is_refused_and_both_are_named(
    store: VectorStore, other: LogIdentity
) -> None:
    await prepare(store, dim=16, embedder="e1", log=LOG)
    with pytest.raises(SchemaMismatch, match=f"from {LOG}, the settings choose {other}"):
        await prepare(store, dim=16, embedder="e1", log=other)
    await prepare(store, dim=16, embedder="e1", log=LOG)


async def test_another_layout_is_refused(store: VectorStore) -> None:
    await prepare(store, dim=16, embedder="e1", log=LOG)
    records, _ = await store.scroll(TERMS)
    (meta,) = [record for record in records if "version" in (record.payload or {})]
    newer = (meta.payload or {})["version"] + 1
    payload = {**(meta.payload or {}), "version": newer}
    await store.upsert(TERMS, [models.PointStruct(id=meta.id, vector={}, payload=payload)])
    with pytest.raises(SchemaMismatch, match=f"layout {newer}"):
        await prepare(store, dim=16, embedder="e1", log=LOG)


# layouts


async def remember_layout(store: VectorStore, version: int) -> None:
    """Have the collections be of a layout, as that version would have noted it."""
    payload = {"embedder": "e1", "dim": 16, "version": version}
    note = models.PointStruct(id=point_id("meta", "", "schema"), vector={}, payload=payload)
    await store.upsert(TERMS, [note])


async def cursors(store: VectorStore) -> dict[str, int]:
    """Return the cursor of each channel of a log of one partition."""
    return {channel: (await Cursors(store).read(channel, [0]))[0] for channel in CHANNELS}


async def make_first_layout(store: VectorStore) -> None:
    """Make the collections of layout 1, with a point in each."""
    sizes = {ITEMS: 16, USERS: 16, PROFILES: 16, TERMS: 16, "signals": 1}
    names = {ITEMS: ["content"], USERS: ["long", "short"], PROFILES: ["profile"]}
    names |= {TERMS: ["content"], "signals": ["heat"]}
    for collection, size in sizes.items():
        cosine = collection in (ITEMS, TERMS)
        distance = models.Distance.COSINE if cosine else models.Distance.DOT
        params = models.VectorParams(size=size, distance=distance)
        await store.create_collection(collection, dict.fromkeys(names[collection], params))
        kept = models.PointStruct(id=point_id("test", "t", collection), vector={}, payload={})
        await store.upsert(collection, [kept])
    await remember_layout(store, 1)
    await Cursors(store).write({"events": {0: 7_000}, "items": {0: 300}})


async def test_an_empty_store_and_one_of_this_layout_are_no_older(store: VectorStore) -> None:
    assert not await is_older(store)
    await prepare(store, dim=16, embedder="e1", log=LOG)
    assert not await is_older(store)


async def test_a_store_that_was_left_half_made_is_no_older(store: VectorStore) -> None:
    content = {"content": models.VectorParams(size=16, distance=models.Distance.COSINE)}
    await store.create_collection(TERMS, content)
    assert not await is_older(store)


async def test_collections_of_the_first_layout_are_older(store: VectorStore) -> None:
    await make_first_layout(store)
    assert await is_older(store)


async def test_a_newer_layout_is_not_older_and_is_refused(store: VectorStore) -> None:
    await prepare(store, dim=16, embedder="e1", log=LOG)
    await remember_layout(store, 99)
    assert not await is_older(store)
    with pytest.raises(SchemaMismatch, match="layout 99"):
        await prepare(store, dim=16, embedder="e1", log=LOG)


async def test_what_is_folded_is_forgotten_and_all_else_is_kept(store: VectorStore) -> None:
    await make_first_layout(store)
    await forget_folded(store, 1)
    left = [name for name in (ITEMS, PROFILES, TERMS) if await store.collection_exists(name)]
    assert left == [ITEMS, PROFILES, TERMS]
    for gone in (USERS, NEIGHBOURS, "signals"):
        assert not await store.collection_exists(gone)
    assert await store.count(ITEMS) == await store.count(PROFILES) == 1
    assert await cursors(store) == {"events": 0, "pairs": 0, "items": 300}


async def test_forgetting_again_after_a_crash_changes_nothing_more(store: VectorStore) -> None:
    await make_first_layout(store)
    await forget_folded(store, 1)
    assert await is_older(store)  # until the new layout is prepared
    await forget_folded(store, 1)
    assert await cursors(store) == {"events": 0, "pairs": 0, "items": 300}


async def test_collections_that_forgot_what_was_folded_become_of_this_layout(
    store: VectorStore,
) -> None:
    await make_first_layout(store)
    await forget_folded(store, 1)
    await prepare(store, dim=16, embedder="e1", log=LOG)
    assert not await is_older(store)
    assert await store.count(USERS) == await store.count(NEIGHBOURS) == 0
    assert await store.count(ITEMS) == 1
    assert await cursors(store) == {"events": 0, "pairs": 0, "items": 300}


async def test_an_older_layout_by_another_embedder_is_refused_and_stays_older(
    store: VectorStore,
) -> None:
    await make_first_layout(store)
    await forget_folded(store, 1)
    with pytest.raises(SchemaMismatch, match="'e2'"):
        await prepare(store, dim=16, embedder="e2", log=LOG)
    assert await is_older(store)


async def test_the_present_layout_can_forget_what_is_folded_too(store: VectorStore) -> None:
    await prepare(store, dim=16, embedder="e1", log=LOG)
    await Cursors(store).write({"events": {0: 5}})
    await forget_folded(store, 1)
    assert not await store.collection_exists(NEIGHBOURS)
    await prepare(store, dim=16, embedder="e1", log=LOG)
    assert await store.count(NEIGHBOURS) == 0
    assert (await cursors(store))["events"] == 0


# notes


async def test_a_note_is_read_as_it_was_written_last_and_is_empty_before(
    store: VectorStore,
) -> None:
    await prepare(store, dim=16, embedder="e1", log=LOG)
    notes = Notes(store)
    assert await notes.read("weights") == {}
    await notes.write("weights", {"a": [1, 2.5], "b": {"c": None}})
    await notes.write("others", {"a": 0})
    await notes.write("weights", {"a": [3]})
    assert await Notes(store).read("weights") == {"a": [3]}
    assert await notes.read("others") == {"a": 0}
    assert not await is_older(store)
