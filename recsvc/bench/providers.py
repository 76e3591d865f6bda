"""The same calls to several (base URL, model) pairs, side by side: `recsvc bench-provider`."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from indexer.domain.profile import Evidence
from indexer.domain.state import Entry
from indexer.errors import ProviderError, SettingsError
from indexer.profiling.parse import claims_of, read_answer
from indexer.profiling.prompt import PROFILE_TOKENS, SCHEMA, profile_messages
from indexer.provider.budget import Budget
from indexer.provider.chat import ChatModel
from indexer.provider.choices import Choice, ProviderSpec
from indexer.provider.credentials import fixed_source
from indexer.provider.endpoint import Endpoint, Job, http_client
from indexer.provider.ledger import Ledger
from indexer.provider.prices import Price
from indexer.provider.tokens import estimate
from indexer.provider.vectors import numbers_of
from indexer.telemetry import Telemetry
from recsvc.bench.catalogue import new_item
from recsvc.bench.report import Latency

__all__ = ["ProviderReport", "Target", "bench_providers", "parse_target", "print_reports"]

Purpose = Literal["embedding", "profile"]

_TEXTS_EACH: Final = 8
_EVENTS_EACH: Final = 20
_UNIT_WITHIN: Final = 1e-3
_DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Target:
    """One model at one endpoint."""

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)


@dataclass(slots=True)
class ProviderReport:
    """What one target did. ``usable``: the share of its replies that the service could use."""

    base_url: str
    model: str
    purpose: str
    calls: int
    success_rate: float
    usable: float
    too_many: int
    latency: Latency
    cost_per_1000_usd: float | None
    outcomes: Mapping[str, int]
    dimension: int | None = None
    unit_length: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def parse_target(text: str, environment: Mapping[str, str]) -> Target:
    """Read ``BASE_URL,MODEL`` or ``BASE_URL,MODEL,KEY_VARIABLE``.

    Raises:
        SettingsError: it is something else, or the variable is not set.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) not in (2, 3) or not parts[0].startswith(("http://", "https://")) or not parts[1]:
        raise SettingsError(
            f"--target {text!r}; accepted: BASE_URL,MODEL or BASE_URL,MODEL,KEY_VARIABLE, such as "
            "https://api.openai.com/v1,text-embedding-3-small,OPENAI_API_KEY"
        )
    key = environment.get(parts[2], "") if len(parts) == 3 else ""
    if len(parts) == 3 and not key:
        raise SettingsError(f"--target {text!r}: the variable {parts[2]} is not set")
    return Target(parts[0], parts[1], key or None)


async def bench_providers(
    targets: Sequence[Target],
    purpose: Purpose,
    prices: Mapping[str, Price | None],
    *,
    calls: int,
    concurrency: int,
    timeout_s: float,
) -> list[ProviderReport]:
    """Make the same ``calls`` to each target, one target after the other, without retries."""
    reports = []
    for target in targets:
        with tempfile.TemporaryDirectory(prefix="recsvc-bench-") as folder:
            bench = _Bench(target, purpose, prices.get(target.model), calls, concurrency, timeout_s)
            reports.append(await bench.play(Path(folder)))
    return reports


class _Bench:
    def __init__(
        self,
        target: Target,
        purpose: Purpose,
        price: Price | None,
        calls: int,
        concurrency: int,
        timeout_s: float,
    ) -> None:
        self._target, self._purpose, self._price = target, purpose, price
        self._calls, self._concurrency = calls, concurrency
        self._spec = ProviderSpec(
            "target",
            target.base_url,
            timeout_s=timeout_s,
            deadline_s=timeout_s,
            max_retries=0,
            concurrency=concurrency,
        )
        self._samples: list[float] = []
        self._usable = 0
        self._dimensions: set[int] = set()
        self._lengths: list[float] = []

    async def play(self, folder: Path) -> ProviderReport:
        telemetry = Telemetry()
        ledger = await Ledger.open(folder, telemetry)
        key = self._target.api_key
        source = fixed_source(key) if key is not None else None
        async with http_client({"target": self._spec}) as client:
            endpoint = Endpoint(self._spec, client, source, ledger, telemetry)
            budget = Budget(ledger, telemetry, day_usd=None, user_day_usd=None, embeddings=False)
            choice = Choice("target", self._target.model, self._price)
            chat = ChatModel("profile", [choice], {"target": endpoint}, budget)
            numbers = iter(range(self._calls))

            async def caller() -> None:
                for n in numbers:
                    await self._call(n, endpoint, chat)

            await asyncio.gather(*(caller() for _ in range(self._concurrency)))
        usage = await ledger.usage("")
        await ledger.close()
        outcomes = {one.outcome: one.calls for one in usage}
        cost = sum(one.cost_usd for one in usage) if self._price is not None else None
        return ProviderReport(
            base_url=self._target.base_url,
            model=self._target.model,
            purpose=self._purpose,
            calls=self._calls,
            success_rate=outcomes.get("ok", 0) / self._calls,
            usable=self._usable / self._calls,
            too_many=outcomes.get("status_429", 0),
            latency=Latency.of(self._samples),
            cost_per_1000_usd=None if cost is None else cost / self._calls * 1000.0,
            outcomes=outcomes,
            dimension=self._dimensions.pop() if len(self._dimensions) == 1 else None,
            unit_length=_all_unit(self._lengths),
        )

    async def _call(self, n: int, endpoint: Endpoint, chat: ChatModel) -> None:
        start = time.perf_counter()
        try:
            if self._purpose == "embedding":
                await self._embed(n, endpoint)
            else:
                await self._profile(n, chat)
        except ProviderError:
            return  # counted in the ledger, by its fault
        self._samples.append(time.perf_counter() - start)

    async def _embed(self, n: int, endpoint: Endpoint) -> None:
        texts = [_text(n * _TEXTS_EACH + place) for place in range(_TEXTS_EACH)]
        body = {"model": self._target.model, "input": texts}
        job = Job("embedding", self._target.model, self._price, sum(map(estimate, texts)))
        rows = await endpoint.post("embeddings", body, _rows, job)
        for row in rows:
            self._dimensions.add(len(row))
            self._lengths.append(float(np.linalg.norm(row)))
        self._usable += len(rows) == len(texts)

    async def _profile(self, n: int, chat: ChatModel) -> None:
        prompt = profile_messages(_evidence(n), "", _DAY_S)
        answer = await chat.ask(prompt, answer_tokens=PROFILE_TOKENS, schema=SCHEMA)
        self._usable += bool(claims_of(read_answer(answer.text)))


def print_reports(reports: Sequence[ProviderReport], console: Console) -> None:
    """Print the table, a column a target."""
    table = Table("")
    for one in reports:
        table.add_column(f"{one.model}\n{one.base_url}", overflow="fold")
    for name, cell in _CELLS.items():
        table.add_row(name, *(cell(one) for one in reports))
    console.print(table)


def _cost(report: ProviderReport) -> str:
    cost = report.cost_per_1000_usd
    return "unknown price" if cost is None else f"{cost:.4f}"


def _unit(report: ProviderReport) -> str:
    return {None: "-", True: "yes", False: "no"}[report.unit_length]


_CELLS: Final[Mapping[str, Callable[[ProviderReport], str]]] = {
    "p50 ms": lambda report: f"{report.latency.p50:.0f}",
    "p95 ms": lambda report: f"{report.latency.p95:.0f}",
    "p99 ms": lambda report: f"{report.latency.p99:.0f}",
    "calls": lambda report: str(report.calls),
    "success rate": lambda report: f"{report.success_rate:.1%}",
    "usable replies": lambda report: f"{report.usable:.1%}",
    "answered 429": lambda report: str(report.too_many),
    "US dollars per 1,000 calls": _cost,
    "dimension": lambda report: str(report.dimension or "-"),
    "unit length": _unit,
}


def _rows(reply: Mapping[str, Any]) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    data = reply.get("data")
    try:
        return [np.asarray(numbers_of(row["embedding"]), dtype=np.float64) for row in data or []]
    except (KeyError, TypeError, ValueError) as exc:
        raise ProviderError(f"no vectors: {exc}", fault="no_vector") from exc


def _all_unit(lengths: Sequence[float]) -> bool | None:
    return all(abs(one - 1.0) < _UNIT_WITHIN for one in lengths) if lengths else None


def _text(n: int) -> str:
    features = new_item(n)["features"]
    return f"{features['title']}. {features['category']}, {', '.join(features['tags'])}"


def _evidence(n: int) -> list[Evidence]:
    found = []
    for place in range(_EVENTS_EACH):
        item = new_item(n * _EVENTS_EACH + place)
        features = item["features"]
        facets = (f"category={features['category']}", *(f"tags={t}" for t in features["tags"]))
        entry = Entry(60.0 * place, f"event-{place}", "click", 1.0, f"item:{item['item_id']}")
        found.append(Evidence(entry, facets, features["title"]))
    return found
