"""The server's side of live connections, for clients that do not read.

uvicorn waits for such a client before it writes, also the frame that says that the connection is
closed; and a transport that is closed still waits until all is written. Both would be for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

__all__ = ["LIVE_OPTIONS", "LiveProtocol", "StreamProtocol", "abort"]

_BUFFER_MAX: Final = 32 * 1024
"""Bytes that wait in this process to be written to a client, before it has to read on."""

_PARSED_MAX: Final = 256 * 1024
"""Bytes of a message that are read at all; what is shorter and still too long is told so."""

_PING_S, _PONG_S = 4.0, 5.0
"""A client that does not even answer a ping is closed within the sum of both."""

_LINGER_S: Final = 1.0
_SLOW: Final = 1013, "does not read"

_ABORT: Final = "recsvc.abort"
"""Under which name an HTTP request's state has what drops its connection."""


class LiveProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, which ends the connection of a client that does not read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; let little wait to be written."""
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=_BUFFER_MAX)

    async def send(self, message: Any) -> None:
        """Write to a client; close at once where it does not read."""
        closing = message["type"] == "websocket.close" and self.handshake_complete
        if self.close_sent and self.handshake_complete:
            if closing:
                return
            raise ClientDisconnected
        if closing and not self.writable.is_set():
            self._cut(message.get("code", 1000), message.get("reason") or "")
            return
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True  # refused; else that would be logged as an error
        if closing and self.close_timer is not None:
            self.close_timer.cancel()
            self._abort_in(self.close_timeout)

    def keepalive_timeout(self) -> None:
        """Close what has not answered a ping."""
        self.pong_timer = None
        self.pending_ping_payload = None
        self._cut(*_SLOW)

    def _cut(self, code: int, reason: str) -> None:
        """Write the closing frame after what waits; if it is not read soon, drop the rest."""
        if self.close_sent or self.transport.is_closing():
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:  # for the client's own closing frame
            self.read_paused = False
            self.transport.resume_reading()
        self._abort_in(_LINGER_S)

    def _abort_in(self, seconds: float) -> None:
        self.close_timer = self.loop.call_later(seconds, self.transport.abort)


class StreamProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which lets a response drop its connection; see `abort`."""

    def connection_made(  # type: ignore[override]
        self, transport: asyncio.Transport
    ) -> None:
        """Begin."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, _ABORT: transport.abort}


def abort(scope: Scope) -> None:
    """Drop the connection of an HTTP request, and what waits to be written to it."""
    drop = scope.get("state", {}).get(_ABORT)
    if drop is not None:
        drop()


LIVE_OPTIONS: Final[dict[str, Any]] = {
    "http": StreamProtocol,
    "ws": LiveProtocol,
    "ws_max_size": _PARSED_MAX,
    "ws_ping_interval": _PING_S,
    "ws_ping_timeout": _PONG_S,
    "ws_per_message_deflate": False,  # its windows are memory of each connection
}
"""What `uvicorn.Config` is given for live connections."""
