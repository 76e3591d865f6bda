"""Lists of items: what can be asked of them, and how they are answered."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from indexer.domain.ids import is_id
from indexer.wire_fields import NOT_BLANK, Id
from recsvc.filters import FILTERS_MAX
from recsvc.recommend import Options, Session
from recsvc.request_rules import RULES_MAX, request_rules
from recsvc.schemas.strict import Strict

__all__ = [
    "ListParams",
    "Recommendations",
    "SessionIn",
    "SessionRecommendations",
    "SimilarItems",
    "UserParams",
]

_EXCLUDE_MAX = 1_000
_SESSION_ITEMS_MAX = 100


class ListParams(Strict):
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
