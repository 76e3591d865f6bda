"""A proxy in front of a server on this machine, to take a node down, have it hang, and bring it
back on the same port."""

from __future__ import annotations

import asyncio
import socket
from types import TracebackType

_CHUNK = 65_536


class NodeProxy:
    """Passes on what is sent to ``port``.

    ``passed``: bytes that went to the server. ``held``: set when something was sent that was not
    passed on.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        with socket.socket() as chosen:
            chosen.bind(("127.0.0.1", 0))
            self.port = chosen.getsockname()[1]
        self.passed = 0
        self.held = asyncio.Event()
        self._hangs = False
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> NodeProxy:
        await self.up()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.down()

    async def up(self) -> None:
        """Serve."""
        self._hangs = False
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def down(self) -> None:
        """End all connections and refuse others."""
        if self._server is not None:
            self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    def hang(self) -> None:
        """Take what is sent, and do nothing with it, until it is `down` or `up`."""
        self._hangs = True

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = asyncio.create_task(self._serve(reader, writer))
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_on(reader, back, counted=True))
                tasks.create_task(self._pass_on(there, writer, counted=False))
        except* ConnectionError:
            pass
        finally:
            writer.transport.abort()
            back.transport.abort()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool
    ) -> None:
        while chunk := await reader.read(_CHUNK):
            if self._hangs:
                self.held.set()
                await asyncio.Event().wait()
            self.passed += len(chunk) * counted
            writer.write(chunk)
            await writer.drain()
        raise ConnectionResetError("the other side has ended it")
