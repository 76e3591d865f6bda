"""Server-Sent Events: one user's pushes as a response that does not end by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from recsvc.hub import Hub
from recsvc.listener import Listener
from recsvc.sockets import abort

__all__ = ["EventStream"]

_HEARTBEAT_S: Final = 15.0
_RECONNECT_MS: Final = 1_000


class EventStream(StreamingResponse):
    """Server-Sent Events of one listener, for as long as the client reads them."""

    def __init__(self, hub: Hub, listener: Listener, send_s: float) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        self._events = _events(listener)
        super().__init__(self._events, headers=headers, media_type="text/event-stream")
        self._hub, self._listener, self._send_s = hub, listener, send_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the client is gone or reads no more, or the hub closes."""

        async def timed(message: Any) -> None:
            async with asyncio.timeout(self._send_s):
                await send(message)

        try:
            await super().__call__(scope, receive, timed)
        except TimeoutError:
            abort(scope)
            await asyncio.sleep(0)  # the server finds it gone, rather than its response cut short
        finally:
            self._hub.leave(self._listener)
            await self._events.aclose()


async def _events(listener: Listener) -> AsyncGenerator[str, None]:
    yield f"retry: {_RECONNECT_MS}\n\n"
    while True:
        try:
            async with asyncio.timeout(_HEARTBEAT_S):
                push = await listener.next()
        except TimeoutError:
            yield ": \n\n"
            continue
        if push is None:
            return
        yield f"id: {push.sequence}\nevent: recommendation_update\ndata: {push.text}\n\n"
