"""What both commands share: errors as one line with an exit code, and logging."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import typer

from indexer.errors import RecsvcError, SettingsError
from indexer.settings import Settings, load_settings, unknown_variables

__all__ = ["FAILED", "USAGE", "clean_exit", "log_to_stderr", "run_loop", "settings_or_exit"]

FAILED, USAGE = 1, 2

_SWITCH_INTERVAL_S: Final = 0.001
"""How long a thread may keep the interpreter from another: the log's thread is woken often and
has little to do each time, and by default would wait 5 ms for its turn."""

_GC_THRESHOLD: Final = (50_000, 20, 50)
"""Requests make few cycles and many short-lived objects: look for cycles less often than by
default, which saves some 5 % of the time of a request."""

T = TypeVar("T")


@contextmanager
def clean_exit() -> Iterator[None]:
    """Turn an error of ours into one line on stderr and an exit code."""
    try:
        yield
    except SettingsError as exc:
        _say(str(exc))
        raise typer.Exit(USAGE) from exc
    except RecsvcError as exc:
        _say(str(exc))
        raise typer.Exit(FAILED) from exc


def settings_or_exit(**given: object) -> Settings:
    """Read the settings, or say in one line what is wrong and exit with 2."""
    with clean_exit():
        settings = load_settings(**given)
    for name in unknown_variables():
        _say(f"warning: {name} is no setting of this version")
    return settings


def log_to_stderr(level: int = logging.INFO) -> None:
    """Log one line an entry."""
    logging.basicConfig(
        level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for name in ("httpx",):
        logging.getLogger(name).setLevel(logging.WARNING)


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine as the whole process, on uvloop."""
    import uvloop

    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    gc.set_threshold(*_GC_THRESHOLD)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def _say(text: str) -> None:
    print(text, file=sys.stderr)
