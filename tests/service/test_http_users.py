"""What is known of a user: to look at, to take away, to erase."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from shop import DIM, Shop, event, fresh, ids, open_shop, refused

pytestmark = pytest.mark.anyio


async def test_a_user_never_seen_is_404(shop: Shop) -> None:
    for path in ("/v1/users/ghost", "/v1/users/ghost/export"):
        refused(await shop.client.get(path), 404)
    refused(await shop.client.delete("/v1/users/ghost"), 404)


async def test_asking_for_recommendations_does_not_make_a_user(shop: Shop) -> None:
    stranger = fresh()
    await shop.recommend(stranger)
    refused(await shop.client.get(f"/v1/users/{stranger}"), 404)


async def test_a_user_is_shown_with_counts_and_newest_events_first(shop: Shop) -> None:
    user = fresh()
    await shop.send(
        event(user, "garden-01", "view", timestamp=1_700_000_000, event_id="a"),
        event(user, "garden-02", "rate", value=5, timestamp=1_700_000_002, event_id="c"),
        {
            "user_id": user,
            "event_type": "search",
            "query": "Spade",
            "timestamp": 1_700_000_001,
            "event_id": "b",
        },
        event(user, "garden-01", "view", timestamp=1_700_000_003, event_id="d"),
    )
    shown = await shop.user(user)
    assert shown["user_id"] == user
    assert shown["version"] >= 4
    assert shown["event_count"] == 4
    assert shown["counts"] == {"view": 2, "rate": 1, "search": 1}
    assert [entry["event_id"] for entry in shown["recent"]] == ["d", "c", "b", "a"]
    assert shown["recent"][1]["value"] == 5
    assert shown["recent"][1]["item_id"] == "garden-02"
    assert shown["recent"][2]["query"] == "spade"
    assert "vectors" not in shown


async def test_vectors_are_shown_on_request_only(shop: Shop) -> None:
    user = fresh()
    await shop.send(event(user, "garden-01", "like"))
    await shop.profile(user)
    assert "vectors" not in await shop.user(user)
    vectors = (await shop.user(user, vectors=True))["vectors"]
    assert set(vectors) == {"long", "short", "profile", "interest-1"}
    assert all(len(vector) == DIM for vector in vectors.values())
    assert sum(x * x for x in vectors["long"]) == pytest.approx(4.0, abs=1e-3)


async def test_an_export_has_every_event_in_order(shop: Shop) -> None:
    user, other = fresh(), fresh()
    sent = [event(user, f"sport-{n % 15:02d}", "view", event_id=f"x{n}") for n in range(1_000)]
    await shop.send(*sent)
    await shop.send(*(event(user, "novels-01", "view", event_id=f"y{n}") for n in range(30)))
    await shop.send(event(other, "sport-01"))
    answer = await shop.client.get(f"/v1/users/{user}/export")
    assert answer.headers["content-type"] == "application/json"
    assert "attachment" in answer.headers["content-disposition"]
    export = answer.json()
    expected = [f"x{n}" for n in range(1_000)] + [f"y{n}" for n in range(30)]
    assert [one["event_id"] for one in export["events"]] == expected
    assert {one["user_id"] for one in export["events"]} == {user}
    assert export["user"]["event_count"] == 1_030
    assert len(export["user"]["vectors"]["long"]) == DIM


async def test_an_erased_user_is_a_stranger_and_the_erasure_verified(shop: Shop) -> None:
    user, other = fresh(), fresh()
    await shop.send(event(user, "garden-01", "purchase"), event(user, "garden-02"))
    await shop.send(event(other, "garden-01", "purchase"))
    await shop.profile(user)
    await shop.recommend(user)
    erased = await shop.client.delete(f"/v1/users/{user}")
    assert erased.status_code == 200
    assert erased.json() == {"user_id": user, "events": 2, "verified": True}
    assert await shop.runtime.log.user_events("default", user, after=0, limit=10) == []
    refused(await shop.client.get(f"/v1/users/{user}"), 404)
    refused(await shop.client.get(f"/v1/users/{user}/export"), 404)
    refused(await shop.client.delete(f"/v1/users/{user}"), 404)
    answer = await shop.recommend(user, limit=100)
    assert (answer["strategy"], answer["user_version"]) == ("popular", 0)
    assert {"garden-01", "garden-02"} <= set(ids(answer))
    assert (await shop.user(other))["event_count"] == 1


async def test_an_erased_user_can_begin_again(shop: Shop) -> None:
    user, event_id = fresh(), fresh("e")
    await shop.send(event(user, "garden-01", "purchase", event_id=event_id))
    await shop.client.delete(f"/v1/users/{user}")
    await shop.send(event(user, "sport-01", "purchase", event_id=event_id))
    shown = await shop.user(user)
    assert (shown["event_count"], shown["profile"]) == (1, None)
    answer = await shop.recommend(user, limit=5)
    assert answer["source"] == "live"
    assert [item["features"]["category"] for item in answer["items"]].count("sport") >= 3


def _log_files(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.glob("events.sqlite*")]


async def test_an_erased_user_stays_erased_after_a_restart_and_on_disk(tmp_path: Path) -> None:
    user, secret = "erased-user-5309", "pineapple-allergy"
    async with open_shop(tmp_path) as shop:
        search = {"user_id": user, "event_type": "search", "query": secret}
        await shop.send(event(user, "garden-01", metadata={"note": secret}), search)
        assert (await shop.client.delete(f"/v1/users/{user}")).json()["verified"] is True
        await shop.send(event("another", "garden-01"))
    for content in _log_files(tmp_path):
        assert user.encode() not in content
        assert secret.encode() not in content
    async with open_shop(tmp_path, items=False) as shop:
        refused(await shop.client.get(f"/v1/users/{user}"), 404)
        assert (await shop.user("another"))["event_count"] == 1


async def test_a_user_whose_events_are_not_folded_yet_can_be_erased(tmp_path: Path) -> None:
    user = fresh()
    async with open_shop(tmp_path) as shop:
        await shop.client.post("/v1/events", json=[event(user, "garden-01") for _ in range(1_000)])
        erased = await shop.client.delete(f"/v1/users/{user}")
        assert erased.status_code == 200, erased.text
        assert erased.json() == {"user_id": user, "events": 1_000, "verified": True}
    with sqlite3.connect(tmp_path / "events.sqlite") as log:
        assert log.execute("SELECT count(*) FROM events").fetchone() == (0,)
    log.close()
