"""An HTTP client that costs little: the load generator shares two cores with what it measures.

It keeps one connection, sends one request at a time and reads replies that have a
Content-Length, which is all that this service's are.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import orjson

__all__ = ["Connection"]

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Connection(asyncio.Protocol):
    """One kept-alive connection to 127.0.0.1."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = b""
        self._reply: asyncio.Future[tuple[int, bytes]] | None = None

    @classmethod
    async def open(cls, port: int) -> Connection:
        """Connect."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, "127.0.0.1", port)
        return connection

    def close(self) -> None:
        """Disconnect."""
        if self._transport is not None:
            self._transport.close()

    async def get(self, path: str) -> tuple[int, bytes]:
        """Send a GET; return status and body."""
        return await self._send(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

    async def post(self, path: str, body: object) -> tuple[int, bytes]:
        """Send a POST of JSON; return status and body."""
        content = orjson.dumps(body)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        return await self._send(head.encode() + content)

    async def post_ok(self, path: str, body: object) -> Any:
        """Send a POST and return the JSON of its reply, which must be a success."""
        status, reply = await self.post(path, body)
        if status >= 300:
            raise RuntimeError(f"POST {path} answered {status}: {reply[:300]!r}")
        return orjson.loads(reply)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is of another class

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(ConnectionError(f"connection lost: {exc}"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(_HEAD_END)
        if end < 0 or self._reply is None:
            return
        head = self._buffer[:end].lower()
        at = head.find(_LENGTH)
        length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        total = end + len(_HEAD_END) + length
        if len(self._buffer) >= total and not self._reply.done():
            body = self._buffer[end + len(_HEAD_END) : total]
            status = int(self._buffer[9:12])
            self._buffer = self._buffer[total:]
            self._reply.set_result((status, body))

    async def _send(self, request: bytes) -> tuple[int, bytes]:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the connection is closed")
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._reply
