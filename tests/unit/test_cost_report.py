"""What models cost, summed up."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from indexer.provider.ledger import Usage, UserCost
from indexer.provider.prices import LIST_PRICES, Price
from recsvc.costs import CostReport, cost_report, daily_costs, days_before, month_start

NOON_OF_THE_10TH = datetime(2026, 4, 10, 12, tzinfo=UTC).timestamp()
PRICES = {"cheap": Price(1.0, 1.0), "dear": Price(10.0, 10.0), "embed": Price(0.1, 0.0)}


def used(day: int = 10, cost: float = 1.0, **fields: Any) -> Usage:
    known: dict[str, Any] = {
        "day": f"2026-04-{day:02}", "purpose": "profile", "provider": "one", "model": "cheap",
        "outcome": "ok", "calls": 1, "tokens_in": 1_000, "tokens_out": 100, "cost_usd": cost,
        "unpriced": 0, "latency_s": 0.5,
    }  # fmt: skip
    return Usage(**{**known, **fields})


def report(
    *usage: Usage,
    events: dict[str, int] | None = None,
    prices: dict[str, Price | None] | None = None,
    now: float = NOON_OF_THE_10TH,
    users: tuple[UserCost, ...] = (),
) -> CostReport:
    return cost_report(usage, events or {}, PRICES if prices is None else prices, now, users)


def printed(one: CostReport) -> str:
    console = Console(file=io.StringIO(), width=200)
    one.print(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("now", "start"),
    [
        (NOON_OF_THE_10TH, "2026-04-01"),
        (datetime(2026, 4, 1, tzinfo=UTC).timestamp(), "2026-04-01"),
        (datetime(2026, 4, 1, tzinfo=UTC).timestamp() - 1, "2026-03-01"),
    ],
)
def test_a_month_begins_on_its_first_day_utc(now: float, start: str):
    assert month_start(now) == start


# Sums


def test_today_is_part_of_the_month():
    found = report(used(9, 2.0), used(10, 0.5), used(10, 0.25, purpose="embedding"))
    assert (found.day, found.today_usd, found.month_usd) == ("2026-04-10", 0.75, 2.75)


def test_nothing_used_is_no_cost():
    found = report()
    assert (found.today_usd, found.month_usd, found.projected_month_usd) == (0.0, 0.0, 0.0)
    assert (found.rows, found.alternatives, found.per_1000_events_usd) == ([], [], None)


def test_a_thousand_events_cost_the_months_share():
    found = report(used(9, 3.0), events={"2026-04-09": 400, "2026-04-10": 200})
    assert found.events == 600
    assert found.per_1000_events_usd == pytest.approx(5.0)


def test_calls_of_unknown_price_are_shown_as_such():
    found = report(used(cost=0.0, unpriced=3), used(cost=1.0), used(cost=0.0, unpriced=1))
    assert found.unpriced_calls == found.rows[0].unpriced_calls == 4


def test_a_row_is_a_model_of_a_provider_for_a_purpose():
    found = report(
        used(9, 1.0, calls=3, latency_s=0.9),
        used(10, 2.0, calls=1, latency_s=0.3),
        used(10, 0.0, calls=2, outcome="timeout", tokens_in=0, tokens_out=0, latency_s=10.0),
        used(10, 4.0, model="dear"),
        used(10, 8.0, provider="two"),
        used(10, 16.0, purpose="summary"),
    )
    assert [(row.purpose, row.provider, row.model) for row in found.rows] == [
        ("profile", "one", "cheap"),
        ("profile", "one", "dear"),
        ("profile", "two", "cheap"),
        ("summary", "one", "cheap"),
    ]
    first = found.rows[0]
    assert (first.calls, first.failed, first.tokens_in, first.tokens_out) == (6, 2, 2_000, 200)
    assert (first.today_usd, first.month_usd) == (2.0, 3.0)
    assert first.latency_ms_mean == pytest.approx(11_200 / 6)


costs = st.lists(st.tuples(st.integers(1, 10), st.floats(0, 1e4)), max_size=20)


@given(costs)
def test_rows_add_up_to_the_month_and_today_is_never_more_than_it(spent: list[tuple[int, float]]):
    found = report(*(used(day, cost, model=f"m{day % 3}") for day, cost in spent))
    assert sum(row.month_usd for row in found.rows) == pytest.approx(found.month_usd)
    assert sum(row.today_usd for row in found.rows) == pytest.approx(found.today_usd)
    assert found.today_usd <= found.month_usd * (1 + 1e-9)


# Projection


def test_the_average_day_is_carried_on_to_the_months_end():
    found = report(used(1, 4.0), used(10, 5.5))  # 9.5 of 30 days
    assert found.projected_month_usd == pytest.approx(30.0)


def test_the_average_begins_with_the_first_day_of_use():
    found = report(used(9, 1.0), used(10, 2.0))  # 1.5 days, 20.5 to come
    assert found.projected_month_usd == pytest.approx(3.0 + 20.5 * 2.0)


def test_days_with_events_and_no_cost_count_as_days_of_use():
    found = report(used(10, 2.0), events={"2026-04-09": 5})
    assert found.projected_month_usd == pytest.approx(2.0 + 20.5 * 2.0 / 1.5)


def test_the_first_minute_of_a_month_projects_no_fortune():
    now = datetime(2026, 4, 1, 0, 0, 1, tzinfo=UTC).timestamp()
    assert report(used(1, 0.01), now=now).projected_month_usd <= 0.01 * 24 * 31


@pytest.mark.parametrize(("year", "month", "days"), [(2026, 2, 28), (2028, 2, 29), (2026, 12, 31)])
def test_months_have_their_own_lengths(year: int, month: int, days: int):
    now = datetime(year, month, 2, tzinfo=UTC).timestamp()
    first = replace(used(), day=f"{year}-{month:02}-01")
    found = report(first, now=now)
    assert found.projected_month_usd == pytest.approx(days * 1.0)


@given(costs, st.integers(0, 20 * 86_400))
def test_a_projection_is_never_less_than_what_was_spent(
    spent: list[tuple[int, float]], later_s: int
):
    found = report(*(used(day, cost) for day, cost in spent), now=NOON_OF_THE_10TH + later_s)
    assert found.projected_month_usd >= found.month_usd * (1 - 1e-9)


# Other models


def test_the_same_llm_traffic_is_priced_at_other_models_cheapest_first():
    chat = used(cost=4.0, tokens_in=1_000_000, tokens_out=1_000_000)
    embedding = used(cost=7.0, purpose="embedding", model="embed", tokens_in=10**9, tokens_out=0)
    found = report(chat, embedding).alternatives
    assert [(one.model, one.month_usd, one.ratio) for one in found] == [
        ("cheap", 2.0, 0.5),
        ("dear", 20.0, 5.0),
    ]


def test_a_model_costs_as_much_as_itself():
    price = LIST_PRICES["gpt-4.1"]
    traffic = used(model="gpt-4.1", cost=price.of(1_000, 100))
    (same,) = [
        one
        for one in report(traffic, prices=dict(LIST_PRICES)).alternatives
        if one.model == "gpt-4.1"
    ]
    assert same.ratio == pytest.approx(1.0)


def test_models_of_unknown_price_and_embeddings_are_no_alternatives():
    prices = {"new": None, "embed": Price(0.1, 0.0), "cheap": Price(1.0, 1.0)}
    assert [one.model for one in report(used(), prices=prices).alternatives] == ["cheap"]


def test_without_llm_traffic_there_are_no_alternatives():
    assert report(used(purpose="embedding")).alternatives == []


def test_traffic_that_cost_nothing_has_no_ratio():
    assert {one.ratio for one in report(used(cost=0.0)).alternatives} == {None}


# Shown


def test_a_report_is_json_as_it_is():
    who = UserCost("shop", "u", 1, 2, 3, 0.5)
    fields = json.loads(json.dumps(report(used(), users=(who,)).as_dict()))
    assert fields["rows"][0]["model"] == "cheap"
    assert fields["alternatives"][0] == {"model": "cheap", "month_usd": 0.0011, "ratio": 0.0011}
    assert fields["users"][0]["user_id"] == "u"


def test_what_is_printed_has_all_figures():
    text = printed(report(used(9, 3.0), used(10, 1.25), events={"2026-04-09": 500}))
    for shown in ("2026-04", "1.2500", "4.2500", "8.5000", "cheap", "dear", "profile"):
        assert shown in text


def test_an_unknown_cost_is_not_printed_as_nothing():
    assert "unknown" in printed(report(used(cost=0.0, unpriced=1)))


@pytest.mark.parametrize("name", ["[/red]", "[bold]llama", "llama3:8b", ":tea:", "a[0]"])
def test_names_are_printed_as_they_are(name: str):
    who = UserCost(name, name, 1, 2, 3, 0.5)
    text = printed(
        report(used(model=name, provider=name), prices={name: Price(1.0, 1.0)}, users=(who,))
    )
    assert text.count(name) == 5


def test_an_empty_report_can_be_printed():
    assert "0.0000" in printed(report())


def test_each_day_is_summed_up_by_purpose_and_model():
    rows = daily_costs(
        [
            used(9, 0.5),
            used(10, 1.0, outcome="failed", provider="two"),
            used(10, 0.25, model="dear"),
            used(10, 2.0),
        ]
    )
    assert [(row["day"][-2:], row["model"], row["calls"], row["cost_usd"]) for row in rows] == [
        ("09", "cheap", 1, 0.5),
        ("10", "cheap", 2, 3.0),
        ("10", "dear", 1, 0.25),
    ]
    assert {row["tokens_in"] for row in rows} == {1_000, 2_000}
    assert daily_costs([]) == []


def test_days_are_counted_back_over_the_end_of_a_month():
    assert days_before(NOON_OF_THE_10TH, 0) == "2026-04-10"
    assert days_before(NOON_OF_THE_10TH, 10) == "2026-03-31"
