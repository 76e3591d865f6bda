"""The Python clients against the service itself, and against one that fails."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest
from client_service import failing_service, served_shop
from shop import ITEMS, PATIENCE_S, event, fresh
from websockets.asyncio.server import Server, ServerConnection, serve

from recsvc.client import AsyncClient, Client, Failed, NotReached, Refused
from recsvc.security import Keyring

pytestmark = pytest.mark.anyio

EXAMPLE = Path(__file__).parents[2] / "examples" / "python_client.py"
ACCEPTED = b'{"accepted": 1, "duplicates": 0, "event_ids": ["e"], "position": "1"}'


@pytest.fixture(scope="module")
async def url(
    tmp_path_factory: pytest.TempPathFactory, _no_foreign_settings: None, anyio_backend: str
) -> AsyncIterator[str]:
    """The address of a service with the catalogue; tests take users and items of their own."""
    async with served_shop(tmp_path_factory.mktemp("clients")) as address:
        yield address


@pytest.fixture
async def client(url: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(url) as opened:
        yield opened


async def test_an_event_changes_the_next_list(client: AsyncClient):
    user = fresh()
    sent = await client.send(event(user, "garden-01", "purchase"), wait=True, timeout_s=10.0)
    assert sent.results is not None
    assert (sent.accepted, sent.results[0].success) == (1, True)
    answer = await client.recommend(user, limit=3, explain=True, filter="category=garden")
    assert answer.user_version == sent.results[0].user_version
    assert [item.features["category"] for item in answer.items] == ["garden"] * 3
    assert answer.items[0].reasons
    assert (await client.recommend(user, after=sent.position)).strategy == "personal"


async def test_events_that_are_not_waited_for_are_durable(client: AsyncClient):
    user = fresh()
    sent = await client.send([event(user, "garden-01"), event(user, "sport-01")])
    assert (sent.accepted, sent.results) == (2, None)
    again = [event(user, "garden-01", event_id=sent.event_ids[0])]
    assert (await client.send(again, wait=True, timeout_s=10.0)).duplicates == 1


async def test_a_visitor_gets_a_list(client: AsyncClient):
    answer = await client.recommend_session(items=["novels-01"], weights={"category=novels": 0.5})
    assert answer.strategy == "session"
    assert answer.items[0].features["category"] == "novels"


async def test_pages_follow_each_other(client: AsyncClient):
    first = await client.similar("sport-03", limit=4)
    assert first.next_cursor is not None
    second = await client.similar("sport-03", limit=4, cursor=first.next_cursor)
    assert len({item.item_id for item in first.items + second.items}) == 8


async def test_an_item_is_put_got_and_deleted(client: AsyncClient):
    item_id = fresh("item")
    put = await client.put_item(item_id, features={"title": "Tea"}, text="a tea")
    assert put.stored == 1
    stored = await client.get_item(item_id)
    assert (stored.features, stored.text, stored.pending) == ({"title": "Tea"}, "a tea", None)
    await client.delete_item(item_id)
    with pytest.raises(Refused, match=item_id) as refused:
        await client.get_item(item_id)
    assert refused.value.status == 404


async def test_an_item_whose_id_is_made_of_dots_is_an_item(client: AsyncClient):
    await client.put_item("..", features={"title": "Dots"})
    assert (await client.get_item("..")).item_id == ".."
    await client.delete_item("..")


async def test_many_items_are_put_and_the_refused_ones_told(client: AsyncClient):
    prefix = fresh("many")
    rows: list[dict[str, Any]] = [
        {"item_id": f"{prefix}-{n}", "features": {"n": n}} for n in range(600)
    ]
    rows[550] = {"item_id": "not an id", "features": {}}
    result = await client.put_items(row for row in rows)
    assert (result.stored, result.rejected_count) == (599, 1)
    assert [(row.line, row.item_id) for row in result.rejected] == [(551, "not an id")]


async def test_a_user_is_looked_at_and_erased(client: AsyncClient):
    user = fresh()
    await client.send(event(user, "kitchen-02", "like"), wait=True, timeout_s=10.0)
    known = await client.user(user, vectors=True)
    assert (known.event_count, known.counts) == (1, {"like": 1})
    assert known.groups[0].items == ["kitchen-02"]
    assert known.vectors
    assert (await client.erase_user(user)).verified
    with pytest.raises(Refused):
        await client.user(user)


async def test_the_numbers_are_read(client: AsyncClient):
    assert (await client.stats()).totals["items"] >= len(ITEMS)


async def test_a_refusal_names_its_fields(client: AsyncClient):
    with pytest.raises(Refused) as refused:
        await client.recommend(fresh(), limit=1000)
    assert refused.value.status == 422
    assert refused.value.errors[0].loc[-1] == "limit"


async def test_the_client_that_blocks_does_the_same(url: str):
    def calls() -> None:
        user, item = fresh(), fresh("item")
        with Client(url) as client:
            client.put_item(item, features={"title": "A spade of steel", "category": "garden"})
            client.put_items([{"item_id": item, "features": {"category": "garden"}}])
            client.send(event(user, item, "purchase"), wait=True, timeout_s=10.0)
            assert client.recommend(user, limit=2).strategy == "personal"
            assert client.recommend_session(text="steel", limit=2).items
            assert client.similar(item).item_id == item
            assert client.get_item(item).features == {"category": "garden"}
            assert client.user(user).event_count == 1
            assert client.erase_user(user).verified
            assert client.stats().uptime_s > 0.0
            client.delete_item(item)
            with pytest.raises(Refused):
                client.get_item(item)

    await anyio.to_thread.run_sync(calls)


async def test_a_closed_client_refuses_calls(url: str):
    client = AsyncClient(url)
    await client.close()
    with pytest.raises(RuntimeError, match="closed"):
        await client.stats()


async def test_the_example_runs(url: str):
    ran = await anyio.run_process([sys.executable, str(EXAMPLE), url], check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    assert "Solaris" in ran.stdout.decode()


async def test_a_key_opens_what_it_may(tmp_path: Path):
    path = tmp_path / "keys.toml"
    key = Keyring(path).create("reader", ["read"], "default")
    async with served_shop(tmp_path / "shop", path) as url:
        async with AsyncClient(url, api_key=key) as reader:
            assert (await reader.recommend(fresh())).items == ()
            with pytest.raises(Refused) as refused:
                await reader.send(event("u", "p"))
            assert refused.value.status == 403
        async with AsyncClient(url) as nobody:
            with pytest.raises(Refused) as refused:
                await nobody.recommend(fresh())
            assert refused.value.status == 401
            with pytest.raises(Refused) as refused:
                await anext(nobody.stream("u"))
            assert refused.value.status == 401


async def test_a_failed_send_is_repeated_with_the_same_ids():
    busy = (503, {"retry-after": "0"}, b"")
    async with failing_service(None, busy, (202, {}, ACCEPTED)) as service:
        async with AsyncClient(service.url, api_key="secret") as client:
            assert (await client.send(event("u", "p"))).accepted == 1
        bodies = [request.body for request in service.requests]
        assert len(bodies) == 3
        assert len(set(bodies)) == 1
        assert json.loads(bodies[0])[0]["event_id"]
        assert {r.headers["authorization"] for r in service.requests} == {"Bearer secret"}


async def test_the_client_that_blocks_repeats_too():
    def stats_of(url: str) -> None:
        with Client(url) as client:
            client.delete_item("p")

    async with failing_service(None, (502, {}, b""), (204, {}, b"")) as service:
        await anyio.to_thread.run_sync(stats_of, service.url)
        assert [request.line for request in service.requests] == ["DELETE /v1/items/p HTTP/1.1"] * 3


async def test_a_refusal_is_sent_once():
    async with failing_service((404, {}, b"{}")) as service:
        async with AsyncClient(service.url) as client:
            with pytest.raises(Refused):
                await client.get_item("p")
        assert len(service.requests) == 1


async def test_a_service_that_stays_away_is_given_up():
    async with failing_service((503, {}, b'{"detail": "full"}')) as service:
        async with AsyncClient(service.url, deadline_s=0.3) as client:
            with pytest.raises(Failed, match="full"):
                await client.stats()
        assert len(service.requests) >= 2
    async with AsyncClient(service.url, deadline_s=0.3) as client:
        with pytest.raises(NotReached):
            await client.stats()
        with pytest.raises(NotReached):
            await anext(client.stream("u", give_up_s=0.3))


async def test_a_service_that_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with AsyncClient(address, timeout_s=0.1, deadline_s=0.3) as client:
            with pytest.raises(NotReached, match="ReadTimeout"):
                await client.stats()


async def test_a_redirection_is_not_followed():
    async with failing_service((200, {}, b"{}")) as other:
        away = {"location": other.url.replace("http", "ws")}
        async with (
            failing_service((307, away, b"")) as service,
            AsyncClient(service.url, api_key="secret") as client,
        ):
            with pytest.raises(Failed, match="307"):
                await client.stats()
            with pytest.raises(Failed, match="307"):
                await anext(client.stream("u"))
        assert other.requests == []


async def test_a_page_of_something_else_is_no_answer():
    script = (200, {}, b"<html>hotel wifi</html>")
    async with failing_service(script) as service, AsyncClient(service.url) as client:
        with pytest.raises(Failed, match="hotel"):
            await client.stats()


async def test_a_stream_tells_what_is_and_each_change(client: AsyncClient):
    user = fresh()
    await client.send(event(user, "garden-01", "purchase"), wait=True, timeout_s=10.0)
    async with asyncio.timeout(PATIENCE_S), aclosing(client.stream(user, limit=4)) as updates:
        first = await anext(updates)
        assert len(first.recommendations) == 4
        sent = await client.send(event(user, "novels-01", "purchase"), wait=True, timeout_s=10.0)
        assert sent.results is not None
        second = await anext(updates)
        assert second.user_version == sent.results[0].user_version
        assert second.sequence != first.sequence
    async with asyncio.timeout(PATIENCE_S), aclosing(client.stream(user)) as updates:
        assert (await anext(updates)).sequence == second.sequence


async def test_a_stream_is_refused_what_the_service_refuses(client: AsyncClient):
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(Refused, match="limit"):
            await anext(client.stream(fresh(), limit=1000))


def _update(sequence: int) -> str:
    rows = [{"item_id": "p", "score": 0.5}]
    return json.dumps(
        {
            "type": "recommendation_update",
            "user_id": "u",
            "recommendations": rows,
            "user_version": sequence,
            "sequence": sequence,
            "timestamp": 1.0,
        }
    )


def _address(server: Server) -> str:
    port = next(iter(server.sockets)).getsockname()[1]
    return f"http://127.0.0.1:{port}"


async def test_a_stream_that_breaks_goes_on_after_what_it_knows():
    asked: list[int] = []

    async def push(connection: ServerConnection) -> None:
        asked.append(json.loads(await connection.recv())["sequence"])
        if len(asked) == 1:
            await connection.send(_update(7))
            await connection.send(_update(7))
            await connection.close(1012)
        elif len(asked) == 2:
            await connection.send('{"type": "up_to_date", "user_id": "u", "sequence": 7}')
            connection.transport.abort()
        else:
            await connection.send(_update(2))  # erased meanwhile, and begun anew
            await connection.wait_closed()

    async with (
        serve(push, "127.0.0.1", 0) as server,
        AsyncClient(_address(server)) as client,
        asyncio.timeout(PATIENCE_S),
        aclosing(client.stream("u")) as updates,
    ):
        assert [(await anext(updates)).sequence for _ in range(2)] == [7, 2]
    assert asked == [0, 7, 7]


async def test_a_stream_that_is_closed_as_unwanted_ends():
    async def refuse(connection: ServerConnection) -> None:
        await connection.close(1008, "not yours")

    async with serve(refuse, "127.0.0.1", 0) as server, AsyncClient(_address(server)) as client:
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(Refused, match="not yours"):
                await anext(client.stream("u"))
