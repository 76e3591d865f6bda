"""`POST /v1/events`: in, durable, and on request visible."""

from __future__ import annotations

import asyncio
import time
from asyncio import Future
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter

from indexer.domain.events import Event
from indexer.errors import InvalidInput
from indexer.ports import Accepted
from indexer.progress import Outcome
from indexer.wire import EVENTS_MAX, EventBatch, EventIn, parse, to_event
from recsvc.bodies import json_body, read_bytes
from recsvc.problems import Problem
from recsvc.schemas import EventsAccepted, EventsApplied, EventsParams
from recsvc.state import Service, ServiceDep, Writer, json_response

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["events"])

_ONE = TypeAdapter(EventIn)
_MANY: TypeAdapter[list[EventIn]] = TypeAdapter(EventBatch)
_REF = {"$ref": "#/components/schemas/EventIn"}
_LIST = {"type": "array", "items": _REF, "minItems": 1, "maxItems": EVENTS_MAX}


@router.post(
    "/events",
    status_code=202,
    summary="Send one event, or a list of 1 to 1000",
    response_model=None,
    responses={
        202: {"model": EventsAccepted, "description": "Durable; folded in a moment."},
        200: {"model": EventsApplied, "description": "`wait=applied`: visible to queries."},
        409: {"model": Problem, "description": "A known event_id with another body."},
        413: {"model": Problem, "description": "More than 8 MiB."},
        422: {"model": Problem, "description": "A field is refused; nothing was stored."},
        503: {"model": Problem, "description": "Not durable; send again."},
    },
    openapi_extra=json_body(_REF, _LIST),
)
async def post_events(
    request: Request,
    params: Annotated[EventsParams, Query()],
    service: ServiceDep,
    key: Writer,
) -> Response:
    """Accept events. The same `event_id` of the same user counts once, however often it is sent."""
    start = time.perf_counter()
    events = _events(await read_bytes(request), key.tenant, service)
    expected: dict[tuple[str, str, str], Future[Outcome]] = {}
    outcomes = service.runtime.outcomes
    if params.wait:
        keys = [(event.tenant, event.user_id, event.event_id) for event in events]
        expected = {one: outcomes.expect(one) for one in dict.fromkeys(keys)}
    try:
        accepted = await service.runtime.log.append(events)
        service.runtime.telemetry.observe("append", time.perf_counter() - start)
        service.runtime.telemetry.count("events", "accepted", n=accepted.accepted)
        service.runtime.telemetry.count("events", "duplicate", n=accepted.duplicates)
        body = _accepted(accepted, events)
        if not params.wait:
            return json_response(body, 202)
        results = await _applied(service, events, expected, accepted, start, params.timeout_s)
    finally:
        outcomes.forget(expected)
    if results is None:
        return json_response(body, 202)
    return json_response({**body, "results": results})


def _events(body: bytes, tenant: str, service: Service) -> list[Event]:
    try:
        listed = body.lstrip()[:1] == b"["
        sent = parse(_MANY, body) if listed else [parse(_ONE, body)]
        weights, now = service.runtime.settings.event_weights, time.time()
        events = []
        for place, one in enumerate(sent):
            try:
                events.append(to_event(tenant, one, weights, now=now))
            except InvalidInput as exc:
                raise exc.within(place) if listed else exc from None
        return events
    except InvalidInput:
        service.runtime.telemetry.count("events", "refused")
        raise


def _accepted(accepted: Accepted, events: list[Event]) -> dict[str, Any]:
    return {
        "accepted": accepted.accepted,
        "duplicates": accepted.duplicates,
        "event_ids": [event.event_id for event in events],
        "position": str(accepted.offset),
    }


async def _applied(
    service: Service,
    events: list[Event],
    expected: dict[tuple[str, str, str], Future[Outcome]],
    accepted: Accepted,
    start: float,
    timeout_s: float,
) -> list[dict[str, Any]] | None:
    """Wait until all are folded; None when they are not in time."""
    deadline = start + timeout_s
    progress = service.runtime.worker.progress
    if not await progress.wait(accepted.offset, deadline - time.perf_counter()):
        return None
    results = []
    for event in events:
        key = (event.tenant, event.user_id, event.event_id)
        outcome = await _outcome(service, event, expected[key], deadline)
        if outcome is None:
            return None
        results.append(
            {
                "event_id": event.event_id,
                "success": outcome.error is None,
                "latency_ms": round((time.perf_counter() - start) * 1e3, 3),
                "embedding_generated": outcome.embedded,
                "profile_updated": outcome.error is None,
                "user_version": outcome.user_version,
                "error": outcome.error,
            }
        )
    return results


async def _outcome(
    service: Service, event: Event, future: Future[Outcome], deadline: float
) -> Outcome | None:
    """Return what became of an event that the worker has passed; None while it waits too long."""
    if future.done():
        return future.result()
    state = await service.runtime.states.get(event.tenant, event.user_id)
    if state is None or event.event_id not in state.waiting:
        return Outcome(state.version if state is not None else 0)  # a duplicate, folded before
    try:
        async with asyncio.timeout(max(0.0, deadline - time.perf_counter())):
            return await future
    except TimeoutError:
        return None
