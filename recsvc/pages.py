"""Cursors: where the next page of a list begins."""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from dataclasses import dataclass
from typing import Final

from indexer.errors import FieldError, InvalidInput
from indexer.ports import PointId

__all__ = ["DEPTH_MAX", "Place", "next_cursor", "place_of", "point_cursor", "point_of"]

DEPTH_MAX: Final = 1_000
_POINT: Final = re.compile(r"p([0-9a-f-]{36})", re.ASCII)
_CURSOR: Final = re.compile(r"o(\d{1,4})(?:@(\d{1,12}(?:\.\d{1,9})?))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins. ``at``: the time (unix seconds) as of which the list was made, so that
    its pages agree; None where it is the same at any time."""

    start: int = 0
    at: float | None = None


def next_cursor(start: int, limit: int, returned: int, at: float | None = None) -> str | None:
    """Return the cursor after a page, or None where it was the last one."""
    following = start + limit
    if returned < limit or following >= DEPTH_MAX:
        return None
    return _written(f"o{following}" if at is None else f"o{following}@{at:.6f}")


def place_of(cursor: str | None) -> Place:
    """Return the place that a cursor stands for; the beginning for none.

    Raises:
        InvalidInput: it is no cursor of ours.
    """
    if cursor is None:
        return Place()
    match = _CURSOR.fullmatch(_read(cursor))
    if match is None or int(match[1]) >= DEPTH_MAX:
        raise _refused(cursor)
    return Place(int(match[1]), float(match[2]) if match[2] else None)


def point_cursor(point: PointId | None) -> str | None:
    """Return the cursor of a page that begins with a point of a collection, None for none."""
    return _written(f"p{point}") if point is not None else None


def point_of(cursor: str | None) -> str | None:
    """Return the point that a page begins with; None for the beginning.

    Raises:
        InvalidInput: it is no cursor of ours.
    """
    if cursor is None:
        return None
    match = _POINT.fullmatch(_read(cursor))
    try:
        return str(uuid.UUID(match[1] if match is not None else ""))
    except ValueError:
        raise _refused(cursor) from None


def _written(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""


def _refused(cursor: str) -> InvalidInput:
    said = f"{cursor[:40]!r} is not a next_cursor of an earlier answer"
    return InvalidInput([FieldError(("cursor",), said)])
