"""One request to an endpoint: signed, bounded in time and size, never redirected or proxied."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final
from urllib.parse import urlsplit

import httpcore

from indexer.provider.backoff import retry_after
from recsvc.webhooks.connect import AddressRefused, CheckedBackend, Resolver
from recsvc.webhooks.signing import signed_headers

__all__ = ["GONE", "Answer", "Message", "WebhookClient"]

GONE: Final = 410
_ANSWER_MAX: Final = 4096
"""Bytes of an answer that are read, and thrown away."""

_DRAIN_S: Final = 1.0
_KEPT_S: Final = 5.0
_KEPT_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent. ``message_id``: the same for every try of it."""

    message_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request: a status, or ``error``. ``retry_after_s``: what it asks for."""

    latency_ms: float
    status: int | None = None
    error: str | None = None
    retry_after_s: float | None = None

    @property
    def delivered(self) -> bool:
        """Whether the endpoint has taken the message."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def reason(self) -> str | None:
        """Why it was not taken, in words that hold nothing of the message or the answer."""
        if self.delivered:
            return None
        return self.error or f"answered {self.status}"


class WebhookClient:
    """Sends messages. Connections are kept for a few seconds, each to an address as checked."""

    def __init__(self, resolver: Resolver, timeout_s: float) -> None:
        self._resolver, self._timeout_s = resolver, timeout_s
        self._pool: httpcore.AsyncConnectionPool | None = None
        self._agent = f"recsvc/{version('recsvc')}"

    async def post(self, url: str, message: Message, keys: list[str]) -> Answer:
        """Send a message, signed by each of ``keys``; never raises for what the endpoint does."""
        start = time.perf_counter()
        status, error, wait_s = None, None, None
        try:
            async with asyncio.timeout(self._timeout_s):
                status, wait_s = await self._post(url, message, keys)
        except (TimeoutError, httpcore.TimeoutException):
            error = f"no answer within {self._timeout_s:g} s"
        except AddressRefused as exc:
            error = str(exc)
        except httpcore.ConnectError:
            error = "could not be connected to"
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as exc:
            error = f"no answer ({type(exc).__name__})"
        return Answer(round((time.perf_counter() - start) * 1e3, 3), status, error, wait_s)

    async def close(self) -> None:
        """End the connections."""
        if self._pool is not None:
            await self._pool.aclose()

    async def _post(self, url: str, message: Message, keys: list[str]) -> tuple[int, float | None]:
        signed = signed_headers(message.message_id, int(time.time()), message.body, keys)
        headers = [
            ("Host", urlsplit(url).netloc),
            ("Content-Type", "application/json"),
            ("User-Agent", self._agent),
            *signed.items(),
        ]
        each_s = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_s)
        async with self._opened().stream(
            "POST", url, headers=headers, content=message.body, extensions={"timeout": each_s}
        ) as response:
            await _drain(response)
            told = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in response.headers
            }
            return response.status, retry_after(told, datetime.now(UTC))

    def _opened(self) -> httpcore.AsyncConnectionPool:
        """Make the pool for the first message: reading the system's certificates takes a while."""
        if self._pool is None:
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=httpcore.default_ssl_context(),
                max_connections=None,
                max_keepalive_connections=_KEPT_MAX,
                keepalive_expiry=_KEPT_S,
                network_backend=CheckedBackend(self._resolver),
            )
        return self._pool


async def _drain(response: httpcore.Response) -> None:
    """Read what little an answer should have, so that its connection can be used again.

    The status has told all that matters: an answer that has no end changes nothing.
    """
    read = 0
    try:
        async with asyncio.timeout(_DRAIN_S):
            async for chunk in response.aiter_stream():
                read += len(chunk)
                if read > _ANSWER_MAX:
                    return
    except (TimeoutError, httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        return
