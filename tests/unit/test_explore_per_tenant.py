"""What is kept of a tenant's catalogue."""

from __future__ import annotations

import asyncio

import pytest

from indexer.errors import StoreUnavailable
from indexer.telemetry import Telemetry
from recsvc.explore.per_tenant import PerTenant

pytestmark = pytest.mark.anyio


class Catalogue:
    """A catalogue with a version, and a clock."""

    def __init__(self) -> None:
        self.version, self.now = "1", 0.0
        self.made: list[str] = []
        self.telemetry = Telemetry()
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.fails = False
        self.kept = PerTenant(
            self.make, lambda: self.version, 5.0, self.telemetry, lambda: self.now
        )

    async def make(self, tenant: str) -> str:
        version = self.version
        await self.goes_on.wait()
        if self.fails:
            raise StoreUnavailable("away")
        self.made.append(tenant)
        return f"{tenant} {version}"


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_it_is_made_once_a_tenant_until_the_catalogue_is_another():
    shop = Catalogue()
    for _ in range(3):
        assert await shop.kept.of("north") == "north 1"
        assert await shop.kept.of("south") == "south 1"
        shop.now += 100.0
    assert shop.made == ["north", "south"]
    shop.version = "2"
    assert await shop.kept.of("north") == "north 2"


async def test_what_was_made_is_given_while_another_is_made():
    shop = Catalogue()
    await shop.kept.of("north")
    shop.version, shop.now = "2", 6.0
    shop.goes_on.clear()
    for _ in range(3):
        assert await shop.kept.of("north") == "north 1"
    assert shop.made == ["north"]
    shop.goes_on.set()
    await _settled()
    assert await shop.kept.of("north") == "north 2"
    assert shop.made == ["north"] * 2


async def test_what_is_old_is_waited_for():
    shop = Catalogue()
    await shop.kept.of("north")
    shop.version, shop.now = "2", 50.0
    assert await shop.kept.of("north") == "north 2"


async def test_a_catalogue_that_changes_all_the_time_has_it_made_now_and_then():
    shop = Catalogue()
    answers = []
    for second in range(12):
        shop.version, shop.now = str(second), float(second)
        answers.append(await shop.kept.of("north"))
        await _settled()
    assert answers == ["north 0"] * 6 + ["north 5"] * 5 + ["north 10"]
    assert len(shop.made) == 3


async def test_who_comes_at_the_same_time_shares_it():
    shop = Catalogue()
    assert set(await asyncio.gather(*(shop.kept.of("north") for _ in range(9)))) == {"north 1"}
    assert shop.made == ["north"]


async def test_who_no_longer_waits_does_not_end_it_for_others():
    shop = Catalogue()
    shop.goes_on.clear()
    first, second = (asyncio.ensure_future(shop.kept.of("north")) for _ in range(2))
    await _settled()
    first.cancel()
    await _settled()
    shop.goes_on.set()
    assert await second == "north 1"
    assert shop.made == ["north"]


async def test_what_fails_is_counted_and_made_anew():
    shop = Catalogue()
    shop.fails = True
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await shop.kept.of("north")
    assert shop.telemetry.total("failures", "explore") == 2
    shop.fails = False
    assert await shop.kept.of("north") == "north 1"
    shop.version, shop.now, shop.fails = "2", 6.0, True
    for count in (3, 4):  # what was made is given all the same
        assert await shop.kept.of("north") == "north 1"
        await _settled()
        assert shop.telemetry.total("failures", "explore") == count


async def test_what_is_being_made_ends_with_the_service():
    shop = Catalogue()
    shop.goes_on.clear()
    waiting = asyncio.ensure_future(shop.kept.of("north"))
    await _settled()
    await shop.kept.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
