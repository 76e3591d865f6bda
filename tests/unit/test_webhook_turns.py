"""What one tenant may have under way, and what a name that takes long is told as."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from webhook_cases import LOG, Log, Points

from indexer.errors import InvalidInput, Overloaded
from recsvc.webhooks import connect
from recsvc.webhooks.addresses import Allowed
from recsvc.webhooks.connect import AddressRefused, Resolver
from recsvc.webhooks.manage import WEBHOOKS_MAX, Webhooks
from recsvc.webhooks.places import Places
from recsvc.webhooks.registry import Registry
from recsvc.webhooks.schemas import WebhookIn, WebhookPatch
from recsvc.webhooks.turns import UNDER_WAY_MAX

pytestmark = pytest.mark.anyio

SENT = WebhookIn(url="http://slow.example/")


class Names:
    """Looks names up once it is let."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.asked = 0

    async def __call__(self, host: str) -> list[str]:
        if host == "slow.example":
            self.asked += 1
            await self.may.wait()
        return ["8.8.8.8"]


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def webhooks(names: Names) -> Webhooks:
    points: Any = Points()
    nothing: Any = None
    log: Any = Log()
    resolver = Resolver(Allowed(frozenset()), names)
    places = Places(points, LOG)
    return Webhooks(log, LOG, points, Registry(points), places, resolver, nothing, lambda: None)


async def test_a_tenant_has_a_few_webhooks_under_way_and_delays_no_other(
    webhooks: Webhooks, names: Names
):
    waiting = [asyncio.create_task(webhooks.create("t", SENT)) for _ in range(UNDER_WAY_MAX)]
    await asyncio.sleep(0.01)
    with pytest.raises(Overloaded, match="try again"):
        await webhooks.create("t", SENT)
    assert names.asked == UNDER_WAY_MAX
    made = await webhooks.create("other", WebhookIn(url="http://quick.example/"))
    with pytest.raises(Overloaded):
        await webhooks.change("t", made["webhook_id"], WebhookPatch(enabled=True))
    names.may.set()
    await asyncio.gather(*waiting)
    await webhooks.create("t", SENT)


async def test_webhooks_made_at_once_are_no_more_than_a_tenant_can_have(
    webhooks: Webhooks, names: Names
):
    names.may.set()
    for _ in range(WEBHOOKS_MAX - 1):
        await webhooks.create("t", SENT)
    names.may.clear()
    waiting = [asyncio.create_task(webhooks.create("t", SENT)) for _ in range(UNDER_WAY_MAX)]
    await asyncio.sleep(0.01)
    names.may.set()
    made = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(isinstance(one, InvalidInput) for one in made) == UNDER_WAY_MAX - 1
    assert len((await webhooks.listed("t"))["webhooks"]) == WEBHOOKS_MAX


async def test_two_changes_at_once_are_both_made_and_a_deleted_webhook_stays_deleted(
    webhooks: Webhooks, names: Names
):
    names.may.set()
    webhook_id = (await webhooks.create("t", SENT))["webhook_id"]
    await asyncio.gather(
        webhooks.change("t", webhook_id, WebhookPatch(limit=7)),
        webhooks.change("t", webhook_id, WebhookPatch(users=["ada"])),
    )
    shown = await webhooks.get("t", webhook_id)
    assert (shown["limit"], shown["users"]) == (7, ["ada"])
    changing = webhooks.change("t", webhook_id, WebhookPatch(limit=8))
    await asyncio.gather(webhooks.delete("t", webhook_id), changing, return_exceptions=True)
    assert (await webhooks.listed("t"))["webhooks"] == []


async def test_a_name_that_takes_too_long_is_told_as_that(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connect, "_LOOKUP_S", 0.01)
    resolver = Resolver(Allowed(frozenset()), Names())
    with pytest.raises(AddressRefused, match="could not be looked up in time"):
        await resolver.addresses("slow.example")
