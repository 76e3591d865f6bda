"""qdrant-client's models as Qdrant Edge's: same meaning, and mostly the same names."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from functools import singledispatch
from typing import Any, Final

import numpy as np
import qdrant_edge as edge
from qdrant_client import models

from indexer.errors import StoreError

__all__ = [
    "DISTANCES",
    "INDEXES",
    "condition",
    "filter_of",
    "pool_of",
    "prefetch",
    "query",
    "selector",
    "vectors",
]

DISTANCES: Final = {
    models.Distance.COSINE: edge.Distance.Cosine,
    models.Distance.DOT: edge.Distance.Dot,
    models.Distance.EUCLID: edge.Distance.Euclid,
    models.Distance.MANHATTAN: edge.Distance.Manhattan,
}
INDEXES: Final = {
    models.PayloadSchemaType.KEYWORD: edge.PayloadSchemaType.Keyword,
    models.PayloadSchemaType.INTEGER: edge.PayloadSchemaType.Integer,
    models.PayloadSchemaType.FLOAT: edge.PayloadSchemaType.Float,
    models.PayloadSchemaType.BOOL: edge.PayloadSchemaType.Bool,
    models.PayloadSchemaType.DATETIME: edge.PayloadSchemaType.Datetime,
}

_FUSIONS = {models.Fusion.RRF: lambda: edge.Fusion.Rrf(k=2), models.Fusion.DBSF: edge.Fusion.Dbsf}
_MMR_CANDIDATES = 100
_DIMENSION_MAX = 2**32 - 1
_FLOAT32_MAX = 3.4e38


def filter_of(source: models.Filter | None) -> edge.Filter | None:
    """Convert a filter; None and the empty filter match everything."""
    if source is None:
        return None
    least = source.min_should
    at_least = None
    if least is not None:
        at_least = edge.MinShould(_conditions(least.conditions) or [], least.min_count)
    return edge.Filter(
        must=_conditions(source.must),
        should=_conditions(source.should),
        must_not=_conditions(source.must_not),
        min_should=at_least,
    )


def _conditions(source: Any) -> list[Any] | None:
    if source is None:
        return None
    return [condition(one) for one in (source if isinstance(source, list) else [source])]


@singledispatch
def condition(source: object) -> Any:
    """Convert one condition.

    Raises:
        StoreError: a kind that Qdrant Edge, or this adapter, does not have.
    """
    raise StoreError(f"the embedded store has no {type(source).__name__}")


@condition.register
def _(source: models.Filter) -> Any:
    return filter_of(source)


@condition.register
def _(source: models.HasIdCondition) -> Any:
    return edge.HasIdCondition(set(source.has_id))


@condition.register
def _(source: models.HasVectorCondition) -> Any:
    return edge.HasVectorCondition(source.has_vector)


@condition.register
def _(source: models.IsEmptyCondition) -> Any:
    return edge.IsEmptyCondition(source.is_empty.key)


@condition.register
def _(source: models.IsNullCondition) -> Any:
    return edge.IsNullCondition(source.is_null.key)


@condition.register
def _(source: models.FieldCondition) -> Any:
    return edge.FieldCondition(
        source.key,
        match=_match(source.match) if source.match is not None else None,
        range=_range(source.range) if source.range is not None else None,
        is_empty=source.is_empty,
        is_null=source.is_null,
    )


def _match(source: object) -> Any:
    match source:
        case models.MatchValue():
            # A Python bool would be taken for the integer that it is.
            value: Any = source.value
            exact: Any = np.bool_(value) if isinstance(value, bool) else value
            return edge.MatchValue(exact)
        case models.MatchAny():
            return edge.MatchAny(source.any)
        case models.MatchExcept():
            return edge.MatchExcept(source.except_)
    raise StoreError(f"the embedded store has no {type(source).__name__}")


def _range(source: object) -> Any:
    if isinstance(source, models.Range):
        return edge.RangeFloat(gte=source.gte, gt=source.gt, lte=source.lte, lt=source.lt)
    if isinstance(source, models.DatetimeRange):
        bounds = {name: getattr(source, name) for name in ("gte", "gt", "lte", "lt")}
        return edge.RangeDateTime(**{k: v.isoformat() for k, v in bounds.items() if v is not None})
    raise StoreError(f"the embedded store has no {type(source).__name__}")


def query(source: Any, using: str | None) -> Any:
    """Convert a query; a bare list is a nearest-neighbour query.

    Raises:
        StoreError: a kind that this adapter does not have.
    """
    if source is None:
        return None
    if isinstance(source, list):
        return edge.Query.Nearest(source, using=using)
    if isinstance(source, models.SparseVector):
        return edge.Query.Nearest(_sparse(source), using=using)
    if isinstance(source, models.NearestQuery):
        return _nearest(source, using)
    if isinstance(source, models.FusionQuery):
        return _FUSIONS[source.fusion]()
    raise StoreError(f"the embedded store has no {type(source).__name__}")


def _nearest(source: models.NearestQuery, using: str | None) -> Any:
    vector: Any = source.nearest
    if source.mmr is None:
        return edge.Query.Nearest(vector, using=using)
    diversity = 0.5 if source.mmr.diversity is None else source.mmr.diversity
    candidates = source.mmr.candidates_limit or _MMR_CANDIDATES
    return edge.Mmr(vector, 1.0 - diversity, candidates, using=using)


def pool_of(source: Any) -> int:
    """Return how many candidates a query chooses among by itself; 0 for all others."""
    if isinstance(source, models.NearestQuery) and source.mmr is not None:
        return source.mmr.candidates_limit or _MMR_CANDIDATES
    return 0


def prefetch(source: Sequence[models.Prefetch] | None, params: Any) -> list[edge.Prefetch] | None:
    """Convert prefetches, each searched with ``params``."""
    if not source:
        return None
    return [
        edge.Prefetch(
            one.limit or 10,
            query=query(one.query, one.using),
            prefetches=prefetch(_listed(one.prefetch), params),
            params=params,
            filter=filter_of(one.filter),
        )
        for one in source
    ]


def vectors(source: Any) -> Any:
    """Convert a point's named vectors."""
    return {
        name: _sparse(vector) if isinstance(vector, models.SparseVector) else vector
        for name, vector in source.items()
    }


def _sparse(source: models.SparseVector) -> Any:
    """Convert a sparse vector that is well-formed.

    The engine panics at another, and then at every later start, as its log is replayed.
    """
    indices, values = source.indices, source.values
    if len(indices) != len(values) or not all(map(operator.lt, indices, indices[1:])):
        raise StoreError("a sparse vector needs one value for each of its rising indices")
    if indices and not (indices[0] >= 0 and indices[-1] <= _DIMENSION_MAX):
        raise StoreError(f"a sparse vector's indices are 0 to {_DIMENSION_MAX}")
    if not all(map(math.isfinite, values)) or max(map(abs, values), default=0.0) > _FLOAT32_MAX:
        raise StoreError("a sparse vector with a number that is not finite")
    return edge.SparseVector(indices, values)


def selector(source: bool | Sequence[str]) -> Any:
    """Convert ``with_payload`` or ``with_vectors``."""
    return source if isinstance(source, bool) else list(source)


def _listed(source: Any) -> list[models.Prefetch] | None:
    return source if source is None or isinstance(source, list) else [source]
