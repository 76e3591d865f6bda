"""Runs the application: opens everything, serves, and closes in the reverse order."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import uvicorn

from indexer.errors import SettingsError
from indexer.listen import listen
from indexer.runtime import Runtime, open_runtime
from indexer.settings import Settings
from recsvc.app import create_app
from recsvc.hub import Hub
from recsvc.security import Keyring, is_loopback
from recsvc.sockets import LIVE_OPTIONS

__all__ = ["serve"]

_log = logging.getLogger(__name__)

_GRACE_S = 10


async def serve(
    settings: Settings,
    host: str,
    port: int,
    started: Callable[[Runtime], Coroutine[Any, Any, None]] | None = None,
    *,
    folds: bool = True,
    ws_port: int | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; then answer what is under way, fold what is logged, flush.

    ``started`` is run once, beside the serving. ``folds``: whether this process also folds.
    ``ws_port``: a second port, for clients that look for WebSockets there.

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
    async with open_runtime(settings, folds=folds) as runtime:
        listeners = [listen(host, one) for one in (port, ws_port) if one is not None]
        if stopping:
            return
        app = create_app(runtime, keyring)
        config = uvicorn.Config(
            app,
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
            **LIVE_OPTIONS,
        )
        task = asyncio.create_task(started(runtime)) if started is not None else None
        _log.info("serving on http://%s:%d", host, port)
        try:
            await _Server(config, app.state.service.hub).serve(sockets=listeners)
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


class _Server(uvicorn.Server):
    """A server that ends streams, which do not end by themselves, before it waits for them."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End streams, then do as uvicorn does."""
        self._hub.close()
        await super().shutdown(sockets)


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
