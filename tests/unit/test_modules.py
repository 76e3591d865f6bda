"""What each module shows."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import pytest

import indexer
import recsvc

FOUND = [
    found
    for package in (indexer, recsvc)
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not found.name.endswith("__main__")
]
MODULES = [found.name for found in FOUND]


def loaded(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_there(name: str):
    module = loaded(name)
    public = getattr(module, "__all__", [])
    assert [one for one in public if not hasattr(module, one)] == []
    assert len(set(public)) == len(public)


@pytest.mark.parametrize("name", MODULES)
def test_no_public_name_is_private(name: str):
    public = getattr(loaded(name), "__all__", [])
    assert not any(one.startswith("_") for one in public)


@pytest.mark.parametrize("name", ["indexer", "recsvc", *MODULES])
def test_every_module_says_what_it_is(name: str):
    assert (loaded(name).__doc__ or "").strip()


@pytest.mark.parametrize("name", [found.name for found in FOUND if not found.ispkg])
def test_every_module_with_code_lists_its_public_names(name: str):
    assert hasattr(loaded(name), "__all__")
