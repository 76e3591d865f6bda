"""A short way to the two busiest routes, past FastAPI's dependency resolution and routing.

Those take longer than the routes do (about 0.3 ms a request). The functions, parameters, errors
and documentation are those of `recsvc.routes`; only the way to them is shorter.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from indexer.domain.ids import is_id
from indexer.errors import FieldError, InvalidInput, RecsvcError
from indexer.wire import field_errors
from recsvc.problems import answer
from recsvc.routes.events import post_events
from recsvc.routes.recommendations import recommend
from recsvc.schemas import EventsParams, UserParams
from recsvc.state import Service

__all__ = ["HotRoutes"]

_EVENTS: Final = "/v1/events"
_BEFORE_USER, _AFTER_USER = "/v1/users/", "/recommendations"
_LISTS: Final = {"filter", "exclude", "negative_items", "boost", "cap", "pin"}

P = TypeVar("P", bound=BaseModel)


class HotRoutes:
    """ASGI middleware that answers `POST /v1/events` and recommendations for users itself."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        handled = self._handled(scope, receive) if scope["type"] == "http" else None
        if handled is None:
            await self._app(scope, receive, send)
            return
        try:
            response = await handled
        except RecsvcError as exc:
            response = answer(exc)
        await response(scope, receive, send)

    def _handled(self, scope: Scope, receive: Receive) -> Awaitable[Response] | None:
        path: str = scope["path"]
        if scope["method"] == "POST" and path == _EVENTS:
            return self._events(Request(scope, receive))
        if (
            scope["method"] == "GET"
            and path.startswith(_BEFORE_USER)
            and path.endswith(_AFTER_USER)
        ):
            user_id = path[len(_BEFORE_USER) : -len(_AFTER_USER)]
            if "/" not in user_id:
                return self._recommend(Request(scope, receive), user_id)
        return None

    async def _events(self, request: Request) -> Response:
        key = self._service.keyring.check(request.headers, "write")
        return await post_events(request, _params(request, EventsParams), self._service, key)

    async def _recommend(self, request: Request, user_id: str) -> Response:
        key = self._service.keyring.check(request.headers, "read")
        if not is_id(user_id):
            said = f"must be 1..128 characters of A-Z a-z 0-9 _ . : @ -, not {user_id[:60]!r}"
            raise InvalidInput([FieldError(("path", "user_id"), said)])
        return await recommend(user_id, _params(request, UserParams), self._service, key)


def _params(request: Request, model: type[P]) -> P:
    given: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name in _LISTS:
            given.setdefault(name, []).append(value)
        else:
            given[name] = value
    return _checked(model, given)


def _checked(model: type[P], given: Mapping[str, Any]) -> P:
    try:
        return model.model_validate(given)
    except ValidationError as exc:
        fields = [FieldError(("query", *e.loc), e.msg) for e in field_errors(exc)]
        raise InvalidInput(fields) from exc
