"""How the service is doing, in numbers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

__all__ = ["Stats"]


class Distribution(BaseModel):
    """How long a step took: `counts[n]` times up to `edges_ms[n]` and above the edge before; the
    last count is of what is above all."""

    edges_ms: list[float]
    counts: list[int]


class LiveCounts(BaseModel):
    """Who listens to this process, and to how many users."""

    listeners: int
    users: int


class Stats(BaseModel):
    """The service in numbers; steps in milliseconds."""

    instance: str = Field(description="Tells the process that answered from others; random.")
    uptime_s: float
    totals: dict[str, int]
    events: dict[str, int]
    success_rate: float
    queue_depth: int
    steps: dict[str, dict[str, float]]
    steps_lately: dict[str, dict[str, float]] = Field(description="The same of the last minute.")
    distributions: dict[str, Distribution] = Field(
        description="Durations of each step since the start; take differences for a while of it."
    )
    live: LiveCounts
    provider: list[dict[str, Any]] = Field(description="Calls, tokens, dollars since the start.")
    providers: list[dict[str, Any]] = Field(description="Breakers and limits of each endpoint.")
    costs: dict[str, Any] = Field(description="Today and this month, and the budget.")
    profiles: dict[str, int] = Field(description="By what came of it: asked, counted, ...")
    ranking: dict[str, Any] = Field(description="What the ranking's weights have come to.")
    webhooks: dict[str, int] = Field(description="Deliveries, by what came of them.")
    failures: dict[str, int]
