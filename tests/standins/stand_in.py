"""The stand-in for a Qdrant server as a process, ended with the block."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

_READY_S = 30.0
_STOP_S = 10.0


@contextmanager
def stand_in() -> Iterator[str]:
    """Start it on a free port; give its address."""
    program = Path(__file__).with_name("qdrant_server.py")
    command = [sys.executable, str(program), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, f"the stand-in ended with {process.wait()}"
            httpx.get(f"{url}/readyz", timeout=_READY_S, trust_env=False).raise_for_status()
            yield url
        finally:
            process.terminate()
            process.wait(_STOP_S)
