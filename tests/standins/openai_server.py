"""An OpenAI-compatible server of our own, on a free loopback port of the test's event loop.

It does what it is told, request by request: `script` is used up first, then `always`; where both
have nothing to say, it answers as a provider does that is well. All that it is sent is in `seen`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np

Body = dict[str, Any]
Handler = Callable[["Seen"], "Fault | None"]


@dataclass(frozen=True)
class Seen:
    """One request as it came; ``at``: monotonic seconds, ``wall``: unix seconds."""

    at: float
    wall: float
    path: str
    body: Body
    authorization: str | None

    @property
    def texts(self) -> list[str]:
        """What is to be embedded."""
        texts: list[str] = self.body.get("input", [])
        return texts


@dataclass(frozen=True)
class Fault:
    """How one request is answered otherwise than well.

    ``status``, ``message``, ``headers``: an error. ``raw``: a body of exactly these bytes.
    ``alter``: changes the body of a good reply. ``hang``: no answer. ``reset``: the connection is
    reset instead. ``delay_s``: the answer comes later. ``drip_s``: its body comes byte by byte,
    with this pause. ``short``: it ends before the length that was announced.
    """

    status: int = 200
    message: str = "a fault of the test"
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    alter: Callable[[Body], Any] | None = None
    hang: bool = False
    reset: bool = False
    delay_s: float = 0.0
    drip_s: float = 0.0
    short: bool = False


class OpenAIServer:
    """Serves ``POST /v1/embeddings`` and ``/v1/chat/completions``.

    ``key``: the one that is let in, if any. ``unknown_fields``: answered 400, as by endpoints that
    take none they do not know. ``longest``: characters of a text that the model takes.
    ``answer``: decides by the request. ``asked``: set by the first one. ``busy_most``: the most
    requests that were under way.
    """

    def __init__(self, dim: int = 64) -> None:
        self.dim = dim
        self.key: str | None = None
        self.unknown_fields: set[str] = set()
        self.longest: int | None = None
        self.script: deque[Fault | None] = deque()
        self.always: Fault | None = None
        self.answer: Handler | None = None
        self.floats_only = False
        self.says = '{"answer": "forty-two"}'
        self.seen: list[Seen] = []
        self.asked = asyncio.Event()
        self.busy = self.busy_most = 0
        self.url = ""
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    async def __aenter__(self) -> OpenAIServer:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=512)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
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

    def gaps(self) -> list[float]:
        """Return the seconds between one request and the next."""
        return [b.at - a.at for a, b in zip(self.seen, self.seen[1:], strict=False)]

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients[writer] = asyncio.create_task(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(await _read(reader), writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            del self._clients[writer]
            writer.close()

    async def _exchange(self, request: Seen, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection goes on."""
        self.seen.append(request)
        self.asked.set()
        self.busy += 1
        self.busy_most = max(self.busy_most, self.busy)
        try:
            fault = self._fault(request)
            if fault.hang:
                await asyncio.Event().wait()
            if fault.reset:
                _reset(writer)
                return False
            await asyncio.sleep(fault.delay_s)
            payload = self._payload(request, fault)
        finally:
            self.busy -= 1
        head = {"content-type": "application/json", **fault.headers}
        head["content-length"] = str(len(payload) + (10 if fault.short else 0))
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        writer.write(f"HTTP/1.1 {fault.status} -\r\n{lines}\r\n".encode())
        pieces = [payload[n : n + 1] for n in range(len(payload))] if fault.drip_s else [payload]
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(fault.drip_s)
        return not fault.short

    def _fault(self, request: Seen) -> Fault:
        if self.key is not None and request.authorization != f"Bearer {self.key}":
            return Fault(401, f"this key is not right: {request.authorization}")
        scripted = self.script.popleft() if self.script else self.always
        if scripted is None and self.answer is not None:
            scripted = self.answer(request)
        return scripted or self._complaint(request) or Fault()

    def _complaint(self, request: Seen) -> Fault | None:
        unknown = sorted(self.unknown_fields & set(request.body))
        if unknown:
            return Fault(400, f"Unrecognized request argument supplied: {unknown[0]}")
        if self.longest is not None and any(len(text) > self.longest for text in request.texts):
            return Fault(400, f"This model's maximum context length is {self.longest} tokens")
        return None

    def _payload(self, request: Seen, fault: Fault) -> bytes:
        if fault.raw is not None:
            return fault.raw
        if fault.status != 200:
            return json.dumps({"error": {"message": fault.message}}).encode()
        body = self._chat(request) if "chat" in request.path else self._embeddings(request)
        return json.dumps(body if fault.alter is None else fault.alter(body)).encode()

    def _embeddings(self, request: Seen) -> Body:
        packed = request.body.get("encoding_format") == "base64" and not self.floats_only
        rows = [
            {
                "object": "embedding",
                "index": n,
                "embedding": spelt(vector_of(text, self.dim), packed),
            }
            for n, text in enumerate(request.texts)
        ]
        used = sum(len(text.split()) for text in request.texts)
        usage = {"prompt_tokens": used, "total_tokens": used}
        return {"object": "list", "model": request.body["model"], "data": rows, "usage": usage}

    def _chat(self, request: Seen) -> Body:
        message = {"role": "assistant", "content": self.says}
        return {
            "object": "chat.completion",
            "model": request.body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
        }


def vector_of(text: str, dim: int) -> list[float]:
    """Return the sum of a fixed random vector for each word, so that like texts are near."""
    seeds = [zlib.crc32(word.encode()) for word in text.lower().split()] or [0]
    total = np.sum([np.random.default_rng(seed).standard_normal(dim) for seed in seeds], axis=0)
    vector: list[float] = total.tolist()
    return vector


def spelt(vector: list[float], packed: bool) -> str | list[float]:
    """Return a vector as a reply has it: in base64, or as numbers."""
    if not packed:
        return vector
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()


async def _read(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = json.loads(await reader.readexactly(int(headers["content-length"])))
    path = first.split(" ")[1]
    return Seen(time.monotonic(), time.time(), path, body, headers.get("authorization"))


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side is told of a reset, and not of an end."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
