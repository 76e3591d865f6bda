"""From a log to neighbourhoods: a crash between the fold and the counts changes no count."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexer.domain.events import DEFAULT_WEIGHTS, Event
from indexer.domain.fold import Arrival, FoldRules, fold
from indexer.domain.neighbours import Neighbourhood, NeighbourRules
from indexer.domain.state import UserState
from indexer.domain.trail import TRAIL_MAX
from indexer.pairs import PairCounter
from indexer.ports import EventRecord
from indexer.stores.neighbours import Neighbours
from indexer.stores.schema import LogIdentity, prepare
from indexer.stores.server import ServerStore
from indexer.streams.sqlite.log import SqliteLog

pytestmark = pytest.mark.anyio

DAY_S = 86_400.0
NOW_S = 1_700_000_000.0
RULES = NeighbourRules(half_life_recent_s=7 * DAY_S)
FOLD = FoldRules(DEFAULT_WEIGHTS, half_life_long_s=30 * DAY_S, half_life_short_s=DAY_S)
USERS, ITEMS = 4, 12


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    """A log with nothing in it."""
    opened = await SqliteLog.open(tmp_path / "events.sqlite", queue_max=10_000)
    yield opened
    await opened.close()


class Counting:
    """Users folded in memory, and a store of neighbourhoods that a crash leaves as it was."""

    def __init__(self, log: SqliteLog, store: ServerStore) -> None:
        self.log, self.store = log, store
        self.states: dict[str, UserState] = {}
        self.restart()

    def restart(self) -> None:
        """Lose what was not flushed."""
        self.neighbours = Neighbours(self.store, RULES, {"heat": 7 * DAY_S, "hot": DAY_S})
        self.pairs = PairCounter(self.log, self.neighbours, DEFAULT_WEIGHTS, RULES)

    def fold(self, records: Sequence[EventRecord]) -> list[tuple[EventRecord, UserState]]:
        """Fold records; return each with the state that it met."""
        seen = []
        for record in records:
            user_id = record.event.user_id
            state = self.states.get(user_id) or UserState("t", user_id)
            seen.append((record, state))
            arrival = Arrival(record.offset, record.event)
            self.states[user_id] = fold(state, [arrival], {}, FOLD)
        return seen

    async def apply(self, records: Sequence[EventRecord]) -> None:
        await self.pairs.count(self.fold(records))

    async def hoods(self) -> dict[str, Neighbourhood]:
        await self.neighbours.flush()
        return await self.neighbours.hoods("t", [f"i{n}" for n in range(300)])


async def counting(log: SqliteLog) -> Counting:
    store = ServerStore.local()
    await prepare(store, dim=8, embedder="e", log=LogIdentity("sqlite", 1))
    return Counting(log, store)


def some_events(rng: np.random.Generator, n: int) -> list[Event]:
    """Make events of a few users on a few items, of all types that take something up, or back."""
    kinds = [*DEFAULT_WEIGHTS, "click", "purchase"]
    kinds.remove("search")
    events = []
    for number in range(n):
        kind = str(rng.choice(kinds))
        value = float(rng.integers(1, 6)) if kind == "rate" else None
        user, item = f"u{rng.integers(USERS)}", f"i{rng.integers(ITEMS)}"
        at = NOW_S + float(rng.integers(0, 30 * 86_400))
        events.append(Event("t", user, f"e{number}", kind, at, item, value=value))
    return events


def click(n: int, item_id: str, user_id: str = "u", **fields: object) -> Event:
    return replace(Event("t", user_id, f"e{n}", "click", NOW_S + n, item_id), **fields)


async def appended(log: SqliteLog, events: Sequence[Event]) -> list[EventRecord]:
    await log.append(events)
    return await log.read(0, 0, 10_000)


def assert_same(one: dict[str, Neighbourhood], other: dict[str, Neighbourhood]) -> None:
    assert one.keys() == other.keys()
    for item_id, hood in one.items():
        twin = other[item_id]
        assert (hood.offsets, hood.counts) == (twin.offsets, twin.counts), item_id
        for column in ("dims", "total", "recent", "times"):
            assert np.array_equal(getattr(hood, column), getattr(twin, column)), item_id


@pytest.mark.parametrize("seed", range(4))
async def test_events_whose_counts_a_crash_lost_are_counted_as_without_it(
    log: SqliteLog, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    records = await appended(log, some_events(rng, 300))
    straight = await counting(log)
    await straight.apply(records)
    crashed = await counting(log)
    flushed, folded = 120, 220
    await crashed.apply(records[:flushed])
    await crashed.neighbours.flush()
    await crashed.apply(records[flushed:folded])
    crashed.restart()  # the states are kept, the counts since the flush are not
    await crashed.apply(records[flushed:folded])
    await crashed.apply(records[folded:])
    assert_same(await crashed.hoods(), await straight.hoods())


async def test_batches_of_any_size_count_the_same(log: SqliteLog) -> None:
    records = await appended(log, some_events(np.random.default_rng(9), 200))
    at_once, by_and_by = await counting(log), await counting(log)
    await at_once.apply(records)
    for start in range(0, len(records), 7):
        await by_and_by.apply(records[start : start + 7])
        await by_and_by.neighbours.flush()
    assert_same(await at_once.hoods(), await by_and_by.hoods())


async def test_a_trail_longer_than_a_page_of_the_log_is_read_back_in_pages(log: SqliteLog) -> None:
    # Views of one item over and over are many events and one step.
    events = [click(n, f"i{n}") for n in range(20)]
    events += [click(n, f"i{20 + n // 350}", event_type="view") for n in range(20, 1_000)]
    events += [click(1_000, "i30")]
    records = await appended(log, events)
    straight, crashed = await counting(log), await counting(log)
    await straight.apply(records)
    crashed.fold(records)
    await crashed.apply(records[-1:])
    last = (await crashed.hoods())["i30"]
    assert len(last.dims) == 23
    expected = (await straight.hoods())["i30"]
    assert np.array_equal(last.dims, expected.dims)
    assert np.array_equal(last.total, expected.total)


async def test_of_a_very_long_trail_the_newest_steps_are_read_back(log: SqliteLog) -> None:
    records = await appended(log, [click(n, f"i{n % 150}") for n in range(10 * TRAIL_MAX)])
    straight, crashed = await counting(log), await counting(log)
    await straight.pairs.count(straight.fold(records)[-5:])
    crashed.fold(records)
    await crashed.apply(records[-5:])
    assert_same(await crashed.hoods(), await straight.hoods())


async def test_the_trail_of_another_user_or_tenant_is_not_read(log: SqliteLog) -> None:
    events = [
        click(0, "i0", "other"),
        click(1, "i1", tenant="other"),
        click(2, "i2"),
        click(3, "i3"),
    ]
    records = [r for r in await appended(log, events) if r.event.tenant == "t"]
    crashed = await counting(log)
    crashed.fold(records)
    await crashed.apply(records)
    hoods = await crashed.hoods()
    assert {item_id: len(hood.dims) for item_id, hood in hoods.items()} == {
        "i0": 0,
        "i2": 1,
        "i3": 1,
    }


async def test_what_is_disliked_or_rated_low_is_not_counted(log: SqliteLog) -> None:
    events = [
        click(0, "i0"),
        click(1, "i1", event_type="dislike"),
        click(2, "i2", event_type="rate", value=2.0),
        click(3, "i3"),
    ]
    counted = await counting(log)
    await counted.apply(await appended(log, events))
    hoods = await counted.hoods()
    assert {item_id: hood.counts.total for item_id, hood in hoods.items()} == {
        "i0": 1.0,
        "i2": 0.0,
        "i3": 1.0,
    }
    assert len(hoods["i3"].dims) == 2  # a book that was rated badly was read all the same
    assert (await counted.neighbours.crowd("t")).counted == 2.0


async def test_an_event_that_was_retracted_before_it_came_is_not_counted(log: SqliteLog) -> None:
    undone = Event("t", "u", "no", "retract", NOW_S, retracts="e1")
    counted = await counting(log)
    await counted.apply(await appended(log, [undone, click(1, "i1"), click(2, "i2")]))
    hoods = await counted.hoods()
    assert {item_id: len(hood.dims) for item_id, hood in hoods.items()} == {"i2": 0}
