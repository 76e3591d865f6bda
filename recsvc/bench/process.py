"""The service as a process of its own, in a folder of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from indexer.errors import StoreUnavailable
from recsvc.bench.client import Connection

__all__ = ["anonymous_mb", "free_port", "service"]

_READY_S = 30.0


@asynccontextmanager
async def service(folder: Path, provider: str) -> AsyncIterator[tuple[int, int]]:
    """Run the service as a process of its own; gives port and process id."""
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RECSVC_")}
    environment = {
        **kept,
        "RECSVC_DATA_DIR": str(folder / "data"),
        "RECSVC_PROVIDER_BASE_URL": provider,
        "RECSVC_PROVIDER_API_KEY": "bench",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "recsvc", "serve", "--port", str(port)),
        env=environment,
        cwd=folder,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await _until_ready(port, process)
        drained = asyncio.create_task(_drain(process))
        yield port, process.pid
        process.terminate()
        await drained
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _drain(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    async for _ in process.stderr:
        pass


async def _until_ready(port: int, process: asyncio.subprocess.Process) -> None:
    deadline, answered = time.monotonic() + _READY_S, b""
    while time.monotonic() < deadline and process.returncode is None:
        with contextlib.suppress(OSError):
            connection = await Connection.open(port)
            status, answered = await connection.get("/readyz")
            connection.close()
            if status == 200:
                return
        await asyncio.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    _, said = await process.communicate()
    told = f"{said.decode()[-500:]} {answered.decode()[-500:]}".strip()
    raise StoreUnavailable(f"the service did not start: {told}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def anonymous_mb(pid: int) -> float:
    """Anonymous memory of a process, where Linux tells it."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return float("nan")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return round(int(lines["RssAnon"].split()[0]) / 1024, 1)
