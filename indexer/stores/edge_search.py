"""Searching one shard of the embedded store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import qdrant_edge as edge
from qdrant_client import models

from indexer.ports import Hit
from indexer.stores import edge_convert as convert
from indexer.stores.edge_scan import without_excluded

__all__ = ["Collection", "Nearest", "nearest_but"]

_RESCORED_MIN, _RESCORED_EACH = 192.0, 8.0
_EXCLUDED_AT_ONCE = 64


@dataclass(slots=True)
class Collection:
    """An open shard. ``tenants``: all that its points may have, `NO_TENANT` for none.

    ``changed``: since it was flushed last.
    """

    shard: edge.EdgeShard
    vectors: dict[str, tuple[int, models.Distance]]
    searched: bool
    tenants: set[str] = field(default_factory=set)
    changed: bool = True

    def params(self, wanted: int, rows: int, exact: bool) -> edge.SearchParams | None:
        """Return how to search for the best ``wanted`` points in a list of ``rows``."""
        if not self.searched:
            return None
        if exact:
            return edge.SearchParams(exact=True)
        oversampling = max(1.0, max(_RESCORED_MIN, _RESCORED_EACH * wanted) / max(rows, 1))
        return edge.SearchParams(
            quantization=edge.QuantizationSearchParams(rescore=True, oversampling=oversampling)
        )


@dataclass(frozen=True, slots=True)
class Nearest:
    """A nearest-neighbour request without its exclusions."""

    query: list[float] | models.SparseVector
    using: str | None
    rest: models.Filter | None
    exact: bool
    limit: int
    offset: int
    with_payload: bool | Sequence[str]


def nearest_but(collection: Collection, request: Nearest, excluded: frozenset[str]) -> list[Hit]:
    """Search beyond the excluded points and drop them.

    At most ``len(excluded)`` of the first ``wanted + len(excluded)`` are dropped, so the answer is
    that of a filter. Most excluded points rank low, so a shorter search is tried first.
    """
    wanted = request.limit + request.offset
    kept: list[Hit] = []
    for extra in sorted({min(len(excluded), _EXCLUDED_AT_ONCE), len(excluded)}):
        found = collection.shard.query(
            edge.QueryRequest(
                limit=wanted + extra,
                query=convert.query(request.query, request.using),
                filter=convert.filter_of(request.rest),
                params=collection.params(wanted, wanted + extra, request.exact),
            )
        )
        kept = without_excluded(found, excluded, wanted)
        if len(kept) >= wanted or len(found) < wanted + extra:
            break
    kept = kept[request.offset :]
    if not request.with_payload:
        return kept
    selector = convert.selector(request.with_payload)
    records = collection.shard.retrieve([hit.id for hit in kept], selector, False)
    payloads = {str(record.id): record.payload or {} for record in records}
    return [Hit(hit.id, hit.score, payloads.get(hit.id, {})) for hit in kept]
