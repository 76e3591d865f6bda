"""A dict with an upper bound."""

from __future__ import annotations

from indexer.stores.bounded import BoundedDict


def test_the_first_added_goes_when_there_are_too_many():
    kept: BoundedDict[str, int] = BoundedDict(2)
    for n, key in enumerate("abac"):
        kept[key] = n
    assert kept == {"b": 1, "c": 3}


def test_changing_a_value_forgets_nothing():
    kept: BoundedDict[str, int] = BoundedDict(2)
    kept["a"], kept["b"] = 1, 2
    kept["a"] = 3
    assert kept == {"a": 3, "b": 2}
