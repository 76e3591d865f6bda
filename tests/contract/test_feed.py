"""One suite for every `Feed`; and for those of a shared log, how workers share it."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from feed_reader import Store
from feeds import TAKEOVER_S, Feeds, SharedFeeds, Worker, everything, store_in, until
from logs import change, home, ids, view

from indexer.domain.events import ERASE
from indexer.domain.neighbours import Occurrence
from indexer.domain.position import position_of
from indexer.errors import LogError, SchemaMismatch
from indexer.newest import newest
from indexer.ports import CHANNELS, EventLog, SharedLog

pytestmark = pytest.mark.anyio

USERS = [f"u{n}" for n in range(12)]
"""In every partition there are some of them."""

SOON_S = 8.0
"""Within which a worker that left in good order is replaced, also by a group that has to meet."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """What is applied, of all workers of a test."""
    return store_in(tmp_path)


def by_user(records: list[Any]) -> dict[str, list[str]]:
    """Return the event ids of each user, in order."""
    found: dict[str, list[str]] = {}
    for record in records:
        found.setdefault(record.event.user_id, []).extend(ids([record]))
    return found


async def owning(worker: Worker, log: EventLog) -> None:
    """Wait until a worker has all partitions."""
    await until(lambda: worker.feed.owned == everything(log))


async def waiting(worker: Worker, count: int) -> list[Any]:
    """Wait until a worker has so many events to read; return them."""
    found: list[Any] = []

    async def enough() -> bool:
        found[:] = await worker.feed.read("events", 10_000)
        return len(found) >= count

    await until(enough)
    assert len(found) == count
    return found


# reading and applying


async def test_a_feed_gives_what_is_appended_in_the_order_of_each_user(
    feeds: Feeds, store: Store
) -> None:
    log = await feeds.open()
    await log.append([view(f"a{n}", USERS[n % 12]) for n in range(120)])
    async with Worker(feeds, log, store) as worker:
        worker.work()
        for n in range(0, 120, 10):
            await log.append([view(f"b{i}", USERS[i % 12]) for i in range(n, n + 10)])
        await until(lambda: len(worker.seen["events"]) >= 240)
        assert by_user(worker.seen["events"]) == {
            user: [f"{call}{i}" for call in "ab" for i in range(n, 120, 12)]
            for n, user in enumerate(USERS)
        }
        places = [(record.partition, record.offset) for record in worker.seen["events"]]
        assert len(set(places)) == 240
        assert all(r.partition == home(log, r.event.user_id) for r in worker.seen["events"])
        assert all(record.accepted_at > 1.7e9 for record in worker.seen["events"])


async def test_a_feed_gives_the_changes_of_items(feeds: Feeds, store: Store) -> None:
    log = await feeds.open()
    async with Worker(feeds, log, store) as worker:
        worker.work()
        for version in range(3):
            await log.append_items([change(f"i{n}", v=version) for n in range(9)])
        await until(lambda: len({r.item_id for r in worker.seen["items"]}) == 9)
        await until(
            lambda: (
                {r.item_id: r.item.features for r in worker.seen["items"]}
                == {f"i{n}": {"v": 2} for n in range(9)}
            )
        )


async def test_reading_again_without_having_applied_gives_the_same(
    feeds: Feeds, store: Store
) -> None:
    log = await feeds.open()
    await log.append([view(f"e{n}", USERS[n % 12]) for n in range(30)])
    async with Worker(feeds, log, store) as worker:
        records = await waiting(worker, 30)
        assert await worker.feed.read("events", 10_000) == records
        assert await worker.feed.read("events", 7) == records[:7]
        first = records[:7]
        worker.feed.applied("events", position_of((r.partition, r.offset) for r in first))
        assert await worker.feed.read("events", 10_000) == records[7:]


async def test_positions_are_what_was_applied_and_never_go_back(feeds: Feeds, store: Store) -> None:
    log = await feeds.open()
    await log.append([view(f"e{n}") for n in range(5)])
    async with Worker(feeds, log, store) as worker:
        records = await waiting(worker, 5)
        here = records[0].partition
        assert set(worker.feed.positions("events").values()) == {0}
        worker.feed.applied("events", {here: records[3].offset})
        worker.feed.applied("events", {here: records[1].offset})
        worker.feed.applied("events", {})
        assert worker.feed.positions("events")[here] == records[3].offset
        assert worker.feed.positions("events").keys() == everything(log)
        assert set(worker.feed.positions("items").values()) == {0}
        assert ids(await worker.feed.read("events", 10)) == ["e4"]


async def test_lag_counts_what_is_not_applied(feeds: Feeds, store: Store) -> None:
    log = await feeds.open()
    async with Worker(feeds, log, store) as worker:
        await owning(worker, log)
        assert await worker.feed.lag() == 0
        await log.append([view(f"e{n}", USERS[n % 12]) for n in range(30)])
        await waiting(worker, 30)
        assert await worker.feed.lag() == 30
        await worker.apply("events", 10)
        assert await worker.feed.lag() == 20
        await worker.apply("events")
        assert await worker.feed.lag() == 0
        assert await worker.feed.lag("items") == 0


async def test_nothing_is_owned_before_the_feed_runs(feeds: Feeds, store: Store) -> None:
    log = await feeds.open()
    await log.append([view("e1")])
    worker = Worker(feeds, log, store)
    assert worker.feed.owned == frozenset()
    assert await worker.feed.read("events", 10) == []
    assert worker.feed.positions("events") == {}
    assert await worker.feed.lag() == 0


async def test_what_was_not_applied_is_given_again_to_the_next(feeds: Feeds, store: Store) -> None:
    log = await feeds.open()
    await log.append([view(f"e{n}", USERS[n % 12]) for n in range(30)])
    async with Worker(feeds, log, store) as first:
        await waiting(first, 30)
        applied = set(ids(await first.apply("events", 10)))
        await first.feed.commit()
        await first.feed.read("events", 100)
    assert first.released == [everything(log)]
    async with Worker(feeds, log, store) as second:
        left = await waiting(second, 20)
        assert set(ids(left)) == {f"e{n}" for n in range(30)} - applied


async def test_the_store_says_where_to_go_on_and_not_what_was_committed(
    feeds: Feeds, tmp_path: Path, store: Store
) -> None:
    log = await feeds.open()
    await log.append([view(f"e{n}", USERS[n % 12]) for n in range(30)])
    async with Worker(feeds, log, store) as first:
        await waiting(first, 30)
        await first.apply("events")
        await first.feed.commit()
    store.path.unlink()  # the vectors are lost
    async with Worker(feeds, log, store) as second:
        await waiting(second, 30)


async def test_a_store_that_holds_more_than_the_log_is_refused(feeds: Feeds, store: Store) -> None:
    log = await feeds.open()
    await log.append([view("e1")])
    end = (await log.ends("events"))[home(log)]
    store.apply("events", {home(log): end + 1})
    feed = Worker(feeds, log, store).feed
    with pytest.raises(SchemaMismatch, match="do not belong together"):
        await feed.run()
    assert feed.owned == frozenset()


async def test_the_mark_that_a_user_is_erased_comes_after_the_events_of_before(
    shared_feeds: SharedFeeds, store: Store
) -> None:
    log = await shared_feeds.open()
    async with Worker(shared_feeds, log, store) as worker:
        worker.work()
        await log.append([view("e1"), view("e2")])
        erasure = await log.erase_user("default", "u1")
        await log.append([view("e3")])
        await until(lambda: "e3" in ids(worker.seen["events"]))
        (marked,) = (n for n, r in enumerate(worker.seen["events"]) if r.event.event_type == ERASE)
        mark = worker.seen["events"][marked]
        assert erasure.position == {mark.partition: mark.offset}
        assert ids(worker.seen["events"][marked:]) == ["e3"]


# a shared log, and who follows it


async def test_what_one_process_appends_another_reads(shared_feeds: SharedFeeds) -> None:
    one, other = await shared_feeds.open(), await shared_feeds.open()
    await one.append([view(f"e{n}") for n in range(5)])
    assert ids(await other.read(home(other), 0, 10)) == [f"e{n}" for n in range(5)]


async def test_pairs_come_in_order_to_whoever_has_their_items(
    shared_feeds: SharedFeeds, store: Store
) -> None:
    log: SharedLog = await shared_feeds.open()  # type: ignore[assignment]
    pairs = [
        (
            ("default", "other")[n % 2],
            Occurrence(f"i{n % 4}", n + 1, 0.5, 0.25, 1.0, (("i9", 0.5),), 2),
        )
        for n in range(40)
    ]
    await log.append_pairs(pairs[:20])
    async with Worker(shared_feeds, log, store) as worker:
        worker.work()
        await log.append_pairs(pairs[20:])
        await log.append_pairs([])
        await until(lambda: len(worker.seen["pairs"]) >= 40)
        found = [(record.tenant, record.occurrence) for record in worker.seen["pairs"]]
        for item in range(4):
            assert [p for p in found if p[1].item_id == f"i{item}"] == pairs[item::4]
        assert all(
            r.partition == home(log, r.occurrence.item_id, r.tenant) for r in worker.seen["pairs"]
        )


async def test_what_is_committed_is_seen_by_any_process(
    shared_feeds: SharedFeeds, store: Store
) -> None:
    log: Any = await shared_feeds.open()
    api: Any = await shared_feeds.open()
    assert await api.committed("events", everything(log)) == dict.fromkeys(everything(log), 0)
    await log.append([view(f"e{n}", USERS[n % 12]) for n in range(30)])
    assert await api.backlog("events") == 30
    async with Worker(shared_feeds, log, store) as worker:
        await waiting(worker, 30)
        await worker.apply("events", 10)
        await worker.feed.commit()
        assert await api.committed("events", everything(log)) == worker.feed.positions("events")
        await until(lambda: _holds(api.backlog("events"), 20))
        await worker.apply("events")
        await worker.feed.commit()
        assert await api.committed("events", [0]) == {0: (await log.ends("events"))[0]}
        await until(lambda: _holds(api.backlog("events"), 0))
        assert await api.backlog("items") == 0


async def _holds(value: Any, wanted: Any) -> bool:
    return bool(await value == wanted)


async def test_two_workers_share_the_partitions_and_each_has_one_reader(
    shared_feeds: SharedFeeds, store: Store
) -> None:
    log, beside = await shared_feeds.open(), await shared_feeds.open()
    one, two = Worker(shared_feeds, log, store), Worker(shared_feeds, beside, store)
    one.beside, two.beside = [two], [one]
    seen = (one.seen["events"], two.seen["events"])
    async with one:
        one.work()
        await owning(one, log)
        await log.append([view(f"a{n}", USERS[n % 12]) for n in range(60)])
        async with two:
            two.work()
            await until(lambda: two.feed.owned)
            await until(lambda: one.feed.owned | two.feed.owned == everything(log))
            await log.append([view(f"b{n}", USERS[n % 12]) for n in range(60)])
            await until(lambda: sum(map(len, seen)) >= 120)
        await until(lambda: one.feed.owned == everything(log), SOON_S)
        await log.append([view(f"c{n}", USERS[n % 12]) for n in range(60)])
        await until(lambda: sum(map(len, seen)) >= 180)
    places = [(record.partition, record.offset) for records in seen for record in records]
    assert len(set(places)) == len(places) == 180
    assert all(ids(records) for records in seen)
    assert frozenset().union(*two.taken) == frozenset().union(*two.released)


async def test_more_workers_than_partitions_leave_some_without_work(
    shared_feeds: SharedFeeds, store: Store
) -> None:
    log = await shared_feeds.open()
    async with (
        Worker(shared_feeds, log, store) as one,
        Worker(shared_feeds, await shared_feeds.open(), store) as two,
        Worker(shared_feeds, await shared_feeds.open(), store) as three,
        Worker(shared_feeds, await shared_feeds.open(), store) as four,
    ):
        workers = (one, two, three, four)
        await until(lambda: sorted(len(w.feed.owned) for w in workers) == [0, 1, 1, 1])
        assert frozenset().union(*(w.feed.owned for w in workers)) == everything(log)


async def test_when_a_worker_is_killed_others_read_what_it_had_not_applied(
    shared_feeds: SharedFeeds, store: Store
) -> None:
    log = await shared_feeds.open()
    await log.append([view(f"e{n}", USERS[n % 12]) for n in range(30)])
    async with shared_feeds.other_follower(store) as other:
        await until(lambda: len(other.read) == 30)
        async with Worker(shared_feeds, log, store) as worker:
            worker.work()
            await until(lambda: worker.feed.owned and len(other.owned) < log.partitions)
            await other.kill()
            await until(
                lambda: worker.feed.owned == everything(log), shared_feeds.session_s + TAKEOVER_S
            )
            await until(lambda: len(worker.seen["events"]) >= 30)
            assert sorted(ids(worker.seen["events"])) == sorted(f"e{n}" for n in range(30))


async def test_a_worker_that_stood_still_cannot_commit_what_is_anothers(
    shared_feeds: SharedFeeds, store: Store
) -> None:
    log: Any = await shared_feeds.open()
    await log.append([view("e1"), view("e2")])
    async with shared_feeds.other_follower(store) as other:
        await until(lambda: other.read == ["e1", "e2"])
        other.tell("apply")
        await until(lambda: other.read == [])
        other.pause()
        await log.append([view("e3")])
        async with Worker(shared_feeds, log, store) as worker:
            worker.work()
            await until(
                lambda: worker.feed.owned == everything(log), shared_feeds.session_s + TAKEOVER_S
            )
            await until(lambda: ids(worker.seen["events"]) == ["e3"])
            end = await log.ends("events")
            await until(
                lambda: _holds(log.committed("events", [home(log)]), {home(log): end[home(log)]})
            )
            other.tell("commit")
            other.resume()
            await until(lambda: other.owned and other.owned != [0, 1, 2])
            assert not set(other.owned) & worker.feed.owned
            assert other.read == []
            assert await log.committed("events", [home(log)]) == {home(log): end[home(log)]}


# what others append


GOOD = {"user_id": "u1", "event_type": "view", "item_id": "i1"}


async def test_an_event_that_others_append_is_an_event(
    shared_feeds: SharedFeeds, store: Store
) -> None:
    log = await shared_feeds.open()
    sent = {**GOOD, "event_id": "mine", "timestamp": "2024-05-01T12:00:00Z"}
    other = {**GOOD, "tenant": "other", "event_type": "search", "query": "tea", "item_id": None}
    await shared_feeds.put(home(log), json.dumps(sent).encode())
    await shared_feeds.put(home(log), json.dumps(GOOD).encode())
    await shared_feeds.put(home(log, "u1", "other"), json.dumps(other).encode())
    async with Worker(shared_feeds, log, store) as worker:
        records = await waiting(worker, 3)
        found = {(r.event.tenant, r.event.event_id == "mine"): r for r in records}
        mine, made_up = found["default", True], found["default", False]
        assert mine.event.timestamp == 1_714_564_800.0
        assert made_up.event.timestamp == pytest.approx(made_up.accepted_at)
        assert made_up.event.timestamp == pytest.approx(time.time(), abs=60)
        assert found["other", False].event.query == "tea"
        again = await waiting(worker, 3)
        assert again == records
        assert ids(await log.user_events("default", "u1", after=0, limit=10)) == [
            "mine",
            made_up.event.event_id,
        ]
        assert await log.find("default", "u1", "mine") == mine
    async with Worker(shared_feeds, log, store) as worker:
        assert [r.event for r in await waiting(worker, 3)] == [r.event for r in records]


BAD = {
    "not JSON": b"{",
    "nothing": b"",
    "no object": b"[1, 2]",
    "no user": json.dumps({"event_type": "view", "item_id": "i1"}).encode(),
    "an unknown field": json.dumps({**GOOD, "colour": "red"}).encode(),
    "a type without a weight": json.dumps({**GOOD, "event_type": "sneeze"}).encode(),
    "our mark": json.dumps({**GOOD, "event_type": ERASE}).encode(),
    "not UTF-8": b'{"user_id": "\xff"}',
    "too long": json.dumps({**GOOD, "metadata": {"x": "y" * (1 << 20)}}).encode(),
}


async def test_what_is_no_event_goes_to_the_dead_letters_once_and_the_partition_goes_on(
    shared_feeds: SharedFeeds, store: Store
) -> None:
    log: Any = await shared_feeds.open()
    await log.append([view("e1")])
    for body in BAD.values():
        await shared_feeds.put(home(log), body)
    await log.append([view("e2")])
    await shared_feeds.put(home(log), b"the last")
    for _ in range(2):  # nothing was applied, and all comes again
        async with Worker(shared_feeds, log, store) as worker:
            assert ids(await waiting(worker, 2)) == ["e1", "e2"]
            await until(lambda: _holds(_letters(log), len(BAD) + 1))
    letters = await log.dead_letters()
    assert all(letter.reason for letter in letters)
    assert all(letter.position.keys() == {home(log)} for letter in letters)
    assert len({letter.position[home(log)] for letter in letters}) == len(BAD) + 1
    assert all(len(json.dumps(dict(letter.event))) < 10_000 for letter in letters)
    async with Worker(shared_feeds, log, store) as worker:
        worker.work()
        ends = await log.ends("events")
        await until(lambda: worker.feed.positions("events").get(home(log)) == ends[home(log)])
        assert len(await log.dead_letters()) == len(BAD) + 1


async def test_the_newest_events_are_found_before_what_is_no_event(
    shared_feeds: SharedFeeds,
) -> None:
    log = await shared_feeds.open()
    await log.append([view("e1"), view("e2")])
    for _ in range(70):
        await shared_feeds.put(home(log), b"{")
    assert ids(await newest(log, "default", 1)) == ["e2"]
    assert sorted(ids(await newest(log, "default", 9))) == ["e1", "e2"]
    end = (await log.ends("events"))[home(log)]
    last = await log.read_before(home(log), end + 1, 50)
    assert (last.records, last.looked_at) == ([], 50)
    assert 0 < last.start <= end


async def test_what_is_no_event_is_told_of_where_it_says_whose_it_is(
    shared_feeds: SharedFeeds, store: Store
) -> None:
    log = await shared_feeds.open()
    named = {**GOOD, "event_id": "e9"}
    await shared_feeds.put(home(log), json.dumps({**named, "event_type": "sneeze"}).encode())
    await shared_feeds.put(home(log), json.dumps({**GOOD, "event_type": "sneeze"}).encode())
    await shared_feeds.put(home(log), json.dumps({**named, "event_id": "a b"}).encode())
    await shared_feeds.put(home(log), b"none")
    await log.append([view("e1")])
    async with Worker(shared_feeds, log, store) as worker:
        await waiting(worker, 1)
        await until(lambda: _holds(_letters(log), 4))
        [failed] = worker.failures
    assert (failed.tenant, failed.user_id, failed.event_id) == ("default", "u1", "e9")
    assert "sneeze" in failed.reason


async def _letters(log: EventLog) -> int:
    return len(await log.dead_letters())


async def test_an_event_in_the_wrong_partition_is_moved_to_the_right_one(
    shared_feeds: SharedFeeds, store: Store
) -> None:
    log = await shared_feeds.open()
    wrong = (home(log) + 1) % log.partitions
    await shared_feeds.put(wrong, json.dumps(GOOD).encode())
    await shared_feeds.put(wrong, json.dumps({**GOOD, "event_id": "mine"}).encode())
    async with Worker(shared_feeds, log, store) as worker:
        records = await waiting(worker, 2)
        assert {record.partition for record in records} == {home(log)}
        assert {r.event.user_id for r in records} == {"u1"}
        assert "mine" in ids(records)
        worker.work()
        ends = await log.ends("events")
        await until(lambda: worker.feed.positions("events") == ends)
        assert await log.dead_letters() == []


# bounds and failures


async def test_a_feed_holds_a_bounded_number_of_records_and_gives_all(
    shared_feeds: SharedFeeds, store: Store
) -> None:
    log = await shared_feeds.open(queue_max=100_000)
    count = shared_feeds.held_max + 2_000
    for n in range(0, count, 1_000):
        await log.append([view(f"e{i}", USERS[i % 12]) for i in range(n, n + 1_000)])
    async with Worker(shared_feeds, log, store) as worker:
        await until(lambda: _holds(worker.feed.lag(), count))
        counts: list[int] = []

        async def full() -> bool:
            counts.append(len(await worker.feed.read("events", 2 * count)))
            return len(counts) > 20 and len(set(counts[-20:])) == 1

        await until(full)
        assert 0 < counts[-1] <= shared_feeds.held_max
        worker.work()
        await until(lambda: len(worker.seen["events"]) >= count)
        assert by_user(worker.seen["events"]) == {
            user: [f"e{i}" for i in range(n, count, 12)] for n, user in enumerate(USERS)
        }


async def test_a_feed_waits_for_a_log_that_is_away_and_says_so_once(
    shared_feeds: SharedFeeds, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    log = await shared_feeds.open()
    await log.append([view("e1")])
    async with Worker(shared_feeds, log, store) as worker:
        worker.work()
        await until(lambda: ids(worker.seen["events"]) == ["e1"])
        with caplog.at_level(logging.WARNING):
            async with shared_feeds.outage():
                began = time.monotonic()
                for call in (log.append([view("e2")]), log.ends("events"), log.totals("default")):
                    with pytest.raises(LogError):
                        await call
                assert time.monotonic() - began < 15.0
                await until(lambda: "interrupted" in caplog.text)
            await until(lambda: _appended(log, "e2"))
            await until(lambda: ids(worker.seen["events"])[-1:] == ["e2"])
        assert caplog.text.count("interrupted") == 1
        await until(lambda: worker.feed.owned == everything(log))
        await worker.feed.commit()


async def _appended(log: EventLog, event_id: str) -> bool:
    try:
        await log.append([view(event_id)])
    except LogError:
        return False
    return True


async def test_a_feed_can_be_stopped_while_the_log_is_away(
    shared_feeds: SharedFeeds, store: Store
) -> None:
    log = await shared_feeds.open()
    worker = Worker(shared_feeds, log, store)
    async with worker:
        await owning(worker, log)
        stopping = time.monotonic()
        async with shared_feeds.outage():
            await worker.__aexit__()
            assert time.monotonic() - stopping < 15.0
    assert worker.feed.owned == frozenset()
    assert worker.released == [everything(log)]


async def test_a_worker_whose_store_is_away_takes_partitions_when_it_is_back(
    shared_feeds: SharedFeeds, store: Store
) -> None:
    log = await shared_feeds.open()
    await log.append([view("e1")])
    worker = Worker(shared_feeds, log, store)
    taking, tried = worker.take, 0

    async def take(partitions: frozenset[int]) -> Any:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise LogError("the store is away")
        return await taking(partitions)

    worker.take = take  # type: ignore[method-assign]
    async with worker:
        assert ids(await waiting(worker, 1)) == ["e1"]
        assert tried >= 2


async def test_every_channel_is_followed(shared_feeds: SharedFeeds, store: Store) -> None:
    log: Any = await shared_feeds.open()
    async with Worker(shared_feeds, log, store) as worker:
        await owning(worker, log)
        for channel in CHANNELS:
            assert worker.feed.positions(channel) == dict.fromkeys(everything(log), 0)
            assert await log.backlog(channel) == 0
