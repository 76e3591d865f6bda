"""What the console looks at: the catalogue page by page, its features, and maps of it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from shop import CATEGORIES, ITEMS, Shop, event, fresh, ids, locations, refused, until

pytestmark = pytest.mark.anyio


async def _get(shop: Shop, path: str, **params: Any) -> dict[str, Any]:
    answer = await shop.client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def _known(shop: Shop, user_id: str) -> bool:
    return (await shop.client.get(f"/v1/users/{user_id}")).status_code == 200


async def _walked(shop: Shop, path: str, rows: str, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await _get(shop, path, **params, **cursor)
        found += page[rows]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


async def test_all_items_are_found_page_by_page_each_once(shop: Shop) -> None:
    walked = await _walked(shop, "/v1/items", "items", limit=7)
    mine = {one["item_id"]: one for one in walked if one["item_id"] in ITEMS}
    assert len([one for one in walked if one["item_id"] in ITEMS]) == len(ITEMS) == len(mine)
    assert mine["garden-01"] == {
        "item_id": "garden-01",
        "features": ITEMS["garden-01"],
        "pending": None,
    }
    assert walked == await _walked(shop, "/v1/items", "items", limit=100)


async def test_pages_can_be_filtered(shop: Shop) -> None:
    asked = ["category=novels", "price<=30"]
    walked = await _walked(shop, "/v1/items", "items", limit=2, filter=asked)
    wanted = [i for i, f in ITEMS.items() if f["category"] == "novels" and f["price"] <= 30]
    assert sorted(one["item_id"] for one in walked) == sorted(wanted)


async def test_words_of_a_title_or_an_id_come_before_what_is_alike(shop: Shop) -> None:
    spades = [i for i, f in ITEMS.items() if f["title"].startswith("spade")]
    found = ids(await _get(shop, "/v1/items", q="SPADE", limit=20))
    assert sorted(found[: len(spades)]) == sorted(spades)
    assert len(found) == 20
    assert len(set(found)) == 20
    assert ids(await _get(shop, "/v1/items", q="number spade 6", limit=1)) == ["garden-06"]
    assert ids(await _get(shop, "/v1/items", q="Spade number 1", limit=1)) == ["garden-01"]
    assert ids(await _get(shop, "/v1/items", q="sport-03", limit=1)) == ["sport-03"]
    assert ids(await _get(shop, "/v1/items", q="dumbb", limit=1))[0].startswith("sport-")


async def test_pages_of_a_search_go_on_where_the_one_before_ended(shop: Shop) -> None:
    whole = ids(await _get(shop, "/v1/items", q="spade", limit=40))
    paged: list[str] = []
    cursor: dict[str, str] = {}
    while len(paged) < 40:
        page = await _get(shop, "/v1/items", q="spade", limit=4, **cursor)
        paged += ids(page)
        cursor = {"cursor": page["next_cursor"]}
    assert paged == whole


async def test_a_search_keeps_to_the_filter(shop: Shop) -> None:
    found = await _get(shop, "/v1/items", q="number 7", filter=["category=sport"], limit=50)
    assert {one["features"]["category"] for one in found["items"]} == {"sport"}
    assert ids(found)[0] == "sport-07"
    assert len(ids(found)) == 15


async def test_a_search_finds_what_was_just_stored_and_not_what_was_deleted(
    new_shop: Shop,
) -> None:
    await _get(new_shop, "/v1/items", q="zeppelin")
    await new_shop.put({"item_id": "z1", "features": {"title": "Zeppelin"}})

    async def found() -> bool:
        return ids(await _get(new_shop, "/v1/items", q="zeppelin", limit=1)) == ["z1"]

    await until(found)
    assert (await new_shop.client.delete("/v1/items/z1")).status_code == 204
    assert "z1" not in ids(await _get(new_shop, "/v1/items", q="zeppelin", limit=100))


@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({"limit": 0}, ["query", "limit"]),
        ({"limit": 101}, ["query", "limit"]),
        ({"q": ""}, ["query", "q"]),
        ({"q": "  "}, ["query", "q"]),
        ({"q": "x" * 1001}, ["query", "q"]),
        ({"filter": "colour=red"}, ["filter"]),
        ({"cursor": "x"}, ["cursor"]),
        ({"cursor": "x", "q": "spade"}, ["cursor"]),
        ({"sort": "price"}, ["query", "sort"]),
    ],
)
async def test_a_refused_parameter_of_a_page_is_named(
    shop: Shop, params: dict[str, Any], where: list[str]
) -> None:
    answer = await shop.client.get("/v1/items", params=params)
    assert where in locations(refused(answer))


async def test_features_tell_kinds_values_and_ranges(new_shop: Shop) -> None:
    told = await _get(new_shop, "/v1/items/features")
    assert told["sampled"] is False
    assert told["items"] == len(ITEMS)
    features = {one["name"]: one for one in told["features"]}
    assert set(features) == {"category", "price", "tags", "in_stock"}
    assert features["category"]["kind"] == "keyword"
    counts = {one["value"]: one["count"] for one in features["category"]["values"]}
    assert counts == dict.fromkeys(CATEGORIES, 15)
    price = features["price"]
    assert (price["kind"], price["values"]) == ("number", [])
    assert (price["min"], price["max"]) == (5.0, 75.0)
    assert features["in_stock"]["values"] == [
        {"value": True, "count": 40},
        {"value": False, "count": 20},
    ]
    assert features["tags"]["values"][0] == {"value": "cooking", "count": 15}


async def test_an_item_may_be_called_features_and_is_found_by_searching(new_shop: Shop) -> None:
    await new_shop.put({"item_id": "features", "features": {"title": "A thing"}})
    assert ids(await _get(new_shop, "/v1/items", q="features", limit=1)) == ["features"]


async def test_the_map_has_a_place_for_each_item_and_its_value(new_shop: Shop) -> None:
    told = await _get(new_shop, "/v1/map", feature="category")
    assert (told["feature"], told["sampled"]) == ("category", False)
    assert {one["item_id"]: one["value"] for one in told["items"]} == {
        item_id: features["category"] for item_id, features in ITEMS.items()
    }
    assert {one["item_id"]: one["label"] for one in told["items"]} == {
        item_id: features["title"] for item_id, features in ITEMS.items()
    }
    assert all(-1 <= one[axis] <= 1 for one in told["items"] for axis in "xy")
    first, second = told["variance"]
    assert 0 < second <= first < 1
    some = await _get(new_shop, "/v1/map", limit=5)
    assert some["sampled"] is True
    assert [(one["x"], one["value"]) for one in some["items"]] == [
        (one["x"], None) for one in told["items"][:5]
    ]


async def test_a_user_is_on_the_map_where_the_items_are(new_shop: Shop) -> None:
    user, now = fresh(), time.time()
    await new_shop.send(
        event(user, "garden-01", "purchase", timestamp=now - 9),
        event(user, "garden-06", "purchase", timestamp=now - 5),
        {"user_id": user, "event_type": "search", "query": "spade"},
    )
    await new_shop.client.post("/v1/events", json=event(user, "unknown-item"))
    await new_shop.profile(user)
    places = {one["item_id"]: one for one in (await _get(new_shop, "/v1/map"))["items"]}
    told = await _get(new_shop, f"/v1/users/{user}/map")
    assert [one["item_id"] for one in told["recent"]] == ["garden-06", "garden-01"]
    for one in told["recent"]:
        assert (one["x"], one["y"]) == (places[one["item_id"]]["x"], places[one["item_id"]]["y"])
        assert (one["event_type"], one["label"]) == ("purchase", ITEMS[one["item_id"]]["title"])
    assert sum(one["share"] for one in told["interests"]) == pytest.approx(1.0, abs=0.01)
    assert any("garden-01" in one["items"] for one in told["interests"])
    for one in (told["taste"], told["profile"], *told["interests"]):
        assert -1 <= one["x"] <= 1
        assert -1 <= one["y"] <= 1


async def test_a_map_without_items_is_empty_and_users_are_nowhere(open_with: Any) -> None:
    async with open_with(items=False) as shop:
        told = await _get(shop, "/v1/map", feature="category")
        assert told == {
            "items": [],
            "feature": "category",
            "sampled": False,
            "variance": [0.0, 0.0],
        }
        await shop.client.post("/v1/events", json=event("ada", "nothing"))
        await until(lambda: _known(shop, "ada"))
        told = await _get(shop, "/v1/users/ada/map")
        assert told == {"interests": [], "taste": None, "profile": None, "recent": []}
        refused(await shop.client.get("/v1/users/nobody/map"), 404)


async def test_users_are_listed_page_by_page_each_once(new_shop: Shop) -> None:
    users = [fresh() for _ in range(5)]
    for n, user in enumerate(users):
        await new_shop.send(event(user, "garden-01", timestamp=1_700_000_000 + n))
    await new_shop.send(event(users[0], "garden-02", timestamp=1_600_000_000))
    walked = await _walked(new_shop, "/v1/users", "users", limit=2)
    assert sorted(one["user_id"] for one in walked) == sorted(users)
    first = next(one for one in walked if one["user_id"] == users[0])
    version = (await new_shop.user(users[0]))["version"]
    assert first == {
        "user_id": users[0],
        "version": version,
        "event_count": 2,
        "last_event_at": 1_700_000_000.0,
    }
    refused(await new_shop.client.get("/v1/users", params={"cursor": "x"}))
