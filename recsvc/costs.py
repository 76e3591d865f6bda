"""What models cost: today, this month, for 1,000 events, and at other models' prices. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from indexer.provider.ledger import Usage, UserCost
from indexer.provider.prices import Price

__all__ = ["CostReport", "cost_report", "daily_costs", "days_before", "month_start"]

_EMBEDDING: Final = "embedding"
_LEAST_DAYS: Final = 1.0 / 24.0


@dataclass(frozen=True, slots=True)
class CostRow:
    """One model for one purpose, this month; dollars. ``failed``: calls that gave nothing."""

    purpose: str
    provider: str
    model: str
    calls: int
    failed: int
    tokens_in: int
    tokens_out: int
    latency_ms_mean: float
    today_usd: float
    month_usd: float
    unpriced_calls: int


@dataclass(frozen=True, slots=True)
class Alternative:
    """This month's LLM traffic at another model's price; ``ratio``: to what it did cost."""

    model: str
    month_usd: float
    ratio: float | None


@dataclass(frozen=True, slots=True)
class CostReport:
    """All figures of the month so far (UTC), in dollars."""

    day: str
    today_usd: float
    month_usd: float
    projected_month_usd: float
    events: int
    per_1000_events_usd: float | None
    unpriced_calls: int
    rows: Sequence[CostRow]
    alternatives: Sequence[Alternative]
    users: Sequence[UserCost] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON fields."""
        return asdict(self)

    def print(self, console: Console) -> None:
        """Print the tables."""
        table = Table("", "US dollars", title=f"Model calls, {self.day[:7]} (UTC)")
        per_1000 = self.per_1000_events_usd
        for name, value in (
            ("today", self.today_usd),
            ("month to date", self.month_usd),
            ("this month, projected", self.projected_month_usd),
            (f"per 1,000 events (of {self.events})", per_1000),
        ):
            table.add_row(name, "-" if value is None else _usd(value))
        console.print(table)
        rows = Table(Column("purpose", no_wrap=True), Column("model", overflow="fold"), "calls",
                     "failed", "tokens in, out", "ms", Column("today, month", no_wrap=True)
                     )  # fmt: skip
        for row in self.rows:
            month = "unknown" if row.unpriced_calls else _usd(row.month_usd)
            rows.add_row(
                *(row.purpose, Text(f"{row.model}\n({row.provider})")),  # names are no markup
                *(str(row.calls), str(row.failed), f"{row.tokens_in}\n{row.tokens_out}"),
                *(f"{row.latency_ms_mean:.0f}", f"{_usd(row.today_usd)}\n{month}"),
            )
        console.print(rows)
        if self.alternatives:
            other = Table("model", "month to date", "times", title="The same LLM traffic at ...")
            for one in self.alternatives:
                ratio = "-" if one.ratio is None else f"{one.ratio:.2f}"
                other.add_row(Text(one.model), _usd(one.month_usd), ratio)
            console.print(other)
        if self.users:
            users = Table("tenant", "user", "calls", "tokens in", "out", "month", title="Users")
            for who in self.users:
                counts = (who.calls, who.tokens_in, who.tokens_out)
                names = (Text(who.tenant), Text(who.user_id))
                users.add_row(*names, *map(str, counts), _usd(who.cost_usd))
            console.print(users)


def month_start(now: float) -> str:
    """Return the first day of the month of ``now`` (unix seconds, UTC) as an ISO date."""
    return datetime.fromtimestamp(now, UTC).date().replace(day=1).isoformat()


def days_before(now: float, days: int) -> str:
    """Return the day that was ``days`` before that of ``now`` (unix seconds, UTC)."""
    return (datetime.fromtimestamp(now, UTC).date() - timedelta(days=days)).isoformat()


def daily_costs(usage: Iterable[Usage]) -> list[dict[str, Any]]:
    """Sum up ``usage`` by day, purpose and model, in that order; dollars."""
    groups: dict[tuple[str, str, str], list[Usage]] = {}
    for one in usage:
        groups.setdefault((one.day, one.purpose, one.model), []).append(one)
    return [
        {
            "day": day,
            "purpose": purpose,
            "model": model,
            "calls": sum(one.calls for one in group),
            "tokens_in": sum(one.tokens_in for one in group),
            "tokens_out": sum(one.tokens_out for one in group),
            "cost_usd": sum(one.cost_usd for one in group),
        }
        for (day, purpose, model), group in sorted(groups.items())
    ]


def cost_report(
    usage: Iterable[Usage],
    events: Mapping[str, int],
    prices: Mapping[str, Price | None],
    now: float,
    users: Sequence[UserCost] = (),
) -> CostReport:
    """Sum up ``usage`` and ``events`` by day (ISO date, UTC), both from the month's first on."""
    usage = list(usage)
    day = datetime.fromtimestamp(now, UTC).date().isoformat()
    month_usd = sum(one.cost_usd for one in usage)
    count = sum(events.values())
    first = min([*(one.day for one in usage), *events, day])
    return CostReport(
        day=day,
        today_usd=sum(one.cost_usd for one in usage if one.day == day),
        month_usd=month_usd,
        projected_month_usd=_projected(month_usd, first, now),
        events=count,
        per_1000_events_usd=month_usd / count * 1000.0 if count else None,
        unpriced_calls=sum(one.unpriced for one in usage),
        rows=_rows(usage, day),
        alternatives=_alternatives(usage, prices),
        users=users,
    )


def _usd(amount: float) -> str:
    """Write dollars, with more digits where there are few."""
    return f"{amount:.4f}" if amount == 0.0 or amount >= 0.01 else f"{amount:.7f}"


def _projected(month_usd: float, first: str, now: float) -> float:
    """Carry the average day since the first one on to the month's end."""
    begun = datetime.combine(date.fromisoformat(first), datetime.min.time(), UTC)
    moment = datetime.fromtimestamp(now, UTC)
    past_days = max(_LEAST_DAYS, (moment - begun) / timedelta(days=1))
    following = (begun.replace(day=28) + timedelta(days=4)).replace(day=1)
    left_days = max(0.0, (following - moment) / timedelta(days=1))
    return month_usd * (past_days + left_days) / past_days


def _rows(usage: Sequence[Usage], day: str) -> list[CostRow]:
    kinds: dict[tuple[str, str, str], list[Usage]] = {}
    for one in usage:
        kinds.setdefault((one.purpose, one.provider, one.model), []).append(one)
    return [
        CostRow(
            *kind,
            calls=(calls := sum(one.calls for one in group)),
            failed=sum(one.calls for one in group if one.outcome != "ok"),
            tokens_in=sum(one.tokens_in for one in group),
            tokens_out=sum(one.tokens_out for one in group),
            latency_ms_mean=1e3 * sum(one.latency_s for one in group) / max(calls, 1),
            today_usd=sum(one.cost_usd for one in group if one.day == day),
            month_usd=sum(one.cost_usd for one in group),
            unpriced_calls=sum(one.unpriced for one in group),
        )
        for kind, group in sorted(kinds.items())
    ]


def _alternatives(usage: Sequence[Usage], prices: Mapping[str, Price | None]) -> list[Alternative]:
    chat = [one for one in usage if one.purpose != _EMBEDDING]
    tokens_in, tokens_out = sum(o.tokens_in for o in chat), sum(o.tokens_out for o in chat)
    paid = sum(one.cost_usd for one in chat)
    if not tokens_in:
        return []
    found = [
        Alternative(model, cost := price.of(tokens_in, tokens_out), cost / paid if paid else None)
        for model, price in prices.items()
        if price is not None and price.output > 0.0
    ]
    return sorted(found, key=lambda one: one.month_usd)
