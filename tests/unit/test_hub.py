"""The hub: what is computed, when, and what waits for whom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from virtual_time import VIRTUAL, now

from indexer.changes.memory import MemoryChanges
from indexer.errors import InvalidInput, Overloaded, StoreUnavailable
from indexer.ports import EventFailed, ItemsChange, ProfileChange, UserChange
from indexer.telemetry import Telemetry
from recsvc import hub as bounds
from recsvc.hub import Hub
from recsvc.listener import Listener
from recsvc.live import Ping, Subscribe, UserEvent, read_message
from recsvc.recommend import Options

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> Any:
    return VIRTUAL


class Shop:
    """Users with versions, of whom lists can be asked."""

    def __init__(self) -> None:
        self.changes, self.telemetry = MemoryChanges(), Telemetry()
        self.versions: dict[tuple[str, str], int] = {}
        self.asked: list[tuple[str, str, int, float]] = []
        self.takes_s = 0.0
        self.fails = 0
        self.behind = 0
        self.items: list[str] | None = None
        self.features: dict[str, Any] = {"title": "T"}

    async def for_user(self, tenant: str, user_id: str, options: Options) -> dict[str, Any]:
        """A list whose only item names the version that it is of."""
        self.asked.append((tenant, user_id, options.limit, now()))
        version = self.versions.get((tenant, user_id), 0)
        if self.behind:
            self.behind -= 1
            version -= 1
        await asyncio.sleep(self.takes_s)
        if self.fails:
            self.fails -= 1
            raise StoreUnavailable("away")
        return {
            "user_id": user_id,
            "user_version": version,
            "strategy": "personal" if version else "popular",
            "items": [
                {"item_id": item_id, "score": 0.5, "features": self.features}
                for item_id in self.items or [f"v{version}"]
            ],
        }

    async def version_of(self, tenant: str, user_id: str) -> int:
        """The version in the store."""
        return self.versions.get((tenant, user_id), 0)

    async def change(self, user_id: str, tenant: str = "t", to: int | None = None) -> None:
        """Bring a user to the next version, and say so."""
        key = (tenant, user_id)
        self.versions[key] = self.versions.get(key, 0) + 1 if to is None else to
        await self.changes.publish([UserChange(*key, self.versions[key])])


@asynccontextmanager
async def running(shop: Shop, **more: Any) -> AsyncIterator[Hub]:
    hub = Hub(shop, shop.changes, shop.telemetry, **more)
    task = asyncio.create_task(hub.run())
    yield hub
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def told(listener: Listener) -> dict[str, Any]:
    push = await asyncio.wait_for(listener.next(), 60.0)
    assert push is not None
    message: dict[str, Any] = json.loads(push.text)
    assert message["sequence"] == push.sequence
    return message


async def silent(listener: Listener, seconds: float = 10.0) -> bool:
    try:
        await asyncio.wait_for(listener.next(), seconds)
    except TimeoutError:
        return True
    return False


async def test_a_change_is_told_to_who_listens_and_computed_for_nobody_else():
    shop = Shop()
    async with running(shop) as hub:
        with hub.listening("t", "k") as ada, hub.listening("t", "k") as bob:
            ada.subscribe("ada")
            bob.subscribe("bob")
            await shop.change("ada")
            await shop.change("carol")
            message = await told(ada)
            assert (message["user_id"], message["user_version"]) == ("ada", 1)
            assert message["recommendations"] == [{"item_id": "v1", "score": 0.5}]
            assert await silent(bob)
    assert [call[:3] for call in shop.asked] == [("t", "ada", 10)]


async def test_a_list_is_computed_once_for_each_limit_however_many_listen():
    shop = Shop()
    async with running(shop) as hub:
        listeners = [hub.join("t", "k") for _ in range(50)]
        for n, listener in enumerate(listeners):
            listener.subscribe("ada", 5 if n % 2 else 7)
        await shop.change("ada")
        for listener in listeners:
            assert (await told(listener))["sequence"] == 1
    assert sorted(call[2] for call in shop.asked) == [5, 7]


async def test_the_same_user_of_another_tenant_is_another_user():
    shop = Shop()
    async with running(shop) as hub:
        with hub.listening("north", "k") as north, hub.listening("south", "k") as south:
            north.subscribe("ada")
            south.subscribe("ada")
            await shop.change("ada", "north")
            assert (await told(north))["sequence"] == 1
            assert await silent(south)


async def test_a_burst_is_computed_at_most_once_an_interval_and_its_end_is_told():
    shop = Shop()
    async with running(shop, interval_s=0.05) as hub:
        with hub.listening("t", "k") as listener:
            listener.subscribe("ada")
            for _ in range(100):
                await shop.change("ada")
                await asyncio.sleep(0.002)
            await asyncio.sleep(1.0)
            assert (await told(listener))["sequence"] == 100
            assert await silent(listener)
    times = [call[3] for call in shop.asked]
    assert min(b - a for a, b in pairwise(times)) >= 0.05 - 1e-6
    assert len(times) <= 6


async def test_a_new_profile_is_told_where_it_changes_the_list_and_else_not():
    shop = Shop()
    async with running(shop) as hub:
        with hub.listening("t", "k") as listener:
            listener.subscribe("ada")
            await shop.change("ada")
            assert (await told(listener))["sequence"] == 1
            await shop.changes.publish([ProfileChange("t", "ada"), ProfileChange("t", "bob")])
            assert await silent(listener)
            shop.items = ["another"]
            await shop.changes.publish([ProfileChange("t", "ada")])
            message = await told(listener)
            assert (message["sequence"], message["recommendations"][0]["item_id"]) == (1, "another")
            assert await silent(listener)


async def test_a_changed_item_has_only_the_lists_made_again_that_show_it():
    shop = Shop()
    async with running(shop) as hub:
        with hub.listening("t", "k") as listener, hub.listening("north", "k") as other:
            listener.subscribe("ada")
            listener.subscribe("bob")
            other.subscribe("ada")
            shop.items = ["p1", "p2"]
            await shop.change("ada")
            await shop.change("ada", "north")
            assert {(await told(one))["user_id"] for one in (listener, other)} == {"ada"}
            shop.items = ["p3"]
            await shop.change("bob")
            assert (await told(listener))["user_id"] == "bob"
            before = len(shop.asked)
            shop.items = ["p4"]
            await shop.changes.publish([ItemsChange("t", ("p1", "p2", "p9"))])
            message = await told(listener)
            assert (message["user_id"], message["sequence"]) == ("ada", 1)
            assert [one["item_id"] for one in message["recommendations"]] == ["p4"]
            await shop.changes.publish([ItemsChange("t", ("p1", "p2"), ("p2",))])
            assert await silent(listener)
            assert await silent(other)
            assert [call[:2] for call in shop.asked[before:]] == [("t", "ada")]


async def test_who_has_left_is_in_no_list_that_an_item_is_looked_for_in():
    shop = Shop()
    async with running(shop) as hub:
        with hub.listening("t", "k") as listener:
            listener.subscribe("ada")
            await shop.change("ada")
            await told(listener)
        before = len(shop.asked)
        await shop.changes.publish([ItemsChange("t", ("v1",))])
        await asyncio.sleep(1.0)
        assert len(shop.asked) == before


async def test_features_are_told_to_who_asks_and_when_they_change():
    shop = Shop()
    async with running(shop) as hub:
        with hub.listening("t", "k") as plain, hub.listening("t", "k") as full:
            plain.subscribe("ada")
            full.subscribe("ada", features=True)
            await shop.change("ada")
            row = {"item_id": "v1", "score": 0.5}
            assert (await told(plain))["recommendations"] == [row]
            assert (await told(full))["recommendations"] == [{**row, "features": {"title": "T"}}]
            assert len(shop.asked) == 1
            shop.features = {"title": "New"}
            await shop.changes.publish([ItemsChange("t", ("v1",))])
            message = await told(full)
            assert message["recommendations"][0]["features"] == {"title": "New"}
            assert await silent(plain)
            full.subscribe("ada", features=False)
            await shop.change("ada")
            assert "features" not in (await told(full))["recommendations"][0]


async def test_what_changes_while_a_list_is_computed_is_told_after_it():
    shop = Shop()
    shop.takes_s = 1.0
    async with running(shop) as hub:
        with hub.listening("t", "k") as listener:
            listener.subscribe("ada")
            await shop.change("ada")
            await asyncio.sleep(0.5)
            await shop.change("ada")
            assert [(await told(listener))["sequence"] for _ in range(2)] == [1, 2]


async def test_of_each_user_only_the_newest_waits_for_a_slow_client():
    shop = Shop()
    async with running(shop) as hub:
        with hub.listening("t", "k") as slow:
            slow.subscribe("ada")
            slow.subscribe("bob")
            for _ in range(5):
                await shop.change("ada")
                await shop.change("bob")
                await asyncio.sleep(1.0)
            waiting = [await told(slow), await told(slow)]
            assert {(m["user_id"], m["sequence"]) for m in waiting} == {("ada", 5), ("bob", 5)}
            assert await silent(slow)


async def test_a_notice_that_comes_twice_or_late_is_not_told_again():
    shop = Shop()
    async with running(shop) as hub:
        with hub.listening("t", "k") as listener:
            listener.subscribe("ada")
            await shop.change("ada", to=6)
            assert (await told(listener))["sequence"] == 6
            for late in (5, 6):
                await shop.changes.publish([UserChange("t", "ada", late)])
                assert await silent(listener)


async def test_a_list_that_is_older_than_its_notice_is_asked_for_again():
    shop = Shop()
    async with running(shop) as hub:
        with hub.listening("t", "k") as listener:
            listener.subscribe("ada")
            shop.behind = 2
            await shop.change("ada", to=9)
            assert (await told(listener))["sequence"] == 9


async def test_an_erased_user_is_told_as_popular_and_begins_anew():
    shop = Shop()
    async with running(shop) as hub:
        with hub.listening("t", "k") as listener:
            listener.subscribe("ada")
            await shop.change("ada", to=3)
            assert (await told(listener))["sequence"] == 3
            await shop.change("ada", to=0)
            erased = await told(listener)
            assert (erased["sequence"], erased["strategy"]) == (0, "popular")
            await shop.change("ada")
            assert (await told(listener))["sequence"] == 1


async def test_a_failing_list_is_counted_and_told_once_it_can_be():
    shop = Shop()
    async with running(shop) as hub:
        with hub.listening("t", "k") as listener:
            listener.subscribe("ada")
            shop.fails = 3
            await shop.change("ada")
            assert (await told(listener))["sequence"] == 1
    assert shop.telemetry.total("failures", "push") == 3


async def test_resuming_tells_the_newest_or_that_there_is_nothing_newer():
    shop = Shop()
    async with running(shop) as hub:
        await shop.change("ada", to=4)
        with hub.listening("t", "k") as listener:
            for known in (3, 17, 0):  # also one from before the user was erased
                listener.resume("ada", known)
                message = await told(listener)
                assert (message["type"], message["sequence"]) == ("recommendation_update", 4)
            listener.resume("ada", 4)
            assert await told(listener) == {"type": "up_to_date", "user_id": "ada", "sequence": 4}
            listener.resume("ada", 4, asks=False)
            assert await silent(listener)
            await shop.change("ada")
            assert (await told(listener))["sequence"] == 5


async def test_who_comes_back_is_told_where_the_list_changed_within_its_version():
    shop = Shop()
    async with running(shop) as hub:
        with hub.listening("t", "k") as listener:
            listener.resume("ada", 0)
            listener.subscribe("bob")
            await shop.change("ada")
            assert (await told(listener))["sequence"] == 1
        with hub.listening("t", "k") as back:
            back.resume("ada", 1)
            assert (await told(back))["type"] == "up_to_date"
        shop.items = ["another"]  # while nobody listens
        await shop.changes.publish([ItemsChange("t", ("v1",))])
        with hub.listening("t", "k") as back, hub.listening("t", "k") as later:
            for one in (back, later):
                one.resume("ada", 1)
                message = await told(one)
                assert (message["type"], message["sequence"]) == ("recommendation_update", 1)
                assert message["recommendations"][0]["item_id"] == "another"


async def test_who_comes_with_a_version_that_nobody_was_told_of_here_is_told_the_list():
    shop = Shop()
    async with running(shop) as hub:
        await shop.change("ada", to=4)
        with hub.listening("t", "k") as listener:
            listener.resume("ada", 4, asks=False)
            assert (await told(listener))["sequence"] == 4
            listener.resume("ada", 4)
            assert (await told(listener))["type"] == "up_to_date"


async def test_a_changed_item_has_lists_made_again_at_an_interval_of_its_own():
    shop = Shop()
    shop.items = ["p1"]
    async with running(shop, items_interval_s=2.0) as hub:
        with hub.listening("t", "k") as listener:
            listener.subscribe("ada")
            await shop.change("ada")
            await told(listener)
            await asyncio.sleep(1.0)
            before, start = len(shop.asked), now()
            for n in range(100):
                shop.features = {"title": str(n)}
                await shop.changes.publish([ItemsChange("t", ("p1",))])
                await asyncio.sleep(0.05)
            await asyncio.sleep(5.0)
            times = [round(call[3] - start, 3) for call in shop.asked[before:]]
            assert times == [0.0, 2.0, 4.0, 6.0]


async def test_an_event_of_a_user_is_ahead_of_all_lists_that_a_changed_item_is_in():
    shop = Shop()
    shop.items = ["p1"]
    async with running(shop) as hub:
        with hub.listening("t", "k") as listener:
            users = [f"u{n}" for n in range(80)]
            for user_id in users:
                listener.subscribe(user_id)
                await shop.change(user_id)
            await asyncio.sleep(1.0)
            before, shop.takes_s = len(shop.asked), 1.0
            await shop.changes.publish([ItemsChange("t", ("p1",))])
            await asyncio.sleep(0.1)
            under_way = {call[1] for call in shop.asked[before:]}
            waits = next(user_id for user_id in users if user_id not in under_way)
            await shop.change(waits)
            await asyncio.sleep(60.0)
            asked = [call[1] for call in shop.asked[before:]]
            assert asked.index(waits) == len(under_way) == 8
            assert sorted(asked) == sorted(users)


async def test_a_list_that_fails_after_an_item_changed_is_made_once_it_can_be():
    shop = Shop()
    shop.items = ["p1"]
    async with running(shop) as hub:
        with hub.listening("t", "k") as listener:
            listener.subscribe("ada")
            await shop.change("ada")
            await told(listener)
            shop.fails, shop.items = 2, ["p2"]
            await shop.changes.publish([ItemsChange("t", ("p1",))])
            assert (await told(listener))["recommendations"][0]["item_id"] == "p2"


async def test_what_is_held_waits_and_other_users_do_not():
    shop = Shop()
    async with running(shop) as hub:
        with hub.listening("t", "k") as listener:
            listener.subscribe("ada")
            listener.subscribe("bob")
            with listener.holding("ada"):
                await shop.change("ada")
                await shop.change("bob")
                assert (await told(listener))["user_id"] == "bob"
                assert await silent(listener)
            assert (await told(listener))["user_id"] == "ada"


async def test_nothing_is_told_after_unsubscribing_not_even_what_waits():
    shop = Shop()
    async with running(shop) as hub:
        with hub.listening("t", "k") as listener:
            listener.subscribe("ada")
            await shop.change("ada")
            await asyncio.sleep(1.0)
            listener.unsubscribe("ada")
            listener.unsubscribe("never")
            await shop.change("ada")
            assert await silent(listener)
            assert hub.users == 0


async def test_a_lost_notice_is_found_by_its_version():
    shop = Shop()
    async with running(shop, version_of=shop.version_of, look_again_s=5.0) as hub:
        with hub.listening("t", "k") as listener:
            listener.subscribe("ada")
            await asyncio.sleep(6.0)
            shop.versions["t", "ada"] = 8
            assert (await told(listener))["sequence"] == 8
            assert await silent(listener, 60.0)
    assert len(shop.asked) == 1


async def test_who_has_left_is_forgotten_with_all_that_was_listened_to():
    shop = Shop()
    async with running(shop) as hub:
        with hub.listening("t", "k") as listener:
            for n in range(bounds.USERS_PER_LISTENER_MAX):
                listener.subscribe(f"u{n}")
            with pytest.raises(Overloaded, match="100 users"):
                listener.subscribe("one more")
            assert (hub.listeners, hub.users) == (1, bounds.USERS_PER_LISTENER_MAX)
        hub.leave(listener)
        assert (hub.listeners, hub.users) == (0, 0)
        await shop.change("u1")
        await shop.changes.publish([EventFailed("t", "u1", "e", "bad")])
    assert shop.asked == []


async def test_a_key_has_so_many_connections_and_another_key_its_own():
    shop = Shop()
    hub = Hub(shop, shop.changes, shop.telemetry)
    joined = [hub.join("t", "k") for _ in range(bounds.LISTENERS_PER_KEY_MAX)]
    with pytest.raises(Overloaded, match="1000 live connections"):
        hub.join("t", "k")
    hub.join("t", "other")
    hub.leave(joined[0])
    hub.join("t", "k")


async def test_a_closed_hub_says_so_to_who_listens_and_takes_nobody_in():
    shop = Shop()
    async with running(shop) as hub:
        with hub.listening("t", "k") as listener:
            next_one = asyncio.ensure_future(listener.next())
            await asyncio.sleep(0)
            hub.close()
            assert await next_one is None
        with pytest.raises(Overloaded, match="stopping"):
            hub.join("t", "k")


def test_messages_are_read_by_their_type():
    assert read_message('{"type": "ping", "timestamp": 3}') == Ping(type="ping")
    read = read_message('{"type": "subscribe", "user_id": "ada", "limit": 3}')
    assert read == Subscribe(type="subscribe", user_id="ada", limit=3)
    sent = read_message('{"type": "user_event", "user_id": "ada", "event_type": "click"}')
    assert sent == UserEvent("ada", b'{"user_id":"ada","event_type":"click"}')


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "must be a JSON object"),
        ("{}", "type: must be one of user_event, subscribe"),
        ('{"type": ["ping"]}', "type: must be one of"),
        ('{"type": "dance"}', "not 'dance'"),
        ('{"type": "subscribe"}', "user_id: missing"),
        ('{"type": "subscribe", "user_id": "a b"}', "user_id: must be 1..128 characters"),
        ('{"type": "subscribe", "user_id": "a", "limit": 101}', "limit: "),
        ('{"type": "resume", "user_id": "a"}', "sequence: missing"),
        ('{"type": "resume", "user_id": "a", "sequence": -1}', "sequence: "),
        ('{"type": "unsubscribe", "user_id": "a", "more": 1}', "more: unknown field"),
    ],
)
def test_a_message_that_is_refused_says_what_is_wrong(sent: str, said: str):
    with pytest.raises(InvalidInput, match=said):
        read_message(sent)
