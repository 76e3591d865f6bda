"""Profiles that a model makes: what is shown, what they do, and what is asked for them."""

from __future__ import annotations

import asyncio
import json

import pytest
from chat_provider import PROFILE_MODEL, SUMMARY_MODEL, ChatProvider, likes
from profiled import Opener, asked, asked_times, counted, known, looked_at
from shop import Shop, event, fresh

pytestmark = pytest.mark.anyio


async def test_a_first_profile_by_the_model_comes_seconds_after_a_purchase(
    open_over_chat: Opener, chat: ChatProvider
) -> None:
    user = fresh()
    async with open_over_chat() as shop:
        await shop.send(
            event(user, "novels-01", "purchase", event_id="bought"),
            event(user, "garden-01", "view", event_id="seen"),
        )
        assert "profile" in (await shop.recommend(user))["degraded"]
        profile = await asked(shop, user)
        assert profile["weights"] == {"category=garden": 0.5, "category=novels": 0.5}
        assert profile["evidence"] == {"category=garden": ["seen"], "category=novels": ["bought"]}
        assert profile["model"] == PROFILE_MODEL
        assert profile["summary"].startswith("likes ")
        assert profile["cost_usd"] == pytest.approx((900 * 0.28 + 200 * 0.42) / 1e6)
        shown = await shop.user(user, vectors=True)
        assert set(shown["interests"]) == {"category=garden", "category=novels"}
        assert len(shown["vectors"]["profile"]) == 64
        assert (await shop.recommend(user))["degraded"] == []
        [document] = chat.of(PROFILE_MODEL)
        assert "bought" not in json.dumps(document)
        assert user not in json.dumps(chat.chats[0].messages)
        stats = (await shop.client.get("/v1/stats")).json()
        [row] = [row for row in stats["provider"] if row["purpose"] == "profile"]
        assert (row["calls"], row["tokens_out"]) == ({"ok": 1}, 200)
        assert row["cost_usd"] == pytest.approx(profile["cost_usd"])


async def test_a_term_of_the_catalogue_moves_the_list_and_is_a_reason_that_adds_up_to_the_score(
    open_over_chat: Opener, chat: ChatProvider
) -> None:
    chat.answer = likes("tags=team", "category=weapons", "new", weight=1.0)  # one occurs
    async with open_over_chat() as shop:
        user = await known(shop)
        await looked_at(shop, user, "novels-01", n=3)
        assert (await asked(shop, user, after=1.0))["weights"] == {"tags=team": 1.0}
        answer = await shop.recommend(user, explain=True, profile_weight=0.9, limit=20)
        assert {item["features"]["category"] for item in answer["items"][:5]} == {"sport"}
        for item in answer["items"]:
            total = sum(reason["contribution"] for reason in item["reasons"])
            assert total == pytest.approx(item["score"], abs=1e-3)
        [reason] = [r for r in answer["items"][0]["reasons"] if r["kind"] == "profile"]
        assert (reason["feature"], reason["weight"]) == ("tags=team", 1.0)
        assert reason["contribution"] > 0.0
        without = await shop.recommend(user, profile_weight=0.0, limit=5)
        assert {item["features"]["category"] for item in without["items"]} == {"novels"}


async def test_older_events_are_summarised_once_and_not_told_again_not_even_after_a_restart(
    open_over_chat: Opener, chat: ChatProvider
) -> None:
    chat.answer = likes("category=garden", summary="NOT TO BE TOLD")
    chat.notes = lambda document: "blah " * 5_000
    async with open_over_chat() as shop:
        user = await known(shop)
        await looked_at(shop, user, n=30)
        first = await asked(shop, user, after=1.0)
        await looked_at(shop, user, n=5)
        second = await asked(shop, user, after=first["updated_at"])
        one, two = chat.of(PROFILE_MODEL)
        assert (len(one["events"]), len(two["events"])) == (10, 15)
        assert two["earlier"] == one["earlier"]
        assert 0 < len(one["earlier"]) <= 800
        [summarised] = chat.of(SUMMARY_MODEL)
        assert len(summarised["events"]) == 20
        assert "NOT TO BE TOLD" not in json.dumps([two, summarised])
        assert first["cost_usd"] > second["cost_usd"] > 0.0
    async with open_over_chat(items=False) as shop:
        await looked_at(shop, user)
        await asked(shop, user, after=second["updated_at"])
        assert len(chat.of(SUMMARY_MODEL)) == 1
        assert chat.of(PROFILE_MODEL)[-1]["earlier"] == one["earlier"]


async def test_a_retracted_event_makes_a_new_profile_without_it_and_without_its_summary(
    open_over_chat: Opener, chat: ChatProvider
) -> None:
    chat.notes = lambda document: json.dumps([e["item"]["title"] for e in document["events"]])[:700]
    async with open_over_chat() as shop:
        user = await known(shop)
        await shop.send(event(user, "kitchen-01", "view", event_id="oops", timestamp=1_700_000_000))
        await looked_at(shop, user, n=29)
        first = await asked(shop, user, after=1.0)
        assert "kettle" in chat.of(PROFILE_MODEL)[-1]["earlier"]
        await shop.send({"user_id": user, "event_type": "retract", "retracts": "oops"})
        second = await asked(shop, user, after=first["updated_at"])
        assert "kettle" not in json.dumps(chat.of(PROFILE_MODEL)[-1])
        assert "kettle" not in json.dumps(chat.of(SUMMARY_MODEL)[-1])
        assert "oops" not in json.dumps(second["evidence"])
        memory = await shop.runtime.profiles.memory("default", user)
        assert "kettle" not in memory.summary


async def test_who_takes_everything_back_has_no_preferences_left(open_over_chat: Opener) -> None:
    async with open_over_chat() as shop:
        user = await known(shop)
        await shop.send(event(user, "garden-01", event_id="oops"))
        await asked(shop, user, after=1.0)
        await shop.send({"user_id": user, "event_type": "retract", "retracts": "oops"})
        await counted(shop, "counted")
        assert (await shop.user(user))["profile"]["weights"] == {}


async def _ask_about(shop: Shop, count: int) -> list[str]:
    """Have that many users asked about, one event each, at about the same time."""
    users = [await known(shop) for _ in range(count)]
    await shop.send(*(event(user, "garden-01") for user in users))
    return users


async def test_a_prompt_that_is_too_long_is_halved_and_the_profile_made_all_the_same(
    open_over_chat: Opener, chat: ChatProvider
) -> None:
    def refuse(request):
        if len(request.document["events"]) > 5:
            return 400, "This model's maximum context length is 4096 tokens"
        return None

    chat.refuse = refuse
    async with open_over_chat() as shop:
        user = await known(shop)
        await looked_at(shop, user, n=20)
        await asked(shop, user, after=1.0)
        assert [len(d["events"]) for d in chat.of(PROFILE_MODEL)] == [20, 10, 5]


async def test_an_endpoint_without_reply_formats_is_asked_in_the_loosest_from_then_on(
    open_over_chat: Opener, chat: ChatProvider
) -> None:
    def refuse(request):
        return request.format and (400, f"response_format {request.format} is not supported")

    chat.refuse = refuse
    async with open_over_chat(profile_concurrency=1) as shop:
        for user in await _ask_about(shop, 3):
            await asked(shop, user, after=1.0)
        formats = [request.format for request in chat.chats]
        assert formats == ["json_schema", "json_object", None, None, None]


async def test_hundred_quick_events_of_a_user_are_few_calls_and_one_at_a_time(
    open_over_chat: Opener, chat: ChatProvider
) -> None:
    async with open_over_chat(profile_min_interval_s=60.0) as shop:
        user = await known(shop)
        chat.hold_chats = True
        for _ in range(10):
            await looked_at(shop, user, n=3)
        await asked_times(chat, 1)
        for _ in range(10):
            await looked_at(shop, user, n=7)
        await asyncio.sleep(1.2)  # by then a second call would be planned
        chat.release_chats()
        await asked(shop, user, after=1.0)
        await asyncio.sleep(0.2)  # ... and sent
        assert chat.at_once_most == 1
        assert len(chat.of(PROFILE_MODEL)) == 1
        assert (await shop.user(user))["event_count"] == 100


async def test_what_came_during_a_call_is_asked_about_after_it(
    open_over_chat: Opener, chat: ChatProvider
) -> None:
    async with open_over_chat() as shop:
        user = await known(shop)
        chat.hold_chats = True
        await looked_at(shop, user)
        await asked_times(chat, 1)
        await looked_at(shop, user, "novels-01")
        chat.release_chats()
        await asked_times(chat, 2)
        assert [len(document["events"]) for document in chat.of(PROFILE_MODEL)] == [1, 2]


async def test_without_a_model_nothing_is_ever_chatted(
    open_over_chat: Opener, chat: ChatProvider
) -> None:
    user = fresh()
    async with open_over_chat(profile_model="counter") as shop:
        await shop.send(event(user, "garden-01", "purchase"))
        profile = await shop.profile(user)
        assert profile["model"] == "counter"
        assert profile["cost_usd"] == 0.0
        assert (await shop.recommend(user))["degraded"] == []
        assert shop.runtime.models.profile is None
    assert chat.chats == []
