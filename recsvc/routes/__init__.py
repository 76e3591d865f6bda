"""HTTP routes, one module a resource."""

from __future__ import annotations

from fastapi import APIRouter

from recsvc.routes import (
    browser,
    console,
    costs,
    dead_letters,
    events,
    items,
    map,
    operations,
    recommendations,
    users,
    webhooks,
)

__all__ = ["routers"]

routers: tuple[APIRouter, ...] = (
    events.router,
    recommendations.router,
    items.router,
    users.router,
    webhooks.router,
    map.router,
    operations.router,
    costs.router,
    dead_letters.router,
    browser.router,
    console.router,
)
