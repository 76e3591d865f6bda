"""APIs and workers as processes of their own, around what they share."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from kafka_broker import KafkaBroker
from processes import Service, wait_for
from stand_in import stand_in
from valkey_server import ValkeyServer

PARTITIONS = 8
SERVER_URL = os.environ.get("RECSVC_TEST_QDRANT_URL", "")


class Broker(Protocol):
    """What carries the log, and can be away."""

    session_s: float

    def settings(self) -> dict[str, str]:
        """The settings that name it."""
        ...

    def hang(self) -> None: ...

    def go_on(self) -> None: ...


class OverRedis:
    """Redis Streams, the cache and notices, all on one real server."""

    session_s = 3.0

    def __init__(self, valkey: ValkeyServer) -> None:
        self._valkey = valkey

    def settings(self) -> dict[str, str]:
        return {"RECSVC_EVENT_LOG_URL": self._valkey.url, "RECSVC_CACHE_URL": self._valkey.url}

    def hang(self) -> None:
        self._valkey.pause()

    def go_on(self) -> None:
        self._valkey.resume()

    def restart(self) -> None:
        """End it where it stands, and start it again with what it kept."""
        self._valkey.kill()
        self._valkey.start()


class OverKafka:
    """A real broker of Kafka's protocol; no notices: processes find out by themselves."""

    session_s = 6.0

    def __init__(self, broker: KafkaBroker) -> None:
        self._broker = broker

    def settings(self) -> dict[str, str]:
        return {"RECSVC_EVENT_LOG_URL": f"kafka://{self._broker.servers}"}

    def hang(self) -> None:
        self._broker.hang()

    def go_on(self) -> None:
        self._broker.go_on()


class Fleet:
    """The processes; each is ended by its own id."""

    def __init__(self, folder: Path, broker: Broker, qdrant_url: str) -> None:
        self._folder = folder
        self.settings = {
            **broker.settings(),
            "RECSVC_QDRANT_URL": qdrant_url,
            "RECSVC_QDRANT_PREFIX": f"fleet-{uuid.uuid4().hex[:8]}-",
            "RECSVC_EVENT_LOG_NAME": f"fleet-{uuid.uuid4().hex[:8]}",
            "RECSVC_EVENT_LOG_PARTITIONS": str(PARTITIONS),
            "RECSVC_EVENT_LOG_SESSION_S": str(broker.session_s),
            "RECSVC_LEARN_EVERY": "0",
        }
        self._made: list[Service] = []

    def api(self) -> Service:
        """Start an API process."""
        return self._start(("recsvc", "serve", "--role", "api"))

    def worker(self) -> Service:
        """Start a worker."""
        return self._start(("indexer", "run"))

    def close(self) -> None:
        """End all that is left."""
        for service in self._made:
            service.close()

    def _start(self, command: tuple[str, ...]) -> Service:
        data_dir = self._folder / f"{command[0]}-{len(self._made)}" / "data"
        data_dir.parent.mkdir(parents=True)
        service = Service(data_dir, command=command, **self.settings)
        self._made.append(service)
        service.start()
        return service


def owned(worker: Service) -> list[int]:
    """The partitions that a worker follows."""
    partitions: list[int] = worker.get("/readyz")["partitions"]
    return partitions


def wait_until_shared(workers: list[Service], patience_s: float = 60.0) -> None:
    """Wait until each partition has one of these workers."""

    def shared() -> bool:
        found = sorted(number for worker in workers for number in owned(worker))
        return found == list(range(PARTITIONS))

    wait_for(shared, patience_s)


@contextlib.contextmanager
def qdrant_server() -> Iterator[str]:
    """The server that ``RECSVC_TEST_QDRANT_URL`` names, or a stand-in of the test's own."""
    if SERVER_URL:
        yield SERVER_URL
        return
    with stand_in() as url:
        yield url
