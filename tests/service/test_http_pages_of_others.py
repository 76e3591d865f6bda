"""What pages in a browser may do: the service's own, those of allowed origins, and of others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from shop import Shop, event, fresh, open_shop, refused

from recsvc.security import Keyring

pytestmark = pytest.mark.anyio

OWN, ALLOWED, OTHER = "http://localhost", "https://pages.example", "https://evil.example"
BEACON = {"Content-Type": "text/plain;charset=UTF-8"}


@pytest.fixture
async def open_shop_for_pages(tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop without keys that lets the pages of one origin in."""
    async with open_shop(tmp_path / "shop", qdrant_url="edge", allowed_origins=ALLOWED) as shop:
        yield shop


async def _post(shop: Shop, origin: str, **more: Any) -> httpx.Response:
    return await shop.client.post(
        "/v1/events",
        json=event(fresh(), "garden-01"),
        headers={"Origin": origin, **more.pop("headers", {})},
        **more,
    )


_CHANGES: list[tuple[str, str, Any]] = [
    ("POST", "/v1/events", {"user_id": "u", "event_type": "click", "item_id": "garden-01"}),
    ("POST", "/v1/items", [{"item_id": "garden-01", "features": {}}]),
    ("PUT", "/v1/items/garden-01", {"features": {}}),
    ("DELETE", "/v1/items/garden-01", None),
    ("DELETE", "/v1/users/u", None),
    ("POST", "/v1/dead-letters/retry", None),
    ("POST", "/v1/recommendations", {}),
]


async def test_pages_of_others_change_nothing_where_no_key_is_asked_for(
    open_shop_for_pages: Shop,
) -> None:
    shop = open_shop_for_pages
    for origin in (OTHER, "null", "http://localhost:81", "x"):
        for method, path, body in _CHANGES:
            headers = {"Origin": origin, **BEACON}
            answer = await shop.client.request(method, path, json=body, headers=headers)
            assert "RECSVC_ALLOWED_ORIGINS" in refused(answer, 403)["detail"]
            assert "access-control-allow-origin" not in answer.headers
    assert await shop.stored_events() == 0
    assert (await shop.client.get("/v1/items/garden-01")).json()["features"]


@pytest.mark.parametrize("origin", [OWN, OWN + ":80", ALLOWED])
async def test_pages_of_its_own_and_of_allowed_origins_send_events(
    open_shop_for_pages: Shop, origin: str
) -> None:
    answer = await _post(open_shop_for_pages, origin, headers=BEACON)
    assert answer.status_code == 202
    told = answer.headers.get("access-control-allow-origin")
    assert told == (ALLOWED if origin == ALLOWED else None)


async def test_what_is_no_page_needs_no_origin(open_shop_for_pages: Shop) -> None:
    await open_shop_for_pages.send(event(fresh(), "garden-01"))


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/events"), ("GET", "/v1/users/u/recommendations")]
)
async def test_a_preflight_of_an_allowed_page_is_answered(
    open_shop_for_pages: Shop, method: str, path: str
) -> None:
    asked = {
        "Origin": ALLOWED,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, content-type, x-api-key, last-event-id",
    }
    answer = await open_shop_for_pages.client.options(path, headers=asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["access-control-allow-origin"] == ALLOWED
    assert method in answer.headers["access-control-allow-methods"]
    for origin, wanted in ((OTHER, method), (ALLOWED, "DELETE")):
        more = {**asked, "Origin": origin, "Access-Control-Request-Method": wanted}
        assert (await open_shop_for_pages.client.options(path, headers=more)).status_code == 400


async def test_an_allowed_page_reads_lists_and_refusals(open_shop_for_pages: Shop) -> None:
    client = open_shop_for_pages.client
    for path, status in (("/v1/users/u/recommendations", 200), ("/v1/users/u%20/x", 404)):
        answer = await client.get(path, headers={"Origin": ALLOWED})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == ALLOWED
        assert "Origin" in answer.headers["vary"]
        answer = await client.get(path, headers={"Origin": OTHER})
        assert answer.status_code == status
        assert "access-control-allow-origin" not in answer.headers


async def test_no_page_of_others_is_let_in_by_default(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop", qdrant_url="edge") as shop:
        refused(await _post(shop, ALLOWED, headers=BEACON), 403)
        answer = await shop.client.get("/v1/users/u/recommendations", headers={"Origin": ALLOWED})
        assert "access-control-allow-origin" not in answer.headers


async def test_with_keys_it_is_the_key_that_counts(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    key = Keyring(path).create("writer", ["write"], "default")
    async with open_shop(tmp_path / "shop", keys=path, items=False) as shop:
        refused(await _post(shop, OTHER), 401)
        assert (await _post(shop, OTHER, headers={"X-API-Key": key})).status_code == 202


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "shop", "0.0.0.0", ""]
)
async def test_nothing_is_told_under_a_name_that_somebody_gave_to_this_machine(
    open_shop_for_pages: Shop, host: str
) -> None:
    client = open_shop_for_pages.client
    headers = {"Host": host, "Origin": f"http://{host}"}
    for method, path, body in [
        *_CHANGES,
        ("GET", "/v1/users/u/recommendations", None),
        ("GET", "/", None),
        ("OPTIONS", "/v1/events", None),
    ]:
        answer = await client.request(method, path, json=body, headers=headers)
        assert "RECSVC_ALLOWED_ORIGINS" in refused(answer, 403)["detail"]
    assert await open_shop_for_pages.stored_events() == 0


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "[::1]:8000", "app.localhost", "pages.example"])
async def test_it_answers_under_names_of_this_machine_and_hosts_of_allowed_origins(
    open_shop_for_pages: Shop, host: str
) -> None:
    for path in ("/v1/users/u/recommendations", "/"):
        answer = await open_shop_for_pages.client.get(path, headers={"Host": host})
        assert answer.status_code == 200
    answer = await _post(open_shop_for_pages, f"http://{host}", headers={"Host": host})
    assert answer.status_code == 202


async def test_with_keys_it_answers_under_any_name(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    key = Keyring(path).create("reader", ["read"], "default")
    async with open_shop(tmp_path / "shop", keys=path, items=False) as shop:
        headers = {"X-API-Key": key, "Host": "api.example"}
        answer = await shop.client.get("/v1/users/u/recommendations", headers=headers)
        assert answer.status_code == 200
