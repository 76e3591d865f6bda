"""What only the log in a SQLite file has: its tail in memory, its wakes, and its file."""

from __future__ import annotations

import asyncio
import resource
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from logs import NEVER_S, SqliteLogs, change, ids, read_all, read_all_items, view

from indexer.errors import LogError
from indexer.ports import Erasure
from indexer.streams.sqlite import log as sqlite_log
from indexer.streams.sqlite.log import SqliteLog

pytestmark = pytest.mark.anyio


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[SqliteLogs]:
    """One folder with a log."""
    place = SqliteLogs(tmp_path)
    yield place
    await place.close()


@pytest.fixture
async def log(place: SqliteLogs) -> SqliteLog:
    """A log with nothing in it."""
    return await place.open()


async def test_it_has_one_partition(log: SqliteLog) -> None:
    assert log.partitions == 1
    await log.append([view("e1"), view("e2", "u2"), view("e3", tenant="other")])
    assert ids(await log.read(0, 0, 10)) == ["e1", "e2", "e3"]


async def test_pages_are_in_order_and_complete_from_memory_and_from_disk(
    place: SqliteLogs, log: SqliteLog
) -> None:
    beyond_memory = sqlite_log._TAIL_MAX + 2_000
    wanted = [f"e{n}" for n in range(beyond_memory)]
    for start in range(0, beyond_memory, 1_000):
        await log.append([view(event_id) for event_id in wanted[start : start + 1_000]])
    for reader in (log, await place.open()):
        records = await read_all(reader, page=777)
        assert ids(records) == wanted
        offsets = [record.offset for record in records]
        assert offsets == sorted(set(offsets))
        near_the_end = await reader.read(0, offsets[-11], 5)
        assert ids(near_the_end) == wanted[-10:-5]
        assert await reader.read(0, offsets[-1], 5) == []


async def test_appends_wake_their_listeners_on_the_event_loop(log: SqliteLog) -> None:
    events, items, threads = asyncio.Event(), asyncio.Event(), set()

    def wake(what: asyncio.Event) -> None:
        threads.add(threading.current_thread())
        what.set()

    log.on_events(lambda: wake(events))
    log.on_items(lambda: wake(items))
    async with asyncio.timeout(NEVER_S):
        await log.append([view("e1")])
        await events.wait()
        await log.append_items([change("i1")])
        await items.wait()
    assert threads == {threading.current_thread()}


async def test_a_woken_reader_finds_what_was_appended(log: SqliteLog) -> None:
    found: list[list[str]] = []
    readers: list[asyncio.Task[None]] = []

    async def read() -> None:
        found.append(ids(await log.read(0, 0, 10)))

    log.on_events(lambda: readers.append(asyncio.create_task(read())))
    await log.append([view("e1")])
    await asyncio.gather(*readers)
    assert ["e1"] in found


async def test_of_each_item_the_newest_change_only_is_kept(log: SqliteLog) -> None:
    first = await log.append_items([change("i1", v=1), change("i2", v=1), change("i3", v=1)])
    second = await log.append_items([change("i1", v=2)])
    third = await log.append_items([change("i3", v=2), change("i1", v=3)])
    assert 0 < first[0] < second[0] < third[0]
    records = await read_all_items(log, page=2)
    assert [(r.item_id, r.item and r.item.features) for r in records] == [
        ("i2", {"v": 1}),
        ("i3", {"v": 2}),
        ("i1", {"v": 3}),
    ]


async def test_an_item_that_is_known_is_not_recorded_again_for_an_event(log: SqliteLog) -> None:
    await log.append_items([change("i1", v=1)])
    await log.append_items([change("i1", v=2), change("i2", v=2)], only_unknown=True)
    found = {r.item_id: r.item and r.item.features for r in await read_all_items(log)}
    assert found == {"i1": {"v": 1}, "i2": {"v": 2}}


async def test_an_erased_user_is_gone_from_all_that_is_read_and_counted(
    place: SqliteLogs, log: SqliteLog
) -> None:
    for n in range(10):
        await log.append([view(f"e{n}", user_id=f"u{n % 2}"), view(f"t{n}", "u1", "other")])
    for user, event_id in (("u1", "e1"), ("u0", "e0")):
        record = await log.find("default", user, event_id)
        assert record is not None
        await log.add_dead_letter(record, "poison")
    ends = await log.ends("events")

    assert await log.erase_user("default", "u1") == Erasure(5, {})
    for reader in (log, await place.open()):
        left = await read_all(reader)
        assert {(r.event.tenant, r.event.user_id) for r in left} == {
            ("default", "u0"),
            ("other", "u1"),
        }
        assert len(left) == 15
        assert [d.event["event_id"] for d in await reader.dead_letters()] == ["e0"]
        assert await reader.totals("default") == {"events": 5, "items": 0, "dead_letters": 1}
        assert (await reader.totals("other"))["events"] == 10
        assert await reader.ends("events") == ends


async def test_the_bytes_of_an_erased_user_are_gone_from_the_disk(
    place: SqliteLogs, log: SqliteLog
) -> None:
    secret, user = "canary-3f9c1d", "user-to-forget-77ab"
    for n in range(300):
        await log.append([view(f"e{n}", metadata={"note": f"kept-{n}" * 5})])
        if n % 3 == 0:
            await log.append([view(f"s{n}", user, metadata={"note": secret * 20})])
    record = (await log.user_events("default", user, after=0, limit=1))[0]
    await log.add_dead_letter(record, f"cannot fold {secret}")
    assert secret.encode() in place.held_bytes()

    assert (await log.erase_user("default", user)).events == 100
    for moment in ("at once", "after a later append", "after the close"):
        if moment == "after a later append":
            await log.append([view("later")])
        if moment == "after the close":
            await log.close()
        held = place.held_bytes()
        assert secret.encode() not in held, moment
        assert user.encode() not in held, moment
        assert b"kept-17" in held, moment


async def test_a_full_disk_is_an_error_and_the_log_recovers(
    place: SqliteLogs, log: SqliteLog
) -> None:
    await log.append([view("before")])
    big = {"note": "x" * 10_000}
    with _files_of_at_most(256 * 1024):
        with pytest.raises(LogError):
            await log.append([view(f"big{n}", metadata=big) for n in range(100)])
        with pytest.raises(LogError):
            await log.append_items([change(f"i{n}", text="x" * 10_000) for n in range(100)])
        assert ids(await read_all(log)) == ["before"]
        await log.ping()
    assert (await log.append([view("after")])).accepted == 1
    assert (await log.append([view("big0", metadata=big)])).accepted == 1
    await log.append_items([change("i1")])
    await log.close()
    again = await place.open()
    assert ids(await read_all(again)) == ["before", "after", "big0"]
    assert await again.totals("default") == {"events": 3, "items": 1, "dead_letters": 0}


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """Have the operating system refuse to let any file of this process grow beyond ``size``."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
