"""What both commands share: errors as one line with an exit code, and logging."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from indexer.errors import RecsvcError, SettingsError
from indexer.settings import Settings, load_settings, unknown_variables

__all__ = ["FAILED", "USAGE", "clean_exit", "log_to_stderr", "settings_or_exit"]

FAILED, USAGE = 1, 2


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


def _say(text: str) -> None:
    print(text, file=sys.stderr)
