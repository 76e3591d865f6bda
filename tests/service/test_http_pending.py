"""What happens while the embedding provider is away, and when it comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from fake_provider import FakeProvider
from shop import ITEMS, Shop, event, fresh, ids, refused, until

pytestmark = pytest.mark.anyio

Opener = Callable[..., AbstractAsyncContextManager[Shop]]
_LAMP = {"item_id": "lamp", "features": {"title": "lamp", "category": "garden"}}


async def _not_pending(shop: Shop, item_id: str) -> None:
    async def embedded() -> bool:
        answer = await shop.client.get(f"/v1/items/{item_id}")
        return answer.status_code == 200 and answer.json()["pending"] is None

    await until(embedded)


async def test_items_are_embedded_by_the_provider(
    open_over_provider: Opener, provider: FakeProvider
) -> None:
    async with open_over_provider() as shop:
        embedded = [texts for texts in provider.requests if texts != ["ping"]]
        assert sum(map(len, embedded)) == len(ITEMS)
        similar = await shop.client.get("/v1/items/novels-03/similar", params={"limit": 5})
        assert {i["features"]["category"] for i in similar.json()["items"]} == {"novels"}
        stats = (await shop.client.get("/v1/stats")).json()
        [row] = stats["provider"]
        assert row["calls"]["ok"] >= 1
        assert row["tokens"] > 0


async def test_an_unchanged_text_is_never_embedded_again(
    open_over_provider: Opener, provider: FakeProvider
) -> None:
    async with open_over_provider() as shop:
        asked = len(provider.requests)
        item = {"item_id": "garden-01", "features": {**ITEMS["garden-01"], "price": 999}}
        assert (await shop.put(item))["stored"] == 1
        assert len(provider.requests) == asked


@pytest.mark.parametrize("fault", ["status 500", "status 429", "silence"])
async def test_an_item_waits_while_the_provider_is_away_and_is_indexed_when_it_is_back(
    open_over_provider: Opener, provider: FakeProvider, fault: str
) -> None:
    user = fresh()
    async with open_over_provider(provider_timeout_s=0.3) as shop:
        if fault == "silence":
            provider.silent = True
        else:
            provider.status = int(fault.split()[1])
        result = await shop.put(_LAMP)
        assert result["stored"] == 0
        assert [row["item_id"] for row in result["pending"]] == ["lamp"]
        assert result["pending"][0]["reason"]
        assert (await shop.client.get("/v1/items/lamp")).json()["pending"]
        refused(await shop.client.get("/v1/items/lamp/similar"), 503)

        sent = await shop.client.post("/v1/events", json=event(user, "lamp", "purchase"))
        assert sent.status_code == 202
        await shop.recommend(user, after=sent.json()["position"])
        assert (await shop.user(user))["waiting"] == 1

        provider.silent, provider.status = False, 200
        await _not_pending(shop, "lamp")
        assert (await shop.client.get("/v1/items/lamp/similar")).status_code == 200

        async def folded() -> bool:
            return (await shop.user(user))["waiting"] == 0

        await until(folded)
        assert (await shop.recommend(user))["strategy"] == "personal"
        assert (await shop.user(user))["event_count"] == 1


async def test_a_waiting_item_put_again_is_still_pending_and_not_unchanged(
    open_over_provider: Opener, provider: FakeProvider
) -> None:
    async with open_over_provider() as shop:
        provider.status = 500
        await shop.put(_LAMP)
        result = await shop.put(_LAMP)
        assert (result["stored"], result["unchanged"]) == (0, 0)
        assert [row["item_id"] for row in result["pending"]] == ["lamp"]


async def test_a_waiting_item_survives_a_restart(
    open_over_provider: Opener, provider: FakeProvider
) -> None:
    async with open_over_provider() as shop:
        provider.status = 500
        await shop.put(_LAMP)
    provider.status = 200
    async with open_over_provider(items=False) as shop:
        await _not_pending(shop, "lamp")


async def test_known_items_go_on_while_the_provider_is_away(
    open_over_provider: Opener, provider: FakeProvider
) -> None:
    user = fresh()
    async with open_over_provider() as shop:
        provider.status = 500
        await shop.send(event(user, "novels-01", "purchase"))
        answer = await shop.recommend(user, limit=5)
        assert answer["strategy"] == "personal"
        assert {item["features"]["category"] for item in answer["items"]} == {"novels"}
        ready = await shop.client.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["parts"]["embedder"] != "ok"


async def test_a_changed_item_keeps_its_old_vector_until_it_can_be_embedded(
    open_over_provider: Opener, provider: FakeProvider
) -> None:
    async with open_over_provider() as shop:
        provider.status = 500
        changed = {"title": "entirely new", "category": "sport"}
        result = await shop.put({"item_id": "novels-01", "features": changed})
        assert [row["item_id"] for row in result["pending"]] == ["novels-01"]
        assert (await shop.client.get("/v1/items/novels-01/similar")).status_code == 200
        provider.status = 200
        await _not_pending(shop, "novels-01")


async def test_a_session_says_what_of_it_is_missing(
    open_over_provider: Opener, provider: FakeProvider
) -> None:
    async with open_over_provider() as shop:
        provider.status = 500
        await shop.put(_LAMP)
        answer = await shop.session(
            items=["novels-01", "lamp"], text="never seen", weights={"category=sport": 1.0}
        )
        assert set(answer["degraded"]) == {"items", "text", "weights"}
        assert answer["strategy"] == "session"


async def test_a_search_waits_for_the_provider_and_then_folds(
    open_over_provider: Opener, provider: FakeProvider
) -> None:
    user = fresh()
    async with open_over_provider() as shop:
        provider.status = 500
        search = {"user_id": user, "event_type": "search", "query": "category: sport football"}
        sent = await shop.client.post("/v1/events", json=search)
        await shop.recommend(user, after=sent.json()["position"])
        assert (await shop.user(user))["waiting"] == 1
        provider.status = 200

        async def personal() -> bool:
            return (await shop.recommend(user))["strategy"] == "personal"

        await until(personal)


async def test_one_item_that_the_provider_refuses_does_not_hold_up_the_others(
    open_over_provider: Opener, provider: FakeProvider
) -> None:
    async with open_over_provider() as shop:
        provider.refused_text = "forbidden"
        poison = {"item_id": "poison", "features": {"title": "forbidden words"}}
        others = [{"item_id": f"ok-{n}", "features": {"title": f"fine {n}"}} for n in range(5)]
        await shop.put(poison, *others)
        for item in others:
            await _not_pending(shop, item["item_id"])
        assert (await shop.client.get("/v1/items/poison")).json()["pending"]


async def test_one_search_that_the_provider_refuses_does_not_hold_up_the_others(
    open_over_provider: Opener, provider: FakeProvider
) -> None:
    async with open_over_provider() as shop:
        provider.refused_text = "forbidden"
        unlucky, other = fresh(), fresh()
        for user, query in ((unlucky, "forbidden words"), (other, "football sport")):
            search = {"user_id": user, "event_type": "search", "query": query}
            await shop.client.post("/v1/events", json=search)

        async def personal() -> bool:
            return (await shop.recommend(other))["strategy"] == "personal"

        await until(personal)


async def test_a_search_of_nothing_but_spaces_is_refused(shop: Shop) -> None:
    search = {"user_id": fresh(), "event_type": "search", "query": " \t "}
    refused(await shop.client.post("/v1/events", json=search))


async def _with_a_lamp_held_at_the_provider(shop: Shop, provider: FakeProvider) -> None:
    provider.status = 500
    await shop.put(_LAMP)
    provider.hold, provider.status = "lamp", 200
    async with asyncio.timeout(15):
        await provider.held.wait()


async def _settled(shop: Shop, provider: FakeProvider) -> None:
    """Let the held request be answered, and what follows from it happen."""
    provider.release()
    for _ in range(25):
        await asyncio.sleep(0.02)


async def test_an_item_deleted_while_it_is_being_embedded_stays_deleted(
    open_over_provider: Opener, provider: FakeProvider
) -> None:
    async with open_over_provider(provider_timeout_s=20.0) as shop:
        await _with_a_lamp_held_at_the_provider(shop, provider)
        assert (await shop.client.delete("/v1/items/lamp")).status_code == 204
        await _settled(shop, provider)
        refused(await shop.client.get("/v1/items/lamp"), 404)
        assert "lamp" not in ids(await shop.recommend(fresh(), limit=100))


async def test_an_item_changed_while_it_is_being_embedded_keeps_the_change(
    open_over_provider: Opener, provider: FakeProvider
) -> None:
    changed: dict[str, Any] = {"title": "lantern", "category": "kitchen"}
    async with open_over_provider(provider_timeout_s=20.0) as shop:
        await _with_a_lamp_held_at_the_provider(shop, provider)
        assert (await shop.put({"item_id": "lamp", "features": changed}))["stored"] == 1
        await _settled(shop, provider)
        assert (await shop.client.get("/v1/items/lamp")).json()["features"] == changed
