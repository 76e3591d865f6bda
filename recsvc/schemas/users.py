"""Users: what is known of them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from recsvc.schemas.strict import Strict

__all__ = ["Erased", "UserOut", "UsersPage", "UsersParams"]


class ProfileOut(BaseModel):
    """A user's profile; weights in -1..1."""

    weights: dict[str, float]
    summary: str
    model: str
    updated_at: float
    cost_usd: float | None = Field(description="Of making it, in dollars; null: price unknown.")
    evidence: dict[str, list[str]] = Field(description="The events behind a weight, by its key.")


class InterestOut(BaseModel):
    """One interest of a user: its share, and the items and searches that it is made of."""

    share: float
    items: list[str]
    queries: list[str]


class UserOut(BaseModel):
    """What is known of a user."""

    user_id: str
    version: int
    position: str
    event_count: int
    counts: dict[str, int]
    waiting: int
    interests: list[str]
    profile: ProfileOut | None
    groups: list[InterestOut] = Field(description="What is liked, as groups of alike things.")
    recent: list[dict[str, Any]]
    vectors: dict[str, list[float]] | None = None


class Erased(BaseModel):
    """What was erased. `verified`: everything was looked for again, and nothing found."""

    user_id: str
    events: int
    verified: bool


class ListedUser(BaseModel):
    """One user of a page. ``last_event_at``: unix seconds of the newest event, by its timestamp."""

    user_id: str
    version: int
    event_count: int
    last_event_at: float | None


class UsersPage(BaseModel):
    """Users in a stable order, which is not that of time."""

    users: list[ListedUser]
    next_cursor: str | None


class UsersParams(Strict):
    """Parameters of `GET /v1/users`."""

    limit: int = Field(50, ge=1, le=100, description="How many users.")
    cursor: str | None = Field(None, max_length=64, description="`next_cursor` of a page before.")
