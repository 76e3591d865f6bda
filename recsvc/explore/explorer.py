"""All that the console looks at beside lists and users, over one running service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from indexer.ports import PointId
from indexer.runtime import Runtime
from indexer.stores.items import ItemPoint
from recsvc.explore.browse import Browser
from recsvc.explore.features import summary
from recsvc.explore.maps import Maps
from recsvc.explore.per_tenant import PerTenant
from recsvc.explore.scan import scan
from recsvc.filters import Conditions, parse_filters
from recsvc.recommend import Recommender

__all__ = ["Explorer"]

_LEAST_S: Final = 5.0


class Explorer:
    """Looks through a tenant's catalogue. ``maps``: of it, with users on them."""

    def __init__(self, runtime: Runtime, recommender: Recommender) -> None:
        self._items = runtime.items
        self._scans = PerTenant(
            lambda tenant: scan(runtime.store, tenant),
            lambda: runtime.catalogue_version,
            _LEAST_S,
            runtime.telemetry,
        )
        self._browser = Browser(
            runtime.store,
            runtime.items,
            runtime.embeddings,
            self._scans,
            runtime.settings.provider_timeout_s,
        )
        self.maps = Maps(runtime, recommender)

    async def page(
        self, tenant: str, filters: Sequence[str], limit: int, offset: PointId | None
    ) -> tuple[list[ItemPoint], PointId | None]:
        """Return a page of items, and where the next begins.

        Raises:
            InvalidInput: a filter is refused.
        """
        conditions = await self._conditions(tenant, filters)
        return await self._browser.page(tenant, conditions, limit, offset)

    async def search(
        self, tenant: str, text: str, filters: Sequence[str], limit: int, start: int
    ) -> list[ItemPoint]:
        """Return the items that ``text`` may mean, from place ``start`` on.

        Raises:
            InvalidInput: a filter is refused.
        """
        conditions = await self._conditions(tenant, filters)
        return await self._browser.search(tenant, text, conditions, limit, start)

    async def features(self, tenant: str) -> Mapping[str, Any]:
        """Return what the catalogue can be filtered by."""
        found = await self._scans.of(tenant)
        if found.summary is None:
            kinds = await self._items.kinds(tenant)
            found.summary = {
                "features": summary(kinds, found.features),
                "items": len(found.features),
                "sampled": not found.whole,
            }
        return found.summary

    async def close(self) -> None:
        """End what is being made for later."""
        await asyncio.gather(self._scans.close(), self.maps.close())

    async def _conditions(self, tenant: str, filters: Sequence[str]) -> Conditions:
        return parse_filters(filters, await self._items.kinds(tenant) if filters else {})
