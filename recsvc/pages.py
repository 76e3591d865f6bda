"""Cursors: where the next page of a list begins."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from indexer.errors import FieldError, InvalidInput

__all__ = ["DEPTH_MAX", "next_cursor", "start_of"]

DEPTH_MAX: Final = 1_000
_PREFIX = "o"


def next_cursor(start: int, limit: int, returned: int) -> str | None:
    """Return the cursor after a page, or None where it was the last one."""
    following = start + limit
    if returned < limit or following >= DEPTH_MAX:
        return None
    return base64.urlsafe_b64encode(f"{_PREFIX}{following}".encode()).decode().rstrip("=")


def start_of(cursor: str | None) -> int:
    """Return the offset that a cursor stands for; 0 for none.

    Raises:
        InvalidInput: it is no cursor of ours.
    """
    if cursor is None:
        return 0
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        start = int(text.removeprefix(_PREFIX)) if text.startswith(_PREFIX) else -1
    except (binascii.Error, ValueError):
        start = -1
    if not 0 <= start < DEPTH_MAX:
        raise InvalidInput(
            [FieldError(("cursor",), f"{cursor[:40]!r} is not a next_cursor of an earlier answer")]
        )
    return start
