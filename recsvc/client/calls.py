"""What is sent for each thing that can be asked. Pure.

Every call may be repeated: what is put, deleted or erased stays so, and events carry ids.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Generic, Required, TypedDict, TypeVar, cast
from urllib.parse import quote

from indexer.domain.ids import new_event_id
from recsvc.client import answers

__all__ = [
    "Call",
    "Event",
    "Fields",
    "ItemFields",
    "ListParams",
    "NewItem",
    "RankedParams",
    "SessionParams",
    "UserParams",
    "dumped",
    "identified",
]

CHUNK_ROWS: Final = 500
CHUNK_BYTES: Final = 4 * 1024 * 1024

_PUT_S = 60.0
_ERASE_S = 30.0
_JSON, _LINES = "application/json", "application/x-ndjson"

T = TypeVar("T")


class Event(TypedDict, total=False):
    """One thing a user did; see docs/api.md."""

    user_id: Required[str]
    event_type: Required[str]
    event_id: str
    item_id: str
    item_features: dict[str, Any]
    value: float
    query: str
    timestamp: float | str | datetime
    retracts: str
    metadata: dict[str, Any]


class ItemFields(TypedDict, total=False):
    """An entry of the catalogue whose id is told apart."""

    features: Required[dict[str, Any]]
    text: str
    available_from: float | str | datetime
    available_until: float | str | datetime


class NewItem(ItemFields):
    """An entry of the catalogue."""

    item_id: str


class ListParams(TypedDict, total=False):
    """Parameters of every list."""

    limit: int
    cursor: str
    filter: str | Sequence[str]
    exclude: str | Sequence[str]
    diversity: float
    explain: bool


class RankedParams(ListParams, total=False):
    """Parameters of ranked lists."""

    novelty: float
    boost: str | Sequence[str]
    cap: str | Sequence[str]
    pin: str | Sequence[str]
    at: float


class UserParams(RankedParams, total=False):
    """Parameters of a user's recommendations."""

    negative_items: str | Sequence[str]
    exclude_seen: bool
    profile_weight: float
    after: str


class SessionParams(RankedParams, total=False):
    """What a visitor has shown, and parameters; lists of strings must be lists here."""

    items: Sequence[str]
    negative_items: Sequence[str]
    text: str
    weights: Mapping[str, float]


Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and how its answer is read. ``extra_s``: it may take so much longer."""

    method: str
    path: str
    read: Callable[[Any], T]
    params: tuple[tuple[str, str], ...] = ()
    content: bytes | None = None
    content_type: str = _JSON
    extra_s: float = 0.0


def send(
    events: Event | Fields | Iterable[Event | Fields], *, wait: bool, timeout_s: float
) -> Call[answers.Sent]:
    """Send one event or some; ids are made here, so that every try sends the same."""
    rows = [events] if isinstance(events, Mapping) else list(events)
    return Call(
        "POST",
        "/v1/events",
        answers.read_sent,
        params=_pairs({"wait": "applied", "timeout_s": timeout_s}) if wait else (),
        content=dumped(identified(rows)),
        extra_s=timeout_s if wait else 0.0,
    )


def recommend(user_id: str, params: UserParams) -> Call[answers.Recommendations]:
    """Ask for a user's recommendations."""
    path = f"/v1/users/{_segment(user_id)}/recommendations"
    return Call("GET", path, answers.read_recommendations, params=_pairs(params))


def recommend_session(params: SessionParams) -> Call[answers.SessionRecommendations]:
    """Ask for a visitor's recommendations."""
    content = dumped({name: value for name, value in params.items() if value is not None})
    return Call("POST", "/v1/recommendations", answers.read_session, content=content)


def similar(item_id: str, params: ListParams) -> Call[answers.SimilarItems]:
    """Ask for the nearest items."""
    path = f"/v1/items/{_segment(item_id)}/similar"
    return Call("GET", path, answers.read_similar, params=_pairs(params))


def put_item(item_id: str, item: ItemFields) -> Call[answers.ItemsResult]:
    """Store one item."""
    return Call(
        "PUT",
        f"/v1/items/{_segment(item_id)}",
        answers.read_items_result,
        content=dumped(item),
        extra_s=_PUT_S,
    )


def put_items(items: Iterable[NewItem | Fields]) -> Iterator[Call[answers.ItemsResult]]:
    """Store items, in requests of at most `CHUNK_ROWS` items and about `CHUNK_BYTES` bytes."""
    lines: list[bytes] = []
    size = before = 0
    for item in items:
        line = dumped(item)
        if lines and (len(lines) >= CHUNK_ROWS or size + len(line) > CHUNK_BYTES):
            yield _chunk(lines, before)
            before, lines, size = before + len(lines), [], 0
        lines.append(line)
        size += len(line)
    if lines:
        yield _chunk(lines, before)


def get_item(item_id: str) -> Call[answers.Item]:
    """Get an item."""
    return Call("GET", f"/v1/items/{_segment(item_id)}", answers.reader(answers.Item))


def delete_item(item_id: str) -> Call[None]:
    """Delete an item."""
    return Call("DELETE", f"/v1/items/{_segment(item_id)}", lambda _: None)


def user(user_id: str, *, vectors: bool) -> Call[answers.User]:
    """Look at a user."""
    params = _pairs({"vectors": True}) if vectors else ()
    return Call("GET", f"/v1/users/{_segment(user_id)}", answers.read_user, params=params)


def erase_user(user_id: str) -> Call[answers.Erased]:
    """Erase a user."""
    path = f"/v1/users/{_segment(user_id)}"
    return Call("DELETE", path, answers.reader(answers.Erased), extra_s=_ERASE_S)


def stats() -> Call[answers.Stats]:
    """Ask for the service's numbers."""
    return Call("GET", "/v1/stats", answers.reader(answers.Stats))


def identified(
    events: Iterable[Event | Fields], new_id: Callable[[], str] = new_event_id
) -> list[dict[str, object]]:
    """Return the events, each with an id."""
    return [{**event, "event_id": event.get("event_id") or new_id()} for event in events]


def dumped(value: object) -> bytes:
    """Write JSON; moments as ISO 8601.

    Raises:
        ValueError: a number is not finite.
        TypeError: a value is not of JSON.
    """
    text = json.dumps(
        value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_plain
    )
    return text.encode()


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a value of JSON")


def _chunk(lines: list[bytes], before: int) -> Call[answers.ItemsResult]:
    return Call(
        "POST",
        "/v1/items",
        partial(answers.read_items_result, before=before),
        content=b"\n".join(lines),
        content_type=_LINES,
        extra_s=_PUT_S,
    )


def _segment(name: str) -> str:
    """Quote an id as one part of a path, also where it is made of dots."""
    return quote(name, safe="") if name.strip(".") else name.replace(".", "%2E")


def _pairs(params: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Write parameters: what is None is left out, and lists are repeated."""
    pairs: list[tuple[str, str]] = []
    for name, value in params.items():
        alone = isinstance(value, str) or not isinstance(value, Iterable)
        values: Iterable[object] = [value] if alone else cast(Iterable[object], value)
        pairs += [(name, _text(one)) for one in values if one is not None]
    return tuple(pairs)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
