"""A proxy in front of a server on this machine, that can be cut off, hang, and be well again."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_CHUNK = 65_536


class TcpProxy:
    """Passes on what is sent, both ways, to a port that is told later.

    On an event loop that clients may be on as well.
    """

    def __init__(self) -> None:
        self.port = 0
        self.to = 0
        self._passing = asyncio.Event()
        self._passing.set()
        self._is_cut = False
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[TcpProxy]:
        """Serve on a free port; speak TLS to clients if there is a context."""
        server = await asyncio.start_server(self._begin, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await self._end_all()

    async def cut(self) -> None:
        """End all connections, and each new one at once."""
        self._is_cut = True
        await self._end_all()

    def hang(self) -> None:
        """Keep connections, take new ones, and pass nothing on."""
        self._passing.clear()

    def restore(self) -> None:
        """Be well again; what was sent meanwhile over connections that are left is passed on."""
        self._is_cut = False
        self._passing.set()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end_all(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back: asyncio.StreamWriter | None = None
        try:
            if not self._is_cut:
                there, back = await asyncio.open_connection("127.0.0.1", self.to)
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pass_on(reader, back))
                    both.create_task(self._pass_on(there, writer))
        finally:
            for one in (writer, back):
                if one is not None:
                    one.close()
                    with suppress(OSError):
                        await one.wait_closed()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                await self._passing.wait()
                writer.write(chunk)
                await writer.drain()
        writer.close()
