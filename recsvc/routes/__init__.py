"""HTTP routes, one module a resource."""

from __future__ import annotations

from fastapi import APIRouter

from recsvc.routes import events, items, operations, recommendations, users

__all__ = ["routers"]

routers: tuple[APIRouter, ...] = (
    events.router,
    recommendations.router,
    items.router,
    users.router,
    operations.router,
)
