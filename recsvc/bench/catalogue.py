"""What the benchmark sends: an endless catalogue and its events, the same each time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

__all__ = ["click", "new_item"]

_CATEGORIES: Final = [
    "fantasy", "crime", "travel", "cooking", "history", "poetry", "science", "music",
]  # fmt: skip
_WORDS: Final = [
    "red", "night", "river", "stone", "glass", "winter", "city", "dream", "iron", "wolf",
]  # fmt: skip


def new_item(n: int) -> dict[str, Any]:
    """Return item ``n``."""
    draw = random.Random(n)
    words: Sequence[str] = draw.sample(_WORDS, 3)
    return {
        "item_id": f"item-{n}",
        "features": {
            "title": f"{' '.join(words)} {n}",
            "category": draw.choice(_CATEGORIES),
            "tags": draw.sample(_WORDS, 2),
            "price": round(draw.uniform(1, 100), 2),
        },
    }


def click(user: str, item_id: str) -> dict[str, Any]:
    """Return a click of a user."""
    return {"user_id": user, "event_type": "click", "item_id": item_id}
