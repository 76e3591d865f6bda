"""What a Qdrant server or cluster adds: nodes, versions, aliases, sizes, and its errors."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest
from engines import (
    CONTENT,
    HEAT,
    NEAR,
    SERVER_URL,
    SERVERS,
    UNSEARCHED,
    connected,
    eq,
    make_point,
    numbers,
    pid,
    port_of,
    sparse,
    sparse_point,
    tidy,
)
from node_proxy import NodeProxy
from qdrant_client import AsyncQdrantClient, models
from scripted_qdrant import Answer, Asked, ScriptedQdrant

from indexer.errors import SchemaMismatch, StoreError, StoreUnavailable
from indexer.ports import VectorStore
from indexer.settings import load_settings
from indexer.stores import nodes, open_store, server
from indexer.stores.nodes import Nodes, connect
from indexer.stores.server import Layout, ServerStore
from indexer.stores.server_collections import Collections, Server

pytestmark = pytest.mark.anyio

X = [1.0, 0, 0, 0, 0, 0, 0, 0]
FREE_PORT_URL = "http://127.0.0.1:9"
"""Nothing listens on the discard port."""


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which server, and by which protocol."""
    return str(request.param)


@pytest.fixture
def url(kind: str, qdrant_url: str) -> str:
    """The server's address."""
    return SERVER_URL if kind == "server" else qdrant_url


@pytest.fixture
async def prefix(url: str) -> AsyncIterator[str]:
    """A prefix of collections that are deleted afterwards."""
    chosen = f"test-{uuid.uuid4().hex[:12]}-"
    yield chosen
    await tidy(url, chosen)


@pytest.fixture
async def raw(url: str) -> AsyncIterator[AsyncQdrantClient]:
    """The server without our adapter."""
    client = AsyncQdrantClient(url=url, check_compatibility=False, trust_env=False)
    yield client
    await client.close()


@pytest.fixture
async def store(kind: str, qdrant_url: str, prefix: str) -> AsyncIterator[ServerStore]:
    """A store with no collections."""
    opened = connected(kind, qdrant_url, prefix)
    yield opened
    await opened.close()


async def behind(raw: AsyncQdrantClient, alias: str) -> str | None:
    """Return the collection that an alias stands for."""
    found = {one.alias_name: one.collection_name for one in (await raw.get_aliases()).aliases}
    return found.get(alias)


async def names(raw: AsyncQdrantClient, prefix: str) -> list[str]:
    """List the collections of a prefix, without it."""
    found = (one.name for one in (await raw.get_collections()).collections)
    return sorted(name.removeprefix(prefix) for name in found if name.startswith(prefix))


# aliases


async def test_a_collection_is_made_behind_an_alias_and_both_go_together(
    store: ServerStore, raw: AsyncQdrantClient, prefix: str
) -> None:
    await store.create_collection("items", CONTENT)
    assert await behind(raw, f"{prefix}items") == f"{prefix}items-1"
    await store.delete_collection("items")
    assert await behind(raw, f"{prefix}items") is None
    assert await names(raw, prefix) == []


async def test_a_switch_moves_the_aliases_and_deletes_what_was_behind_them(
    store: ServerStore, raw: AsyncQdrantClient, prefix: str
) -> None:
    for name in ("items", "users", "kept"):
        await store.create_collection(name, CONTENT)
    other = await store.beside()
    for name in ("items", "users"):
        await other.create_collection(name, CONTENT)
    assert await names(raw, prefix) == ["items-1", "items-2", "kept-1", "users-1", "users-2"]
    await store.switch_to(other)
    assert await names(raw, prefix) == ["items-2", "kept-1", "users-2"]
    assert await behind(raw, f"{prefix}users") == f"{prefix}users-2"
    assert await store.collection_exists("kept")


async def test_another_process_follows_a_switch_at_once(
    kind: str, qdrant_url: str, store: ServerStore, prefix: str
) -> None:
    await store.create_collection("items", CONTENT)
    await store.upsert("items", [make_point(1, {"content": X})])
    another = connected(kind, qdrant_url, prefix)
    assert await another.count("items") == 1
    other = await store.beside()
    await other.create_collection("items", CONTENT)
    await other.upsert("items", [make_point(n, {"content": X}) for n in (2, 3)])
    await store.switch_to(other)
    assert await another.count("items") == 2
    await another.upsert("items", [make_point(4, {"content": X})])
    assert await store.count("items") == 3
    await another.close()


async def test_what_is_made_after_a_switch_is_of_its_generation(
    store: ServerStore, raw: AsyncQdrantClient, prefix: str
) -> None:
    await store.create_collection("items", CONTENT)
    other = await store.beside()
    await other.create_collection("items", CONTENT)
    await store.switch_to(other)
    await store.create_collection("users", CONTENT)
    assert await names(raw, prefix) == ["items-2", "users-2"]


async def test_a_collection_of_an_earlier_version_is_used_as_it_is(
    store: ServerStore, raw: AsyncQdrantClient, prefix: str
) -> None:
    await raw.create_collection(f"{prefix}items", CONTENT)
    assert await store.collection_exists("items")
    with pytest.raises(StoreError, match="exists already"):
        await store.create_collection("items", CONTENT)
    await store.create_payload_index("items", "tenant", models.PayloadSchemaType.KEYWORD)
    await store.upsert("items", [make_point(1, {"content": X})])
    assert numbers(await store.query_points("items", X, using="content")) == [1]
    assert await names(raw, prefix) == ["items"]
    await store.delete_collection("items")
    assert await names(raw, prefix) == []


async def test_a_switch_replaces_collections_of_an_earlier_version(
    store: ServerStore, raw: AsyncQdrantClient, prefix: str
) -> None:
    await raw.create_collection(f"{prefix}items", CONTENT)
    await store.create_collection("users", CONTENT)
    other = await store.beside()
    for name in ("items", "users"):
        await other.create_collection(name, CONTENT)
        await other.upsert(name, [make_point(1, {"content": X})])
    await store.switch_to(other)
    assert await names(raw, prefix) == ["items-2", "users-2"]
    assert await store.count("items") == await store.count("users") == 1


async def test_a_collection_whose_alias_was_not_made_in_time_is_taken_with_all_it_has(
    store: ServerStore, raw: AsyncQdrantClient, prefix: str
) -> None:
    await store.create_collection("items", CONTENT)
    await store.upsert("items", [make_point(1, {"content": X})])
    gone = models.DeleteAlias(alias_name=f"{prefix}items")
    await raw.update_collection_aliases([models.DeleteAliasOperation(delete_alias=gone)])
    assert not await store.collection_exists("items")
    await store.create_collection("items", CONTENT)
    assert await store.count("items") == 1


async def test_processes_that_start_together_make_one_collection(
    kind: str, qdrant_url: str, raw: AsyncQdrantClient, prefix: str
) -> None:
    stores = [connected(kind, qdrant_url, prefix) for _ in range(4)]
    made = await asyncio.gather(
        *(one.create_collection("items", CONTENT) for one in stores), return_exceptions=True
    )
    assert all(one is None or isinstance(one, StoreError) for one in made)
    assert None in made
    assert await names(raw, prefix) == ["items-1"]
    await stores[0].upsert("items", [make_point(1, {"content": X})])
    assert [await one.count("items") for one in stores] == [1] * 4
    for one in stores:
        await one.close()


async def test_stores_with_different_prefixes_share_a_server(
    kind: str, qdrant_url: str, store: ServerStore, prefix: str
) -> None:
    await store.create_collection("items", CONTENT)
    another = connected(kind, qdrant_url, f"{prefix}b-")
    assert not await another.collection_exists("items")
    await another.create_collection("items", CONTENT)
    await another.upsert("items", [make_point(1, {"content": X})])
    assert await store.count("items") == 0
    await another.close()


async def test_a_store_beside_another_shares_its_connection_and_ends_without_it(
    store: ServerStore,
) -> None:
    await store.create_collection("items", CONTENT)
    other = await store.beside()
    await other.close()
    with pytest.raises(StoreError, match="closed"):
        await other.ping()
    await store.ping()
    other = await store.beside()
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await other.ping()


# sizes


def sized(kind: str, url: str, prefix: str, **layout: Any) -> ServerStore:
    """Connect with a layout."""
    opened = connected(kind, url, prefix)
    shared = replace(opened._collections.server, layout=Layout(prefix=prefix, **layout))
    return ServerStore(Collections(shared))


async def test_items_of_a_large_catalogue_have_a_copy_in_memory_and_others_have_none(
    kind: str, qdrant_url: str, raw: AsyncQdrantClient, prefix: str
) -> None:
    store = sized(kind, qdrant_url, prefix, size="100m", shards=2)
    await store.create_collection("items", CONTENT)
    await store.create_collection("web", HEAT, sparse_vectors_config=NEAR, hnsw_config=UNSEARCHED)
    items = (await raw.get_collection(f"{prefix}items")).config
    assert items.quantization_config == models.TurboQuantization(
        turbo=models.TurboQuantQuantizationConfig(
            bits=models.TurboQuantBitSize.BITS1, always_ram=True
        )
    )
    assert (items.hnsw_config.m, items.hnsw_config.on_disk) == (16, True)
    assert items.params.on_disk_payload
    assert items.params.shard_number == 2
    web = (await raw.get_collection(f"{prefix}web")).config
    assert (web.hnsw_config.m, web.quantization_config) == (0, None)
    assert web.params.sparse_vectors is not None
    near = web.params.sparse_vectors["near"].index
    assert near is not None
    assert near.on_disk
    await store.close()


@pytest.mark.parametrize("size", ["100k", "1m", "10m", "100m"])
async def test_searches_find_the_same_at_every_size(
    kind: str, qdrant_url: str, prefix: str, size: str
) -> None:
    store = sized(kind, qdrant_url, prefix, size=size)
    await store.create_collection("items", CONTENT)
    await store.create_collection("web", HEAT, sparse_vectors_config=NEAR, hnsw_config=UNSEARCHED)
    rows = [[1.0, n / 10, 0, 0, 0, 0, 0, 0] for n in range(8)]
    points = [make_point(n, {"content": row}, odd=bool(n % 2)) for n, row in enumerate(rows)]
    await store.upsert("items", points)
    await store.upsert("web", [sparse_point(n, {3: float(n)}, n) for n in range(1, 4)])
    odd = models.Filter(must=[eq("odd", True)])
    found = await store.query_points("items", X, using="content", query_filter=odd, limit=3)
    assert numbers(found) == [1, 3, 5]
    varied = models.NearestQuery(nearest=X, mmr=models.Mmr(diversity=0.0, candidates_limit=5))
    assert numbers(await store.query_points("items", varied, using="content", limit=2)) == [0, 1]
    assert numbers(await store.query_points("web", [1.0], using="heat")) == [3, 2, 1]
    assert numbers(await store.query_points("web", sparse({3: 1.0}), using="near")) == [3, 2, 1]
    await store.close()


async def test_a_server_keeps_what_it_has_answered_and_local_mode_nothing(
    store: ServerStore,
) -> None:
    assert store.durable
    local = ServerStore.local()
    assert not local.durable
    await local.close()


# nodes


@asynccontextmanager
async def in_cluster(
    kind: str, url: str, prefix: str
) -> AsyncIterator[tuple[ServerStore, NodeProxy, NodeProxy]]:
    """Two nodes, which are proxies before one server, and a store that knows both."""
    port = port_of(kind, url)
    async with NodeProxy(port) as first, NodeProxy(port) as second:
        made = [
            connect(f"http://127.0.0.1:{one.port}", None, one.port if kind == "grpc" else None)
            for one in (first, second)
        ]
        shared = Server(Nodes(made, aside_s=0.2), Layout(prefix=prefix))
        store = ServerStore(Collections(shared))
        try:
            yield store, first, second
        finally:
            await store.close()


async def test_reads_and_writes_go_on_while_a_node_is_down(
    kind: str, url: str, prefix: str
) -> None:
    async with in_cluster(kind, url, prefix) as (store, first, second):
        await store.create_collection("items", CONTENT)
        assert second.passed == 0
        await first.down()
        began = time.monotonic()
        await store.upsert("items", [make_point(1, {"content": X})])
        assert await store.count("items") == 1
        assert numbers(await store.query_points("items", X, using="content")) == [1]
        await store.delete("items", [pid(1)])
        assert await store.retrieve("items", [pid(1)]) == []
        assert time.monotonic() - began < nodes.READ.short_s
        assert second.passed > 0


async def test_a_node_that_answers_again_is_used_again(kind: str, url: str, prefix: str) -> None:
    async with in_cluster(kind, url, prefix) as (store, first, second):
        await store.create_collection("items", CONTENT)
        await first.down()
        await store.count("items")
        await first.up()
        async with asyncio.timeout(20):
            while True:
                before = second.passed
                await store.count("items")
                if second.passed == before:
                    break
                await asyncio.sleep(0.02)
        await second.down()
        assert await store.count("items") == 0


async def test_a_node_that_hangs_costs_one_short_wait_and_no_more(
    kind: str, url: str, prefix: str
) -> None:
    async with in_cluster(kind, url, prefix) as (store, first, _):
        await store.create_collection("items", CONTENT)
        first.hang()
        began = time.monotonic()
        assert await store.count("items") == 0
        waited_s = time.monotonic() - began
        assert nodes.READ.short_s <= waited_s < nodes.READ.short_s + 1.0
        began = time.monotonic()
        for _ in range(20):  # beyond the time aside, in which it is asked in the background
            assert await store.count("items") == 0
            await asyncio.sleep(0.02)
        assert time.monotonic() - began < nodes.READ.short_s


async def test_no_node_that_answers_is_an_outage_and_the_first_to_come_back_ends_it(
    kind: str, url: str, prefix: str
) -> None:
    async with in_cluster(kind, url, prefix) as (store, first, second):
        await store.create_collection("items", CONTENT)
        await first.down()
        await second.down()
        with pytest.raises(StoreUnavailable):
            await store.count("items")
        with pytest.raises(StoreUnavailable):
            await store.upsert("items", [make_point(1, {"content": X})])
        await second.up()
        async with asyncio.timeout(20):
            while True:
                try:
                    assert await store.count("items") == 0
                    break
                except StoreUnavailable:
                    await asyncio.sleep(0.02)


async def test_a_connection_that_ended_while_it_lay_idle_is_no_outage(
    kind: str, url: str, prefix: str
) -> None:
    async with NodeProxy(port_of(kind, url)) as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        grpc_port = proxy.port if kind == "grpc" else None
        store = ServerStore.connect([address], grpc_port=grpc_port, layout=Layout(prefix=prefix))
        await store.create_collection("items", CONTENT)
        await proxy.down()
        await proxy.up()
        async with asyncio.timeout(20):
            while True:  # gRPC connects again within a second
                try:
                    assert await store.count("items") == 0
                    break
                except StoreUnavailable:
                    assert kind == "grpc"
                    await asyncio.sleep(0.02)
        await store.close()


async def test_calls_under_way_end_with_our_error_when_the_store_is_closed(
    kind: str, url: str, prefix: str
) -> None:
    async with in_cluster(kind, url, prefix) as (store, first, second):
        await store.create_collection("items", CONTENT)
        first.hang()
        second.hang()
        asked = asyncio.create_task(store.count("items"))
        async with asyncio.timeout(5):
            await first.held.wait()
        await store.close()
        with pytest.raises(StoreError):
            await asked


# what a server says


@asynccontextmanager
async def told(version: str = "1.18.2", **layout: Any) -> AsyncIterator[tuple[ServerStore, Any]]:
    """A store, and the server that it asks and that is told what to answer."""
    async with ScriptedQdrant(version) as scripted:
        store = ServerStore.connect([scripted.url], layout=Layout(**layout))
        try:
            yield store, scripted
        finally:
            await store.close()


@pytest.mark.parametrize("version", ["1.17.9", "1.9.99", "0.0.0", "unknown", "1.18"])
async def test_a_server_that_is_too_old_is_refused_with_both_versions(version: str) -> None:
    async with told(version) as (store, scripted):
        with pytest.raises(SchemaMismatch) as refused:
            await store.ping()
        assert version in str(refused.value)
        assert "1.18.0" in str(refused.value)
        with pytest.raises(SchemaMismatch):
            await store.count("items")
        assert scripted.asked == []


@pytest.mark.parametrize("version", ["1.18.0", "1.18.1"])
async def test_a_server_whose_authentication_can_be_evaded_is_warned_of_once(
    version: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with told(version) as (store, _):
            await store.ping()
            await store.ping()
    (line,) = [record.getMessage() for record in caplog.records]
    assert version in line
    assert "1.18.2" in line


@pytest.mark.parametrize("version", ["1.18.2", "1.19.0-dev", "2.0.0"])
async def test_a_newer_server_is_used_without_a_word(
    version: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with told(version) as (store, _):
            await store.ping()
    assert caplog.records == []


STATUSES = {
    400: StoreError,
    401: StoreError,
    403: StoreError,
    404: StoreError,
    408: StoreUnavailable,
    409: StoreError,
    429: StoreUnavailable,
    500: StoreUnavailable,
    502: StoreUnavailable,
    503: StoreUnavailable,
    504: StoreUnavailable,
    507: StoreUnavailable,
}


@pytest.mark.parametrize("status", STATUSES)
async def test_each_status_is_an_error_of_ours_with_the_servers_words(status: int) -> None:
    async with told() as (store, scripted):
        scripted.answer = lambda _: Answer(status=status, error="the words of the server")
        for call in (
            store.count("items"),
            store.upsert("items", [make_point(1, {"content": X})]),
            store.payload_indexes("items"),
        ):
            with pytest.raises(StoreError, match=f"{status}: the words of the server") as raised:
                await call
            assert type(raised.value) is STATUSES[status]
            assert raised.value.__cause__ is not None


async def test_a_server_that_asks_to_be_left_alone_is_unavailable() -> None:
    async with told() as (store, scripted):
        scripted.answer = lambda _: Answer(status=429, headers={"retry-after": "7"})
        with pytest.raises(StoreUnavailable, match="a fault of the test"):
            await store.count("items")


async def test_a_call_is_sent_again_over_a_new_connection_once() -> None:
    async with told() as (store, scripted):
        answers = iter([Answer(drop=True), Answer({"count": 7})])
        scripted.answer = lambda _: next(answers)
        assert await store.count("items") == 7
        scripted.answer = lambda _: Answer(drop=True)
        scripted.asked.clear()
        with pytest.raises(StoreUnavailable):
            await store.count("items")
        assert len(scripted.asked) == 2


@pytest.mark.parametrize("raw", [b"<html>a proxy</html>", b"{}", b'{"result": 1}', b"\xff"])
async def test_an_answer_that_is_no_qdrants_is_an_error_of_ours(raw: bytes) -> None:
    async with told() as (store, scripted):
        scripted.answer = lambda _: Answer(raw=raw)
        with pytest.raises(StoreError):
            await store.count("items")
        with pytest.raises(StoreError):
            await store.retrieve("items", [pid(1)])


@pytest.mark.parametrize("grpc_port", [None, 9])
async def test_no_server_at_the_start_is_one_clear_line(grpc_port: int | None) -> None:
    settings = load_settings(qdrant_url=FREE_PORT_URL, qdrant_grpc_port=grpc_port)
    with pytest.raises(StoreUnavailable, match=r"Qdrant at 127\.0\.0\.1:9") as raised:
        await open_store(settings)
    assert "\n" not in str(raised.value)


async def test_all_settings_of_a_server_reach_it(qdrant_url: str) -> None:
    prefix = f"test-{uuid.uuid4().hex[:12]}-"
    settings = load_settings(
        qdrant_url=f"{qdrant_url},{FREE_PORT_URL}",
        qdrant_prefix=prefix,
        qdrant_size="1m",
        qdrant_shards=3,
        qdrant_replication=2,
        qdrant_write_consistency=2,
        qdrant_read_consistency="quorum",
    )
    store = await open_store(settings)
    await store.create_collection("items", CONTENT)
    raw = AsyncQdrantClient(url=qdrant_url, check_compatibility=False, trust_env=False)
    params = (await raw.get_collection(f"{prefix}items")).config.params
    assert params.shard_number == 3
    assert (params.replication_factor, params.write_consistency_factor) == (2, 2)
    await raw.close()
    await store.close()
    await tidy(qdrant_url, prefix)


@pytest.mark.parametrize(
    ("consistency", "sent"),
    [("one", "1"), ("majority", "majority"), ("quorum", "quorum"), ("all", "all")],
)
async def test_reads_ask_as_many_copies_as_set_and_writes_are_ordered_and_waited_for(
    consistency: str, sent: str
) -> None:
    async with told(read_consistency=consistency) as (store, scripted):
        scripted.answer = by_call
        await store.retrieve("items", [pid(1)])
        await store.query_points("items", X, using="content")
        await store.scroll("items")
        assert [asked.path.partition("?")[2] for asked in scripted.asked] == [
            f"consistency={sent}"
        ] * 3
        scripted.asked.clear()
        point = make_point(1, {"content": X}, offset=1)
        await store.upsert("items", [point])
        await store.upsert_unless_older("items", [point], "offset")
        await store.delete("items", [pid(1)])
        await store.create_payload_index("items", "a", models.PayloadSchemaType.KEYWORD)
        assert [set(asked.path.partition("?")[2].split("&")) for asked in scripted.asked] == [
            {"wait=true", "ordering=medium"}
        ] * 4


def by_call(asked: Asked) -> Answer:
    """Answer reads with nothing found, and writes with that they are done."""
    path = asked.path.partition("?")[0]
    if path.endswith("/query"):
        return Answer({"points": []})
    if path.endswith("/scroll"):
        return Answer({"points": [], "next_page_offset": None})
    if asked.method == "POST" and path.endswith("/points"):
        return Answer([])
    return Answer({"operation_id": 1, "status": "completed"})


async def test_the_index_of_tenants_keeps_their_points_together() -> None:
    async with told() as (store, scripted):
        scripted.answer = by_call
        await store.create_payload_index("items", "tenant", models.PayloadSchemaType.KEYWORD)
        (asked,) = scripted.asked
        assert asked.body["field_schema"] == {"type": "keyword", "is_tenant": True}


# pace


def collection(status: str, points: int, indexed: int) -> Answer:
    """Answer what Qdrant tells of a collection."""
    return Answer(
        {
            "status": status,
            "optimizer_status": "ok",
            "indexed_vectors_count": indexed,
            "points_count": points,
            "segments_count": 1,
            "config": {
                "params": {},
                "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10},
                "optimizer_config": {
                    "deleted_threshold": 0.2,
                    "vacuum_min_vector_number": 1,
                    "default_segment_number": 0,
                    "flush_interval_sec": 5,
                },
            },
            "payload_schema": {},
        }
    )


async def test_a_load_waits_until_the_server_has_caught_up_with_indexing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "PACE_EVERY_S", 0.01)
    left = iter([90_000, 50_000, 30_000, 19_000])
    async with told() as (store, scripted):
        scripted.answer = lambda _: collection("yellow", 100_000, 100_000 - next(left))
        await store.pace("items")
        assert len(scripted.asked) == 4


@pytest.mark.parametrize(
    ("status", "indexed"), [("green", 0), ("grey", 0), ("red", 0), ("yellow", 80_000)]
)
async def test_a_load_does_not_wait_for_a_server_that_has_nothing_much_to_do(
    status: str, indexed: int
) -> None:
    async with told() as (store, scripted):
        scripted.answer = lambda _: collection(status, 100_000, indexed)
        await store.pace("items")
        assert len(scripted.asked) == 1


async def test_a_load_goes_on_after_a_while_though_the_server_is_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "PACE_EVERY_S", 0.05)
    monkeypatch.setattr(server, "PACE_MAX_S", 0.5)
    async with told() as (store, scripted):
        scripted.answer = lambda _: collection("yellow", 100_000, 0)
        await store.payload_indexes("items")  # the first answer of a kind takes longer to read
        scripted.asked.clear()
        await store.pace("items")
        assert 1 < len(scripted.asked) <= 11
    assert "'items' is still being indexed" in caplog.text


async def test_the_pace_is_asked_for_only_now_and_then() -> None:
    async with told() as (store, scripted):
        scripted.answer = lambda _: collection("green", 100_000, 0)
        for _ in range(50):
            await store.pace("items")
        await store.pace("users")
        assert len(scripted.asked) == 2


# gRPC


GRPC_STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: StoreError,
    grpc.StatusCode.NOT_FOUND: StoreError,
    grpc.StatusCode.PERMISSION_DENIED: StoreError,
    grpc.StatusCode.UNAUTHENTICATED: StoreError,
    grpc.StatusCode.UNIMPLEMENTED: StoreError,
    grpc.StatusCode.DEADLINE_EXCEEDED: StoreUnavailable,
    grpc.StatusCode.INTERNAL: StoreUnavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: StoreUnavailable,
    grpc.StatusCode.UNAVAILABLE: StoreUnavailable,
    grpc.StatusCode.UNKNOWN: StoreUnavailable,
}


@asynccontextmanager
async def answering(code: grpc.StatusCode) -> AsyncIterator[int]:
    """A gRPC server that is Qdrant by its version, and answers everything else with a status."""

    class Refusing(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, call: Any) -> Any:
            if call.method == "/qdrant.Qdrant/HealthCheck":
                return None
            return grpc.unary_unary_rpc_method_handler(refuse)

    async def refuse(_request: bytes, context: Any) -> bytes:
        await context.abort(code, "the words of the server")
        return b""

    from qdrant_client.grpc.qdrant_pb2_grpc import add_QdrantServicer_to_server
    from qdrant_grpc import Root

    running = grpc.aio.server()
    running.add_generic_rpc_handlers((Refusing(),))
    add_QdrantServicer_to_server(Root("qdrant", "1.18.2"), running)
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    try:
        yield port
    finally:
        await running.stop(None)


@pytest.mark.parametrize("code", GRPC_STATUSES, ids=lambda code: code.name)
async def test_each_grpc_status_is_an_error_of_ours_with_the_servers_words(
    code: grpc.StatusCode,
) -> None:
    async with answering(code) as port:
        store = ServerStore.connect([FREE_PORT_URL], grpc_port=port)
        for call in (
            store.count("items"),
            store.upsert("items", [make_point(1, {"content": X})]),
            store.payload_indexes("items"),
        ):
            words = f"{code.name}: the words of the server"
            with pytest.raises(StoreError, match=words) as raised:
                await call
            assert type(raised.value) is GRPC_STATUSES[code]
        await store.close()


async def test_a_key_over_plain_http_is_warned_of_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        store: VectorStore = ServerStore.connect([FREE_PORT_URL], api_key="secret-key")
        await store.close()
    (line,) = [record.getMessage() for record in caplog.records]
    assert "unencrypted" in line
    assert "secret-key" not in line
