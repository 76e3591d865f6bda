"""The provider client, opened over a server of our own, and what tests ask of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from openai_server import Body, OpenAIServer, vector_of

from indexer.domain.vectors import Vector
from indexer.errors import ProviderError
from indexer.provider import Models, open_models
from indexer.provider.chat import Answer
from indexer.settings import load_settings
from indexer.telemetry import Telemetry

DIM = 64
KEY = "sk-of-the-test"
SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}}


class Client:
    """Open models, the server they ask, and what was counted."""

    def __init__(self, server: OpenAIServer, models: Models, telemetry: Telemetry) -> None:
        self.server, self.models, self.telemetry = server, models, telemetry

    async def embed(self, *texts: str) -> list[Vector | ProviderError]:
        """Embed texts in one call."""
        return await self.models.embedder.embed(texts)

    async def one(self, text: str = "a text") -> Vector:
        """Embed a text, which must succeed."""
        [found] = await self.embed(text)
        assert not isinstance(found, ProviderError), found
        return found

    async def failure(self, text: str = "a text") -> ProviderError:
        """Embed a text, which must fail."""
        [found] = await self.embed(text)
        assert isinstance(found, ProviderError), found
        return found

    async def together(self, n: int) -> list[Vector | ProviderError]:
        """Embed ``n`` texts in as many calls at the same time."""
        return [found for [found] in await asyncio.gather(*(self.embed(f"{k}") for k in range(n)))]

    async def chat(self, text: str = "a question", **more: Any) -> Answer:
        """Ask the model that makes profiles."""
        assert self.models.profile is not None
        messages = [{"role": "user", "content": text}]
        return await self.models.profile.ask(messages, answer_tokens=50, **more)

    def outcomes(self) -> Counter[str]:
        """Count the requests by outcome."""
        counted: Counter[str] = Counter()
        for labels, n in self.telemetry.by_labels("provider_calls").items():
            counted[labels[-1]] += int(n)
        return counted

    def state(self) -> dict[str, Any]:
        """Show breakers and limits of the one provider."""
        return self.models.endpoints["default"].state()


def is_vector_of(text: str, found: object, dim: int = DIM) -> bool:
    """Whether ``found`` is the unit vector that belongs to ``text``."""
    wanted = np.asarray(vector_of(text, dim), dtype=np.float32)
    wanted /= np.linalg.norm(wanted)
    return isinstance(found, np.ndarray) and np.allclose(found, wanted, atol=1e-5)


def with_rows(*embeddings: object) -> Any:
    """Make a change to a good reply: other embeddings in its rows, from the first on."""

    def alter(body: Body) -> Body:
        for row, embedding in zip(body["data"], embeddings, strict=False):
            row["embedding"] = embedding
        return body

    return alter


@asynccontextmanager
async def open_client(folder: Path, **settings: Any) -> AsyncIterator[Client]:
    """Open a server and the models over it."""
    async with OpenAIServer(DIM) as server:
        given: dict[str, Any] = {
            "provider_base_url": server.url,
            "provider_api_key": KEY,
            "embedding_dim": DIM,
            **settings,
        }
        if "provider_api_key_file" in given or "provider_api_key_command" in given:
            del given["provider_api_key"]
        telemetry = Telemetry()
        loaded = load_settings(data_dir=folder, _env_file=None, **given)
        async with open_models(loaded, telemetry) as models:
            yield Client(server, models, telemetry)
