"""Runs the application: opens everything, serves, and closes in the reverse order."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import uvicorn

from indexer.errors import AddressUnavailable, SettingsError
from indexer.runtime import Runtime, open_runtime
from indexer.settings import Settings
from recsvc.app import create_app
from recsvc.security import Keyring, is_loopback

__all__ = ["run", "serve"]

_log = logging.getLogger(__name__)

_GRACE_S = 10
_SWITCH_INTERVAL_S: Final = 0.001
"""How long a thread may keep the interpreter from another: the log's thread is woken often and
has little to do each time, and by default would wait 5 ms for its turn."""

_GC_THRESHOLD: Final = (50_000, 20, 50)
"""Requests make few cycles and many short-lived objects: look for cycles less often than by
default, which saves some 5 % of the time of a request."""

T = TypeVar("T")


async def serve(
    settings: Settings,
    host: str,
    port: int,
    started: Callable[[Runtime], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; then answer what is under way, fold what is logged, flush.

    ``started`` is run once, beside the serving.

    Raises:
        SettingsError: an address beyond this machine without keys.
        RecsvcError: a part cannot be opened.
    """
    keyring = Keyring(settings.api_keys_file)
    if keyring.open and not is_loopback(host):
        raise SettingsError(
            f"--host {host} can be reached by others, and RECSVC_API_KEYS_FILE is not set; make a "
            "key with 'recsvc keys create', or serve on 127.0.0.1"
        )
    stopping = _note_signals()
    async with open_runtime(settings) as runtime:
        listener = _listen(host, port)
        if stopping:
            return
        config = uvicorn.Config(
            create_app(runtime, keyring),
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
        task = asyncio.create_task(started(runtime)) if started is not None else None
        _log.info("serving on http://%s:%d", host, port)
        try:
            await uvicorn.Server(config).serve(sockets=[listener])
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


def _listen(host: str, port: int) -> socket.socket:
    """Take the address to serve on.

    Raises:
        AddressUnavailable: another process has it, or it is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as exc:
        raise AddressUnavailable(
            f"cannot serve on {host}, port {port}: {exc.strerror}; choose another with --port"
        ) from exc


def _note_signals() -> list[int]:
    """Return a list that SIGTERM and SIGINT are noted in.

    One that comes while everything is being opened must not be lost; and uvicorn raises the one
    that stopped it once more when it is done, which without a handler would end the process
    before the rest is closed.
    """
    noted: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: noted.append(number))
    return noted


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine as the whole process, on uvloop."""
    import uvloop

    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    gc.set_threshold(*_GC_THRESHOLD)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
