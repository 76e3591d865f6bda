"""The `filter` parameter: `category=books`, `price<=50`, `tags~rust`, as Qdrant conditions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from qdrant_client import models

from indexer.domain.items import FilterKind
from indexer.errors import FieldError, InvalidInput
from indexer.stores.items import FEATURE_PREFIX

__all__ = ["FILTERS_MAX", "Conditions", "parse_filters"]

FILTERS_MAX: Final = 20
_VALUES_MAX = 100
_FILTER = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_-]*)\s*(!=|<=|>=|=|<|>|~)(.*)", re.DOTALL)
_COMMA = re.compile(r"(?<!\\),")
_OPERATORS: Final[Mapping[FilterKind, str]] = {
    "keyword": "= != ~",
    "number": "= != < <= > >=",
    "bool": "= !=",
}
_BOUNDS: Final[Mapping[str, Callable[[float], models.Range]]] = {
    "<": lambda bound: models.Range(lt=bound),
    "<=": lambda bound: models.Range(lte=bound),
    ">": lambda bound: models.Range(gt=bound),
    ">=": lambda bound: models.Range(gte=bound),
}


@dataclass(slots=True)
class Conditions:
    """What an item must and must not be."""

    must: list[models.Condition] = field(default_factory=list)
    must_not: list[models.Condition] = field(default_factory=list)

    def hide(self, filters: Sequence[str], kinds: Mapping[str, FilterKind]) -> None:
        """Leave out what all of ``filters`` hold for, which nothing does that lacks a feature."""
        try:
            hidden = parse_filters(filters, kinds)
        except InvalidInput:
            return
        self.must_not.append(
            models.Filter(must=hidden.must or None, must_not=hidden.must_not or None)
        )


def parse_filters(filters: Sequence[str], kinds: Mapping[str, FilterKind]) -> Conditions:
    """Turn filters, all of which must hold, into conditions on item features.

    ``kinds``: the features that can be filtered by. A comma separates alternatives; write ``\\,``
    for one inside a value.

    Raises:
        InvalidInput: naming the filter and what is accepted.
    """
    if len(filters) > FILTERS_MAX:
        raise InvalidInput([FieldError(("filter",), f"{len(filters)}, at most {FILTERS_MAX}")])
    conditions = Conditions()
    for text in filters:
        try:
            _add(conditions, text, kinds)
        except ValueError as exc:
            raise InvalidInput([FieldError(("filter",), f"{text[:80]!r}: {exc}")]) from exc
    return conditions


def _add(conditions: Conditions, text: str, kinds: Mapping[str, FilterKind]) -> None:
    match = _FILTER.fullmatch(text.strip())
    if match is None:
        raise ValueError("not of the form feature=value (operators: = != < <= > >= ~)")
    name, operator, rest = match.groups()
    kind = kinds.get(name)
    if kind is None:
        known = ", ".join(sorted(kinds)) or "nothing, as the catalogue is empty"
        raise ValueError(f"{name!r} cannot be filtered by; accepted: {known}")
    if operator not in _OPERATORS[kind].split():
        raise ValueError(f"{name!r} is a {kind}; accepted operators: {_OPERATORS[kind]}")
    values = [part.replace("\\,", ",").strip() for part in _COMMA.split(rest)]
    if not all(values) or len(values) > _VALUES_MAX:
        raise ValueError(f"1 to {_VALUES_MAX} values are needed, none of them empty")
    condition = _condition(FEATURE_PREFIX + name, kind, operator, values)
    (conditions.must_not if operator == "!=" else conditions.must).append(condition)


def _condition(key: str, kind: FilterKind, operator: str, values: list[str]) -> models.Condition:
    if kind == "keyword":
        return models.FieldCondition(key=key, match=models.MatchAny(any=values))
    if kind == "bool":
        return models.FieldCondition(key=key, match=models.MatchValue(value=_bool(values)))
    if operator in _BOUNDS:
        if len(values) > 1:
            raise ValueError(f"{operator} takes one number")
        return models.FieldCondition(key=key, range=_BOUNDS[operator](_number(values[0])))
    equal: list[models.Condition] = [
        models.FieldCondition(key=key, range=models.Range(gte=n, lte=n))
        for n in map(_number, values)
    ]
    return equal[0] if len(equal) == 1 else models.Filter(should=equal)


def _bool(values: list[str]) -> bool:
    if len(values) != 1 or values[0].lower() not in ("true", "false"):
        raise ValueError("true or false is accepted")
    return values[0].lower() == "true"


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is not a finite number")
    return number
