"""What a simulated shopper of the demo does next, and when a page is opened."""

from __future__ import annotations

import random
from typing import Any

import pytest

from recsvc.demo.command import can_show_pages
from recsvc.demo.readers import Reader, history, readers
from recsvc.demo.shoppers import Shopper

pytestmark = pytest.mark.anyio

BOUGHT = ["view", "click", "add_to_cart", "purchase"]
ITEMS: dict[str, dict[str, Any]] = {
    **{f"crime-{n}": {"title": f"Crime {n} (Case #{n})", "genres": ["crime"]} for n in range(20)},
    **{f"poem-{n}": {"title": f"Poem {n}", "genres": ["poetry"]} for n in range(20)},
}


def reader(*values: int, kind: str = "crime") -> Reader:
    """A reader who gave the first books of a kind these ratings."""
    rated = [
        {"event_type": "rate", "item_id": f"{kind}-{n}", "value": v} for n, v in enumerate(values)
    ]
    return Reader(
        "r1", tuple({"event_id": f"e{n}", "user_id": "r1", **one} for n, one in enumerate(rated))
    )


async def shown_nothing(_: str) -> list[str]:
    return []


async def all_of(shopper: Shopper, shown: list[str]) -> list[dict[str, Any]]:
    """All that a shopper does who is always shown the same."""

    async def look(_: str) -> list[str]:
        return shown

    done = []
    while not shopper.is_done:
        done.append(await shopper.next(look))
        shopper.sent()
    return done


async def test_a_shopper_goes_on_with_the_readers_next_real_ratings():
    shopper = Shopper(reader(5, 5, 5, 2, 4, 3), ITEMS, random.Random(1))
    assert [one["value"] for one in shopper.past] == [5, 5, 5]
    rated = [e for e in await all_of(shopper, []) if e["event_type"] == "rate"]
    assert [(e["item_id"], e["value"]) for e in rated] == [
        ("crime-3", 2),
        ("crime-4", 4),
        ("crime-5", 3),
    ]


async def test_what_is_rated_well_was_bought_and_nothing_else():
    done = await all_of(Shopper(reader(5, 5, 5, 2, 4, 3), ITEMS, random.Random(2)), [])
    assert {e["item_id"] for e in done if e["event_type"] == "purchase"} == {"crime-4"}
    for item_id in ("crime-3", "crime-4", "crime-5"):
        types = [e["event_type"] for e in done if e.get("item_id") == item_id]
        assert types == [*(BOUGHT if item_id == "crime-4" else BOUGHT[:2]), "rate"]


async def test_a_search_is_for_the_title_of_what_is_looked_at_then():
    done = await all_of(Shopper(reader(*[4] * 18), ITEMS, random.Random(3)), [])
    at = [n for n, e in enumerate(done) if e["event_type"] == "search"]
    assert at
    for n in at:
        number = done[n + 1]["item_id"].removeprefix("crime-")
        assert done[n]["query"] == f"crime {number}"


async def test_a_shopper_buys_from_the_list_what_suits_and_only_looks_at_the_rest():
    done = await all_of(
        Shopper(reader(*[5] * 9), ITEMS, random.Random(4)), ["poem-1", "crime-0", "poem-2"]
    )
    picked = [e for e in done if e.get("item_id") in ("crime-0", "poem-1", "poem-2")]
    assert {e["item_id"] for e in picked if e["event_type"] == "purchase"} == {"crime-0"}


async def test_every_event_has_an_id_of_its_own():
    done = await all_of(Shopper(reader(*[3] * 8), ITEMS, random.Random(5)), ["crime-8"])
    assert len({e["event_id"] for e in done}) == len(done)


async def test_an_event_is_offered_until_it_is_sent():
    shopper = Shopper(reader(4, 4), ITEMS, random.Random(6))
    first = await shopper.next(shown_nothing)
    assert await shopper.next(shown_nothing) == first
    shopper.sent()
    assert await shopper.next(shown_nothing) != first


def test_the_readers_of_the_sample_keep_their_order():
    events = history()
    found = readers(events)
    assert sum(len(one.ratings) for one in found) == len(events)
    assert found[0].user_id == events[0]["user_id"]
    assert all(
        one.ratings == tuple(e for e in events if e["user_id"] == one.user_id) for one in found[:3]
    )


@pytest.mark.parametrize(
    ("platform", "environment", "terminal", "can"),
    [
        ("linux", {"DISPLAY": ":0"}, True, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True, True),
        ("linux", {}, True, False),
        ("linux", {"DISPLAY": ""}, True, False),
        ("linux", {"DISPLAY": ":0"}, False, False),
        ("darwin", {}, True, True),
        ("win32", {}, False, False),
    ],
)
def test_a_page_is_opened_only_where_somebody_can_see_it(
    platform: str, environment: dict[str, str], terminal: bool, can: bool
):
    assert can_show_pages(platform, environment, terminal=terminal) is can
