"""API keys: who may do what, and that tenants never meet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from shop import Shop, event, ids, open_shop, refused

from recsvc.security import Keyring

pytestmark = pytest.mark.anyio


class Guarded(NamedTuple):
    """A shop that asks for keys, and the headers of each key."""

    shop: Shop
    headers: dict[str, dict[str, str]]


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    """A shop with a key of each scope, and one of all scopes for each of two tenants."""
    path = tmp_path / "keys.toml"
    ring = Keyring(path)
    headers = {
        scope: {"Authorization": f"Bearer {ring.create(scope, [scope], 'default')}"}
        for scope in ("read", "write", "admin")
    }
    for tenant in ("north", "south"):
        key = ring.create(tenant, ["read", "write", "admin"], tenant)
        headers[tenant] = {"X-API-Key": key}
    async with open_shop(tmp_path / "shop", keys=path, items=False) as shop:
        yield Guarded(shop, headers)


_CALLS: list[tuple[str, str, Any, str]] = [
    ("POST", "/v1/events", {"user_id": "u", "event_type": "click", "item_id": "i"}, "write"),
    ("PUT", "/v1/items/i", {"features": {}}, "write"),
    ("POST", "/v1/items", [{"item_id": "i", "features": {}}], "write"),
    ("DELETE", "/v1/items/i", None, "write"),
    ("GET", "/v1/items/i", None, "read"),
    ("GET", "/v1/items/i/similar", None, "read"),
    ("GET", "/v1/users/u/recommendations", None, "read"),
    ("POST", "/v1/recommendations", {}, "read"),
    ("GET", "/v1/users/u", None, "admin"),
    ("GET", "/v1/users/u/export", None, "admin"),
    ("DELETE", "/v1/users/u", None, "admin"),
    ("GET", "/v1/items", None, "read"),
    ("GET", "/v1/items/features", None, "read"),
    ("GET", "/v1/map", None, "read"),
    ("GET", "/v1/users", None, "admin"),
    ("GET", "/v1/users/u/map", None, "admin"),
    ("GET", "/v1/events", None, "admin"),
    ("GET", "/v1/dead-letters", None, "admin"),
    ("POST", "/v1/dead-letters/retry", None, "admin"),
    ("POST", "/v1/dead-letters/1/retry", None, "admin"),
    ("DELETE", "/v1/dead-letters/1", None, "admin"),
    ("GET", "/v1/costs", None, "admin"),
    ("GET", "/v1/stats", None, "admin"),
    ("GET", "/metrics", None, "admin"),
]


@pytest.mark.parametrize(("method", "path", "body", "scope"), _CALLS)
async def test_a_call_needs_a_known_key_of_its_scope(
    guarded: Guarded, method: str, path: str, body: Any, scope: str
) -> None:
    async def call(headers: dict[str, str]) -> httpx.Response:
        return await guarded.shop.client.request(method, path, json=body, headers=headers)

    for headers in ({}, {"Authorization": "Bearer rs_wrong"}, {"X-API-Key": ""}):
        answer = await call(headers)
        refused(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"
    for other in {"read", "write", "admin"} - {scope}:
        assert scope in refused(await call(guarded.headers[other]), 403)["detail"]
    assert (await call(guarded.headers[scope])).status_code not in (401, 403)


async def test_a_key_is_known_in_either_header_and_without_regard_to_the_schemes_case(
    guarded: Guarded,
) -> None:
    key = guarded.headers["read"]["Authorization"].removeprefix("Bearer ")
    for headers in (
        {"Authorization": f"Bearer {key}"},
        {"authorization": f"bearer {key}"},
        {"X-API-Key": key},
    ):
        answer = await guarded.shop.client.get("/v1/users/u/recommendations", headers=headers)
        assert answer.status_code == 200


async def test_health_is_told_to_everybody(guarded: Guarded) -> None:
    for path in ("/healthz", "/readyz"):
        assert (await guarded.shop.client.get(path)).status_code == 200


async def test_a_refused_answer_never_shows_the_key(guarded: Guarded) -> None:
    key = guarded.headers["read"]["Authorization"].removeprefix("Bearer ")
    answers = [
        await guarded.shop.client.get("/v1/stats", headers={"X-API-Key": key}),
        await guarded.shop.client.get("/v1/stats", headers={"X-API-Key": "rs_guess"}),
    ]
    for answer in answers:
        assert key not in answer.text
        assert "rs_guess" not in answer.text


async def _fill(guarded: Guarded, tenant: str, category: str) -> None:
    """Give a tenant an item and a user whose ids the other tenant has too."""
    headers = guarded.headers[tenant]
    items = [
        {"item_id": "same", "features": {"title": f"{tenant} thing", "category": category}},
        {"item_id": f"only-{tenant}", "features": {"title": "more", "category": category}},
    ]
    client = guarded.shop.client
    stored = await client.post("/v1/items", json=items, headers=headers)
    assert stored.json()["stored"] == 2
    sent = await client.post(
        "/v1/events",
        json=[
            event("ada", "same", "purchase", event_id="e1"),
            {"user_id": "ada", "event_type": "search", "query": f"{tenant} wish"},
        ],
        params={"wait": "applied", "timeout_s": 10},
        headers=headers,
    )
    assert sent.status_code == 200, sent.text


async def test_two_tenants_with_the_same_ids_see_nothing_of_each_other(guarded: Guarded) -> None:
    client = guarded.shop.client
    await _fill(guarded, "north", "ice")
    north = guarded.headers["north"]
    south = guarded.headers["south"]
    for path in ("/v1/items/same", "/v1/items/only-north", "/v1/users/ada", "/v1/users/ada/export"):
        refused(await client.get(path, headers=south), 404)
    empty = await client.get("/v1/users/ada/recommendations", headers=south)
    assert (empty.json()["strategy"], empty.json()["items"]) == ("popular", [])

    await _fill(guarded, "south", "sand")
    for tenant, category, headers in (("north", "ice", north), ("south", "sand", south)):
        item = await client.get("/v1/items/same", headers=headers)
        assert item.json()["features"] == {"title": f"{tenant} thing", "category": category}
        own = {"same", f"only-{tenant}"}
        for path in (
            "/v1/users/ada/recommendations?exclude_seen=false",
            "/v1/users/ada/recommendations?exclude_seen=false&diversity=0.5",
            "/v1/users/stranger/recommendations",
        ):
            answer = (await client.get(path, headers=headers)).json()
            assert set(ids(answer)) == own
            assert {item["features"]["category"] for item in answer["items"]} == {category}
        similar = (await client.get("/v1/items/same/similar", headers=headers)).json()
        assert ids(similar) == [f"only-{tenant}"]
        session = await client.post("/v1/recommendations", json={"text": "x"}, headers=headers)
        assert set(ids(session.json())) == own
        user = (await client.get("/v1/users/ada", headers=headers)).json()
        assert user["event_count"] == 2
        export = (await client.get("/v1/users/ada/export", headers=headers)).json()
        assert len(export["events"]) == 2
        assert export["events"][1]["query"] == f"{tenant} wish"

    refused(await client.post("/v1/recommendations", json={"items": ["only-north"]}, headers=south))
    refused(await client.delete("/v1/items/only-north", headers=south), 404)


async def test_erasing_a_user_of_one_tenant_leaves_the_others_alone(guarded: Guarded) -> None:
    client = guarded.shop.client
    await _fill(guarded, "north", "ice")
    await _fill(guarded, "south", "sand")
    erased = await client.delete("/v1/users/ada", headers=guarded.headers["south"])
    assert erased.json()["events"] == 2
    await client.delete("/v1/items/same", headers=guarded.headers["south"])
    kept = await client.get("/v1/users/ada", headers=guarded.headers["north"])
    assert kept.json()["event_count"] == 2
    item = await client.get("/v1/items/same", headers=guarded.headers["north"])
    assert item.status_code == 200


async def test_the_totals_of_a_tenant_are_its_own(guarded: Guarded) -> None:
    await _fill(guarded, "north", "ice")
    stats = await guarded.shop.client.get("/v1/stats", headers=guarded.headers["south"])
    totals = stats.json()["totals"]
    assert totals == dict.fromkeys(totals, 0)


async def test_the_feature_names_of_a_tenant_are_not_told_to_another(guarded: Guarded) -> None:
    client = guarded.shop.client
    secret = [{"item_id": "x", "features": {"unreleased_codename": "falcon"}}]
    await client.post("/v1/items", json=secret, headers=guarded.headers["north"])
    answer = await client.get(
        "/v1/users/ada/recommendations",
        params={"filter": "flavour=sweet"},
        headers=guarded.headers["south"],
    )
    assert "unreleased_codename" not in refused(answer)["detail"]
