"""The cache of answers on every backend, and what processes share of it on Redis."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import numpy as np
import pytest
from redis_place import RedisPlace, running, started, steps, unpaused, until
from stalling_proxy import StallingProxy

from indexer.errors import ChangesError
from indexer.telemetry import Telemetry
from recsvc.cache import AnswerCache, redis
from recsvc.cache.memory import MemoryCache
from recsvc.cache.redis import ANSWER_BYTES_MAX, QUEUED_MAX, WAIT_S, RedisCache, answer_key
from recsvc.rules import Boost, Rules

pytestmark = pytest.mark.anyio

PARAMS = Rules(boosts=(Boost(1.5, filter=("brand=acme",)),))
VERSION = (17, 4_123, 1_700_000_000.25, None, "profile")
ANSWER = {
    "user_id": "u1",
    "source": "live",
    "degraded": ["profile"],
    "next_cursor": None,
    "items": [{"item_id": "i1", "score": 0.1 + 0.2, "features": {"title": "Grüße, 世界 🦀"}}],
}
ADDED_MS_P99 = 50.0
"""What a hanging cache may add to an answer."""


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
    """What one process has of the cache."""

    def __init__(self, url: str, ttl_s: float = 300.0, name: str = "recsvc:1") -> None:
        self.telemetry = Telemetry()
        self.memory = MemoryCache(ttl_s)
        self.cache = RedisCache(url, name, self.memory, ttl_s, self.telemetry)

    @property
    def failures(self) -> float:
        return self.telemetry.total("failures", "cache")

    async def run(self) -> None:
        await self.cache.run()

    async def close(self) -> None:
        await self.cache.close()

    def put(self, user_id: str = "u1", answer: dict[str, Any] = ANSWER) -> None:
        self.cache.put("default", user_id, VERSION, PARAMS, answer)

    async def get(self, user_id: str = "u1") -> dict[str, Any] | None:
        return await self.cache.get("default", user_id, VERSION, PARAMS)


probes = itertools.count()


async def share(one: Process, other: Process) -> None:
    """Wait until what one process puts is found by another."""

    async def found() -> bool:
        user_id = f"probe{next(probes)}"
        one.put(user_id)
        await asyncio.sleep(0.01)
        return await other.get(user_id) is not None

    await until(found)


def soon(get: Callable[[], Awaitable[Any]], found: Any) -> Awaitable[None]:
    """Wait until that is found; a pause of this process can be a miss."""

    async def same() -> bool:
        return bool(await get() == found)

    return until(same)


@pytest.fixture
async def two(place: RedisPlace) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes with the same cache."""
    one, other = Process(place.url), Process(place.url)
    async with running(one, other):
        await share(one, other)
        await share(other, one)
        yield one, other


# every backend


@pytest.fixture(params=["memory", "redis", "redis not running", "redis away"])
async def cache(request: pytest.FixtureRequest, place: RedisPlace) -> AsyncIterator[AnswerCache]:
    """Each backend, also with nothing behind it."""
    if request.param == "memory":
        opened: AnswerCache = MemoryCache(300.0)
        async with running(opened):
            yield opened
        return
    process = Process(place.url)
    if request.param == "redis not running":
        yield process.cache
        await process.close()
        return
    if request.param == "redis away":
        place.end()
    async with running(process):
        if request.param == "redis":
            await share(process, process)
        yield process.cache


async def test_an_answer_is_found_in_the_same_process_at_once(cache: AnswerCache) -> None:
    cache.put("default", "u1", VERSION, PARAMS, ANSWER)
    assert await cache.get("default", "u1", VERSION, PARAMS) == ANSWER


async def test_what_was_never_put_is_not_found(cache: AnswerCache) -> None:
    assert await cache.get("default", "stranger", VERSION, PARAMS) is None


async def test_nothing_else_than_what_it_depends_on_finds_an_answer(cache: AnswerCache) -> None:
    cache.put("default", "u1", VERSION, PARAMS, ANSWER)
    assert await cache.get("default", "u1", (18, *VERSION[1:]), PARAMS) is None
    assert await cache.get("default", "u1", VERSION, Rules()) is None
    assert await cache.get("default", "u2", VERSION, PARAMS) is None
    assert await cache.get("other", "u1", VERSION, PARAMS) is None


async def test_dropping_a_user_takes_nothing_from_others(cache: AnswerCache) -> None:
    cache.drop_user("default", "u1")
    for user in ("u1", "u2"):
        cache.put("default", user, VERSION, PARAMS, ANSWER)
    cache.drop_user("default", "u1")
    assert await cache.get("default", "u2", VERSION, PARAMS) == ANSWER


# between processes


async def test_an_answer_is_found_by_another_process(two: tuple[Process, Process]) -> None:
    one, other = two
    one.put()
    await soon(other.get, ANSWER)
    assert one.failures == other.failures == 0


async def test_another_version_is_not_found_by_another_process(
    two: tuple[Process, Process],
) -> None:
    one, other = two
    one.put()
    await soon(other.get, ANSWER)
    for version in [(16, *VERSION[1:]), (18, *VERSION[1:]), (*VERSION, None), ()]:
        assert await other.cache.get("default", "u1", version, PARAMS) is None
    assert await other.cache.get("default", "u1", VERSION, Rules()) is None
    assert await other.cache.get("default", "u2", VERSION, PARAMS) is None
    assert await other.cache.get("other", "u1", VERSION, PARAMS) is None


async def test_what_another_process_found_is_in_its_memory(
    place: RedisPlace, two: tuple[Process, Process]
) -> None:
    one, other = two
    one.put()
    await soon(other.get, ANSWER)
    await asyncio.to_thread(place.end)
    assert await other.get() == ANSWER


async def test_answers_of_another_release_or_deployment_are_not_found(
    place: RedisPlace, two: tuple[Process, Process]
) -> None:
    one, other = two
    later = Process(place.url, name="recsvc:2")
    async with running(later):
        await share(later, later)
        one.put()
        await soon(other.get, ANSWER)
        assert await later.get() is None


async def test_an_answer_dropped_here_is_out_of_memory_here(two: tuple[Process, Process]) -> None:
    one, other = two
    one.put()
    await soon(other.get, ANSWER)
    other.cache.drop_user("default", "u1")
    assert await other.memory.get("default", "u1", VERSION, PARAMS) is None


async def test_no_answer_is_found_when_its_time_is_up(place: RedisPlace) -> None:
    one, other = Process(place.url, ttl_s=0.5), Process(place.url, ttl_s=0.5)
    async with running(one, other):
        await share(one, other)
        made_at = time.time()
        one.put(answer={"made_at": made_at})
        await asyncio.sleep(0.3)  # so that it is found when most of its time is over
        await soon(other.get, {"made_at": made_at})
        found_at = time.time()
        while await other.get() or await one.get():
            found_at = time.time()
            await asyncio.sleep(0.005)
    assert found_at - made_at < 0.75  # and not half a second from when the other found it
    assert await place.ask("GET", _key("u1")) is None


async def test_redis_forgets_answers_by_itself(
    place: RedisPlace, two: tuple[Process, Process]
) -> None:
    one, other = two
    one.put()
    await soon(other.get, ANSWER)
    assert 290_000 < await place.ask("PTTL", _key("u1")) <= 300_000


async def test_many_requests_at_once_share_one_connection(
    place: RedisPlace, two: tuple[Process, Process]
) -> None:
    one, other = two
    for n in range(200):
        one.put(f"u{n}", {"n": n})
    await soon(lambda: other.get("u199"), {"n": 199})

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(other.get(f"u{n}") for n in range(200) for _ in range(2)))

    await soon(all_at_once, [{"n": n} for n in range(200) for _ in range(2)])
    assert await place.others_connected() == 2


# a server that hangs, is away or slow


async def _timed(process: Process, user_id: str) -> float:
    began = time.perf_counter()
    assert await process.get(user_id) is None
    return (time.perf_counter() - began) * 1e3


async def _one_by_one(process: Process) -> float:
    """Return the p99 of what 400 requests wait of which one begins each millisecond or so."""
    requests = []
    for n in range(400):
        requests.append(asyncio.ensure_future(_timed(process, f"unknown{n}")))
        await asyncio.sleep(0.001)
    return float(np.percentile(await asyncio.gather(*requests), 99))


async def _all_at_once(process: Process) -> float:
    """Return the longest that one of 400 requests waits that begin together."""
    return max(await asyncio.gather(*(_timed(process, f"unknown{n}") for n in range(400))))


@pytest.mark.parametrize("ask", [_one_by_one, _all_at_once])
@pytest.mark.parametrize("how", ["hangs", "is away"])
async def test_a_server_that_is_away_delays_answers_by_a_bounded_time(
    place: RedisPlace,
    two: tuple[Process, Process],
    how: str,
    ask: Callable[[Process], Awaitable[float]],
) -> None:
    took_ms = []
    for _ in range(5):  # a shared machine may pause this process for as long
        await asyncio.to_thread(place.hang if how == "hangs" else place.end)
        with unpaused():
            took_ms.append(await ask(two[1]))
        if took_ms[-1] < ADDED_MS_P99:
            return
        await asyncio.to_thread(place.begin_again)
        await share(*two)
    pytest.fail(f"{took_ms} ms")


async def test_once_one_has_waited_in_vain_the_next_do_not(
    place: RedisPlace, two: tuple[Process, Process]
) -> None:
    place.hang()
    with unpaused():
        first, *others = [await _timed(two[1], "unknown") for _ in range(6)]
    assert first >= WAIT_S * 1e3
    assert min(others) < WAIT_S * 1e3 / 2


@pytest.mark.parametrize("how", ["hangs", "is away"])
async def test_putting_into_a_server_that_is_away_costs_nothing(
    place: RedisPlace, two: tuple[Process, Process], how: str
) -> None:
    one, _ = two
    await asyncio.to_thread(place.hang if how == "hangs" else place.end)
    took = []
    with unpaused():
        for n in range(300):
            began = time.perf_counter()
            one.put(f"u{n}", {"n": n})
            took.append(time.perf_counter() - began)
            await asyncio.sleep(0.001)
    assert np.percentile(took, 99) < 0.05
    assert await one.get("u299") == {"n": 299}


@pytest.mark.parametrize("how", ["hangs", "is away"])
async def test_answers_are_shared_again_once_the_server_is_back(
    place: RedisPlace, two: tuple[Process, Process], how: str
) -> None:
    one, other = two
    await asyncio.to_thread(place.hang if how == "hangs" else place.end)
    await one.get("unknown")
    await until(lambda: one.failures)
    with pytest.raises(ChangesError):
        await one.cache.ping()
    await asyncio.to_thread(place.begin_again)
    await share(one, other)
    await share(other, one)
    await one.cache.ping()


async def test_a_slow_server_is_left_alone_until_it_is_quick(place: RedisPlace) -> None:
    proxy = StallingProxy()
    async with proxy.before(place.port):
        slowed, other = Process(f"redis://127.0.0.1:{proxy.port}/0"), Process(place.url)

        async def left_alone() -> bool:
            await slowed.get("unknown")
            return slowed.failures > 0

        async with running(slowed, other):
            await share(other, slowed)
            proxy.delay_s = 0.1
            await until(left_alone)
            asked = await place.calls("mget")
            for _ in range(50):  # while it answers pings, but late
                await slowed.get("unknown")
                await asyncio.sleep(0.02)
            assert await place.calls("mget") == asked
            proxy.delay_s = 0.0
            await share(other, slowed)


async def test_a_quiet_server_is_looked_after_before_anybody_asks(
    place: RedisPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "_QUIET_S", 0.05)
    one = Process(place.url)
    async with running(one):
        await share(one, one)
        place.hang()
        await until(lambda: one.failures)
        assert await _timed(one, "unknown") < ADDED_MS_P99
        place.begin_again()
        await share(one, one)


async def test_of_an_outage_there_is_one_warning(
    place: RedisPlace, caplog: pytest.LogCaptureFixture
) -> None:
    one = Process(place.url)
    async with running(one):
        await share(one, one)
        with caplog.at_level(logging.INFO):
            await asyncio.to_thread(place.end)
            await one.get("unknown")
            await until(lambda: one.failures >= 4)
    warned = [r for r in caplog.records if r.name.startswith("indexer")]
    assert [record.levelname for record in warned] == ["WARNING"]
    assert "in this process only" in warned[0].message


# bounds


async def test_the_oldest_of_too_many_are_not_written_and_counted(
    place: RedisPlace, two: tuple[Process, Process]
) -> None:
    one, other = two
    for n in range(QUEUED_MAX + 100):
        one.put(f"u{n}", {"n": n})
    assert one.failures == 100
    last = QUEUED_MAX + 99
    await soon(lambda: other.get(f"u{last}"), {"n": last})
    assert await place.ask("EXISTS", _key("u99")) == 0
    assert await place.ask("EXISTS", _key("u100")) == 1
    assert await one.get("u99") == {"n": 99}


async def test_an_answer_too_long_is_kept_in_its_process_only(
    place: RedisPlace, two: tuple[Process, Process]
) -> None:
    one, other = two
    long = {"items": ["x" * ANSWER_BYTES_MAX]}
    one.put("long", long)
    one.put("short")
    await soon(lambda: other.get("short"), ANSWER)
    assert await one.get("long") == long
    assert await other.get("long") is None
    assert await place.ask("EXISTS", _key("long")) == 0


async def test_an_answer_that_is_no_json_is_kept_in_its_process_only(
    two: tuple[Process, Process],
) -> None:
    one, other = two
    odd = {"items": object()}
    one.put("odd", odd)
    one.put("even")
    await soon(lambda: other.get("even"), ANSWER)
    assert await one.get("odd") == odd
    assert await other.get("odd") is None
    assert one.failures == 1


async def test_what_a_full_server_refuses_is_counted_and_the_rest_still_found(
    place: RedisPlace, two: tuple[Process, Process], caplog: pytest.LogCaptureFixture
) -> None:
    one, other = two
    one.put("before")
    await soon(lambda: other.get("before"), ANSWER)
    other.cache.drop_user("default", "before")
    await place.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        one.put("after")
        await until(lambda: one.failures)
        await soon(lambda: other.get("before"), ANSWER)
    finally:
        await place.ask("CONFIG", "SET", "maxmemory", "0")
    assert one.failures == 1
    await share(one, other)
    assert not caplog.records  # the server is not taken for one that is away


# what others wrote


def _key(user_id: str) -> str:
    return answer_key("recsvc:1", "default", user_id, VERSION, PARAMS)


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"\xff",
        b"null",
        b"{}",
        b"[1.0]",
        b"[1.0,[]]",
        b'["1",{}]',
        b"[" * 5_000,
        b'[9e9,{"x":"' + b"x" * ANSWER_BYTES_MAX + b'"}]',
    ],
    ids=lambda written: repr(written[:12]),
)
async def test_what_is_no_answer_is_a_miss_and_counted(
    place: RedisPlace, two: tuple[Process, Process], written: bytes
) -> None:
    one, _ = two
    await place.ask("SET", _key("u1"), written)
    await until(lambda: _missed(one))
    one.put()
    assert await one.get() == ANSWER


async def _missed(process: Process) -> bool:
    assert await process.get() is None
    return process.failures == 1


async def test_a_key_of_another_type_is_a_miss(
    place: RedisPlace, two: tuple[Process, Process]
) -> None:
    one, _ = two
    await place.ask("DEL", _key("u1"))
    await place.ask("LPUSH", _key("u1"), "x")
    assert await one.get() is None
    await place.ask("DEL", _key("u1"))
    await share(*two)


@pytest.mark.parametrize(
    "reply",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b":7\r\n", b"*-7\r\n", b"$-9\r\n", b"\0" * 99],
    ids=["http", "a number", "an array", "a text", "zeros"],
)
async def test_a_server_that_is_none_of_that_kind_is_told_and_survived(
    place: RedisPlace, reply: bytes
) -> None:
    proxy = StallingProxy()
    async with proxy.before(place.port):
        one, other = Process(f"redis://127.0.0.1:{proxy.port}/0"), Process(place.url)
        async with running(one, other):
            await share(other, one)
            proxy.reply = lambda _: reply
            await one.get("unknown")
            one.put("u1")
            await until(lambda: one.failures)
            with pytest.raises(ChangesError):
                await one.cache.ping()
            proxy.reply = bytes
            proxy.cut()
            await share(other, one)


# the end


@pytest.mark.parametrize("how", ["runs", "hangs", "is away"])
async def test_nothing_is_left_at_the_end(place: RedisPlace, how: str) -> None:
    tasks = asyncio.all_tasks()
    one = Process(place.url)
    async with running(one):
        await share(one, one)
        one.put()
        if how != "runs":
            await asyncio.to_thread(place.hang if how == "hangs" else place.end)
            await one.get("unknown")
    assert asyncio.all_tasks() == tasks
    assert await one.get() == ANSWER
    assert await one.get("unknown") is None
    await asyncio.to_thread(place.begin_again)
    await until(place.alone)


async def test_who_waits_at_the_end_is_let_go(
    place: RedisPlace, two: tuple[Process, Process]
) -> None:
    one = Process(place.url)
    async with running(one):
        await share(one, one)
        place.hang()
        waiting = [asyncio.ensure_future(one.get(f"unknown{n}")) for n in range(10)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*waiting) == [None] * 10


async def test_stopping_works_at_any_moment(place: RedisPlace) -> None:
    for moment in range(200):
        one = Process(place.url)
        async with running(one):
            await steps(moment % 50)
            one.put()
            asked = asyncio.ensure_future(one.get("unknown"))
            await steps(1 + moment % 7)
        assert await asked is None
    await until(place.alone)
