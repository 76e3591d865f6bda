"""`POST /v1/events`: in, durable, and on request visible."""

from __future__ import annotations

import asyncio
import time
from asyncio import Future
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter

from indexer.domain.events import Event
from indexer.domain.position import show_position
from indexer.errors import InvalidInput
from indexer.newest import newest
from indexer.ports import Accepted, EventRecord
from indexer.progress import Outcome
from indexer.wire import EVENTS_MAX, EventBatch, EventIn, parse, to_event
from recsvc.bodies import json_body, read_bytes
from recsvc.problems import PARAMETER_REFUSED, Problem
from recsvc.schemas import (
    EventsAccepted,
    EventsApplied,
    EventsParams,
    NewestEvents,
    NewestEventsParams,
)
from recsvc.state import Admin, Service, ServiceDep, Writer, json_response

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["events"])

_LOOK_AGAIN_S = 0.1
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


@router.get(
    "/events",
    summary="The newest events",
    response_model=None,
    responses={200: {"model": NewestEvents}, **PARAMETER_REFUSED},
)
async def newest_events(
    params: Annotated[NewestEventsParams, Query()], service: ServiceDep, key: Admin
) -> Response:
    """Return the events that were accepted last, the newest first.

    Looked for among the newest 2,000 of each partition of the log, whosever these are.
    """
    records = await newest(service.runtime.log, key.tenant, params.limit)
    return json_response({"events": [_listed(record) for record in records]})


def _listed(record: EventRecord) -> dict[str, Any]:
    event = record.event
    told = {"item_id": event.item_id, "query": event.query, "value": event.value}
    return {
        "event_id": event.event_id,
        "user_id": event.user_id,
        "event_type": event.event_type,
        **{name: value for name, value in told.items() if value is not None},
        "timestamp": event.timestamp,
        "accepted_at": record.accepted_at,
        "position": show_position({record.partition: record.offset}),
    }


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
        "position": show_position(accepted.position),
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
    progress = service.runtime.progress["events"]
    if not await progress.wait(accepted.position, deadline - time.perf_counter()):
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
    """Return what became of an event that was passed; None while it waits too long."""
    waited = False
    while not future.done():
        state = await service.runtime.states.get(event.tenant, event.user_id)
        if state is None or event.event_id not in state.waiting:
            # Folded elsewhere; or a duplicate, folded before.
            return Outcome(state.version if state is not None else 0, embedded=waited)
        left_s, waited = deadline - time.perf_counter(), True
        if left_s <= 0.0:
            return None
        await asyncio.wait([future], timeout=min(left_s, _LOOK_AGAIN_S))
    return future.result()
