"""Events as the rest of the code sees them: validated, with every default filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

__all__ = [
    "DEFAULT_WEIGHTS",
    "ERASE",
    "RATE",
    "RETRACT",
    "SEARCH",
    "TEXT_REF_MAX",
    "Event",
    "item_ref",
    "ref_item",
    "ref_text",
    "signed_weight",
    "text_ref",
]

SEARCH: Final = "search"
RATE: Final = "rate"
RETRACT: Final = "retract"
ERASE: Final = "$erase"
"""The mark in a shared log that a user is erased; no caller can send an event of this name."""

DEFAULT_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "view": 0.5,
        "click": 1.0,
        "search": 0.7,
        "add_to_cart": 2.0,
        "like": 2.0,
        "purchase": 3.0,
        "rate": 1.0,
        "dislike": -2.0,
    }
)
"""How much one event of each type says; `rate` is multiplied by value - 3, so -2 to 2."""

TEXT_REF_MAX: Final = 256
_ITEM, _TEXT = "item:", "text:"


@dataclass(frozen=True, slots=True)
class Event:
    """One accepted event.

    ``timestamp``: unix seconds. ``retracts``: an event id. ``fingerprint``: hash of what the
    caller sent under an event id of its own, to tell a retry from a conflict; else empty.
    """

    tenant: str
    user_id: str
    event_id: str
    event_type: str
    timestamp: float
    item_id: str | None = None
    query: str | None = None
    value: float | None = None
    retracts: str | None = None
    item_features: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None
    fingerprint: str = ""

    @property
    def ref(self) -> str | None:
        """What this event's vector is the vector of: an item, a search text, or nothing."""
        if self.item_id is not None and self.event_type != RETRACT:
            return item_ref(self.item_id)
        return text_ref(self.query) if self.query is not None else None


def item_ref(item_id: str) -> str:
    """Name the vector of an item."""
    return _ITEM + item_id


def text_ref(text: str) -> str:
    """Name the vector of a text; texts that differ in case or spacing only share one."""
    return _TEXT + " ".join(text.casefold().split())[:TEXT_REF_MAX]


def ref_item(ref: str) -> str | None:
    """Return the item id that ``ref`` names, or None for a text."""
    return ref.removeprefix(_ITEM) if ref.startswith(_ITEM) else None


def ref_text(ref: str) -> str | None:
    """Return the text that ``ref`` names, or None for an item."""
    return ref.removeprefix(_TEXT) if ref.startswith(_TEXT) else None


def signed_weight(event: Event, weights: Mapping[str, float]) -> float:
    """Return what ``event`` counts for or against its item; bigger is more liked."""
    weight = weights.get(event.event_type, 0.0)
    if event.event_type == RATE and event.value is not None:
        return weight * (event.value - 3.0)
    return weight
