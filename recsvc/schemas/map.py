"""Maps: items as places in a plane, and where a user is among them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from recsvc.explore.layout import PLACED_MAX
from recsvc.schemas.strict import Strict

__all__ = ["CatalogueMap", "MapParams", "UserMap"]


class MapParams(Strict):
    """Parameters of `GET /v1/map`."""

    feature: str | None = Field(
        None, max_length=64, description="Whose value each item is told with, to colour it by."
    )
    limit: int = Field(1500, ge=1, le=PLACED_MAX, description="How many items.")


class Place(BaseModel):
    """A place on the map; both between -1 and 1."""

    x: float
    y: float


class PlacedItem(Place):
    """One item. `label`: its title, or its id; `value`: of the feature that was asked for."""

    item_id: str
    label: str
    value: Any


class CatalogueMap(BaseModel):
    """Items where like is near like. `sampled`: there are more."""

    items: list[PlacedItem]
    feature: str | None
    sampled: bool
    variance: list[float] = Field(
        description="The shares of the vectors' variance along the two axes that the map began as."
    )


class PlacedInterest(Place):
    """One interest of a user; its share, and the items it is made of."""

    share: float
    items: list[str]


class RecentItem(Place):
    """One of the user's newest events, where its item is."""

    item_id: str
    label: str
    event_type: str
    timestamp: float


class UserMap(BaseModel):
    """A user on the map of the catalogue."""

    interests: list[PlacedInterest]
    taste: Place | None = Field(description="All that is liked, as one.")
    profile: Place | None
    recent: list[RecentItem] = Field(description="The newest first.")
