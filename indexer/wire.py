"""What events and items look like outside: JSON, checked field by field."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
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

__all__ = [
    "EVENTS_MAX",
    "EventIn",
    "Features",
    "Id",
    "ItemIn",
    "checked",
    "field_errors",
    "parse",
    "to_event",
    "to_item",
]

EVENTS_MAX: Final = 1000
_FUTURE_MAX_S = 86_400.0
_FEATURES_MAX = 64
_LIST_MAX = 256
_STRING_MAX = 8_192
_INTEGER_MAX = 2**53
_METADATA_MAX = 16_384
_DEPTH_MAX = 16
_NOT_BLANK = r"\S"
_FEATURE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")

T = TypeVar("T")


def _timestamp(value: object) -> object:
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value[:40]!r} is neither unix seconds nor ISO 8601") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("must be unix seconds or an ISO 8601 string")
    return value


def _not_in_the_future(value: float) -> float:
    if value - time.time() > _FUTURE_MAX_S:
        raise ValueError(
            f"{value:.0f} is more than 24 h in the future (unix seconds are expected, "
            "not milliseconds)"
        )
    return value


def _scalar(name: str, value: object) -> None:
    if isinstance(value, str):
        if len(value) > _STRING_MAX:
            raise ValueError(
                f"{name!r}: a string of {len(value)} characters, at most {_STRING_MAX}"
            )
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{name!r}: {value} is not a finite number")
    elif isinstance(value, int):
        if abs(value) > _INTEGER_MAX:
            raise ValueError(f"{name!r}: an integer beyond 2**53 loses its digits in JSON")
    elif value is not None:
        raise ValueError(
            f"{name!r}: {type(value).__name__} is not accepted; "
            "a string, number, boolean or a list of these is"
        )


def _features(features: dict[str, Any]) -> dict[str, Any]:
    if len(features) > _FEATURES_MAX:
        raise ValueError(f"{len(features)} features, at most {_FEATURES_MAX}")
    for name, value in features.items():
        if not _FEATURE_NAME.fullmatch(name):
            raise ValueError(
                f"{name[:70]!r} is not a feature name: letters, digits, _ and -, 1..64"
            )
        values = value if isinstance(value, list) else [value]
        if len(values) > _LIST_MAX:
            raise ValueError(f"{name!r}: a list of {len(values)}, at most {_LIST_MAX}")
        for one in values:
            if one is None and value is not None:
                raise ValueError(f"{name!r}: null in a list")
            _scalar(name, one)
        if len({_sort(one) for one in values}) > 1:
            raise ValueError(f"{name!r}: a list must not mix strings, numbers and booleans")
    return {name: value for name, value in features.items() if value is not None}


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    _plain_json(value, depth=0)
    if len(orjson.dumps(value)) > _METADATA_MAX:
        raise ValueError(f"more than {_METADATA_MAX} bytes of JSON")
    return value


def _plain_json(value: object, depth: int) -> None:
    if depth > _DEPTH_MAX:
        raise ValueError(f"nested more than {_DEPTH_MAX} deep")
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            _plain_json(one, depth + 1)
    elif isinstance(value, (float, int)):
        _scalar("a number in it", value)


def _sort(value: object) -> str:
    return "number" if isinstance(value, float) else type(value).__name__.replace("int", "number")


Id = Annotated[str, Field(pattern=ID_PATTERN)]
Timestamp = Annotated[
    float,
    BeforeValidator(_timestamp, json_schema_input_type=float | str),
    Field(ge=0),
    AfterValidator(_not_in_the_future),
]
Moment = Annotated[
    float, BeforeValidator(_timestamp, json_schema_input_type=float | str), Field(ge=0)
]
Features = Annotated[dict[str, Any], AfterValidator(_features)]
Metadata = Annotated[dict[str, Any], AfterValidator(_metadata)]


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
    query: Annotated[str, Field(max_length=1000, pattern=_NOT_BLANK)] | None = None
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


class ItemIn(_Wire):
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
    features: Features
    text: Annotated[str, Field(max_length=20_000, pattern=_NOT_BLANK)] | None = Field(
        None, description="What is embedded; made from the features when absent."
    )
    available_from: Moment | None = None
    available_until: Moment | None = None

    @model_validator(mode="after")
    def _window(self) -> ItemIn:
        start, end = self.available_from, self.available_until
        if start is not None and end is not None and end <= start:
            raise ValueError("available_until must be later than available_from")
        return self


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


def to_item(tenant: str, sent: ItemIn) -> Item:
    """Make a checked item the tenant's."""
    return Item(
        tenant, sent.item_id, sent.features, sent.text, sent.available_from, sent.available_until
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


EventBatch = Annotated[list[EventIn], Field(min_length=1, max_length=EVENTS_MAX)]
