"""The FastAPI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline

from indexer.runtime import Runtime
from recsvc import problems
from recsvc.bodies import body_schemas
from recsvc.cache import AnswerCache, open_cache
from recsvc.explore.explorer import Explorer
from recsvc.handshake import CORS, OwnPages
from recsvc.hot import HotRoutes
from recsvc.hub import Hub, open_hub
from recsvc.recommend import Recommender
from recsvc.routes import routers
from recsvc.routes.console import ConsoleFiles
from recsvc.routes.live import SEND_S, live_router
from recsvc.security import Keyring
from recsvc.state import Service
from recsvc.webhooks import WebhookParts

__all__ = ["create_app"]

_DESCRIPTION = """Real-time recommendations: every event is in the next answer.

Errors are RFC 9457 problem details. Ids are 1 to 128 characters of `A-Za-z0-9_.:@-`. Bodies are at
most 8 MiB (JSON lines: any length). Unknown fields and parameters are refused."""


def create_app(runtime: Runtime, keyring: Keyring, *, send_s: float = SEND_S) -> FastAPI:
    """Make the application over an open runtime, which it neither opens nor closes.

    ``send_s``: how long a live client may take to make room for one message.
    """
    cache = open_cache(runtime.settings, runtime.telemetry)
    recommender = Recommender(runtime, cache)
    hub = open_hub(runtime, recommender)
    webhooks = WebhookParts(runtime, recommender)
    explorer = Explorer(runtime, recommender)
    app = FastAPIOffline(
        redoc_url=None,
        static_url="/docs/files",
        favicon_url="console/icon.svg",
        title="recsvc",
        version=version("recsvc"),
        description=_DESCRIPTION,
        generate_unique_id_function=lambda route: route.name,
        lifespan=lambda _: _running(cache, hub, webhooks, explorer, runtime),
    )
    if runtime.settings.learn_every:
        runtime.applier.learner = recommender.learner()
    app.state.service = service = Service(
        runtime, recommender, explorer, keyring, hub, webhooks.webhooks
    )
    problems.install(app)
    _add_middleware(app, service)
    for router in routers:
        app.include_router(router)
    app.include_router(live_router(hub, runtime.settings.allowed_origins, send_s=send_s))
    app.mount("/console", ConsoleFiles(), name="console_files")
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _add_middleware(app: FastAPI, service: Service) -> None:
    """Have what comes first looked at: which page may send it, then the busiest routes."""
    origins = service.runtime.settings.allowed_origins
    app.add_middleware(HotRoutes, service=service)
    if origins:
        app.add_middleware(CORSMiddleware, allow_origins=sorted(origins), **CORS)
    if service.keyring.open:
        app.add_middleware(OwnPages, allowed=origins)


@asynccontextmanager
async def _running(
    cache: AnswerCache | None,
    hub: Hub,
    webhooks: WebhookParts,
    explorer: Explorer,
    runtime: Runtime,
) -> AsyncIterator[None]:
    """Have the hub, the webhooks and the cache do their work while the application serves."""
    tasks = [
        asyncio.create_task(hub.run(), name="hub"),
        asyncio.create_task(webhooks.run(), name="webhooks"),
    ]
    if cache is not None:
        tasks.append(asyncio.create_task(cache.run(), name="cache"))
    for task in tasks:
        task.add_done_callback(runtime.note_death)
    try:
        yield
    finally:
        hub.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await explorer.close()
        await webhooks.close()
        if cache is not None:
            await cache.close()


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schema["components"]["schemas"].update(body_schemas())
        _as_problems(schema)
        app.openapi_schema = schema
    return app.openapi_schema


def _as_problems(schema: dict[str, Any]) -> None:
    """Have every refusal documented in the type it comes in, also FastAPI's own 422."""
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    for operations in schema["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if status == "422" or problem in answer.get("content", {}).values():
                    answer["content"] = {"application/problem+json": problem}
    for unused in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(unused, None)
