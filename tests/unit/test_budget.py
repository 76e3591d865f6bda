"""Budgets a day. Time is a number that the test moves."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import BudgetSpent
from indexer.provider.budget import Budget
from indexer.provider.choices import Purpose
from indexer.provider.ledger import CallRecord, Ledger
from indexer.telemetry import Telemetry

pytestmark = pytest.mark.anyio

DAY_S = 86_400.0
NOON = 1_772_366_400.0


class Shop:
    """A budget over a ledger, and calls that cost what the test says."""

    def __init__(self, ledger: Ledger, telemetry: Telemetry, budget: Budget) -> None:
        self.ledger, self.telemetry, self.budget = ledger, telemetry, budget

    def spend(self, cost: float, user: str = "", purpose: Purpose = "profile") -> None:
        """Make a call that costs what it may cost."""
        with self.budget.reserving(purpose, cost, "shop", user):
            self.ledger.record(CallRecord(purpose, "one", "m", "ok", 0.1, 1, 1, cost, "shop", user))

    def warnings(self, state: str) -> float:
        return self.telemetry.total("budget_warnings", state)


class Clock:
    now = NOON

    def __call__(self) -> float:
        return self.now


Make = Callable[..., Shop]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def make(tmp_path: Path, clock: Clock) -> AsyncIterator[Make]:
    telemetry = Telemetry()
    ledger = await Ledger.open(tmp_path, telemetry, clock)

    def make_one(
        day: float | None = None, user: float | None = None, *, embeddings: bool = False
    ) -> Shop:
        limits: dict[str, Any] = {"day_usd": day, "user_day_usd": user, "embeddings": embeddings}
        return Shop(ledger, telemetry, Budget(ledger, telemetry, **limits))

    yield make_one
    await ledger.close()


async def test_without_a_budget_nothing_is_stopped(make: Make):
    shop = make()
    shop.spend(1e9, "u")
    assert shop.budget.state() == shop.budget.state("shop", "u") == "none"


async def test_the_state_is_ok_then_a_warning_then_spent(make: Make):
    shop = make(10.0)
    states = [shop.budget.state()]
    for cost in (7.99, 0.02, 1.98, 0.01):
        shop.spend(cost)
        states.append(shop.budget.state())
    assert states == ["ok", "ok", "warning", "warning", "spent"]


async def test_a_budget_can_be_used_to_its_last_cent_and_no_further(make: Make):
    shop = make(1.0)
    for _ in range(4):
        shop.spend(0.25)
    with pytest.raises(BudgetSpent, match=r"today's budget of \$1 for model calls is spent"):
        shop.spend(0.001)
    assert shop.budget.spent() == 1.0


async def test_who_is_stopped_may_try_again_later_but_not_at_once(make: Make):
    with pytest.raises(BudgetSpent) as caught:
        make(0.0).spend(0.001)
    assert (caught.value.fault, caught.value.again) == ("budget", False)


async def test_a_budget_of_nothing_is_spent_from_the_start(make: Make):
    assert make(0.0).budget.state() == "spent"
    assert make(None, 0.0).budget.state("shop", "u") == "spent"


# What may be spent is held back


async def test_calls_under_way_together_do_not_overrun(make: Make):
    shop = make(1.0)
    with ExitStack() as under_way:
        for _ in range(10):
            under_way.enter_context(shop.budget.reserving("profile", 0.1, "shop", "u"))
        with pytest.raises(BudgetSpent):
            shop.spend(0.1)


async def test_what_was_held_back_and_not_spent_is_free_again(make: Make):
    shop = make(1.0)
    for _ in range(20):
        with shop.budget.reserving("profile", 0.8, "shop", "u"):
            pass
    shop.spend(1.0)


@pytest.mark.parametrize("error", [KeyError, GeneratorExit])
async def test_a_call_that_fails_holds_nothing_back(make: Make, error: type[BaseException]):
    shop = make(1.0, 1.0)
    for _ in range(3):
        with pytest.raises(error), shop.budget.reserving("profile", 1.0, "shop", "u"):
            raise error
    shop.spend(1.0, "u")


async def test_one_call_that_is_refused_holds_nothing_back(make: Make):
    shop = make(1.0, 0.5)
    for _ in range(3):
        with pytest.raises(BudgetSpent):
            shop.spend(0.9, "u")
    shop.spend(0.5, "u")
    shop.spend(0.5, "v")


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 400), st.booleans()), max_size=40),
    st.integers(0, 1_000),
)
def test_whatever_is_under_way_no_budget_is_overrun(calls: list[tuple[int, int, bool]], limit: int):
    ledger = FakeLedger()
    budget = Budget(
        ledger, Telemetry(), day_usd=float(limit), user_day_usd=limit / 2, embeddings=True
    )  # type: ignore[arg-type]
    with ExitStack() as under_way:
        for user, most, ends in calls:
            holding = budget.reserving("profile", float(most), "shop", str(user))
            try:
                if ends:
                    with holding:
                        ledger.add(str(user), float(most))
                else:
                    under_way.enter_context(holding)
                    under_way.callback(ledger.add, str(user), float(most))
            except BudgetSpent:
                continue
    assert ledger.spent <= limit
    assert all(cost <= limit / 2 for cost in ledger.by.values())


class FakeLedger:
    """The sums of one day, without a file."""

    day = "2026-03-01"

    def __init__(self) -> None:
        self.by: dict[str, float] = {}

    @property
    def spent(self) -> float:
        return sum(self.by.values())

    def add(self, user: str, cost: float) -> None:
        self.by[user] = self.by.get(user, 0.0) + cost

    def spent_today(self, purposes: tuple[str, ...]) -> float:
        return self.spent

    def spent_by_today(self, tenant: str, user_id: str) -> float:
        return self.by.get(user_id, 0.0)


# Users


async def test_a_users_budget_stops_that_user_only(make: Make):
    shop = make(10.0, 1.0)
    shop.spend(1.0, "u")
    with pytest.raises(BudgetSpent, match=r"\$1 for this user's model calls"):
        shop.spend(0.1, "u")
    shop.spend(1.0, "v")
    shop.spend(5.0)
    states = [shop.budget.state("shop", name) for name in ("u", "v", "w")]
    assert states == ["spent", "spent", "ok"]
    assert shop.budget.state() == "ok"
    assert shop.budget.state("other", "u") == "ok"


async def test_calls_about_one_user_under_way_together_do_not_overrun(make: Make):
    shop = make(None, 1.0)
    with (
        shop.budget.reserving("profile", 0.6, "shop", "u"),
        shop.budget.reserving("summary", 0.3, "shop", "u"),
        shop.budget.reserving("summary", 0.6, "other", "u"),
        pytest.raises(BudgetSpent),
    ):
        shop.spend(0.2, "u")


# Embeddings


async def test_embeddings_neither_count_nor_stop_unless_told(make: Make):
    shop = make(1.0)
    shop.spend(50.0, purpose="embedding")
    assert (shop.budget.spent(), shop.budget.state()) == (0.0, "ok")
    shop.spend(1.0)
    shop.spend(50.0, purpose="embedding")


async def test_embeddings_count_and_stop_when_told(make: Make):
    shop = make(1.0, embeddings=True)
    shop.spend(0.9, purpose="embedding")
    for purpose in ("embedding", "profile", "summary"):
        with pytest.raises(BudgetSpent):
            shop.spend(0.2, purpose=purpose)  # type: ignore[arg-type]


# Told


async def test_each_state_is_logged_and_counted_once_a_day(
    make: Make, clock: Clock, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING)
    shop = make(10.0)
    for day in (1, 2, 3):
        for _ in range(10):
            shop.spend(1.0)
        for _ in range(5):
            with pytest.raises(BudgetSpent):
                shop.spend(1.0)
        assert (shop.warnings("warning"), shop.warnings("spent")) == (day, day)
        clock.now += DAY_S
    said = [record.getMessage() for record in caplog.records]
    assert said[:2] == [
        "budget warning: $8.0000 of $10 spent today",
        "budget spent: $10.0000 of $10 spent today",
    ]
    assert len(said) == 6


async def test_a_day_that_begins_above_eighty_percent_is_told_of_too(make: Make, clock: Clock):
    shop = make(1.0)
    for day in (1, 2):
        shop.spend(0.9)
        assert shop.warnings("warning") == day
        clock.now += DAY_S


async def test_each_call_that_is_stopped_is_counted_by_its_budget(make: Make):
    shop = make(1.0, 0.5)
    for user, cost in (("u", 0.6), ("u", 0.7), ("v", 2.0)):
        with pytest.raises(BudgetSpent):
            shop.spend(cost, user)
    assert shop.telemetry.by_labels("budget_stops") == {("user",): 2, ("day",): 1}


# Days


async def test_the_next_day_is_free_again(make: Make, clock: Clock):
    shop = make(1.0, 0.5)
    shop.spend(0.5, "u")
    shop.spend(0.5, "v")
    for user in ("u", "w"):
        with pytest.raises(BudgetSpent):
            shop.spend(0.1, user)
    clock.now += DAY_S
    assert shop.budget.state() == shop.budget.state("shop", "u") == "ok"
    shop.spend(0.5, "u")


async def test_a_day_on_which_a_call_was_stopped_shows_as_spent(make: Make, clock: Clock):
    shop = make(1.0)
    shop.spend(0.7)
    with pytest.raises(BudgetSpent):
        shop.spend(0.4)
    assert shop.budget.state() == "spent"
    clock.now += DAY_S
    assert shop.budget.state() == "ok"
