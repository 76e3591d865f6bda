"""An API and a worker apart: what one does, the other knows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet import Fleet, OverKafka, OverRedis, qdrant_server, wait_until_shared
from kafka_broker import running as running_broker
from processes import Service, catalogue, run, wait_for
from redis import Redis
from streams import settle
from valkey_server import ValkeyServer

from indexer.domain.position import partition_of


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A server for all tests of this module."""
    server = ValkeyServer(tmp_path_factory.mktemp("valkey")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def qdrant() -> Iterator[str]:
    """A Qdrant server for all tests of this module."""
    with qdrant_server() as url:
        yield url


@pytest.fixture
def fleet(tmp_path: Path, valkey: ValkeyServer, qdrant: str) -> Iterator[Fleet]:
    """Processes around them; none is started yet."""
    made = Fleet(tmp_path / "fleet", OverRedis(valkey), qdrant)
    try:
        yield made
    finally:
        made.close()


def listed(api: Service, user: str, **params: object) -> list[str]:
    """What is recommended."""
    answer = api.get(f"/v1/users/{user}/recommendations", limit=100, **params)
    return [item["item_id"] for item in answer["items"]]


def test_an_api_learns_what_can_be_filtered_and_what_is_over(fleet: Fleet) -> None:
    worker, api = fleet.worker(), fleet.api()
    wait_until_shared([worker])
    items = catalogue(20)
    for item in items[:5]:
        item["available_until"] = time.time() - 3_600
    assert api.post("/v1/items", items)["stored"] == 20
    over = {item["item_id"] for item in items[:5]}
    wait_for(lambda: not over & set(listed(api, "ada")))
    gardens = listed(api, "ada", filter="category=garden")
    assert gardens
    assert set(gardens) <= {item["item_id"] for item in items[5:] if _is(item, "garden")}
    changed = {"features": {**items[7]["features"], "category": "garden"}}
    assert api.http.put("/v1/items/i7", json=changed).status_code == 200
    wait_for(lambda: "i7" in listed(api, "ada", filter="category=garden"))
    assert api.http.delete("/v1/items/i8").is_success
    assert "i8" not in listed(api, "ada")


def test_lists_of_two_apis_reflect_an_event_at_once_and_come_out_of_one_cache(
    fleet: Fleet,
) -> None:
    worker, one, two = fleet.worker(), fleet.api(), fleet.api()
    wait_until_shared([worker])
    one.post("/v1/items", catalogue())
    for n in range(10):
        event = {"user_id": "ada", "event_type": "purchase", "item_id": f"i{4 * n}"}
        sent = one.post("/v1/events", event)
        answer = two.get("/v1/users/ada/recommendations", after=sent["position"], limit=50)
        assert answer["user_version"] == n + 1
        assert f"i{4 * n}" not in [item["item_id"] for item in answer["items"]]

    def cached() -> bool:
        answers = [api.get("/v1/users/ada/recommendations", limit=7) for api in (one, two)]
        return [answer["source"] for answer in answers] == ["cache", "cache"]

    wait_for(cached)


def test_a_stream_of_one_api_hears_of_an_event_that_was_sent_to_another(fleet: Fleet) -> None:
    worker, one, two = fleet.worker(), fleet.api(), fleet.api()
    wait_until_shared([worker])
    one.post("/v1/items", catalogue())
    with two.http.stream("GET", "/v1/users/ada/stream", params={"limit": 3}) as stream:
        lines = (line for line in stream.iter_lines() if line.startswith("data: "))
        assert json.loads(next(lines).removeprefix("data: "))["user_version"] == 0
        one.post("/v1/events", {"user_id": "ada", "event_type": "purchase", "item_id": "i1"})
        update = json.loads(next(lines).removeprefix("data: "))
        assert update["user_version"] == 1
        assert "i1" not in [item["item_id"] for item in update["recommendations"]]
    assert two.terminate() == 0


def test_until_idle_folds_a_whole_shared_log(fleet: Fleet, tmp_path: Path) -> None:
    api = fleet.api()
    events = [
        {"user_id": f"u{n}", "event_type": "click", "item_id": "i1", "event_id": f"e{n}"}
        for n in range(50)
    ]
    api.post("/v1/events", events)
    assert api.get("/v1/stats")["queue_depth"] == 50
    there = tmp_path / "there" / "data"
    there.parent.mkdir()
    done = run("indexer", "run", "--until-idle", data_dir=there, **fleet.settings)
    assert done.returncode == 0, done.stderr
    assert api.get("/v1/stats")["queue_depth"] == 0
    assert api.get("/v1/users/u49")["event_count"] == 1


def test_what_others_put_into_redis_is_folded_or_told_of(
    fleet: Fleet, valkey: ValkeyServer, tmp_path: Path
) -> None:
    worker, api = fleet.worker(), fleet.api()
    wait_until_shared([worker])
    api.post("/v1/items", catalogue())
    name = fleet.settings["RECSVC_EVENT_LOG_NAME"]
    with Redis.from_url(valkey.url) as client:
        good = {"user_id": "bob", "event_type": "click", "item_id": "i3"}
        for body in (json.dumps(good), '{"user_id": "bob"}', "not even JSON"):
            client.xadd(f"{{{name}:0}}:events", {"event": body})
    wait_for(lambda: api.http.get("/v1/users/bob").status_code == 200)
    settle(api)
    assert api.get("/v1/users/bob")["counts"] == {"click": 1}
    assert api.get("/v1/stats")["totals"]["dead_letters"] == 2
    there = tmp_path / "there" / "data"
    there.parent.mkdir()
    shown = run("indexer", "dead-letters", "list", "--json", data_dir=there, **fleet.settings)
    letters = json.loads(shown.stdout)
    assert len(letters) == 2
    assert "event_type: missing" in letters[0]["reason"]
    again = run("indexer", "dead-letters", "retry", data_dir=there, **fleet.settings)
    assert again.returncode == 1
    assert "0 sent again" in again.stdout
    assert again.stderr.count("stays") == 2


def test_what_others_send_to_kafka_is_folded_wherever_it_lands(tmp_path: Path, qdrant: str) -> None:
    with running_broker() as broker:
        fleet = Fleet(tmp_path / "fleet", OverKafka(broker), qdrant)
        try:
            worker, api = fleet.worker(), fleet.api()
            wait_until_shared([worker])
            api.post("/v1/items", catalogue())
            _produce(broker.servers, f"{fleet.settings['RECSVC_EVENT_LOG_NAME']}.events")
            wait_for(lambda: all(_known(api, f"u{n}") for n in range(20)), 30.0)
            settle(api)
            assert api.get("/v1/stats")["totals"]["dead_letters"] == 1
        finally:
            fleet.close()


def _produce(servers: str, topic: str) -> None:
    """Send as a producer that knows nothing of us: without keys, wherever it likes."""
    import asyncio

    from aiokafka import AIOKafkaProducer

    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=servers)
        await producer.start()
        try:
            for n in range(20):
                wrong = (partition_of("default", f"u{n}", 8) + 1) % 8
                event = {"user_id": f"u{n}", "event_type": "click", "item_id": "i3"}
                await producer.send_and_wait(topic, json.dumps(event).encode(), partition=wrong)
            await producer.send_and_wait(topic, b"nothing", partition=0)
        finally:
            await producer.stop()

    asyncio.run(send())


def _known(api: Service, user: str) -> bool:
    answer = api.http.get(f"/v1/users/{user}")
    return answer.status_code == 200 and answer.json()["event_count"] == 1


def _is(item: dict[str, object], category: str) -> bool:
    features = item["features"]
    assert isinstance(features, dict)
    return bool(features["category"] == category)
