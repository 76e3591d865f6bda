"""The OpenAPI document says what the service does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from shop import Shop

pytestmark = pytest.mark.anyio

_ROUTES = {
    ("post", "/v1/events"),
    ("get", "/v1/users/{user_id}/recommendations"),
    ("post", "/v1/recommendations"),
    ("get", "/v1/items/{item_id}/similar"),
    ("put", "/v1/items/{item_id}"),
    ("get", "/v1/items/{item_id}"),
    ("delete", "/v1/items/{item_id}"),
    ("post", "/v1/items"),
    ("get", "/v1/users/{user_id}"),
    ("get", "/v1/users/{user_id}/export"),
    ("delete", "/v1/users/{user_id}"),
    ("get", "/v1/users/{user_id}/stream"),
    ("get", "/v1/items"),
    ("get", "/v1/items/features"),
    ("get", "/v1/map"),
    ("get", "/v1/users"),
    ("get", "/v1/users/{user_id}/map"),
    ("get", "/v1/events"),
    ("get", "/v1/dead-letters"),
    ("post", "/v1/dead-letters/retry"),
    ("post", "/v1/dead-letters/{letter_id}/retry"),
    ("delete", "/v1/dead-letters/{letter_id}"),
    ("get", "/v1/costs"),
    ("get", "/v1/stats"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
}


@pytest.fixture
async def document(shop: Shop) -> dict[str, Any]:
    """The document as it is served."""
    answer = await shop.client.get("/openapi.json")
    assert answer.status_code == 200
    served: dict[str, Any] = answer.json()
    return served


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def _walk(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from _walk(one)


def _resolved(document: dict[str, Any], ref: str) -> Any:
    assert ref.startswith("#/"), ref
    node: Any = document
    for part in ref.removeprefix("#/").split("/"):
        assert part in node, ref
        node = node[part]
    return node


async def test_every_route_is_documented(document: dict[str, Any]) -> None:
    found = {(method, path) for method, path, _ in _operations(document)}
    assert found >= _ROUTES
    for method, path, operation in _operations(document):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["description"], where
        assert operation["operationId"], where
        assert operation["responses"], where
    names = [operation["operationId"] for _, _, operation in _operations(document)]
    assert len(names) == len(set(names))


async def test_every_reference_resolves(document: dict[str, Any]) -> None:
    refs = {node["$ref"] for node in _walk(document) if isinstance(node.get("$ref"), str)}
    assert refs
    for ref in refs:
        _resolved(document, ref)


async def test_every_body_has_an_example(document: dict[str, Any]) -> None:
    seen = 0
    for method, path, operation in _operations(document):
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            seen += 1
            schema = content["schema"]
            schemas = [schema, *schema.get("oneOf", [])]
            shown = [content]
            for one in schemas:
                one = one.get("items", one)
                shown.append(_resolved(document, one["$ref"]) if "$ref" in one else one)
            assert any("example" in one or "examples" in one for one in shown), (
                method,
                path,
                kind,
            )
    assert seen >= 5


async def test_the_example_bodies_are_accepted(shop: Shop, document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert len(schemas["EventIn"]["examples"]) >= 3
    for one in schemas["EventIn"]["examples"]:
        assert (await shop.client.post("/v1/events", json=one)).status_code == 202
    for one in schemas["SessionIn"]["examples"]:
        answer = await shop.client.post("/v1/recommendations", json={**one, "items": []})
        assert answer.status_code == 200, answer.text


async def test_every_parameter_is_described(document: dict[str, Any]) -> None:
    for method, path, operation in _operations(document):
        for parameter in operation.get("parameters", []):
            told = {**parameter, **parameter["schema"]}
            shown = told.get("description") or told.get("examples") or told.get("example")
            assert shown, (method, path, parameter["name"])


async def test_refusals_are_documented_as_problems(document: dict[str, Any]) -> None:
    events = document["paths"]["/v1/events"]["post"]["responses"]
    for status in ("409", "413", "422", "503"):
        [media] = events[status]["content"].values()
        assert media["schema"]["$ref"].endswith("/Problem")


async def test_refusals_are_documented_with_the_type_they_come_in(
    document: dict[str, Any],
) -> None:
    for method, path, operation in _operations(document):
        for status, answer in operation["responses"].items():
            if int(status) >= 400 and "content" in answer and "healthz" not in path:
                if path == "/readyz":
                    continue
                assert set(answer["content"]) == {"application/problem+json"}, (method, path)
