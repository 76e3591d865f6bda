"""Conditions that a flat scan meets without a filter, which would make it look up every point.

Ids to leave out are dropped from a longer list; a condition on the tenant is left out while the
collection holds no other. Both give the answer that the filter would.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from itertools import chain
from typing import Any, Final

from qdrant_client import models

from indexer.ports import Hit

__all__ = [
    "NO_TENANT",
    "TENANT",
    "split_excluded",
    "text_of",
    "without_excluded",
    "without_tenant",
]

TENANT: Final = "tenant"
NO_TENANT: Final = ""
_TEXTS_MAX: Final = 262_144

_texts: dict[int, str] = {}


def without_tenant(source: models.Filter | None, tenants: Set[str]) -> models.Filter | None:
    """Leave out a condition on the tenant where ``tenants``, all that there are, meet it.

    `NO_TENANT` among them says that some points may have none, or another.
    """
    if source is None or len(tenants) != 1 or NO_TENANT in tenants:
        return source
    if not isinstance(source.must, list):
        return source
    (sole,) = tenants
    kept = [one for one in source.must if not _asks_for(one, sole)]
    return _rebuilt(source, must=kept, must_not=source.must_not)


def split_excluded(source: models.Filter | None) -> tuple[frozenset[str], models.Filter | None]:
    """Take the excluded point ids out of a filter's ``must_not``; the rest, None if empty."""
    denied = source.must_not if source is not None else None
    if source is None or not isinstance(denied, list):
        return frozenset(), source
    ids = [one for one in denied if isinstance(one, models.HasIdCondition)]
    if not ids:
        return frozenset(), source
    others = [one for one in denied if not isinstance(one, models.HasIdCondition)]
    rest = _rebuilt(source, must=source.must, must_not=others)
    return frozenset(map(str, chain.from_iterable(one.has_id for one in ids))), rest


def without_excluded(found: Sequence[Any], excluded: frozenset[str], most: int) -> list[Hit]:
    """Return the first ``most`` of the found points that are not excluded, without payloads."""
    kept: list[Hit] = []
    for point in found:
        point_id = text_of(point.id)
        if point_id not in excluded:
            kept.append(Hit(point_id, point.score, {}))
            if len(kept) == most:
                break
    return kept


def text_of(point_id: Any) -> str:
    """Return a point id, a UUID, as text; remembered, as making it takes as long as a search."""
    number = point_id.int
    text = _texts.get(number)
    if text is None:
        if len(_texts) >= _TEXTS_MAX:
            _texts.clear()
        text = _texts[number] = str(point_id)
    return text


def _asks_for(condition: object, tenant: str) -> bool:
    return (
        isinstance(condition, models.FieldCondition)
        and condition.key == TENANT
        and isinstance(condition.match, models.MatchValue)
        and condition.match.value == tenant
    )


def _rebuilt(source: models.Filter, *, must: Any, must_not: Any) -> models.Filter | None:
    """Return a filter with other ``must`` and ``must_not``, or None where nothing is left."""
    if not (must or must_not or source.should or source.min_should):
        return None
    return models.Filter.model_construct(
        must=must or None,
        must_not=must_not or None,
        should=source.should,
        min_should=source.min_should,
    )
