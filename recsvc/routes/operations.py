"""How the service is doing: numbers, liveness, readiness, metrics."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from indexer.health import part_state
from indexer.runtime import Runtime
from recsvc.routes.costs import month_costs
from recsvc.schemas import Stats
from recsvc.state import Admin, ServiceDep, json_response

__all__ = ["router"]

router = APIRouter(tags=["operations"])

_LATELY_S = 60.0
_NOT_WELL: dict[str, Any] = {"description": "The same body, with what is wrong."}


@router.get(
    "/v1/stats",
    summary="Totals and timings",
    response_model=None,
    responses={200: {"model": Stats}},
)
async def stats(service: ServiceDep, key: Admin) -> Response:
    """Return totals, percentiles of each step, queue depth and provider use."""
    runtime = service.runtime
    telemetry = runtime.telemetry
    totals = await runtime.log.totals(key.tenant)
    totals["users"] = await runtime.states.count(key.tenant)
    totals["indexed_items"] = await runtime.items.count(key.tenant)
    dead = telemetry.total("events", "dead_letter")
    folded = telemetry.total("events", "folded")
    body: dict[str, Any] = {
        "instance": telemetry.instance,
        "uptime_s": round(time.time() - telemetry.started_at, 3),
        "totals": totals,
        "events": {name: int(n) for (name,), n in telemetry.by_labels("events").items()},
        "success_rate": 1.0 - dead / folded if folded else 1.0,
        "queue_depth": await runtime.depth(),
        "steps": telemetry.percentiles(),
        "steps_lately": telemetry.percentiles(_LATELY_S),
        "distributions": telemetry.distributions(),
        "live": {"listeners": service.hub.listeners, "users": service.hub.users},
        "provider": _provider(runtime),
        "providers": [endpoint.state() for endpoint in runtime.models.endpoints.values()],
        "costs": await month_costs(runtime),
        "profiles": {name: int(n) for (name,), n in telemetry.by_labels("profiles").items()},
        "ranking": (await service.recommender.weights.of(key.tenant)).by_situation(),
        "webhooks": {name: int(n) for (name,), n in telemetry.by_labels("webhooks").items()},
        "failures": {name: int(n) for (name,), n in telemetry.by_labels("failures").items()},
    }
    return json_response(body)


@router.get("/healthz", summary="Liveness", responses={503: _NOT_WELL})
async def healthz(service: ServiceDep) -> Response:
    """Answer 200 while every worker of this process lives."""
    failed = service.runtime.failed
    return json_response(
        {"status": "failed" if failed else "ok", "failed": failed}, 503 if failed else 200
    )


@router.get("/readyz", summary="Readiness of each part", responses={503: _NOT_WELL})
async def readyz(service: ServiceDep) -> Response:
    """Answer 200 when every part that is needed answers, else 503 with the reason of each.

    The providers may be away: known items go on, new ones wait, and profiles are counted. So may a
    shared event log, as lists can be made without, and what carries notices between processes,
    which are then found a moment later. A rules file that has become wrong leaves the rules as
    they were.
    """
    runtime = service.runtime
    log, store, embedder, changes = await asyncio.gather(
        part_state(runtime.log.ping),
        part_state(runtime.store.ping),
        runtime.embedder_state(),
        part_state(runtime.changes.ping),
    )
    workers = "; ".join(runtime.failed) or "ok"
    needed = [store, workers, *([log] if runtime.shared is None else [])]
    ready = all(state == "ok" for state in needed)
    parts = {
        "event_log": log,
        "store": store,
        "workers": workers,
        "embedder": embedder,
        "profiler": runtime.profiler_state(),
        "notices": changes,
        "rules": service.recommender.rules.problem or "ok",
    }
    return json_response({"ready": ready, "parts": parts}, 200 if ready else 503)


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=PlainTextResponse,
    response_model=None,
)
async def metrics(service: ServiceDep, _: Admin) -> Response:
    """Return the metrics in the Prometheus text format."""
    service.runtime.telemetry.lag.set(await service.runtime.depth())
    return Response(service.runtime.telemetry.exposition(), media_type=CONTENT_TYPE_LATEST)


def _provider(runtime: Runtime) -> list[dict[str, Any]]:
    """What each model was asked since the start."""
    telemetry = runtime.telemetry
    tokens, costs = telemetry.by_labels("provider_tokens"), telemetry.by_labels("provider_cost_usd")
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for (*kind, outcome), n in telemetry.by_labels("provider_calls").items():
        purpose, provider, model = key = tuple(kind)
        row = rows.setdefault(
            key, {"purpose": purpose, "provider": provider, "model": model, "calls": {}}
        )
        row["calls"][outcome] = int(n)
        row["tokens_in"] = int(tokens.get((*key, "in"), 0))
        row["tokens_out"] = int(tokens.get((*key, "out"), 0))
        row["tokens"] = row["tokens_in"] + row["tokens_out"]
        row["cost_usd"] = costs.get(key, 0.0)
    return list(rows.values())
