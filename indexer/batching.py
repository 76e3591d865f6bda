"""Merges what concurrent callers ask into batches, and asks for the same thing once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

__all__ = ["Batcher"]

R = TypeVar("R")

Send = Callable[[list[str]], Awaitable[Mapping[str, R]]]


class Batcher(Generic[R]):
    """Collects texts for ``linger_s``, then sends them, ``parallel`` batches at a time.

    A batch holds at most ``count_max`` texts of together ``size_max`` (as ``size`` measures), at
    least one. A caller that is cancelled takes nothing from the others.
    """

    def __init__(
        self,
        send: Send[R],
        size: Callable[[str], int],
        *,
        count_max: int,
        size_max: int,
        parallel: int,
        linger_s: float,
    ) -> None:
        self._send, self._size = send, size
        self._count_max, self._size_max = count_max, size_max
        self._slots = asyncio.Semaphore(parallel)
        self._linger_s = linger_s
        self._queue: dict[str, asyncio.Future[R]] = {}
        self._sent: dict[str, asyncio.Future[R]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._collecting = self._closed = False

    async def ask(self, texts: Sequence[str]) -> dict[str, R]:
        """Return the answer to each text; raises what ``send`` raised for it."""
        if self._closed:
            raise RuntimeError("asked after the end")
        futures = {text: self._future(text) for text in texts}
        if futures:
            await asyncio.wait(futures.values())
        return {text: future.result() for text, future in futures.items()}

    async def close(self) -> None:
        """Stop what is under way; who still waits is told with CancelledError."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for future in [*self._queue.values(), *self._sent.values()]:
            future.cancel()

    def _future(self, text: str) -> asyncio.Future[R]:
        known = self._sent.get(text) or self._queue.get(text)
        if known is not None:
            return known
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_seen)
        self._queue[text] = future
        if not self._collecting:
            self._collecting = True
            self._start(self._collect())
        return future

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _collect(self) -> None:
        await asyncio.sleep(self._linger_s)
        try:
            while self._queue:
                await self._slots.acquire()  # what comes while all are busy joins the next batch
                batch = self._take()
                self._start(self._answer(batch))
        finally:
            self._collecting = False

    def _take(self) -> dict[str, asyncio.Future[R]]:
        batch: dict[str, asyncio.Future[R]] = {}
        size = 0
        while self._queue and len(batch) < self._count_max:
            text = next(iter(self._queue))
            size += self._size(text)
            if batch and size > self._size_max:
                break
            batch[text] = self._queue.pop(text)
        self._sent.update(batch)
        return batch

    async def _answer(self, batch: Mapping[str, asyncio.Future[R]]) -> None:
        try:
            answers = await self._send(list(batch))
            for text, future in batch.items():
                future.set_result(answers[text])
        except Exception as exc:  # noqa: BLE001 - handed to those who asked
            for future in batch.values():
                if not future.done():
                    future.set_exception(exc)
        finally:
            self._slots.release()
            for text, future in batch.items():
                del self._sent[text]
                future.cancel()  # only where this was cancelled itself


def _seen(future: asyncio.Future[R]) -> None:
    """Take note of an exception, as whoever asked may be gone."""
    if not future.cancelled():
        future.exception()
