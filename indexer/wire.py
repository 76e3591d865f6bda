"""What events and items look like outside: JSON, checked field by field."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, TypeVar

import orjson
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from indexer.domain.events import RATE, RETRACT, SEARCH, Event
from indexer.domain.ids import ID_PATTERN, new_event_id
from indexer.domain.items import Item
from indexer.errors import FieldError, InvalidInput
from indexer.wire_fields import NOT_BLANK, Features, Id, Metadata, Moment, Timestamp

__all__ = [
    "EVENTS_MAX",
    "EventBatch",
    "EventIn",
    "ItemBody",
    "ItemIn",
    "checked",
    "field_errors",
    "parse",
    "to_event",
    "to_item",
]

EVENTS_MAX: Final = 1000

T = TypeVar("T")


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class EventIn(_Wire):
    """One thing a user did."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user_id": "ada", "event_type": "click", "item_id": "book-17"},
                {"user_id": "ada", "event_type": "rate", "item_id": "book-17", "value": 5},
                {"user_id": "ada", "event_type": "search", "query": "space opera"},
            ]
        }
    )

    user_id: Id
    event_type: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    event_id: Id | None = Field(None, description="Makes a retry harmless; made up when absent.")
    item_id: Id | None = Field(None, description="Needed by every type but `search`.")
    item_features: Features | None = Field(
        None, description="Creates the item when it is unknown; else ignored."
    )
    value: Annotated[float, Field(ge=1, le=5)] | None = Field(None, description="`rate`: 1 to 5.")
    query: Annotated[str, Field(max_length=1000, pattern=NOT_BLANK)] | None = None
    timestamp: Timestamp | None = Field(None, description="Unix seconds or ISO 8601; default now.")
    retracts: Id | None = Field(None, description="`retract`: the event_id that is undone.")
    metadata: Metadata | None = None

    @model_validator(mode="after")
    def _fields_of_its_type(self) -> EventIn:
        kind = self.event_type
        if kind == RATE and self.value is None:
            raise ValueError("rate needs value, 1 to 5")
        if (kind == SEARCH) != (self.query is not None):
            raise ValueError("search needs query" if kind == SEARCH else f"{kind} takes no query")
        if kind == SEARCH and self.item_id is not None:
            raise ValueError("search takes no item_id")
        if (kind == RETRACT) != (self.retracts is not None):
            raise ValueError(
                "retract needs retracts, an event_id"
                if kind == RETRACT
                else f"{kind} takes no retracts"
            )
        if kind not in (SEARCH, RETRACT) and self.item_id is None:
            raise ValueError(f"{kind} needs item_id")
        if self.item_features is not None and self.item_id is None:
            raise ValueError("item_features needs item_id")
        return self


EventBatch = Annotated[list[EventIn], Field(min_length=1, max_length=EVENTS_MAX)]


class ItemBody(_Wire):
    """What a catalogue entry says of an item."""

    features: Features
    text: Annotated[str, Field(max_length=20_000, pattern=NOT_BLANK)] | None = Field(
        None, description="What is embedded; made from the features when absent."
    )
    available_from: Moment | None = None
    available_until: Moment | None = None

    @model_validator(mode="after")
    def _window(self) -> ItemBody:
        start, end = self.available_from, self.available_until
        if start is not None and end is not None and end <= start:
            raise ValueError("available_until must be later than available_from")
        return self


class ItemIn(ItemBody):
    """One catalogue entry."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "item_id": "p1",
                    "features": {"title": "Blue kettle", "category": "kitchen", "price": 24.5},
                }
            ]
        }
    )

    item_id: Id


def to_event(
    tenant: str, sent: EventIn, weights: Mapping[str, float], *, now: float | None = None
) -> Event:
    """Fill in the defaults of a checked event.

    Raises:
        InvalidInput: the type has no weight in the settings.
    """
    if sent.event_type != RETRACT and sent.event_type not in weights:
        accepted = ", ".join(sorted([*weights, RETRACT]))
        raise InvalidInput(
            [
                FieldError(
                    ("event_type",), f"{sent.event_type!r} has no weight; accepted: {accepted}"
                )
            ]
        )
    timestamp = sent.timestamp if sent.timestamp is not None else now
    return Event(
        tenant=tenant,
        user_id=sent.user_id,
        event_id=sent.event_id or new_event_id(),
        event_type=sent.event_type,
        timestamp=time.time() if timestamp is None else timestamp,
        item_id=sent.item_id,
        query=sent.query,
        value=sent.value,
        retracts=sent.retracts,
        item_features=sent.item_features,
        metadata=sent.metadata,
        fingerprint=_fingerprint(sent) if sent.event_id else "",
    )


def _fingerprint(sent: EventIn) -> str:
    body = orjson.dumps(sent.model_dump(exclude_unset=True), option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(body, digest_size=12).hexdigest()


def to_item(tenant: str, item_id: str, sent: ItemBody) -> Item:
    """Make a checked item the tenant's."""
    return Item(
        tenant, item_id, sent.features, sent.text, sent.available_from, sent.available_until
    )


def parse(adapter: TypeAdapter[T], body: bytes | str) -> T:
    """Parse JSON and check it.

    Raises:
        InvalidInput: naming each refused field, its value and what is accepted.
    """
    try:
        return adapter.validate_json(body)
    except ValidationError as exc:
        raise InvalidInput(field_errors(exc)) from exc


def checked(adapter: TypeAdapter[T], value: object) -> T:
    """Check a value that was parsed before; raises as `parse` does."""
    try:
        return adapter.validate_python(value)
    except ValidationError as exc:
        raise InvalidInput(field_errors(exc)) from exc


def field_errors(exc: ValidationError) -> list[FieldError]:
    """Turn pydantic's errors into ours, each with the refused value."""
    return [
        FieldError(tuple(error["loc"]), _message(error["type"], error["msg"], error.get("input")))
        for error in exc.errors(include_url=False, include_context=False)
    ]


_PLAIN: Final[Sequence[str]] = ("missing", "json_invalid", "value_error", "extra_forbidden")
_SAID: Final[Mapping[str, str]] = {
    "extra_forbidden": "unknown field",
    "missing": "missing",
}


def _message(kind: str, message: str, value: object) -> str:
    said = _SAID.get(kind, message.removeprefix("Value error, "))
    if kind == "string_pattern_mismatch" and ID_PATTERN in message:
        said = "must be 1..128 characters of A-Z a-z 0-9 _ . : @ -"
    if kind in _PLAIN or isinstance(value, (dict, list)):
        return said
    return f"{said}, not {str(value)[:60]!r}"
