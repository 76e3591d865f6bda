"""Events: what became of those that were sent, and which came last."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from recsvc.schemas.strict import Strict

__all__ = ["EventsAccepted", "EventsApplied", "EventsParams", "NewestEvents", "NewestEventsParams"]


class EventsParams(Strict):
    """Parameters of `POST /v1/events`."""

    wait: Literal["applied"] | None = Field(
        None, description="`applied`: answer once the events are folded and visible."
    )
    timeout_s: float = Field(2.0, gt=0, le=30, description="How long `wait` waits.")


class EventsAccepted(BaseModel):
    """The events are durable."""

    accepted: int
    duplicates: int
    event_ids: list[str]
    position: str


class SyncResult(BaseModel):
    """What became of one event."""

    event_id: str
    success: bool
    latency_ms: float
    embedding_generated: bool
    profile_updated: bool = Field(description="Whether the user's vectors reflect it.")
    user_version: int
    error: str | None = None


class EventsApplied(EventsAccepted):
    """The events are folded and visible to queries."""

    results: list[SyncResult]


class NewestEventsParams(Strict):
    """Parameters of `GET /v1/events`."""

    limit: int = Field(50, ge=1, le=500, description="How many events.")


class LoggedEventOut(BaseModel):
    """One accepted event. ``accepted_at``: unix seconds; ``position``: its place in the log."""

    event_id: str
    user_id: str
    event_type: str
    item_id: str | None = None
    query: str | None = None
    value: float | None = None
    timestamp: float
    accepted_at: float
    position: str


class NewestEvents(BaseModel):
    """The events that were accepted last, the newest first."""

    events: list[LoggedEventOut]
