"""An endpoint of our own that takes webhooks, and answers as a test decides."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook as Verifier

__all__ = ["Delivered", "Receiver"]


@dataclass(slots=True)
class Delivered:
    """One request. ``at``: monotonic seconds."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """Check the signature as a consumer does, and return the message."""
        message: dict[str, Any] = Verifier(secret).verify(self.body, self.headers)
        return message


@dataclass(slots=True)
class Receiver:
    """A server on loopback. ``status``, ``headers``, ``delay_s``: of its answers."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    body: bytes = b""
    got: list[Delivered] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def __aenter__(self) -> Receiver:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self._ended.set()
        for writer in list(self._writers):
            writer.close()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def messages(self, secret: str) -> list[dict[str, Any]]:
        """Return all that came, each with a good signature."""
        return [one.verified(secret) for one in self.got]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while request := await _read(reader):
                self.got.append(request)
                await self._delay()
                writer.write(self._answer())
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _delay(self) -> None:
        try:
            async with asyncio.timeout(self.delay_s):
                await self._ended.wait()
        except TimeoutError:
            return

    def _answer(self) -> bytes:
        told = {"Content-Length": str(len(self.body)), **self.headers}
        lines = [f"HTTP/1.1 {self.status} Said", *(f"{k}: {v}" for k, v in told.items()), "", ""]
        return "\r\n".join(lines).encode() + self.body


async def _read(reader: asyncio.StreamReader) -> Delivered | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Delivered(first.split()[1], headers, body, time.monotonic())
