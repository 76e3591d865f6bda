"""The filter language of `filters.py`, asked of one item's features instead of the store.

A filter means the same in both, with one difference that cannot be helped: the store knows the
kind of a feature for the whole catalogue, this knows the kind of one value. So a feature that is
text in some items and a number in others is compared as whatever it is here.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from recsvc.filters import FILTERS_MAX

__all__ = ["Matches", "compile_filter", "compile_filters"]

Matches = Callable[[Mapping[str, Any]], bool]
"""Whether an item with these features is meant."""

_VALUES_MAX: Final = 100
_FILTER: Final = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_-]*)\s*(!=|<=|>=|=|<|>|~)(.*)", re.DOTALL)
_COMMA: Final = re.compile(r"(?<!\\),")
_BOUNDS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FLAGS: Final[Mapping[str, bool]] = {"true": True, "false": False}

_Test = Callable[[object], bool]


def compile_filters(texts: Sequence[str]) -> Matches:
    """Turn filters, all of which must hold, into one function; none of them hold for all items.

    Raises:
        ValueError: naming the filter and what is accepted.
    """
    if len(texts) > FILTERS_MAX:
        raise ValueError(f"{len(texts)} filters, at most {FILTERS_MAX}")
    compiled = [compile_filter(text) for text in texts]
    if len(compiled) == 1:
        return compiled[0]
    return lambda features: all(matches(features) for matches in compiled)


def compile_filter(text: str) -> Matches:
    """Turn one filter into a function of an item's features.

    A list matches if any of its values does. ``!=`` is none of the alternatives, so it holds where
    the feature is absent; every other operator does not. Words are compared as they are, numbers
    by value, booleans with ``true`` and ``false`` in any case; ``~`` is for words, ``< <= > >=``
    for numbers, and neither matches anything else.

    Raises:
        ValueError: naming the filter and what is accepted.
    """
    parsed = _FILTER.fullmatch(text.strip())
    if parsed is None:
        raise ValueError(
            f"{text[:80]!r}: not of the form feature=value (operators: = != < <= > >= ~)"
        )
    name, sign, rest = parsed.groups()
    values = [part.replace("\\,", ",").strip() for part in _COMMA.split(rest)]
    if not all(values) or len(values) > _VALUES_MAX:
        raise ValueError(f"{text[:80]!r}: 1 to {_VALUES_MAX} values are needed, none of them empty")
    if sign in _BOUNDS:
        bound = _number(values[0]) if len(values) == 1 else None
        if bound is None:
            raise ValueError(f"{text[:80]!r}: {sign} takes one finite number")
        return _any_of(name, _within(_BOUNDS[sign], bound))
    matches = _any_of(name, _one_of_words(values) if sign == "~" else _equal(values))
    return matches if sign != "!=" else lambda features: not matches(features)


def _any_of(name: str, test: _Test) -> Matches:
    def matches(features: Mapping[str, Any]) -> bool:
        value = features.get(name)
        return any(map(test, value)) if isinstance(value, list) else test(value)

    return matches


def _within(compare: Callable[[float, float], bool], bound: float) -> _Test:
    def test(value: object) -> bool:
        # To Python a boolean is a number; to the store it is not.
        return (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and compare(value, bound)
        )

    return test


def _one_of_words(values: Sequence[str]) -> _Test:
    words = frozenset(values)
    return lambda value: isinstance(value, str) and value in words


def _equal(values: Sequence[str]) -> _Test:
    words = frozenset(values)
    numbers = frozenset(map(_number, values)) - {None}
    flags = frozenset(_FLAGS[word.lower()] for word in values if word.lower() in _FLAGS)

    def test(value: object) -> bool:
        if isinstance(value, str):
            return value in words
        if isinstance(value, bool):
            return value in flags
        return isinstance(value, (int, float)) and value in numbers

    return test


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
