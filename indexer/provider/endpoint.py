"""One provider over HTTP: every request to it passes here, with all that keeps both sides well.

In this order: a place among the calls under way, the rate, the circuit breaker, the key, the
request with a limit on its time, the check of the reply; then, where that may help, once more.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import httpx
import orjson

from indexer.errors import InputRefused, ProviderError, ProviderUnavailable
from indexer.provider.backoff import RETRY_AFTER_MAX_S, next_wait, retry_after
from indexer.provider.breaker import Breaker, ProbePace
from indexer.provider.choices import ProviderSpec
from indexer.provider.credentials import Credentials, Source
from indexer.provider.ledger import CallRecord, Ledger
from indexer.provider.limits import Concurrency, Rate
from indexer.provider.prices import Price
from indexer.provider.tokens import used
from indexer.provider.vectors import TEXT_FAULTS
from indexer.telemetry import Telemetry

__all__ = ["Endpoint", "Job", "http_client"]

Reply = Mapping[str, Any]
T = TypeVar("T")

_CONNECT_S: Final = 2.0
_KEY_PROBE_S: Final = 10.0
_ABSENT_PROBE_S: Final = 30.0
_ABOUT_INPUT: Final = TEXT_FAULTS | {"no_text"}
_REPLY_MAX: Final = 64 * 2**20
_QUOTED: Final = 200
_RETRYABLE: Final = {408, 409, 425, 429}
_NOT_FOUND: Final = {404, 405, 410}
_ABSENT: Final = {f"status_{status}" for status in _NOT_FOUND}
_REFUSED_KEY: Final = {401, 403}
_PAYMENT: Final = 402
_TOO_MANY: Final = 429
_TOO_LONG: Final = ("context length", "context_length", "maximum context", "too many tokens",
                    "too long", "max_tokens_exceeded", "reduce the length")  # fmt: skip
_draw = random.Random()


@dataclass(frozen=True, slots=True)
class Job:
    """What a call is for. ``tokens``: an estimate of what is sent, for limits and lost bills.

    ``chat``: it writes at length, and may take longer.
    """

    purpose: str
    model: str
    price: Price | None
    tokens: int
    tenant: str = ""
    user_id: str = ""
    chat: bool = False


def http_client(providers: Mapping[str, ProviderSpec]) -> httpx.AsyncClient:
    """Make the one pooled client that all endpoints share; it follows no proxy variables."""
    most = sum(spec.concurrency for spec in providers.values())
    limits = httpx.Limits(max_connections=max(1, most), max_keepalive_connections=max(1, most))
    return httpx.AsyncClient(limits=limits, trust_env=False, follow_redirects=False)


class Endpoint:
    """A provider. `post` either returns a checked reply or raises a `ProviderError`."""

    def __init__(
        self,
        spec: ProviderSpec,
        client: httpx.AsyncClient,
        source: Source | None,
        ledger: Ledger,
        telemetry: Telemetry,
    ) -> None:
        self.name, self._spec, self._client = spec.name, spec, client
        self._base = spec.base_url.rstrip("/") + "/"
        self._ledger, self._telemetry = ledger, telemetry
        self._credentials = Credentials(source, self._key_unreadable, self._count_key)
        self._slots = Concurrency(spec.concurrency)
        self._rate = Rate(spec.requests_per_minute, spec.tokens_per_minute)
        self._pace = ProbePace()
        self._breakers: dict[str, Breaker] = {}

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r})"

    def breaker(self, path: str) -> Breaker:
        """Return the breaker of one path; all of an endpoint share the pace of probes."""
        if path not in self._breakers:
            self._breakers[path] = Breaker(self._pace)
        return self._breakers[path]

    def state(self) -> dict[str, Any]:
        """Show breakers and limits."""
        return {
            "provider": self.name,
            "breakers": {path: breaker.state for path, breaker in self._breakers.items()},
            "concurrency": int(self._slots.limit),
            "rate": round(self._rate.factor, 3),
        }

    async def post(self, path: str, body: object, check: Callable[[Reply], T], job: Job) -> T:
        """Post ``body`` and return what ``check`` makes of the reply.

        It ends within the provider's deadline, whatever happens.

        Raises:
            InputRefused: the provider will not take this body.
            ProviderUnavailable: nothing usable came in time.
        """
        deadline_s = self._spec.chat_deadline_s if job.chat else self._spec.deadline_s
        until = time.monotonic() + deadline_s
        try:
            async with asyncio.timeout(deadline_s):
                return await self._persist(path, orjson.dumps(body), check, job, until)
        except TimeoutError:
            raise ProviderUnavailable(
                f"{self.name} gave no reply within {deadline_s:g} s", fault="deadline"
            ) from None

    async def _persist(
        self, path: str, body: bytes, check: Callable[[Reply], T], job: Job, until: float
    ) -> T:
        attempt, wait_s = 1, 0.0
        while True:
            try:
                return await self._try(path, body, check, job, until, anyway=attempt == 2)
            except ProviderUnavailable as exc:
                if not exc.again or attempt > self._spec.max_retries:
                    raise
                if exc.wait_s is not None:
                    wait_s = exc.wait_s
                else:
                    wait_s = next_wait(wait_s, attempt, _draw.random())
                if wait_s > RETRY_AFTER_MAX_S or time.monotonic() + wait_s >= until:
                    raise
            await asyncio.sleep(wait_s)
            attempt += 1

    async def _try(
        self,
        path: str,
        body: bytes,
        check: Callable[[Reply], T],
        job: Job,
        until: float,
        *,
        anyway: bool,
    ) -> T:
        breaker = self.breaker(path)
        async with self._slots.slot():
            await self._rate.wait(job.tokens, until)
            with breaker.call(anyway=anyway) as probe:
                start = time.perf_counter()
                reply: Reply = {}
                try:
                    reply = await self._send(path, body, job, until)
                    result = check(reply)
                except ProviderError as exc:
                    self._record(job, exc.fault, time.perf_counter() - start, reply)
                    self._learn(breaker, exc)
                    if probe and isinstance(exc, ProviderUnavailable):
                        exc.again = False
                    raise
                except asyncio.CancelledError:
                    self._record(job, "cancelled", time.perf_counter() - start, reply)
                    raise
                self._record(job, "ok", time.perf_counter() - start, reply)
                breaker.succeed()
                self._slots.speed_up()
                return result

    async def _send(self, path: str, body: bytes, job: Job, until: float) -> Reply:
        timeout_s = self._spec.chat_timeout_s if job.chat else self._spec.timeout_s
        # A little less than is left, so that it is this request that is seen to fail.
        timeout_s = min(timeout_s, 0.98 * max(0.01, until - time.monotonic()))
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._client.stream(
                    "POST",
                    self._base + path,
                    content=body,
                    headers={"Content-Type": "application/json"},
                    auth=self._credentials,
                    timeout=httpx.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s)),
                ) as response,
            ):
                content = await self._read(response)
        except (TimeoutError, httpx.TimeoutException):
            raise ProviderUnavailable(
                f"{self.name} did not answer within {timeout_s:g} s", fault="timeout"
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            # Not its text: a refused header is quoted in it, and a header holds the key.
            raise ProviderUnavailable(
                f"{self.name} cannot be reached: {type(exc).__name__}", fault="connection"
            ) from None
        if not response.is_success:
            raise self._refusal(response, content.decode(errors="replace"))
        return _object(content, self.name)

    async def _read(self, response: httpx.Response) -> bytes:
        content = bytearray()
        async for part in response.aiter_bytes():
            content += part
            if len(content) > _REPLY_MAX:
                raise ProviderUnavailable(
                    f"{self.name} sent more than {_REPLY_MAX} bytes", fault="too_large"
                )
        return bytes(content)

    def _refusal(self, response: httpx.Response, said: str) -> ProviderError:
        status = response.status_code
        text = self._credentials.scrub(said)[:_QUOTED]  # a cut key would not be found
        message = f"{self.name} answered {status}: {' '.join(text.split())}"
        fault = f"status_{status}"
        if status in _RETRYABLE or status >= 500:
            wait_s = retry_after(response.headers, datetime.now(UTC))
            return ProviderUnavailable(message, fault=fault, wait_s=wait_s)
        if status in _REFUSED_KEY or status in _NOT_FOUND or status == _PAYMENT or status < 400:
            return ProviderUnavailable(message, fault=fault, again=False)
        lowered = said[:2_000].lower()
        too_long = status == 413 or any(sign in lowered for sign in _TOO_LONG)
        return InputRefused(message, fault=fault, too_long=too_long)

    def _learn(self, breaker: Breaker, exc: ProviderError) -> None:
        """Draw the conclusions for the calls that follow."""
        if exc.fault == f"status_{_TOO_MANY}":
            wait_s = exc.wait_s if isinstance(exc, ProviderUnavailable) else None
            self._slots.slow_down()
            self._rate.slow_down(wait_s)
        elif exc.fault in {f"status_{status}" for status in _REFUSED_KEY}:
            for each in self._breakers.values():
                each.trip(str(exc), _KEY_PROBE_S)
        elif exc.fault in _ABSENT:
            breaker.trip(str(exc), _ABSENT_PROBE_S)
        elif isinstance(exc, InputRefused):
            breaker.succeed()  # it answers; this input is the matter
        elif exc.fault not in _ABOUT_INPUT:  # which must not close the way to all others
            breaker.fail(str(exc))

    def _record(self, job: Job, outcome: str, latency_s: float, reply: Reply) -> None:
        tokens_in, tokens_out = used(reply, job.tokens) if reply else (0, 0)
        cost = job.price.of(tokens_in, tokens_out) if job.price is not None else None
        self._ledger.record(
            CallRecord(
                purpose=job.purpose,
                provider=self.name,
                model=job.model,
                outcome=outcome,
                latency_s=latency_s,
                tokens_in=tokens_in,
                tokens_out=tokens_out,
                cost_usd=cost,
                tenant=job.tenant,
                user_id=job.user_id,
            )
        )

    def _key_unreadable(self, reason: str) -> None:
        for breaker in self._breakers.values():
            breaker.trip(reason, _KEY_PROBE_S)

    def _count_key(self, outcome: str) -> None:
        self._telemetry.count("provider_keys", self.name, outcome)


def _object(content: bytes, name: str) -> Reply:
    try:
        reply = _loaded(content)
    except (ValueError, RecursionError) as exc:
        raise ProviderUnavailable(f"{name} sent a broken reply: {exc}", fault="not_json") from None
    if not isinstance(reply, dict):
        raise ProviderUnavailable(f"{name} sent JSON that is no object", fault="not_json")
    return reply


def _loaded(content: bytes) -> object:
    """Read JSON, and the NaN that some encoders write: it is the fault of one row, not of all."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        if b"NaN" not in content and b"Infinity" not in content:
            raise
        return json.loads(content)
