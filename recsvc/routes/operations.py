"""How the service is doing: numbers, liveness, readiness, metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from indexer.errors import RecsvcError
from indexer.runtime import Runtime
from recsvc.schemas import Stats
from recsvc.state import Admin, ServiceDep, json_response

__all__ = ["router"]

router = APIRouter(tags=["operations"])

_PING_S = 2.0
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
        "uptime_s": round(time.time() - telemetry.started_at, 3),
        "totals": totals,
        "events": {name: int(n) for (name,), n in telemetry.by_labels("events").items()},
        "success_rate": 1.0 - dead / folded if folded else 1.0,
        "queue_depth": await runtime.worker.depth(),
        "steps": telemetry.percentiles(),
        "provider": _provider(runtime),
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
    """Answer 200 when every part answers, else 503 with the reason of each that does not.

    The embedding provider may be away: known items go on, new ones wait.
    """
    runtime = service.runtime
    log, store, embedder = await asyncio.gather(
        _ping(runtime.log.ping), _ping(runtime.store.ping), runtime.embedder_state()
    )
    workers = "; ".join(runtime.failed) or "ok"
    ready = log == store == workers == "ok"
    parts = {"event_log": log, "store": store, "workers": workers, "embedder": embedder}
    return json_response({"ready": ready, "parts": parts}, 200 if ready else 503)


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=PlainTextResponse,
    response_model=None,
)
async def metrics(service: ServiceDep, _: Admin) -> Response:
    """Return the metrics in the Prometheus text format."""
    service.runtime.telemetry.lag.set(await service.runtime.worker.depth())
    return Response(service.runtime.telemetry.exposition(), media_type=CONTENT_TYPE_LATEST)


async def _ping(ping: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(_PING_S):
            await ping()
    except (RecsvcError, TimeoutError) as exc:
        return str(exc) or "no answer in time"
    return "ok"


def _provider(runtime: Runtime) -> list[dict[str, Any]]:
    calls = runtime.telemetry.by_labels("provider_calls")
    tokens = runtime.telemetry.by_labels("provider_tokens")
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for (purpose, model, outcome), n in calls.items():
        row = rows.setdefault(
            (purpose, model), {"purpose": purpose, "model": model, "calls": {}, "tokens": 0}
        )
        row["calls"][outcome] = int(n)
        row["tokens"] = int(tokens.get((purpose, model), 0))
    return list(rows.values())
