"""Documents on webhooks are the same in every engine."""

from __future__ import annotations

import pytest

from indexer.ports import VectorStore
from indexer.stores.schema import WEBHOOKS
from indexer.stores.webhooks import Document, WebhookPoints

pytestmark = pytest.mark.anyio


def delivery(key: str, user_id: str = "ada", tenant: str = "north", **labels: str) -> Document:
    """A delivery about a user."""
    return Document(
        "delivery",
        key,
        {"nested": {"list": [1, None, "Grüße"]}},
        {"tenant": tenant, "user_id": user_id, "webhook_id": "w1", **labels},
    )


async def test_nothing_is_found_and_nothing_made_until_something_is_written(
    store: VectorStore,
) -> None:
    points = WebhookPoints(store)
    assert await points.find("webhook") == []
    assert await points.get("webhook", ["w1"]) == []
    assert await points.count("delivery", {"state": "dead"}) == 0
    await points.delete([delivery("d1")])
    await points.erase_user("north", "ada")
    assert not await points.knows_user("north", "ada")
    assert not await store.collection_exists(WEBHOOKS)


async def test_documents_come_back_by_key_and_by_labels(store: VectorStore) -> None:
    points = WebhookPoints(store)
    first = delivery("d1", state="dead", partition="3")
    second = delivery("d2", state="waiting", partition="3")
    webhook = Document("webhook", "d1", {"url": "u"}, {"tenant": "north", "webhook_id": "w1"})
    await points.put([first, second, webhook])
    assert await points.get("delivery", ["d1", "none"]) == [first]
    assert await points.find("webhook") == [webhook]
    assert await points.find("delivery", {"state": "dead", "webhook_id": "w1"}) == [first]
    assert await points.count("delivery", {"partition": "3"}) == 2
    assert len(await points.find("delivery", limit=1)) == 1
    moved = delivery("d1", state="replay", partition="3")
    await points.put([moved])
    assert await points.find("delivery", {"state": "dead"}) == []
    assert await points.find("delivery", {"state": "replay"}) == [moved]


async def test_another_process_sees_what_was_written_and_more_than_a_page_is_found(
    store: VectorStore,
) -> None:
    reader, writer = WebhookPoints(store), WebhookPoints(store)
    assert await reader.find("delivery") == []
    await writer.put([delivery(f"d{n}") for n in range(600)])
    assert {one.key for one in await reader.find("delivery")} == {f"d{n}" for n in range(600)}
    await reader.delete_deliveries("w1")
    assert await writer.find("delivery") == []


async def test_erasing_a_user_takes_nothing_of_others_or_of_another_tenant(
    store: VectorStore,
) -> None:
    points = WebhookPoints(store)
    kept = [delivery("d3", "bob"), delivery("d4", tenant="south")]
    await points.put([delivery("d1"), delivery("d2", state="dead"), *kept])
    await points.erase_user("north", "ada")
    assert not await points.knows_user("north", "ada")
    assert await points.knows_user("south", "ada")
    found = await points.find("delivery")
    assert sorted(found, key=lambda one: one.key) == kept
