"""Libraries that only an evaluation needs, imported when it does."""

from __future__ import annotations

import importlib
from typing import Any

from indexer.errors import SettingsError

__all__ = ["library"]


def library(name: str) -> Any:
    """Import ``name``, a module of an optional package.

    Raises:
        SettingsError: the package is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise SettingsError("recsvc evaluate needs pip install 'recsvc[evaluate]'") from exc
