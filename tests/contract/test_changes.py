"""Notices of changes: within a process on every backend, and between processes on Redis."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
from redis_place import RedisPlace, running, started, steps, unpaused, until
from stalling_proxy import StallingProxy

from indexer.changes import open_changes, redis
from indexer.changes.memory import MemoryChanges
from indexer.changes.messages import encode
from indexer.changes.redis import RedisChanges
from indexer.errors import ChangesError
from indexer.ports import Applied, Change, Changes, EventFailed, ItemsChange, UserChange
from indexer.settings import load_settings
from indexer.telemetry import Telemetry

pytestmark = pytest.mark.anyio

ALL_KINDS: list[Change] = [
    UserChange("default", "u1", 17),
    ItemsChange("other", ("i1", "i2"), ("i2",)),
    EventFailed("default", "u1", "e1", "no such weight: Grüße"),
    UserChange("default", "u2", 0),
    Applied("events", {0: 5, 15: 2**62}),
]
GONE_S = 1.0
"""A server that is away is found to be within this time."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisPlace]:
    """The server of this module."""
    with started(tmp_path_factory.mktemp("redis")) as place:
        yield place


@pytest.fixture
def place(server: RedisPlace) -> Iterator[RedisPlace]:
    """A server that runs."""
    yield server
    server.begin_again()


class Process:
    """What one process has of the notices, and what it has received."""

    def __init__(
        self, place: RedisPlace, name: str = "recsvc", url: str = "", **limits: int
    ) -> None:
        self.telemetry = Telemetry()
        self.changes = RedisChanges(url or place.url, name, self.telemetry, **limits)
        self.received: list[Change] = []
        self.changes.subscribe(self.received.append)

    @property
    def failures(self) -> float:
        return self.telemetry.total("failures", "changes")

    async def run(self) -> None:
        await self.changes.run()

    async def close(self) -> None:
        await self.changes.close()


async def connected(place: RedisPlace, *processes: Process) -> None:
    """Wait until so many listen."""
    channel = processes[0].changes.channel
    await until(lambda: _are(place, channel, len(processes)))


async def _are(place: RedisPlace, channel: str, count: int) -> bool:
    return await place.listeners(channel) == count


@pytest.fixture
async def two(place: RedisPlace) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes that hear each other."""
    one, other = Process(place), Process(place)
    async with running(one, other):
        await connected(place, one, other)
        yield one, other


async def reached(sender: Process, receiver: Process) -> None:
    """Wait until notices pass from one to the other; some may be lost before."""
    numbers = iter(range(1, 1_000_000))

    async def told() -> bool:
        await sender.changes.publish([UserChange("probe", "u", next(numbers))])
        return any(isinstance(c, UserChange) and c.tenant == "probe" for c in receiver.received)

    receiver.received.clear()
    await until(told)


# within a process, on every backend


@pytest.fixture(params=["memory", "redis", "redis away"])
async def changes(request: pytest.FixtureRequest, place: RedisPlace) -> AsyncIterator[Changes]:
    """Each backend; the last with a server that is away."""
    if request.param == "memory":
        opened: Changes = MemoryChanges()
    else:
        opened = RedisChanges(place.url, "recsvc", Telemetry())
    if request.param == "redis away":
        place.end()
    async with running(opened):
        yield opened


async def test_receivers_are_called_before_publish_returns(changes: Changes) -> None:
    received: list[Change] = []
    changes.subscribe(received.append)
    await changes.publish(ALL_KINDS)
    assert received == ALL_KINDS


async def test_every_receiver_is_called_for_every_change(changes: Changes) -> None:
    received: list[tuple[str, Change]] = []
    changes.subscribe(lambda change: received.append(("first", change)))
    changes.subscribe(lambda change: received.append(("second", change)))
    await changes.publish(iter(ALL_KINDS))
    for name in ("first", "second"):
        assert [change for who, change in received if who == name] == ALL_KINDS


async def test_repeated_changes_are_all_told_within_the_process(changes: Changes) -> None:
    received: list[Change] = []
    changes.subscribe(received.append)
    published: list[Change] = [UserChange("default", "u1", version) for version in range(50)]
    for change in published:
        await changes.publish([change])
    assert received == published


async def test_changes_that_nobody_receives_are_no_error(changes: Changes) -> None:
    await changes.publish(ALL_KINDS)
    await changes.publish([])


# between processes


async def test_the_settings_choose_what_carries_the_notices(place: RedisPlace) -> None:
    assert isinstance(open_changes(load_settings(), Telemetry()), MemoryChanges)
    carried = open_changes(load_settings(cache_url=place.url), Telemetry())
    assert isinstance(carried, RedisChanges)
    await carried.ping()
    await carried.close()


async def test_changes_of_every_kind_reach_another_process_as_they_were(
    two: tuple[Process, Process],
) -> None:
    one, other = two
    await one.changes.publish(ALL_KINDS)
    await until(lambda: len(other.received) == len(ALL_KINDS))
    assert other.received == ALL_KINDS


async def test_ones_own_changes_are_received_once(two: tuple[Process, Process]) -> None:
    one, other = two
    await one.changes.publish(ALL_KINDS)
    await other.changes.publish([UserChange("default", "u9", 9)])
    await until(lambda: UserChange("default", "u9", 9) in one.received)
    await until(lambda: len(other.received) == len(ALL_KINDS) + 1)
    assert len(one.received) == len(ALL_KINDS) + 1


async def test_a_batch_is_one_message(place: RedisPlace, two: tuple[Process, Process]) -> None:
    one, other = two
    before = await place.calls("publish")
    await one.changes.publish([UserChange("default", f"u{n}", 1) for n in range(100)])
    await until(lambda: len(other.received) == 100)
    assert await place.calls("publish") == before + 1


async def test_what_is_published_before_running_is_sent_then(place: RedisPlace) -> None:
    one, other = Process(place), Process(place)
    async with running(other):
        await connected(place, other)
        for version in range(1, 100):
            await one.changes.publish([UserChange("default", "u1", version)])
        async with running(one):
            await until(lambda: other.received)
    assert other.received == [UserChange("default", "u1", 99)]


async def test_what_waits_at_the_end_is_still_sent(two: tuple[Process, Process]) -> None:
    one, other = two
    await one.changes.publish(ALL_KINDS[:1])
    await until(lambda: other.received == ALL_KINDS[:1])
    await one.changes.publish(ALL_KINDS[1:])
    await one.changes.close()
    await until(lambda: other.received == ALL_KINDS)


async def test_other_deployments_on_the_same_server_are_not_heard(place: RedisPlace) -> None:
    one, listening = Process(place), Process(place)
    named, numbered = Process(place, name="shop"), Process(place, url=place.url[:-1] + "1")
    async with running(one, named, numbered, listening):
        await connected(place, one, listening)
        await connected(place, named)
        await connected(place, numbered)
        await one.changes.publish(ALL_KINDS)
        await until(lambda: listening.received)
    assert named.received == numbered.received == []


# a server that hangs or is away


@pytest.mark.parametrize("how", ["hangs", "is away"])
async def test_a_server_that_is_away_does_not_delay_publishing(
    place: RedisPlace, two: tuple[Process, Process], how: str
) -> None:
    one, _ = two
    await asyncio.to_thread(place.hang if how == "hangs" else place.end)
    took = []
    with unpaused():
        for version in range(1, 301):
            began = time.perf_counter()
            await one.changes.publish([UserChange("default", f"u{version}", version)])
            took.append(time.perf_counter() - began)
            await asyncio.sleep(0.002)
    assert np.percentile(took, 99) < 0.05
    assert len(one.received) == 300


@pytest.mark.parametrize("how", ["hangs", "is away"])
async def test_notices_pass_again_once_the_server_is_back(
    place: RedisPlace, two: tuple[Process, Process], how: str
) -> None:
    one, other = two
    await asyncio.to_thread(place.hang if how == "hangs" else place.end)
    await one.changes.publish([UserChange("default", "u1", 1)])
    await until(lambda: one.failures)
    with pytest.raises(ChangesError):
        await one.changes.ping()
    await asyncio.to_thread(place.begin_again)
    await reached(one, other)
    await reached(other, one)
    await one.changes.ping()


async def test_what_was_published_meanwhile_is_sent_then(place: RedisPlace) -> None:
    published: list[Change] = [UserChange("default", f"u{n}", n) for n in range(2_500)]
    one, proxy = Process(place), StallingProxy()
    async with proxy.before(place.port):
        away = Process(place, url=f"redis://127.0.0.1:{proxy.port}/0")
        async with running(one, away):
            await connected(place, one, away)
            proxy.delay_s = 1.0
            await away.changes.publish([UserChange("default", f"lost{n}", 1) for n in range(9)])
            await until(lambda: away.failures >= 10)  # each of these, and the connection
            await away.changes.publish(published)
            one.received.clear()
            proxy.delay_s = 0.0
            await until(lambda: len(one.received) >= len(published))
    assert one.received == published


async def test_of_an_outage_there_is_one_warning(
    place: RedisPlace, caplog: pytest.LogCaptureFixture
) -> None:
    one = Process(place)
    async with running(one):
        await connected(place, one)
        with caplog.at_level(logging.INFO):
            await asyncio.to_thread(place.end)
            await until(lambda: one.failures >= 4)
    warned = [r for r in caplog.records if r.name.startswith("indexer")]
    assert [record.levelname for record in warned] == ["WARNING"]
    assert "other processes are not told" in warned[0].message
    assert f"127.0.0.1:{place.port}" in warned[0].message


@pytest.mark.parametrize("how", ["hangs", "is away"])
async def test_a_ping_tells_soon_that_the_server_is_away(place: RedisPlace, how: str) -> None:
    one = Process(place)
    await one.changes.ping()
    await asyncio.to_thread(place.hang if how == "hangs" else place.end)
    began = time.monotonic()
    with pytest.raises(ChangesError) as raised:
        await one.changes.ping()
    assert time.monotonic() - began < GONE_S
    assert raised.value.__cause__ is not None
    await one.close()


async def test_a_listener_finds_out_that_nobody_speaks_to_it(
    place: RedisPlace, two: tuple[Process, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "_QUIET_S", 0.1)
    one = Process(place)
    async with running(one):
        await until(lambda: _are(place, one.changes.channel, 3))
        place.hang()
        await until(lambda: one.failures)
        place.begin_again()
        await reached(two[0], one)


async def test_a_quiet_server_is_not_taken_for_one_that_is_away(
    place: RedisPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "_QUIET_S", 0.02)
    one = Process(place)
    before = await place.calls("ping")

    async def pinged() -> bool:
        return await place.calls("ping") > before + 10

    async with running(one):
        await until(pinged)
    assert one.failures == 0


async def test_the_oldest_of_too_many_are_not_sent_and_counted(place: RedisPlace) -> None:
    one, other = Process(place, queued_max=10), Process(place)
    await one.changes.publish([UserChange("default", f"u{n}", 1) for n in range(100)])
    assert one.failures == 90
    assert len(one.received) == 100
    async with running(other):
        await connected(place, other)
        async with running(one):
            await until(lambda: len(other.received) == 10)
    assert other.received == [UserChange("default", f"u{n}", 1) for n in range(90, 100)]


# what others say


@pytest.mark.parametrize(
    "said",
    [b"", b"hello", b"\xff\xfe", b"null", b'[1,"x",[["user","t"]]]', b"[" * 5_000, b"[1,2,3]"],
    ids=lambda said: repr(said[:12]),
)
async def test_a_malformed_message_is_counted_and_the_next_is_heard(
    place: RedisPlace, two: tuple[Process, Process], said: bytes
) -> None:
    one, other = two
    await place.ask("PUBLISH", one.changes.channel, said)
    await until(lambda: one.failures == other.failures == 1)
    await one.changes.publish(ALL_KINDS)
    await until(lambda: other.received == ALL_KINDS)
    assert one.failures == other.failures == 1


async def test_of_malformed_messages_there_is_one_warning(
    place: RedisPlace, two: tuple[Process, Process], caplog: pytest.LogCaptureFixture
) -> None:
    one, other = two
    for _ in range(20):
        await place.ask("PUBLISH", one.changes.channel, b"hello")
    await until(lambda: one.failures == other.failures == 20)
    assert len([r for r in caplog.records if r.name.startswith("indexer")]) == 2


async def test_what_cannot_be_written_costs_only_itself(two: tuple[Process, Process]) -> None:
    one, other = two
    await one.changes.publish([UserChange("default", "\udc80", 1)])
    await until(lambda: one.failures)
    await reached(one, other)


@pytest.mark.parametrize(
    "reply",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b":x\r\n", b"*-7\r\n", b"$-9\r\n", b"\0" * 99],
    ids=["http", "a number", "an array", "a text", "zeros"],
)
async def test_a_server_that_is_none_of_that_kind_is_told_and_survived(
    place: RedisPlace, reply: bytes
) -> None:
    proxy = StallingProxy()
    proxy.reply = lambda _: reply
    async with proxy.before(place.port):
        one = Process(place, url=f"redis://127.0.0.1:{proxy.port}/0")
        other = Process(place)
        async with running(one, other):
            with pytest.raises(ChangesError):
                await one.changes.ping()
            await one.changes.publish(ALL_KINDS)
            await until(lambda: one.failures)
            proxy.reply = bytes
            proxy.cut()
            await reached(other, one)


async def test_a_refused_login_is_told_and_survived(place: RedisPlace) -> None:
    one = Process(place, url=place.url.replace("//", "//somebody:secret-word@"))
    async with running(one):
        with pytest.raises(ChangesError) as raised:
            await one.changes.ping()
        await until(lambda: one.failures)
    assert "secret-word" not in str(raised.value)


async def test_encoded_messages_of_a_later_process_are_heard(
    place: RedisPlace, two: tuple[Process, Process]
) -> None:
    one, other = two
    await place.ask("PUBLISH", one.changes.channel, encode("another", ALL_KINDS))
    await until(lambda: one.received == other.received == ALL_KINDS)


# the end


@pytest.mark.parametrize("how", ["runs", "hangs", "is away"])
async def test_nothing_is_left_at_the_end(place: RedisPlace, how: str) -> None:
    tasks = asyncio.all_tasks()
    one = Process(place)
    async with running(one):
        await connected(place, one)
        if how != "runs":
            await asyncio.to_thread(place.hang if how == "hangs" else place.end)
            await one.changes.publish(ALL_KINDS)
            await until(lambda: one.failures)
    assert asyncio.all_tasks() == tasks
    await asyncio.to_thread(place.begin_again)
    await until(place.alone)


async def test_stopping_works_at_any_moment(place: RedisPlace) -> None:
    for moment in range(200):
        one = Process(place)
        async with running(one):
            await steps(moment % 50)
            await one.changes.publish(ALL_KINDS if moment % 3 == 0 else [])
            await steps(moment % 7)
    await until(place.alone)


async def test_nothing_connects_before_it_is_needed(place: RedisPlace) -> None:
    place.end()
    one = Process(place)
    await one.changes.publish(ALL_KINDS)
    assert one.received == ALL_KINDS
    await one.close()
