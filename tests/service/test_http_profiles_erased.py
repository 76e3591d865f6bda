"""Erasing users whom a model was asked about, also while it is being asked."""

from __future__ import annotations

from typing import Any

import pytest
from chat_provider import PROFILE_MODEL, ChatProvider, likes
from profiled import Opener, asked, asked_times, counted, known, looked_at
from shop import Shop, event, fresh, refused, until

from indexer.domain.profile import Memory

pytestmark = pytest.mark.anyio

_TENANT = "default"


async def _billed(shop: Shop, user: str) -> bool:
    return await shop.runtime.models.ledger.knows_user(_TENANT, user)


async def _erase(shop: Shop, user: str) -> dict[str, Any]:
    answer = await shop.client.delete(f"/v1/users/{user}")
    assert answer.status_code == 200, answer.text
    erased: dict[str, Any] = answer.json()
    return erased


async def _call_ended(shop: Shop, calls: int) -> None:
    """Wait until the ledger has that many calls about profiles, and what follows them is done."""

    async def recorded() -> bool:
        return shop.runtime.telemetry.total("provider_calls", "profile") >= calls

    await until(recorded)


async def test_erasing_takes_profile_summary_and_the_name_on_the_bill(
    open_over_chat: Opener, chat: ChatProvider
) -> None:
    async with open_over_chat() as shop:
        user = await known(shop)
        await looked_at(shop, user, n=30)
        cost = (await asked(shop, user, after=1.0))["cost_usd"]
        assert await _billed(shop, user)
        assert (await shop.runtime.profiles.memory(_TENANT, user)).summary
        assert (await _erase(shop, user))["verified"] is True
        assert not await _billed(shop, user)
        assert await shop.runtime.profiles.get(_TENANT, user) is None
        assert await shop.runtime.profiles.memory(_TENANT, user) == Memory()
        refused(await shop.client.get(f"/v1/users/{user}"), 404)
        costs = (await shop.client.get("/v1/stats")).json()["costs"]
        assert costs["today_usd"] >= cost


@pytest.mark.parametrize("outcome", ["an answer", "no use", "a failure"])
async def test_a_user_erased_while_asked_about_stays_erased_however_the_call_ends(
    open_over_chat: Opener, chat: ChatProvider, outcome: str
) -> None:
    if outcome == "no use":
        chat.answer = lambda document: "no"
    if outcome == "a failure":
        chat.refuse = lambda request: (500, "oh")
    async with open_over_chat() as shop:
        user = await known(shop)
        chat.hold_chats = True
        await looked_at(shop, user)
        await asked_times(chat, 1)
        assert (await _erase(shop, user))["verified"] is True
        chat.release_chats()
        await _call_ended(shop, 1)

        async def forgotten() -> bool:
            return not await _billed(shop, user)

        await until(forgotten)
        assert await shop.runtime.profiles.get(_TENANT, user) is None
        refused(await shop.client.get(f"/v1/users/{user}"), 404)


async def test_who_begins_again_while_asked_about_gets_nothing_of_the_erased_past(
    open_over_chat: Opener, chat: ChatProvider
) -> None:
    chat.answer = likes("category=kitchen")
    async with open_over_chat() as shop:
        user = await known(shop)
        chat.hold_chats = True
        await looked_at(shop, user, "kitchen-01", n=30)
        await asked_times(chat, 1)
        await _erase(shop, user)
        await shop.send(event(user, "sport-01", "view"))
        chat.release_chats()
        await counted(shop, "asked")
        profile = await shop.profile(user)
        assert profile["model"] == "counter"
        assert not any("kitchen" in term for term in profile["weights"])
        assert await shop.runtime.profiles.memory(_TENANT, user) == Memory()


async def test_a_user_erased_while_asked_about_is_off_the_bill_after_a_stop(
    open_over_chat: Opener, chat: ChatProvider
) -> None:
    user = fresh()
    async with open_over_chat() as shop:
        await known(shop, user)
        chat.hold_chats = True
        await looked_at(shop, user)
        await asked_times(chat, 1)
        await _erase(shop, user)
    async with open_over_chat(items=False) as shop:
        assert not await _billed(shop, user)
        refused(await shop.client.get(f"/v1/users/{user}"), 404)
    assert len(chat.of(PROFILE_MODEL)) == 1
