"""One suite for every backend behind `EventLog`."""

from __future__ import annotations

import asyncio
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from logs import (
    Logs,
    change,
    deletion,
    ids,
    read_all,
    read_all_items,
    view,
)

from indexer.errors import EventConflict, LogError, Overloaded, RecsvcError
from indexer.ports import Accepted, EventLog
from indexer.streams import sqlite as sqlite_log

pytestmark = pytest.mark.anyio

NEVER_S = 30.0
"""No call takes this long: one that does hangs, and fails its test instead of the suite."""


@pytest.fixture
async def log(logs: Logs) -> EventLog:
    """A log with nothing in it."""
    return await logs.open()


# appending


async def test_an_empty_log_has_nothing_and_says_so(log: EventLog) -> None:
    assert await log.last_offset() == 0
    assert await log.read(0, 10) == []
    assert await log.read_items(0, 10) == []
    assert await log.dead_letters() == []
    assert await log.find("default", "u1", "e1") is None
    assert await log.user_events("default", "u1", after=0, limit=10) == []
    assert await log.user_events_before("default", "u1", before=9, limit=10) == []
    assert await log.totals("default") == {"events": 0, "items": 0, "dead_letters": 0}
    await log.ping()


async def test_offsets_rise_with_each_append(log: EventLog) -> None:
    offsets = [(await log.append([view(f"e{n}")])).offset for n in range(20)]
    assert offsets == sorted(set(offsets))
    assert offsets[0] > 0
    assert await log.last_offset() == offsets[-1]


async def test_an_append_tells_the_offset_of_its_last_event(log: EventLog) -> None:
    accepted = await log.append([view("e1"), view("e2"), view("e3")])
    assert (accepted.accepted, accepted.duplicates) == (3, 0)
    records = await log.read(0, 10)
    assert ids(records) == ["e1", "e2", "e3"]
    assert records[-1].offset == accepted.offset == await log.last_offset()


async def test_an_append_of_nothing_is_nothing(log: EventLog) -> None:
    assert await log.append([]) == Accepted(0, 0, 0)
    assert await log.last_offset() == 0


async def test_an_event_comes_back_as_it_was_from_memory_and_from_disk(
    logs: Logs, log: EventLog
) -> None:
    events = [
        view("e1"),
        view("e2", user_id="u2", tenant="other", timestamp=1_234_567_890.123456),
        view(
            "e3",
            item_features={
                "title": "Grüße, 世界 🦀",
                "tags": ["a", "b"],
                "price": 0.1,
                "new": True,
            },
            metadata={"nul": "a\u0000b", "quote": "\"'\\", "deep": {"list": [1, None, 2.5e-300]}},
        ),
        view("e4", event_type="search", item_id=None, query="space 'opera'\n"),
        view("e5", event_type="rate", value=4.5),
        view("e6", event_type="retract", retracts="e1", item_id=None),
    ]
    await log.append(events)
    kept = await log.read(0, 10)
    assert [record.event for record in kept] == events
    stored = await (await logs.open()).read(0, 10)
    assert [record.event for record in stored] == events
    assert [r.offset for r in stored] == [r.offset for r in kept]
    assert [r.accepted_at for r in stored] == pytest.approx([r.accepted_at for r in kept], abs=1e-5)


async def test_a_reopened_log_has_everything(logs: Logs, log: EventLog) -> None:
    for n in range(0, 100, 10):
        await log.append([view(f"e{n + i}", user_id=f"u{i}") for i in range(10)])
    await log.append_items([change("i1", colour="red"), deletion("i2")])
    first = (await log.read(0, 1))[0]
    await log.add_dead_letter(first, "poison")
    before = (await read_all(log), await log.totals("default"), await log.last_offset())
    await log.close()
    again = await logs.open()
    assert ids(await read_all(again)) == ids(before[0]) == [f"e{n}" for n in range(100)]
    assert [r.event for r in await read_all(again)] == [r.event for r in before[0]]
    assert (await again.totals("default"), await again.last_offset()) == before[1:]
    assert [r.item_id for r in await again.read_items(0, 10)] == ["i1", "i2"]
    assert [letter.reason for letter in await again.dead_letters()] == ["poison"]
    assert (await again.append([view("e100")])).offset > before[2]


async def test_what_an_append_returned_for_survives_a_kill(logs: Logs, log: EventLog) -> None:
    await log.close()
    async with logs.other_process("u1") as other:
        offsets = [await other.append(f"e{n}") for n in range(50)]
        await other.kill()
    again = await logs.open()
    records = await read_all(again)
    assert ids(records) == [f"e{n}" for n in range(50)]
    assert [record.offset for record in records] == offsets


async def test_a_thousand_appends_at_once_get_offsets_of_their_own(log: EventLog) -> None:
    appended = await asyncio.gather(*(log.append([view(f"e{n}")]) for n in range(1_000)))
    offsets = [accepted.offset for accepted in appended]
    assert len(set(offsets)) == 1_000
    records = await read_all(log)
    assert {record.offset: record.event.event_id for record in records} == {
        offset: f"e{n}" for n, offset in enumerate(offsets)
    }
    assert [record.offset for record in records] == sorted(offsets)


async def test_an_append_whose_caller_left_disturbs_no_other(log: EventLog) -> None:
    leaving = [asyncio.create_task(log.append([view(f"gone{n}")])) for n in range(5)]
    staying = [asyncio.create_task(log.append([view(f"e{n}")])) for n in range(5)]
    await asyncio.sleep(0)
    for task in leaving:
        task.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    accepted = await asyncio.gather(*staying)
    assert len({a.offset for a in accepted}) == 5
    assert (await log.append([view("after")])).accepted == 1
    assert {f"e{n}" for n in range(5)} | {"after"} <= set(ids(await read_all(log)))


# the same event again


async def test_an_event_id_twice_in_one_call_counts_once(log: EventLog) -> None:
    accepted = await log.append([view("e1"), view("e2"), view("e1")])
    assert (accepted.accepted, accepted.duplicates) == (2, 1)
    assert ids(await read_all(log)) == ["e1", "e2"]


async def test_an_event_id_from_many_callers_at_once_counts_once(log: EventLog) -> None:
    appended = await asyncio.gather(*(log.append([view("e1")]) for _ in range(50)))
    assert sum(accepted.accepted for accepted in appended) == 1
    assert sum(accepted.duplicates for accepted in appended) == 49
    assert len({accepted.offset for accepted in appended}) == 1
    assert ids(await read_all(log)) == ["e1"]


async def test_a_repeated_event_has_the_offset_of_the_first(logs: Logs, log: EventLog) -> None:
    first = await log.append([view("e1")])
    await log.append([view("e2")])
    assert await log.append([view("e1")]) == Accepted(first.offset, 0, 1)
    await log.close()
    again = await logs.open()
    assert await again.append([view("e1")]) == Accepted(first.offset, 0, 1)
    assert ids(await read_all(again)) == ["e1", "e2"]


async def test_a_call_of_old_and_new_events_stores_the_new(log: EventLog) -> None:
    await log.append([view("e1"), view("e2")])
    accepted = await log.append([view("e3"), view("e1"), view("e4"), view("e2")])
    assert (accepted.accepted, accepted.duplicates) == (2, 2)
    assert ids(await read_all(log)) == ["e1", "e2", "e3", "e4"]
    assert accepted.offset == await log.last_offset()


async def test_the_same_event_id_of_another_user_or_tenant_is_another_event(log: EventLog) -> None:
    events = [view("e1"), view("e1", user_id="u2"), view("e1", tenant="other")]
    assert (await log.append(events)).accepted == 3
    for event in events:
        record = await log.find(event.tenant, event.user_id, "e1")
        assert record is not None
        assert record.event == event


async def test_a_known_id_with_another_body_is_a_conflict_and_nothing_of_the_call_is_stored(
    logs: Logs, log: EventLog
) -> None:
    await log.append([view("e1", item_id="i1")])
    for again in (log, await logs.open()):
        with pytest.raises(EventConflict) as caught:
            await again.append([view("e2"), view("e1", item_id="i2"), view("e3")])
        assert [event_id for _, event_id in caught.value.events] == ["e1"]
        assert ids(await read_all(again)) == ["e1"]
        assert await again.find("default", "u1", "e2") is None
    assert (await log.append([view("e2"), view("e3")])).accepted == 2


async def test_two_bodies_of_one_id_in_one_call_are_a_conflict(log: EventLog) -> None:
    with pytest.raises(EventConflict):
        await log.append([view("e1", item_id="i1"), view("e1", item_id="i2")])
    assert await read_all(log) == []


async def test_of_two_bodies_sent_at_once_one_is_stored_and_one_is_a_conflict(
    log: EventLog,
) -> None:
    results = await asyncio.gather(
        log.append([view("e1", item_id="i1"), view("e2")]),
        log.append([view("e1", item_id="i2"), view("e3")]),
        log.append([view("e4")]),
        return_exceptions=True,
    )
    conflicts = [result for result in results if isinstance(result, EventConflict)]
    assert len(conflicts) == 1
    assert isinstance(results[2], Accepted)
    stored = set(ids(await read_all(log)))
    assert stored in ({"e1", "e2", "e4"}, {"e1", "e3", "e4"})


async def test_the_events_of_a_refused_call_are_new_to_the_callers_beside_it(log: EventLog) -> None:
    await log.append([view("e1")])
    refused, taken = await asyncio.gather(
        log.append([view("e2"), view("e1", item_id="i2")]),
        log.append([view("e2")]),
        return_exceptions=True,
    )
    assert isinstance(refused, EventConflict)
    assert isinstance(taken, Accepted)
    assert (taken.accepted, taken.offset) == (1, await log.last_offset())
    assert ids(await read_all(log)) == ["e1", "e2"]


# reading


async def test_pages_are_in_order_and_complete_from_memory_and_from_disk(
    logs: Logs, log: EventLog
) -> None:
    beyond_memory = sqlite_log._TAIL_MAX + 2_000
    wanted = [f"e{n}" for n in range(beyond_memory)]
    for start in range(0, beyond_memory, 1_000):
        await log.append([view(event_id) for event_id in wanted[start : start + 1_000]])
    for reader in (log, await logs.open()):
        records = await read_all(reader, page=777)
        assert ids(records) == wanted
        offsets = [record.offset for record in records]
        assert offsets == sorted(set(offsets))
        near_the_end = await reader.read(offsets[-11], 5)
        assert ids(near_the_end) == wanted[-10:-5]
        assert await reader.read(offsets[-1], 5) == []
        assert await reader.read(offsets[-1] + 100, 5) == []


async def test_a_reader_who_keeps_up_sees_every_event_once(log: EventLog) -> None:
    seen: list[str] = []

    async def follow() -> None:
        after = 0
        while len(seen) < 300:
            records = await log.read(after, 7)
            seen.extend(ids(records))
            after = records[-1].offset if records else after
            await asyncio.sleep(0)

    async def write(name: str) -> None:
        for n in range(100):
            await log.append([view(f"{name}{n}")])

    async with asyncio.timeout(NEVER_S):
        await asyncio.gather(follow(), write("a"), write("b"), write("c"))
    assert len(set(seen)) == len(seen) == 300


async def test_find_returns_the_event_of_that_user(log: EventLog) -> None:
    await log.append([view("e1"), view("e2", item_id="i9")])
    found = await log.find("default", "u1", "e2")
    assert found is not None
    assert found.event == view("e2", item_id="i9")
    assert found.offset == await log.last_offset()
    assert await log.find("default", "u2", "e2") is None
    assert await log.find("other", "u1", "e2") is None
    assert await log.find("default", "u1", "e3") is None


async def test_the_events_of_a_user_come_in_pages_and_in_order(log: EventLog) -> None:
    for n in range(25):
        await log.append([view(f"e{n}", user_id=f"u{n % 2}"), view(f"e{n}", tenant="other")])
    mine: list[str] = []
    after = 0
    while page := await log.user_events("default", "u0", after=after, limit=4):
        assert len(page) <= 4
        mine += ids(page)
        after = page[-1].offset
    assert mine == [f"e{n}" for n in range(0, 25, 2)]


async def test_the_newest_events_of_a_user_below_an_offset_come_oldest_first(
    log: EventLog,
) -> None:
    for n in range(25):
        await log.append([view(f"e{n}", user_id=f"u{n % 2}"), view(f"e{n}", tenant="other")])
    mine = await log.user_events("default", "u0", after=0, limit=100)
    for place in (0, 1, 5, len(mine) - 1):
        for limit in (1, 4, 100):
            found = await log.user_events_before(
                "default", "u0", before=mine[place].offset, limit=limit
            )
            assert found == mine[max(0, place - limit) : place]
    beyond = mine[-1].offset + 1
    assert await log.user_events_before("default", "u0", before=beyond, limit=3) == mine[-3:]
    assert await log.user_events_before("default", "nobody", before=beyond, limit=3) == []
    assert await log.user_events_before("default", "u0", before=0, limit=3) == []


async def test_the_events_of_a_user_can_be_paged_through_backwards(
    logs: Logs, log: EventLog
) -> None:
    await log.append([view(f"e{n}", user_id=f"u{n % 3}") for n in range(60)])
    for reader in (log, await logs.open()):
        found: list[str] = []
        before = await reader.last_offset() + 1
        while page := await reader.user_events_before("default", "u1", before=before, limit=7):
            found = ids(page) + found
            before = page[0].offset
        assert found == [f"e{n}" for n in range(1, 60, 3)]


async def test_an_erased_user_has_no_earlier_events(log: EventLog) -> None:
    await log.append([view("e1"), view("e2", user_id="u2")])
    last = await log.last_offset()
    await log.erase_user("default", "u1")
    assert await log.user_events_before("default", "u1", before=last + 1, limit=10) == []
    assert ids(await log.user_events_before("default", "u2", before=last + 1, limit=10)) == ["e2"]


async def test_appends_wake_their_listeners_on_the_event_loop(log: EventLog) -> None:
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


async def test_a_woken_reader_finds_what_was_appended(log: EventLog) -> None:
    found: list[list[str]] = []
    readers: list[asyncio.Task[None]] = []

    async def read() -> None:
        found.append(ids(await log.read(0, 10)))

    log.on_events(lambda: readers.append(asyncio.create_task(read())))
    await log.append([view("e1")])
    await asyncio.gather(*readers)
    assert ["e1"] in found


# items


async def test_of_each_item_the_newest_change_only_is_kept(log: EventLog) -> None:
    first = await log.append_items([change("i1", v=1), change("i2", v=1), change("i3", v=1)])
    second = await log.append_items([change("i1", v=2)])
    third = await log.append_items([change("i3", v=2), change("i1", v=3)])
    assert 0 < first < second < third
    records = await read_all_items(log, page=2)
    assert [(r.item_id, r.item and r.item.features) for r in records] == [
        ("i2", {"v": 1}),
        ("i3", {"v": 2}),
        ("i1", {"v": 3}),
    ]
    assert records[-1].offset == third
    assert [r.item_id for r in await log.read_items(first, 10)] == ["i3", "i1"]
    assert (await log.totals("default"))["items"] == 3


async def test_of_two_changes_of_an_item_in_one_call_the_last_is_kept(log: EventLog) -> None:
    await log.append_items([change("i1", v=1), change("i2", v=1), change("i1", v=2)])
    found = {r.item_id: r.item and r.item.features for r in await read_all_items(log)}
    assert found == {"i1": {"v": 2}, "i2": {"v": 1}}


async def test_a_deleted_item_is_read_as_a_deletion_and_not_counted(log: EventLog) -> None:
    await log.append_items([change("i1"), change("i2")])
    await log.append_items([deletion("i1")])
    records = await read_all_items(log)
    assert [(r.item_id, r.item is None) for r in records] == [("i2", False), ("i1", True)]
    assert (await log.totals("default"))["items"] == 1


async def test_an_item_comes_back_as_it_was(logs: Logs, log: EventLog) -> None:
    features = {
        "title": "Grüße 🦀",
        "tags": ["a", "b"],
        "price": 0.1,
        "new": False,
        "nul": "\u0000",
    }
    whole = change("i1", **features)
    assert whole.item is not None
    item = type(whole.item)("default", "i1", features, "A text.", 1.5, 2_000_000_000.25)
    await log.append_items([type(whole)(0, "default", "i1", item)])
    for reader in (log, await logs.open()):
        (record,) = await reader.read_items(0, 10)
        assert record.item == item


async def test_items_of_two_tenants_are_two_items(log: EventLog) -> None:
    await log.append_items([change("i1", v=1), change("i1", tenant="other", v=2)])
    await log.append_items([deletion("i1")])
    found = {r.tenant: r.item for r in await read_all_items(log)}
    assert found["default"] is None
    assert found["other"] is not None
    assert found["other"].features == {"v": 2}


async def test_only_unknown_items_are_recorded_where_that_is_asked(log: EventLog) -> None:
    await log.append_items([change("i1", v=1)])
    await log.append_items([change("i1", v=2), change("i2", v=2)], only_unknown=True)
    found = {r.item_id: r.item and r.item.features for r in await read_all_items(log)}
    assert found == {"i1": {"v": 1}, "i2": {"v": 2}}


async def test_a_deleted_item_is_unknown_again(log: EventLog) -> None:
    await log.append_items([change("i1", v=1)])
    await log.append_items([deletion("i1")])
    await log.append_items([change("i1", v=2)], only_unknown=True)
    (record,) = await read_all_items(log)
    assert record.item is not None
    assert record.item.features == {"v": 2}


async def test_an_item_of_another_tenant_is_unknown_here(log: EventLog) -> None:
    await log.append_items([change("i1", tenant="other", v=1)])
    await log.append_items([change("i1", v=2)], only_unknown=True)
    assert {r.tenant for r in await read_all_items(log)} == {"default", "other"}


async def test_no_items_leave_no_offset(log: EventLog) -> None:
    await log.append_items([change("i1")])
    assert await log.append_items([]) == 0
    assert await log.append_items([], only_unknown=True) == 0


async def test_items_and_events_do_not_mix(log: EventLog) -> None:
    await log.append_items([change("i1")])
    assert await log.last_offset() == 0
    assert await log.read(0, 10) == []
    await log.append([view("e1")])
    assert len(await read_all_items(log)) == 1


# erasing


async def test_erasing_a_user_removes_all_of_that_user_and_nothing_else(
    logs: Logs, log: EventLog
) -> None:
    for n in range(10):
        await log.append([view(f"e{n}", user_id=f"u{n % 2}"), view(f"t{n}", "u1", "other")])
    poisoned = await log.find("default", "u1", "e1")
    other = await log.find("default", "u0", "e0")
    assert poisoned is not None
    assert other is not None
    await log.add_dead_letter(poisoned, "poison")
    await log.add_dead_letter(other, "poison")
    last = await log.last_offset()

    assert await log.erase_user("default", "u1") == 5
    assert await log.erase_user("default", "u1") == 0
    assert await log.erase_user("default", "nobody") == 0
    for reader in (log, await logs.open()):
        left = await read_all(reader)
        assert {(r.event.tenant, r.event.user_id) for r in left} == {
            ("default", "u0"),
            ("other", "u1"),
        }
        assert len(left) == 15
        assert await reader.find("default", "u1", "e1") is None
        assert await reader.user_events("default", "u1", after=0, limit=10) == []
        assert [d.event["event_id"] for d in await reader.dead_letters()] == ["e0"]
        assert await reader.totals("default") == {"events": 5, "items": 0, "dead_letters": 1}
        assert (await reader.totals("other"))["events"] == 10
        assert await reader.last_offset() == last


async def test_an_offset_is_never_given_twice_even_after_an_erasure(
    logs: Logs, log: EventLog
) -> None:
    await log.append([view("e1"), view("e2", user_id="u2")])
    last = await log.last_offset()
    await log.erase_user("default", "u2")
    await log.close()
    again = await logs.open()
    assert await again.last_offset() == last
    assert (await again.append([view("e3")])).offset > last


async def test_an_erased_event_can_be_sent_again(log: EventLog) -> None:
    first = await log.append([view("e1")])
    await log.erase_user("default", "u1")
    again = await log.append([view("e1", item_id="i2")])
    assert again.accepted == 1
    assert again.offset > first.offset


async def test_the_bytes_of_an_erased_user_are_gone_from_the_disk(
    logs: Logs, log: EventLog
) -> None:
    secret, user = "canary-3f9c1d", "user-to-forget-77ab"
    for n in range(300):
        await log.append([view(f"e{n}", metadata={"note": f"kept-{n}" * 5})])
        if n % 3 == 0:
            await log.append([view(f"s{n}", user, metadata={"note": secret * 20})])
    record = (await log.user_events("default", user, after=0, limit=1))[0]
    await log.add_dead_letter(record, f"cannot fold {secret}")
    assert secret.encode() in logs.held_bytes()

    assert await log.erase_user("default", user) == 100
    for moment in ("at once", "after a later append", "after the close"):
        if moment == "after a later append":
            await log.append([view("later")])
        if moment == "after the close":
            await log.close()
        held = logs.held_bytes()
        assert secret.encode() not in held, moment
        assert user.encode() not in held, moment
        assert b"kept-17" in held, moment


# dead letters


async def test_dead_letters_are_listed_oldest_first_and_dropped_by_id(log: EventLog) -> None:
    await log.append([view(f"e{n}", metadata={"n": n}) for n in range(5)])
    for record in await read_all(log):
        await log.add_dead_letter(record, f"because of {record.event.event_id}")
    letters = await log.dead_letters()
    assert [letter.reason for letter in letters] == [f"because of e{n}" for n in range(5)]
    assert [letter.offset for letter in letters] == [r.offset for r in await read_all(log)]
    assert letters[3].tenant == "default"
    assert letters[3].event == {
        "user_id": "u1",
        "event_id": "e3",
        "event_type": "view",
        "item_id": "i1",
        "timestamp": 1_700_000_000.25,
        "metadata": {"n": 3},
    }
    assert letters[3].at > 0
    assert len(await log.dead_letters(limit=2)) == 2

    await log.drop_dead_letters([letters[0].letter_id, letters[3].letter_id, 999])
    left = await log.dead_letters()
    assert [letter.event["event_id"] for letter in left] == ["e1", "e2", "e4"]
    await log.drop_dead_letters([])
    assert (await log.totals("default"))["dead_letters"] == 3


async def test_totals_count_what_is_held(log: EventLog) -> None:
    await log.append([view("e1"), view("e2"), view("e1")])
    await log.append_items([change("i1"), change("i2"), deletion("i3")])
    await log.add_dead_letter((await log.read(0, 1))[0], "poison")
    assert await log.totals("default") == {"events": 2, "items": 2, "dead_letters": 1}


# bounds and failures


async def test_more_than_may_wait_is_refused_as_a_whole(logs: Logs) -> None:
    log = await logs.open(queue_max=10)
    with pytest.raises(Overloaded):
        await log.append([view(f"e{n}") for n in range(11)])
    assert await read_all(log) == []
    assert (await log.append([view(f"e{n}") for n in range(10)])).accepted == 10


async def test_a_full_queue_refuses_and_takes_again_when_it_has_drained(logs: Logs) -> None:
    log = await logs.open(queue_max=10)
    results = await asyncio.gather(
        *(log.append([view(f"e{n}")]) for n in range(100)), return_exceptions=True
    )
    taken = [f"e{n}" for n, result in enumerate(results) if isinstance(result, Accepted)]
    refused = [result for result in results if isinstance(result, Overloaded)]
    assert len(taken) >= 10
    assert refused
    assert len(taken) + len(refused) == 100
    assert sorted(ids(await read_all(log))) == sorted(taken)
    for start in range(0, 100, 10):
        await log.append([view(f"e{n}") for n in range(start, start + 10)])
    assert (await log.totals("default"))["events"] == 100


async def test_conflicts_and_duplicates_leave_no_room_taken(logs: Logs) -> None:
    log = await logs.open(queue_max=2)
    await log.append([view("e1")])
    for _ in range(5):
        await log.append([view("e1")])
        with pytest.raises(EventConflict):
            await log.append([view("e1", item_id="i2")])
    assert (await log.append([view("e2"), view("e3")])).accepted == 2


async def test_a_full_disk_is_an_error_and_the_log_recovers(logs: Logs, log: EventLog) -> None:
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
    again = await logs.open()
    assert ids(await read_all(again)) == ["before", "after", "big0"]
    assert await again.totals("default") == {"events": 3, "items": 1, "dead_letters": 0}


async def test_an_event_that_cannot_be_written_fails_alone(log: EventLog) -> None:
    async with asyncio.timeout(NEVER_S / 6):
        with pytest.raises(RecsvcError):
            await log.append([view("e1", metadata={"number": 2**70})])
        assert (await log.append([view("e2")])).accepted == 1
    assert ids(await read_all(log)) == ["e2"]


CALLS = {
    "append": lambda log: log.append([view("e2")]),
    "append_items": lambda log: log.append_items([change("i1")]),
    "read": lambda log: log.read(0, 10),
    "read_items": lambda log: log.read_items(0, 10),
    "find": lambda log: log.find("default", "u1", "e1"),
    "user_events": lambda log: log.user_events("default", "u1", after=0, limit=10),
    "user_events_before": lambda log: log.user_events_before("default", "u1", before=9, limit=10),
    "erase_user": lambda log: log.erase_user("default", "u1"),
    "dead_letters": lambda log: log.dead_letters(),
    "drop_dead_letters": lambda log: log.drop_dead_letters([1]),
    "totals": lambda log: log.totals("default"),
    "ping": lambda log: log.ping(),
}


@pytest.mark.parametrize("call", CALLS)
async def test_use_after_close_raises_log_error(log: EventLog, call: str) -> None:
    await log.append([view("e1")])
    await log.close()
    async with asyncio.timeout(NEVER_S / 6):
        with pytest.raises(LogError):
            await CALLS[call](log)


async def test_closing_twice_is_harmless(log: EventLog) -> None:
    await log.append([view("e1")])
    async with asyncio.timeout(NEVER_S):
        await log.close()
        await log.close()


async def test_close_finishes_what_was_queued(logs: Logs, log: EventLog) -> None:
    tasks = [asyncio.create_task(log.append([view(f"e{n}")])) for n in range(200)]
    await asyncio.sleep(0)
    async with asyncio.timeout(NEVER_S):
        await log.close()
        accepted = await asyncio.gather(*tasks)
    assert sum(a.accepted for a in accepted) == 200
    assert (await (await logs.open()).totals("default"))["events"] == 200


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """Have the operating system refuse to let any file of this process grow beyond ``size``."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
