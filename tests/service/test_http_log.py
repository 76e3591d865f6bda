"""The newest events, dead letters and costs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from shop import Shop, event, fresh, locations, open_shop, refused, until

from indexer.domain.events import Event
from indexer.domain.position import read_position
from indexer.ports import EventRecord
from indexer.provider.ledger import CallRecord, today
from recsvc.security import Keyring

pytestmark = pytest.mark.anyio


async def _get(client: httpx.AsyncClient, path: str, **more: Any) -> dict[str, Any]:
    answer = await client.get(path, **more)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def _put_aside(shop: Shop, event_id: str, tenant: str = "default", **fields: Any) -> str:
    """Have an event be a dead letter; return the letter's id."""
    given = {"event_type": "click", "item_id": "garden-01", **fields}
    sent = Event(tenant, "ada", event_id, timestamp=1_700_000_000.0, **given)
    log = shop.runtime.log
    partition, offset = next(iter((await log.append([sent])).position.items()))
    await log.add_dead_letter(EventRecord(offset, time.time(), sent, partition), "it broke")
    letters = await log.dead_letters(tenant=tenant, limit=1000)
    return next(one.letter_id for one in letters if one.event["event_id"] == event_id)


async def test_the_newest_events_come_first_with_their_places(new_shop: Shop) -> None:
    sent = []
    for n in range(5):
        made = event(fresh(), f"garden-0{n}", event_id=fresh("e"), timestamp=1_700_000_000 - n)
        await new_shop.send(made)
        sent.append(made)
    query = {"user_id": fresh(), "event_type": "search", "query": "spade", "event_id": fresh("e")}
    answer = await new_shop.send(query)
    told = (await _get(new_shop.client, "/v1/events?limit=4"))["events"]
    assert [one["event_id"] for one in told] == [
        query["event_id"],
        *(one["event_id"] for one in reversed(sent[2:])),
    ]
    assert told[0]["query"] == "spade"
    assert "item_id" not in told[0]
    assert "value" not in told[0]
    assert told[0]["position"] == answer["position"]
    assert told[0]["accepted_at"] == pytest.approx(time.time(), abs=60)
    assert (told[1]["item_id"], told[1]["timestamp"]) == ("garden-04", 1_699_999_996.0)
    assert len((await _get(new_shop.client, "/v1/events"))["events"]) == 6
    refused(await new_shop.client.get("/v1/events?limit=501"))


async def test_events_of_an_erased_user_are_not_among_the_newest(shop: Shop) -> None:
    gone, stays = fresh(), fresh()
    await shop.send(event(gone, "garden-01"), event(stays, "garden-01"))
    assert (await shop.client.delete(f"/v1/users/{gone}")).status_code == 200
    told = (await _get(shop.client, "/v1/events?limit=500"))["events"]
    users = {one["user_id"] for one in told}
    assert stays in users
    assert gone not in users


async def test_dead_letters_are_told_with_reason_and_place(new_shop: Shop) -> None:
    letter_id = await _put_aside(new_shop, "e1")
    (told,) = (await _get(new_shop.client, "/v1/dead-letters"))["dead_letters"]
    assert read_position(told.pop("position"))
    assert told.pop("at") == pytest.approx(time.time(), abs=60)
    assert told == {
        "letter_id": letter_id,
        "reason": "it broke",
        "event": {
            "user_id": "ada",
            "event_id": "e1",
            "event_type": "click",
            "item_id": "garden-01",
            "timestamp": 1_700_000_000.0,
        },
    }


async def test_all_letters_are_sent_again_and_what_is_still_none_stays(new_shop: Shop) -> None:
    await _put_aside(new_shop, "e1")
    bad = await _put_aside(new_shop, "e2", event_type="dance")
    answer = await new_shop.client.post("/v1/dead-letters/retry")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["retried"] == 1
    assert [one["letter_id"] for one in told["kept"]] == [bad]
    assert "'dance' has no weight" in told["kept"][0]["reason"]
    left = (await _get(new_shop.client, "/v1/dead-letters"))["dead_letters"]
    assert [one["letter_id"] for one in left] == [bad]

    async def folded() -> bool:
        answer = await new_shop.client.get("/v1/users/ada")
        return answer.status_code == 200 and answer.json()["counts"].get("click", 0) >= 2

    await until(folded)  # the event itself, and the one that was sent again


async def test_an_event_that_is_put_aside_twice_and_sent_again_twice_counts_once(
    new_shop: Shop,
) -> None:
    await _put_aside(new_shop, "e1")
    log = new_shop.runtime.log
    record = await log.find("default", "ada", "e1")
    assert record is not None
    for _ in range(2):
        told = (await new_shop.client.post("/v1/dead-letters/retry")).json()
        assert told == {"retried": 1, "kept": []}
        await log.add_dead_letter(record, "it broke once more")
    assert await new_shop.stored_events() == 2


async def test_only_the_letters_that_are_named_are_sent_again(new_shop: Shop) -> None:
    first, second = await _put_aside(new_shop, "e1"), await _put_aside(new_shop, "e2")
    body = {"letter_ids": [second, "no-such"]}
    told = (await new_shop.client.post("/v1/dead-letters/retry", json=body)).json()
    assert told == {
        "retried": 1,
        "kept": [{"letter_id": "no-such", "reason": "there is no such letter"}],
    }
    left = (await _get(new_shop.client, "/v1/dead-letters"))["dead_letters"]
    assert [one["letter_id"] for one in left] == [first]
    none = (await new_shop.client.post("/v1/dead-letters/retry", json={"letter_ids": []})).json()
    assert none == {"retried": 0, "kept": []}


async def test_a_letter_is_mended_and_sent_again(new_shop: Shop) -> None:
    letter_id = await _put_aside(new_shop, "e1", event_type="dance")
    path = f"/v1/dead-letters/{letter_id}/retry"
    problem = refused(await new_shop.client.post(path))
    assert locations(problem) == [["event", "event_type"]]
    (letter,) = (await _get(new_shop.client, "/v1/dead-letters"))["dead_letters"]
    mended = {**letter["event"], "event_type": "rate"}
    problem = refused(await new_shop.client.post(path, json={"event": mended}))
    assert "rate needs value" in problem["errors"][0]["msg"]
    told = await new_shop.client.post(path, json={"event": {**mended, "value": 5}})
    assert (told.status_code, told.json()) == (200, {"retried": 1, "kept": []})
    assert (await _get(new_shop.client, "/v1/dead-letters"))["dead_letters"] == []
    newest = (await _get(new_shop.client, "/v1/events?limit=1"))["events"][0]
    assert (newest["event_type"], newest["value"]) == ("rate", 5.0)
    assert newest["event_id"] != "e1"
    refused(await new_shop.client.post(path), 404)


async def test_a_letter_is_dropped_once(new_shop: Shop) -> None:
    letter_id = await _put_aside(new_shop, "e1")
    assert (await new_shop.client.delete(f"/v1/dead-letters/{letter_id}")).status_code == 204
    refused(await new_shop.client.delete(f"/v1/dead-letters/{letter_id}"), 404)
    assert (await _get(new_shop.client, "/v1/dead-letters"))["dead_letters"] == []


@pytest.mark.parametrize("body", [{"ids": []}, {"letter_ids": "1"}, [1]])
async def test_a_body_that_is_none_sends_nothing_again(new_shop: Shop, body: Any) -> None:
    await _put_aside(new_shop, "e1")
    refused(await new_shop.client.post("/v1/dead-letters/retry", json=body))
    assert len((await _get(new_shop.client, "/v1/dead-letters"))["dead_letters"]) == 1


async def test_a_tenant_neither_sees_nor_touches_what_is_of_another(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    ring = Keyring(path)
    scopes = ["read", "write", "admin"]
    keys = {t: {"X-API-Key": ring.create(t, scopes, t)} for t in ("north", "south")}
    async with open_shop(tmp_path / "shop", keys=path, items=False) as shop:
        client, north, south = shop.client, keys["north"], keys["south"]
        letter_id = await _put_aside(shop, "e1", "north")
        item = {"item_id": "p1", "features": {"title": "Spade", "category": "garden"}}
        await client.post("/v1/items", json=[item], headers=north)
        empty = {
            "/v1/dead-letters": "dead_letters",
            "/v1/events": "events",
            "/v1/users": "users",
            "/v1/items": "items",
            "/v1/items?q=spade": "items",
            "/v1/items/features": "features",
            "/v1/map": "items",
        }
        for where, rows in empty.items():
            assert (await _get(client, where, headers=south))[rows] == [], where
            assert (await _get(client, where, headers=north))[rows], where
        retried = await client.post("/v1/dead-letters/retry", headers=south)
        assert retried.json() == {"retried": 0, "kept": []}
        refused(await client.delete(f"/v1/dead-letters/{letter_id}", headers=south), 404)
        refused(await client.post(f"/v1/dead-letters/{letter_id}/retry", headers=south), 404)
        assert len((await _get(client, "/v1/dead-letters", headers=north))["dead_letters"]) == 1


async def test_costs_are_told_by_day(new_shop: Shop) -> None:
    ledger = new_shop.runtime.models.ledger
    for tokens in (100, 50):
        ledger.record(CallRecord("profile", "one", "cheap", "ok", 0.5, tokens, 10, 0.25))
    ledger.record(CallRecord("profile", "one", "cheap", "ok", 0.5, 1, 1, 0.125, "default", "ada"))
    ledger.count_events(7)
    told = await _get(new_shop.client, "/v1/costs?days=1")
    day = today(time.time())
    assert told["day"] == day
    assert told["month_usd"] == 0.625
    (dearest,) = told["users"]
    assert (dearest["user_id"], dearest["cost_usd"]) == ("ada", 0.125)
    assert told["budget"]["state"] == "none"
    assert told["daily"] == [
        {
            "day": day,
            "purpose": "profile",
            "model": "cheap",
            "calls": 3,
            "tokens_in": 151,
            "tokens_out": 21,
            "cost_usd": 0.625,
        }
    ]
    assert told["events_daily"] == [{"day": day, "events": 7}]
    stats = await _get(new_shop.client, "/v1/stats")
    costs = {name: value for name, value in stats["costs"].items() if name != "users"}
    assert told["projected_month_usd"] == pytest.approx(costs.pop("projected_month_usd"), rel=1e-3)
    assert {name: told[name] for name in costs} == costs
    for days in (0, 367):
        refused(await new_shop.client.get(f"/v1/costs?days={days}"))


async def test_stats_tell_distributions_and_who_listens(new_shop: Shop) -> None:
    await new_shop.send(event(fresh(), "garden-01"))
    with new_shop.app.state.service.hub.listening("default", "k") as listener:
        listener.subscribe("ada")
        stats = await _get(new_shop.client, "/v1/stats")
    assert stats["live"] == {"listeners": 1, "users": 1}
    shown = stats["distributions"]["freshness"]
    assert len(shown["counts"]) == len(shown["edges_ms"]) + 1
    assert sum(shown["counts"]) == stats["steps"]["freshness"]["count"] == 1
