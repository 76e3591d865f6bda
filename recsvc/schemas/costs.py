"""What models cost."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from recsvc.schemas.strict import Strict

__all__ = ["CostsOut", "CostsParams"]


class CostsParams(Strict):
    """Parameters of `GET /v1/costs`."""

    days: int = Field(30, ge=1, le=366, description="How many days (UTC), today included.")


class DayCost(BaseModel):
    """What one model was asked for one purpose on one day; dollars."""

    day: str
    purpose: str
    model: str
    calls: int
    tokens_in: int
    tokens_out: int
    cost_usd: float


class DayEvents(BaseModel):
    """How many events were accepted on a day."""

    day: str
    events: int


class CostsOut(BaseModel):
    """The month so far (UTC), in dollars, and each of the last days."""

    day: str
    today_usd: float
    month_usd: float
    projected_month_usd: float
    events: int
    per_1000_events_usd: float | None
    unpriced_calls: int
    rows: list[dict[str, Any]]
    alternatives: list[dict[str, Any]]
    users: list[dict[str, Any]]
    budget: dict[str, Any]
    daily: list[DayCost]
    events_daily: list[DayEvents]
