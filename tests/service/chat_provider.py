"""An OpenAI-compatible endpoint that chats too; what it says is a function of the test."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fake_provider import FakeProvider

PROFILE_MODEL, SUMMARY_MODEL = "deepseek-v3.2", "gpt-4.1-mini"

Document = dict[str, Any]
Refusal = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Chat:
    """One request to ``/v1/chat/completions``. ``document``: the data that the user message is."""

    model: str
    messages: list[dict[str, str]]
    document: Document
    format: str | None


class ChatProvider(FakeProvider):
    """Adds ``POST /v1/chat/completions`` to the embeddings.

    ``answer``, ``notes``: what the profile's and the summary's model say, given the data in the
    prompt. ``refuse``: the status and message that a request gets instead, or None.
    ``hold_chats``: requests wait for `release_chats`. ``status`` and ``silent`` hold for all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.answer: Callable[[Document], str] = likes_all
        self.notes: Callable[[Document], str] = lambda document: "likes what was seen"
        self.refuse: Callable[[Chat], Refusal | None] = lambda chat: None
        self.hold_chats = False
        self.chats: list[Chat] = []
        self.times: list[float] = []
        self.at_once = self.at_once_most = 0
        self._chats_released = asyncio.Event()

    def of(self, model: str) -> list[Document]:
        """The data that ``model`` was told, a request each."""
        return [chat.document for chat in self.chats if chat.model == model]

    def release_chats(self) -> None:
        """Let the chats that are held be answered, and hold no more."""
        self.hold_chats = False
        self._chats_released.set()

    async def reply(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.times.append(time.monotonic())
        if "messages" not in body:
            return await super().reply(body)
        chat = Chat(
            body["model"],
            body["messages"],
            json.loads(body["messages"][1]["content"]),
            body["response_format"]["type"] if "response_format" in body else None,
        )
        self.chats.append(chat)
        self.at_once += 1
        self.at_once_most = max(self.at_once_most, self.at_once)
        try:
            return await self._chat(chat)
        finally:
            self.at_once -= 1

    async def _chat(self, chat: Chat) -> tuple[int, dict[str, Any]]:
        if self.hold_chats:
            await self._chats_released.wait()
        if self.silent:
            await asyncio.Event().wait()
        refusal = self.refuse(chat)
        if self.status != 200:
            refusal = (self.status, "the provider is away")
        if refusal is not None:
            return refusal[0], {"error": {"message": refusal[1]}}
        said = (self.notes if chat.model == SUMMARY_MODEL else self.answer)(chat.document)
        message = {"role": "assistant", "content": said}
        usage = {"prompt_tokens": 900, "completion_tokens": 200, "total_tokens": 1_100}
        return 200, {"model": chat.model, "choices": [{"message": message}], "usage": usage}


def likes(*keys: str, weight: object = 0.9, summary: str = "") -> Callable[[Document], str]:
    """A model that says the same of everyone."""
    rows = [{"key": key, "weight": weight, "evidence": ["e1"]} for key in keys]
    return lambda document: json.dumps({"weights": rows, "summary": summary})


def likes_all(document: Document) -> str:
    """A model that likes every category it is told of, as often as it is."""
    seen: dict[str, list[str]] = {}
    for event in document["events"]:
        if category := event.get("item", {}).get("category"):
            seen.setdefault(category, []).append(event["id"])
    rows = [
        {"key": f"category={name}", "weight": len(ids) / len(document["events"]), "evidence": ids}
        for name, ids in seen.items()
    ]
    return json.dumps({"weights": rows, "summary": f"likes {', '.join(seen)}"})
