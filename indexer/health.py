"""What a worker tells of itself over HTTP: whether it lives, whether it is ready, its metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Final

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from indexer.errors import RecsvcError
from indexer.listen import listen
from indexer.runtime import Runtime

__all__ = ["health_app", "part_state", "serving_health"]

_PING_S: Final = 2.0


async def part_state(ping: Callable[[], Awaitable[None]]) -> str:
    """Return ``ok``, or why a part does not answer."""
    try:
        async with asyncio.timeout(_PING_S):
            await ping()
    except (RecsvcError, TimeoutError) as exc:
        return str(exc) or "no answer in time"
    return "ok"


def health_app(runtime: Runtime) -> Starlette:
    """Make the application: ``/healthz``, ``/readyz``, ``/metrics``."""

    async def healthz(_: Request) -> Response:
        failed = runtime.failed
        status = 503 if failed else 200
        return JSONResponse({"status": "failed" if failed else "ok", "failed": failed}, status)

    async def readyz(_: Request) -> Response:
        log, store = await asyncio.gather(
            part_state(runtime.log.ping), part_state(runtime.store.ping)
        )
        workers = "; ".join(runtime.failed) or "ok"
        ready = log == store == workers == "ok"
        parts = {"event_log": log, "store": store, "workers": workers}
        owned = sorted(runtime.feed.owned)
        body = {"ready": ready, "parts": parts, "partitions": owned}
        return JSONResponse(body, 200 if ready else 503)

    async def metrics(_: Request) -> Response:
        runtime.telemetry.lag.set(await runtime.worker.depth())
        return Response(runtime.telemetry.exposition(), media_type=CONTENT_TYPE_LATEST)

    routes = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
    return Starlette(routes=routes)


@asynccontextmanager
async def serving_health(runtime: Runtime, host: str, port: int) -> AsyncIterator[None]:
    """Serve it for the length of the block.

    Raises:
        AddressUnavailable: the address is taken, or none of this machine's.
    """
    listener = listen(host, port)
    config = uvicorn.Config(
        health_app(runtime), access_log=False, log_level="warning", server_header=False
    )
    server = _QuietServer(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="health")
    try:
        yield
    finally:
        server.should_exit = True
        await task


class _QuietServer(uvicorn.Server):
    """A server that leaves the signals to the process it is part of."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Capture none."""
        return nullcontext()
