"""The collections are made on every engine, and checked against the settings ever after."""

from __future__ import annotations

import pytest
from qdrant_client import models

from indexer.errors import SchemaMismatch
from indexer.ports import VectorStore
from indexer.stores.schema import COLLECTIONS, ITEMS, TERMS, USERS, prepare

pytestmark = pytest.mark.anyio


async def test_all_collections_are_made_with_their_vectors_and_indexes(store: VectorStore) -> None:
    await prepare(store, dim=16, embedder="e1")
    for collection in COLLECTIONS:
        dim = collection.dim or 16
        expected = {name: (dim, distance) for name, distance in collection.vectors.items()}
        assert await store.vectors_of(collection.name) == expected
        assert await store.payload_indexes(collection.name) == dict(collection.indexes)


async def test_preparing_again_is_quiet_and_keeps_what_is_stored(store: VectorStore) -> None:
    await prepare(store, dim=16, embedder="e1")
    kept = models.PointStruct(id="1b4e28ba-2fa1-51d2-883f-0016d3cca427", vector={}, payload={})
    await store.upsert(USERS, [kept])
    terms = await store.count(TERMS)
    await prepare(store, dim=16, embedder="e1")
    assert await store.count(USERS) == 1
    assert await store.count(TERMS) == terms


async def test_a_missing_collection_is_made_again_and_the_others_are_kept(
    store: VectorStore,
) -> None:
    await prepare(store, dim=16, embedder="e1")
    kept = models.PointStruct(id="1b4e28ba-2fa1-51d2-883f-0016d3cca427", vector={}, payload={})
    await store.upsert(ITEMS, [kept])
    await store.delete_collection(USERS)
    await prepare(store, dim=16, embedder="e1")
    assert await store.collection_exists(USERS)
    assert await store.count(ITEMS) == 1


async def test_a_missing_index_is_made_on_a_collection_that_is_there(store: VectorStore) -> None:
    content = {"content": models.VectorParams(size=16, distance=models.Distance.COSINE)}
    await store.create_collection(ITEMS, content)
    await prepare(store, dim=16, embedder="e1")
    assert "tenant" in await store.payload_indexes(ITEMS)


async def test_another_dimension_is_refused_with_the_setting_to_change(store: VectorStore) -> None:
    await prepare(store, dim=16, embedder="e1")
    with pytest.raises(SchemaMismatch, match="RECSVC_EMBEDDING_DIM=16"):
        await prepare(store, dim=32, embedder="e1")
    await prepare(store, dim=16, embedder="e1")


async def test_another_distance_is_refused(store: VectorStore) -> None:
    content = {"content": models.VectorParams(size=16, distance=models.Distance.EUCLID)}
    await store.create_collection(ITEMS, content)
    with pytest.raises(SchemaMismatch, match=ITEMS):
        await prepare(store, dim=16, embedder="e1")


async def test_a_collection_without_the_vector_is_refused(store: VectorStore) -> None:
    other = {"other": models.VectorParams(size=16, distance=models.Distance.COSINE)}
    await store.create_collection(ITEMS, other)
    with pytest.raises(SchemaMismatch, match=ITEMS):
        await prepare(store, dim=16, embedder="e1")


async def test_another_embedder_is_refused_and_both_are_named(store: VectorStore) -> None:
    await prepare(store, dim=16, embedder="e1")
    with pytest.raises(SchemaMismatch, match=r"'e1'(.|\n)*'e2'"):
        await prepare(store, dim=16, embedder="e2")
    await prepare(store, dim=16, embedder="e1")


async def test_another_layout_is_refused(store: VectorStore) -> None:
    await prepare(store, dim=16, embedder="e1")
    records, _ = await store.scroll(TERMS)
    (meta,) = [record for record in records if "version" in (record.payload or {})]
    newer = (meta.payload or {})["version"] + 1
    payload = {**(meta.payload or {}), "version": newer}
    await store.upsert(TERMS, [models.PointStruct(id=meta.id, vector={}, payload=payload)])
    with pytest.raises(SchemaMismatch, match=f"layout {newer}"):
        await prepare(store, dim=16, embedder="e1")
