"""A stand-in for an OpenAI-compatible provider, as slow as the seed measured its own.

Embeddings are hashed n-grams, so that similar texts have similar vectors; chat replies weigh the
feature values in the prompt by how often they occur. Latencies are drawn from triangular
distributions in milliseconds (min, typical, max), which are the figures of the seed document.
Parts of the requests can be answered with 429 and 500 instead.
"""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import numpy as np
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from indexer.provider.offline import OfflineEmbedder
from indexer.telemetry import Telemetry

__all__ = ["CHAT_MS", "EMBEDDING_MS", "StandIn"]

EMBEDDING_MS: Final = (18.0, 28.0, 45.0)
CHAT_MS: Final = (32.0, 41.0, 78.0)


class StandIn:
    """The provider; ``calls`` counts requests by path.

    ``refused``, ``broken``: the shares answered 429 and 500. ``silent``: none is answered.
    """

    def __init__(self, port: int, seed: int = 0) -> None:
        self.port = port
        self.calls: Counter[str] = Counter()
        self.refused = self.broken = 0.0
        self.silent = False
        self.asked_at: list[float] = []
        self._random = random.Random(seed)
        self._embedders: dict[int, OfflineEmbedder] = {}

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve on 127.0.0.1 for the length of the block; gives the base URL."""
        app = Starlette(
            routes=[
                Route("/v1/embeddings", self._embeddings, methods=["POST"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
            ]
        )
        config = uvicorn.Config(app, port=self.port, log_level="error", access_log=False)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        try:
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            yield f"http://127.0.0.1:{self.port}/v1"
        finally:
            server.should_exit = True
            await task

    async def _embeddings(self, request: Request) -> Response:
        self.calls["embeddings"] += 1
        body = orjson.loads(await request.body())
        if (fault := await self._fault()) is not None:
            return fault
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        dim = body.get("dimensions", 1536)
        if dim not in self._embedders:
            self._embedders[dim] = OfflineEmbedder(dim, meaning=False, telemetry=Telemetry())
        _, vectors = await asyncio.gather(
            self._wait(EMBEDDING_MS), self._embedders[dim].embed(texts)
        )
        rows = [
            {"index": index, "embedding": base64.b64encode(np.asarray(vector).tobytes()).decode()}
            for index, vector in enumerate(vectors)
        ]
        tokens = sum(len(text) // 4 + 1 for text in texts)
        return _json({"model": body["model"], "data": rows, "usage": {"total_tokens": tokens}})

    async def _chat(self, request: Request) -> Response:
        self.calls["chat"] += 1
        body = orjson.loads(await request.body())
        if (fault := await self._fault()) is not None:
            return fault
        await self._wait(CHAT_MS)
        told = body["messages"][-1]["content"]
        text = _weights(told) if "response_format" in body else "likes what was bought of late"
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": len(told) // 4, "completion_tokens": len(text) // 4}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return _json({"model": body["model"], "choices": choices, "usage": usage})

    async def _fault(self) -> Response | None:
        self.asked_at.append(time.monotonic())
        while self.silent:  # noqa: ASYNC110 - the one who asks gives up first
            await asyncio.sleep(0.1)
        draw = self._random.random()
        if draw < self.refused:
            return _json({"error": {"message": "too many requests"}}, 429)
        if draw < self.refused + self.broken:
            return _json({"error": {"message": "something broke"}}, 500)
        return None

    async def _wait(self, latency_ms: tuple[float, float, float]) -> None:
        least, typical, most = latency_ms
        await asyncio.sleep(self._random.triangular(least, most, typical) / 1e3)


def _weights(told: str) -> str:
    """Weigh each feature value in a prompt by the share of the events that have it."""
    events = orjson.loads(told)["events"]
    seen: Counter[str] = Counter()
    for event in events:
        for name, values in event.get("item", {}).items():
            if name != "title":
                every = values if isinstance(values, list) else [values]
                seen.update(f"{name}={value}" for value in every)
    weights = [
        {"key": key, "weight": round(n / len(events), 3), "evidence": []}
        for key, n in seen.most_common(10)
    ]
    return orjson.dumps({"weights": weights, "summary": "a shopper"}).decode()


def _json(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")
