"""A part of the sample, for a service that pages are opened of."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Final

from processes import Service

from recsvc.sample import EVENTS, ITEMS

BOOKS: Final = 400
READERS: Final = 12


def books(count: int = BOOKS) -> list[dict[str, Any]]:
    """The items that were rated most often."""
    return _lines(ITEMS)[:count]


def fill(service: Service) -> None:
    """Load a part of the sample, and have Ada do something."""
    items = books()
    assert service.post("/v1/items", items)["stored"] == BOOKS
    ids = {book["item_id"] for book in items}
    rated = _lines(EVENTS)
    readers = set(list(dict.fromkeys(event["user_id"] for event in rated))[:READERS])
    ratings = [e for e in rated if e["user_id"] in readers and e["item_id"] in ids]
    does = [
        {"event_type": "click", "item_id": "book-19"},
        {"event_type": "purchase", "item_id": "book-2"},
        {"event_type": "search", "query": "murder mystery"},
    ]
    ada = [{"user_id": "ada", **one} for one in does]
    service.post("/v1/events", [*ratings, *ada], wait="applied", timeout_s=20)


def _lines(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a gzipped file."""
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
