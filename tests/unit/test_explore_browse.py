"""Searching by words, and how much is read for a map."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from recsvc.explore.browse import WORDS_MAX, matches
from recsvc.explore.layout import PLACED_MAX
from recsvc.explore.maps import READ_MAX, read_items
from recsvc.explore.scan import folded

pytestmark = pytest.mark.anyio


def _labels(*titles: str) -> list[tuple[str, str]]:
    return [(f"p{n}", folded(f"i{n}\n{title}")) for n, title in enumerate(titles)]


async def test_what_has_all_words_is_found_the_best_fitting_first():
    labels = _labels("Dune", "Children of Dune", "dune messiah", "Duty", "The Dunes of Dune")
    assert await matches(labels, "DUNE") == [["p0"], ["p2"], ["p1", "p4"], []]
    assert await matches(labels, "of  dune") == [[], [], ["p1", "p4"], []]
    assert await matches(labels, "dune of") == [[], [], [], ["p1", "p4"]]
    assert await matches(labels, "dune", but="p0") == [[], ["p2"], ["p1", "p4"], []]


@pytest.mark.parametrize("text", ["\u0301", "\u0301\u0302 \u0303", "  "])
async def test_a_text_without_words_finds_nothing_by_words(text: str):
    assert await matches(_labels("Dune", "Duty"), text) == [[], [], [], []]


async def test_words_are_looked_for_once_and_up_to_a_bound():
    labels = _labels("a1 b1")
    many = " ".join(["a1"] * 500)
    assert await matches(labels, many) == [[], [], [], ["p0"]]
    beyond = " ".join(f"w{n}" for n in range(WORDS_MAX)) + " beyond"
    title = " ".join(f"w{n}" for n in range(WORDS_MAX))
    assert await matches(_labels(title), beyond) == [[], [], [], ["p0"]]


async def test_other_work_goes_on_while_many_labels_are_looked_through():
    labels = _labels(*["same title"] * 20_000)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(others())
    found = await matches(labels, "same title")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(found[0]) == 20_000
    assert turns >= 19


class Pages:
    """A store that gives items page by page without end."""

    def __init__(self, embedded: bool) -> None:
        self.read, self._embedded = 0, embedded

    async def scroll(self, *_: Any, limit: int, **more: Any) -> tuple[list[models.Record], str]:
        start, self.read = self.read, self.read + limit
        vector: Mapping[str, Any] = {"content": [1.0, 0.0]} if self._embedded else {}
        payload = {"item_id": "i", "features": {}}
        page = [
            models.Record(id=n, payload=payload, vector=dict(vector))
            for n in range(start, self.read)
        ]
        return page, "more"


@pytest.mark.parametrize(("embedded", "found"), [(True, PLACED_MAX), (False, 0)])
async def test_a_map_is_made_of_so_many_items_however_few_have_a_vector(embedded: bool, found: int):
    store: Any = Pages(embedded)
    items, rows, whole = await read_items(store, "t", 2)
    assert found <= len(items) < found + 100
    assert rows.shape == (len(items), 2)
    assert rows.dtype == np.float32
    assert store.read <= READ_MAX + 100
    assert not whole
