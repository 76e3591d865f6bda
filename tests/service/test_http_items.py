"""The catalogue over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from shop import ITEMS, Shop, chunks, event, fresh, ids, locations, open_shop, refused

pytestmark = pytest.mark.anyio

_NDJSON = {"content-type": "application/x-ndjson"}
_ZERO = {"stored": 0, "unchanged": 0, "pending": [], "rejected": [], "rejected_count": 0}


def _item(item_id: str, **features: Any) -> dict[str, Any]:
    return {"item_id": item_id, "features": {"title": f"teapot {item_id}", **features}}


async def test_an_item_that_is_put_can_be_got_as_it_was_sent(new_shop: Shop) -> None:
    sent = {
        "features": {"title": "a\u0000b 🫖 ü", "price": 3.25, "n": 7, "on": True, "tags": ["x"]},
        "text": "blue teapot",
        "available_from": 1_700_000_000,
        "available_until": "2100-01-01T00:00:00Z",
    }
    put = await new_shop.client.put("/v1/items/tea:pot.1", json=sent)
    assert put.json() == {**_ZERO, "stored": 1}
    got = (await new_shop.client.get("/v1/items/tea:pot.1")).json()
    assert got == {
        **sent,
        "item_id": "tea:pot.1",
        "available_from": 1_700_000_000.0,
        "available_until": 4_102_444_800.0,
        "pending": None,
    }


async def test_an_item_survives_a_restart(tmp_path: Path) -> None:
    async with open_shop(tmp_path) as shop:
        await shop.put(_item("teapot", category="tea"))
    async with open_shop(tmp_path, items=False) as shop:
        got = await shop.client.get("/v1/items/teapot")
        assert got.json()["features"]["category"] == "tea"
        answer = await shop.recommend(fresh(), filter="category=tea")
        assert ids(answer) == ["teapot"]


async def test_an_item_put_again_is_unchanged_until_something_of_it_changes(new_shop: Shop) -> None:
    first = _item("teapot", price=5)
    assert await new_shop.put(first) == {**_ZERO, "stored": 1}
    assert await new_shop.put(first) == {**_ZERO, "unchanged": 1}
    changed = _item("teapot", price=6)
    assert await new_shop.put(changed) == {**_ZERO, "stored": 1}
    assert await new_shop.put({**changed, "text": "pot"}) == {**_ZERO, "stored": 1}
    assert await new_shop.put({**changed, "available_until": 9e9}) == {**_ZERO, "stored": 1}
    got = (await new_shop.client.get("/v1/items/teapot")).json()
    assert got["features"]["price"] == 6
    assert got["text"] is None


async def test_a_change_is_in_the_next_answer(new_shop: Shop) -> None:
    user = fresh()
    await new_shop.send(event(user, "garden-01"))
    await new_shop.put({"item_id": "garden-02", "features": {**ITEMS["garden-02"], "price": 1_000}})
    answer = await new_shop.recommend(user, filter="price>500")
    assert ids(answer) == ["garden-02"]
    moved = {**ITEMS["garden-03"], "title": "football", "category": "sport", "tags": ["team"]}
    await new_shop.put({"item_id": "garden-03", "features": moved})
    similar = await new_shop.client.get("/v1/items/garden-03/similar", params={"limit": 5})
    assert {item["features"]["category"] for item in similar.json()["items"]} == {"sport"}


async def test_an_id_in_the_body_must_be_that_of_the_path(new_shop: Shop) -> None:
    answer = await new_shop.client.put("/v1/items/teapot", json=_item("kettle"))
    assert locations(refused(answer)) == [["item_id"]]
    refused(await new_shop.client.get("/v1/items/teapot"), 404)
    same = await new_shop.client.put("/v1/items/teapot", json=_item("teapot"))
    assert same.json()["stored"] == 1


async def test_a_deleted_item_is_gone_from_everywhere(new_shop: Shop) -> None:
    user = fresh()
    await new_shop.send(event(user, "garden-01"))
    gone = await new_shop.client.delete("/v1/items/garden-05")
    assert (gone.status_code, gone.content) == (204, b"")
    refused(await new_shop.client.get("/v1/items/garden-05"), 404)
    refused(await new_shop.client.get("/v1/items/garden-05/similar"), 404)
    refused(await new_shop.client.delete("/v1/items/garden-05"), 404)
    for who in (user, fresh()):
        assert "garden-05" not in ids(await new_shop.recommend(who, limit=100))


async def test_what_users_learned_from_a_deleted_item_stays(new_shop: Shop) -> None:
    user = fresh()
    await new_shop.send(event(user, "garden-05", "purchase"))
    await new_shop.client.delete("/v1/items/garden-05")
    answer = await new_shop.recommend(user, limit=5, explain=True)
    assert answer["strategy"] == "personal"
    assert {item["features"]["category"] for item in answer["items"]} == {"garden"}


async def test_a_deleted_item_stays_deleted_after_a_restart_and_can_come_back(
    tmp_path: Path,
) -> None:
    async with open_shop(tmp_path) as shop:
        await shop.client.delete("/v1/items/garden-05")
    async with open_shop(tmp_path, items=False) as shop:
        refused(await shop.client.get("/v1/items/garden-05"), 404)
        assert (await shop.put(_item("garden-05")))["stored"] == 1
        assert (await shop.client.get("/v1/items/garden-05")).status_code == 200


async def test_a_list_stores_the_good_items_and_names_the_bad(new_shop: Shop) -> None:
    result = await new_shop.put(
        _item("t1"),
        {"item_id": "bad id", "features": {}},
        {"item_id": "t2"},
        _item("t3"),
        7,  # type: ignore[arg-type]
        {"item_id": "t4", "features": {"a": {"nested": 1}}},
        _item("t1"),
    )
    assert result["stored"] == 2
    assert [row["line"] for row in result["rejected"]] == [2, 3, 5, 6]
    assert [row["item_id"] for row in result["rejected"]] == ["bad id", "t2", None, "t4"]
    assert all(row["reason"] for row in result["rejected"])
    assert (await new_shop.client.get("/v1/items/t3")).status_code == 200


@pytest.mark.parametrize(
    "features",
    [
        '{"price": NaN}',
        '{"price": Infinity}',
        '{"price": -1e999}',
        '{"price": 123456789012345678901234567890}',
        '{"sizes": [1, NaN]}',
        '{"mixed": [1, "a"]}',
        '{"deep": ' + "[" * 20 + "]" * 20 + "}",
        '{"bad name": 1}',
        json.dumps({f"f{n}": 1 for n in range(65)}),
        json.dumps({"long": "x" * 8193}),
        json.dumps({"many": ["x"] * 257}),
    ],
)
async def test_features_that_cannot_be_kept_are_rejected_in_every_kind_of_body(
    tmp_path: Path, features: str
) -> None:
    row = f'{{"item_id": "odd", "features": {features}}}'
    async with open_shop(tmp_path, items=False) as shop:
        refused(await shop.client.put("/v1/items/odd", content=row))
        body = f"[{row}, {json.dumps(_item('listed'))}]"
        listed = await shop.client.post("/v1/items", content=body)
        assert listed.status_code == 200, listed.text
        assert [one["line"] for one in listed.json()["rejected"]] == [1]
        assert listed.json()["stored"] == 1
        body = f"{row}\n{json.dumps(_item('line'))}"
        lines = await shop.client.post("/v1/items", content=body, headers=_NDJSON)
        assert [one["line"] for one in lines.json()["rejected"]] == [1]
        assert lines.json()["stored"] == 1
        refused(await shop.client.get("/v1/items/odd"), 404)


@pytest.mark.parametrize(
    "body",
    [
        {"features": {}, "item_id": 7},
        {"features": {}, "colour": "red"},
        {"features": []},
        {"text": "no features"},
        {"features": {}, "text": ""},
        {"features": {}, "available_from": 5, "available_until": 5},
        {"features": {}, "available_from": "tomorrow"},
        [],
    ],
)
async def test_a_malformed_item_is_refused(shop: Shop, body: object) -> None:
    refused(await shop.client.put("/v1/items/odd", json=body))
    refused(await shop.client.get("/v1/items/odd"), 404)


async def test_an_item_with_no_features_at_all_is_stored(new_shop: Shop) -> None:
    put = await new_shop.client.put("/v1/items/bare", json={"features": {}})
    assert put.json()["stored"] == 1


async def test_json_lines_of_any_length_are_stored_and_bad_lines_named(new_shop: Shop) -> None:
    rows = [json.dumps(_item(f"n{n}", note="x" * 4_000)) for n in range(2_500)]
    rows[10] = "{oops"
    rows[20] = ""
    rows[30] = '{"features": {}}'
    body = "\r\n".join(rows).encode()
    assert len(body) > 8 * 1024 * 1024

    async def pieces():  # type: ignore[no-untyped-def]
        for piece in chunks(body, 70_001):
            yield piece

    answer = await new_shop.client.post("/v1/items", content=pieces(), headers=_NDJSON)
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert result["stored"] == 2_497
    assert [row["line"] for row in result["rejected"]] == [11, 31]


async def test_a_list_beyond_8_mib_is_413_and_nothing_of_it_stored(new_shop: Shop) -> None:
    body = json.dumps([_item(f"n{n}", note="x" * 8_000) for n in range(1_100)])
    refused(await new_shop.client.post("/v1/items", content=body), 413)
    refused(await new_shop.client.get("/v1/items/n1"), 404)


@pytest.mark.parametrize("body", [[], {}, "x", None])
async def test_a_body_that_is_no_list_of_items_is_refused(shop: Shop, body: object) -> None:
    refused(await shop.client.post("/v1/items", json=body))


async def test_the_later_of_two_rows_of_an_id_counts(new_shop: Shop) -> None:
    result = await new_shop.put(_item("twice", price=1), _item("twice", price=2))
    assert result["stored"] == 1
    got = await new_shop.client.get("/v1/items/twice")
    assert got.json()["features"]["price"] == 2


async def test_an_unknown_item_and_a_malformed_id_are_told_apart(shop: Shop) -> None:
    refused(await shop.client.get("/v1/items/ghost"), 404)
    assert locations(refused(await shop.client.get("/v1/items/a%20b"))) == [["path", "item_id"]]
