"""What is known of a user: to look at, to take away, to erase."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse

from indexer.domain.events import ref_item, ref_text
from indexer.domain.ids import ID_PATTERN
from indexer.domain.interests import Interest
from indexer.domain.profile import Profile
from indexer.domain.state import Entry, UserState
from indexer.errors import NotFound
from indexer.streams.codec import event_fields
from recsvc.pages import point_cursor, point_of
from recsvc.problems import PARAMETER_REFUSED, Problem
from recsvc.schemas import Erased, UserMap, UserOut, UsersPage, UsersParams
from recsvc.state import Admin, Service, ServiceDep, json_response

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["users"])

_PAGE = 500
_INTERESTS = 5
_UNKNOWN = "user {!r} was never seen"
_UserId = Annotated[str, Path(pattern=ID_PATTERN, examples=["ada"])]
_NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "A user never seen."}
}


@router.get(
    "/users",
    summary="List users",
    response_model=None,
    responses={200: {"model": UsersPage}, **PARAMETER_REFUSED},
)
async def list_users(
    params: Annotated[UsersParams, Query()], service: ServiceDep, key: Admin
) -> Response:
    """Return all users page by page, in an order that stays the same while users do things."""
    states, following = await service.runtime.states.page(
        key.tenant, params.limit, point_of(params.cursor)
    )
    listed = [
        {
            "user_id": state.user_id,
            "version": state.version,
            "event_count": state.event_count,
            "last_event_at": max((entry.timestamp for entry in state.window), default=None),
        }
        for state in states
    ]
    return json_response({"users": listed, "next_cursor": point_cursor(following)})


@router.get(
    "/users/{user_id}",
    summary="Look at a user",
    response_model=None,
    responses={200: {"model": UserOut}, **_NOT_FOUND},
)
async def get_user(
    user_id: _UserId,
    service: ServiceDep,
    key: Admin,
    vectors: Annotated[bool, Query(description="Include the raw vectors.")] = False,
) -> Response:
    """Return the user's counts, interests, profile and newest events."""
    state = await _state(service, key.tenant, user_id)
    profile = await service.runtime.profiles.get(key.tenant, user_id)
    interests = await service.recommender.interests(state)
    return json_response(_shown(service, state, profile, interests, vectors))


@router.get(
    "/users/{user_id}/export",
    summary="Export everything held of a user",
    response_model=None,
    responses={200: {"content": {"application/json": {}}}, **_NOT_FOUND},
)
async def export_user(user_id: _UserId, service: ServiceDep, key: Admin) -> Response:
    """Stream one JSON document: the user with vectors, and every logged event."""
    state = await _state(service, key.tenant, user_id)
    profile = await service.runtime.profiles.get(key.tenant, user_id)
    interests = await service.recommender.interests(state)
    return StreamingResponse(
        _export(
            service, key.tenant, state, _shown(service, state, profile, interests, vectors=True)
        ),
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="user-{user_id}.json"'},
    )


@router.get(
    "/users/{user_id}/map",
    summary="Where a user is on the map",
    response_model=None,
    responses={200: {"model": UserMap}, **_NOT_FOUND},
)
async def user_map(user_id: _UserId, service: ServiceDep, key: Admin) -> Response:
    """Return the user's interests, taste, profile and newest events as places on `GET /v1/map`."""
    state = await _state(service, key.tenant, user_id)
    profile = await service.runtime.profiles.get(key.tenant, user_id)
    return json_response(await service.explorer.maps.user(state, profile))


@router.delete(
    "/users/{user_id}",
    summary="Erase a user",
    response_model=None,
    responses={200: {"model": Erased}, **_NOT_FOUND},
)
async def erase_user(user_id: _UserId, service: ServiceDep, key: Admin) -> Response:
    """Erase the user's events, vectors, profile and cached answers, then look for them again."""
    if not await _is_known(service, key.tenant, user_id):
        raise NotFound(_UNKNOWN.format(user_id))
    erased = await service.runtime.erase_user(key.tenant, user_id)
    verified = not await _is_known(service, key.tenant, user_id)
    return json_response({"user_id": user_id, "events": erased, "verified": verified})


async def _is_known(service: Service, tenant: str, user_id: str) -> bool:
    """Whether anything at all is held of a user: also what an erasure has left that failed."""
    runtime = service.runtime
    return (
        bool(await runtime.log.user_events(tenant, user_id, after=-1, limit=1))
        or await runtime.states.get(tenant, user_id) is not None
        or await runtime.profiles.get(tenant, user_id) is not None
        or await runtime.models.ledger.knows_user(tenant, user_id)
        or await runtime.webhooks.knows_user(tenant, user_id)
    )


async def _state(service: Service, tenant: str, user_id: str) -> UserState:
    state = await service.runtime.states.get(tenant, user_id)
    if state is None:
        raise NotFound(_UNKNOWN.format(user_id))
    return state


def _shown(
    service: Service,
    state: UserState,
    profile: Profile | None,
    interests: Sequence[Interest],
    vectors: bool,
) -> dict[str, Any]:
    weights = profile.weights if profile is not None else {}
    shown: dict[str, Any] = {
        "user_id": state.user_id,
        "version": state.version,
        "position": service.runtime.position_of_user(state.tenant, state.user_id, state.offset),
        "event_count": state.event_count,
        "counts": state.counts,
        "waiting": len(state.waiting),
        "interests": [term for term, weight in weights.items() if weight > 0][:_INTERESTS],
        "profile": profile
        and {
            "weights": profile.weights,
            "summary": profile.summary,
            "model": profile.model,
            "updated_at": profile.updated_at,
            "cost_usd": profile.cost_usd,
            "evidence": profile.evidence,
        },
        "groups": [_group(interest) for interest in interests],
        "recent": [_recent(entry, state) for entry in reversed(state.window)],
    }
    if vectors:
        held = {
            "long": state.long.vector,
            "short": state.short.vector,
            "profile": profile and profile.vector,
        }
        held |= {f"interest-{n}": one.vector for n, one in enumerate(interests, start=1)}
        shown["vectors"] = {name: vector for name, vector in held.items() if vector is not None}
    return shown


def _group(interest: Interest) -> dict[str, Any]:
    refs = [member.ref for member in interest.members]
    return {
        "share": round(interest.share, 4),
        "items": [item_id for ref in refs if (item_id := ref_item(ref)) is not None],
        "queries": [text for ref in refs if (text := ref_text(ref)) is not None],
    }


def _recent(entry: Entry, state: UserState) -> dict[str, Any]:
    item_id, query = ref_item(entry.ref), ref_text(entry.ref)
    shown: dict[str, Any] = {
        "event_id": entry.event_id,
        "event_type": entry.event_type,
        "timestamp": entry.timestamp,
        "weight": entry.weight,
    }
    shown.update({"item_id": item_id} if item_id is not None else {"query": query})
    if entry.value is not None:
        shown["value"] = entry.value
    if entry.event_id in state.waiting:
        shown["waiting"] = True
    return shown


async def _export(
    service: Service, tenant: str, state: UserState, shown: dict[str, Any]
) -> AsyncIterator[bytes]:
    user = orjson.dumps(shown, option=orjson.OPT_SERIALIZE_NUMPY)
    yield b'{"user":' + user + b',"events":['
    after, first = -1, True
    while records := await service.runtime.log.user_events(
        tenant, state.user_id, after=after, limit=_PAGE
    ):
        rows = [
            orjson.dumps({**event_fields(r.event), "accepted_at": r.accepted_at}) for r in records
        ]
        yield (b"" if first else b",") + b",".join(rows)
        after, first = records[-1].offset, False
    yield b"]}"
