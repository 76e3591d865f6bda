"""Webhooks: endpoints of the tenant that are told of what changes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import TypeAdapter

from indexer.domain.ids import ID_PATTERN
from recsvc.bodies import json_body, read_json
from recsvc.problems import Problem
from recsvc.state import Admin, ServiceDep, json_response
from recsvc.webhooks.schemas import (
    DeadDeliveries,
    Replayed,
    ReplayIn,
    TestResult,
    WebhookIn,
    WebhookList,
    WebhookMade,
    WebhookOut,
    WebhookPatch,
)

__all__ = ["router"]

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

_WebhookId = Annotated[str, Path(pattern=ID_PATTERN, examples=["wh_0a1b2c3d4e5f60718293a4b5"])]
_MADE, _CHANGED, _REPLAY = TypeAdapter(WebhookIn), TypeAdapter(WebhookPatch), TypeAdapter(ReplayIn)
_REFUSED: dict[int | str, dict[str, Any]] = {
    422: {"model": Problem, "description": "The body is refused, or the URL may not be sent to."}
}
_NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "No such webhook."}
}
_BUSY: dict[int | str, dict[str, Any]] = {
    503: {"model": Problem, "description": "Too many are made, changed or tested; try again."}
}
_NOTHING = b"{}"


@router.post(
    "",
    status_code=201,
    summary="Make a webhook",
    response_model=None,
    responses={201: {"model": WebhookMade}, **_REFUSED, **_BUSY},
    openapi_extra=json_body({"$ref": "#/components/schemas/WebhookIn"}),
)
async def create_webhook(request: Request, service: ServiceDep, key: Admin) -> Response:
    """Tell an endpoint of all that is accepted from now on; its secret is shown this once."""
    sent = await read_json(request, _MADE)
    return json_response(await service.webhooks.create(key.tenant, sent), 201)


@router.get(
    "", summary="List webhooks", response_model=None, responses={200: {"model": WebhookList}}
)
async def list_webhooks(service: ServiceDep, key: Admin) -> Response:
    """Return all webhooks of the tenant, each with what came of its deliveries."""
    return json_response(await service.webhooks.listed(key.tenant))


@router.get(
    "/{webhook_id}",
    summary="Look at a webhook",
    response_model=None,
    responses={200: {"model": WebhookOut}, **_NOT_FOUND},
)
async def get_webhook(webhook_id: _WebhookId, service: ServiceDep, key: Admin) -> Response:
    """Return a webhook with what came of its deliveries, as of a moment ago."""
    return json_response(await service.webhooks.get(key.tenant, webhook_id))


@router.patch(
    "/{webhook_id}",
    summary="Change a webhook",
    response_model=None,
    responses={200: {"model": WebhookOut}, **_NOT_FOUND, **_REFUSED, **_BUSY},
    openapi_extra=json_body({"$ref": "#/components/schemas/WebhookPatch"}),
)
async def change_webhook(
    webhook_id: _WebhookId, request: Request, service: ServiceDep, key: Admin
) -> Response:
    """Change what is given. A new secret is shown this once; the old one signs for 24 h more."""
    sent = await read_json(request, _CHANGED)
    return json_response(await service.webhooks.change(key.tenant, webhook_id, sent))


@router.delete(
    "/{webhook_id}",
    status_code=204,
    summary="Delete a webhook",
    response_model=None,
    responses={**_NOT_FOUND},
)
async def delete_webhook(webhook_id: _WebhookId, service: ServiceDep, key: Admin) -> Response:
    """Forget a webhook, what it was still to be told, and its dead letters."""
    await service.webhooks.delete(key.tenant, webhook_id)
    return Response(status_code=204)


@router.post(
    "/{webhook_id}/test",
    summary="Send a test message",
    response_model=None,
    responses={200: {"model": TestResult}, **_NOT_FOUND, **_BUSY},
)
async def test_webhook(webhook_id: _WebhookId, service: ServiceDep, key: Admin) -> Response:
    """Send `webhook.test` at once, also where the webhook is disabled, and tell what came."""
    return json_response(await service.webhooks.test(key.tenant, webhook_id))


@router.get(
    "/{webhook_id}/dead-letters",
    summary="List what was given up",
    response_model=None,
    responses={200: {"model": DeadDeliveries}, **_NOT_FOUND},
)
async def list_dead_deliveries(webhook_id: _WebhookId, service: ServiceDep, key: Admin) -> Response:
    """Return the deliveries that were tried for `RECSVC_WEBHOOK_RETRY_S` in vain."""
    return json_response(await service.webhooks.dead_letters(key.tenant, webhook_id))


@router.post(
    "/{webhook_id}/replay",
    summary="Send again what was given up",
    response_model=None,
    responses={200: {"model": Replayed}, **_NOT_FOUND, **_REFUSED},
    openapi_extra=json_body({"$ref": "#/components/schemas/ReplayIn"}, required=False),
)
async def replay_webhook(
    webhook_id: _WebhookId, request: Request, service: ServiceDep, key: Admin
) -> Response:
    """Have dead letters wait again, some or all; a list is told as it is then."""
    sent = await read_json(request, _REPLAY, _NOTHING)
    answer = await service.webhooks.replay(key.tenant, webhook_id, sent.delivery_ids)
    return json_response(answer)
