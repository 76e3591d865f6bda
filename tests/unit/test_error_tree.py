"""Errors: the tree that is drawn is the tree that is there."""

from __future__ import annotations

import inspect
import re

import pytest

from indexer import errors
from indexer.errors import EventConflict, FieldError, InvalidInput, RecsvcError

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, RecsvcError)
}


def drawn() -> dict[str, tuple[str | None, bool]]:
    """Read the docstring's tree: each error's parent, and whether it is called retryable."""
    tree: dict[str, tuple[str | None, bool]] = {}
    path: list[tuple[int, str]] = []
    for line in inspect.getdoc(errors).splitlines():
        found = re.fullmatch(r"([\s│├└─]*)([A-Z]\w+)(?:\s{2,}(.*))?", line)
        if found is None or not line.startswith(" "):
            continue
        depth, name, said = len(found[1]), found[2], found[3] or ""
        path = [(d, n) for d, n in path if d < depth]
        tree[name] = (path[-1][1] if path else None, "(retryable)" in said)
        path.append((depth, name))
    return tree


def test_the_tree_that_is_drawn_names_every_error():
    assert drawn().keys() == CLASSES.keys()


def test_the_public_names_are_the_errors_what_they_carry_and_how_to_tell_them():
    assert set(errors.__all__) == {*CLASSES, "FieldError", "unforeseen"}


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_each_error_is_where_it_is_drawn(name: str):
    parent, _ = drawn()[name]
    assert CLASSES[name].__base__.__name__ == (parent or "Exception")


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_each_error_is_as_retryable_as_it_is_drawn(name: str):
    _, retryable = drawn()[name]
    assert CLASSES[name].retryable is retryable


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_each_error_says_what_it_is(name: str):
    assert CLASSES[name].__doc__


def test_refused_input_names_its_fields():
    refused = InvalidInput([FieldError(("items", 0, "price"), "too low"), FieldError((), "odd")])
    assert str(refused) == "items.0.price: too low; odd"


def test_refused_input_may_be_a_sentence():
    assert InvalidInput("too much").errors == [FieldError((), "too much")]


def test_a_conflict_names_ten_events_at_the_most():
    conflict = EventConflict([("u", f"e{number}") for number in range(99)])
    assert len(conflict.events) == 99
    assert str(conflict).endswith("e8 of user u, e9 of user u")


def test_only_errors_that_are_none_of_ours_are_unforeseen():
    assert errors.unforeseen(KeyError("x"))
    assert not errors.unforeseen(errors.StoreUnavailable("away"))
