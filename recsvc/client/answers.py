"""What the service answers, as frozen values. Pure.

Fields that this version does not know are passed over, so that an older client reads a newer
service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, TypeVar, cast

__all__ = [
    "ROWS_MAX",
    "Erased",
    "Interest",
    "Item",
    "ItemsResult",
    "PendingItem",
    "Profile",
    "Pushed",
    "Recommendations",
    "Recommended",
    "RejectedItem",
    "Sent",
    "SessionRecommendations",
    "SimilarItems",
    "Stats",
    "SyncResult",
    "Update",
    "User",
    "merged",
    "read_items_result",
    "read_recommendations",
    "read_sent",
    "read_session",
    "read_similar",
    "read_update",
    "read_user",
    "reader",
]

ROWS_MAX: Final = 1_000
"""Pending and rejected items that one result lists at most; the counts are of all."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """What became of one event."""

    event_id: str
    success: bool
    latency_ms: float
    embedding_generated: bool
    profile_updated: bool
    user_version: int
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """Events that are durable. ``results`` is None unless they were waited for, and in time."""

    accepted: int
    duplicates: int
    event_ids: list[str]
    position: str
    results: tuple[SyncResult, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommended:
    """One item of a list; a higher score is better."""

    item_id: str
    score: float
    features: dict[str, Any]
    reasons: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecommendations:
    """Recommendations for a visitor without an identity."""

    generated_at: str
    source: str
    strategy: str
    degraded: list[str]
    items: tuple[Recommended, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendations(SessionRecommendations):
    """Recommendations for a user."""

    user_id: str
    user_version: int
    position: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarItems:
    """The nearest items; scores are cosines."""

    item_id: str
    generated_at: str
    items: tuple[Recommended, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An item as stored. ``pending``: why it is not embedded yet."""

    item_id: str
    features: dict[str, Any]
    text: str | None = None
    available_from: float | None = None
    available_until: float | None = None
    pending: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingItem:
    """An item that is kept, and indexed as soon as it can be embedded."""

    item_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedItem:
    """An item that is refused; ``line`` is its place among those sent, from 1."""

    line: int
    item_id: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemsResult:
    """What became of items; at most `ROWS_MAX` pending and rejected ones are listed."""

    stored: int = 0
    unchanged: int = 0
    pending: tuple[PendingItem, ...] = ()
    pending_count: int = 0
    rejected: tuple[RejectedItem, ...] = ()
    rejected_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A user's profile: weights of ``feature=value`` in -1..1, and the events behind them."""

    weights: dict[str, float]
    summary: str
    model: str
    updated_at: float
    cost_usd: float | None
    evidence: dict[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interest:
    """One interest of a user: its share, and what it is made of."""

    share: float
    items: list[str]
    queries: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """What is known of a user."""

    user_id: str
    version: int
    position: str
    event_count: int
    counts: dict[str, int]
    waiting: int
    interests: list[str]
    profile: Profile | None
    groups: tuple[Interest, ...]
    recent: list[dict[str, Any]]
    vectors: dict[str, list[float]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What was erased. ``verified``: it was all looked for again, and nothing found."""

    user_id: str
    events: int
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The service in numbers; steps in milliseconds. ``instance``: of the process that answered."""

    instance: str = ""
    uptime_s: float
    totals: dict[str, int]
    events: dict[str, int]
    success_rate: float
    queue_depth: int
    steps: dict[str, dict[str, float]]
    steps_lately: dict[str, dict[str, float]] = field(default_factory=dict)
    distributions: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    live: dict[str, int] = field(default_factory=dict)
    webhooks: dict[str, int] = field(default_factory=dict)
    provider: list[dict[str, Any]]
    providers: list[dict[str, Any]]
    costs: dict[str, Any]
    profiles: dict[str, int]
    ranking: dict[str, Any]
    failures: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """One item of an update."""

    item_id: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A user's recommendations after a change."""

    user_id: str
    recommendations: tuple[Pushed, ...]
    user_version: int
    sequence: int
    timestamp: float
    strategy: str | None = None


def reader(kind: type[T]) -> Callable[[Mapping[str, Any]], T]:
    """Return what reads an answer of plain fields."""
    return lambda body: _built(kind, body)


def read_sent(body: Mapping[str, Any]) -> Sent:
    """Read the answer to events."""
    rows = body.get("results")
    return _built(Sent, body, results=None if rows is None else _each(SyncResult, rows))


def read_recommendations(body: Mapping[str, Any]) -> Recommendations:
    """Read a user's recommendations."""
    return _built(Recommendations, body, items=_each(Recommended, body["items"]))


def read_session(body: Mapping[str, Any]) -> SessionRecommendations:
    """Read a visitor's recommendations."""
    return _built(SessionRecommendations, body, items=_each(Recommended, body["items"]))


def read_similar(body: Mapping[str, Any]) -> SimilarItems:
    """Read similar items."""
    return _built(SimilarItems, body, items=_each(Recommended, body["items"]))


def read_items_result(body: Mapping[str, Any], before: int = 0) -> ItemsResult:
    """Read what became of items that follow ``before`` others."""
    pending = _each(PendingItem, body["pending"])
    rejected = _each(RejectedItem, body["rejected"])
    return _built(
        ItemsResult,
        body,
        pending=pending,
        pending_count=len(pending),
        rejected=tuple(replace(row, line=row.line + before) for row in rejected),
    )


def merged(first: ItemsResult, second: ItemsResult) -> ItemsResult:
    """Return the result of both."""
    return ItemsResult(
        stored=first.stored + second.stored,
        unchanged=first.unchanged + second.unchanged,
        pending=(first.pending + second.pending)[:ROWS_MAX],
        pending_count=first.pending_count + second.pending_count,
        rejected=(first.rejected + second.rejected)[:ROWS_MAX],
        rejected_count=first.rejected_count + second.rejected_count,
    )


def read_user(body: Mapping[str, Any]) -> User:
    """Read what is known of a user."""
    profile = body["profile"]
    return _built(
        User,
        body,
        profile=None if profile is None else _built(Profile, profile),
        groups=_each(Interest, body["groups"]),
    )


def read_update(body: Mapping[str, Any]) -> Update:
    """Read an update."""
    return _built(Update, body, recommendations=_each(Pushed, body["recommendations"]))


def _each(kind: type[T], rows: Iterable[Mapping[str, Any]]) -> tuple[T, ...]:
    return tuple(_built(kind, row) for row in rows)


def _built(kind: type[T], body: Mapping[str, Any], **read: object) -> T:
    known = [field.name for field in fields(cast(Any, kind))]
    return kind(**{name: body[name] for name in known if name in body} | read)
