"""A server that says it is Qdrant and answers what a test tells it to, request by request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request. ``path``: with the query."""

    method: str
    path: str
    body: Any


@dataclass(frozen=True)
class Answer:
    """What is answered. ``result``: as Qdrant wraps it. ``raw``: exactly this, if it is given.
    ``drop``: nothing, and the connection ends.
    """

    result: Any = True
    status: int = 200
    error: str = "a fault of the test"
    raw: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False

    def payload(self) -> bytes:
        """Return the body."""
        if self.raw is not None:
            return self.raw
        if self.status == 200:
            return json.dumps({"result": self.result, "status": "ok", "time": 0.0}).encode()
        return json.dumps({"status": {"error": self.error}, "time": 0.0}).encode()


class ScriptedQdrant:
    """``version``: what it says it is. ``answer``: decides by the request; all are in ``asked``."""

    def __init__(self, version: str = "1.18.2") -> None:
        self.version = version
        self.answer: Callable[[Asked], Answer] = lambda _asked: Answer()
        self.asked: list[Asked] = []
        self.url = ""
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> ScriptedQdrant:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = asyncio.create_task(self._serve(reader, writer))
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked = await _read(reader)
                answer = self._decide(asked)
                if answer.drop:
                    return
                payload = answer.payload()
                head = {**answer.headers, "content-length": str(len(payload))}
                lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
                writer.write(f"HTTP/1.1 {answer.status} -\r\n{lines}\r\n".encode() + payload)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _decide(self, asked: Asked) -> Answer:
        if asked.path == "/":
            told = {"title": "qdrant - vector search engine", "version": self.version}
            return Answer(raw=json.dumps(told).encode())
        self.asked.append(asked)
        return self.answer(asked)


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    sent = await reader.readexactly(int(headers.get("content-length", "0")))
    method, path, _ = first.split(" ")
    return Asked(method, path, json.loads(sent) if sent else None)
