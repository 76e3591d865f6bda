"""The FastAPI application."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import RedirectResponse

from indexer.runtime import Runtime
from recsvc import problems
from recsvc.bodies import body_schemas
from recsvc.cache import open_cache
from recsvc.hot import HotRoutes
from recsvc.recommend import Recommender
from recsvc.routes import routers
from recsvc.security import Keyring
from recsvc.state import Service

__all__ = ["create_app"]

_DESCRIPTION = """Real-time recommendations: every event is in the next answer.

Errors are RFC 9457 problem details. Ids are 1 to 128 characters of `A-Za-z0-9_.:@-`. Bodies are at
most 8 MiB (JSON lines: any length). Unknown fields and parameters are refused."""


def create_app(runtime: Runtime, keyring: Keyring) -> FastAPI:
    """Make the application over an open runtime, which it neither opens nor closes."""
    app = FastAPI(
        title="recsvc",
        version=version("recsvc"),
        description=_DESCRIPTION,
        generate_unique_id_function=lambda route: route.name,
    )
    recommender = Recommender(runtime, open_cache(runtime.settings))
    if runtime.settings.learn_every:
        runtime.applier.learner = recommender.learner()
    app.state.service = service = Service(runtime, recommender, keyring)
    problems.install(app)
    app.add_middleware(HotRoutes, service=service)
    for router in routers:
        app.include_router(router)
    app.add_api_route("/", lambda: RedirectResponse("/docs"), include_in_schema=False)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


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
