"""Counts and timings: one object a process, read by `/metrics` and `/v1/stats`."""

from __future__ import annotations

import math
import secrets
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["STEPS", "Telemetry"]

STEPS: Final = (
    "append",
    "embed",
    "learn",
    "fold",
    "upsert",
    "pairs",
    "invalidate",
    "profile",
    "profile_llm",
    "pipeline",
    "freshness",
    "recommend",
)
"""`append`: accepted to durable. `pipeline`: durable to folded, stored and announced, a
micro-batch. `freshness`: durable to visible in queries, an event. The others are what they say."""

_COUNTERS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "events": ("Events by outcome.", ("outcome",)),
    "items": ("Catalogue changes by outcome.", ("outcome",)),
    "provider_calls": (
        "Requests sent to providers, by outcome.",
        ("purpose", "provider", "model", "outcome"),
    ),
    "provider_tokens": (
        "Tokens sent (in) and received (out).",
        ("purpose", "provider", "model", "direction"),
    ),
    "provider_cost_usd": ("Dollars, at the prices set.", ("purpose", "provider", "model")),
    "provider_bad_rows": ("Rows of embeddings that were no vectors.", ("fault",)),
    "provider_keys": ("Readings of a provider's key.", ("provider", "outcome")),
    "budget_warnings": ("Days on which a budget reached 80 % (warning) or 100 %.", ("state",)),
    "budget_stops": ("Calls that a budget stopped.", ("budget",)),
    "profiles": ("Profiles by what came of it.", ("outcome",)),
    "embedded_texts": ("Texts embedded.", ("model",)),
    "learned": (
        "Events foretold to learn the ranking, by whether it was among the candidates.",
        ("outcome",),
    ),
    "answers": ("Recommendation answers.", ("source", "strategy")),
    "webhooks": (
        "Webhook deliveries: delivered, tries that failed, those given up (dead), those that "
        "another stands for (coalesced), those that there was no room for (dropped).",
        ("outcome",),
    ),
    "failures": ("Failures that were survived.", ("where",)),
}
_BUCKETS = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5,
)  # fmt: skip
_SAMPLES = 10_000


class Telemetry:
    """Prometheus metrics, and of each step the newest samples for exact percentiles.

    ``instance``: a random text that tells this process from others, and from itself restarted.
    """

    def __init__(self) -> None:
        self.instance = secrets.token_hex(4)
        self.started_at = time.time()
        self._registry = CollectorRegistry()
        self._steps = Histogram(
            "recsvc_step_seconds",
            "Duration of each step.",
            ["step"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._observers = {step: self._steps.labels(step).observe for step in STEPS}
        self._newest = {step: _Newest() for step in STEPS}
        self._counters = {
            name: Counter(f"recsvc_{name}", text, labels, registry=self._registry)
            for name, (text, labels) in _COUNTERS.items()
        }
        self._totals: defaultdict[str, defaultdict[tuple[str, ...], float]] = defaultdict(
            lambda: defaultdict(float)
        )
        self.lag = Gauge(
            "recsvc_queue_depth", "Logged events not folded yet.", registry=self._registry
        )

    def observe(self, step: str, seconds: float) -> None:
        """Record one duration of ``step``, one of `STEPS`."""
        self._observers[step](seconds)
        self._newest[step].add(seconds)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Record how long the block takes, unless it raises."""
        start = time.perf_counter()
        yield
        self.observe(step, time.perf_counter() - start)

    def count(self, name: str, *labels: str, n: float = 1) -> None:
        """Add ``n`` to the counter ``name`` under ``labels``, in the order it declares them."""
        self._counters[name].labels(*labels).inc(n)
        self._totals[name][labels] += n

    def total(self, name: str, *labels: str) -> float:
        """Sum the counter ``name`` over all label values that begin with ``labels``."""
        found = self._totals[name].items()
        return sum(n for values, n in found if values[: len(labels)] == labels)

    def by_labels(self, name: str) -> dict[tuple[str, ...], float]:
        """Return the counter ``name`` by label values."""
        return dict(self._totals[name])

    def percentiles(self, past_s: float = math.inf) -> dict[str, dict[str, float]]:
        """Return count and p50, p95, p99 in milliseconds of the newest 10,000 of each step.

        ``past_s``: only of those that were taken so lately.
        """
        summary = {}
        for step, newest in self._newest.items():
            taken = newest.since(time.monotonic() - past_s)
            if taken.size:
                ms = np.percentile(taken * 1e3, [50, 95, 99])
                p50, p95, p99 = (round(float(value), 3) for value in ms)
                summary[step] = {"count": taken.size, "p50": p50, "p95": p95, "p99": p99}
        return summary

    def distributions(self) -> dict[str, dict[str, list[float]]]:
        """Return of each step that was taken how many durations since the start were up to each
        edge, in milliseconds, and above the one before; the last count is of what is above all.
        """
        below: dict[str, list[float]] = {}
        for metric in self._steps.collect():
            for sample in metric.samples:  # by rising edge, each with all that are below it
                if sample.name.endswith("_bucket"):
                    below.setdefault(sample.labels["step"], []).append(sample.value)
        edges_ms = [edge * 1e3 for edge in _BUCKETS]
        return {
            step: {
                "edges_ms": edges_ms,
                "counts": np.diff(counts, prepend=0.0).astype(int).tolist(),
            }
            for step, counts in below.items()
            if counts[-1]
        }

    def exposition(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self._registry)


class _Newest:
    """The newest durations of a step, in seconds, each with the time it was taken at."""

    def __init__(self) -> None:
        self._times, self._seconds = np.zeros(_SAMPLES), np.zeros(_SAMPLES)
        self._count = 0

    def add(self, seconds: float) -> None:
        place = self._count % _SAMPLES
        self._times[place], self._seconds[place] = time.monotonic(), seconds
        self._count += 1

    def since(self, at: float) -> NDArray[np.float64]:
        """Return those taken at ``at`` or later, in no order."""
        return self._seconds[: self._count][self._times[: self._count] >= at]
