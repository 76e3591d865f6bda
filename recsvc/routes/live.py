"""Pushes: a WebSocket for several users, and Server-Sent Events for one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Header, Path, Query, Request, Response, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketDisconnected

from indexer.domain.ids import ID_PATTERN
from indexer.errors import Overloaded, RecsvcError
from recsvc.handshake import check_origin, credentials, scopes_of
from recsvc.hub import Hub
from recsvc.listener import Listener
from recsvc.live import (
    MESSAGE_MAX,
    ErrorMessage,
    Ping,
    Pong,
    Resume,
    StreamParams,
    Subscribe,
    SyncMessage,
    Unsubscribe,
    UserEvent,
    read_message,
)
from recsvc.problems import PARAMETER_REFUSED, Forbidden, Problem, answer
from recsvc.routes.events import post_events
from recsvc.routes.streams import EventStream
from recsvc.schemas import EventsParams
from recsvc.security import ApiKey
from recsvc.state import Service, ServiceDep

__all__ = ["IDLE_S", "SEND_S", "live_router"]

SEND_S: Final = 10.0
"""How long a client may take to make room for one message, before it is closed."""

IDLE_S: Final = 60.0
"""How long a WebSocket may neither listen to a user nor say anything."""

_CLOSING_S: Final = 1.0

_TOO_LONG, _TRY_LATER, _RESTARTING, _IDLE = 1009, 1013, 1012, 1000
_WAITING = EventsParams.model_validate({"wait": "applied"})


class _Closing(Exception):
    """The connection is to be closed."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


def live_router(hub: Hub, allowed: frozenset[str], *, send_s: float = SEND_S) -> APIRouter:
    """Make the routes. ``allowed``: origins whose pages may connect beside the service's own."""
    router = APIRouter(tags=["live"])

    async def live(websocket: WebSocket) -> None:
        await _serve(websocket, hub, allowed, send_s)

    router.add_api_websocket_route("/v1/ws", live, name="live")
    router.add_api_websocket_route("/", live, name="live_at_root")

    @router.get(
        "/v1/users/{user_id}/stream",
        summary="Follow a user's recommendations",
        response_model=None,
        response_class=Response,
        responses={
            200: {
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
                "description": "`event: recommendation_update`, `id`: its sequence.",
            },
            403: {"model": Problem, "description": "The page's origin is not allowed."},
            **PARAMETER_REFUSED,
            503: {"model": Problem, "description": "Too many live connections."},
        },
    )
    async def stream(
        request: Request,
        service: ServiceDep,
        user_id: Annotated[str, Path(pattern=ID_PATTERN, examples=["ada"])],
        params: Annotated[StreamParams, Query()],
        last_event_id: Annotated[
            str | None, Header(description="The newest `id` that was received.")
        ] = None,
    ) -> Response:
        """Server-Sent Events: the list as it is now, unless it is known, then after each change."""
        check_origin(request, allowed)
        key = service.keyring.check(credentials(request, params.api_key), "read")
        listener = hub.join(key.tenant, key.name)
        try:
            known = int(last_event_id) if last_event_id and last_event_id.isdecimal() else None
            listener.resume(user_id, known, params.limit, features=params.features, asks=False)
        except RecsvcError:
            hub.leave(listener)
            raise
        return EventStream(hub, listener, send_s)

    return router


async def _serve(websocket: WebSocket, hub: Hub, allowed: frozenset[str], send_s: float) -> None:
    """Have a conversation with a client, from the handshake to the end."""
    service: Service = websocket.app.state.service
    try:
        check_origin(websocket, allowed)
        scopes = scopes_of(service.keyring, websocket)
    except RecsvcError as exc:
        await websocket.send_denial_response(answer(exc))
        return
    await websocket.accept()
    key = next(iter(scopes.values()))
    try:
        with hub.listening(key.tenant, key.name) as listener:
            session = _Session(websocket, service, listener, scopes, send_s)
            await _first(session.hear(), session.push())
    except (WebSocketDisconnect, WebSocketDisconnected):
        return
    except Overloaded as exc:
        await _close(websocket, _TRY_LATER, str(exc))
    except _Closing as exc:
        await _close(websocket, exc.code, exc.reason)


class _Session:
    """One WebSocket: what it hears is done in order, what is pushed goes beside it."""

    def __init__(
        self,
        websocket: WebSocket,
        service: Service,
        listener: Listener,
        scopes: Mapping[str, ApiKey],
        send_s: float,
    ) -> None:
        self._websocket, self._service, self._listener = websocket, service, listener
        self._scopes, self._send_s = scopes, send_s

    async def push(self) -> None:
        """Send what is laid out, until the hub closes."""
        while (push := await self._listener.next()) is not None:
            await self._send(push.text)
        raise _Closing(_RESTARTING, "the service is stopping")

    async def hear(self) -> None:
        """Do what the client asks, one message after another."""
        while True:
            text = await self._receive()
            try:
                await self._do(text)
            except RecsvcError as exc:
                await self._send(ErrorMessage(message=str(exc)).text())

    async def _do(self, text: str) -> None:
        listener = self._listener
        match read_message(text):
            case Ping():
                await self._send(Pong().text())
            case Subscribe(user_id=user_id, limit=limit, features=features):
                self._require("read")
                listener.subscribe(user_id, limit, features=features)
            case Resume(user_id=user_id, limit=limit, features=features, sequence=sequence):
                self._require("read")
                listener.resume(user_id, sequence, limit, features=features)
            case Unsubscribe(user_id=user_id):
                listener.unsubscribe(user_id)
            case UserEvent() as event:
                await self._take(event)

    async def _take(self, event: UserEvent) -> None:
        """Take an event, say what became of it, and only then what it changes."""
        key = self._require("write")
        with self._listener.holding(event.user_id):
            await self._send((await _accepted(self._service, key, event)).text())
            if "read" in self._scopes and event.user_id not in self._listener.users:
                self._listener.resume(event.user_id, None, asks=False)

    def _require(self, scope: str) -> ApiKey:
        if scope not in self._scopes:
            name = next(iter(self._scopes.values())).name
            raise Forbidden(f"key {name!r} lacks the scope {scope!r}")
        return self._scopes[scope]

    async def _receive(self) -> str:
        try:
            async with asyncio.timeout(None if self._listener.users else IDLE_S):
                message = await self._websocket.receive()
        except TimeoutError:
            raise _Closing(_IDLE, f"nothing said for {IDLE_S:g} s") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        text, data = message.get("text"), message.get("bytes")
        size = len(text.encode()) if text is not None else len(data or b"")
        if size > MESSAGE_MAX:
            said = f"a message of {size} bytes, at most {MESSAGE_MAX}"
            await self._send(ErrorMessage(message=said).text())
            raise _Closing(_TOO_LONG, said)
        return text if text is not None else (data or b"").decode(errors="replace")

    async def _send(self, text: str) -> None:
        try:
            async with asyncio.timeout(self._send_s):
                await self._websocket.send_text(text)
        except TimeoutError:
            raise _Closing(_TRY_LATER, "does not read") from None


async def _accepted(service: Service, key: ApiKey, event: UserEvent) -> SyncMessage:
    """Accept an event as `POST /v1/events?wait=applied` does."""
    start = time.perf_counter()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": event.body, "more_body": False}

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    body = orjson.loads((await post_events(request, _WAITING, service, key)).body)
    result: dict[str, Any] = body.get("results", [{}])[0]
    return SyncMessage(
        success=result.get("success", True),
        latency_ms=round((time.perf_counter() - start) * 1e3, 3),
        recommendations_updated=result.get("profile_updated", False),
        event_id=body["event_ids"][0],
        error=result.get("error"),
    )


async def _first(*jobs: Coroutine[Any, Any, None]) -> None:
    """Do ``jobs`` until one of them ends, and end the others."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    """Close; a client that does not read is not waited for."""
    try:
        async with asyncio.timeout(_CLOSING_S):
            await websocket.close(code, reason[:120])
    except (TimeoutError, WebSocketDisconnect, RuntimeError):
        return  # it is gone, or the server ends it
