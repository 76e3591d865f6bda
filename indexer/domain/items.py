"""Items: the text that is embedded, the features that can be filtered and profiled by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

__all__ = [
    "FACET_VALUE_MAX",
    "FilterKind",
    "Item",
    "content_digest",
    "facets",
    "filter_kinds",
    "item_text",
]

FilterKind = Literal["keyword", "number", "bool"]

FACET_VALUE_MAX: Final = 64
_TEXT_MAX = 8_000


@dataclass(frozen=True, slots=True)
class Item:
    """One catalogue entry. ``available_from`` and ``available_until`` are unix seconds."""

    tenant: str
    item_id: str
    features: Mapping[str, Any]
    text: str | None = None
    available_from: float | None = None
    available_until: float | None = None


def item_text(item: Item, text_features: Set[str]) -> str:
    """Return the text to embed: the item's own, or one made from its features.

    Free-text features come first, then the words of the others. Their names are left out: every
    item has them, so they only make all alike (0.028 against 0.025 nDCG@10 by content on the
    sample catalogue); numbers too, as their digits say nothing. At most 8,000 characters.
    """
    if item.text:
        return item.text[:_TEXT_MAX]
    free = [
        ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in item.features.items()
        if name in text_features and value
    ]
    named = [
        ", ".join(words)
        for name, value in item.features.items()
        if name not in text_features and (words := list(_words(value)))
    ]
    return ". ".join([*free, *named])[:_TEXT_MAX] or item.item_id


def content_digest(item: Item) -> str:
    """Hash all of an item that a caller can set, to tell an unchanged one."""
    body = [item.features, item.text, item.available_from, item.available_until]
    return hashlib.blake2b(
        orjson.dumps(body, option=orjson.OPT_SORT_KEYS), digest_size=16
    ).hexdigest()


def facets(features: Mapping[str, Any], text_features: Set[str]) -> list[str]:
    """List the ``feature=value`` terms of an item that can say something of a user's taste."""
    return [
        f"{name}={word}"
        for name, value in features.items()
        if name not in text_features
        for word in _words(value)
        if len(word) <= FACET_VALUE_MAX
    ]


def filter_kinds(features: Mapping[str, Any], text_features: Set[str]) -> dict[str, FilterKind]:
    """Tell how each feature of an item can be filtered; free text and empty values cannot."""
    kinds: dict[str, FilterKind] = {}
    for name, value in features.items():
        kind = _kind(value)
        if kind is not None and name not in text_features:
            kinds[name] = kind
    return kinds


def _kind(value: object) -> FilterKind | None:
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return "keyword" if isinstance(value, str) and value else None


def _words(value: object) -> Iterator[str]:
    values = value if isinstance(value, list) else [value]
    return (word for word in values if isinstance(word, str) and word)
