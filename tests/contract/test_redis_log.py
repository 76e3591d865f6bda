"""What only the log in Redis Streams has: its server, its keys, and what others do with them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from feed_reader import Store
from feeds import RedisFeeds, Worker, everything, store_in, until
from logs import (
    NEVER_S,
    PARTITIONS,
    change,
    deletion,
    home,
    ids,
    neighbours,
    newest,
    read_all,
    read_all_items,
    view,
)
from redis.asyncio import Redis

from indexer.domain.events import ERASE
from indexer.domain.neighbours import Occurrence
from indexer.errors import EventConflict, LogError, SchemaMismatch
from indexer.ports import Accepted
from indexer.streams.redis.letters import Letters
from indexer.streams.redis.log import RedisLog

pytestmark = pytest.mark.anyio

USERS = [f"u{n}" for n in range(12)]
GOOD = {"user_id": "u1", "event_type": "view", "item_id": "i1"}
PATIENT_S = 8.0
"""Within which every call has failed where the server does not answer."""


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[RedisFeeds]:
    """A server, and the log on it."""
    place = RedisFeeds(tmp_path)
    yield place
    await place.close()


@pytest.fixture
async def log(place: RedisFeeds) -> RedisLog:
    """A log with nothing in it."""
    return await place.open()


@pytest.fixture
async def raw(place: RedisFeeds) -> AsyncIterator[Redis]:
    """What somebody else does with the server."""
    async with Redis.from_url(place.server.url, protocol=2, decode_responses=True) as client:
        yield client


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """What is applied."""
    return store_in(tmp_path)


def stream(log: RedisLog, name: str = "u1", channel: str = "events") -> str:
    """Return the key of a user's or an item's stream."""
    return f"{{log:{home(log, name)}}}:{channel}"


async def keys(raw: Redis, pattern: str) -> list[str]:
    """Return the keys of a pattern."""
    return sorted([key async for key in raw.scan_iter(pattern)])


# opening


async def test_another_number_of_partitions_is_refused_and_the_setting_named(
    place: RedisFeeds, log: RedisLog
) -> None:
    with pytest.raises(SchemaMismatch, match=r"has 3 partitions.*RECSVC_EVENT_LOG_PARTITIONS"):
        await place.open(partitions=4)
    other = await place.open(partitions=4, name="other")
    await other.append([view("e1")])
    assert await read_all(log) == []


async def test_a_server_that_is_not_there_is_a_log_error(place: RedisFeeds) -> None:
    place.server.kill()
    with pytest.raises(LogError, match=r"Redis at 127\.0\.0\.1"):
        await place.open()


async def test_a_server_that_is_no_redis_is_a_log_error(place: RedisFeeds) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(LogError):
            await place.open(url=f"redis://127.0.0.1:{port}/0")


async def test_a_password_is_never_told(place: RedisFeeds) -> None:
    port = place.server.url.rpartition(":")[2]
    with pytest.raises(LogError) as caught:
        await place.open(url=f"redis://somebody:hunter2@127.0.0.1:{port}")
    assert "hunter2" not in str(caught.value)


async def test_a_server_that_would_lose_events_is_warned_of(
    place: RedisFeeds, raw: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await place.open()
        assert caplog.text == ""
        await raw.config_set("appendonly", "no")
        await raw.config_set("maxmemory", "100mb")
        await raw.config_set("maxmemory-policy", "allkeys-lru")
        await place.open()
    assert "appendonly" in caplog.text
    assert "noeviction" in caplog.text


# appending


async def test_two_processes_that_append_the_same_count_it_once(
    place: RedisFeeds, log: RedisLog
) -> None:
    other = await place.open()
    events = [view(f"e{n}", USERS[n % 12]) for n in range(240)]
    batches = [events[n : n + 8] for n in range(0, 240, 8)]
    results = await asyncio.gather(
        *(each.append(batch) for batch in batches for each in (log, other))
    )
    assert sum(result.accepted for result in results) == 240
    assert sum(result.duplicates for result in results) == 240
    assert sorted(ids(await read_all(log))) == sorted(event.event_id for event in events)


async def test_an_event_whose_id_was_made_up_here_counts_once_too(
    place: RedisFeeds, log: RedisLog
) -> None:
    events = [replace(view(f"made-up-{n}", user), fingerprint="") for n, user in enumerate(USERS)]
    first = await log.append(events)
    assert await (await place.open()).append(events) == Accepted(first.position, 0, 12)
    with pytest.raises(EventConflict):
        await log.append([view("made-up-1", USERS[1])])
    assert (await log.totals("default"))["events"] == 12


async def test_what_was_acknowledged_survives_a_kill_of_the_server(
    place: RedisFeeds, log: RedisLog
) -> None:
    acknowledged: list[str] = []

    async def append(name: str) -> None:
        for n in range(10_000):
            try:
                await log.append([view(f"{name}{n}", USERS[n % 12])])
            except LogError:
                return
            acknowledged.append(f"{name}{n}")

    writers = [asyncio.create_task(append(name)) for name in "abcd"]
    await until(lambda: len(acknowledged) > 200)
    place.server.kill()
    async with asyncio.timeout(NEVER_S):
        await asyncio.gather(*writers)
    place.server.start()
    held = ids(await read_all(log))
    assert set(acknowledged) <= set(held)
    assert len(set(held)) == len(held)
    again = await log.append([view("a0", USERS[0])])
    assert again.duplicates == 1


CALLS = {
    "append": lambda log: log.append([view("e2")]),
    "append many": lambda log: log.append([view("e2", user) for user in USERS]),
    "append_items": lambda log: log.append_items([change("i1")]),
    "append_pairs": lambda log: log.append_pairs(
        [("default", Occurrence("i1", 1, 0.0, 1.0, 1.0, ()))]
    ),
    "read": lambda log: log.read(0, 0, 10),
    "read_items": lambda log: log.read_items(0, 0, 10),
    "find": lambda log: log.find("default", "u1", "e1"),
    "user_events": lambda log: log.user_events("default", "u1", after=0, limit=10),
    "user_events_before": lambda log: log.user_events_before("default", "u1", before=9, limit=10),
    "erase_user": lambda log: log.erase_user("default", "u1"),
    "dead_letters": lambda log: log.dead_letters(),
    "drop_dead_letters": lambda log: log.drop_dead_letters(["1-0"]),
    "ends": lambda log: log.ends("events"),
    "committed": lambda log: log.committed("events", [0, 1]),
    "backlog": lambda log: log.backlog("events"),
    "totals": lambda log: log.totals("default"),
    "ping": lambda log: log.ping(),
}


async def test_a_server_that_hangs_is_a_log_error_within_seconds_and_then_it_goes_on(
    place: RedisFeeds, log: RedisLog
) -> None:
    await log.append([view("e1")])
    place.server.pause()
    async with asyncio.timeout(PATIENT_S):
        results = await asyncio.gather(
            *(call(log) for call in CALLS.values()), return_exceptions=True
        )
    assert [type(result) for result in results] == [LogError] * len(CALLS)
    place.server.resume()
    await log.ping()
    assert (await log.append([view("e1"), view("e3")])).accepted == 1
    assert await log.find("default", "u1", "e3") is not None


async def test_a_server_that_was_ended_is_a_log_error_until_it_is_back(
    place: RedisFeeds, log: RedisLog
) -> None:
    await log.append([view("e1")])
    place.server.stop()
    async with asyncio.timeout(PATIENT_S):
        for call in CALLS.values():
            with pytest.raises(LogError):
                await call(log)
    place.server.start()
    for call in CALLS.values():
        await call(log)


async def test_keys_of_another_making_are_a_log_error(log: RedisLog, raw: Redis) -> None:
    for key in (stream(log), stream(log, "i1", "items"), f"{{log:{home(log)}}}:totals"):
        await raw.set(key, "something else")
    for call in (
        log.append([view("e1")]),
        log.append_items([change("i1")]),
        log.read(home(log), 0, 10),
        log.ends("events"),
        log.totals("default"),
    ):
        with pytest.raises(LogError):
            await call


async def test_a_full_memory_is_an_error_and_the_log_recovers(log: RedisLog, raw: Redis) -> None:
    await log.append([view("before")])
    used = int((await raw.info("memory"))["used_memory"])
    await raw.config_set("maxmemory", str(used))
    with pytest.raises(LogError):
        await log.append([view("e1"), view("e2")])
    with pytest.raises(LogError):
        await log.append_items([change("i1")])
    assert ids(await read_all(log)) == ["before"]
    await raw.config_set("maxmemory", "0")
    assert (await log.append([view("e1"), view("e2")])).accepted == 2
    assert await log.totals("default") == {"events": 3, "items": 0, "dead_letters": 0}


async def test_any_number_of_callers_share_a_bounded_number_of_connections(
    log: RedisLog, raw: Redis
) -> None:
    await log.append([view("e1")])
    found = await asyncio.gather(*(log.find("default", "u1", "e1") for _ in range(500)))
    assert all(found)
    assert len(await raw.client_list()) <= 40


async def test_a_caller_that_is_cancelled_stops(log: RedisLog) -> None:
    async def ask() -> None:
        while True:
            await log.ping()

    for n in range(300):
        asking = asyncio.create_task(ask())
        await asyncio.sleep(n % 30 * 1e-4)
        asking.cancel()
        _, left = await asyncio.wait([asking], timeout=NEVER_S)
        assert not left
        assert asking.cancelled()


async def test_a_cancellation_that_is_on_its_way_arrives(log: RedisLog) -> None:
    async def ask() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await log.ping()

    for _ in range(100):
        asking = asyncio.create_task(ask())
        await asyncio.wait([asking])
        assert asking.cancelled()


# items and pairs


async def test_of_each_item_the_newest_change_only_is_kept(log: RedisLog, raw: Redis) -> None:
    one, two, three = neighbours(log, "i1", 3)
    await log.append_items([change(one, v=1), change(two, v=1), change(three, v=1)])
    await log.append_items([change(one, v=2)])
    await log.append_items([change(three, v=2), change(one, v=3), deletion(two)])
    records = await read_all_items(log)
    assert [(r.item_id, r.item and r.item.features) for r in records] == [
        (three, {"v": 2}),
        (one, {"v": 3}),
        (two, None),
    ]
    assert await raw.xlen(stream(log, one, "items")) == 3
    assert (await log.totals("default"))["items"] == 2


async def test_an_item_of_an_event_is_certain_only_where_it_stands_for_a_deletion(
    log: RedisLog,
) -> None:
    await log.append_items([change("i1", v=1), deletion("i2")])
    position = await log.append_items(
        [change("i1", v=2), change("i2", v=2), change("i3", v=2)], only_unknown=True
    )
    records = {r.item_id: r for r in await read_all_items(log)}
    assert {i: (r.item and r.item.features, r.only_unknown) for i, r in records.items()} == {
        "i1": ({"v": 1}, False),
        "i2": ({"v": 2}, False),
        "i3": ({"v": 2}, True),
    }
    assert position.keys() == {r.partition for r in records.values()}
    assert position[home(log, "i1")] >= records["i1"].offset


async def test_more_items_than_go_into_one_command_are_all_there(log: RedisLog) -> None:
    names = [f"i{n}" for n in range(4_000)]
    await log.append_items([change(name, v=1) for name in names])
    assert sorted(r.item_id for r in await read_all_items(log)) == sorted(names)
    assert (await log.totals("default"))["items"] == 4_000


# erasing and trimming


async def test_nothing_of_an_erased_user_is_left_in_the_server_but_the_mark(
    log: RedisLog, raw: Redis
) -> None:
    secret, (user, beside) = "canary-3f9c1d", neighbours(log, "u1", 2)
    for start in range(0, 1_200, 300):
        await log.append(
            [
                view(f"e{n}", (user, beside)[n % 2], metadata={"note": (secret, "kept")[n % 2]})
                for n in range(start, start + 300)
            ]
        )
    for who, event_id in ((user, "e0"), (beside, "e1")):
        record = await log.find("default", who, event_id)
        assert record is not None
        await log.add_dead_letter(record, f"cannot fold {event_id}")
    assert secret in await dump(raw)

    assert (await log.erase_user("default", user)).events == 600
    assert secret not in await dump(raw)
    assert await keys(raw, f"*:user:{user}") == await keys(raw, f"*:ids:{user}") == []
    kept = [json.loads(entry["event"]) for _, entry in await raw.xrange(stream(log))]
    assert [e["event_type"] for e in kept if e["user_id"] == user] == [ERASE]
    assert sum(e["user_id"] == beside for e in kept) == 600
    assert [letter.event["event_id"] for letter in await log.dead_letters()] == ["e1"]
    assert await log.totals("default") == {"events": 600, "items": 0, "dead_letters": 1}
    assert (await log.erase_user("default", user)).events == 0


async def dump(raw: Redis) -> str:
    """Return all that the server holds."""
    held = []
    for key in await keys(raw, "*"):
        read: Any = {
            "string": raw.get,
            "hash": raw.hgetall,
            "stream": raw.xrange,
            "zset": lambda key: raw.zrange(key, 0, -1),
        }[await raw.type(key)]
        held.append((key, await read(key)))
    return json.dumps(held)


async def test_what_is_committed_and_old_is_trimmed_with_all_that_belongs_to_it(
    place: RedisFeeds, raw: Redis, store: Store
) -> None:
    log = await place.open(keep_s=0.0)
    await log.append([view(f"e{n}", USERS[n % 12]) for n in range(600)])
    await log.append_pairs([("default", Occurrence("i1", 1, 0.0, 1.0, 1.0, ()))] * 50)
    await log.append_items([change("i1")])
    async with Worker(place, log, store) as worker:
        await until(lambda: _holds(worker, 600))
        await worker.feed.commit()
        await worker.feed.trim()
        assert (await log.totals("default"))["events"] == 600

        folded = await worker.apply("events", 300)
        await worker.feed.commit()
        await until(lambda: _trimmed_to(worker, log, 300))
        left = await read_all(log)
        assert {r.event.event_id for r in left}.isdisjoint(ids(folded))
        again = [view(ids(each)[0], each[0].event.user_id) for each in (folded[:1], left[:1])]
        assert [(await log.append([event])).accepted for event in again] == [1, 0]

        await log.erase_user("default", "u0")
        worker.work()
        await until(lambda: _trimmed_to(worker, log, 0))
        assert sum([await raw.xlen(f"{{log:{p}}}:events") for p in range(PARTITIONS)]) == 0
        assert await raw.xlen(stream(log, "i1", "pairs")) <= 1
        for pattern in ("*:user:*", "*:ids:*", "*:erased:*"):
            assert await keys(raw, pattern) == []
        assert len(await read_all_items(log)) == 1
        assert await log.ends("events") == worker.feed.positions("events")


async def _is(value: Any, wanted: Any) -> bool:
    return bool(await value == wanted)


async def _trimmed_to(worker: Worker, log: RedisLog, left: int) -> bool:
    """Trim; return whether so many events are left. What is of this millisecond stays."""
    feed: Any = worker.feed
    await feed.trim()
    return (await log.totals("default"))["events"] == left


async def test_what_is_committed_is_kept_for_as_long_as_was_asked(
    place: RedisFeeds, log: RedisLog, store: Store
) -> None:
    await log.append([view(f"e{n}") for n in range(10)])
    async with Worker(place, log, store) as worker:
        worker.work()
        await until(lambda: len(worker.seen["events"]) == 10)
        await worker.feed.commit()
        feed: Any = worker.feed
        await feed.trim()
        assert len(await read_all(log)) == 10


async def test_who_has_not_the_lease_trims_nothing(
    place: RedisFeeds, raw: Redis, store: Store
) -> None:
    log = await place.open(keep_s=0.0)
    await log.append([view("e1"), view("e2")])
    async with Worker(place, log, store) as worker:
        worker.work()
        await until(lambda: len(worker.seen["events"]) == 2)
        await worker.feed.commit()
        await raw.set(f"{{log:{home(log)}}}:owner", "somebody", px=60_000)
        await asyncio.sleep(0.002)  # so that they are old
        feed: Any = worker.feed
        await feed.trim()
        assert len(await read_all(log)) == 2


# following


async def test_a_group_shows_what_is_committed_and_is_made_again(
    place: RedisFeeds, log: RedisLog, raw: Redis, store: Store
) -> None:
    await log.append([view(f"e{n}") for n in range(10)])
    async with Worker(place, log, store) as worker:
        await until(lambda: _holds_last(worker, "e9"))
        await worker.apply("events", 4)
        await worker.feed.commit()
        (group,) = await raw.xinfo_groups(stream(log))
        assert (group["name"], group["lag"], group["pending"]) == ("log", 6, 0)
        place_of_fourth = (await raw.xrange(stream(log)))[3][0]
        assert group["last-delivered-id"] == place_of_fourth

        await raw.xgroup_destroy(stream(log), "log")
        assert await log.backlog("events") == 6
        await worker.apply("events", 1)
        await worker.feed.commit()
        (group,) = await raw.xinfo_groups(stream(log))
        assert group["lag"] == 5

        await raw.delete(stream(log))
        await log.append([view("after")])
        await until(lambda: _holds_last(worker, "after"))
        await worker.apply("events")
        await worker.feed.commit()
        (group,) = await raw.xinfo_groups(stream(log))
        assert group["lag"] == 0


async def _holds(worker: Worker, count: int) -> bool:
    return len(await worker.feed.read("events", 10_000)) == count


async def _holds_last(worker: Worker, event_id: str) -> bool:
    return ids(await worker.feed.read("events", 100))[-1:] == [event_id]


async def test_a_long_backlog_is_counted_page_by_page(log: RedisLog) -> None:
    for n in range(0, 2_500, 500):
        await log.append([view(f"e{i}", USERS[i % 12]) for i in range(n, n + 500)])
    assert await log.backlog("events") == 2_500


async def test_a_lease_that_is_anothers_forbids_to_commit_and_has_the_partition_dropped(
    place: RedisFeeds, log: RedisLog, raw: Redis, store: Store
) -> None:
    here = home(log)
    lease = f"{{log:{here}}}:owner"
    await log.append([view("e1"), view("e2")])
    async with Worker(place, log, store) as worker:
        await until(lambda: _holds_last(worker, "e2"))
        assert await raw.get(lease) is not None
        await raw.set(lease, "somebody", px=1_000)
        await worker.apply("events")
        await worker.feed.commit()
        assert await log.committed("events", [here]) == {here: 0}
        assert here not in worker.feed.owned
        assert worker.feed.positions("events").keys() == everything(log) - {here}
        await until(lambda: worker.released == [frozenset({here})])
        assert await raw.get(lease) == "somebody"
        await until(lambda: worker.feed.owned == everything(log))
        assert worker.taken[-1] == frozenset({here})
        assert await log.committed("events", [here]) == {here: await newest(log)}


async def test_a_worker_that_cannot_renew_owns_nothing_after_a_session(
    place: RedisFeeds, log: RedisLog, store: Store
) -> None:
    await log.append([view("e1")])
    async with Worker(place, log, store) as worker:
        await until(lambda: _holds_last(worker, "e1"))
        place.server.pause()
        assert worker.feed.owned == everything(log)
        await until(lambda: not worker.feed.owned, place.session_s + 3.0)
        assert await worker.feed.read("events", 10) == []
        assert worker.feed.positions("events") == {}
        await until(lambda: worker.released)
        place.server.resume()
        await until(lambda: worker.feed.owned == everything(log))
        await until(lambda: _holds_last(worker, "e1"))


async def test_leases_and_workers_are_gone_once_a_feed_has_stopped(
    place: RedisFeeds, log: RedisLog, raw: Redis, store: Store
) -> None:
    async with Worker(place, log, store) as worker:
        await until(lambda: worker.feed.owned == everything(log))
        assert len(await keys(raw, "*:owner")) == PARTITIONS
        assert await raw.zcard("log:workers") == 1
    assert await keys(raw, "*:owner") == []
    assert await raw.zcard("log:workers") == 0


# what others append


async def test_an_event_of_others_that_is_known_is_passed_over(
    place: RedisFeeds, log: RedisLog, store: Store
) -> None:
    mine = {**GOOD, "event_id": "mine"}
    async with Worker(place, log, store) as worker:
        for _ in range(3):
            await place.put(home(log), json.dumps(mine).encode())
        await log.append([view("last")])
        await until(lambda: _holds_last(worker, "last"))
        assert ids(await worker.apply("events")) == ["mine", "last"]
        await place.put(home(log), json.dumps({**mine, "item_id": "i2"}).encode())
        await until(lambda: _is(_reasons(log), ["already accepted with another body"]))
        assert (await log.totals("default")) == {"events": 2, "items": 0, "dead_letters": 1}
        await until(lambda: _is(log.ends("events"), worker.feed.positions("events")))
        assert [(one.user_id, one.event_id) for one in worker.failures] == [("u1", "mine")]


async def _reasons(log: RedisLog) -> list[str]:
    return [letter.reason for letter in await log.dead_letters()]


async def test_an_event_of_others_from_before_an_erasure_is_deleted(
    place: RedisFeeds, log: RedisLog, store: Store
) -> None:
    await place.put(home(log), json.dumps({**GOOD, "metadata": {"note": "canary"}}).encode())
    await log.erase_user("default", "u1")
    await place.put(home(log), json.dumps({**GOOD, "event_id": "after"}).encode())
    async with Worker(place, log, store) as worker:
        worker.work()
        await until(lambda: ids(worker.seen["events"]) == ["after"])
        assert ids(await log.user_events("default", "u1", after=0, limit=10)) == ["after"]
        assert [r.event.event_type for r in await log.read(home(log), 0, 10)] == [ERASE, "view"]


async def test_what_is_read_by_partition_leaves_out_what_is_no_event_of_it(
    place: RedisFeeds, log: RedisLog
) -> None:
    wrong = (home(log) + 1) % PARTITIONS
    await place.put(home(log), b"{")
    await place.put(wrong, json.dumps({**GOOD, "event_id": "moved"}).encode())
    await log.append([view("e1")])
    await place.put(home(log), json.dumps({**GOOD, "event_id": "foreign"}).encode())
    assert ids(await log.read(home(log), 0, 2)) == ["e1", "foreign"]
    assert await log.read(wrong, 0, 10) == []


async def test_rubbish_among_items_and_pairs_is_passed_over_and_kept_as_dead_letters(
    place: RedisFeeds, log: RedisLog, raw: Redis, store: Store
) -> None:
    for channel in ("items", "pairs"):
        await raw.xadd(stream(log, "i1", channel), {"item": "{", "pair": "{"})
    await log.append_items([change("i1")])
    await log.append_pairs([("default", Occurrence("i1", 1, 0.0, 1.0, 1.0, ()))])
    async with Worker(place, log, store) as worker:
        worker.work()
        await until(lambda: worker.seen["items"] and worker.seen["pairs"])
        reasons = await _reasons(log)
        assert sorted(reason.split(":")[0] for reason in reasons) == [
            "no catalogue change",
            "no pairs of an item",
        ]
        assert len(await read_all_items(log)) == 1


async def test_an_entry_id_that_no_server_makes_stops_its_partition_only_and_is_told(
    place: RedisFeeds, log: RedisLog, raw: Redis, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await raw.xadd(stream(log), {"event": "{}"}, id="1-9999999")
    with pytest.raises(LogError, match="1-9999999"):
        await log.read(home(log), 0, 10)
    beside = [user for user in USERS if home(log, user) != home(log)]
    await log.append([view("e1", user) for user in beside])
    with caplog.at_level(logging.WARNING):
        async with Worker(place, log, store) as worker:
            worker.work()
            await until(lambda: len(worker.seen["events"]) == len(beside))
            await until(lambda: "1-9999999" in caplog.text)
            await raw.xdel(stream(log), "1-9999999")
            await log.append([view("e2")])
            await until(lambda: "e2" in ids(worker.seen["events"]))


# dead letters


async def test_dead_letters_are_bounded_and_the_oldest_go(log: RedisLog) -> None:
    letters = Letters(log.server, log.keys, most=5)
    for n in range(1, 8):
        await letters.add("events", (0, n), ("default", "u1"), {"n": n}, "poison")
    assert [letter.event["n"] for letter in await log.dead_letters()] == [3, 4, 5, 6, 7]
    assert (await log.totals("default"))["dead_letters"] == 5
    await letters.add("events", (0, 1), ("default", "u1"), {"n": 1}, "poison")
    assert [letter.event["n"] for letter in await log.dead_letters()] == [4, 5, 6, 7, 1]
