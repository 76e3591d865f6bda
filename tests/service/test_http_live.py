"""Pushes over a real server: the WebSocket and Server-Sent Events."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from shop import ITEMS, Shop, catalogue, event, fresh, refused, until
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from indexer.ports import Change, ProfileChange
from indexer.runtime import open_runtime
from indexer.settings import load_settings
from recsvc.app import create_app
from recsvc.hub import LISTENERS_PER_KEY_MAX, Hub
from recsvc.security import Keyring
from recsvc.sockets import LIVE_OPTIONS

pytestmark = pytest.mark.anyio

ALLOWED = "https://shop.example"
_SMALL = 8 * 1024
PATIENCE_S = 10.0


class Live(Shop):
    """A shop that is served, and what tests ask of its live connections."""

    def __init__(self, client: httpx.AsyncClient, runtime: Any, app: Any, server: Any) -> None:
        super().__init__(client, runtime, app)
        self.hub: Hub = app.state.service.hub
        self.server = server

    @property
    def ws_url(self) -> str:
        return str(self.client.base_url).replace("http", "ws").rstrip("/") + "/v1/ws"

    def connect(self, query: str = "", **more: Any) -> connect:
        return connect(self.ws_url + query, proxy=None, **more)

    async def click(self, user_id: str, item_id: str = "novels-01") -> int:
        """Have a user do something; return the version that this makes."""
        sent = await self.send(event(user_id, item_id))
        return int(sent["results"][0]["user_version"])


@asynccontextmanager
async def open_live(
    folder: Path, keys: Path | None = None, send_s: float = 10.0, **options: Any
) -> AsyncIterator[Live]:
    """Serve a shop with its hub on a free port, as the service does."""
    given = {"offline_embedder": "hashed", "embedding_dim": 256, "qdrant_url": "memory"}
    given |= {"allowed_origins": ALLOWED}
    async with open_runtime(load_settings(data_dir=folder, _env_file=None, **given)) as runtime:
        app = create_app(runtime, Keyring(keys), send_s=send_s)
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL)  # a slow client is soon
        config = uvicorn.Config(app, log_level="warning", **{**LIVE_OPTIONS, **options})
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
                live = Live(client, runtime, app, server)
                if keys is None:
                    await live.put(*catalogue())
                yield live
        finally:
            app.state.service.hub.close()
            server.should_exit = True
            await serving


@pytest.fixture(scope="module")
async def live(
    tmp_path_factory: pytest.TempPathFactory, _no_foreign_settings: None, anyio_backend: str
) -> AsyncIterator[Live]:
    async with open_live(tmp_path_factory.mktemp("live")) as opened:
        yield opened


@pytest.fixture
def open_with(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Live]]:
    return partial(open_live, tmp_path / "live")


async def say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def hear(socket: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE_S))
    return message


async def ask(socket: ClientConnection, **message: Any) -> dict[str, Any]:
    await say(socket, **message)
    return await hear(socket)


async def subscribed(socket: ClientConnection, user_id: str, **more: Any) -> None:
    """Subscribe, and wait until that is done: messages are taken in order."""
    await say(socket, type="subscribe", user_id=user_id, **more)
    assert (await ask(socket, type="ping"))["type"] == "pong"


async def quiet(socket: ClientConnection) -> bool:
    """Whether nothing but the answer to a ping comes."""
    return (await ask(socket, type="ping"))["type"] == "pong"


async def closed(socket: ClientConnection) -> int | None:
    """Read until the connection is closed; return the code."""
    async with asyncio.timeout(PATIENCE_S):
        with suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code


async def test_an_event_is_answered_and_its_user_is_followed_from_then_on(live: Live):
    user_id = fresh()
    async with live.connect() as socket:
        for version in (1, 2):
            result = await ask(
                socket,
                type="user_event",
                user_id=user_id,
                event_type="click",
                item_id=f"novels-0{version}",
                item_features={"title": "known already"},
            )
            assert result.pop("latency_ms") > 0
            assert result.pop("event_id")
            expected = {"type": "sync_result", "success": True, "recommendations_updated": True}
            assert result == expected
            update = await hear(socket)
            assert update["type"] == "recommendation_update"
            assert (update["user_id"], update["user_version"]) == (user_id, version)
            assert update["sequence"] == version
            assert update["timestamp"] == pytest.approx(time.time(), abs=60)
            listed = await live.recommend(user_id)
            assert update["recommendations"] == [
                {"item_id": item["item_id"], "score": item["score"]} for item in listed["items"]
            ]


async def test_a_subscriber_is_told_of_changes_that_came_another_way(live: Live):
    ada, bob = fresh(), fresh()
    async with live.connect() as socket:
        await subscribed(socket, ada, limit=3)
        await live.click(bob)
        assert await quiet(socket)
        version = await live.click(ada)
        update = await hear(socket)
        assert (update["user_id"], update["user_version"]) == (ada, version)
        assert len(update["recommendations"]) == 3
        await subscribed(socket, bob)
        await live.click(bob)
        assert (await hear(socket))["user_id"] == bob
        await say(socket, type="unsubscribe", user_id=ada)
        assert await quiet(socket)
        await live.click(ada)
        assert await quiet(socket)


async def test_the_seeds_address_is_answered_too(live: Live):
    async with connect(live.ws_url.removesuffix("/v1/ws"), proxy=None) as socket:
        pong = await ask(socket, type="ping")
        assert pong == {"type": "pong", "timestamp": pytest.approx(time.time(), abs=60)}


async def test_resuming_gives_the_newest_state_or_says_that_it_is_known(live: Live):
    user_id = fresh()
    for _ in range(3):
        version = await live.click(user_id)
    async with live.connect() as socket:
        update = await ask(socket, type="resume", user_id=user_id, sequence=1)
        assert (update["type"], update["sequence"]) == ("recommendation_update", version)
        current = await ask(socket, type="resume", user_id=user_id, sequence=version)
        assert current == {"type": "up_to_date", "user_id": user_id, "sequence": version}
        await live.click(user_id)
        assert (await hear(socket))["sequence"] == version + 1


async def test_followers_of_an_erased_user_get_what_is_popular(live: Live):
    user_id = fresh()
    await live.click(user_id)
    async with live.connect() as socket:
        await subscribed(socket, user_id)
        assert (await live.client.delete(f"/v1/users/{user_id}")).json()["verified"]
        update = await hear(socket)
        assert (update["sequence"], update["strategy"]) == (0, "popular")


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("no json", "not JSON"),
        ('{"type": "dance"}', "type: must be one of"),
        ('{"type": "subscribe", "user_id": "no id"}', "user_id: "),
        ('{"type": "user_event", "user_id": "u", "event_type": "click"}', "click needs item_id"),
        ('{"type": "user_event", "user_id": "u", "event_type": "no", "item_id": "i"}', "no weight"),
    ],
)
async def test_a_refused_message_is_answered_and_the_connection_stays(
    live: Live, sent: str, said: str
):
    async with live.connect() as socket:
        await socket.send(sent)
        answer = await hear(socket)
        assert answer["type"] == "error"
        assert said in answer["message"]
        assert await quiet(socket)


async def test_an_event_id_with_another_body_is_an_error_and_a_repeated_event_is_not(live: Live):
    once = {"type": "user_event", **event(fresh(), "novels-01", event_id="e1")}
    async with live.connect() as socket:
        assert (await ask(socket, **once))["event_id"] == "e1"
        assert (await hear(socket))["sequence"] == 1
        assert (await ask(socket, **once))["success"]
        again = await ask(socket, **{**once, "item_id": "novels-02"})
        assert "already accepted with another body" in again["message"]


async def test_a_message_that_is_too_long_is_told_so_and_closed(live: Live):
    async with live.connect() as socket:
        answer = await ask(socket, type="ping", more="x" * 70_000)
        assert "at most 65536" in answer["message"]
        assert await closed(socket) == 1009
    async with live.connect() as socket:
        with pytest.raises(ConnectionClosed):  # so long that it is not even read
            await ask(socket, type="ping", more="x" * 1_000_000)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "x"])
async def test_pages_of_others_may_not_connect(
    live: Live, origin: str, caplog: pytest.LogCaptureFixture
):
    with pytest.raises(InvalidStatus) as denied:
        async with live.connect(additional_headers={"Origin": origin}):
            pass
    assert denied.value.response.status_code == 403
    assert denied.value.response.headers["content-type"] == "application/problem+json"
    answer = await live.client.get(f"/v1/users/{fresh()}/stream", headers={"Origin": origin})
    refused(answer, 403)
    assert not [one for one in caplog.records if one.name.startswith("uvicorn")]


async def test_nobody_may_connect_under_a_name_that_somebody_gave_to_this_machine(
    live: Live, caplog: pytest.LogCaptureFixture
):
    port = live.client.base_url.port
    url = f"ws://evil.example:{port}/v1/ws"
    own = {"Origin": f"http://evil.example:{port}"}
    with pytest.raises(InvalidStatus) as denied:
        async with connect(url, proxy=None, host="127.0.0.1", additional_headers=own):
            pass
    assert denied.value.response.status_code == 403
    assert b"RECSVC_ALLOWED_ORIGINS" in denied.value.response.body
    async with connect(url.replace("evil.", "shop."), proxy=None, host="127.0.0.1") as socket:
        assert await quiet(socket)
    assert not [one for one in caplog.records if one.name.startswith("uvicorn")]


async def test_the_services_own_pages_and_the_allowed_ones_may_connect(live: Live):
    own = str(live.client.base_url).rstrip("/")
    for origin in (own, ALLOWED):
        async with live.connect(additional_headers={"Origin": origin}) as socket:
            assert await quiet(socket)


async def test_keys_say_who_may_listen_who_may_send_and_of_which_tenant(
    tmp_path: Path, open_with: Callable[..., AbstractAsyncContextManager[Live]]
):
    path = tmp_path / "keys.toml"
    ring = Keyring(path)
    keys = {scope: ring.create(scope, [scope], "north") for scope in ("read", "write", "admin")}
    keys |= {
        tenant: ring.create(tenant, ["read", "write"], tenant) for tenant in ("north", "south")
    }
    sent = {"type": "user_event", "item_features": {"title": "kettle"}}
    sent |= event("ada", "kettle")

    async with open_with(path) as live:
        for query, status in (
            ("", 401),
            ("?api_key=rs_guess", 401),
            (f"?api_key={keys['admin']}", 403),
        ):
            with pytest.raises(InvalidStatus) as denied:
                async with live.connect(query):
                    pass
            assert denied.value.response.status_code == status
        headers = {"Authorization": f"Bearer {keys['read']}"}
        async with (
            live.connect(additional_headers=headers) as reader,
            live.connect(f"?api_key={keys['write']}") as writer,
            live.connect(f"?api_key={keys['south']}") as south,
        ):
            await subscribed(reader, "ada")
            await subscribed(south, "ada")
            assert "'write'" in (await ask(reader, **sent))["message"]
            assert "'read'" in (await ask(writer, type="subscribe", user_id="ada"))["message"]
            assert (await ask(writer, **sent))["type"] == "sync_result"
            update = await hear(reader)
            assert (update["user_id"], update["strategy"]) == ("ada", "popular") or update[
                "sequence"
            ]
            assert await quiet(writer)
            assert await quiet(south)


async def _alone(live: Live) -> bool:
    return live.hub.listeners == 0


async def test_no_more_connections_than_a_key_may_have(live: Live):
    await until(partial(_alone, live))
    joined = [live.hub.join("default", "open") for _ in range(LISTENERS_PER_KEY_MAX)]
    try:
        async with live.connect() as socket:
            assert await closed(socket) == 1013
        answer = await live.client.get(f"/v1/users/{fresh()}/stream")
        assert refused(answer, 503)["detail"] == "key 'open' has 1000 live connections"
    finally:
        for listener in joined:
            live.hub.leave(listener)


async def _small_socket(live: Live) -> socket.socket:
    """A connection to the service that takes little without being read."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
    raw.setblocking(False)
    url = live.client.base_url
    await asyncio.get_running_loop().sock_connect(raw, (url.host, url.port))
    return raw


async def _deaf(live: Live, user_id: str, limit: int = 60) -> ClientConnection:
    """A client that subscribes and reads no more."""
    raw = await _small_socket(live)
    client = await live.connect(sock=raw, max_queue=1, ping_interval=None, compression=None)
    await subscribed(client, user_id, limit=limit)
    client.transport.pause_reading()
    return client


async def test_clients_that_do_not_read_delay_nobody_and_are_closed(
    open_with: Callable[..., AbstractAsyncContextManager[Live]],
):
    user_id = fresh()
    async with open_with(send_s=1.0, ws_ping_interval=None) as live:
        deaf = [await _deaf(live, user_id) for _ in range(20)]
        good = [await live.connect() for _ in range(20)]
        for socket in good:
            await subscribed(socket, user_id)
        late: list[float] = []

        async def follow(socket: ClientConnection, until_version: int) -> None:
            while (await hear(socket))["sequence"] < until_version:
                pass
            late.append(time.perf_counter() - clicked)

        async def gone() -> bool:
            nonlocal clicked
            clicked = time.perf_counter()
            version = await live.click(user_id)
            await asyncio.gather(*(follow(socket, version) for socket in good))
            return live.hub.listeners == len(good)

        clicked = 0.0
        await until(gone, patience_s=30)
        assert sorted(late)[len(late) // 2] < 1.0
        for client in deaf:
            client.transport.resume_reading()
        assert 1013 in [await closed(client) for client in deaf]

        async def dropped() -> bool:
            return len(live.server.server_state.connections) <= len(good) + 1

        await until(dropped)
        for client in [*deaf, *good]:
            client.transport.abort()


async def test_a_client_that_answers_no_ping_is_closed(
    open_with: Callable[..., AbstractAsyncContextManager[Live]],
):
    async with open_with(ws_ping_interval=0.2, ws_ping_timeout=0.3) as live:
        client = await _deaf(live, fresh())

        await until(partial(_alone, live))
        client.transport.resume_reading()
        assert await closed(client) == 1013


async def test_the_newest_state_is_never_missed(live: Live):
    users = [fresh() for _ in range(5)]
    async with live.connect() as socket:
        for user_id in users:
            await subscribed(socket, user_id)
        sent = [event(user_id, f"garden-{n:02d}") for n in range(15) for user_id in users]
        answers = await asyncio.gather(*(live.send(one) for one in sent))
        newest = dict.fromkeys(users, 0)
        assert len(answers) == len(sent)
        while set(newest.values()) != {15}:
            update = await hear(socket)
            assert update["sequence"] > newest[update["user_id"]]
            newest[update["user_id"]] = update["sequence"]


class Events:
    """The events of a stream, as a browser would read them."""

    def __init__(self, answer: httpx.Response) -> None:
        assert answer.status_code == 200
        self.headers = answer.headers
        self._lines = answer.aiter_lines()

    async def next(self) -> dict[str, str]:
        """The fields of the next event; comments and what only sets the pause are skipped."""
        fields: dict[str, str] = {}
        while True:
            line = await asyncio.wait_for(anext(self._lines), PATIENCE_S)
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                return fields
            else:
                fields = {}


def _follow(live: Live, user_id: str, **headers: str) -> Any:
    return live.client.stream(
        "GET", f"/v1/users/{user_id}/stream", params={"limit": 4}, headers=headers
    )


async def test_a_stream_begins_with_the_list_and_goes_on_with_its_changes(live: Live):
    user_id = fresh()
    async with _follow(live, user_id, Origin=ALLOWED) as answer:
        events = Events(answer)
        assert events.headers["content-type"].startswith("text/event-stream")
        assert events.headers["x-accel-buffering"] == "no"
        assert events.headers["access-control-allow-origin"] == ALLOWED
        first = await events.next()
        assert (first["id"], first["event"]) == ("0", "recommendation_update")
        assert len(json.loads(first["data"])["recommendations"]) == 4
        version = await live.click(user_id)
        changed = await events.next()
        assert changed["id"] == str(version)
        assert json.loads(changed["data"])["user_version"] == version

    async def left() -> bool:
        return live.hub.users == 0

    await until(left)


async def test_a_stream_tells_features_to_who_asks(live: Live):
    asked = {"limit": 4, "features": True}
    path = f"/v1/users/{fresh()}/stream"
    async with live.client.stream("GET", path, params=asked) as answer:
        rows = json.loads((await Events(answer).next())["data"])["recommendations"]
    assert [row["features"] for row in rows] == [ITEMS[row["item_id"]] for row in rows]


async def test_a_shown_item_that_is_deleted_or_changed_has_the_list_told_again(live: Live):
    await live.put({"item_id": "novels-99", "features": {"title": "space opera number 99"}})
    user_id = fresh()
    version = await live.click(user_id, "novels-00")
    async with live.connect() as socket:
        asked = {"user_id": user_id, "limit": 100, "features": True}
        first = await ask(socket, type="resume", sequence=0, **asked)
        shown = {row["item_id"]: row["features"] for row in first["recommendations"]}
        assert shown["novels-99"] == {"title": "space opera number 99"}
        await live.put({"item_id": "novels-99", "features": {"title": "space opera number 100"}})
        changed = await hear(socket)
        assert changed["sequence"] == first["sequence"] == version
        shown = {row["item_id"]: row["features"] for row in changed["recommendations"]}
        assert shown["novels-99"] == {"title": "space opera number 100"}
        assert (await live.client.delete("/v1/items/novels-99")).status_code == 204
        while any(row["item_id"] == "novels-99" for row in changed["recommendations"]):
            changed = await hear(socket)
        assert changed["sequence"] == version


async def test_a_new_profile_has_the_list_told_again(live: Live):
    user_id = fresh()
    version = await live.click(user_id, "novels-00")
    made = await live.profile(user_id)
    profile = await live.runtime.profiles.get("default", user_id)
    assert profile is not None
    assert profile.weights == made["weights"]
    async with live.connect() as socket:
        first = await ask(socket, type="resume", user_id=user_id, sequence=0, limit=20)
        vectors = await live.runtime.items.vectors("default", ["sport-00"])
        other = replace(profile, vector=vectors["sport-00"], updated_at=profile.updated_at + 1)
        await live.runtime.profiles.put("default", user_id, other)
        await live.runtime.changes.publish([ProfileChange("default", user_id)])
        second = await hear(socket)
        assert second["sequence"] == first["sequence"] == version
        assert second["recommendations"] != first["recommendations"]


async def test_a_profile_that_is_made_is_announced(live: Live):
    heard: list[Change] = []
    live.runtime.changes.subscribe(heard.append)
    user_id = fresh()
    await live.click(user_id)
    await live.profile(user_id)
    assert ProfileChange("default", user_id) in heard


async def test_a_streams_parameters_are_checked(live: Live):
    for params in ({"limit": 0}, {"limit": 101}, {"limits": 3}, {"features": "some"}):
        refused(await live.client.get(f"/v1/users/{fresh()}/stream", params=params))
    refused(await live.client.get("/v1/users/no id/stream"))


async def test_a_stream_resumes_after_the_event_that_was_received_last(live: Live):
    user_id = fresh()
    known = await live.click(user_id)
    newest = await live.click(user_id)
    async with _follow(live, user_id, **{"Last-Event-ID": str(known)}) as answer:
        assert (await Events(answer).next())["id"] == str(newest)
    async with _follow(live, user_id, **{"Last-Event-ID": str(newest)}) as answer:
        events = Events(answer)
        next_one = asyncio.ensure_future(events.next())
        changed = await live.click(user_id)
        told = await next_one
        if told["id"] == str(newest):  # a profile was made meanwhile
            told = await events.next()
        assert told["id"] == str(changed)


async def test_a_stream_that_is_not_read_is_dropped(
    open_with: Callable[..., AbstractAsyncContextManager[Live]],
    caplog: pytest.LogCaptureFixture,
):
    user_id = fresh()
    async with open_with(send_s=0.5) as live:
        with await _small_socket(live) as raw:
            path = f"/v1/users/{user_id}/stream?limit=60"
            raw.send(f"GET {path} HTTP/1.1\r\nHost: {live.client.base_url.host}\r\n\r\n".encode())

            async def follows() -> bool:
                return live.hub.users == 1

            async def gone() -> bool:
                await live.click(user_id)
                return live.hub.users == 0

            await until(follows)
            await until(gone, patience_s=30)

            async def dropped() -> bool:
                return len(live.server.server_state.connections) <= 1

            await until(dropped)
    assert not [one for one in caplog.records if one.name.startswith("uvicorn")]


async def test_streams_end_when_the_hub_closes(
    open_with: Callable[..., AbstractAsyncContextManager[Live]],
):
    async with (
        open_with() as live,
        live.connect() as socket,
        _follow(live, fresh()) as answer,
    ):
        events = Events(answer)
        await events.next()
        live.hub.close()
        with pytest.raises(StopAsyncIteration):
            await events.next()
        assert await closed(socket) == 1012
        refused(await live.client.get("/v1/users/ada/stream"), 503)
