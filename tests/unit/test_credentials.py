"""When the provider's key is read, and that no text of ours shows it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import httpx
import pytest

from indexer.errors import ProviderUnavailable
from indexer.provider.credentials import Credentials, Key

pytestmark = pytest.mark.anyio

NOW = 1_000_000.0


@dataclass
class World:
    """A source of keys, a provider that knows some, and what each was asked."""

    good: set[str] = field(default_factory=lambda: {"k1"})
    gives: Key | Exception = field(default_factory=lambda: Key("k1"))
    now: float = NOW
    reads: int = 0
    sent: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)
    held: asyncio.Event | None = None
    arrivals: asyncio.Queue[None] = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        self.credentials = Credentials(
            self.read, self.refused.append, self.counted.append, clock=lambda: self.now
        )

    async def read(self) -> Key:
        self.reads += 1
        await asyncio.sleep(0)
        if isinstance(self.gives, Exception):
            raise self.gives
        return self.gives

    async def provide(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request.headers.get("authorization", ""))
        self.arrivals.put_nowait(None)
        if self.held is not None:
            await self.held.wait()
        return httpx.Response(200 if self.sent_key(request) in self.good else 401)

    @staticmethod
    def sent_key(request: httpx.Request) -> str:
        return request.headers.get("authorization", "").removeprefix("Bearer ")

    async def arrived(self, count: int) -> None:
        """Wait until so many more requests have come."""
        for _ in range(count):
            await self.arrivals.get()

    async def ask(self, times: int = 1) -> list[int]:
        """Send requests together; return their status codes."""
        transport = httpx.MockTransport(self.provide)
        async with httpx.AsyncClient(transport=transport, auth=self.credentials) as client:
            replies = await asyncio.gather(*(client.post("http://p/v1") for _ in range(times)))
        return [reply.status_code for reply in replies]


@pytest.fixture
def world() -> World:
    return World()


# Reading


async def test_the_key_is_read_once_and_sent_with_every_request(world: World):
    assert await world.ask(20) + await world.ask(20) == [200] * 40
    assert world.reads == 1
    assert set(world.sent) == {"Bearer k1"}
    assert world.counted == ["read"]


async def test_no_source_is_no_header():
    world = World()
    world.credentials = Credentials(None, world.refused.append, world.counted.append)
    assert await world.ask() == [401]
    assert world.sent == [""]


async def test_a_key_is_not_read_before_it_is_needed(world: World):
    assert world.reads == 0


# 401


async def test_after_a_401_the_new_key_is_used_and_the_caller_sees_nothing(world: World):
    await world.ask()
    world.good, world.gives = {"k2"}, Key("k2")
    assert await world.ask() == [200]
    assert world.sent[1:] == ["Bearer k1", "Bearer k2"]
    assert await world.ask() == [200]
    assert world.sent[3:] == ["Bearer k2"]


async def test_sixty_four_requests_refused_together_read_the_key_once(world: World):
    await world.ask()
    world.good, world.gives, world.held = {"k2"}, Key("k2"), asyncio.Event()
    asking = asyncio.ensure_future(world.ask(64))
    await world.arrived(1 + 64)
    world.held.set()
    assert await asking == [200] * 64
    assert world.reads == 2
    assert world.sent.count("Bearer k2") == 64


async def test_a_key_that_is_the_same_is_not_tried_again(world: World):
    world.good = {"k2"}
    assert await world.ask() == [401]
    assert (world.reads, len(world.sent)) == (2, 1)


async def test_a_key_that_is_the_same_with_another_end_is_not_tried_again(world: World):
    world.good, world.gives = {"k2"}, Key("k1", NOW + 1_000)
    await world.ask()
    world.gives = Key("k1", NOW + 2_000)
    sent = len(world.sent)
    assert await world.ask() == [401]
    assert len(world.sent) == sent + 1


async def test_a_new_key_that_is_refused_too_is_not_tried_for_ever(world: World):
    world.good = set()
    await world.ask()
    world.gives = Key("k2")
    assert await world.ask() == [401]
    assert world.sent[1:] == ["Bearer k1", "Bearer k2"]


@pytest.mark.parametrize("status", [403, 407, 429, 500])
async def test_other_refusals_are_no_reason_to_read(world: World, status: int):
    async def provide(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status)

    world.provide = provide  # type: ignore[method-assign]
    assert await world.ask() == [status]
    assert world.reads == 1


# A source that fails


async def test_a_first_reading_that_fails_sends_nothing_and_is_told(world: World):
    world.gives = OSError("no such file")
    with pytest.raises(ProviderUnavailable, match="key cannot be read: no such file") as caught:
        await world.ask()
    assert caught.value.fault == "credentials"
    assert not caught.value.again
    assert (world.sent, world.counted) == ([], ["failed"])
    assert world.refused == [str(caught.value)]


async def test_a_source_that_recovers_is_used(world: World):
    world.gives = ValueError("empty")
    with pytest.raises(ProviderUnavailable):
        await world.ask()
    world.gives = Key("k1")
    assert await world.ask() == [200]


async def test_a_reading_that_fails_after_a_401_is_told_once_and_repeated_by_nobody(world: World):
    await world.ask()
    world.good, world.gives, world.held = set(), OSError("gone"), asyncio.Event()
    flows = [asyncio.ensure_future(world.ask()) for _ in range(20)]
    await world.arrived(1 + 20)
    world.held.set()
    told = await asyncio.gather(*flows, return_exceptions=True)
    assert [type(one) for one in told].count(ProviderUnavailable) == 1
    assert told.count([401]) == 19
    assert (world.reads, len(world.refused), len(world.sent)) == (2, 1, 21)


# Before the end


async def test_a_key_is_read_ahead_of_its_end(world: World):
    world.gives = Key("k1", NOW + 3_600)
    await world.ask()
    world.now, world.gives, world.good = NOW + 3_539, Key("k2", NOW + 7_200), {"k1", "k2"}
    await world.ask()
    assert (world.reads, world.sent[-1]) == (1, "Bearer k1")
    world.now += 2
    assert await world.ask(20) == [200] * 20
    assert await world.ask(20) == [200] * 20
    assert world.reads == 2
    assert set(world.sent[22:]) == {"Bearer k2"}


async def test_a_short_lived_key_is_read_in_the_last_tenth_of_its_life(world: World):
    world.gives = Key("k1", NOW + 10)
    await world.ask()
    for later, reads in ((8.9, 1), (9.1, 2)):
        world.now = NOW + later
        await world.ask()
        assert world.reads == reads


async def test_while_reading_ahead_fails_the_old_key_is_used_and_nothing_is_stopped(world: World):
    world.gives = Key("k1", NOW + 100)
    await world.ask()
    world.now, world.gives = NOW + 95, OSError("gone")
    assert await world.ask() == [200]
    assert world.refused == []
    assert world.counted == ["read", "failed"]


async def test_once_the_old_key_has_ended_a_failing_source_stops_the_asking(world: World):
    world.gives = Key("k1", NOW + 100)
    await world.ask()
    world.now, world.gives = NOW + 101, OSError("gone")
    with pytest.raises(ProviderUnavailable, match="gone"):
        await world.ask()
    assert len(world.refused) == len(world.sent) == 1


async def test_a_key_that_has_ended_when_it_is_read_is_sent_once_each_time(world: World):
    world.gives, world.good = Key("k1", NOW - 5), set()
    for _ in range(3):
        assert await world.ask() == [401]
    assert len(world.sent) == 3
    assert world.reads <= 6


# Never shown


async def test_neither_repr_shows_a_key(world: World):
    await world.ask()
    assert "k1" not in f"{world.credentials!r}{world.credentials}{Key('k1')!r}{[Key('k1', 3.0)]}"


async def test_any_key_that_was_used_is_taken_out_of_a_text(world: World):
    await world.ask()
    world.good, world.gives = {"k1-longer"}, Key("k1-longer")
    await world.ask()
    said = world.credentials.scrub("wrong key k1-longer, formerly k1; sk-other is unknown")
    assert said == "wrong key ***, formerly ***; sk-other is unknown"
