"""The catalogue: items, pages of it, and its features."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from indexer.wire import ItemBody
from indexer.wire_fields import NOT_BLANK, Features, Id
from recsvc.filters import FILTERS_MAX
from recsvc.schemas.strict import Strict

__all__ = ["BrowseParams", "CatalogueFeatures", "ItemOut", "ItemPut", "ItemsPage", "ItemsResult"]


class ItemPut(ItemBody):
    """An item whose id is in the path."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"features": {"title": "Blue kettle", "category": "kitchen"}}]
        }
    )

    item_id: Id | None = Field(None, description="That of the path, if it is given at all.")


class ItemOut(BaseModel):
    """An item as stored. `pending`: why it is not embedded yet."""

    item_id: str
    features: Features
    text: str | None = None
    available_from: float | None = None
    available_until: float | None = None
    pending: str | None = None


class PendingItem(BaseModel):
    """An item that is kept, and indexed as soon as it can be embedded."""

    item_id: str
    reason: str


class RejectedItem(BaseModel):
    """An item that is refused; nothing of it was stored. `line` counts from 1."""

    line: int
    item_id: str | None
    reason: str


class ItemsResult(BaseModel):
    """What became of the items."""

    stored: int
    unchanged: int
    pending: list[PendingItem]
    rejected: list[RejectedItem] = Field(description="At most 1,000 of them.")
    rejected_count: int


class BrowseParams(Strict):
    """Parameters of `GET /v1/items`."""

    limit: int = Field(50, ge=1, le=100, description="How many items.")
    cursor: str | None = Field(None, max_length=64, description="`next_cursor` of a page before.")
    filter: list[str] = Field(
        default_factory=list,
        max_length=FILTERS_MAX,
        description="`category=books`, `price<=50`; repeat for and. As of recommendations.",
    )
    q: Annotated[str, Field(min_length=1, max_length=1000, pattern=NOT_BLANK)] | None = Field(
        None, description="What to look for: words of an id or a title first, then what is alike."
    )


class ListedItem(BaseModel):
    """One item of a page. `pending`: why it is not embedded yet."""

    item_id: str
    features: dict[str, Any]
    pending: str | None


class ItemsPage(BaseModel):
    """Items in a stable order, or the best matches first."""

    items: list[ListedItem]
    next_cursor: str | None


class FeatureValue(BaseModel):
    """One value of a feature, and how many of the items looked at have it."""

    value: str | bool
    count: int


class FeatureOut(BaseModel):
    """One filterable feature. `values`: of a keyword or bool; `min`, `max`: of numbers."""

    name: str
    kind: Literal["keyword", "number", "bool"]
    values: list[FeatureValue] = Field(description="The most frequent 50, the most frequent first.")
    min: float | None
    max: float | None


class CatalogueFeatures(BaseModel):
    """What the catalogue can be filtered by. `sampled`: counts are of a part of the items."""

    features: list[FeatureOut]
    items: int = Field(description="How many items were looked at.")
    sampled: bool
