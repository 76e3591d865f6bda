"""Recommendations for users and sessions, and similar items."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import TypeAdapter

from indexer.domain.ids import ID_PATTERN
from indexer.domain.position import read_position
from indexer.errors import FieldError, InvalidInput, NotApplied
from recsvc.bodies import json_body, read_json
from recsvc.problems import PARAMETER_REFUSED, Problem
from recsvc.schemas import (
    ListParams,
    Recommendations,
    SessionIn,
    SessionRecommendations,
    SimilarItems,
    UserParams,
)
from recsvc.state import Reader, Service, ServiceDep, json_response

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["recommendations"])

_AFTER_S = 2.0
_SESSION = TypeAdapter(SessionIn)
_UserId = Annotated[str, Path(pattern=ID_PATTERN, examples=["ada"])]
_ItemId = Annotated[str, Path(pattern=ID_PATTERN, examples=["book-17"])]


@router.get(
    "/users/{user_id}/recommendations",
    summary="Recommend to a user",
    response_model=None,
    responses={
        200: {"model": Recommendations},
        409: {"model": Problem, "description": "`after` was not folded within 2 s."},
        **PARAMETER_REFUSED,
    },
)
async def recommend(
    user_id: _UserId,
    params: Annotated[UserParams, Query()],
    service: ServiceDep,
    key: Reader,
) -> Response:
    """Recommend by everything known of the user, the newest event included."""
    if params.after is not None:
        await _wait(service, params.after)
    answer = await service.recommender.for_user(key.tenant, user_id, params.options())
    return json_response(answer)


@router.post(
    "/recommendations",
    summary="Recommend to a session",
    response_model=None,
    responses={200: {"model": SessionRecommendations}, **PARAMETER_REFUSED},
    openapi_extra=json_body({"$ref": "#/components/schemas/SessionIn"}),
)
async def recommend_to_session(request: Request, service: ServiceDep, key: Reader) -> Response:
    """Recommend to a visitor without an identity, by items, a text or weights."""
    sent = await read_json(request, _SESSION)
    answer = await service.recommender.for_session(key.tenant, sent.session(), sent.options())
    return json_response(answer)


@router.get(
    "/items/{item_id}/similar",
    summary="Find similar items",
    response_model=None,
    responses={
        200: {"model": SimilarItems},
        404: {"model": Problem, "description": "No such item."},
        503: {"model": Problem, "description": "The item is not embedded yet."},
        **PARAMETER_REFUSED,
    },
)
async def similar(
    item_id: _ItemId,
    params: Annotated[ListParams, Query()],
    service: ServiceDep,
    key: Reader,
) -> Response:
    """Return the nearest items; scores are cosines."""
    return json_response(await service.recommender.similar(key.tenant, item_id, params.options()))


async def _wait(service: Service, after: str) -> None:
    try:
        position = read_position(after)
    except ValueError as exc:
        raise InvalidInput([FieldError(("query", "after"), str(exc))]) from exc
    progress = service.runtime.progress["events"]
    if progress.reaches(position):
        return
    ends = await service.runtime.log.ends("events")
    if any(offset > ends.get(partition, 0) for partition, offset in position.items()):
        raise NotApplied(f"position {after} is beyond the end of the event log")
    if not await progress.wait(position, _AFTER_S):
        raise NotApplied(f"position {after} was not folded within {_AFTER_S:g} s; ask again")
