"""The data directory, which one process at a time can use."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from indexer.errors import DataDirInUse
from indexer.settings import Settings

__all__ = ["owning"]


@contextmanager
def owning(settings: Settings) -> Iterator[None]:
    """Make the data directory; hold its lock where something embedded is in it.

    The system releases the lock however the process ends.

    Raises:
        DataDirInUse: another process holds it, or the directory cannot be used.
    """
    data_dir = settings.data_dir
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        handle = (data_dir / "lock").open("a+", encoding="utf-8")
    except OSError as exc:
        raise DataDirInUse(f"data directory {data_dir} cannot be used: {exc.strerror}") from exc
    with handle:
        if not settings.shared:
            _lock(handle, data_dir)
        yield


def _lock(handle: IO[str], data_dir: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        handle.seek(0)
        owner = handle.read().strip() or "another process"
        raise DataDirInUse(
            f"data directory {data_dir} is in use by {owner}; stop it, or set RECSVC_DATA_DIR"
        ) from exc
    handle.truncate(0)
    handle.write(f"process {os.getpid()}, started {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
    handle.flush()
