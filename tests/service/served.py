"""Servers of others as real processes, on a free loopback port, ended by their id."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_READY_S = 60.0
_STOP_S = 10.0


@contextmanager
def served(command: str, *arguments: str, log: Path) -> Iterator[str]:
    """Run an installed ``command`` that takes ``--host`` and ``--port``; give its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = str(Path(sys.executable).with_name(command))
    where = ("--host", "127.0.0.1", "--port", str(port))
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [program, *arguments, *where], stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            _wait_for(port, process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < deadline, "the server does not begin to listen"
            time.sleep(0.05)
        else:
            return
