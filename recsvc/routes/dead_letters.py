"""Dead letters: what could not be folded is looked at, mended and sent again, or dropped."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import TypeAdapter

from indexer.dead_letters import Retried, drop_letter, resend_letter, retry_letters
from indexer.domain.position import show_position
from recsvc.bodies import json_body, read_json
from recsvc.problems import PARAMETER_REFUSED, Problem
from recsvc.schemas import (
    DeadLetters,
    DeadLettersParams,
    LetterRetry,
    LettersRetried,
    LettersRetry,
)
from recsvc.state import Admin, ServiceDep, json_response

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["operations"])

_LetterId = Annotated[str, Path(min_length=1, max_length=64, examples=["17"])]
_ALL, _ONE = TypeAdapter(LettersRetry), TypeAdapter(LetterRetry)
_NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "No such letter."}
}
_NOTHING = b"{}"


@router.get(
    "/dead-letters",
    summary="List dead letters",
    response_model=None,
    responses={200: {"model": DeadLetters}, **PARAMETER_REFUSED},
)
async def list_dead_letters(
    params: Annotated[DeadLettersParams, Query()], service: ServiceDep, key: Admin
) -> Response:
    """Return the oldest events that could not be folded, with the reasons."""
    letters = await service.runtime.log.dead_letters(tenant=key.tenant, limit=params.limit)
    listed = [
        {
            "letter_id": one.letter_id,
            "position": show_position(one.position),
            "at": one.at,
            "reason": one.reason,
            "event": one.event,
        }
        for one in letters
    ]
    return json_response({"dead_letters": listed})


@router.post(
    "/dead-letters/retry",
    summary="Send dead letters again",
    response_model=None,
    responses={
        200: {"model": LettersRetried},
        422: {"model": Problem, "description": "The body is refused; nothing was sent."},
    },
    openapi_extra=json_body({"$ref": "#/components/schemas/LettersRetry"}, required=False),
)
async def retry_dead_letters(request: Request, service: ServiceDep, key: Admin) -> Response:
    """Append the events once more, as new ones with new ids; what is still none stays."""
    sent = await read_json(request, _ALL, _NOTHING)
    runtime = service.runtime
    retried = await retry_letters(
        runtime.log,
        runtime.settings.event_weights,
        tenant=key.tenant,
        letter_ids=sent.letter_ids,
    )
    return json_response(_shown(retried))


@router.post(
    "/dead-letters/{letter_id}/retry",
    summary="Mend a dead letter and send it again",
    response_model=None,
    responses={
        200: {"model": LettersRetried},
        422: {"model": Problem, "description": "The event is refused; the letter stays."},
        **_NOT_FOUND,
    },
    openapi_extra=json_body({"$ref": "#/components/schemas/LetterRetry"}, required=False),
)
async def retry_dead_letter(
    letter_id: _LetterId, request: Request, service: ServiceDep, key: Admin
) -> Response:
    """Append the letter's event, or the one of the body in its place, as a new one."""
    sent = await read_json(request, _ONE, _NOTHING)
    runtime = service.runtime
    weights = runtime.settings.event_weights
    await resend_letter(runtime.log, weights, key.tenant, letter_id, sent.event)
    return json_response(_shown(Retried(sent=1)))


@router.delete(
    "/dead-letters/{letter_id}",
    status_code=204,
    summary="Drop a dead letter",
    response_model=None,
    responses={**_NOT_FOUND},
)
async def drop_dead_letter(letter_id: _LetterId, service: ServiceDep, key: Admin) -> Response:
    """Forget a letter; its event stays in the log, and is never folded."""
    await drop_letter(service.runtime.log, key.tenant, letter_id)
    return Response(status_code=204)


def _shown(retried: Retried) -> dict[str, Any]:
    kept = [{"letter_id": letter_id, "reason": why} for letter_id, why in retried.kept.items()]
    return {"retried": retried.sent, "kept": kept}
