"""Services for clients to call: the real one on a port, and one that fails as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from shop import DIM, catalogue, until

from indexer.listen import listen
from indexer.runtime import open_runtime
from indexer.settings import load_settings
from recsvc import app
from recsvc.client import AsyncClient
from recsvc.security import Keyring

Scripted = tuple[int, dict[str, str], bytes] | None
"""Status, headers and body of a reply; None: the connection is dropped instead."""


@asynccontextmanager
async def served_shop(folder: Path, keys: Path | None = None) -> AsyncIterator[str]:
    """Serve the application over ``folder`` on a free port; with the catalogue, unless guarded."""
    settings = load_settings(
        data_dir=folder, offline_embedder="hashed", embedding_dim=DIM, _env_file=None
    )
    async with open_runtime(settings) as runtime:
        listener = listen("127.0.0.1", 0)
        server = uvicorn.Server(
            uvicorn.Config(
                app.create_app(runtime, Keyring(keys)),
                log_level="error",
                access_log=False,
                timeout_graceful_shutdown=2,
            )
        )
        serving = asyncio.create_task(server.serve([listener]))
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            await until(lambda: _started(server))
            if keys is None:
                async with AsyncClient(url) as client:
                    await client.put_items(catalogue())
            yield url
        finally:
            server.should_exit = True
            await serving


async def _started(server: uvicorn.Server) -> bool:
    return server.started


@dataclass
class Request:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FailingService:
    """Answers requests by a script, of which the last part is repeated."""

    script: Sequence[Scripted]
    url: str = ""
    requests: list[Request] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                line, *rest = head.strip().split("\r\n")
                headers = {n.lower(): v.strip() for n, _, v in (one.partition(":") for one in rest)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.requests.append(Request(line, headers, body))
                reply = self.script[min(len(self.requests), len(self.script)) - 1]
                if reply is None:
                    break
                writer.write(_written(*reply))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is done
        finally:
            writer.close()


def _written(status: int, headers: dict[str, str], body: bytes) -> bytes:
    rows = [f"HTTP/1.1 {status} -", f"content-length: {len(body)}"]
    rows += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*rows, "", ""]).encode() + body


@asynccontextmanager
async def failing_service(*script: Scripted) -> AsyncIterator[FailingService]:
    """Serve a script on a free port."""
    service = FailingService(script)
    async with await asyncio.start_server(service.answer, "127.0.0.1", 0) as server:
        service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield service
