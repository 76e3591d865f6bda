"""How long to wait before a call is tried again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

__all__ = ["RETRY_AFTER_MAX_S", "next_wait", "retry_after"]

RETRY_AFTER_MAX_S: Final = 60.0
"""A provider that asks for more is not waited for: the call fails, and later ones may succeed."""

_FIRST_S, _GROWTH, _MOST_S = 0.25, 2.0, 8.0
_LEAST_S, _LONGER = 0.05, 1.2


def next_wait(before_s: float, attempt: int, draw: float) -> float:
    """Return the pause in seconds after the failed ``attempt`` (from 1).

    Exponential with full jitter (``draw``: uniform in 0..1), as in Brooker, "Exponential backoff
    and jitter", AWS 2015; but never shorter than the pause before it (``before_s``, 0 for none),
    as full jitter alone may come back faster the longer something is down.
    """
    ceiling = min(_MOST_S, _FIRST_S * _GROWTH ** (attempt - 1))
    return max(_LEAST_S, _LONGER * before_s) + draw * ceiling


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that a reply asks to wait, or None where it does not say.

    Both forms of ``Retry-After`` (RFC 9110, 10.2.3) and OpenAI's ``retry-after-ms`` are read.
    """
    for name, unit_s in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        try:
            seconds = float(text) * unit_s
        except ValueError:
            continue
        if 0.0 <= seconds < float("inf"):
            return seconds
    return _until(headers.get("retry-after", ""), now)


def _until(date: str, now: datetime) -> float | None:
    try:
        at = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return max(0.0, (at - now).total_seconds())
