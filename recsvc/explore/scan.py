"""Reads a tenant's items one after another, up to a bound, with pauses for other work."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from qdrant_client import models

from indexer.ports import VectorStore
from indexer.stores.points import scoped
from indexer.stores.schema import ITEMS

__all__ = ["FEATURES_MAX", "LABELS_MAX", "Scan", "folded", "item_pages", "label_of", "scan"]

FEATURES_MAX: Final = 2_000
"""Items whose features are counted. Point ids are hashes, so the first ones are a fair sample."""

LABELS_MAX: Final = 20_000
"""Items that are found by the words of their titles; beyond, by likeness alone."""

_PAGE: Final = 128
_LABEL_MAX: Final = 1_000
_TITLES: Final[Sequence[str]] = ("title", "name", "label")


@dataclass(slots=True)
class Scan:
    """What was read. ``labels``: point id, and id and title to be searched. ``whole``: the
    features are of all items. ``summary``: of the features, once somebody has asked for it."""

    labels: list[tuple[str, str]] = field(default_factory=list)
    features: list[Mapping[str, Any]] = field(default_factory=list)
    whole: bool = True
    summary: Mapping[str, Any] | None = None


async def scan(store: VectorStore, tenant: str) -> Scan:
    """Read the items of a tenant in the order of their points."""
    found = Scan()
    async with aclosing(item_pages(store, tenant, _PAGE)) as read:
        async for records, _ in read:
            for record in records:
                payload = record.payload or {}
                item_id, features = payload["item_id"], payload["features"]
                text = f"{item_id}\n{label_of(item_id, features)}"
                found.labels.append((str(record.id), folded(text[:_LABEL_MAX])))
                if len(found.features) < FEATURES_MAX:
                    found.features.append(features)
                else:
                    found.whole = False
            if len(found.labels) >= LABELS_MAX:
                break
    return found


async def item_pages(
    store: VectorStore, tenant: str, size: int, vectors: Sequence[str] = ()
) -> AsyncGenerator[tuple[Sequence[models.Record], bool], None]:
    """Give the items of a tenant ``size`` at a time in the order of their points, each with id,
    features and ``vectors``; and with each page whether there is another. Other work gets its turn
    in between."""
    offset, more = None, True
    while more:
        records, offset = await store.scroll(
            ITEMS,
            scoped(tenant),
            limit=size,
            offset=offset,
            with_payload=["item_id", "features"],
            with_vectors=list(vectors) or False,
        )
        more = offset is not None
        yield records, more
        await asyncio.sleep(0)


def label_of(item_id: str, features: Mapping[str, Any]) -> str:
    """Return what people call an item: its title or name, else its id."""
    named = (features.get(name) for name in _TITLES)
    return next((text for text in named if isinstance(text, str) and text), item_id)


def folded(text: str) -> str:
    """Return a text without what words are searched regardless of: case and accents."""
    if not text.isascii():
        parts = unicodedata.normalize("NFKD", text)
        text = "".join(one for one in parts if not unicodedata.combining(one))
    return text.casefold()
