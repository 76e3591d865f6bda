"""The folder of an embedded store, and how a rebuilt one takes its place.

    qdrant        in use
    qdrant.next   being rebuilt; left alone until it is switched to
    qdrant.old    was in use before a switch; of no more use once there is `qdrant`

A switch renames `qdrant` to `qdrant.old`, `qdrant.next` to `qdrant`, and removes `qdrant.old`. A
process that is ended on the way leaves both `qdrant.old` and one of the others, which `settle`
brings to an end at the next start.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["next_to", "remove_old", "settle", "switch"]


def next_to(folder: Path) -> Path:
    """Return where the rebuilt store of ``folder`` is."""
    return folder.with_name(f"{folder.name}.next")


def settle(folder: Path) -> None:
    """Bring a switch to its end that was interrupted."""
    old = _old(folder)
    if not folder.exists() and old.exists():
        # The rebuilt one was whole before the first rename.
        rebuilt = next_to(folder)
        os.rename(rebuilt if rebuilt.exists() else old, folder)
        _sync(folder.parent)
    remove_old(folder)


def switch(folder: Path) -> None:
    """Put the rebuilt store, which is closed and on disk, in the place of ``folder``."""
    remove_old(folder)
    os.rename(folder, _old(folder))
    _sync(folder.parent)
    os.rename(next_to(folder), folder)
    _sync(folder.parent)


def remove_old(folder: Path) -> None:
    """Remove what was in use before a switch."""
    old = _old(folder)
    if old.exists():
        shutil.rmtree(old)


def _old(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.old")


def _sync(folder: Path) -> None:
    """Have the disk hold the names in a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
