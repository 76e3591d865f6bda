"""A proxy between a client and a server on this machine that answers late, or only falsely."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

_CHUNK = 65_536


class StallingProxy:
    """Passes on what is sent; replies come ``delay_s`` late, or are what ``reply`` makes of them.

    On an event loop that the client is on as well.
    """

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.reply: Callable[[bytes], bytes] = bytes
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._to = 0

    @asynccontextmanager
    async def before(self, port: int) -> AsyncIterator[StallingProxy]:
        """Serve on a free port in front of ``port``."""
        self._to = port
        async with asyncio.TaskGroup() as tasks:
            server = await asyncio.start_server(
                lambda *streams: tasks.create_task(self._serve(*streams)), "127.0.0.1", 0
            )
            self.port = server.sockets[0].getsockname()[1]
            try:
                yield self
            finally:
                server.close()
                self.cut()

    def cut(self) -> None:
        """End all connections."""
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        both = {writer, back}
        self._writers |= both
        with suppress(ConnectionError):
            await asyncio.gather(self._pass_on(reader, back), self._answer(there, writer))
        self._writers -= both
        for one in both:
            one.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK):
            await asyncio.sleep(self.delay_s)
            writer.write(self.reply(chunk))
        writer.close()
