"""What profiles are made from: a user's recent events, and how common their terms are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from cachetools import TTLCache

from indexer.domain.events import ref_item, ref_text
from indexer.domain.items import facets
from indexer.domain.profile import Evidence
from indexer.domain.state import Entry, UserState
from indexer.stores.items import FEATURE_PREFIX, ItemPoints
from indexer.stores.points import equals

__all__ = ["EvidenceReader"]

_SHARES_CACHED, _SHARES_TTL_S = 10_000, 300.0
_FOREIGN_MAX: Final = 40


class EvidenceReader:
    """Reads evidence and the catalogue's terms; shares of terms are kept for five minutes."""

    def __init__(self, items: ItemPoints, text_features: frozenset[str]) -> None:
        self._items, self._text_features = items, text_features
        self._shares: TTLCache[tuple[str, str], float] = TTLCache(_SHARES_CACHED, _SHARES_TTL_S)

    async def of(self, state: UserState) -> list[Evidence]:
        """Return the events of a user's window, oldest first, with what is known of the items."""
        item_ids = {item_id for e in state.window if (item_id := ref_item(e.ref)) is not None}
        features = await self._items.features(state.tenant, sorted(item_ids))
        return [one for entry in state.window if (one := self._one(entry, features)) is not None]

    async def occurring(self, tenant: str, terms: set[str]) -> set[str]:
        """Return those ``feature=value`` terms that occur in the catalogue."""
        shares = await self.shares(tenant, sorted(terms)[:_FOREIGN_MAX])
        return {term for term, share in shares.items() if share > 0.0}

    async def shares(self, tenant: str, terms: Sequence[str]) -> dict[str, float]:
        """How much of the catalogue has each term; 0 for features that are not indexed."""
        shares: dict[str, float] = {}
        total: int | None = None
        for term in terms:
            share = self._shares.get((tenant, term))
            name, _, value = term.partition("=")
            if share is None and self._items.filter_kinds.get(name) == "keyword":
                total = await self._items.count(tenant) if total is None else total
                having = await self._items.count(tenant, [equals(FEATURE_PREFIX + name, value)])
                share = self._shares[tenant, term] = having / max(total, 1)
            shares[term] = share or 0.0
        return shares

    def _one(self, entry: Entry, features: Mapping[str, Mapping[str, object]]) -> Evidence | None:
        item_id = ref_item(entry.ref)
        if item_id is None:
            return Evidence(entry, query=ref_text(entry.ref) or "")
        known = features.get(item_id)
        if known is None:
            return None
        title = next((v for n, v in known.items() if n in self._text_features and v), "")
        return Evidence(entry, tuple(facets(known, self._text_features)), str(title))
