"""`GET /v1/costs`: what models cost, this month and day by day."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from indexer.runtime import Runtime
from recsvc.costs import cost_report, daily_costs, days_before, month_start
from recsvc.problems import PARAMETER_REFUSED
from recsvc.schemas import CostsOut, CostsParams
from recsvc.state import Admin, ServiceDep, json_response

__all__ = ["month_costs", "router"]

_USERS = 10

router = APIRouter(prefix="/v1", tags=["operations"])


@router.get(
    "/costs",
    summary="What models cost",
    response_model=None,
    responses={200: {"model": CostsOut}, **PARAMETER_REFUSED},
)
async def costs(
    params: Annotated[CostsParams, Query()], service: ServiceDep, key: Admin
) -> Response:
    """Return the month so far, the budget, and the last days; of all tenants together.

    `users`: those of the key's tenant that cost most this month.
    """
    ledger, now = service.runtime.models.ledger, time.time()
    since = days_before(now, params.days - 1)
    usage, events = await ledger.usage(since), await ledger.events(since)
    body = {
        **await month_costs(service.runtime),
        "users": await ledger.dearest(key.tenant, month_start(now), _USERS),
        "daily": daily_costs(usage),
        "events_daily": [{"day": day, "events": n} for day, n in sorted(events.items())],
    }
    return json_response(body)


async def month_costs(runtime: Runtime) -> dict[str, Any]:
    """Return what the ledger tells of today and this month, and how the budget stands."""
    models, now = runtime.models, time.time()
    since = month_start(now)
    usage, events = await models.ledger.usage(since), await models.ledger.events(since)
    report = cost_report(usage, events, models.table.prices, now)
    budget = {
        "day_usd": models.budget.day_usd,
        "user_day_usd": models.budget.user_day_usd,
        "spent_usd": models.budget.spent(),
        "state": models.budget.state(),
    }
    return {**report.as_dict(), "budget": budget}
