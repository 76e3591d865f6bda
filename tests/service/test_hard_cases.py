"""What holds when things happen at an awkward moment."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from shop import DIM, Shop, fresh

from indexer.domain.events import Event
from indexer.domain.neighbours import NeighbourRules, Occurrence
from indexer.errors import StoreError
from indexer.ports import Erasure
from indexer.settings import DAY_S
from indexer.stores.neighbours import Neighbours
from indexer.stores.schema import LogIdentity, prepare
from indexer.stores.server import ServerStore
from indexer.streams.sqlite.log import SqliteLog

pytestmark = pytest.mark.anyio


async def test_the_log_has_an_end_after_its_newest_event_was_erased(new_shop: Shop) -> None:
    await new_shop.client.post("/v1/events", json=_like("first", "garden-01"))
    sent = await new_shop.client.post("/v1/events?wait=applied", json=_like("last", "garden-02"))
    assert (await new_shop.client.delete("/v1/users/last")).json()["verified"]
    assert await new_shop.runtime.drain(timeout_s=5.0) == 0
    after = {"after": sent.json()["position"]}
    answer = await new_shop.client.get("/v1/users/first/recommendations", params=after)
    assert answer.status_code == 200


async def test_the_past_of_an_erased_user_hides_nothing(new_shop: Shop) -> None:
    who = fresh()
    url = f"/v1/users/{who}/recommendations?limit=100"
    await new_shop.client.post("/v1/events?wait=applied", json=_like(who, "garden-01"))
    await new_shop.client.get(url)
    assert (await new_shop.client.delete(f"/v1/users/{who}")).json()["verified"]
    await new_shop.client.post("/v1/events?wait=applied", json=_like(who, "garden-02"))
    listed = {item["item_id"] for item in (await new_shop.client.get(url)).json()["items"]}
    assert "garden-01" in listed
    assert "garden-02" not in listed


async def test_a_cached_list_drops_an_item_within_a_second_of_its_end(new_shop: Shop) -> None:
    who = fresh()
    until = time.time() + 2.0
    item = {"item_id": "brief", "features": {"title": "spade"}, "available_until": until}
    await new_shop.put(item)
    await new_shop.client.post("/v1/events?wait=applied", json=_like(who, "garden-01"))
    url = f"/v1/users/{who}/recommendations?limit=100"

    async def listed() -> bool:
        items = (await new_shop.client.get(url)).json()["items"]
        return any(item["item_id"] == "brief" for item in items)

    assert await listed()
    while time.time() < until + 1.1:
        await listed()
    assert not await listed()


async def test_weights_of_two_features_with_the_same_value_both_count(shop: Shop) -> None:
    body = {"weights": {"category=garden": 1.0, "tags=garden": -0.2}, "explain": True}
    answer = (await shop.client.post("/v1/recommendations", json=body)).json()
    named = {reason["feature"] for reason in answer["items"][0]["reasons"]}
    assert named == {"category=garden", "tags=garden"}
    assert answer["items"][0]["score"] > 0


async def test_more_excluded_ids_than_allowed_are_refused_at_once(shop: Shop) -> None:
    many = ",".join(["x"] * 1_001)
    answer = await shop.client.post("/v1/recommendations", json={"exclude": [many]})
    assert answer.status_code == 422
    assert "1000" in answer.json()["detail"]


async def test_a_session_leaves_no_text_behind(new_shop: Shop) -> None:
    store = new_shop.runtime.store
    before = await store.count("terms")
    await new_shop.client.post("/v1/recommendations", json={"text": f"something {fresh()}"})
    assert await store.count("terms") == before


async def test_an_event_that_follows_an_erasure_is_read(tmp_path: Path) -> None:
    log = await SqliteLog.open(tmp_path / "events.sqlite", queue_max=100)
    await log.append([_event("u", "e1")])
    jobs = []
    for call in (log.erase_user("default", "u"), log.append([_event("u", "e2")])):
        jobs.append(asyncio.ensure_future(call))
        await asyncio.sleep(0)
        time.sleep(0.1)  # noqa: ASYNC251 - a busy loop: both are committed before either is told
    erased, accepted = await asyncio.gather(*jobs)
    assert erased == Erasure(1, {})
    assert {0: (await log.read(0, 0, 10))[0].offset} == accepted.position
    assert len(await log.read(0, 0, 10)) == 1
    await log.close()


class _FailsOnce(ServerStore):
    """Local mode whose next read fails."""

    fail = False

    async def retrieve(self, *args: object, **options: object) -> list:  # type: ignore[override]
        if self.fail:
            self.fail = False
            raise StoreError("away for a moment")
        return await super().retrieve(*args, **options)  # type: ignore[arg-type]


async def test_popularity_survives_a_read_that_fails() -> None:
    store = _FailsOnce.local()
    await prepare(store, dim=DIM, embedder="e", log=LogIdentity("sqlite", 1))
    first = Neighbours(store, NeighbourRules(DAY_S), {"heat": DAY_S})
    await first.count("default", [Occurrence("p1", 1, 1_700_000_000.0, 1.0, 100.0, ())])
    await first.flush()
    before = await first.popular("default", "heat", 1)
    later = Neighbours(store, NeighbourRules(DAY_S), {"heat": DAY_S})
    again = [Occurrence("p1", 2, 1_700_000_000.0, 1.0, 1.0, ())]
    store.fail = True
    with pytest.raises(StoreError):
        await later.count("default", again)
    await later.count("default", again)
    await later.flush()
    assert (await later.popular("default", "heat", 1))[0].score > before[0].score
    await store.close()


def _like(user_id: str, item_id: str) -> dict[str, str]:
    return {"user_id": user_id, "event_type": "like", "item_id": item_id}


def _event(user_id: str, event_id: str) -> Event:
    return Event("default", user_id, event_id, "view", 1.0, item_id="p1", fingerprint=event_id)
