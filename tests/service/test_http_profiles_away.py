"""Profiles while the model gives nothing of use: bad replies, silence, a spent budget."""

from __future__ import annotations

import asyncio
import time

import pytest
from chat_provider import PROFILE_MODEL, ChatProvider
from profiled import Opener, asked, asked_times, counted, known, looked_at, outcomes
from shop import Shop, event, fresh, ids, until

pytestmark = pytest.mark.anyio

_LAMP = {"item_id": "lamp", "features": {"title": "lamp", "category": "garden"}}


_USELESS = {
    "garden": ("I would rather not.", "unusable_no_json"),
    "kitchen": ('{"weights": [{"key": "category=arms", "weight": 1}]}', "unusable_no_weights"),
    "novels": ("", "unusable_no_text"),
    "sport": ('{"a":' * 9_000, "unusable_no_json"),
}
"""What the model says to those who look at a category, and how that is counted."""


async def test_a_reply_without_use_leaves_the_old_profile_and_is_not_asked_for_at_each_event(
    open_over_chat: Opener, chat: ChatProvider
) -> None:
    chat.answer = lambda document: _USELESS[document["events"][0]["item"]["category"]][0]
    async with open_over_chat() as shop:
        users = {category: await known(shop) for category in _USELESS}
        for category, user in users.items():
            await looked_at(shop, user, f"{category}-01")
        await asked_times(chat, len(users))
        for category, user in users.items():
            for _ in range(10):
                await looked_at(shop, user, f"{category}-02")
        await asyncio.sleep(1.2)  # by then another call would be sent
        assert len(chat.chats) == len(users)
        metrics = (await shop.client.get("/metrics")).text
        for category, user in users.items():
            profile = (await shop.user(user))["profile"]
            assert profile["weights"] == {"category=kitchen": 1.0}
            assert profile["summary"] == "old"
            assert f'recsvc_profiles_total{{outcome="{_USELESS[category][1]}"}}' in metrics
            assert (await shop.recommend(user))["strategy"] == "personal"
        assert sum((await outcomes(shop)).values()) == len(users)


async def test_a_summary_that_fails_does_not_keep_the_profile_from_being_made(
    open_over_chat: Opener, chat: ChatProvider
) -> None:
    chat.refuse = lambda request: None if request.model == PROFILE_MODEL else (400, "no")
    async with open_over_chat() as shop:
        user = await known(shop)
        await looked_at(shop, user, n=30)
        await asked(shop, user, after=1.0)
        [document] = chat.of(PROFILE_MODEL)
        assert len(document["events"]) == 20
        assert (await outcomes(shop))["unsummarised_status_400"] == 1


async def _waits(shop: Shop, user: str) -> int:
    waiting: int = (await shop.user(user))["waiting"]
    return waiting


async def test_with_the_provider_away_all_goes_on_by_counting_and_nothing_is_lost(
    open_over_chat: Opener, chat: ChatProvider
) -> None:
    early, users, searcher = fresh(), [fresh() for _ in range(8)], fresh()
    async with open_over_chat() as shop:
        await shop.send(event(early, "garden-01", "view"))  # has "garden" embedded
        await shop.profile(early)
        chat.status = 503
        down_at = time.monotonic()
        await shop.put(_LAMP)
        for user in users:
            await shop.send(event(user, "garden-02", "purchase"))
        search = {"user_id": searcher, "event_type": "search", "query": "number"}
        for body in (event(searcher, "lamp", "purchase"), search):
            sent = await shop.client.post("/v1/events", json=body)
            await shop.recommend(searcher, after=sent.json()["position"])
        assert await _waits(shop, searcher) == 2

        async def breaker_opened() -> bool:
            return not shop.runtime.models.profile.well

        await until(breaker_opened)
        for user in users:
            profile = await shop.profile(user)
            assert (profile["model"], profile["cost_usd"]) == ("counter", 0.0)
            answer = await shop.recommend(user, limit=5)
            assert (answer["strategy"], answer["degraded"]) == ("personal", ["profile"])
            assert len(answer["items"]) == 5
        ready = (await shop.client.get("/readyz")).json()
        assert ready["ready"] is True
        assert ready["parts"]["profiler"].startswith("not well")

        first = len(chat.times)
        begun = time.monotonic()
        await asyncio.sleep(2.0)
        assert len(chat.times) - first <= (time.monotonic() - begun) + 2
        assert len(chat.times) <= (time.monotonic() - down_at) + 30

        chat.status = 200
        back_at = time.monotonic()

        async def folded() -> bool:
            return await _waits(shop, searcher) == 0

        await until(folded)
        for user in users:
            await asked(shop, user)
            assert (await shop.recommend(user))["degraded"] == []
        assert time.monotonic() - back_at < 20.0
        assert (await shop.recommend(searcher))["strategy"] == "personal"
        assert (await shop.user(searcher))["event_count"] == 2
        assert (await shop.client.get("/v1/stats")).json()["queue_depth"] == 0


_ONE_CALL = 0.0006
"""A budget in dollars that has room for one call, but not for two."""


async def test_once_the_days_budget_is_spent_profiles_are_counted_and_items_go_on(
    open_over_chat: Opener, chat: ChatProvider
) -> None:
    async with open_over_chat(budget_day_usd=_ONE_CALL) as shop:
        first, newcomer = await known(shop), fresh()
        await looked_at(shop, first)
        await asked(shop, first, after=1.0)
        await looked_at(shop, first)
        await shop.send(event(newcomer, "garden-01", "purchase"))
        await counted(shop, "over_budget")
        profile = await shop.profile(newcomer)
        assert profile["model"] == "counter"
        answer = await shop.recommend(newcomer)
        assert answer["strategy"] == "personal"
        assert answer["degraded"] == ["profile", "budget"]
        assert (await shop.put(_LAMP))["stored"] == 1
        ready = (await shop.client.get("/readyz")).json()
        assert ready["ready"] is True
        assert "budget" in ready["parts"]["profiler"]
        budget = (await shop.client.get("/v1/stats")).json()["costs"]["budget"]
        assert budget["state"] == "spent"
        assert 0.0 < budget["spent_usd"] <= _ONE_CALL
        assert len(chat.chats) == 1


async def test_the_budget_of_one_user_does_not_stop_the_others(
    open_over_chat: Opener, chat: ChatProvider
) -> None:
    async with open_over_chat(budget_user_day_usd=_ONE_CALL) as shop:
        greedy, other = await known(shop), await known(shop)
        await looked_at(shop, greedy)
        first = await asked(shop, greedy, after=1.0)
        await looked_at(shop, greedy)
        await looked_at(shop, other)
        await counted(shop, "over_budget")
        await asked(shop, other, after=1.0)
        assert (await shop.recommend(greedy))["degraded"] == ["profile", "budget"]
        assert (await shop.user(greedy))["profile"]["updated_at"] == first["updated_at"]
        assert (await shop.recommend(other))["degraded"] == []
        assert len(chat.chats) == 2


async def test_with_the_setting_for_it_new_items_wait_for_the_budget_too(
    open_over_chat: Opener, chat: ChatProvider
) -> None:
    async with open_over_chat(budget_day_usd=5e-5, budget_stops_embeddings=True) as shop:
        long = {"title": "word " * 1_600, "category": "garden"}
        result = await shop.put({"item_id": "long", "features": long})
        assert (result["stored"], [row["item_id"] for row in result["pending"]]) == (0, ["long"])
        assert "budget" in result["pending"][0]["reason"]
        user = fresh()
        await shop.send(event(user, "garden-01", "purchase"))
        answer = await shop.recommend(user, limit=5)
        assert answer["strategy"] == "personal"
        assert answer["degraded"] == ["profile", "budget"]
        assert "long" not in ids(answer)
        assert chat.chats == []
