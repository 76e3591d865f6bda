"""What goes over the wire: parameters, bodies, and answers as the OpenAPI document shows them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from indexer.domain.ids import is_id
from indexer.wire import ItemBody
from indexer.wire_fields import NOT_BLANK, Features, Id
from recsvc.filters import FILTERS_MAX
from recsvc.recommend import Options, Session
from recsvc.request_rules import RULES_MAX, request_rules

__all__ = [
    "Erased",
    "EventsAccepted",
    "EventsApplied",
    "EventsParams",
    "ItemOut",
    "ItemPut",
    "ItemsResult",
    "ListParams",
    "Recommendations",
    "SessionIn",
    "SessionRecommendations",
    "SimilarItems",
    "Stats",
    "UserOut",
    "UserParams",
]

_EXCLUDE_MAX = 1_000
_SESSION_ITEMS_MAX = 100


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ListParams(_Strict):
    """Parameters of every list of items."""

    limit: int = Field(10, ge=1, le=100, description="How many items.")
    cursor: str | None = Field(None, max_length=64, description="`next_cursor` of a page before.")
    filter: list[str] = Field(
        default_factory=list,
        max_length=FILTERS_MAX,
        description="`category=books`, `category=books,toys`, `category!=books`, `price<=50`, "
        "`tags~rust`; repeat for and.",
    )
    exclude: list[str] = Field(
        default_factory=list,
        max_length=_EXCLUDE_MAX,
        description="Item ids to leave out; repeat, or separate by commas.",
    )
    diversity: float = Field(0.0, ge=0, le=1, description="0: best first; 1: most varied.")
    explain: bool = Field(False, description="Add reasons whose contributions sum to the score.")

    @field_validator("exclude", "negative_items", check_fields=False)
    @classmethod
    def _ids(cls, value: list[str]) -> list[str]:
        ids = [item_id for part in value for item_id in part.split(",", _EXCLUDE_MAX) if item_id]
        if len(ids) > _EXCLUDE_MAX:
            raise ValueError(f"{len(ids)} or more ids, at most {_EXCLUDE_MAX}")
        for item_id in ids:
            if not is_id(item_id):
                raise ValueError(f"{item_id[:60]!r} is not an item id")
        return ids

    def options(self) -> Options:
        """Return what these parameters ask for."""
        return Options(
            limit=self.limit,
            cursor=self.cursor,
            filters=tuple(self.filter),
            exclude=tuple(self.exclude),
            diversity=self.diversity,
            explain=self.explain,
        )


class RankedParams(ListParams):
    """Parameters of lists that are ranked, rather than only near to something."""

    novelty: float = Field(0.0, ge=0, le=1, description="How much less popular items should be.")
    boost: list[str] = Field(
        default_factory=list,
        max_length=RULES_MAX,
        description="`brand=acme^1.5`: multiply the scores of what a filter matches; repeat.",
    )
    cap: list[str] = Field(
        default_factory=list,
        max_length=RULES_MAX,
        description="`brand:2`: at most so many of one value of a feature; repeat.",
    )
    pin: list[str] = Field(
        default_factory=list,
        max_length=RULES_MAX,
        description="`p1:1`: an item at a position, counted from 1; repeat.",
    )
    at: float | None = Field(
        None, gt=0, lt=1e11, description="As of when, in unix seconds; default: now."
    )

    def options(self) -> Options:
        """Return what these parameters ask for."""
        return replace(
            super().options(),
            novelty=self.novelty,
            rules=request_rules(self.boost, self.cap, self.pin),
            at=self.at,
        )


class UserParams(RankedParams):
    """Parameters of a user's recommendations."""

    negative_items: list[str] = Field(
        default_factory=list,
        max_length=_SESSION_ITEMS_MAX,
        description="Item ids that are not wanted, nor what is like them.",
    )

    exclude_seen: bool = Field(True, description="Leave out what the user has touched.")
    profile_weight: float | None = Field(
        None, ge=0, le=1, description="Share of the profile in the blend; default by settings."
    )
    after: str | None = Field(
        None, max_length=32, description="A position: wait (2 s at most) until it is folded."
    )

    def options(self) -> Options:
        """Return what these parameters ask for."""
        return replace(
            super().options(),
            exclude_seen=self.exclude_seen,
            profile_weight=self.profile_weight,
            negative_items=tuple(self.negative_items),
        )


class SessionIn(RankedParams):
    """A visitor without an identity; at least one of the first four is needed for a taste."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"items": ["book-17", "book-4"], "limit": 5},
                {"text": "space opera with humour", "weights": {"category=science-fiction": 0.8}},
            ]
        }
    )

    items: list[Id] = Field(default_factory=list, max_length=_SESSION_ITEMS_MAX)
    negative_items: list[Id] = Field(default_factory=list, max_length=_SESSION_ITEMS_MAX)
    text: Annotated[str, Field(max_length=1000, pattern=NOT_BLANK)] | None = None
    weights: dict[
        Annotated[str, Field(min_length=1, max_length=128)], Annotated[float, Field(ge=-1, le=1)]
    ] = Field(default_factory=dict, max_length=50, description="`feature=value` to -1..1.")

    def session(self) -> Session:
        """Return what the visitor has shown."""
        return Session(
            tuple(dict.fromkeys(self.items)),
            tuple(dict.fromkeys(self.negative_items)),
            self.text,
            tuple(self.weights.items()),
        )


class EventsParams(_Strict):
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


class Recommended(BaseModel):
    """One recommended item; with `explain` the contributions of its reasons sum to its score."""

    item_id: str
    score: float
    features: dict[str, Any]
    reasons: list[dict[str, Any]]


class SessionRecommendations(BaseModel):
    """Recommendations for a session."""

    generated_at: str
    source: Literal["live", "cache"]
    strategy: Literal["personal", "popular", "session"]
    degraded: list[str]
    items: list[Recommended]
    next_cursor: str | None


class Recommendations(SessionRecommendations):
    """Recommendations for a user."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "ada",
                    "user_version": 17,
                    "position": "4211",
                    "generated_at": "2026-11-23T12:00:00.000Z",
                    "source": "live",
                    "strategy": "personal",
                    "degraded": [],
                    "items": [
                        {
                            "item_id": "book-17",
                            "score": 0.82,
                            "features": {"title": "Catching Fire"},
                            "reasons": [
                                {
                                    "kind": "event",
                                    "event_id": "e1",
                                    "event_type": "purchase",
                                    "item_id": "book-1",
                                    "contribution": 0.7,
                                },
                                {
                                    "kind": "profile",
                                    "feature": "category=young-adult",
                                    "weight": 1.0,
                                    "contribution": 0.12,
                                },
                            ],
                        }
                    ],
                    "next_cursor": None,
                }
            ]
        }
    )

    user_id: str
    user_version: int
    position: str


class SimilarItems(BaseModel):
    """The nearest items."""

    item_id: str
    generated_at: str
    items: list[Recommended]
    next_cursor: str | None


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


class Stats(BaseModel):
    """The service in numbers; steps in milliseconds."""

    uptime_s: float
    totals: dict[str, int]
    events: dict[str, int]
    success_rate: float
    queue_depth: int
    steps: dict[str, dict[str, float]]
    provider: list[dict[str, Any]] = Field(description="Calls, tokens, dollars since the start.")
    providers: list[dict[str, Any]] = Field(description="Breakers and limits of each endpoint.")
    costs: dict[str, Any] = Field(description="Today and this month, and the budget.")
    profiles: dict[str, int] = Field(description="By what came of it: asked, counted, ...")
    ranking: dict[str, Any] = Field(description="What the ranking's weights have come to.")
    failures: dict[str, int]
