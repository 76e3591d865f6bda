"""The types of single fields on the wire: moments, features, metadata."""

from __future__ import annotations

import math
import re
import time
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, BeforeValidator, Field

from indexer.domain.ids import ID_PATTERN

__all__ = ["NOT_BLANK", "Features", "Id", "Metadata", "Moment", "Timestamp"]

NOT_BLANK: Final = r"\S"

_FUTURE_MAX_S = 86_400.0
_FEATURES_MAX = 64
_LIST_MAX = 256
_STRING_MAX = 8_192
_INTEGER_MAX = 2**53
_METADATA_MAX = 16_384
_DEPTH_MAX = 16
_FEATURE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")


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
