"""Numbers, liveness, readiness and metrics."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families
from shop import ITEMS, Shop, event, fresh, until

pytestmark = pytest.mark.anyio


async def test_stats_count_what_happened(new_shop: Shop) -> None:
    user, event_id = fresh(), fresh("e")
    sent = event(user, "garden-01", event_id=event_id)
    await new_shop.send(sent)
    await new_shop.send(sent)
    await new_shop.client.post("/v1/events", json={"user_id": user})
    await new_shop.recommend(user)
    await until(lambda: _nothing_waits(new_shop))
    stats = (await new_shop.client.get("/v1/stats")).json()
    assert stats["totals"] == {
        "events": 1,
        "items": len(ITEMS),
        "dead_letters": 0,
        "users": 1,
        "indexed_items": len(ITEMS),
    }
    assert stats["events"] == {"accepted": 1, "duplicate": 1, "refused": 1, "folded": 1}
    assert stats["success_rate"] == 1.0
    assert stats["uptime_s"] > 0
    assert stats["instance"] == new_shop.runtime.telemetry.instance
    for step in ("append", "fold", "upsert", "invalidate", "pipeline", "freshness", "recommend"):
        numbers = stats["steps"][step]
        assert numbers["count"] >= 1
        assert 0 <= numbers["p50"] <= numbers["p95"] <= numbers["p99"]


async def test_stats_tell_processes_apart(shop: Shop, new_shop: Shop) -> None:
    told = [
        (await one.client.get("/v1/stats")).json()["instance"] for one in (shop, new_shop, shop)
    ]
    assert told[0] == told[2] != told[1]


async def _nothing_waits(shop: Shop) -> bool:
    return (await shop.client.get("/v1/stats")).json()["queue_depth"] == 0


async def test_a_live_service_is_healthy_and_ready(shop: Shop) -> None:
    healthy = await shop.client.get("/healthz")
    assert (healthy.status_code, healthy.json()["status"]) == (200, "ok")
    ready = await shop.client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["ready"] is True
    assert set(ready.json()["parts"]) >= {"event_log", "store", "workers", "embedder"}
    assert set(ready.json()["parts"].values()) == {"ok"}


async def test_a_service_whose_worker_has_died_is_neither_ready_nor_healthy_and_says_why(
    new_shop: Shop,
) -> None:
    failed = "Worker.run: it broke"
    new_shop.runtime.failed.append(failed)
    ready = await new_shop.client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["ready"] is False
    assert ready.json()["parts"]["workers"] == failed
    assert (await new_shop.client.get("/healthz")).status_code == 503


async def test_metrics_are_in_the_prometheus_format_and_count(new_shop: Shop) -> None:
    async def folded() -> float:
        answer = await new_shop.client.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain")
        samples = [
            sample
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        ]
        assert any(sample.name == "recsvc_step_seconds_bucket" for sample in samples)
        assert any(sample.name == "recsvc_queue_depth" for sample in samples)
        return sum(
            sample.value
            for sample in samples
            if sample.name == "recsvc_events_total" and sample.labels == {"outcome": "folded"}
        )

    before = await folded()
    await new_shop.send(event(fresh(), "garden-01"), event(fresh(), "garden-01"))
    assert await folded() == before + 2
