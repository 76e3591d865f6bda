"""One suite for every backend behind `EventLog`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from logs import (
    NEVER_S,
    Logs,
    change,
    deletion,
    home,
    ids,
    neighbours,
    newest,
    place,
    read_all,
    read_all_items,
    view,
)

from indexer.domain.events import ERASE
from indexer.domain.position import position_of
from indexer.errors import EventConflict, LogError, Overloaded, RecsvcError
from indexer.newest import newest as newest_of
from indexer.ports import CHANNELS, Accepted, EventLog, EventRecord, ItemRecord, Stretch

pytestmark = pytest.mark.anyio

USERS = [f"u{n}" for n in range(12)]
"""In every partition there are some of them."""


def by_user(records: list[EventRecord]) -> dict[str, list[str]]:
    """Return the event ids of each user, in order."""
    found: dict[str, list[str]] = {}
    for record in records:
        found.setdefault(record.event.user_id, []).extend(ids([record]))
    return found


def catalogue(records: list[ItemRecord]) -> dict[str, Any]:
    """Return the features of each item after all changes, as a worker applies them."""
    held: dict[str, Any] = {}
    for record in records:
        if record.item is None:
            held.pop(record.item_id, None)
        elif not (record.only_unknown and record.item_id in held):
            held[record.item_id] = record.item.features
    return held


# appending


async def test_an_empty_log_has_nothing_and_says_so(log: EventLog) -> None:
    for channel in CHANNELS:
        assert await log.ends(channel) == dict.fromkeys(range(log.partitions), 0)
    assert await read_all(log) == []
    assert await read_all_items(log) == []
    assert await log.dead_letters() == []
    assert await log.find("default", "u1", "e1") is None
    assert await log.user_events("default", "u1", after=0, limit=10) == []
    assert await log.user_events_before("default", "u1", before=9, limit=10) == []
    assert await log.totals("default") == {"events": 0, "items": 0, "dead_letters": 0}
    await log.ping()


async def test_offsets_rise_with_each_append(log: EventLog) -> None:
    positions = [(await log.append([view(f"e{n}")])).position for n in range(20)]
    assert all(position.keys() == {home(log)} for position in positions)
    offsets = [position[home(log)] for position in positions]
    assert offsets == sorted(set(offsets))
    assert offsets[0] > 0
    assert offsets[-1] < 2**63
    assert await newest(log) == offsets[-1]


async def test_an_append_tells_the_places_of_its_last_events(log: EventLog) -> None:
    accepted = await log.append([view(f"e{n}", user) for n, user in enumerate(USERS)])
    assert (accepted.accepted, accepted.duplicates) == (len(USERS), 0)
    records = await read_all(log)
    assert {r.event.user_id: r.partition for r in records} == {u: home(log, u) for u in USERS}
    assert accepted.position == position_of((r.partition, r.offset) for r in records)
    assert accepted.position == await log.ends("events")


async def test_an_append_of_nothing_is_nothing(log: EventLog) -> None:
    assert await log.append([]) == Accepted({}, 0, 0)
    assert await newest(log) == 0


async def test_the_events_of_a_user_are_read_in_the_order_of_appending(log: EventLog) -> None:
    for start in range(0, 60, 6):
        await log.append([view(f"e{n}", USERS[n % 4]) for n in range(start, start + 6)])
    found = by_user(await read_all(log, page=7))
    assert found == {USERS[u]: [f"e{n}" for n in range(u, 60, 4)] for u in range(4)}


async def test_an_event_comes_back_as_it_was_here_and_elsewhere(logs: Logs, log: EventLog) -> None:
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
    kept = await read_all(log)
    assert sorted((r.event for r in kept), key=lambda e: e.event_id) == events
    stored = await read_all(await logs.open())
    assert [r.event for r in stored] == [r.event for r in kept]
    assert [(r.partition, r.offset) for r in stored] == [(r.partition, r.offset) for r in kept]
    assert [r.accepted_at for r in stored] == pytest.approx([r.accepted_at for r in kept], abs=1e-5)


async def test_a_reopened_log_has_everything(logs: Logs, log: EventLog) -> None:
    for n in range(0, 100, 10):
        await log.append([view(f"e{n + i}", user_id=f"u{i}") for i in range(10)])
    await log.append_items([change("i1", colour="red"), deletion("i2")])
    first = (await read_all(log))[0]
    await log.add_dead_letter(first, "poison")
    before = (await read_all(log), await log.totals("default"), await log.ends("events"))
    await log.close()
    again = await logs.open()
    assert [r.event for r in await read_all(again)] == [r.event for r in before[0]]
    assert sorted(ids(before[0])) == sorted(f"e{n}" for n in range(100))
    assert (await again.totals("default"), await again.ends("events")) == before[1:]
    assert {r.item_id for r in await read_all_items(again)} == {"i1", "i2"}
    assert [letter.reason for letter in await again.dead_letters()] == ["poison"]
    assert (await again.append([view("e100")])).position[home(log)] > before[2][home(log)]


async def test_what_an_append_returned_for_survives_a_kill(logs: Logs, log: EventLog) -> None:
    await log.close()
    async with logs.other_process("u1") as other:
        positions = [await other.append(f"e{n}") for n in range(50)]
        await other.kill()
    again = await logs.open()
    records = await read_all(again)
    assert ids(records) == [f"e{n}" for n in range(50)]
    assert [{record.partition: record.offset} for record in records] == positions


async def test_a_thousand_appends_at_once_get_places_of_their_own(log: EventLog) -> None:
    appended = await asyncio.gather(
        *(log.append([view(f"e{n}", USERS[n % 12])]) for n in range(1_000))
    )
    places = [next(iter(accepted.position.items())) for accepted in appended]
    assert len(set(places)) == 1_000
    records = await read_all(log)
    assert {(r.partition, r.offset): r.event.event_id for r in records} == {
        at: f"e{n}" for n, at in enumerate(places)
    }
    assert [(r.partition, r.offset) for r in records] == sorted(places)


async def test_an_append_whose_caller_left_disturbs_no_other(log: EventLog) -> None:
    leaving = [asyncio.create_task(log.append([view(f"gone{n}")])) for n in range(5)]
    staying = [asyncio.create_task(log.append([view(f"e{n}")])) for n in range(5)]
    await asyncio.sleep(0)
    for task in leaving:
        task.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    accepted = await asyncio.gather(*staying)
    assert len({a.position[home(log)] for a in accepted}) == 5
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
    assert len({accepted.position[home(log)] for accepted in appended}) == 1
    assert ids(await read_all(log)) == ["e1"]


async def test_a_repeated_event_has_the_place_of_the_first(log: EventLog) -> None:
    first = await log.append([view("e1")])
    await log.append([view("e2")])
    assert await log.append([view("e1")]) == Accepted(first.position, 0, 1)
    assert ids(await read_all(log)) == ["e1", "e2"]


async def test_a_log_that_is_opened_again_knows_repeated_events_and_conflicts(
    lasting_logs: Logs,
) -> None:
    log = await lasting_logs.open()
    first = await log.append([view("e1", item_id="i1")])
    await log.close()
    again = await lasting_logs.open()
    assert await again.append([view("e1", item_id="i1")]) == Accepted(first.position, 0, 1)
    with pytest.raises(EventConflict):
        await again.append([view("e2"), view("e1", item_id="i2"), view("e3", "u5")])
    assert ids(await read_all(again)) == ["e1"]


async def test_a_call_of_old_and_new_events_stores_the_new(log: EventLog) -> None:
    await log.append([view("e1"), view("e2")])
    accepted = await log.append([view("e3"), view("e1"), view("e4"), view("e2")])
    assert (accepted.accepted, accepted.duplicates) == (2, 2)
    assert ids(await read_all(log)) == ["e1", "e2", "e3", "e4"]
    assert accepted.position == {home(log): await newest(log)}


async def test_the_same_event_id_of_another_user_or_tenant_is_another_event(log: EventLog) -> None:
    events = [view("e1"), view("e1", user_id="u2"), view("e1", tenant="other")]
    assert (await log.append(events)).accepted == 3
    for event in events:
        record = await log.find(event.tenant, event.user_id, "e1")
        assert record is not None
        assert record.event == event
        assert record.partition == home(log, event.user_id, event.tenant)


async def test_events_whose_ids_were_made_up_here_are_never_in_conflict(log: EventLog) -> None:
    events = [view(f"made-up-{n}", user) for n, user in enumerate(USERS)]
    for event in events:
        object.__setattr__(event, "fingerprint", "")
    assert (await log.append(events)).accepted == len(USERS)
    found = await log.find("default", USERS[3], "made-up-3")
    assert found is not None
    assert found.event == events[3]


async def test_a_known_id_with_another_body_is_a_conflict_and_nothing_of_the_call_is_stored(
    log: EventLog,
) -> None:
    await log.append([view("e1", item_id="i1")])
    with pytest.raises(EventConflict) as caught:
        await log.append([view("e2"), view("e1", item_id="i2"), view("e3")])
    assert caught.value.events == [("u1", "e1")]
    assert ids(await read_all(log)) == ["e1"]
    assert await log.find("default", "u1", "e2") is None
    assert (await log.append([view("e2"), view("e3")])).accepted == 2


async def test_a_conflict_in_one_partition_keeps_the_call_out_of_all(log: EventLog) -> None:
    await log.append([view("e1", item_id="i1")])
    with pytest.raises(EventConflict) as caught:
        await log.append([*(view("e9", user) for user in USERS), view("e1", item_id="i2")])
    assert caught.value.events == [("u1", "e1")]
    assert ids(await read_all(log)) == ["e1"]


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
    assert (taken.accepted, taken.position) == (1, {home(log): await newest(log)})
    assert ids(await read_all(log)) == ["e1", "e2"]


# reading


async def test_pages_are_in_order_and_complete(logs: Logs, log: EventLog) -> None:
    wanted = [f"e{n}" for n in range(2_500)]
    for start in range(0, 2_500, 500):
        await log.append([view(event_id) for event_id in wanted[start : start + 500]])
    for reader in (log, await logs.open()):
        records = await read_all(reader, page=777)
        assert ids(records) == wanted
        offsets = [record.offset for record in records]
        assert offsets == sorted(set(offsets))
        near_the_end = await reader.read(home(log), offsets[-11], 5)
        assert ids(near_the_end) == wanted[-10:-5]
        assert await reader.read(home(log), offsets[-1], 5) == []
        assert await reader.read(home(log), offsets[-1] + 100, 5) == []


async def test_a_reader_who_keeps_up_sees_every_event_once(log: EventLog) -> None:
    seen: list[str] = []

    async def follow() -> None:
        after = 0
        while len(seen) < 300:
            records = await log.read(home(log), after, 7)
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
    assert found.offset == await newest(log)
    assert await log.find("default", "u2", "e2") is None
    assert await log.find("other", "u1", "e2") is None
    assert await log.find("default", "u1", "e3") is None


async def test_the_events_of_a_user_come_in_pages_and_in_order(log: EventLog) -> None:
    for n in range(25):
        await log.append([view(f"e{n}", user_id=f"u{n % 2}"), view(f"e{n}", tenant="other")])
    mine: list[str] = []
    after = -1
    while page := await log.user_events("default", "u0", after=after, limit=4):
        assert len(page) <= 4
        mine += ids(page)
        after = page[-1].offset
    assert mine == [f"e{n}" for n in range(0, 25, 2)]


async def test_the_newest_events_of_a_user_below_an_offset_come_oldest_first(
    log: EventLog,
) -> None:
    user, beside = neighbours(log, "u0", 2)
    for n in range(25):
        await log.append([view(f"e{n}", (user, beside)[n % 2]), view(f"e{n}", tenant="other")])
    mine = await log.user_events("default", user, after=0, limit=100)
    for n in (0, 1, 5, len(mine) - 1):
        for limit in (1, 4, 100):
            found = await log.user_events_before(
                "default", user, before=mine[n].offset, limit=limit
            )
            assert found == mine[max(0, n - limit) : n]
    beyond = mine[-1].offset + 1
    assert await log.user_events_before("default", user, before=beyond, limit=3) == mine[-3:]
    assert await log.user_events_before("default", "nobody", before=beyond, limit=3) == []
    assert await log.user_events_before("default", user, before=0, limit=3) == []


async def test_the_events_of_a_user_can_be_paged_through_backwards(
    logs: Logs, log: EventLog
) -> None:
    await log.append([view(f"e{n}", user_id=f"u{n % 3}") for n in range(60)])
    for reader in (log, await logs.open()):
        found: list[str] = []
        before = await newest(reader) + 1
        while page := await reader.user_events_before("default", "u1", before=before, limit=7):
            found = ids(page) + found
            before = page[0].offset
        assert found == [f"e{n}" for n in range(1, 60, 3)]


async def test_an_erased_user_has_no_earlier_events(log: EventLog) -> None:
    user, beside = neighbours(log, "u1", 2)
    await log.append([view("e1", user), view("e2", user_id=beside)])
    await log.erase_user("default", user)
    beyond = await newest(log) + 1
    assert await log.user_events_before("default", user, before=beyond, limit=10) == []
    assert ids(await log.user_events_before("default", beside, before=beyond, limit=10)) == ["e2"]


# items


async def test_the_newest_change_of_an_item_is_read_last(log: EventLog) -> None:
    one, two, three = neighbours(log, "i1", 3)
    first = await log.append_items([change(one, v=1), change(two, v=1), change(three, v=1)])
    second = await log.append_items([change(one, v=2)])
    third = await log.append_items([change(three, v=2), change(one, v=3)])
    here = home(log, one)
    assert 0 < first[here] < second[here] < third[here]
    records = await read_all_items(log, page=2)
    newest_changes = {r.item_id: r.item and r.item.features for r in records}
    assert newest_changes == {one: {"v": 3}, two: {"v": 1}, three: {"v": 2}}
    assert place(records) == (here, third[here])
    assert [r.item_id for r in await log.read_items(here, second[here], 10)] == [three, one]
    assert (await log.totals("default"))["items"] == 3


async def test_of_two_changes_of_an_item_in_one_call_the_last_counts(log: EventLog) -> None:
    await log.append_items([change("i1", v=1), change("i2", v=1), change("i1", v=2)])
    found = {r.item_id: r.item and r.item.features for r in await read_all_items(log)}
    assert found == {"i1": {"v": 2}, "i2": {"v": 1}}


async def test_a_deleted_item_is_read_as_a_deletion_and_not_counted(log: EventLog) -> None:
    one, two = neighbours(log, "i1", 2)
    await log.append_items([change(one), change(two)])
    await log.append_items([deletion(one)])
    records = await read_all_items(log)
    assert {r.item_id: r.item is None for r in records} == {two: False, one: True}
    assert records[-1].item_id == one
    assert (await log.totals("default"))["items"] == 1


async def test_changed_items_tell_their_places(log: EventLog) -> None:
    names = [f"i{n}" for n in range(12)]
    position = await log.append_items([change(name) for name in names])
    assert position == await log.ends("items")
    records = await read_all_items(log)
    assert position == position_of((r.partition, r.offset) for r in records)
    assert {r.item_id: r.partition for r in records} == {i: home(log, i) for i in names}


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
        (record,) = await read_all_items(reader)
        assert record.item == item


async def test_items_of_two_tenants_are_two_items(log: EventLog) -> None:
    await log.append_items([change("i1", v=1), change("i1", tenant="other", v=2)])
    await log.append_items([deletion("i1")])
    found = {r.tenant: r.item for r in await read_all_items(log)}
    assert found["default"] is None
    assert found["other"] is not None
    assert found["other"].features == {"v": 2}


async def test_only_unknown_items_are_made_where_that_is_asked(log: EventLog) -> None:
    await log.append_items([change("i1", v=1)])
    await log.append_items([change("i1", v=2), change("i2", v=2)], only_unknown=True)
    assert catalogue(await read_all_items(log)) == {"i1": {"v": 1}, "i2": {"v": 2}}


async def test_a_deleted_item_is_unknown_again(log: EventLog) -> None:
    await log.append_items([change("i1", v=1)])
    await log.append_items([deletion("i1")])
    await log.append_items([change("i1", v=2)], only_unknown=True)
    assert catalogue(await read_all_items(log)) == {"i1": {"v": 2}}


async def test_an_item_of_another_tenant_is_unknown_here(log: EventLog) -> None:
    await log.append_items([change("i1", tenant="other", v=1)])
    await log.append_items([change("i1", v=2)], only_unknown=True)
    assert {r.tenant for r in await read_all_items(log)} == {"default", "other"}


async def test_no_items_leave_no_place(log: EventLog) -> None:
    await log.append_items([change("i1")])
    assert await log.append_items([]) == {}
    assert await log.append_items([], only_unknown=True) == {}


async def test_items_and_events_do_not_mix(log: EventLog) -> None:
    await log.append_items([change("i1")])
    assert set((await log.ends("events")).values()) == {0}
    assert await read_all(log) == []
    await log.append([view("e1")])
    assert len(await read_all_items(log)) == 1


# erasing


async def test_erasing_a_user_removes_all_of_that_user_and_nothing_else(
    logs: Logs, log: EventLog
) -> None:
    user, beside = neighbours(log, "u1", 2)
    for n in range(10):
        await log.append([view(f"e{n}", (beside, user)[n % 2]), view(f"t{n}", user, "other")])
    poisoned = await log.find("default", user, "e1")
    other = await log.find("default", beside, "e0")
    assert poisoned is not None
    assert other is not None
    await log.add_dead_letter(poisoned, "poison")
    await log.add_dead_letter(other, "poison")

    assert (await log.erase_user("default", user)).events == 5
    assert (await log.erase_user("default", user)).events == 0
    assert (await log.erase_user("default", "nobody")).events == 0
    for reader in (log, await logs.open()):
        assert await reader.find("default", user, "e1") is None
        assert await reader.user_events("default", user, after=-1, limit=10) == []
        assert len(await reader.user_events("default", beside, after=-1, limit=10)) == 5
        assert len(await reader.user_events("other", user, after=-1, limit=100)) == 10
        assert "e0" in [d.event["event_id"] for d in await reader.dead_letters()]


async def test_an_erasure_tells_the_place_of_its_mark(log: EventLog) -> None:
    await log.append([view("e1"), view("e2")])
    before = await newest(log)
    erasure = await log.erase_user("default", "u1")
    marks = [r for r in await read_all(log) if r.event.event_type == ERASE]
    assert erasure.position == position_of((r.partition, r.offset) for r in marks)
    if erasure.position:
        assert [(m.event.tenant, m.event.user_id) for m in marks] == [("default", "u1")]
        assert erasure.position[home(log)] > before


async def test_a_place_is_never_given_twice_even_after_an_erasure(
    logs: Logs, log: EventLog
) -> None:
    user, beside = neighbours(log, "u1", 2)
    await log.append([view("e1", user), view("e2", user_id=beside)])
    last = await newest(log)
    await log.erase_user("default", beside)
    await log.close()
    again = await logs.open()
    assert await newest(again) >= last
    assert (await again.append([view("e3", user)])).position[home(log)] > last


async def test_an_erased_event_can_be_sent_again(log: EventLog) -> None:
    first = await log.append([view("e1")])
    await log.erase_user("default", "u1")
    again = await log.append([view("e1", item_id="i2")])
    assert again.accepted == 1
    assert again.position[home(log)] > first.position[home(log)]
    found = await log.find("default", "u1", "e1")
    assert found is not None
    assert found.event.item_id == "i2"
    assert ids(await log.user_events("default", "u1", after=-1, limit=10)) == ["e1"]


async def test_a_partition_is_read_backwards_from_any_place(log: EventLog) -> None:
    await log.append([view(f"e{n}") for n in range(10)])
    (partition, end) = next((p, o) for p, o in (await log.ends("events")).items() if o)
    last = await log.read_before(partition, end + 1, 3)
    assert ids(last.records) == ["e7", "e8", "e9"]
    assert last.records[-1].offset == end
    assert (last.start, last.looked_at) == (last.records[0].offset, 3)
    before = await log.read_before(partition, last.start, 4)
    assert ids(before.records) == ["e3", "e4", "e5", "e6"]
    first = await log.read_before(partition, before.start, 500)
    assert ids(first.records) == ["e0", "e1", "e2"]
    assert (first.start, first.looked_at) == (0, 3)
    assert await log.read_before(partition, 1, 10) == Stretch([], 0, 0)


async def test_the_newest_events_are_of_the_tenant_the_newest_first(log: EventLog) -> None:
    for n in range(30):
        tenant = "north" if n % 10 == 0 else "default"
        await log.append([view(f"e{n}", USERS[n % 12], tenant)])
        await asyncio.sleep(0.003)  # partitions are put in order by milliseconds
    found = await newest_of(log, "default", 5)
    assert sorted(ids(found), reverse=True) == ["e29", "e28", "e27", "e26", "e25"]
    accepted = [record.accepted_at for record in found]
    assert accepted == sorted(accepted, reverse=True)
    assert sorted(ids(await newest_of(log, "north", 50))) == ["e0", "e10", "e20"]
    assert await newest_of(log, "south", 50) == []


async def test_the_newest_events_leave_out_those_of_erased_users(log: EventLog) -> None:
    await log.append([view(f"e{n}", USERS[n % 3]) for n in range(9)])
    await log.erase_user("default", USERS[1])
    await log.append([view("back", USERS[1])])
    found = ids(await newest_of(log, "default", 50))
    assert sorted(found) == ["back", "e0", "e2", "e3", "e5", "e6", "e8"]


# dead letters


async def test_dead_letters_are_listed_oldest_first_and_dropped_by_id(log: EventLog) -> None:
    await log.append([view(f"e{n}", metadata={"n": n}) for n in range(5)])
    records = await read_all(log)
    for record in records:
        await log.add_dead_letter(record, f"because of {record.event.event_id}")
    letters = await log.dead_letters()
    assert [letter.reason for letter in letters] == [f"because of e{n}" for n in range(5)]
    assert [letter.position for letter in letters] == [{r.partition: r.offset} for r in records]
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

    await log.drop_dead_letters([letters[0].letter_id, letters[3].letter_id, "999"])
    left = await log.dead_letters()
    assert [letter.event["event_id"] for letter in left] == ["e1", "e2", "e4"]
    await log.drop_dead_letters([])
    assert (await log.totals("default"))["dead_letters"] == 3


async def test_dead_letters_can_be_of_one_tenant(log: EventLog) -> None:
    tenants = ["north", "default", "default", "north", "default"]
    await log.append([view(f"e{n}", tenant=tenant) for n, tenant in enumerate(tenants)])
    for record in sorted(await read_all(log), key=lambda record: record.event.event_id):
        await log.add_dead_letter(record, "poison")
    north = await log.dead_letters(tenant="north")
    assert [letter.event["event_id"] for letter in north] == ["e0", "e3"]
    assert len(await log.dead_letters(tenant="default", limit=2)) == 2
    assert await log.dead_letters(tenant="south") == []
    assert len(await log.dead_letters()) == 5


async def test_dead_letters_of_a_partition_are_read_on_from_a_place(log: EventLog) -> None:
    await log.append([view(f"e{n}") for n in range(4)])
    await log.append([view("e4", "u2", "north")])
    records = await read_all(log)
    for record in reversed(records):  # what failed later may lie before
        await log.add_dead_letter(record, "poison")
    here = [record for record in records if record.partition == records[0].partition]
    first, *later = mine = sorted(here, key=lambda record: record.offset)

    async def after(offset: int, **more: Any) -> list[int]:
        given = {"limit": 10, **more}
        found = await log.dead_letters_after(first.partition, offset, **given)
        return [letter.position[first.partition] for letter in found]

    assert await after(0) == [first.offset, *(one.offset for one in later)]
    assert await after(first.offset) == [one.offset for one in later]
    assert await after(first.offset, limit=2) == [one.offset for one in later[:2]]
    default = [one.offset for one in mine if one.event.tenant == "default"]
    assert await after(0, tenant="default") == default
    assert await after(0, tenant="south") == []
    assert await after(mine[-1].offset) == []


async def test_a_record_is_a_dead_letter_once_however_often_it_comes(log: EventLog) -> None:
    await log.append([view("e1")])
    (record,) = await read_all(log)
    await log.add_dead_letter(record, "poison")
    await log.add_dead_letter(record, "poison")
    assert len(await log.dead_letters()) == 1
    assert (await log.totals("default"))["dead_letters"] == 1


async def test_totals_count_what_is_held(log: EventLog) -> None:
    await log.append([view("e1"), view("e2"), view("e1")])
    await log.append_items([change("i1"), change("i2"), deletion("i3")])
    await log.add_dead_letter((await read_all(log))[0], "poison")
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
        *(log.append([view(f"e{n}", USERS[n % 12])]) for n in range(100)), return_exceptions=True
    )
    taken = [f"e{n}" for n, result in enumerate(results) if isinstance(result, Accepted)]
    refused = [result for result in results if isinstance(result, Overloaded)]
    assert len(taken) >= 10
    assert refused
    assert len(taken) + len(refused) == 100
    assert sorted(ids(await read_all(log))) == sorted(taken)
    for start in range(0, 100, 10):
        await log.append([view(f"e{n}", USERS[n % 12]) for n in range(start, start + 10)])
    assert (await log.totals("default"))["events"] == 100


async def test_conflicts_and_duplicates_leave_no_room_taken(logs: Logs) -> None:
    log = await logs.open(queue_max=2)
    await log.append([view("e1")])
    for _ in range(5):
        await log.append([view("e1")])
        with pytest.raises(EventConflict):
            await log.append([view("e1", item_id="i2")])
    assert (await log.append([view("e2"), view("e3")])).accepted == 2


async def test_an_event_that_cannot_be_written_fails_alone(log: EventLog) -> None:
    async with asyncio.timeout(NEVER_S / 6):
        with pytest.raises(RecsvcError):
            await log.append([view("e1", metadata={"number": 2**70})])
        assert (await log.append([view("e2")])).accepted == 1
    assert ids(await read_all(log)) == ["e2"]


CALLS = {
    "append": lambda log: log.append([view("e2")]),
    "append_items": lambda log: log.append_items([change("i1")]),
    "read": lambda log: log.read(0, 0, 10),
    "read_before": lambda log: log.read_before(0, 9, 10),
    "read_items": lambda log: log.read_items(0, 0, 10),
    "find": lambda log: log.find("default", "u1", "e1"),
    "user_events": lambda log: log.user_events("default", "u1", after=0, limit=10),
    "user_events_before": lambda log: log.user_events_before("default", "u1", before=9, limit=10),
    "erase_user": lambda log: log.erase_user("default", "u1"),
    "dead_letters": lambda log: log.dead_letters(),
    "drop_dead_letters": lambda log: log.drop_dead_letters(["1"]),
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
