"""What calls cost, kept by day. Time is a number that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from indexer.errors import LogError
from indexer.provider.ledger import CallRecord, Ledger, Usage, read_dearest, read_usage, today
from indexer.telemetry import Telemetry

pytestmark = pytest.mark.anyio

DAY_S = 86_400.0
EVER = "0000-00-00"


class Clock:
    """Noon of 1 March 2026, until it is moved."""

    def __init__(self) -> None:
        self.now = 1_772_366_400.0

    def __call__(self) -> float:
        return self.now


Open = Callable[[], Awaitable[Ledger]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
async def ledger(tmp_path: Path, clock: Clock, telemetry: Telemetry) -> AsyncIterator[Ledger]:
    async with opened(tmp_path, clock, telemetry) as one:
        yield one


@asynccontextmanager
async def opened(
    folder: Path, clock: Clock, telemetry: Telemetry | None = None
) -> AsyncIterator[Ledger]:
    ledger = await Ledger.open(folder, telemetry or Telemetry(), clock)
    try:
        yield ledger
    finally:
        await ledger.close()


def call(purpose: str = "profile", cost: float | None = 0.5, **fields: Any) -> CallRecord:
    fields = {"outcome": "ok", "latency_s": 0.25, "tokens_in": 100, "tokens_out": 10, **fields}
    return CallRecord(purpose, "one", "gpt-4.1", cost_usd=cost, **fields)


def about(user: str, cost: float = 0.5, tenant: str = "shop") -> CallRecord:
    return call(cost=cost, tenant=tenant, user_id=user)


def content_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def total(ledger: Ledger) -> float:
    return sum(one.cost_usd for one in await ledger.usage(EVER))


# Sums


async def test_calls_of_one_kind_add_up(ledger: Ledger):
    for _ in range(3):
        ledger.record(call())
    assert await ledger.usage(EVER) == [
        Usage("2026-03-01", "profile", "one", "gpt-4.1", "ok", 3, 300, 30, 1.5, 0, 0.75)
    ]


async def test_kinds_are_kept_apart_and_users_are_not(ledger: Ledger):
    for one in (call(), call("summary"), call(outcome="timeout"), about("u"), about("v")):
        ledger.record(one)
    kinds = {(one.purpose, one.outcome): one.calls for one in await ledger.usage(EVER)}
    assert kinds == {("profile", "ok"): 3, ("profile", "timeout"): 1, ("summary", "ok"): 1}


async def test_a_call_of_unknown_price_is_counted_as_such(ledger: Ledger):
    ledger.record(call(cost=None))
    ledger.record(call(cost=0.0))
    (found,) = await ledger.usage(EVER)
    assert (found.calls, found.unpriced, found.cost_usd) == (2, 1, 0.0)


async def test_all_that_is_counted_is_in_the_metrics_too(ledger: Ledger, telemetry: Telemetry):
    ledger.record(call())
    ledger.record(call(outcome="timeout"))
    labels = ("profile", "one", "gpt-4.1")
    assert telemetry.total("provider_calls", *labels, "timeout") == 1
    assert telemetry.total("provider_tokens", *labels, "in") == 200
    assert telemetry.total("provider_tokens", *labels, "out") == 20
    assert telemetry.total("provider_cost_usd", *labels) == 1.0


async def test_events_add_up_by_day(ledger: Ledger, clock: Clock):
    ledger.count_events(3)
    ledger.count_events(4)
    clock.now += DAY_S
    ledger.count_events(1)
    assert await ledger.events(EVER) == {"2026-03-01": 7, "2026-03-02": 1}
    assert await ledger.events("2026-03-02") == {"2026-03-02": 1}


async def test_usage_is_told_from_a_day_on(ledger: Ledger, clock: Clock):
    for _ in range(3):
        ledger.record(call())
        clock.now += DAY_S
    assert [one.day for one in await ledger.usage("2026-03-02")] == ["2026-03-02", "2026-03-03"]


# What budgets ask


async def test_what_was_spent_today_is_known_at_once_by_purpose_and_user(ledger: Ledger):
    ledger.record(about("u"))
    ledger.record(about("u", 0.25))
    ledger.record(call("embedding", 3.0))
    assert ledger.spent_today(("profile", "summary")) == 0.75
    assert ledger.spent_today(("embedding",)) == 3.0
    assert ledger.spent_by_today("shop", "u") == 0.75
    assert ledger.spent_by_today("shop", "v") == ledger.spent_by_today("other", "u") == 0.0


async def test_a_new_day_begins_at_nothing(ledger: Ledger, clock: Clock):
    clock.now += DAY_S / 2 - 1  # the last second of the day
    ledger.record(about("u"))
    assert (ledger.day, ledger.spent_today(("profile",))) == ("2026-03-01", 0.5)
    clock.now += 1
    assert (ledger.day, ledger.spent_today(("profile",))) == ("2026-03-02", 0.0)
    assert ledger.spent_by_today("shop", "u") == 0.0
    ledger.record(about("u"))
    assert [one.day for one in await ledger.usage(EVER)] == ["2026-03-01", "2026-03-02"]


# Closed and opened again


async def test_what_was_recorded_last_is_on_the_disk_after_the_end(tmp_path: Path, clock: Clock):
    async with opened(tmp_path, clock) as ledger:
        for _ in range(500):
            ledger.record(call(cost=0.001))
        ledger.count_events(9)
    async with opened(tmp_path, clock) as ledger:
        (found,) = await ledger.usage(EVER)
        assert (found.calls, found.tokens_in) == (500, 50_000)
        assert found.cost_usd == pytest.approx(0.5)
        assert await ledger.events(EVER) == {"2026-03-01": 9}


async def test_the_sums_of_budgets_survive_too(tmp_path: Path, clock: Clock):
    async with opened(tmp_path, clock) as ledger:
        for one in (about("u"), about("v", 0.25), call("embedding", 3.0), call("summary", 1.0)):
            ledger.record(one)
    async with opened(tmp_path, clock) as ledger:
        assert ledger.spent_today(("profile",)) == 0.75
        assert ledger.spent_today(("embedding", "summary")) == 4.0
        assert ledger.spent_by_today("shop", "u") == 0.5
        ledger.record(about("u"))
        assert ledger.spent_by_today("shop", "u") == 1.0


async def test_the_sums_of_yesterday_are_not_those_of_today(tmp_path: Path, clock: Clock):
    async with opened(tmp_path, clock) as ledger:
        ledger.record(about("u"))
    clock.now += DAY_S
    async with opened(tmp_path, clock) as ledger:
        assert ledger.spent_today(("profile",)) == ledger.spent_by_today("shop", "u") == 0.0
        assert await total(ledger) == 0.5


# Names


async def test_a_user_is_forgotten_and_the_sums_stay(ledger: Ledger, tmp_path: Path):
    for one in (about("u"), about("u"), about("v"), about("u", tenant="other"), call()):
        ledger.record(one)
    before = await ledger.usage(EVER)
    await ledger.forget_user("shop", "u")
    assert await ledger.usage(EVER) == before
    assert not await ledger.knows_user("shop", "u")
    assert await ledger.knows_user("shop", "v")
    assert await ledger.knows_user("other", "u")
    assert ledger.spent_by_today("shop", "u") == 0.0
    assert ledger.spent_today(("profile",)) == 2.5


async def test_forgetting_is_repeated_and_unknown_users_are_forgotten_without_harm(ledger: Ledger):
    for _ in range(3):
        ledger.record(about("u"))
        await ledger.forget_user("shop", "u")
        await ledger.forget_user("shop", "u")
        await ledger.forget_user("shop", "nobody")
    assert await total(ledger) == 1.5


async def test_a_forgotten_user_is_nowhere_in_the_files(tmp_path: Path, clock: Clock):
    async with opened(tmp_path, clock) as ledger:
        ledger.record(about("somebody-in-particular"))
        await ledger.forget_user("shop", "somebody-in-particular")
    assert b"somebody-in-particular" not in content_of(tmp_path)


async def test_names_are_kept_for_sixty_two_days(tmp_path: Path, clock: Clock):
    async with opened(tmp_path, clock) as ledger:
        ledger.record(about("u"))
        ledger.record(call())
    clock.now += 62 * DAY_S
    async with opened(tmp_path, clock) as ledger:
        assert await ledger.knows_user("shop", "u")
    clock.now += DAY_S
    async with opened(tmp_path, clock) as ledger:
        assert not await ledger.knows_user("shop", "u")
        assert await total(ledger) == 1.0


async def test_names_are_dropped_in_a_service_that_never_stops_too(ledger: Ledger, clock: Clock):
    ledger.record(about("u"))
    for _ in range(63):
        assert await ledger.knows_user("shop", "u")
        clock.now += DAY_S
        ledger.record(about("v"))
    assert not await ledger.knows_user("shop", "u")
    assert await ledger.knows_user("shop", "v")
    assert await total(ledger) == 32.0


# Read from outside


async def test_it_is_read_while_another_has_it_open(ledger: Ledger, tmp_path: Path):
    ledger.record(call())
    ledger.count_events(2)
    own = await ledger.usage(EVER)
    assert read_usage(tmp_path, EVER) == (own, {"2026-03-01": 2})
    ledger.record(call())
    await ledger.usage(EVER)
    assert read_usage(tmp_path, EVER)[0][0].calls == 2


async def test_the_dearest_users_come_first(ledger: Ledger, tmp_path: Path):
    for one in (about("a", 0.1), about("b", 0.3), about("c", 0.2), about("a", 0.25), call()):
        ledger.record(one)
    await ledger.usage(EVER)
    dearest = read_dearest(tmp_path, EVER, 2)
    assert [(one.user_id, one.calls) for one in dearest] == [("a", 2), ("b", 1)]
    assert dearest[0].cost_usd == pytest.approx(0.35)
    assert read_dearest(tmp_path, "2026-03-02", 2) == []
    assert await ledger.dearest(dearest[0].tenant, EVER, 2) == dearest
    assert await ledger.dearest("another", EVER, 2) == []


def test_without_a_ledger_there_is_nothing_to_read_and_none_is_made(tmp_path: Path):
    with pytest.raises(LogError, match=r"there is no ledger .*costs\.sqlite"):
        read_usage(tmp_path, EVER)
    assert list(tmp_path.iterdir()) == []


async def test_a_broken_file_is_refused_by_name(tmp_path: Path, clock: Clock):
    (tmp_path / "costs.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(LogError, match=r"costs\.sqlite cannot be read"):
        read_usage(tmp_path, EVER)
    with pytest.raises(LogError, match=r"costs\.sqlite cannot be used"):
        await Ledger.open(tmp_path, Telemetry(), clock)


async def test_a_folder_that_is_not_there_is_refused(tmp_path: Path, clock: Clock):
    with pytest.raises(LogError, match="cannot be used"):
        await Ledger.open(tmp_path / "none", Telemetry(), clock)


@pytest.mark.parametrize(
    ("now", "day"),
    [(0.0, "1970-01-01"), (1_772_323_199.9, "2026-02-28"), (1_772_323_200.0, "2026-03-01")],
)
def test_days_are_utc(now: float, day: str):
    assert today(now) == day
