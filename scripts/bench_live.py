"""Measures pushes over WebSocket on the embedded default, with clients among them that never read.

Every user is followed by as many clients that read as by those that do not. Events are sent one
after the other; each has to reach all that read. Service and clients share this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import os
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "e2e"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "standins"))

import httpx
import numpy as np
import orjson
from processes import Service, catalogue
from rich.console import Console
from websockets.asyncio.client import ClientConnection, connect

_USERS = 20
_GONE_S = 20.0
_ESTABLISHED = 1
_ARRIVE_S = 10.0


class Reader:
    """A client that follows one user, and notes when each version arrives."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.arrived: dict[int, float] = {}

    async def run(self, client: ClientConnection) -> None:
        """Read until the end."""
        async for text in client:
            message = orjson.loads(text)
            if message["type"] == "recommendation_update":
                # A version comes once more where a new profile changed its list.
                self.arrived.setdefault(message["user_version"], time.monotonic())


async def measure(service: Service, clients: int, pushes: int) -> dict[str, Any]:
    """Connect, send, and wait until all that read have the newest version."""
    address = f"127.0.0.1:{service.port}"
    async with contextlib.AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        before = _memory_mb(service)
        deaf = [await _deaf(address, f"u{n % _USERS}") for n in range(clients)]
        gone = group.create_task(_all_gone(deaf))
        readers = []
        for n in range(clients):
            client = await stack.enter_async_context(connect(f"ws://{address}/v1/ws", proxy=None))
            reader = Reader(f"u{n % _USERS}")
            await client.send(orjson.dumps({"type": "subscribe", "user_id": reader.user}).decode())
            await client.send('{"type": "ping"}')
            await client.recv()  # the subscription is before it
            group.create_task(reader.run(client))
            readers.append(reader)
        sent = await _send(service, max(1, pushes // clients))
        await _until_newest(readers, sent)
        waits = [
            arrived - sent[reader.user][version]
            for reader in readers
            for version, arrived in reader.arrived.items()
        ]
        p50, p99 = np.percentile(np.array(waits) * 1e3, [50, 99])
        return {
            "pushes": len(waits),
            "p50_ms": float(p50),
            "p99_ms": float(p99),
            "deaf_gone_s": await gone,
            "memory_mb": (before, _memory_mb(service)),
        }


async def _send(service: Service, events: int) -> dict[str, dict[int, float]]:
    """Send events of each user in turn; return when each version was sent."""
    sent: dict[str, dict[int, float]] = {f"u{n}": {} for n in range(_USERS)}
    async with httpx.AsyncClient(base_url=service.url, trust_env=False) as client:
        for version in range(1, events + 1):
            for user, versions in sent.items():
                versions[version] = time.monotonic()
                item = f"i{(version * 7 + len(user)) % 60}"
                event = {"user_id": user, "event_type": "click", "item_id": item}
                (await client.post("/v1/events", json=event)).raise_for_status()
    return sent


async def _until_newest(readers: list[Reader], sent: dict[str, dict[int, float]]) -> None:
    async with asyncio.timeout(_ARRIVE_S):
        while any(max(sent[r.user]) not in r.arrived for r in readers):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def _deaf(address: str, user: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect and subscribe by hand, so that nothing reads, nor answers pings."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /v1/ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    body = orjson.dumps({"type": "subscribe", "user_id": user})
    await asyncio.sleep(0.01)
    writer.write(bytes([0x81, 0x80 | len(body)]) + bytes(4) + body)  # masked with zeros
    return reader, writer


async def _all_gone(deaf: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> float:
    """Return the seconds from now until the service has closed all that do not read."""
    since = time.monotonic()
    async with asyncio.timeout(_GONE_S):
        for _, writer in deaf:
            while not _is_closed(writer):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    return time.monotonic() - since


def _is_closed(writer: asyncio.StreamWriter) -> bool:
    """Whether the other side has ended a connection; what it sent is not read."""
    connection = writer.get_extra_info("socket")
    state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return bool(state != _ESTABLISHED)


def _memory_mb(service: Service) -> float:
    assert service.process is not None
    for line in Path(f"/proc/{service.process.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=200, help="of each kind")
    parser.add_argument("--pushes", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder) / "data")
        try:
            service.start()
            service.post("/v1/items", catalogue())
            found = asyncio.run(measure(service, given.clients, given.pushes))
        finally:
            service.close()
    before, after = found["memory_mb"]
    Console().print(
        f"{found['pushes']:,} pushes received by {given.clients} clients: sent to received p50 "
        f"{found['p50_ms']:.1f} ms, p99 {found['p99_ms']:.1f} ms; every one got its newest. "
        f"{given.clients} that never read: gone {found['deaf_gone_s']:.1f} s after the last of "
        f"them had come. "
        f"Memory {before:.0f} to {after:.0f} MB"
    )


if __name__ == "__main__":
    main()
