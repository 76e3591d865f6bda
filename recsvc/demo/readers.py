"""The readers of the sample: what each of them rated, in the order in which they did."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from recsvc.sample import EVENTS

__all__ = ["Reader", "history", "readers"]


@dataclass(frozen=True, slots=True)
class Reader:
    """One reader; events are as in `events.jsonl`, the oldest first."""

    user_id: str
    ratings: tuple[dict[str, Any], ...]


def history() -> list[dict[str, Any]]:
    """Return all events of the sample, in order."""
    with gzip.open(EVENTS) as lines:
        return [orjson.loads(line) for line in lines]


def readers(events: Iterable[dict[str, Any]]) -> list[Reader]:
    """Group events by reader, in the order in which readers first appear."""
    found: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        found.setdefault(event["user_id"], []).append(event)
    return [Reader(user_id, tuple(ratings)) for user_id, ratings in found.items()]
