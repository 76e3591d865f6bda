"""Events told to a model, and a model of our own, that the tests of profiles share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from indexer.domain.profile import Evidence
from indexer.domain.state import Entry
from indexer.provider.chat import Answer
from indexer.provider.tokens import estimate

Document = dict[str, Any]


def told(
    number: int,
    *facets: str,
    title: str = "",
    query: str = "",
    event_type: str = "view",
    value: float | None = None,
) -> Evidence:
    """One event, an hour after the one numbered before it."""
    ref = f"text:{query}" if query else f"item:{number}"
    at = 3_600.0 * number
    return Evidence(Entry(at, f"event-{number}", event_type, 1.0, ref, value), facets, title, query)


def document_of(messages: Sequence[Mapping[str, str]]) -> Document:
    """The data in a prompt: one system message of ours, then one of data and nothing else."""
    system, user = messages
    assert system["role"] == "system"
    assert user["role"] == "user"
    document: Document = json.loads(user["content"])
    return document


def weights_json(*rows: tuple[str, object], summary: str = "", **more: Any) -> str:
    """An answer as the prompt asks for it."""
    listed = [{"key": key, "weight": weight, "evidence": []} for key, weight in rows]
    return json.dumps({"weights": listed, "summary": summary, **more})


@dataclass
class FakeChat:
    """A chat model whose answers the test gives; as much of `ChatModel` as profiles use."""

    answer: Callable[[Document], str]
    tokens: int = 32_000
    well: bool = True
    worth_asking: bool = True
    asked: list[Document] = field(default_factory=list)
    schemas: list[Mapping[str, Any] | None] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def room(self, answer_tokens: int) -> int:
        return self.tokens - answer_tokens

    async def ask(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        answer_tokens: int,
        schema: Mapping[str, Any] | None = None,
        tenant: str = "",
        user_id: str = "",
    ) -> Answer:
        document = document_of(messages)
        self.asked.append(document)
        self.schemas.append(schema)
        self.sizes.append(sum(estimate(message["content"]) for message in messages))
        return Answer(self.answer(document), "fake", 0.001)
