"""How one call goes, tries and pauses included, apart from the doing of it.

`exchange` is a generator: it gives a `Try` or a `Pause`, and is sent what came of it. A sync and an
async client differ only in how they do these two.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import httpx

from recsvc.client.calls import Call
from recsvc.client.errors import Failed, FieldError, NotReached, RecsvcClientError, Refused

__all__ = [
    "Outcome",
    "Patience",
    "Pause",
    "Reply",
    "Step",
    "Try",
    "asked_pause",
    "error_of",
    "exchange",
    "next_pause",
]

RETRIED: Final = frozenset({408, 429, 502, 503, 504})
PAUSE_MAX_S: Final = 8.0

_FIRST_S, _LEAST_S = 0.25, 0.05
_DOUBLINGS_MAX = 10
_SHOWN_MAX = 300
_HOPELESS = (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.DecodingError)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one try may take, and all of them together, in seconds."""

    timeout_s: float
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Try:
    """Send the request."""

    timeout_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; the names of headers are lower-case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


Step = Try | Pause
Outcome = Reply | httpx.HTTPError | None
"""Of a try: a reply, or why there is none. Of a pause: None."""


def exchange(
    call: Call[T],
    patience: Patience,
    *,
    clock: Callable[[], float] = time.monotonic,
    draw: Callable[[], float] = random.random,
) -> Generator[Step, Outcome, T]:
    """Lead a call to its answer.

    Raises:
        Refused, Failed, NotReached: there is no answer, or a bad one, and no time for another try.
    """
    deadline = clock() + patience.deadline_s + call.extra_s
    attempt = 0
    while True:
        left_s = max(_LEAST_S, deadline - clock())
        outcome = yield Try(min(patience.timeout_s + call.extra_s, left_s))
        if isinstance(outcome, Reply) and 200 <= outcome.status < 300:
            return _read(call, outcome)
        attempt += 1
        pause_s = next_pause(attempt, draw(), _asked(outcome))
        if not _repeatable(outcome) or clock() + pause_s >= deadline:
            raise _error(outcome) from (outcome if isinstance(outcome, Exception) else None)
        yield Pause(pause_s)


def next_pause(attempt: int, draw: float, asked_s: float = 0.0) -> float:
    """Return the pause in seconds after the failed ``attempt`` (from 1).

    Exponential with full jitter (``draw``: uniform in 0..1), as in Brooker, "Exponential backoff
    and jitter", AWS 2015; on top of what the service asked for, lest all come back at once.
    """
    ceiling = min(PAUSE_MAX_S, _FIRST_S * 2.0 ** min(attempt - 1, _DOUBLINGS_MAX))
    return asked_s + max(_LEAST_S, draw * ceiling)


def asked_pause(headers: Mapping[str, str], now: datetime) -> float:
    """Return the seconds that ``Retry-After`` (RFC 9110, 10.2.3) asks for; 0 where it does not."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return max(0.0, (at - now).total_seconds())


def _asked(outcome: Outcome) -> float:
    return asked_pause(outcome.headers, datetime.now(UTC)) if isinstance(outcome, Reply) else 0.0


def _repeatable(outcome: Outcome) -> bool:
    if isinstance(outcome, Reply):
        return outcome.status in RETRIED
    return not isinstance(outcome, _HOPELESS)


def _read(call: Call[T], reply: Reply) -> T:
    try:
        return call.read(json.loads(reply.content) if reply.content else None)
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        shown = reply.content[:_SHOWN_MAX].decode(errors="replace")
        raise Failed(reply.status, f"not an answer of the service: {shown!r}") from exc


def _error(outcome: Outcome) -> RecsvcClientError:
    if not isinstance(outcome, Reply):
        return NotReached(f"{type(outcome).__name__}: {outcome}")
    return error_of(outcome.status, outcome.content)


def error_of(status: int, content: bytes) -> Refused | Failed:
    """Return the error that a status and body are, problem details (RFC 9457) or not."""
    problem = _problem(content)
    shown = content[:_SHOWN_MAX].decode(errors="replace") or "no reason given"
    detail = str(problem.get("detail") or shown)
    if 400 <= status < 500:
        return Refused(status, detail, _fields(problem))
    return Failed(status, detail)


def _problem(content: bytes) -> dict[str, Any]:
    """Return problem details, or nothing where a body is none."""
    try:
        problem = json.loads(content)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _fields(problem: Mapping[str, Any]) -> list[FieldError]:
    rows = problem.get("errors")
    return [
        FieldError(tuple(row.get("loc", ())), str(row.get("msg", "")))
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict)
    ]
