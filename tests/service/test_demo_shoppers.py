"""The demo's shoppers over the application: gentle, taken, and not to be put off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from shop import ITEMS, Shop, open_shop, until

from recsvc.demo.readers import Reader
from recsvc.demo.shoppers import Shoppers

pytestmark = pytest.mark.anyio

BOOKS = {item_id: {**one, "genres": [one["category"]]} for item_id, one in ITEMS.items()}
Answer = Callable[[httpx.Request], Awaitable[httpx.Response | None]]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop of the test's own."""
    async with open_shop(tmp_path / "shop", qdrant_url="edge") as opened:
        yield opened


def readers(count: int = 3, ratings: int = 20) -> list[Reader]:
    """Readers who rate one item after another, each beginning elsewhere."""
    ids = list(ITEMS)
    return [
        Reader(
            f"reader-{n}",
            tuple(
                {
                    "event_id": f"gb-{n}-{k}",
                    "user_id": f"reader-{n}",
                    "event_type": "rate",
                    "item_id": ids[(7 * n + k) % len(ids)],
                    "value": 3 + k % 3,
                }
                for k in range(ratings)
            ),
        )
        for n in range(count)
    ]


class Seen(httpx.AsyncBaseTransport):
    """Passes requests on to the application, unless ``instead`` has another answer; keeps them."""

    def __init__(self, shop: Shop, instead: Answer | None) -> None:
        self._inner, self._instead = httpx.ASGITransport(shop.app), instead
        self.bodies: list[list[dict[str, Any]]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.bodies.append(httpx.Response(200, content=request.content).json())
        answer = await self._instead(request) if self._instead is not None else None
        return answer or await self._inner.handle_async_request(request)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What was sent one by one, in order."""
        return [body[0] for body in self.bodies if len(body) == 1]


@asynccontextmanager
async def shopping(
    shop: Shop, rate: float, instead: Answer | None = None, count: int = 2
) -> AsyncIterator[tuple[Shoppers, Seen]]:
    """Have shoppers go on in the background; how long they take to stop is checked."""
    seen = Seen(shop, instead)
    async with httpx.AsyncClient(transport=seen, base_url="http://localhost") as client:
        shoppers = Shoppers(client, readers(), BOOKS, count=count, rate=rate, seed=1)
        task = asyncio.create_task(shoppers.run())
        try:
            yield shoppers, seen
            assert not task.done(), task.exception()
        finally:
            start = time.monotonic()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert time.monotonic() - start < 2.0


async def test_all_that_shoppers_send_is_taken_and_counted(shop: Shop):
    async with shopping(shop, rate=100) as (shoppers, seen):
        await until(lambda: _did_all(seen))
    assert (shoppers.refused, shoppers.unanswered) == (0, 0)
    asked = len({event["event_id"] for body in seen.bodies for event in body})
    assert asked - 1 <= shoppers.sent <= await shop.stored_events() <= asked  # one was under way


async def test_some_of_what_they_take_up_was_recommended(shop: Shop):
    async with shopping(shop, rate=100) as (shoppers, seen):
        await until(lambda: _sent(shoppers, 80))
    rated = {(r.user_id, e["item_id"]) for r in readers() for e in r.ratings}
    clicked = {(e["user_id"], e["item_id"]) for e in seen.events if e["event_type"] == "click"}
    assert clicked - rated


async def test_they_keep_their_rate(shop: Shop):
    async with shopping(shop, rate=10) as (shoppers, seen):
        await until(lambda: _sent(shoppers, 21))  # two histories, and one event
        start, before = time.monotonic(), len(seen.events)
        await asyncio.sleep(2.0)
        rate = (len(seen.events) - before) / (time.monotonic() - start)
    assert 3 < rate < 20  # machines are busy


async def test_who_has_no_more_to_do_makes_room_for_the_next(shop: Shop):
    async with shopping(shop, rate=100, count=1) as (_, seen):
        await until(lambda: _users(seen, 2), patience_s=30.0)
    assert [body[0]["user_id"] for body in seen.bodies if len(body) > 1][:2] == [
        "reader-0",
        "reader-1",
    ]


async def test_a_refused_event_is_passed_over(shop: Shop):
    async def refuse_clicks(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(422) if b'"click"' in request.content else None

    async with shopping(shop, rate=100, instead=refuse_clicks) as (shoppers, seen):
        await until(lambda: _sent(shoppers, 60))
    clicks = [event["event_id"] for event in seen.events if event["event_type"] == "click"]
    assert shoppers.refused == len(clicks) == len(set(clicks))


@pytest.mark.parametrize("kind", ["unavailable", "unreachable"])
async def test_what_the_service_could_not_take_is_sent_again_after_a_pause(shop: Shop, kind: str):
    failed: list[tuple[bytes, float]] = []

    async def fail_once(request: httpx.Request) -> httpx.Response | None:
        if failed or b'"rate"' in request.content or request.method == "GET":
            return None
        failed.append((request.content, time.monotonic()))
        if kind == "unreachable":
            raise httpx.ConnectError("nobody listens", request=request)
        return httpx.Response(503)

    async with shopping(shop, rate=100, instead=fail_once, count=1) as (shoppers, seen):
        await until(lambda: _sent(shoppers, 30))
        assert time.monotonic() - failed[0][1] >= 1.0
    assert shoppers.refused + shoppers.unanswered == 1
    first = httpx.Response(200, content=failed[0][0]).json()[0]["event_id"]
    assert [event["event_id"] for event in seen.events].count(first) == 2


async def test_they_stop_at_once_though_the_service_does_not_answer(shop: Shop):
    asked = asyncio.Event()

    async def never(_: httpx.Request) -> httpx.Response | None:
        asked.set()
        await asyncio.sleep(60)
        return None

    async with shopping(shop, rate=100, instead=never):
        await asyncio.wait_for(asked.wait(), 5)


async def test_nobody_shops_where_none_is_asked_for(shop: Shop):
    shoppers = Shoppers(shop.client, readers(), BOOKS, count=0, rate=1)
    await asyncio.wait_for(shoppers.run(), 1)
    assert shoppers.sent == 0


async def _sent(shoppers: Shoppers, least: int) -> bool:
    return shoppers.sent >= least


async def _did_all(seen: Seen) -> bool:
    types = {"view", "click", "add_to_cart", "purchase", "rate", "search"}
    return {event["event_type"] for event in seen.events} == types


async def _users(seen: Seen, least: int) -> bool:
    return len({body[0]["user_id"] for body in seen.bodies}) >= least
