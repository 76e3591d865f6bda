"""When a delivery that failed is tried again. Pure."""

from __future__ import annotations

from typing import Final

__all__ = ["PAUSE_MAX_S", "next_try"]

PAUSE_MAX_S: Final = 3600.0
"""The longest pause between two tries, also where an endpoint asks for more, in seconds."""

_FIRST_S, _GROWTH = 1.0, 2.0
_DOUBLINGS_MAX: Final = 20  # beyond them, every pause is the longest


def next_try(
    attempts: int, now: float, until: float, draw: float, asked_s: float | None = None
) -> float | None:
    """Return when to try again after so many failed ``attempts`` (from 1), None for never.

    The pause doubles from a second to an hour, and half of it is drawn by lot (``draw``: uniform
    in 0..1; "equal jitter" of Brooker, "Exponential backoff and jitter", AWS 2015). It is no
    shorter than what the endpoint asked for (``asked_s``), within the hour. The last try is at
    ``until``, and there is none after it. Times in unix seconds.
    """
    if now >= until:
        return None
    ceiling = min(PAUSE_MAX_S, _FIRST_S * _GROWTH ** min(attempts - 1, _DOUBLINGS_MAX))
    pause_s = ceiling * (0.5 + 0.5 * draw)
    pause_s = max(pause_s, min(asked_s or 0.0, PAUSE_MAX_S))
    return min(now + pause_s, until)
