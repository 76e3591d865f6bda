"""An OpenAI-compatible embedding endpoint of our own, whose faults are switched by the test."""

from __future__ import annotations

import asyncio
import json
import zlib
from types import TracebackType
from typing import Any

import numpy as np

_DIM = 64


class FakeProvider:
    """Serves ``POST /v1/embeddings`` on a free loopback port.

    ``status``: what every request is answered with. ``silent``: requests get no answer at all.
    ``refused_text``: a request that contains it is answered 400, as a provider does with a text
    that it will never take. ``hold``: the next request with that text waits for `release`.
    """

    def __init__(self) -> None:
        self.status = 200
        self.silent = False
        self.refused_text: str | None = None
        self.hold: str | None = None
        self.held = asyncio.Event()
        self.requests: list[list[str]] = []
        self._released = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}
        self.url = ""

    async def __aenter__(self) -> FakeProvider:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        tasks = list(self._clients.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    def release(self) -> None:
        """Let the held request be answered."""
        self._released.set()

    async def reply(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer one request: the status and the body."""
        self.requests.append(body["input"])
        return await self._answer(body["input"])

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients[writer] = asyncio.create_task(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.split("content-length:")[1].split("\r\n")[0])
                status, body = await self.reply(json.loads(await reader.readexactly(length)))
                payload = json.dumps(body).encode()
                writer.write(
                    f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\n"
                    f"content-length: {len(payload)}\r\n\r\n".encode()
                    + payload
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            del self._clients[writer]
            writer.close()

    async def _answer(self, texts: list[str]) -> tuple[int, dict[str, Any]]:
        if self.hold is not None and any(self.hold in text for text in texts):
            self.hold = None
            self.held.set()
            await self._released.wait()
        if self.silent:
            await asyncio.Event().wait()
        if self.refused_text is not None and any(self.refused_text in text for text in texts):
            return 400, {"error": {"message": "this input is refused"}}
        if self.status != 200:
            return self.status, {"error": {"message": "the provider is away"}}
        rows = [{"index": n, "embedding": _vector(text)} for n, text in enumerate(texts)]
        tokens = sum(len(text.split()) for text in texts)
        return 200, {"data": rows, "usage": {"total_tokens": tokens}}


def _vector(text: str) -> list[float]:
    """The sum of a fixed random vector for each word: texts with common words are near."""
    seeds = [zlib.crc32(word.encode()) for word in text.lower().split()] or [0]
    total = np.sum([np.random.default_rng(seed).standard_normal(_DIM) for seed in seeds], axis=0)
    vector: list[float] = total.tolist()
    return vector
